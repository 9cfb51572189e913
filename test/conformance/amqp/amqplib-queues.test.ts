/** amqplib, unmodified, against a real broker: what its users rely on, one row of RabbitMQ's documentation after the other. */
import amqp, { type Channel, type ChannelModel, type ConsumeMessage, type GetMessage } from 'amqplib';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { type Broker, startBroker } from '../../../broker/index.ts';

async function start(): Promise<Broker> {
  const broker = await startBroker({ storage: 'memory', amqpPort: 0 });
  onTestFinished(() => broker.close());
  return broker;
}

async function connect(broker: Broker, options = ''): Promise<ChannelModel> {
  const connection = await amqp.connect(`amqp://guest:guest@127.0.0.1:${broker.ports.amqp}/${options}`);
  connection.on('error', () => {});
  onTestFinished(() => connection.close().catch(() => {}));
  return connection;
}

interface Bed {
  readonly broker: Broker;
  readonly connection: ChannelModel;
  readonly channel: Channel;
  readonly messages: ConsumeMessage[];
  /** Consumes into `messages`. */
  consume(queue: string, options?: amqp.Options.Consume): Promise<string>;
  /** Waits for so many messages, and gives their bodies. */
  bodies(count: number): Promise<string[]>;
}

async function open(): Promise<Bed> {
  const broker = await start();
  const connection = await connect(broker);
  const channel = await connection.createChannel();
  channel.on('error', () => {});
  const messages: ConsumeMessage[] = [];
  return {
    broker,
    connection,
    channel,
    messages,
    consume: async (queue, options) =>
      (await channel.consume(queue, (message) => message !== null && void messages.push(message), options)).consumerTag,
    bodies: async (count) => {
      await vi.waitFor(() => expect(messages.length).toBeGreaterThanOrEqual(count));
      return messages.map(bodyOf);
    },
  };
}

function bodyOf(message: ConsumeMessage | GetMessage): string {
  return message.content.toString();
}

/** The error with which the channel was closed by something that the callback does. */
async function channelError(
  connection: ChannelModel,
  cause: (channel: Channel) => unknown,
): Promise<Error & { code: number }> {
  const channel = await connection.createChannel();
  return new Promise((resolve, reject) => {
    channel.on('error', resolve);
    Promise.resolve(cause(channel)).catch(() => {});
    channel.on('close', () => setTimeout(() => reject(new Error('closed without an error')), 100));
  });
}

describe('amqplib', () => {
  test('declares, publishes with confirms, consumes and acknowledges', async () => {
    const { connection, channel, consume, bodies, messages } = await open();
    expect(await channel.assertQueue('q')).toEqual({ queue: 'q', messageCount: 0, consumerCount: 0 });
    const publisher = await connection.createConfirmChannel();
    for (let index = 0; index < 100; index++) {
      publisher.sendToQueue('q', Buffer.from(String(index)), { persistent: true, messageId: `m${index}` });
    }
    await publisher.waitForConfirms();
    expect((await channel.checkQueue('q')).messageCount).toBe(100);
    await channel.prefetch(10);
    await consume('q');
    expect(await bodies(10)).toEqual(Array.from({ length: 10 }, (_, index) => String(index)));
    expect(messages[3]!.properties).toMatchObject({ messageId: 'm3', deliveryMode: 2 });
    expect(messages[3]!.fields).toMatchObject({ exchange: '', routingKey: 'q', redelivered: false, deliveryTag: 4 });
    channel.ack(messages[9]!, true);
    expect(await bodies(20)).toHaveLength(20);
  });

  test('keeps all properties and headers as they were', async () => {
    const { channel } = await open();
    await channel.assertQueue('q');
    const headers = {
      text: 'ä',
      number: 5,
      long: 2 ** 40,
      fraction: 1.5,
      flag: true,
      nothing: null,
      list: [1, 'two', { three: 3 }],
      table: { inner: { deep: 'x' } },
      bytes: Buffer.from([1, 2]),
      time: { '!': 'timestamp', value: 1_700_000_000 },
    };
    const options = {
      contentType: 'text/plain',
      contentEncoding: 'utf8',
      headers,
      deliveryMode: 2,
      priority: 3,
      correlationId: 'c',
      replyTo: 'r',
      expiration: '60000',
      messageId: 'm',
      timestamp: 1_700_000_000,
      type: 't',
      userId: 'guest',
      appId: 'a',
    };
    channel.sendToQueue('q', Buffer.from('body'), options);
    const got = (await channel.get('q')) as GetMessage;
    expect(got.properties).toMatchObject({ ...options, headers: { ...headers, time: expect.anything() } });
  });

  test('gets single messages', async () => {
    const { channel } = await open();
    await channel.assertQueue('q');
    expect(await channel.get('q')).toBe(false);
    for (const body of ['a', 'b']) channel.sendToQueue('q', Buffer.from(body));
    const got = (await channel.get('q')) as GetMessage;
    expect([bodyOf(got), got.fields.messageCount]).toEqual(['a', 1]);
    channel.nack(got);
    const again = (await channel.get('q', { noAck: true })) as GetMessage;
    expect([bodyOf(again), again.fields.redelivered]).toEqual(['a', true]);
  });

  test('sends large messages in frames', async () => {
    const { channel, consume, bodies, messages } = await open();
    await channel.assertQueue('q');
    const body = Buffer.alloc(3_000_000, 'large');
    channel.sendToQueue('q', body);
    channel.sendToQueue('q', Buffer.alloc(0));
    await consume('q');
    await bodies(2);
    expect(messages[0]!.content.equals(body)).toBe(true);
    expect(messages[1]!.content).toHaveLength(0);
  });

  test('has what no queue takes returned, and confirmed all the same', async () => {
    const { connection } = await open();
    const channel = await connection.createConfirmChannel();
    const returned: string[] = [];
    channel.on('return', (message: ConsumeMessage) => returned.push(`${bodyOf(message)} ${message.fields.routingKey}`));
    channel.publish('', 'nobody', Buffer.from('a'), { mandatory: true });
    channel.publish('', 'nobody', Buffer.from('b'));
    await channel.waitForConfirms();
    expect(returned).toEqual(['a nobody']);
  });

  test('routes by direct, topic, fanout and headers exchanges, and from one to another', async () => {
    const { channel, consume, bodies } = await open();
    await channel.assertQueue('q');
    await channel.assertExchange('topics', 'topic');
    await channel.assertExchange('all', 'fanout', { durable: false });
    await channel.bindExchange('all', 'topics', 'a.#');
    await channel.bindQueue('q', 'all', '');
    await channel.bindQueue('q', 'amq.direct', 'key');
    await channel.bindQueue('q', 'amq.headers', '', { 'x-match': 'any', color: 'red', size: 5 });
    channel.publish('topics', 'a.b.c', Buffer.from('topic'));
    channel.publish('topics', 'b', Buffer.from('not'));
    channel.publish('amq.direct', 'key', Buffer.from('direct'));
    channel.publish('amq.headers', '', Buffer.from('headers'), { headers: { color: 'blue', size: 5 } });
    await consume('q', { noAck: true });
    expect(await bodies(3)).toEqual(['topic', 'direct', 'headers']);
    await channel.unbindQueue('q', 'amq.direct', 'key');
    await channel.unbindExchange('all', 'topics', 'a.#');
    channel.publish('amq.direct', 'key', Buffer.from('not'));
    channel.publish('all', '', Buffer.from('last'));
    expect(await bodies(4)).toContain('last');
  });

  test('requeues, rejects and recovers', async () => {
    const { channel, consume, bodies, messages } = await open();
    await channel.assertQueue('q', { deadLetterExchange: '', deadLetterRoutingKey: 'dead' });
    await channel.assertQueue('dead');
    for (const body of ['a', 'b']) channel.sendToQueue('q', Buffer.from(body));
    await consume('q');
    await bodies(2);
    channel.nack(messages[0]!, false, true);
    await bodies(3);
    expect(messages[2]!.fields.redelivered).toBe(true);
    await channel.recover();
    expect(await bodies(5)).toEqual(['a', 'b', 'a', 'a', 'b']);
    channel.reject(messages[3]!, false);
    channel.ack(messages[4]!);
    await vi.waitFor(async () => expect((await channel.checkQueue('dead')).messageCount).toBe(1));
    const dead = (await channel.get('dead')) as GetMessage;
    expect(dead.properties.headers).toMatchObject({
      'x-death': [{ queue: 'q', reason: 'rejected', count: 1, exchange: '', 'routing-keys': ['q'] }],
      'x-first-death-queue': 'q',
      'x-first-death-reason': 'rejected',
      'x-first-death-exchange': '',
    });
  });

  test('expires messages into a dead-letter queue', async () => {
    const { channel } = await open();
    await channel.assertQueue('q', { messageTtl: 20, deadLetterExchange: 'amq.fanout' });
    await channel.assertQueue('dead');
    await channel.bindQueue('dead', 'amq.fanout', '');
    channel.sendToQueue('q', Buffer.from('a'), { expiration: '5' });
    channel.sendToQueue('q', Buffer.from('b'));
    await vi.waitFor(async () => expect((await channel.checkQueue('dead')).messageCount).toBe(2));
    const first = (await channel.get('dead', { noAck: true })) as GetMessage;
    expect(first.properties.headers!['x-death']).toMatchObject([{ reason: 'expired', 'original-expiration': '5' }]);
    expect(first.properties.expiration).toBeUndefined();
  });

  test('delivers higher priorities first', async () => {
    const { channel, consume, bodies } = await open();
    await channel.assertQueue('q', { maxPriority: 10 });
    for (const priority of [1, 5, 3]) channel.sendToQueue('q', Buffer.from(String(priority)), { priority });
    await channel.checkQueue('q');
    await vi.waitFor(async () => expect((await channel.checkQueue('q')).messageCount).toBe(3));
    await consume('q', { noAck: true });
    expect(await bodies(3)).toEqual(['5', '3', '1']);
  });

  test('is nacked by a queue that is full', async () => {
    const { connection } = await open();
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue('q', { maxLength: 1, arguments: { 'x-overflow': 'reject-publish' } });
    await new Promise<void>((resolve, reject) => {
      channel.sendToQueue('q', Buffer.from('a'), {}, (error) => (error ? reject(error) : resolve()));
    });
    const refused = await new Promise((resolve) => channel.sendToQueue('q', Buffer.from('b'), {}, resolve));
    expect(String(refused)).toMatch(/nacked/);
  });

  test('shares work between consumers, by priority or all to one', async () => {
    const { channel, connection } = await open();
    await channel.assertQueue('q');
    const counts = [0, 0];
    for (const index of [0, 1]) await channel.consume('q', () => void counts[index]!++, { noAck: true });
    for (let index = 0; index < 10; index++) channel.sendToQueue('q', Buffer.from('x'));
    await vi.waitFor(() => expect(counts).toEqual([5, 5]));
    const other = await connection.createChannel();
    await other.assertQueue('one', { arguments: { 'x-single-active-consumer': true } });
    const single = [0, 0];
    for (const index of [0, 1]) await other.consume('one', () => void single[index]!++, { noAck: true });
    for (let index = 0; index < 10; index++) other.sendToQueue('one', Buffer.from('x'));
    await vi.waitFor(() => expect(single).toEqual([10, 0]));
  });

  test('is told when its consumer ends with the queue', async () => {
    const { channel } = await open();
    await channel.assertQueue('q');
    let ended = false;
    await channel.consume('q', (message) => {
      ended ||= message === null;
    });
    await channel.deleteQueue('q');
    await vi.waitFor(() => expect(ended).toBe(true));
  });

  test('has exclusive and auto-delete queues that go by themselves', async () => {
    const { broker, channel, connection } = await open();
    const mine = await connect(broker);
    const own = await mine.createChannel();
    const { queue } = await own.assertQueue('', { exclusive: true });
    expect(queue).toMatch(/^amq\.gen-/);
    expect((await channelError(connection, (other) => other.checkQueue(queue))).code).toBe(405);
    await mine.close();
    await vi.waitFor(async () => {
      expect((await channelError(connection, (other) => other.checkQueue(queue))).code).toBe(404);
    });
    await channel.assertQueue('auto', { autoDelete: true });
    const { consumerTag } = await channel.consume('auto', () => {});
    await channel.cancel(consumerTag);
    await vi.waitFor(async () => {
      expect((await channelError(connection, (other) => other.checkQueue('auto'))).code).toBe(404);
    });
  });

  test('answers requests by direct reply-to', async () => {
    const { channel, connection } = await open();
    const server = await connection.createChannel();
    await server.assertQueue('rpc');
    await server.consume('rpc', (message) => {
      const { replyTo, correlationId } = message!.properties;
      expect(replyTo).toMatch(/^amq\.rabbitmq\.reply-to\./);
      server.sendToQueue(replyTo, Buffer.from(`${bodyOf(message!)}!`), { correlationId });
      server.ack(message!);
    });
    const reply = new Promise<ConsumeMessage>((resolve) => {
      void channel.consume('amq.rabbitmq.reply-to', (message) => resolve(message!), { noAck: true });
    });
    channel.sendToQueue('rpc', Buffer.from('hello'), { replyTo: 'amq.rabbitmq.reply-to', correlationId: '7' });
    const answer = await reply;
    expect([bodyOf(answer), answer.properties.correlationId]).toEqual(['hello!', '7']);
  });

  test.each([
    [
      'an unknown queue',
      (channel: Channel) => channel.checkQueue('none'),
      404,
      /NOT_FOUND - no queue 'none' in vhost '\/'/,
    ],
    [
      'an unknown exchange',
      (channel: Channel) => channel.publish('none', '', Buffer.from('x')),
      404,
      /no exchange 'none'/,
    ],
    [
      'other arguments than it has',
      async (channel: Channel) => {
        await channel.assertQueue('q', { maxLength: 1 });
        await channel.assertQueue('q', { maxLength: 2 });
      },
      406,
      /PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '\/'/,
    ],
    [
      'an unknown delivery tag',
      (channel: Channel) => channel.ack({ fields: { deliveryTag: 9 } } as never),
      406,
      /unknown delivery tag 9/,
    ],
    ['a reserved name', (channel: Channel) => channel.assertQueue('amq.mine'), 403, /ACCESS_REFUSED/],
    [
      'an expiration that is no number',
      (channel: Channel) => channel.publish('', 'q', Buffer.from('x'), { expiration: 'soon' }),
      406,
      /invalid expiration/,
    ],
    [
      'an unknown priority',
      (channel: Channel) => channel.assertQueue('p', { maxPriority: 1000 }),
      406,
      /x-max-priority/,
    ],
  ])('has its channel closed, and nothing else, for %s', async (_, cause, code, text) => {
    const { connection, channel } = await open();
    const error = await channelError(connection, cause);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(text);
    expect(await channel.assertQueue('still')).toMatchObject({ queue: 'still' });
  });

  test('has its connection closed for an unknown exchange type', async () => {
    const broker = await start();
    const connection = await connect(broker);
    const closed = new Promise<{ code?: number }>((resolve) => connection.on('error', resolve));
    const channel = await connection.createChannel();
    channel.on('error', () => {});
    channel.assertExchange('x', 'nonsense').catch(() => {});
    expect((await closed).code).toBe(503);
  });

  test('deletes if unused or empty, and purges', async () => {
    const { channel, connection } = await open();
    await channel.assertQueue('q');
    for (const body of ['a', 'b']) channel.sendToQueue('q', Buffer.from(body));
    expect((await channelError(connection, (other) => other.deleteQueue('q', { ifEmpty: true }))).code).toBe(406);
    expect(await channel.purgeQueue('q')).toEqual({ messageCount: 2 });
    expect(await channel.deleteQueue('q', { ifEmpty: true, ifUnused: true })).toEqual({ messageCount: 0 });
    await channel.assertExchange('e', 'direct');
    await channel.assertQueue('q');
    await channel.bindQueue('q', 'e', '');
    expect((await channelError(connection, (other) => other.deleteExchange('e', { ifUnused: true }))).code).toBe(406);
    await channel.deleteExchange('e');
    await channel.deleteExchange('none');
  });

  test('recovers nothing it settled, and all it did not, when its connection goes', async () => {
    const { broker, channel, consume, bodies } = await open();
    const other = await connect(broker);
    const gone = await other.createChannel();
    await gone.assertQueue('q');
    for (const body of ['a', 'b', 'c']) gone.sendToQueue('q', Buffer.from(body));
    const got: ConsumeMessage[] = [];
    await gone.consume('q', (message) => void got.push(message!));
    await vi.waitFor(() => expect(got).toHaveLength(3));
    gone.ack(got[1]!);
    await gone.checkQueue('q');
    await other.close();
    await consume('q', { noAck: true });
    expect(await bodies(2)).toEqual(['a', 'c']);
    expect((await channel.checkQueue('q')).messageCount).toBe(0);
  });
});
