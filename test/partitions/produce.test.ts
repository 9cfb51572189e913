/** Produce: order, acknowledgments, what is refused, and the fence before a full disk. */
import { gzipSync } from 'node:zlib';
import { crc32c } from '@node-rs/crc32';
import { describe, expect, test } from 'vitest';
import { MemoryDisk } from '../../broker/ports/memory-disk.ts';
import { testBatch } from '../support/batches.ts';
import {
  createTopic,
  fetchFrom,
  fetchRequest,
  produceBatch,
  readValues,
  settle,
  startTestNode,
  type TestNode,
} from '../support/node-environment.ts';

async function nodeWithTopic(configs: Readonly<Record<string, string>> = {}): Promise<TestNode> {
  const node = await startTestNode();
  await createTopic(node, 'orders', 2, configs);
  return node;
}

/** A batch with some header bytes changed, and a right CRC again. */
function altered(batch: Buffer, alter: (batch: Buffer) => void): Buffer {
  alter(batch);
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17);
  return batch;
}

/** The same batch with its records compressed by gzip. */
function gzipped(batch: Buffer): Buffer {
  const compressed = Buffer.concat([batch.subarray(0, 61), gzipSync(batch.subarray(61))]);
  compressed.writeInt32BE(compressed.length - 12, 8);
  return altered(compressed, (bytes) => bytes.writeInt16BE(1, 21));
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe('order and acknowledgment', () => {
  test('requests are appended in the order of their calls', async () => {
    const node = await nodeWithTopic();
    const outcomes = await Promise.all(
      numbers(50).map((index) => produceBatch(node, 'orders', testBatch([`${index}`]), 0, index % 2 === 0 ? 1 : -1)),
    );
    expect(outcomes.map(({ baseOffset }) => baseOffset)).toEqual(numbers(50));
    expect(await readValues(node, 'orders')).toEqual(numbers(50).map(String));
  });

  test('what is not synced is neither acknowledged nor visible, unless acks=0 asks for no more', async () => {
    const held: Array<() => void> = [];
    let hold = false;
    const disk = new MemoryDisk({ schedule: (complete) => (hold ? held.push(complete) : queueMicrotask(complete)) });
    const node = await startTestNode({ disk });
    await createTopic(node, 'orders');
    hold = true;
    const acknowledged: string[] = [];
    for (const acks of [0, 1, -1] as const) {
      void produceBatch(node, 'orders', testBatch([`acks ${acks}`]), 0, acks).then(() => acknowledged.push(`${acks}`));
    }
    await settle();
    expect(acknowledged).toEqual(['0']);
    expect(await readValues(node, 'orders')).toEqual([]);
    expect(node.service.partitionStatus('orders')[0]).toMatchObject({ highWatermark: 0, logEndOffset: 3 });
    hold = false;
    for (const complete of held) complete();
    await settle();
    expect(acknowledged).toEqual(['0', '1', '-1']);
    expect(await readValues(node, 'orders')).toEqual(['acks 0', 'acks 1', 'acks -1']);
  });

  test('with acks=0, producers wait once more is unsynced than memory is meant for', async () => {
    const held: Array<() => void> = [];
    let hold = false;
    const disk = new MemoryDisk({ schedule: (complete) => (hold ? held.push(complete) : queueMicrotask(complete)) });
    const node = await startTestNode({ disk, settings: { unwrittenBytesMax: 2 * 1024 * 1024 } });
    await createTopic(node, 'orders');
    hold = true;
    let answered = 0;
    for (let index = 0; index < 10; index++) {
      void produceBatch(node, 'orders', testBatch(['x'.repeat(500_000)]), 0, 0).then(() => answered++);
    }
    await settle();
    expect(answered).toBe(4);
    hold = false;
    for (const complete of held) complete();
    await expect.poll(() => answered).toBe(10);
  });

  test('several batches in one request get offsets one after the other', async () => {
    const node = await nodeWithTopic();
    await produceBatch(node, 'orders', testBatch(['before']));
    const outcome = await produceBatch(node, 'orders', Buffer.concat([testBatch(['a', 'b']), testBatch(['c'])]));
    expect(outcome).toEqual({ baseOffset: 1, logAppendTimeMs: -1, logStartOffset: 0 });
    expect(await readValues(node, 'orders')).toEqual(['before', 'a', 'b', 'c']);
  });

  test('one bad batch among several: none is appended', async () => {
    const node = await nodeWithTopic();
    const bad = testBatch(['bad']);
    bad[bad.length - 1]! ^= 1;
    await expect(produceBatch(node, 'orders', Buffer.concat([testBatch(['good']), bad]))).rejects.toMatchObject({
      code: 'CORRUPT_BATCH',
    });
    expect(node.service.partitionStatus('orders')[0]?.logEndOffset).toBe(0);
  });

  test('a batch that an idempotent producer repeats is answered with its first offset', async () => {
    const node = await nodeWithTopic();
    const batch = (sequence: number): Buffer =>
      testBatch(['x'], { producerId: 7, producerEpoch: 0, baseSequence: sequence });
    await produceBatch(node, 'orders', batch(0));
    await produceBatch(node, 'orders', batch(1));
    expect((await produceBatch(node, 'orders', batch(0))).baseOffset).toBe(0);
    expect(node.service.partitionStatus('orders')[0]?.logEndOffset).toBe(2);
    await expect(produceBatch(node, 'orders', batch(9))).rejects.toMatchObject({ code: 'OUT_OF_ORDER_SEQUENCE' });
  });

  test('a failed sync is an error to all that waited, and to all that follow; what was visible stays so', async () => {
    const node = await nodeWithTopic();
    await produceBatch(node, 'orders', testBatch(['kept']));
    node.disk.inject({ on: 'sync', times: 1 });
    const outcomes = await Promise.allSettled([
      produceBatch(node, 'orders', testBatch(['lost'])),
      produceBatch(node, 'orders', testBatch(['lost too']), 1),
    ]);
    for (const outcome of outcomes) expect(outcome).toMatchObject({ reason: { code: 'STORAGE_ERROR' } });
    await expect(produceBatch(node, 'orders', testBatch(['late']), 0, 0)).rejects.toMatchObject({
      code: 'STORAGE_ERROR',
    });
    expect(await readValues(node, 'orders')).toEqual(['kept']);
    expect(node.service.partitionStatus('orders')[0]?.failure?.code).toBe('STORAGE_ERROR');
  });
});

describe('what is refused', () => {
  const cases: ReadonlyArray<readonly [string, string, () => Buffer, Readonly<Record<string, string>>]> = [
    ['no batch at all', 'INVALID_RECORD', () => Buffer.alloc(0), {}],
    ['a batch that is cut off', 'CORRUPT_BATCH', () => testBatch(['a']).subarray(0, -1), {}],
    ['bytes behind the last batch', 'CORRUPT_BATCH', () => Buffer.concat([testBatch(['a']), Buffer.alloc(5)]), {}],
    ['a control batch', 'INVALID_RECORD', () => altered(testBatch(['a']), (bytes) => bytes.writeInt16BE(0x20, 21)), {}],
    [
      'a transactional batch',
      'NOT_IMPLEMENTED',
      () =>
        altered(testBatch(['a'], { producerId: 1, producerEpoch: 0, baseSequence: 0 }), (bytes) =>
          bytes.writeInt16BE(0x10, 21),
        ),
      {},
    ],
    [
      'an old message format',
      'UNSUPPORTED_FORMAT',
      () => altered(testBatch(['a']), (bytes) => bytes.writeInt8(1, 16)),
      {},
    ],
    [
      'a codec nobody knows',
      'UNSUPPORTED_COMPRESSION',
      () => altered(testBatch(['a']), (b) => b.writeInt16BE(7, 21)),
      {},
    ],
    [
      'a batch over max.message.bytes',
      'RECORD_TOO_LARGE',
      () => testBatch(['x'.repeat(2000)]),
      { 'max.message.bytes': '2000' },
    ],
    ['no key on a compacted topic', 'INVALID_RECORD', () => testBatch(['a']), { 'cleanup.policy': 'compact' }],
    [
      'no key inside a compressed batch',
      'INVALID_RECORD',
      () => gzipped(testBatch(['a'])),
      { 'cleanup.policy': 'compact' },
    ],
    [
      'a compressed batch that does not decompress, on a compacted topic',
      'CORRUPT_BATCH',
      () => altered(gzipped(testBatch(['a'])), (bytes) => bytes.fill(0, 61)),
      { 'cleanup.policy': 'compact,delete' },
    ],
    [
      'a timestamp too far ahead',
      'INVALID_TIMESTAMP',
      () => testBatch(['a'], { timestampMs: 1_700_000_000_000 + 1001 }),
      { 'message.timestamp.after.max.ms': '1000' },
    ],
    [
      'a timestamp too far behind',
      'INVALID_TIMESTAMP',
      () => testBatch(['a'], { timestampMs: 1_700_000_000_000 - 1001 }),
      { 'message.timestamp.before.max.ms': '1000' },
    ],
    ['acks=all with too few replicas', 'NOT_ENOUGH_REPLICAS', () => testBatch(['a']), { 'min.insync.replicas': '2' }],
  ];
  test.each(cases)('%s: %s', async (_, code, records, configs) => {
    const node = await nodeWithTopic(configs);
    await expect(produceBatch(node, 'orders', records())).rejects.toMatchObject({ code });
    expect(node.service.partitionStatus('orders')[0]?.logEndOffset).toBe(0);
    // The partition is none the worse for it.
    const good = testBatch(['good'], { key: 'k', timestampMs: 1_700_000_000_000 });
    await produceBatch(node, 'orders', good, 0, 1);
    expect(await readValues(node, 'orders')).toEqual(['good']);
  });

  test.each([
    ['nowhere', 0],
    ['orders', 2],
    ['orders', -1],
    ['orders', 0.5],
    ['__proto__', 0],
    ['constructor', 0],
  ])('partition %s-%d, which does not exist', async (topic, partition) => {
    const node = await nodeWithTopic();
    await expect(produceBatch(node, topic, testBatch(['a']), partition)).rejects.toMatchObject({
      code: 'UNKNOWN_TOPIC_OR_PARTITION',
    });
  });

  test('topics that the broker writes itself', async () => {
    const node = await nodeWithTopic();
    await expect(produceBatch(node, '__consumer_offsets', testBatch(['a']))).rejects.toMatchObject({
      code: 'INVALID_NAME',
    });
  });

  test('timestamps at the bounds and without a timestamp pass; with LogAppendTime any does', async () => {
    const node = await nodeWithTopic({
      'message.timestamp.after.max.ms': '1000',
      'message.timestamp.before.max.ms': '1000',
    });
    for (const timestampMs of [node.clock.now() + 1000, node.clock.now() - 1000, -1]) {
      await produceBatch(node, 'orders', testBatch(['a'], { timestampMs }));
    }
    await node.service.alterTopicConfigs('orders', new Map([['message.timestamp.type', 'LogAppendTime']]), {
      validateOnly: false,
    });
    const outcome = await produceBatch(node, 'orders', testBatch(['b'], { timestampMs: 5 }));
    expect(outcome.logAppendTimeMs).toBe(node.clock.now());
  });
});

describe('compressed batches on a compacted topic', () => {
  test('what follows waits behind their check, so that the order stays', async () => {
    const node = await nodeWithTopic({ 'cleanup.policy': 'compact' });
    const keyed = (value: string): Buffer => testBatch([value], { key: 'k' });
    const answers = [
      produceBatch(node, 'orders', gzipped(keyed('0'))),
      produceBatch(node, 'orders', keyed('1')),
      produceBatch(node, 'orders', gzipped(testBatch(['no key']))),
      produceBatch(node, 'orders', keyed('2')),
      produceBatch(node, 'orders', gzipped(keyed('3')), 0, 0),
    ];
    const elsewhere = produceBatch(node, 'orders', keyed('not held up'), 1);
    const outcomes = await Promise.allSettled(answers);
    expect(outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value.baseOffset : 'refused'))).toEqual([
      0,
      1,
      'refused',
      2,
      3,
    ]);
    expect((await elsewhere).baseOffset).toBe(0);
    // Nothing waits any more: the next is appended at once.
    void produceBatch(node, 'orders', keyed('4'), 0, 0);
    expect(node.service.partitionStatus('orders')[0]?.logEndOffset).toBe(5);
  });

  test('a bomb is refused at the limit', async () => {
    const node = await startTestNode({ settings: { decompressedBytesMax: 1024 * 1024 } });
    await createTopic(node, 'orders', 1, { 'cleanup.policy': 'compact' });
    const bomb = gzipped(testBatch(['x'.repeat(2 * 1024 * 1024)], { key: 'k' }));
    expect(bomb.length).toBeLessThan(10_000);
    await expect(produceBatch(node, 'orders', bomb)).rejects.toMatchObject({ code: 'DECOMPRESSION_LIMIT' });
  });

  test('stopping waits for those that are being checked', async () => {
    const node = await nodeWithTopic({ 'cleanup.policy': 'compact' });
    const answer = produceBatch(node, 'orders', gzipped(testBatch(['a'], { key: 'k' })));
    await node.stop();
    expect((await answer).baseOffset).toBe(0);
    await expect(produceBatch(node, 'orders', testBatch(['b'], { key: 'k' }))).rejects.toMatchObject({
      code: 'SHUTTING_DOWN',
    });
  });
});

describe('a disk that is nearly full', () => {
  test('refuses writes, serves readers, and takes writes again by itself', async () => {
    const disk = new MemoryDisk({ capacityBytes: 10_000_000 });
    const node = await startTestNode({ disk, settings: { diskFreeBytesMin: 1_000_000 } });
    await createTopic(node, 'orders');
    await produceBatch(node, 'orders', testBatch(['before']));
    const waiting = node.service.fetch(fetchRequest([fetchFrom('orders', 1)], { waitMs: 60_000 }));

    disk.capacityBytes = 10_000_000 - (await disk.freeBytes('/data')) + 999_999;
    node.clock.advance(5_000);
    await settle();
    await expect(produceBatch(node, 'orders', testBatch(['refused']))).rejects.toMatchObject({ code: 'STORAGE_FULL' });
    await expect(createTopic(node, 'another')).rejects.toMatchObject({ code: 'STORAGE_FULL' });
    expect(await readValues(node, 'orders')).toEqual(['before']);

    disk.capacityBytes = 10_000_000;
    node.clock.advance(1_000);
    await settle();
    await produceBatch(node, 'orders', testBatch(['after']));
    await waiting.done;
    expect(await readValues(node, 'orders')).toEqual(['before', 'after']);
  });

  test('is noticed between two looks at the clock when much is produced', async () => {
    const disk = new MemoryDisk({ capacityBytes: 80_000_000 });
    const node = await startTestNode({ disk, settings: { diskFreeBytesMin: 32_000_000 } });
    await createTopic(node, 'orders');
    const produceAll = async (): Promise<void> => {
      for (;;) await produceBatch(node, 'orders', testBatch(['x'.repeat(500_000)]));
    };
    // Refused by the fence, not stopped by the disk: the log has not failed.
    await expect(produceAll()).rejects.toMatchObject({ code: 'STORAGE_FULL', fields: { freeBytesMin: 32_000_000 } });
    expect(node.service.partitionStatus('orders')[0]?.failure).toBeUndefined();
  });
});
