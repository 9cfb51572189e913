import { describe, expect, test } from 'vitest';
import { resolveQueueSettings } from '../../broker/definitions/queue-settings.ts';
import { silentLogger } from '../../broker/ports/logger.ts';
import { StreamHost } from '../../broker/queues/stream-host.ts';
import { TopicTargets } from '../../broker/queues/topic-targets.ts';
import type { FieldValue } from '../../src/messages/field-value.ts';
import { open as openTopology } from '../broker/exchanges/topology-bed.ts';
import { testBatch } from '../support/batches.ts';
import {
  createTopic,
  produceBatch,
  readValues,
  settle,
  startTestNode,
  type TestNode,
} from '../support/node-environment.ts';
import { QueueClient, restartQueueNode, startQueueNode } from '../support/queue-node.ts';

const NEVER = { ifUnused: false, ifEmpty: false };

function declareStream(client: QueueClient, more: Readonly<Record<string, FieldValue>> = {}, name = 's') {
  return client.declare({ name, arguments: new Map([['x-queue-type', 'stream'], ...Object.entries(more)]) });
}

function consumeStream(client: QueueClient, offset: FieldValue = 'first', more: Record<string, FieldValue> = {}): void {
  client.channel.setPrefetch(100, { global: false });
  const table = new Map<string, FieldValue>([['x-stream-offset', offset], ...Object.entries(more)]);
  client.channel.consume('s', { tag: 'c', noAck: false, exclusive: false, arguments: table }, () => {});
}

function toStream(client: QueueClient, body: string): Promise<boolean> {
  return client.publish(body, { routingKey: 's' });
}

/** Lets reads and deliveries happen. */
async function soon(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await settle();
}

function configOf(node: TestNode, topic: string, name: string): string | null | undefined {
  return node.service.describeTopicConfigs(topic).find(({ key }) => key === name)?.value;
}

describe('a stream that is declared', () => {
  test('has a topic of its own, takes messages by exchanges, and hands all of them to each consumer', async () => {
    const node = await startQueueNode();
    const client = new QueueClient(node);
    expect(await declareStream(client, { 'x-max-age': '1h', 'x-max-length-bytes': 4096 })).toEqual({
      name: 's',
      messageCount: 0,
      consumerCount: 0,
    });
    expect(configOf(node, 's', 'retention.ms')).toBe('3600000');
    expect(configOf(node, 's', 'retention.bytes')).toBe('4096');
    await client.session.bind({
      source: 'amq.fanout',
      destinationKind: 'queue',
      destination: 's',
      bindingKey: '',
      arguments: new Map(),
    });
    expect(await toStream(client, 'a')).toBe(true);
    expect(await client.publish('b', { exchange: 'amq.fanout', routingKey: 'k' })).toBe(true);
    const other = new QueueClient(node);
    consumeStream(client);
    consumeStream(other);
    await soon();
    expect(client.received).toMatchObject([
      { body: 'a', exchange: '', routingKey: 's' },
      { body: 'b', exchange: 'amq.fanout', routingKey: 'k' },
    ]);
    expect(other.bodies()).toEqual(['a', 'b']);
    client.channel.acknowledge(0, true);
    const [status] = client.session.listQueues();
    expect(status).toMatchObject({
      name: 's',
      messageCount: 2,
      consumerCount: 2,
      unsettledCount: 2,
      failure: undefined,
    });
    expect(status!.storedBytes).toBeGreaterThan(0);
    expect(await declareStream(client, { 'x-max-age': '1h', 'x-max-length-bytes': 4096 })).toMatchObject({
      messageCount: 2,
      consumerCount: 2,
    });
  });

  test('passes the arguments of its consumers on', async () => {
    const node = await startQueueNode();
    const client = new QueueClient(node);
    await createTopic(node, 't', 2);
    await declareStream(client, { 'x-topic': 't' });
    for (const value of ['a', 'b', 'c']) await produceBatch(node, 't', testBatch([value]), 1);
    await produceBatch(node, 't', testBatch(['elsewhere']), 0);
    consumeStream(client, 1, { 'x-stream-partition': 1 });
    await soon();
    expect(client.bodies()).toEqual(['b', 'c']);
    expect(() => consumeStream(new QueueClient(node), 1)).toThrow(/needs x-stream-partition/);
  });

  test('does not let a consumer begin that has no prefetch or does not acknowledge', async () => {
    const client = new QueueClient(await startQueueNode());
    await declareStream(client);
    const started: string[] = [];
    const consume = (noAck: boolean) =>
      client.channel.consume('s', { tag: 'c', noAck, exclusive: false, arguments: new Map() }, () => started.push('c'));
    expect(() => consume(false)).toThrow(/prefetch count is not set/);
    expect(() => consume(true)).toThrow(/automatic acknowledgement not supported/);
    expect(started).toEqual([]);
    expect(client.channel.cancel('c')).toBe(false);
  });

  test('cannot be purged, browsed or asked for one message', async () => {
    const client = new QueueClient(await startQueueNode());
    await declareStream(client);
    const refused = { code: 'NOT_IMPLEMENTED' };
    await expect(client.session.purgeQueue('s')).rejects.toMatchObject(refused);
    await expect(client.session.browseQueue('s', { limit: 1, skip: 0 }, () => {})).rejects.toMatchObject(refused);
    await expect(client.get('s')).rejects.toMatchObject(refused);
  });

  test.each(['stop', 'crash'] as const)('survives a %s with what was confirmed', async (how) => {
    const before = await startQueueNode();
    const client = new QueueClient(before);
    await declareStream(client, { 'x-max-age': '1h' });
    for (const body of ['a', 'b']) expect(await toStream(client, body)).toBe(true);
    const after = await restartQueueNode(before, how);
    const next = new QueueClient(after);
    expect(next.session.checkQueue('s')).toMatchObject({ messageCount: 2 });
    expect(await declareStream(next, { 'x-max-age': '1h' })).toMatchObject({ messageCount: 2 });
    consumeStream(next);
    await toStream(next, 'c');
    await soon();
    expect(next.bodies()).toEqual(['a', 'b', 'c']);
    expect(after.topics.names().filter((name) => name.startsWith('__queue.'))).toEqual([]);
  });

  test('must be declared with the same arguments', async () => {
    const client = new QueueClient(await startQueueNode());
    await declareStream(client);
    await expect(declareStream(client, { 'x-max-age': '1h' })).rejects.toMatchObject({ code: 'DECLARED_DIFFERENTLY' });
    await expect(client.declare({ name: 's' })).rejects.toMatchObject({ code: 'DECLARED_DIFFERENTLY' });
  });
});

describe('the topic of a stream', () => {
  test('goes with the stream if it is its own, and consumers are told', async () => {
    const node = await startQueueNode();
    const client = new QueueClient(node);
    await declareStream(client);
    await toStream(client, 'a');
    consumeStream(client);
    await soon();
    await expect(client.session.deleteQueue('s', { ifUnused: true, ifEmpty: false })).rejects.toMatchObject({
      code: 'IN_USE',
    });
    await expect(client.session.deleteQueue('s', { ifUnused: false, ifEmpty: true })).rejects.toMatchObject({
      code: 'NOT_EMPTY',
    });
    expect(await client.session.deleteQueue('s', NEVER)).toBe(1);
    expect(client.cancelled).toEqual(['c']);
    expect(node.topics.names()).toEqual([]);
    expect(await declareStream(client)).toMatchObject({ messageCount: 0 });
  });

  test('stays if x-topic named it', async () => {
    const node = await startQueueNode();
    const client = new QueueClient(node);
    await createTopic(node, 't');
    await produceBatch(node, 't', testBatch(['a']));
    expect(await declareStream(client, { 'x-topic': 't' })).toMatchObject({ messageCount: 1 });
    await declareStream(client, { 'x-topic': 'new' }, 'other');
    expect(node.topics.names()).toEqual(['new', 't']);
    await client.session.deleteQueue('s', NEVER);
    await client.session.deleteQueue('other', NEVER);
    expect(node.topics.names()).toEqual(['new', 't']);
    expect(await readValues(node, 't')).toEqual(['a']);
  });

  test('is never one that was there before, or that the broker writes', async () => {
    const node = await startQueueNode();
    const client = new QueueClient(node);
    await createTopic(node, 's');
    await expect(declareStream(client)).rejects.toThrow(/x-topic the stream becomes a view/);
    await client.declare({ name: 'q' });
    const internal = node.topics.names().find((name) => name.startsWith('__queue.'))!;
    await expect(declareStream(client, { 'x-topic': internal })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(declareStream(client, {}, 'no topic: ü')).rejects.toMatchObject({ code: 'INVALID_NAME' });
    expect(client.session.listQueues().map(({ name }) => name)).toEqual(['q']);
    // Nothing is left of the refused declarations: the names are free.
    expect(await client.declare({ name: 's' })).toMatchObject({ messageCount: 0 });
  });

  test('takes its streams along when it is deleted', async () => {
    const node = await startQueueNode();
    const client = new QueueClient(node);
    await declareStream(client);
    await declareStream(client, { 'x-topic': 's' }, 'view');
    await client.declare({ name: 'q' });
    consumeStream(client);
    await node.service.deleteTopic('s');
    await soon();
    expect(client.cancelled).toEqual(['c']);
    expect(client.session.listQueues().map(({ name }) => name)).toEqual(['q']);
    await createTopic(node, 's');
    expect(() => client.session.checkQueue('s')).toThrow(/no queue 's'/);
    const next = new QueueClient(await restartQueueNode(node, 'stop'));
    expect(next.session.listQueues().map(({ name }) => name)).toEqual(['q']);
  });

  test.each([0, 1, 2, 3, 5, 8])('may be deleted while its stream is declared again, %i turns later', async (turns) => {
    const node = await startQueueNode();
    const client = new QueueClient(node);
    await declareStream(client);
    const deleted = node.service.deleteTopic('s');
    for (let turn = 0; turn < turns; turn++) await Promise.resolve();
    await Promise.all([deleted, declareStream(client)]);
    await soon();
    // Whichever came first: there is a stream with a topic, or neither.
    expect(client.session.listQueues().map(({ name }) => name)).toEqual(node.topics.names());
    await declareStream(client);
    expect(await toStream(client, 'a')).toBe(true);
  });

  test('may be missing after a start: the stream refuses, until it is declared again', async () => {
    const before = await startQueueNode();
    const client = new QueueClient(before);
    await declareStream(client);
    await before.queues.close();
    // The stream does not hear of it, as when a crash comes in between.
    await before.service.deleteTopic('s');
    const next = new QueueClient(await restartQueueNode(before, 'stop'));
    expect(next.session.listQueues()).toMatchObject([{ failure: { code: 'UNKNOWN_TOPIC_OR_PARTITION' } }]);
    expect(await toStream(next, 'a')).toBe(false);
    expect([...next.refused.values()]).toMatchObject([{ code: 'UNKNOWN_TOPIC_OR_PARTITION' }]);
    expect(() => consumeStream(next)).toThrow(/no topic s/);
    await declareStream(next);
    expect(await toStream(next, 'b')).toBe(true);
    consumeStream(next);
    await soon();
    expect(next.bodies()).toEqual(['b']);
  });

  test('has the limits that a policy comes to give the stream', async () => {
    const node = await startTestNode();
    const { service, clock, settings } = node;
    const topics = new TopicTargets({
      virtualHost: '/',
      topology: (await openTopology(node.coordinator)).topology,
      service,
      clock,
    });
    const { decompressedBytesMax } = settings;
    const streams = new StreamHost({ service, topics, clock, logger: silentLogger, decompressedBytesMax });
    const before = resolveQueueSettings(new Map([['x-queue-type', 'stream']]));
    await streams.createTopic('s', before);
    const { queue } = streams.open('s', before);
    queue.reconfigure({ ...before, maxAgeMs: 5000 });
    await soon();
    expect(configOf(node, 's', 'retention.ms')).toBe('5000');
    expect(queue.settings.maxAgeMs).toBe(5000);
  });

  test('is gone with the virtual host', async () => {
    const node = await startQueueNode();
    await node.queues.createVirtualHost('other');
    await declareStream(new QueueClient(node, 'other'));
    // Topics have no virtual hosts: another stream cannot have the same topic by accident.
    await expect(declareStream(new QueueClient(node))).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    await node.queues.deleteVirtualHost('other');
    await soon();
    expect(node.topics.names()).toEqual([]);
  });
});
