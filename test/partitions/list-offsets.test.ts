/** Offsets by timestamp, compared with the obvious way: looking at every record from the start. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, MAX_TIMESTAMP } from '../../broker/partitions/broker-service.ts';
import { BatchBuilder } from '../../src/records/batch-builder.ts';
import { testBatch } from '../support/batches.ts';
import { createTopic, produceBatch, startTestNode, type TestNode } from '../support/node-environment.ts';

function listOffset(node: TestNode, timestampMs: number) {
  return node.service.listOffset({
    topic: 'orders',
    partition: 0,
    timestampMs,
    currentLeaderEpoch: -1,
    isolation: 'read_uncommitted',
  });
}

describe('special timestamps', () => {
  test('tell start and end of the log', async () => {
    const node = await startTestNode();
    await createTopic(node, 'orders');
    expect(await listOffset(node, EARLIEST_TIMESTAMP)).toEqual({ offset: 0, timestampMs: -1, leaderEpoch: 0 });
    expect(await listOffset(node, LATEST_TIMESTAMP)).toEqual({ offset: 0, timestampMs: -1, leaderEpoch: 0 });
    expect(await listOffset(node, MAX_TIMESTAMP)).toEqual({ offset: -1, timestampMs: -1, leaderEpoch: -1 });
    for (const value of ['a', 'b', 'c']) await produceBatch(node, 'orders', testBatch([value]));
    await node.service.deleteRecords({ topic: 'orders', partition: 0, offset: 1 });
    expect((await listOffset(node, EARLIEST_TIMESTAMP)).offset).toBe(1);
    expect((await listOffset(node, LATEST_TIMESTAMP)).offset).toBe(3);
    expect(await listOffset(node, 0)).toEqual({ offset: 1, timestampMs: 1000, leaderEpoch: 0 });
  });

  test('others are refused', async () => {
    const node = await startTestNode();
    await createTopic(node, 'orders');
    for (const timestampMs of [-4, -5, -100]) {
      await expect(listOffset(node, timestampMs)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    }
  });
});

test('with LogAppendTime the broker’s time counts', async () => {
  const node = await startTestNode();
  await createTopic(node, 'orders', 1, { 'message.timestamp.type': 'LogAppendTime' });
  const startMs = node.clock.now();
  for (const value of ['a', 'b', 'c']) {
    await produceBatch(node, 'orders', testBatch([value, value]));
    node.clock.advance(1000);
  }
  expect(await listOffset(node, startMs + 1)).toEqual({ offset: 2, timestampMs: startMs + 1000, leaderEpoch: 0 });
  expect((await listOffset(node, MAX_TIMESTAMP)).offset).toBe(4);
});

/** Batches of records, given by their timestamps: in any order, far apart and equal ones. */
const batches = fc.array(
  fc.record({
    timestamps: fc.array(fc.nat(60), { minLength: 1, maxLength: 8 }),
    codec: fc.constantFrom('none' as const, 'gzip' as const, 'lz4' as const),
  }),
  { minLength: 1, maxLength: 60 },
);

test('the first record at or after a timestamp is found, in whatever order the timestamps are, also after a restart', async () => {
  await fc.assert(
    fc.asyncProperty(batches, fc.nat(100), fc.boolean(), async (all, cutPercent, restart) => {
      let node = await startTestNode();
      // Tiny segments and dense indexes, so that all of their borders are met.
      await createTopic(node, 'orders', 1, { 'segment.bytes': '600', 'index.interval.bytes': '150' });
      const timestamps: number[] = [];
      for (const batch of all) {
        await produceBatch(node, 'orders', await encode(batch.timestamps, batch.codec));
        timestamps.push(...batch.timestamps);
      }
      const start = Math.floor((timestamps.length * cutPercent) / 200);
      await node.service.deleteRecords({ topic: 'orders', partition: 0, offset: start });
      if (restart) {
        await node.stop();
        const { disk, clock, coordinator } = node;
        node = await startTestNode({ disk, clock, coordinator });
      }
      for (let timestampMs = 0; timestampMs <= 61; timestampMs += 3) {
        const offset = timestamps.findIndex((each, index) => index >= start && each >= timestampMs);
        expect(await listOffset(node, timestampMs)).toMatchObject({ offset, timestampMs: timestamps[offset] ?? -1 });
      }
      await node.stop();
    }),
    { numRuns: 40 },
  );
});

async function encode(timestamps: readonly number[], codec: 'none' | 'gzip' | 'lz4'): Promise<Buffer> {
  const builder = new BatchBuilder();
  for (const timestampMs of timestamps) builder.append(timestampMs, null, new Uint8Array(10));
  return Buffer.from(await builder.finishCompressed(codec));
}
