/** Push streams over a real node: what is sent, how much of it, and what is refused. */
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import type { NativeLimits } from '../../../broker/listeners/native/native-limits.ts';
import type { BrokerService } from '../../../broker/partitions/broker-service.ts';
import { decodeRecordsPush } from '../../../src/protocol/frame.ts';
import type { RecordsPush, RequestOf } from '../../../src/protocol/messages.ts';
import { RECORDS_PUSH } from '../../../src/protocol/version.ts';
import { decodeTestBatches, testBatch } from '../../support/batches.ts';
import { createTopic, produceBatch, startTestNode, type TestNode } from '../../support/node-environment.ts';
import { eventually, startTarget, TestClient } from './native-client.ts';

const PLENTY = 1_000_000_000;
const BATCH_BYTES = testBatch(['0']).length;

async function setUp(options: { partitions?: number; limits?: Partial<NativeLimits> } = {}) {
  const node = await startTestNode();
  await createTopic(node, 'orders', options.partitions ?? 2);
  const { port, listener } = await startTarget<BrokerService>({ service: node.service, limits: options.limits ?? {} });
  const client = await TestClient.open(port);
  return { node, port, listener, client };
}

const from = (partition: number, offset = 0) => ({ topic: 'orders', partition, offset, currentLeaderEpoch: -1 });

const open = (partitions: RequestOf<'openStream'>['partitions'], credit = { records: PLENTY, bytes: PLENTY }) => ({
  streamId: 7,
  isolation: 0,
  recordsCredit: credit.records,
  bytesCredit: credit.bytes,
  partitions,
});

type Entry = RecordsPush['partitions'][number];

function entriesOf(client: TestClient, partition?: number): Entry[] {
  return client.frames
    .flatMap((frame) => (frame.kind === 'push' && frame.type === RECORDS_PUSH ? [decodeRecordsPush(frame.body)] : []))
    .flatMap(({ partitions }) => partitions)
    .filter((entry) => partition === undefined || entry.partition === partition);
}

function valuesOf(client: TestClient, partition?: number): string[] {
  return entriesOf(client, partition).flatMap(({ records }) =>
    records.flatMap((bytes) => decodeTestBatches(Buffer.from(bytes)).flatMap(({ values }) => values)),
  );
}

async function produce(node: TestNode, partition: number, ...values: string[]): Promise<void> {
  for (const value of values) await produceBatch(node, 'orders', testBatch([value]), partition);
}

/** Everything that was under way has arrived: the connection answers in order. */
async function settle(client: TestClient): Promise<void> {
  for (let turn = 0; turn < 5; turn++) {
    await client.request('metadata', { topics: [], autoCreate: false });
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('what is sent', () => {
  test('what the log has, then what it gets, in order, from the offset asked for', async () => {
    const { node, client } = await setUp();
    await produceBatch(node, 'orders', testBatch(['a', 'b', 'c']));
    await client.request('openStream', open([from(0, 1), from(1)]));
    await client.until(() => entriesOf(client).length >= 2);
    expect(entriesOf(client, 0)[0]).toMatchObject({ offset: 1, errorNumber: 0, highWatermark: 3, logStartOffset: 0 });
    // Whole batches, also where the offset lies within one.
    expect(valuesOf(client, 0)).toEqual(['a', 'b', 'c']);
    // A partition without records is answered too.
    expect(entriesOf(client, 1)).toMatchObject([{ offset: 0, highWatermark: 0 }]);
    expect(entriesOf(client, 1)[0]!.records[0]).toHaveLength(0);
    await produce(node, 1, 'd');
    await produce(node, 0, 'e');
    await client.until(() => valuesOf(client).length === 5);
    expect(entriesOf(client, 0).at(-1)).toMatchObject({ offset: 3, highWatermark: 4 });
    expect(entriesOf(client, 1).at(-1)).toMatchObject({ offset: 0, highWatermark: 1 });
    await settle(client);
    expect(valuesOf(client)).toHaveLength(5);
  });

  test('partitions that move together come in one frame', async () => {
    const { node, client } = await setUp({ partitions: 20 });
    const all = Array.from({ length: 20 }, (_, partition) => from(partition));
    await client.request('openStream', open(all));
    await client.until(() => entriesOf(client).length === 20);
    const before = client.frames.length;
    await Promise.all(all.map(({ partition }) => produceBatch(node, 'orders', testBatch(['x']), partition)));
    await client.until(() => valuesOf(client).length === 20);
    expect(client.frames.length - before).toBeLessThan(10);
  });

  test('nothing of a partition after the answer that it was removed; it may move to another offset in one request', async () => {
    const { node, client } = await setUp();
    await produce(node, 0, 'a', 'b');
    await client.request('openStream', open([from(0), from(1)]));
    await client.until(() => valuesOf(client).length === 2);
    const remove = [{ topic: 'orders', partition: 0 }];
    await client.request('changeStream', { streamId: 7, remove, add: [] });
    await produce(node, 0, 'c');
    await produce(node, 1, 'x');
    await client.until(() => valuesOf(client, 1).length === 1);
    await settle(client);
    expect(valuesOf(client, 0)).toEqual(['a', 'b']);
    await client.request('changeStream', { streamId: 7, remove, add: [from(0, 1)] });
    await client.until(() => valuesOf(client, 0).length === 4);
    expect(valuesOf(client, 0)).toEqual(['a', 'b', 'b', 'c']);
    await client.request('changeStream', { streamId: 7, remove, add: [from(0, 2)] });
    await client.until(() => valuesOf(client, 0).length === 5);
  });

  test('nothing after the stream was closed; its number may be used again', async () => {
    const { node, client } = await setUp();
    await client.request('openStream', open([from(0)]));
    await client.request('closeStream', { streamId: 7 });
    await produce(node, 0, 'a');
    await settle(client);
    expect(valuesOf(client)).toEqual([]);
    await client.request('openStream', open([from(0)]));
    await client.until(() => valuesOf(client).length === 1);
  });

  test('an error ends its partition and says why; the others go on', async () => {
    const { node, client } = await setUp();
    await createTopic(node, 'doomed', 1);
    await client.request(
      'openStream',
      open([
        from(0, 5),
        from(1),
        { ...from(0), topic: 'doomed' },
        { ...from(0), topic: 'nowhere' },
        { ...from(9), currentLeaderEpoch: 99 },
      ]),
    );
    await client.until(() => entriesOf(client).length === 5);
    const codes = () => entriesOf(client).map(({ topic, partition, message }) => [topic, partition, message]);
    expect(codes()).toContainEqual(['orders', 0, 'Offset 5 of orders-0 is outside 0 to 0.']);
    expect(codes()).toContainEqual(['nowhere', 0, 'There is no partition 0 of topic "nowhere" here.']);
    await node.service.deleteTopic('doomed');
    await client.until(() => entriesOf(client).length === 6);
    expect(entriesOf(client).at(-1)).toMatchObject({ topic: 'doomed', highWatermark: -1 });
    expect(entriesOf(client).at(-1)!.errorNumber).toBeGreaterThan(0);
    await produce(node, 1, 'a');
    await client.until(() => valuesOf(client).length === 1);
    // What has failed may come back.
    await client.request('changeStream', { streamId: 7, remove: [], add: [from(0)] });
    await produce(node, 0, 'b');
    await client.until(() => valuesOf(client).length === 2);
  });
});

describe('credit', () => {
  test('in records and in bytes: nothing is sent without, and it goes on where it stopped', async () => {
    const { node, client } = await setUp();
    await produce(node, 0, 'a', 'b', 'c', 'd', 'e', 'f');
    await client.request('openStream', open([from(0)], { records: 2, bytes: PLENTY }));
    await client.until(() => valuesOf(client).length === 2);
    await settle(client);
    expect(valuesOf(client)).toEqual(['a', 'b']);
    client.send('addCredit', { streamId: 7, records: 1, bytes: 0 });
    await client.until(() => valuesOf(client).length === 3);
    await client.request('closeStream', { streamId: 7 });
    await client.request('openStream', open([from(0, 3)], { records: PLENTY, bytes: 2 * BATCH_BYTES }));
    await client.until(() => valuesOf(client).length === 5);
    await settle(client);
    expect(valuesOf(client)).toEqual(['a', 'b', 'c', 'd', 'e']);
    client.send('addCredit', { streamId: 7, records: 0, bytes: 1 });
    await client.until(() => valuesOf(client).length === 6);
  });

  test('is exceeded by at most one batch, and used up, whatever the batches', async () => {
    const { node, client } = await setUp({ partitions: 100 });
    let partition = 0;
    let streamId = 1000;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 12 }),
        fc.array(fc.record({ records: fc.integer({ min: 1, max: 8 }), bytes: fc.integer({ min: 1, max: 500 }) }), {
          minLength: 1,
          maxLength: 6,
        }),
        async (batches, credits) => {
          const here = partition++;
          const id = streamId++;
          const sizes: number[] = [];
          for (const count of batches) {
            const batch = testBatch(Array.from({ length: count }, (_, index) => `${index}`));
            sizes.push(batch.length);
            await produceBatch(node, 'orders', batch, here);
          }
          const [first, ...more] = credits;
          let [records, bytes] = [first!.records, first!.bytes];
          let sent = 0;
          const check = async () => {
            while (sent < batches.length && records > 0 && bytes > 0) {
              records -= batches[sent]!;
              bytes -= sizes[sent]!;
              sent += 1;
            }
            await client.request('changeStream', { streamId: id, remove: [], add: [] });
            await client.until(() => countOf(client, here) >= sent);
            await settle(client);
            expect(countOf(client, here)).toBe(sent);
          };
          await client.request('openStream', { ...open([from(here)], first), streamId: id });
          await check();
          for (const credit of more) {
            client.send('addCredit', { streamId: id, ...credit });
            records += credit.records;
            bytes += credit.bytes;
            await check();
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test('that a partition has used up stays used up when it is removed', async () => {
    const { node, client } = await setUp();
    await produce(node, 0, 'a', 'b');
    await client.request('openStream', open([from(0), from(1)], { records: 3, bytes: PLENTY }));
    await client.until(() => valuesOf(client).length === 2);
    await client.request('changeStream', { streamId: 7, remove: [{ topic: 'orders', partition: 0 }], add: [] });
    await produce(node, 1, 'x', 'y');
    await client.until(() => valuesOf(client, 1).length === 1);
    await settle(client);
    expect(valuesOf(client, 1)).toEqual(['x']);
  });
});

function countOf(client: TestClient, partition: number): number {
  return entriesOf(client, partition).reduce(
    (sum, { records }) => sum + records.reduce((n, bytes) => n + decodeTestBatches(Buffer.from(bytes)).length, 0),
    0,
  );
}

describe('what makes no sense is refused by name, and the stream and other connections go on', () => {
  test.each<[string, (client: TestClient) => Promise<unknown>, string]>([
    ['a stream opened twice', (client) => client.request('openStream', open([])), 'INVALID_ARGUMENT'],
    [
      'a partition named twice',
      (client) => client.request('openStream', { ...open([from(0), from(0)]), streamId: 8 }),
      'INVALID_ARGUMENT',
    ],
    [
      'a partition added that is there',
      (client) => client.request('changeStream', { streamId: 7, remove: [], add: [from(0)] }),
      'INVALID_ARGUMENT',
    ],
    [
      'an isolation that is none',
      (client) => client.request('openStream', { ...open([]), streamId: 8, isolation: 3 }),
      'INVALID_ARGUMENT',
    ],
    ['no credit', (client) => client.request('addCredit', { streamId: 7, records: 0, bytes: 0 }), 'INVALID_ARGUMENT'],
    [
      'more credit than there may be',
      (client) => client.request('addCredit', { streamId: 7, records: 0xffff_ffff, bytes: 1 }),
      'INVALID_ARGUMENT',
    ],
    [
      'negative credit',
      (client) => client.request('addCredit', { streamId: 7, records: -1, bytes: 1 }),
      'INVALID_ARGUMENT',
    ],
    [
      'credit for an unknown stream',
      (client) => client.request('addCredit', { streamId: 9, records: 1, bytes: 1 }),
      'PUSH_STREAM_NOT_FOUND',
    ],
    [
      'a change of an unknown stream',
      (client) => client.request('changeStream', { streamId: 9, remove: [], add: [] }),
      'PUSH_STREAM_NOT_FOUND',
    ],
    ['closing an unknown stream', (client) => client.request('closeStream', { streamId: 9 }), 'PUSH_STREAM_NOT_FOUND'],
    [
      'more streams than allowed',
      async (client) => {
        await client.request('openStream', { ...open([]), streamId: 8 });
        await client.request('openStream', { ...open([]), streamId: 9 });
      },
      'PUSH_STREAM_LIMIT',
    ],
    [
      'more partitions than allowed, in all streams',
      async (client) => {
        await client.request('openStream', { ...open([from(0), from(1)]), streamId: 8 });
        await client.request('changeStream', { streamId: 8, remove: [], add: [from(2)] });
      },
      'PUSH_STREAM_LIMIT',
    ],
  ])('%s', async (_name, request, code) => {
    const { node, port, client } = await setUp({ limits: { pushStreamsMax: 2, pushStreamPartitionsMax: 3 } });
    const other = await TestClient.open(port);
    await other.request('openStream', open([from(0)]));
    await client.request('openStream', open([from(0)]));
    await expect(request(client)).rejects.toMatchObject({ code });
    await produce(node, 0, 'a');
    for (const each of [client, other]) await each.until(() => valuesOf(each).includes('a'));
  });

  test('places that were given up may be used again', async () => {
    const { client } = await setUp({ partitions: 6, limits: { pushStreamsMax: 1, pushStreamPartitionsMax: 3 } });
    await client.request('openStream', open([from(0), from(1), from(9)]));
    await client.until(() => entriesOf(client).length === 3);
    // Partition 9 does not exist and has left by itself.
    await client.request('changeStream', { streamId: 7, remove: [], add: [from(2)] });
    await client.request('changeStream', {
      streamId: 7,
      remove: [0, 1, 2].map((partition) => ({ topic: 'orders', partition })),
      add: [from(3), from(4), from(5)],
    });
    await client.request('closeStream', { streamId: 7 });
    await client.request('openStream', open([from(0), from(1), from(2)]));
  });
});

describe('a connection', () => {
  test('that does not take what it is sent is not read for beyond what it may be owed, and gets the rest later', async () => {
    const MIB = 1024 * 1024;
    const node = await startTestNode();
    await createTopic(node, 'orders', 1);
    let bytesRead = 0;
    const openPushStream = node.service.openPushStream.bind(node.service);
    vi.spyOn(node.service, 'openPushStream').mockImplementation((options) => {
      const stream = openPushStream(options);
      const read = stream.read.bind(stream);
      stream.read = async (limits) => {
        const found = await read(limits);
        bytesRead += found?.bytes ?? 0;
        return found;
      };
      return stream;
    });
    const { port } = await startTarget<BrokerService>({
      service: node.service,
      limits: { writeBufferedBytesMax: 2 * MIB },
    });
    const client = await TestClient.open(port);
    await client.request('openStream', open([from(0)]));
    client.webSocket.pause();
    const total = 48;
    for (let index = 0; index < total; index++) {
      await produceBatch(node, 'orders', testBatch([`${index}`.padEnd(0.9 * MIB, '.')]));
    }
    await eventually(() => bytesRead > 2 * MIB);
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(bytesRead).toBeLessThan(30 * MIB);
    client.webSocket.resume();
    await client.until(() => valuesOf(client).length === total);
    expect(valuesOf(client).map((value) => Number.parseInt(value, 10))).toEqual([...Array(total).keys()]);
  });

  test('that is going away ends its streams and closes', async () => {
    const { node, client, listener } = await setUp();
    await client.request('openStream', open([from(0)]));
    const closed = listener.close();
    expect((await client.closed).code).toBe(1001);
    await closed;
    expect(node.waiting.count).toBe(0);
  });

  test('that is lost leaves nothing behind', async () => {
    const { node, client } = await setUp();
    await client.request('openStream', open([from(0), from(1)]));
    expect(node.waiting.count).toBe(2);
    client.webSocket.terminate();
    await eventually(() => node.waiting.count === 0);
  });
});
