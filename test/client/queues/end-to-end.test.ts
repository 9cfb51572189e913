import { describe, expect, test } from 'vitest';
import type { QueueMessage } from '../../../client/index.ts';
import { codeOf, connectTo, Notes, startPair } from './queue-bed.ts';

const text = (message: QueueMessage): string => message.text();

describe('a message', () => {
  test('makes the round trip with exchange, routing key, properties and headers', async () => {
    const { client } = await startPair();
    const queue = client.queue('work');
    await queue.declare();
    const exchange = await client.exchange('events').declare({ type: 'topic' });
    await queue.bind(exchange, 'order.#');
    const before = Date.now();
    await exchange.publish('größe', {
      routingKey: 'order.éu.new',
      contentType: 'text/plain',
      headers: {
        text: 'ä',
        count: 7,
        big: 2n ** 60n,
        yes: true,
        nothing: null,
        bytes: new Uint8Array([1, 2]),
        at: new Date(1_700_000_000_000),
        list: [1, 'two'],
        nested: { inner: 1.5 },
        left: undefined,
      },
      priority: 3,
      correlationId: 'c',
      replyTo: 'r',
      expirationMs: 60_000,
      messageId: 'm',
      timestamp: new Date(1_700_000_000_999),
      type: 't',
      appId: 'a',
      persistent: true,
    });
    const message = (await queue.get())!;
    expect(message.text()).toBe('größe');
    expect(message).toMatchObject({ exchange: 'events', routingKey: 'order.éu.new', deliveryCount: 0 });
    expect(message.redelivered).toBe(false);
    expect(message.timestampMs).toBeGreaterThanOrEqual(before);
    const headers = new Map<string, unknown>([
      ['text', 'ä'],
      ['count', 7],
      ['big', 2n ** 60n],
      ['yes', true],
      ['nothing', null],
      ['bytes', new Uint8Array([1, 2])],
      ['at', { type: 'timestamp', seconds: 1_700_000_000 }],
      ['list', [1, 'two']],
      ['nested', new Map([['inner', 1.5]])],
    ]);
    expect(new Map(message.headers)).toEqual(headers);
    expect(message.properties).toEqual({
      contentType: 'text/plain',
      headers,
      deliveryMode: 2,
      priority: 3,
      correlationId: 'c',
      replyTo: 'r',
      expiration: '60000',
      messageId: 'm',
      timestamp: 1_700_000_000,
      type: 't',
      appId: 'a',
    });
    message.ack();
    expect(await queue.get()).toBeUndefined();
  });

  test('without anything has no headers and no properties', async () => {
    const { client } = await startPair();
    const queue = client.queue('work');
    await queue.declare();
    await queue.publish(new Uint8Array(0));
    const message = (await queue.get({ ack: 'none' }))!;
    expect([message.body.length, message.headers.size, message.properties]).toEqual([0, 0, {}]);
    expect([message.exchange, message.routingKey]).toEqual(['', 'work']);
  });

  test('that nobody takes is confirmed, or refused as UNROUTABLE if it is mandatory', async () => {
    const { client } = await startPair();
    const exchange = await client.exchange('events').declare();
    await exchange.publish('lost');
    const outcomes = await Promise.allSettled(
      [false, true, true, false].map((mandatory) => exchange.publish('x', { mandatory })),
    );
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'fulfilled']);
    expect(await codeOf(client.queue('nowhere').publish('x'))).toBe('UNROUTABLE');
  });

  test('that the broker refuses fails alone', async () => {
    const { client } = await startPair();
    const queue = client.queue('small');
    await queue.declare({ maxLength: 2, overflow: 'reject-publish' });
    const published = ['a', 'b', 'c', 'd'].map((body) => queue.publish(body));
    const unknown = client.exchange('no such').publish('x');
    const last = client.exchange('').publish('y', { routingKey: 'elsewhere' });
    expect(await Promise.all(published.map(codeOf))).toEqual([
      'no BurrowError: undefined',
      'no BurrowError: undefined',
      'QUEUE_FULL',
      'QUEUE_FULL',
    ]);
    expect(await codeOf(unknown)).toBe('EXCHANGE_NOT_FOUND');
    await last;
    expect((await queue.browse()).map((message) => message.text())).toEqual(['a', 'b']);
  });

  test('with what AMQP has no form for is refused before it is sent', async () => {
    const { client } = await startPair();
    const exchange = client.exchange('');
    expect(await codeOf(exchange.publish('x', { routingKey: 'k'.repeat(256) }))).toBe('INVALID_NAME');
    expect(await codeOf(exchange.publish('x', { priority: 256 }))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(exchange.publish('x', { expirationMs: -1 }))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(exchange.publish(7 as never))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(exchange.publish('x', { headers: { f: (() => 1) as never } }))).toBe('INVALID_ARGUMENT');
  });

  test('of ten thousand published at once comes in order, each once', async () => {
    const { client } = await startPair();
    const queue = client.queue('work');
    await queue.declare();
    const bodies = Array.from({ length: 10_000 }, (_, index) => String(index));
    await Promise.all(bodies.map((body) => queue.publish(body)));
    const got = new Notes<string>();
    const consumer = await queue.consume((message) => got.note(message.text()));
    expect(await got.count(bodies.length)).toEqual(bodies);
    await consumer.close();
    expect(await queue.check()).toEqual({ name: 'work', messageCount: 0, consumerCount: 0 });
  });

  test('is refused with BUFFER_FULL while too many are not confirmed', async () => {
    const { client } = await startPair({}, { publishBufferBytes: 1000 });
    const queue = client.queue('work');
    await queue.declare();
    const body = new Uint8Array(600);
    const first = queue.publish(body);
    expect(await codeOf(queue.publish(body))).toBe('BUFFER_FULL');
    await first;
    await queue.publish(body);
    // One that is larger than the whole buffer may go alone.
    await queue.publish(new Uint8Array(5000));
  });
});

describe('a consumer', () => {
  async function filled(bodies: readonly string[], options = {}) {
    const pair = await startPair();
    const queue = pair.client.queue('work');
    await queue.declare(options);
    await Promise.all(bodies.map((body) => queue.publish(body)));
    return { ...pair, queue };
  }

  test('acknowledges what its handler returns, at once or later', async () => {
    const { queue } = await filled(['a', 'b', 'c', 'd']);
    const got = new Notes<string>();
    const consumer = await queue.consume(async (message) => {
      if (message.text() > 'b') await Promise.resolve();
      got.note(message.text());
    });
    await got.count(4);
    await consumer.close();
    expect(await consumer.ended).toBeUndefined();
    expect(await queue.check()).toMatchObject({ messageCount: 0, consumerCount: 0 });
  });

  test('requeues what its handler throws at, and is told', async () => {
    const { queue } = await filled(['good', 'bad', 'worse']);
    const thrown = new Notes<string>();
    const got = new Notes<string>();
    const consumer = await queue.consume(
      (message) => {
        got.note(`${message.text()} ${message.deliveryCount} ${message.redelivered}`);
        if (message.text() === 'bad' && message.deliveryCount < 2) throw new Error('not yet');
        if (message.text() === 'worse' && message.deliveryCount < 1) return Promise.reject(new Error('later'));
        return undefined;
      },
      { onError: (error, message) => thrown.note(`${(error as Error).message} ${message!.text()}`), prefetch: 1 },
    );
    await got.until((list) => list.includes('worse 1 true'));
    expect(got.list).toEqual([
      'good 0 false',
      'bad 0 false',
      'bad 1 true',
      'bad 2 true',
      'worse 0 false',
      'worse 1 true',
    ]);
    expect(thrown.list).toEqual(['not yet bad', 'not yet bad', 'later worse']);
    await consumer.close();
    expect((await queue.check()).messageCount).toBe(0);
  });

  test('rejects it instead if told so, for good', async () => {
    const { queue } = await filled(['bad', 'good']);
    const got = new Notes<string>();
    const consumer = await queue.consume(
      (message) => {
        got.note(message.text());
        if (message.text() === 'bad') throw new Error('no');
      },
      { onThrow: 'reject' },
    );
    await got.count(2);
    await consumer.close();
    expect(got.list).toEqual(['bad', 'good']);
    expect((await queue.check()).messageCount).toBe(0);
  });

  test('leaves settling to whoever wants it, in any order and each once', async () => {
    const { queue } = await filled(['0', '1', '2', '3', '4', '5']);
    const got = new Notes<QueueMessage>();
    const consumer = await queue.consume(got.note, { ack: 'manual', concurrency: 6 });
    const messages = await got.count(6);
    messages[4]!.ack();
    messages[0]!.ack();
    messages[1]!.reject();
    messages[3]!.requeue();
    messages[3]!.ack();
    expect(messages.map(({ settled }) => settled)).toEqual([true, true, false, true, true, false]);
    await consumer.flush();
    await got.count(7);
    expect([got.list[6]!.text(), got.list[6]!.deliveryCount]).toEqual(['3', 1]);
    await consumer.close();
    expect((await queue.browse()).map((message) => message.text())).toEqual(['2', '3', '5']);
  });

  test('has no more under way than its prefetch', async () => {
    const { queue } = await filled(Array.from({ length: 20 }, (_, index) => String(index)));
    const got = new Notes<QueueMessage>();
    const consumer = await queue.consume(got.note, { ack: 'manual', prefetch: 3, concurrency: 3 });
    await got.count(3);
    await consumer.flush();
    expect((await queue.check()).messageCount).toBe(17);
    expect(got.list.length).toBe(3);
    got.list[0]!.ack();
    await got.count(4);
    await consumer.flush();
    expect(got.list.map(text)).toEqual(['0', '1', '2', '3']);
  });

  test('runs as many handlers at once as it may, and no more', async () => {
    const { queue } = await filled(Array.from({ length: 50 }, (_, index) => String(index)));
    let running = 0;
    let most = 0;
    const done = new Notes<string>();
    const consumer = await queue.consume(
      async (message) => {
        running++;
        most = Math.max(most, running);
        await new Promise((resolve) => setImmediate(resolve));
        running--;
        done.note(message.text());
      },
      { concurrency: 5 },
    );
    await done.count(50);
    expect(most).toBe(5);
    await consumer.close();
    expect((await queue.check()).messageCount).toBe(0);
  });

  test('that acknowledges nothing gets as much as it has credit for, and more when it has worked it off', async () => {
    const { queue } = await filled(Array.from({ length: 30 }, (_, index) => String(index)));
    const got = new Notes<string>();
    let go: () => void = () => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    const consumer = await queue.consume(
      async (message) => {
        got.note(message.text());
        await gate;
      },
      { ack: 'none', prefetch: 4, concurrency: 2 },
    );
    await got.count(2);
    expect((await queue.check()).messageCount).toBe(26);
    go();
    await got.count(30);
    expect(got.list).toEqual(Array.from({ length: 30 }, (_, index) => String(index)));
    await consumer.close();
  });

  test('waits for its handlers when it is closed, and gives the rest back', async () => {
    const { queue } = await filled(['0', '1', '2', '3']);
    const started = new Notes<string>();
    let go: () => void = () => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    const consumer = await queue.consume(async (message) => {
      started.note(message.text());
      await gate;
    });
    await started.count(1);
    const closed = consumer.close();
    expect(consumer.close()).toBe(closed);
    go();
    await closed;
    expect(started.list).toEqual(['0']);
    expect((await queue.browse()).map((message) => message.text())).toEqual(['1', '2', '3']);
    const again = (await queue.get())!;
    // Given back because its channel was closed: that counts as a return.
    expect([again.text(), again.redelivered]).toEqual(['1', true]);
  });

  test('has settled what it was told to settle just before it is closed, also without time to wait', async () => {
    const { client } = await startPair();
    const queue = client.queue('work');
    await queue.declare();
    await Promise.all(['a', 'b'].map((body) => queue.publish(body)));
    const got = new Notes<QueueMessage>();
    const consumer = await queue.consume(got.note, { ack: 'manual', concurrency: 2 });
    await got.count(2);
    got.list[0]!.ack();
    await consumer.close({ timeoutMs: 0 });
    expect((await queue.get())?.text()).toBe('b');
    expect(await queue.get()).toBeUndefined();
  });

  test('is refused by name, and ends when its queue is deleted', async () => {
    const { queue, client, address } = await filled([]);
    expect(await codeOf(client.queue('nowhere').consume(() => {}))).toBe('QUEUE_NOT_FOUND');
    expect(await codeOf(client.queue('q', { virtualHost: 'nowhere' }).consume(() => {}))).toBe('VHOST_NOT_FOUND');
    expect(await codeOf(queue.consume(() => {}, { prefetch: 1, concurrency: 2 }))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(queue.consume(() => {}, { ack: 'maybe' as never }))).toBe('INVALID_ARGUMENT');
    const consumer = await queue.consume(() => {}, { exclusive: true });
    const other = await connectTo(address);
    expect(await codeOf(other.queue('work').consume(() => {}))).toBe('CONSUMER_EXCLUSIVE');
    await queue.delete();
    expect((await consumer.ended)?.code).toBe('QUEUE_NOT_FOUND');
  });

  test('of higher priority is served first', async () => {
    const { queue } = await filled([]);
    const low = new Notes<QueueMessage>();
    const high = new Notes<QueueMessage>();
    const settings = { ack: 'manual', prefetch: 2, concurrency: 2 } as const;
    await queue.consume(low.note, settings);
    await queue.consume(high.note, { ...settings, priority: 5 });
    await Promise.all(['a', 'b', 'c'].map((body) => queue.publish(body)));
    await high.count(2);
    await low.count(1);
    expect([high.list.map(text), low.list.map(text)]).toEqual([['a', 'b'], ['c']]);
  });
});

describe('queues and exchanges', () => {
  test('are declared, listed, bound, unbound, purged and deleted', async () => {
    const { client } = await startPair();
    const host = client.virtualHost();
    const exchange = await client.exchange('logs').declare({ type: 'fanout', durable: false });
    const inner = await client.exchange('inner').declare({ alternateExchange: 'logs' });
    const queue = client.queue('audit');
    expect(await queue.declare({ messageTtlMs: 60_000, maxPriority: 3, overflow: 'reject-publish' })).toEqual({
      name: 'audit',
      messageCount: 0,
      consumerCount: 0,
    });
    expect(await codeOf(queue.declare({ messageTtlMs: 1 }))).toBe('DECLARED_DIFFERENTLY');
    expect(await codeOf(exchange.declare({ type: 'topic' }))).toBe('DECLARED_DIFFERENTLY');
    expect(await codeOf(client.queue('other').declare({ maxLength: -1 }))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(queue.bind('nowhere'))).toBe('EXCHANGE_NOT_FOUND');
    expect(await codeOf(client.exchange('nowhere').check())).toBe('EXCHANGE_NOT_FOUND');
    await inner.check();
    await inner.bind(exchange);
    await queue.bind(inner, 'k', { 'x-tag': 1 });
    await queue.bind(exchange);
    expect((await host.listExchanges()).find(({ name }) => name === 'inner')).toEqual({
      name: 'inner',
      type: 'direct',
      durable: true,
      autoDelete: false,
      internal: false,
      arguments: new Map([['alternate-exchange', 'logs']]),
    });
    expect((await host.listQueues()).map(({ storedBytes: _, ...rest }) => rest)).toEqual([
      {
        name: 'audit',
        durable: true,
        exclusive: false,
        autoDelete: false,
        arguments: new Map<string, unknown>([
          ['x-message-ttl', 60_000],
          ['x-overflow', 'reject-publish'],
          ['x-max-priority', 3],
        ]),
        policy: undefined,
        messageCount: 0,
        unsettledCount: 0,
        consumerCount: 0,
        failure: undefined,
      },
    ]);
    const keys = (await host.listBindings()).filter(({ source }) => source !== '');
    expect(
      keys.map((each) => `${each.source}>${each.destinationKind}:${each.destination} ${each.bindingKey}`).sort(),
    ).toEqual(['inner>queue:audit k', 'logs>exchange:inner ', 'logs>queue:audit ']);
    await queue.unbind(inner, 'k', { 'x-tag': 1 });
    await inner.unbind(exchange);
    expect((await host.listBindings()).filter(({ source }) => source !== '')).toHaveLength(1);
    await exchange.publish('x');
    expect(await codeOf(queue.delete({ ifEmpty: true }))).toBe('NOT_EMPTY');
    expect(await codeOf(exchange.delete({ ifUnused: true }))).toBe('IN_USE');
    expect(await queue.purge()).toBe(1);
    await exchange.publish('y');
    expect(await queue.delete()).toBe(1);
    expect(await queue.delete()).toBe(0);
    await exchange.delete();
    expect(await codeOf(client.exchange('').delete())).toBe('ACCESS_REFUSED');
  });

  test('of one virtual host are not those of another', async () => {
    const { client } = await startPair();
    const host = client.virtualHost('shop');
    expect(await codeOf(host.queue('q').declare())).toBe('VHOST_NOT_FOUND');
    await host.create();
    expect(await client.listVirtualHosts()).toEqual(['/', 'shop']);
    await host.queue('q').declare();
    expect(await codeOf(client.queue('q').check())).toBe('QUEUE_NOT_FOUND');
    await client.queue('q', { virtualHost: 'shop' }).publish('x');
    const consumer = await host.queue('q').consume(() => {});
    await host.delete();
    expect((await consumer.ended)?.code).toBe('VHOST_NOT_FOUND');
    expect(await client.listVirtualHosts()).toEqual(['/']);
  });

  test('that are exclusive go with the connection, and are locked for others', async () => {
    const { client, address } = await startPair();
    const queue = client.queue();
    const { name } = await queue.declare({ exclusive: true });
    expect(name).toMatch(/^amq\.gen-/);
    expect(queue.name).toBe(name);
    const other = await connectTo(address);
    expect(await codeOf(other.queue(name).check())).toBe('RESOURCE_LOCKED');
    await client.close();
    expect(await codeOf(other.queue(name).check())).toMatch(/QUEUE_NOT_FOUND|RESOURCE_LOCKED/);
  });

  test('are looked into without taking anything, as far as asked', async () => {
    const { client } = await startPair();
    const queue = client.queue('work');
    await queue.declare();
    // More than one answer holds.
    const bodies = Array.from({ length: 40 }, (_, index) => String(index).padStart(60_000, '0'));
    await Promise.all(bodies.map((body) => queue.publish(body)));
    const taken = await queue.get();
    const numbers = async (options?: object) => (await queue.browse(options)).map((message) => Number(message.text()));
    expect(await numbers()).toEqual(bodies.map(Number));
    expect(await numbers({ skip: 35, limit: 3 })).toEqual([35, 36, 37]);
    expect(await numbers({ skip: 40 })).toEqual([]);
    expect(await codeOf(queue.browse({ limit: 0 }))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(client.queue('nowhere').browse())).toBe('QUEUE_NOT_FOUND');
    taken?.requeue();
    await client.virtualHost().flush();
    expect((await queue.check()).messageCount).toBe(40);
  });
});

describe('a question', () => {
  test('is answered by whoever consumes the queue, each to its own', async () => {
    const { client, address } = await startPair();
    const service = await connectTo(address);
    const queue = service.queue('double');
    await queue.declare();
    await queue.consume((message) => message.reply(String(Number(message.text()) * 2), { type: 'answer' }));
    const questions = Array.from({ length: 100 }, (_, index) => index);
    const answers = await Promise.all(
      questions.map(async (number) => {
        const answer = await client.request(client.queue('double'), String(number));
        expect(answer.properties.type).toBe('answer');
        return Number(answer.text());
      }),
    );
    expect(answers).toEqual(questions.map((number) => number * 2));
  });

  test('through an exchange reaches what is bound there', async () => {
    const { client } = await startPair();
    const exchange = await client.exchange('rpc').declare();
    const queue = client.queue('worker');
    await queue.declare();
    await queue.bind(exchange, 'ping');
    await queue.consume((message) => message.reply('pong'));
    expect((await client.request(exchange, 'x', { routingKey: 'ping' })).text()).toBe('pong');
    expect(await codeOf(client.request(exchange, 'x', { routingKey: 'other' }))).toBe('UNROUTABLE');
  });

  test('that nobody answers times out, and expires in its queue', async () => {
    const { client } = await startPair();
    const queue = client.queue('silent');
    await queue.declare();
    expect(await codeOf(client.request(queue, 'x', { timeoutMs: 20 }))).toBe('REQUEST_TIMED_OUT');
    expect(await codeOf((await queue.get())?.reply('late') ?? Promise.resolve())).toMatch(/UNROUTABLE|undefined/);
    await queue.publish('no question');
    const message = await queue.get();
    expect(await codeOf(message!.reply('x'))).toBe('INVALID_ARGUMENT');
  });
});
