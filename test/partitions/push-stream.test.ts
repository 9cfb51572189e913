/** What happens to a push stream's partitions while the disk is read. The rest is tested through the native listener. */
import { expect, test } from 'vitest';
import type { Partition } from '../../broker/partitions/partition.ts';
import { PartitionsPushStream } from '../../broker/partitions/push-stream.ts';
import { WaitingFetches } from '../../broker/partitions/waiting-fetches.ts';
import { ManualClock } from '../../broker/ports/manual-clock.ts';
import { testBatch } from '../support/batches.ts';

/** A partition whose reads the test settles. */
function slowPartition() {
  const reads: Array<{ resolve: (records: Buffer[]) => void; reject: (error: Error) => void }> = [];
  const log = {
    highWatermark: 100,
    lastStableOffset: 100,
    logStartOffset: 0,
    read: () => new Promise<Buffer[]>((resolve, reject) => reads.push({ resolve, reject })),
  };
  const partition = { log, checkLeader() {}, checkOffset() {}, endOffset: () => 100 } as unknown as Partition;
  return { partition, reads };
}

const LIMITS = { recordsMax: 100, bytesMax: 100_000 };

function setUp() {
  const slow = slowPartition();
  const waiting = new WaitingFetches(new ManualClock());
  let told = 0;
  const stream = new PartitionsPushStream({
    findPartition: () => slow.partition,
    waiting,
    isolation: 'read_uncommitted',
    onReady: () => {
      told += 1;
    },
  });
  const wanted = { topic: 't', partition: 0, offset: 0, currentLeaderEpoch: -1 };
  stream.add(wanted);
  return { ...slow, waiting, stream, wanted, told: () => told };
}

test('what was read of a partition that has left meanwhile, or was added anew, is not given out', async () => {
  for (const anew of [false, true]) {
    const { stream, reads, wanted } = setUp();
    const reading = stream.read(LIMITS);
    stream.remove('t', 0);
    if (anew) stream.add({ ...wanted, offset: 50 });
    reads[0]!.resolve([testBatch(['old'])]);
    if (anew) {
      await Promise.resolve();
      await Promise.resolve();
      reads[1]!.resolve([]);
      expect(await reading).toMatchObject({ offset: 50, recordsCount: 0 });
    } else {
      expect(await reading).toBeUndefined();
    }
  }
});

test('an error of a read ends the partition, unless it has left already', async () => {
  const { stream, reads, waiting } = setUp();
  const reading = stream.read(LIMITS);
  reads[0]!.reject(new Error('disk'));
  expect(await reading).toMatchObject({ topic: 't', offset: 0, error: { code: 'INTERNAL_ERROR' }, records: [] });
  expect([stream.partitionCount, waiting.count]).toEqual([0, 0]);
  const other = setUp();
  const read = other.stream.read(LIMITS);
  other.stream.close();
  other.reads[0]!.reject(new Error('disk'));
  expect(await read).toBeUndefined();
});

test('whoever reads is told once for all that moves in a turn, and not while nothing does', async () => {
  const { stream, partition, waiting, reads, told } = setUp();
  await Promise.resolve();
  expect(told()).toBe(1);
  const reading = stream.read(LIMITS);
  reads[0]!.resolve([]);
  await reading;
  expect(stream.isReady).toBe(false);
  waiting.onAdvance(partition);
  waiting.onAdvance(partition);
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
  expect(told()).toBe(2);
  expect(stream.isReady).toBe(true);
});
