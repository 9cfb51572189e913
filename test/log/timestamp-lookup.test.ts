import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { PartitionLog } from '../../broker/log/partition-log.ts';
import { firstAtOrAfter } from '../../broker/log/timestamp-lookup.ts';
import { BatchBuilder } from '../../src/records/batch-builder.ts';
import { CODECS, type Codec } from '../../src/records/batch-header.ts';
import { loadCodecs } from '../../src/records/compression.ts';
import { createLog, managerOptions, openManager } from '../support/log-environment.ts';

beforeAll(loadCodecs);

interface ModelRecord {
  readonly offset: number;
  readonly timestampMs: number;
  readonly leaderEpoch: number;
}

async function timedBatch(timestampsMs: readonly number[], codec: Codec): Promise<Buffer> {
  const builder = new BatchBuilder();
  for (const [i, timestampMs] of timestampsMs.entries()) {
    builder.append(timestampMs, null, Buffer.from(`record ${i} `.repeat(8)));
  }
  return Buffer.from(await builder.finishCompressed(codec));
}

function dumbFirst(records: readonly ModelRecord[], timestampMs: number, startOffset: number, endOffset: number) {
  return records.find((r) => r.offset >= startOffset && r.offset < endOffset && r.timestampMs >= timestampMs);
}

function dumbNewest(records: readonly ModelRecord[], startOffset: number, endOffset: number) {
  let newest: ModelRecord | undefined;
  for (const record of records) {
    if (record.offset < startOffset || record.offset >= endOffset || record.timestampMs < 0) continue;
    if (newest === undefined || record.timestampMs > newest.timestampMs) newest = record;
  }
  return newest;
}

/** As after a while without reads: closed segments hold neither indexes nor files. */
async function forgetClosed(log: PartitionLog): Promise<void> {
  await log.syncSegments();
  for (const segment of log.segments.slice(0, -1)) {
    segment.forgetIndexes();
    await segment.closeFile();
  }
}

const batchArbitrary = fc.record({
  // Now and then without timestamps, often the same ones, in any order.
  timestampsMs: fc.oneof(
    { weight: 1, arbitrary: fc.constant([-1]) },
    { weight: 9, arbitrary: fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 4 }) },
  ),
  codec: fc.constantFrom(...CODECS),
  leaderEpoch: fc.integer({ min: 0, max: 2 }),
});

describe('the look-up by timestamp', () => {
  it('finds what a search through all records finds', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(batchArbitrary, { minLength: 1, maxLength: 40 }),
        fc.record({
          logAppendTime: fc.boolean(),
          segmentBytes: fc.constantFrom(600, 2000, 100_000),
          indexIntervalBytes: fc.constantFrom(1, 400, 4096),
          tailCacheBytes: fc.constantFrom(0, 2000, 1_000_000),
          forget: fc.boolean(),
          reopen: fc.boolean(),
          start: fc.nat(100),
        }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 70 }), fc.nat(120)), { minLength: 1, maxLength: 12 }),
        async (batches, setup, queries) => {
          const options = managerOptions({ tailCacheBytes: setup.tailCacheBytes });
          const { segmentBytes, indexIntervalBytes } = setup;
          const timestampType = setup.logAppendTime ? ('LogAppendTime' as const) : ('CreateTime' as const);
          const config = { segmentBytes, indexIntervalBytes, timestampType };
          let manager = await openManager(options);
          let log = await createLog(manager, 'orders', config);
          const records: ModelRecord[] = [];
          let leaderEpoch = 0;
          let synced: Promise<void> = Promise.resolve();
          for (const batch of batches) {
            leaderEpoch = Math.max(leaderEpoch, batch.leaderEpoch);
            const appendTimeMs = Math.max(0, batch.timestampsMs[0]!);
            const bytes = await timedBatch(batch.timestampsMs, batch.codec);
            const appended = log.append(bytes, { leaderEpoch, appendTimeMs });
            synced = appended.synced;
            for (const [i, timestampMs] of batch.timestampsMs.entries()) {
              const stamped = setup.logAppendTime ? appendTimeMs : timestampMs;
              records.push({ offset: appended.baseOffset + i, timestampMs: stamped, leaderEpoch });
            }
          }
          if (setup.reopen) {
            await manager.close();
            manager = await openManager(options);
            log = await createLog(manager, 'orders', config);
          }
          if (setup.forget) await forgetClosed(log);
          if (setup.start > 0) {
            await synced;
            log.advanceHighWatermark(log.syncedOffset);
            await log.deleteRecordsBefore(Math.min(setup.start, log.highWatermark));
          }
          for (const [timestampMs, endAt] of queries) {
            const end = Math.min(endAt, log.logEndOffset);
            const found = await log.offsetForTimestamp(timestampMs, end);
            expect(found, `first at or after ${timestampMs} below ${end}`).toEqual(
              dumbFirst(records, timestampMs, log.logStartOffset, end),
            );
            expect(await log.maxTimestamp(end), `newest below ${end}`).toEqual(
              dumbNewest(records, log.logStartOffset, end),
            );
          }
          await manager.close();
        },
      ),
      { numRuns: 300 },
    );
  });

  it('finds the first of the newest where two segments have equally new ones below the end', async () => {
    const manager = await openManager();
    const log = await createLog(manager);
    const options = { leaderEpoch: 0, appendTimeMs: 0 };
    log.append(await timedBatch([0, 55], 'none'), options);
    log.roll();
    log.append(await timedBatch([55, 0], 'none'), options);
    log.append(await timedBatch([56], 'none'), options);
    expect(await log.maxTimestamp(4)).toEqual({ offset: 1, timestampMs: 55, leaderEpoch: 0 });
  });

  it('answers from memory what no segment file holds yet', async () => {
    const manager = await openManager();
    const log = await createLog(manager);
    log.append(await timedBatch([10, 30, 20], 'gzip'), { leaderEpoch: 4, appendTimeMs: 0 });
    expect(log.segments[0]!.writtenBytes).toBe(0);
    expect(await log.offsetForTimestamp(15, 3)).toEqual({ offset: 1, timestampMs: 30, leaderEpoch: 4 });
    expect(await log.maxTimestamp(3)).toEqual({ offset: 1, timestampMs: 30, leaderEpoch: 4 });
    expect(await log.offsetForTimestamp(31, 3)).toBeUndefined();
    expect(await log.offsetForTimestamp(15, 1)).toBeUndefined();
  });

  it('does not open a batch that would take more memory than allowed', async () => {
    const manager = await openManager();
    const log = await createLog(manager);
    const builder = new BatchBuilder();
    builder.append(10, null, Buffer.alloc(100_000));
    builder.append(20, null, Buffer.alloc(100_000));
    log.append(Buffer.from(await builder.finishCompressed('gzip')), { leaderEpoch: 0, appendTimeMs: 0 });
    expect((await firstAtOrAfter(log, 20, 2, 300_000))?.offset).toBe(1);
    await expect(firstAtOrAfter(log, 20, 2, 150_000)).rejects.toMatchObject({ code: 'DECOMPRESSION_LIMIT' });
    // Nor one that cannot hold what is asked for.
    expect(await firstAtOrAfter(log, 21, 2, 150_000)).toBeUndefined();
  });

  it('goes on where the log begins when records are deleted under it', async () => {
    const manager = await openManager({ tailCacheBytes: 0 });
    const log = await createLog(manager, 'orders', { segmentBytes: 500 });
    for (let i = 0; i < 40; i++) {
      await log.append(await timedBatch([i, i], 'none'), { leaderEpoch: 0, appendTimeMs: 0 }).synced;
    }
    log.advanceHighWatermark(log.syncedOffset);
    await forgetClosed(log);
    const search = log.offsetForTimestamp(5, 80);
    const deletion = log.deleteRecordsBefore(60);
    const found = await search;
    await deletion;
    expect(found).toBeDefined();
    expect([10, 60]).toContain(found!.offset);
    expect(await log.offsetForTimestamp(5, 80)).toEqual({ offset: 60, timestampMs: 30, leaderEpoch: 0 });
  });
});
