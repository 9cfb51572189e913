import { describe, expect, test } from 'vitest';
import { resolveQueueSettings } from '../../broker/definitions/queue-settings.ts';
import { silentLogger } from '../../broker/ports/logger.ts';
import { StreamQueue, type StreamQueueOptions } from '../../broker/queues/stream-queue.ts';
import { ensureStreamTopic, reconfigureStreamTopic, streamTopic } from '../../broker/queues/stream-topic.ts';
import { TopicTarget } from '../../broker/queues/topic-target.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { FieldValue } from '../../src/messages/field-value.ts';
import { decodeProperties, encodeProperties } from '../../src/messages/message-properties.ts';
import { BatchBuilder } from '../../src/records/batch-builder.ts';
import { testBatch } from '../support/batches.ts';
import { createTopic, produceBatch, settle, startTestNode, type TestNode } from '../support/node-environment.ts';
import { TestChannel } from '../support/queue-bed.ts';

function openStream(node: TestNode, topic = 's', options: Partial<StreamQueueOptions> = {}): StreamQueue {
  const target = new TopicTarget({
    topic,
    partitionCount: () => node.topics.get(topic)?.describe().partitions.length ?? 0,
    produce: (request) => node.service.produce(request),
    batchBytesMax: () => 64 * 1024,
    clock: node.clock,
  });
  return new StreamQueue({
    name: 'stream',
    settings: resolveQueueSettings(new Map([['x-queue-type', 'stream']])),
    topic,
    service: node.service,
    target,
    clock: node.clock,
    logger: silentLogger,
    decompressedBytesMax: 1024 * 1024,
    ...options,
  });
}

/** A consumer of the stream from `offset` on, with a prefetch. */
function consume(node: TestNode, stream: StreamQueue, offset: FieldValue = 'first', prefetch = 100, more: object = {}) {
  const client = new TestChannel(node.clock);
  client.channel.setPrefetch(prefetch, { global: false });
  const table = new Map<string, FieldValue>([['x-stream-offset', offset], ...Object.entries(more)]);
  client.channel.consume(stream, { tag: 'c', noAck: false, exclusive: false, priority: 0, arguments: table });
  return client;
}

/** Lets reads and deliveries happen. */
async function soon(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await settle();
}

async function streamOf(values: readonly string[], partitions = 1): Promise<{ node: TestNode; stream: StreamQueue }> {
  const node = await startTestNode();
  await createTopic(node, 's', partitions);
  for (const value of values) await produceBatch(node, 's', testBatch([value], { timestampMs: node.clock.now() }));
  return { node, stream: openStream(node) };
}

describe('a stream queue', () => {
  test('hands all records to each consumer, and goes on with those to come', async () => {
    const { node, stream } = await streamOf(['a', 'b']);
    const one = consume(node, stream);
    const two = consume(node, stream);
    await soon();
    expect([one.bodies(), two.bodies()]).toEqual([
      ['a', 'b'],
      ['a', 'b'],
    ]);
    await produceBatch(node, 's', testBatch(['c', 'd']));
    await soon();
    expect([one.bodies(), two.bodies()]).toEqual([
      ['c', 'd'],
      ['c', 'd'],
    ]);
    expect(stream.readyCount).toBe(4);
    expect(stream.consumerCount).toBe(2);
  });

  test.each<[string, FieldValue, string[]]>([
    ['the first', 'first', ['a', 'b', 'c', 'new']],
    ['the last', 'last', ['c', 'new']],
    ['the next', 'next', ['new']],
    ['an offset', 1, ['b', 'c', 'new']],
    ['an offset that is not there yet', 99, ['new']],
    ['a time', { type: 'timestamp', seconds: 1_700_000_060 }, ['b', 'c', 'new']],
    ['a time to come', { type: 'timestamp', seconds: 1_800_000_000 }, ['new']],
    ['a time back from now', '2m', ['b', 'c', 'new']],
  ])('is read from %s', async (_, offset, expected) => {
    const node = await startTestNode();
    await createTopic(node, 's');
    for (const value of ['a', 'b', 'c']) {
      await produceBatch(node, 's', testBatch([value], { timestampMs: node.clock.now() }));
      node.clock.advance(60_000);
    }
    const client = consume(node, openStream(node), offset);
    await soon();
    await produceBatch(node, 's', testBatch(['new'], { timestampMs: node.clock.now() }));
    await soon();
    expect(client.bodies()).toEqual(expected);
  });

  test('is read from the oldest record where the offset is gone, also while it is read', async () => {
    const { node, stream } = await streamOf(['a', 'b', 'c', 'd']);
    const early = consume(node, stream, 'first', 1);
    await soon();
    await node.service.deleteRecords({ topic: 's', partition: 0, offset: 2 });
    const late = consume(node, stream, 0);
    await soon();
    expect(late.bodies()).toEqual(['c', 'd']);
    early.channel.acknowledge(1, false);
    await soon();
    // Read before, or gone; but never an end.
    early.channel.acknowledge(0, true);
    await soon();
    early.channel.acknowledge(0, true);
    await soon();
    expect(early.bodies().at(-1)).toMatch(/[cd]/);
  });

  test('gives no more than the prefetch; any settlement makes room, and none brings a record back', async () => {
    const { node, stream } = await streamOf(['a', 'b', 'c', 'd', 'e', 'f']);
    const client = consume(node, stream, 'first', 2);
    await soon();
    expect(client.deliveries.map(({ body, tag }) => [body, tag])).toEqual([
      ['a', 1],
      ['b', 2],
    ]);
    client.bodies();
    client.channel.acknowledge(1, false);
    await soon();
    expect(client.bodies()).toEqual(['c']);
    client.channel.reject(2, { multiple: false, requeue: true });
    await soon();
    expect(client.bodies()).toEqual(['d']);
    client.channel.reject(0, { multiple: true, requeue: false });
    await soon();
    expect(client.bodies()).toEqual(['e', 'f']);
    await client.channel.settlementsSynced();
    expect(stream.readyCount).toBe(6);
  });

  test('hands over within a large batch only what there is credit for, and takes turns', async () => {
    const node = await startTestNode();
    await createTopic(node, 's');
    const values = Array.from({ length: 50 }, (_, index) => String(index));
    await produceBatch(node, 's', testBatch(values));
    const stream = openStream(node, 's', { deliveriesMax: 3 });
    const client = consume(node, stream, 7, 10);
    await soon();
    expect(client.deliveries.map(({ offset }) => offset)).toEqual([7, 8, 9]);
    const bodies: string[] = [];
    for (let round = 0; round < 200 && bodies.length < 43; round++) {
      node.clock.advance(0);
      await settle();
      expect(client.channel.unsettledCount).toBeLessThanOrEqual(10);
      bodies.push(...client.bodies());
      if (round % 3 === 0) client.channel.acknowledge(0, true);
    }
    expect(bodies).toEqual(values.slice(7));
  });

  test('waits for a client that does not read', async () => {
    const { node, stream } = await streamOf(['a', 'b']);
    const client = new TestChannel(node.clock);
    client.isWritable = false;
    client.channel.setPrefetch(10, { global: false });
    const table = new Map([['x-stream-offset', 'first']]);
    client.channel.consume(stream, { tag: 'c', noAck: false, exclusive: false, priority: 0, arguments: table });
    await soon();
    expect(client.bodies()).toEqual([]);
    client.isWritable = true;
    client.channel.onWritable();
    await soon();
    expect(client.bodies()).toEqual(['a', 'b']);
  });

  test('makes messages of what any producer writes, compressed or not', async () => {
    const node = await startTestNode();
    await createTopic(node, 's');
    for (const codec of ['none', 'gzip', 'zstd'] as const) {
      const builder = new BatchBuilder();
      const headers = [{ key: 'tenant', value: Buffer.from('a') }];
      builder.append(1_700_000_001_500, Buffer.from('key'), Buffer.from(codec), headers);
      builder.append(1_700_000_001_500, null, null);
      await produceBatch(node, 's', Buffer.from(await builder.finishCompressed(codec)));
    }
    const client = consume(node, openStream(node));
    await soon();
    await expect.poll(() => client.deliveries.length).toBe(6);
    expect(client.deliveries.map(({ body, routingKey }) => [body, routingKey])).toEqual([
      ['none', 'key'],
      ['', ''],
      ['gzip', 'key'],
      ['', ''],
      ['zstd', 'key'],
      ['', ''],
    ]);
    expect(decodeProperties(client.deliveries[2]!.properties)).toEqual({
      timestamp: 1_700_000_001,
      headers: new Map<string, FieldValue>([
        ['tenant', 'a'],
        ['x-stream-offset', 2],
        ['x-stream-partition', 0],
      ]),
    });
  });

  test('stores what is published to it, and gives it back as it was', async () => {
    const { node, stream } = await streamOf([]);
    const client = consume(node, stream);
    const properties = encodeProperties({ contentType: 'text/plain', deliveryMode: 2, priority: 4, messageId: 'm' });
    await new Promise<void>((resolve, reject) => {
      const message = { exchange: 'x', routingKey: 'k', properties, body: [Buffer.from('hello')] };
      stream.publish(message, { onStored: () => resolve(), onNotStored: (_f, _l, error) => reject(error) }, 1);
    });
    await soon();
    const [got] = client.deliveries;
    expect(got).toMatchObject({ body: 'hello', exchange: 'x', routingKey: 'k' });
    const { headers: _, timestamp: __, ...others } = decodeProperties(got!.properties);
    expect(others).toEqual({ contentType: 'text/plain', deliveryMode: 2, priority: 4, messageId: 'm' });
  });

  test('on a topic of several partitions gives all of them, or the one that is asked for', async () => {
    const { node, stream } = await streamOf([], 3);
    for (const partition of [0, 1, 2]) {
      await produceBatch(node, 's', testBatch([`${partition} a`, `${partition} b`]), partition);
    }
    const all = consume(node, stream);
    const one = consume(node, stream, 1, 10, { 'x-stream-partition': 2 });
    await soon();
    expect(all.bodies().sort()).toEqual(['0 a', '0 b', '1 a', '1 b', '2 a', '2 b']);
    expect(one.bodies()).toEqual(['2 b']);
    expect(() => consume(node, stream, 1)).toThrow(/an offset needs x-stream-partition/);
  });

  test('needs a prefetch and acknowledgments, and gives no single messages', async () => {
    const { node, stream } = await streamOf(['a']);
    expect(() => consume(node, stream, 'first', 0)).toThrow(/prefetch count is not set/);
    const client = new TestChannel(node.clock);
    client.channel.setPrefetch(1, { global: false });
    const options = { tag: 'c', noAck: true, exclusive: false, priority: 0 };
    expect(() => client.channel.consume(stream, options)).toThrow(/automatic acknowledgement/);
    await expect(client.channel.get(stream, false, () => {})).rejects.toThrow(/basic.get not supported/);
    expect(client.channel.consumers.size).toBe(0);
  });

  test('stops when its consumer is cancelled, and leaves nothing waiting', async () => {
    const { node, stream } = await streamOf(['a']);
    const client = consume(node, stream);
    await soon();
    expect(node.waiting.count).toBe(1);
    client.channel.cancel('c');
    await soon();
    expect(node.waiting.count).toBe(0);
    await produceBatch(node, 's', testBatch(['b']));
    await soon();
    expect(client.bodies()).toEqual(['a']);
    client.channel.acknowledge(1, false);
    expect(stream.consumerCount).toBe(0);
  });

  test('tells its consumers when the topic is deleted, or the queue', async () => {
    const { node, stream } = await streamOf(['a']);
    const client = consume(node, stream);
    await soon();
    await node.service.deleteTopic('s');
    await soon();
    expect(client.cancelled).toEqual(['c']);
    expect(() => consume(node, stream)).toThrow(/no topic s/);
    await createTopic(node, 's');
    const another = consume(node, stream);
    await soon();
    stream.close(new BurrowError('QUEUE_NOT_FOUND'));
    expect(another.cancelled).toEqual(['c']);
    expect(() => consume(node, stream)).toThrow();
  });
});

describe('the topic of a stream queue', () => {
  const settings = { topic: undefined, maxAgeMs: 60_000, maxLengthBytes: 4096, streamMaxSegmentSizeBytes: undefined };

  test('is created with one partition and the limits of the stream, unless it is there', async () => {
    const node = await startTestNode();
    await ensureStreamTopic(node.service, 'q', settings);
    expect(node.service.describeTopic('q')!.partitions).toHaveLength(1);
    const configs = new Map(node.service.describeTopicConfigs('q').map(({ key, value }) => [key, value]));
    expect([configs.get('retention.ms'), configs.get('retention.bytes')]).toEqual(['60000', '4096']);
    await createTopic(node, 'other', 3);
    const named = { ...settings, topic: 'other' };
    await ensureStreamTopic(node.service, 'any name: ü', named);
    expect(streamTopic('any name: ü', named)).toBe('other');
    expect(node.service.describeTopic('other')!.partitions).toHaveLength(3);
  });

  test('follows the policy if it is its own', async () => {
    const node = await startTestNode();
    const config = (topic: string, name: string) =>
      node.service.describeTopicConfigs(topic).find(({ key }) => key === name)?.value;
    await ensureStreamTopic(node.service, 'q', settings);
    await createTopic(node, 'other');
    const changed = { ...settings, maxAgeMs: undefined, streamMaxSegmentSizeBytes: 1024 * 1024 };
    await reconfigureStreamTopic(node.service, 'q', settings, changed);
    expect(['retention.ms', 'retention.bytes', 'segment.bytes'].map((name) => config('q', name))).toEqual([
      '-1',
      '4096',
      '1048576',
    ]);
    await reconfigureStreamTopic(node.service, 'q', changed, settings);
    expect(config('q', 'retention.ms')).toBe('60000');
    expect(config('q', 'segment.bytes')).toBe(config('other', 'segment.bytes'));
    const before = config('other', 'retention.ms');
    await reconfigureStreamTopic(node.service, 'v', { ...settings, topic: 'other' }, { ...changed, topic: 'other' });
    expect(config('other', 'retention.ms')).toBe(before);
  });

  test('must have a name that a topic can have', async () => {
    const node = await startTestNode();
    await expect(ensureStreamTopic(node.service, 'any name', settings)).rejects.toMatchObject({ code: 'INVALID_NAME' });
  });
});
