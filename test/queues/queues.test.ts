import { describe, expect, test } from 'vitest';
import type { FieldValue } from '../../src/messages/field-value.ts';
import { encodeProperties, NO_PROPERTIES } from '../../src/messages/message-properties.ts';
import { properties } from '../support/content-properties.ts';
import { createTopic, readValues, settle } from '../support/node-environment.ts';
import { QueueClient, restartQueueNode, startQueueNode } from '../support/queue-node.ts';

const QUEUE = { durable: true, exclusive: false, autoDelete: false, arguments: new Map() };
const TOPIC_EXCHANGE = {
  name: 'events',
  kind: 'topic',
  durable: true,
  autoDelete: false,
  internal: false,
  arguments: new Map(),
};
const NEVER = { ifUnused: false, ifEmpty: false };

function binding(source: string, destination: string, bindingKey: string) {
  return { source, destinationKind: 'queue' as const, destination, bindingKey, arguments: new Map() };
}

describe('queues', () => {
  test('take messages by the default exchange and hand them to consumers', async () => {
    const client = new QueueClient(await startQueueNode());
    expect(await client.declare()).toEqual({ name: 'q', messageCount: 0, consumerCount: 0 });
    expect(await client.publish('a')).toBe(true);
    client.consume();
    expect(client.received).toMatchObject([{ body: 'a', tag: 1, returns: 0, routingKey: 'q', exchange: '' }]);
    expect(await client.declare()).toMatchObject({ messageCount: 0, consumerCount: 1 });
  });

  test.each(['stop', 'crash'] as const)('survive a %s with their bindings, messages and settlements', async (how) => {
    const before = await startQueueNode();
    const client = new QueueClient(before);
    await client.declare();
    await client.session.declareExchange(TOPIC_EXCHANGE);
    await client.session.bind(binding('events', 'q', 'orders.*'));
    for (const body of ['a', 'b', 'c', 'd']) {
      expect(await client.publish(body, { exchange: 'events', routingKey: 'orders.new' })).toBe(true);
    }
    client.consume();
    client.channel.acknowledge(1, false);
    client.channel.acknowledge(3, false);
    await client.channel.settlementsSynced();
    const after = await restartQueueNode(before, how);
    const next = new QueueClient(after);
    expect(next.session.checkQueue('q')).toMatchObject({ messageCount: 2 });
    next.consume();
    await settle();
    expect(next.bodies()).toEqual(['b', 'd']);
    await next.publish('e', { exchange: 'events', routingKey: 'orders.old' });
    expect(next.bodies()).toEqual(['e']);
  });

  test('that are transient are gone after a restart', async () => {
    const before = await startQueueNode();
    const client = new QueueClient(before);
    await client.declare({ durable: false });
    await client.publish('a');
    const next = new QueueClient(await restartQueueNode(before, 'stop'));
    expect(() => next.session.checkQueue('q')).toThrow(/no queue 'q' in vhost '\/'/);
    expect(next.session.listBindings()).toEqual([]);
  });

  test('leave nothing behind when they are deleted', async () => {
    const node = await startQueueNode();
    const client = new QueueClient(node);
    await client.declare();
    await client.publish('a');
    const internal = () => node.topics.names().filter((name) => name.startsWith('__queue.'));
    expect(internal()).toHaveLength(1);
    client.consume();
    await expect(client.session.deleteQueue('q', { ifUnused: true, ifEmpty: false })).rejects.toMatchObject({
      code: 'IN_USE',
    });
    client.channel.cancel('c');
    client.channel.recover();
    await expect(client.session.deleteQueue('q', { ifUnused: true, ifEmpty: true })).rejects.toMatchObject({
      code: 'NOT_EMPTY',
    });
    expect(await client.session.deleteQueue('q', NEVER)).toBe(1);
    expect(await client.session.deleteQueue('q', NEVER)).toBe(0);
    expect(internal()).toEqual([]);
    await client.declare();
    expect(client.session.checkQueue('q').messageCount).toBe(0);
  });

  test('go by themselves: auto-delete with the last consumer, exclusive with the session, unused after a time', async () => {
    const node = await startQueueNode();
    const [one, two] = [new QueueClient(node), new QueueClient(node)];
    const names = () => two.session.listQueues().map(({ name }) => name);
    await one.declare({ name: 'auto', autoDelete: true });
    one.consume('auto');
    one.channel.cancel('c');
    await settle();
    expect(names()).toEqual([]);

    const { name } = await one.declare({ name: '', exclusive: true });
    expect(name).toMatch(/^amq\.gen-[\w-]{22}$/);
    expect(() => two.session.checkQueue(name)).toThrow(/cannot obtain exclusive access/);
    await expect(two.declare({ name, exclusive: true })).rejects.toMatchObject({ code: 'RESOURCE_LOCKED' });
    await expect(two.session.bind(binding('amq.fanout', name, ''))).rejects.toMatchObject({ code: 'RESOURCE_LOCKED' });
    await one.session.close();
    expect(names()).toEqual([]);

    await two.declare({ name: 'idle', arguments: new Map([['x-expires', 1000]]) });
    node.clock.advance(900);
    two.session.checkQueue('idle');
    node.clock.advance(900);
    await settle();
    expect(names()).toEqual(['idle']);
    node.clock.advance(200);
    await settle();
    expect(names()).toEqual([]);
  });

  test('refuse to be declared otherwise than they are', async () => {
    const client = new QueueClient(await startQueueNode());
    await client.declare({ arguments: new Map([['x-max-length', 5]]) });
    await client.declare({ arguments: new Map([['x-max-length', 5]]) });
    await expect(client.declare()).rejects.toMatchObject({ code: 'DECLARED_DIFFERENTLY' });
    await expect(client.declare({ name: 'amq.mine' })).rejects.toMatchObject({ code: 'ACCESS_REFUSED' });
    await expect(client.declare({ name: 'bad', arguments: new Map([['x-max-priority', 100_000]]) })).rejects.toThrow(
      /x-max-priority/,
    );
    await expect(client.declare({ name: 'bad', arguments: new Map([['x-message-ttl', -1]]) })).rejects.toThrow(
      /x-message-ttl/,
    );
  });

  test('are as many as there may be', async () => {
    const client = new QueueClient(await startQueueNode({ settings: { queuesMax: 1 } }));
    await client.declare();
    await expect(client.declare({ name: 'more' })).rejects.toMatchObject({ code: 'QUEUE_LIMIT' });
  });
});

describe('publishing', () => {
  test('confirms when all queues have the message, and returns what no queue takes', async () => {
    const node = await startQueueNode();
    const client = new QueueClient(node);
    for (const name of ['one', 'two']) {
      await client.declare({ ...QUEUE, name });
      await client.session.bind(binding('amq.fanout', name, ''));
    }
    expect(await client.publish('a', { exchange: 'amq.fanout' })).toBe(true);
    expect(client.session.listQueues().map(({ messageCount }) => messageCount)).toEqual([1, 1]);
    expect(await client.publish('lost', { routingKey: 'nobody', mandatory: true })).toBe(true);
    expect(client.returned).toEqual(['lost']);
    expect(() =>
      client.channel.publish(
        { exchange: 'none', routingKey: '', properties: new Uint8Array(0), body: [] },
        { mandatory: false },
      ),
    ).toThrow(/no exchange 'none' in vhost '\/'/);
  });

  test('is refused by a queue that is full and says so', async () => {
    const client = new QueueClient(await startQueueNode());
    await client.declare({
      arguments: new Map<string, number | string>([
        ['x-max-length', 1],
        ['x-overflow', 'reject-publish'],
      ]),
    });
    expect(await client.publish('a')).toBe(true);
    expect(await client.publish('b')).toBe(false);
    expect(client.refused.get(2)).toMatchObject({ code: 'QUEUE_FULL' });
  });

  test('refuses messages that are too large', async () => {
    const client = new QueueClient(await startQueueNode({ settings: { queueMessageBytesMax: 1024 } }));
    await client.declare();
    await expect(client.publish('x'.repeat(1025))).rejects.toMatchObject({ code: 'RECORD_TOO_LARGE' });
    expect(await client.publish('x'.repeat(1024))).toBe(true);
  });

  test('waits while queues in memory are larger than they may be', async () => {
    const client = new QueueClient(await startQueueNode({ settings: { queueMemoryBytesMax: 1024 * 1024 } }));
    await client.declare({ durable: false });
    expect(client.channel.isCongested).toBe(false);
    await client.publish('x'.repeat(1024 * 1024));
    expect(client.channel.isCongested).toBe(true);
    const free = client.channel.uncongested();
    await client.get('q', true);
    await free;
    expect(client.channel.isCongested).toBe(false);
  });

  test('routes by headers and properties', async () => {
    const client = new QueueClient(await startQueueNode());
    await client.declare();
    await client.session.bind({
      ...binding('amq.headers', 'q', ''),
      arguments: new Map([
        ['x-match', 'all'],
        ['kind', 'order'],
      ]),
    });
    for (const kind of ['order', 'other'])
      await client.publish(kind, { exchange: 'amq.headers', properties: properties({ headers: { kind } }) });
    client.consume();
    expect(client.bodies()).toEqual(['order']);
  });
});

describe('consuming', () => {
  test('ends with the queue, and is refused where there is none or another has it alone', async () => {
    const node = await startQueueNode();
    const [one, two] = [new QueueClient(node), new QueueClient(node)];
    await one.declare();
    one.consume('q', { exclusive: true });
    expect(() => two.consume()).toThrow("queue 'q' in exclusive use");
    expect(() => one.consume('none', { tag: 'd' })).toThrow(/no queue 'none'/);
    expect(() => one.consume()).toThrow("attempt to reuse consumer tag 'c'");
    await one.session.deleteQueue('q', NEVER);
    expect(one.cancelled).toEqual(['c']);
  });

  test('gives back what a session has not settled', async () => {
    const node = await startQueueNode();
    const [one, two] = [new QueueClient(node), new QueueClient(node)];
    await one.declare();
    one.consume();
    for (const body of ['a', 'b']) await one.publish(body);
    await one.session.close();
    two.consume();
    expect(two.received).toMatchObject([
      { body: 'a', returns: 1 },
      { body: 'b', returns: 1 },
    ]);
  });

  test('ends the channel when a delivery stays unsettled too long', async () => {
    const node = await startQueueNode();
    const client = new QueueClient(node);
    await client.declare({ arguments: new Map([['x-consumer-timeout', 10_000]]) });
    client.consume();
    await client.publish('a');
    node.clock.advance(9_000);
    expect(client.closedBy).toBeUndefined();
    for (let second = 0; second < 3; second++) node.clock.advance(1_000);
    expect(client.closedBy).toMatchObject({ code: 'DELIVERY_TIMED_OUT' });
    expect(client.session.checkQueue('q')).toMatchObject({ messageCount: 1, consumerCount: 0 });
  });

  test('shows messages without taking them', async () => {
    const client = new QueueClient(await startQueueNode());
    await client.declare();
    for (const body of ['a', 'b', 'c', 'd']) await client.publish(body);
    await client.get('q', true);
    const seen: string[] = [];
    expect(
      await client.session.browseQueue('q', { limit: 2, skip: 1 }, (view) => seen.push(view.body.toString())),
    ).toBe(2);
    expect(seen).toEqual(['c', 'd']);
    expect(client.session.checkQueue('q').messageCount).toBe(3);
  });
});

describe('messages that go elsewhere', () => {
  const dlx = new Map([['x-dead-letter-exchange', 'amq.fanout']]);

  test('are dead-lettered with the reason, and stay until that is stored', async () => {
    const client = new QueueClient(await startQueueNode());
    await client.declare({ arguments: dlx });
    await client.declare({ name: 'dead' });
    await client.session.bind(binding('amq.fanout', 'dead', ''));
    await client.publish('a');
    client.consume();
    client.channel.reject(1, { multiple: false, requeue: false });
    await settle();
    client.consume('dead', { tag: 'd' });
    await settle();
    expect(client.received.at(-1)).toMatchObject({ body: 'a', consumer: 'd', exchange: 'amq.fanout', routingKey: 'q' });
    expect(
      client.session.listQueues().map(({ messageCount, unsettledCount }) => [messageCount, unsettledCount]),
    ).toEqual([
      [0, 0],
      [0, 1],
    ]);
  });

  test('are dropped where nothing is bound for dead letters', async () => {
    const client = new QueueClient(await startQueueNode());
    await client.declare({ arguments: dlx });
    await client.publish('a');
    client.consume();
    client.channel.reject(1, { multiple: false, requeue: false });
    await settle();
    expect(client.session.listQueues()).toMatchObject([{ messageCount: 0, unsettledCount: 0 }]);
  });

  test('are refused by a full queue and dead-lettered (reject-publish-dlx)', async () => {
    const client = new QueueClient(await startQueueNode());
    await client.declare({
      arguments: new Map<string, string | number>([...dlx, ['x-max-length', 1], ['x-overflow', 'reject-publish-dlx']]),
    });
    await client.declare({ name: 'dead' });
    await client.session.bind(binding('amq.fanout', 'dead', ''));
    expect([await client.publish('a'), await client.publish('b')]).toEqual([true, false]);
    await settle();
    expect(await client.get('dead', true)).toMatchObject({ body: 'b' });
  });

  test.each(['stop', 'crash'] as const)('wait for an exchange that delays, over a %s', async (how) => {
    const node = await startQueueNode();
    const client = new QueueClient(node);
    await client.declare();
    const table = new Map([['x-delayed-type', 'direct']]);
    await client.session.declareExchange({
      ...TOPIC_EXCHANGE,
      name: 'later',
      kind: 'x-delayed-message',
      arguments: table,
    });
    await client.session.bind(binding('later', 'q', 'k'));
    const delayed = {
      exchange: 'later',
      routingKey: 'k',
      properties: encodeProperties({ headers: new Map([['x-delay', 5000]]) }),
    };
    expect(await client.publish('a', delayed)).toBe(true);
    expect(await client.publish('b', { exchange: 'later', routingKey: 'k' })).toBe(true);
    node.clock.advance(3000);
    const after = await restartQueueNode(node, how);
    const next = new QueueClient(after);
    next.consume();
    await settle();
    expect(next.bodies()).toEqual(['b']);
    node.clock.advance(1900);
    await settle();
    expect(next.bodies()).toEqual([]);
    node.clock.advance(200);
    await settle();
    await settle();
    expect(next.bodies()).toEqual(['a']);
    await next.session.deleteExchange('later', { ifUnused: false });
    await settle();
    expect(after.topics.names().filter((name) => name.startsWith('__queue.'))).toHaveLength(1);
  });

  test('whose delay ends while the broker is away arrive at its start', async () => {
    const node = await startQueueNode();
    const client = new QueueClient(node);
    for (const name of ['a', 'b', 'c', 'd', 'e', 'q']) {
      await client.declare({ name });
      await client.publish('before', { routingKey: name });
    }
    const table = new Map([['x-delayed-type', 'direct']]);
    await client.session.declareExchange({
      ...TOPIC_EXCHANGE,
      name: 'later',
      kind: 'x-delayed-message',
      arguments: table,
    });
    await client.session.bind(binding('later', 'q', 'k'));
    const properties = encodeProperties({ headers: new Map([['x-delay', 5000]]) });
    expect(await client.publish('a', { exchange: 'later', routingKey: 'k', properties })).toBe(true);
    await node.stop();
    node.clock.advance(10_000);
    const next = new QueueClient(await restartQueueNode(node, 'stop'));
    next.consume();
    await settle();
    await settle();
    expect(next.bodies()).toEqual(['before', 'a']);
  });

  test.each(['queue', 'message'])(
    'whose time to live ends after a restart are dead letters, by the time of the %s',
    async (whose) => {
      const node = await startQueueNode();
      const client = new QueueClient(node);
      const table = new Map<string, FieldValue>([
        ['x-dead-letter-exchange', ''],
        ['x-dead-letter-routing-key', 'z'],
        ...(whose === 'queue' ? [['x-message-ttl', 5000] as const] : []),
      ]);
      await client.declare({ name: 'a', arguments: table });
      await client.declare({ name: 'z' });
      const properties = whose === 'queue' ? NO_PROPERTIES : encodeProperties({ expiration: '5000' });
      await client.publish('m', { routingKey: 'a', properties });
      await node.stop();
      node.clock.advance(4000);
      const next = new QueueClient(await restartQueueNode(node, 'stop'));
      await settle();
      node.clock.advance(900);
      await settle();
      expect(await next.get('z', true)).toBeUndefined();
      node.clock.advance(100);
      await settle();
      await settle();
      expect(await next.get('z', true)).toMatchObject({ body: 'm' });
    },
  );

  test('go by BCC also after a delay', async () => {
    const node = await startQueueNode();
    const client = new QueueClient(node);
    for (const name of ['q', 'secret']) await client.declare({ name });
    const table = new Map([['x-delayed-type', 'direct']]);
    await client.session.declareExchange({
      ...TOPIC_EXCHANGE,
      name: 'later',
      kind: 'x-delayed-message',
      arguments: table,
    });
    await client.session.bind(binding('later', 'q', 'k'));
    await client.session.bind(binding('later', 'secret', 's'));
    const headers = new Map<string, FieldValue>([
      ['x-delay', 100],
      ['BCC', ['s']],
    ]);
    const properties = encodeProperties({ headers });
    expect(await client.publish('a', { exchange: 'later', routingKey: 'k', properties })).toBe(true);
    node.clock.advance(100);
    await settle();
    expect(await client.get('q', true)).toMatchObject({ body: 'a' });
    expect(await client.get('secret', true)).toMatchObject({ body: 'a' });
  });

  test('become records of a topic that an exchange is bound to', async () => {
    const node = await startQueueNode();
    const client = new QueueClient(node);
    await createTopic(node, 'log', 2);
    const toTopic = { ...binding('amq.topic', 'log', 'orders.#'), destinationKind: 'topic' as const };
    await client.session.bind(toTopic);
    expect(await client.publish('a', { exchange: 'amq.topic', routingKey: 'orders.new' })).toBe(true);
    const values = [await readValues(node, 'log', 0, 0), await readValues(node, 'log', 0, 1)];
    expect(values.flat()).toContain('a');
    await client.session.unbind(toTopic);
    expect(await client.publish('b', { exchange: 'amq.topic', routingKey: 'orders.new', mandatory: true })).toBe(true);
    expect(client.returned).toEqual(['b']);
  });

  test('are taken once where a queue drops repetitions, also after a restart', async () => {
    const node = await startQueueNode();
    const client = new QueueClient(node);
    await client.declare({ arguments: new Map([['x-message-deduplication', true]]) });
    const once = { properties: encodeProperties({ messageId: 'm1' }) };
    expect([await client.publish('a', once), await client.publish('a again', once)]).toEqual([true, true]);
    expect(await client.get('q', true)).toMatchObject({ body: 'a' });
    expect(await client.get('q', true)).toBeUndefined();
    await client.channel.settlementsSynced();
    const next = new QueueClient(await restartQueueNode(node, 'crash'));
    expect(await next.publish('a later', once)).toBe(true);
    expect(await next.get('q', true)).toBeUndefined();
  });
});

test('virtual hosts have queues of their own, and end with them', async () => {
  const node = await startQueueNode();
  await node.queues.createVirtualHost('other');
  const [here, there] = [new QueueClient(node), new QueueClient(node, 'other')];
  await here.declare();
  await there.declare();
  await there.publish('a');
  expect(here.session.checkQueue('q').messageCount).toBe(0);
  await node.queues.deleteVirtualHost('other');
  expect(there.ended).toMatchObject({ code: 'VHOST_NOT_FOUND' });
  expect(() => new QueueClient(node, 'other')).toThrow(/vhost other not found/);
  await settle();
  expect(node.topics.names().filter((name) => name.startsWith('__queue.'))).toHaveLength(1);
});
