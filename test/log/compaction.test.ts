import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { LogManager } from '../../broker/log/log-manager.ts';
import type { PartitionLog } from '../../broker/log/partition-log.ts';
import { ManualClock } from '../../broker/ports/manual-clock.ts';
import { MemoryDisk } from '../../broker/ports/memory-disk.ts';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { CODECS } from '../../src/records/batch-header.ts';
import { loadCodecs } from '../../src/records/compression.ts';
import { keyedBatch, type StoredRecord, storedRecords } from '../support/keyed-batches.ts';
import { createLog, managerOptions, openManager } from '../support/log-environment.ts';

beforeAll(loadCodecs);

const RETENTION_MS = 1000;
const COMPACT = {
  cleanupPolicy: 'compact' as const,
  minCleanableDirtyRatio: 0,
  deleteRetentionMs: RETENTION_MS,
  segmentBytes: 1000,
};

interface ModelRecord extends StoredRecord {
  /** End of its batch: a horizon is set only when all of the batch is cleaned. */
  readonly batchEnd: number;
  /** When the first cleaning met it. */
  metAtMs: number | undefined;
  isGone: boolean;
}

/** A log and the array of everything that was ever appended to it. */
class Model {
  readonly records: ModelRecord[] = [];
  readonly #sent = new Map<number, Array<{ bytes: Buffer; baseOffset: number }>>();
  readonly #sequences = new Map<number, number>();
  readonly #clock: ManualClock;

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  async append(
    log: PartitionLog,
    keys: ReadonlyArray<{ key: string | null; isTombstone: boolean }>,
    how: { codec: (typeof CODECS)[number]; producerId: number | undefined },
  ): Promise<void> {
    const timestampMs = this.#clock.now();
    const records = keys.map(({ key, isTombstone }, i) => ({
      key,
      value: isTombstone ? null : `${this.records.length + i} ${'v'.repeat(60)}`,
      timestampMs: timestampMs + ((i * 7) % 3),
    }));
    const { codec, producerId } = how;
    const baseSequence = this.#sequences.get(producerId ?? -1) ?? 0;
    const bytes = await keyedBatch(records, { codec, ...(producerId !== undefined && { producerId, baseSequence }) });
    const copy = Buffer.from(bytes);
    const { baseOffset, nextOffset, synced } = log.append(bytes, { leaderEpoch: 0, appendTimeMs: timestampMs });
    await synced;
    log.advanceHighWatermark(log.syncedOffset);
    for (const [i, record] of records.entries()) {
      const offset = baseOffset + i;
      this.records.push({ ...record, offset, batchEnd: nextOffset, metAtMs: undefined, isGone: false });
    }
    if (producerId === undefined) return;
    this.#sequences.set(producerId, baseSequence + records.length);
    const sent = this.#sent.get(producerId) ?? [];
    this.#sent.set(producerId, sent);
    sent.push({ bytes: copy, baseOffset });
    if (sent.length > 5) sent.shift();
  }

  /** Every one of a producer's last five batches is known again. */
  checkProducers(log: PartitionLog): void {
    for (const sent of this.#sent.values()) {
      for (const { bytes, baseOffset } of sent) {
        const again = log.append(Buffer.from(bytes), { leaderEpoch: 0, appendTimeMs: 0 });
        expect(again).toMatchObject({ duplicate: true, baseOffset });
      }
    }
  }

  /** What a log must hold after a cleaning that went up to `cleanedOffset`. */
  async check(log: PartitionLog): Promise<void> {
    const { cleanedOffset } = log.cleaning;
    const nowMs = this.#clock.now();
    const newestBelow = new Map<string, number>();
    for (const { key, offset } of this.records)
      if (key !== null && offset < cleanedOffset) newestBelow.set(key, offset);
    const expected = this.records.filter((record) => {
      if (record.isGone) return false;
      if (record.offset >= cleanedOffset) return true;
      const isNewest = record.key !== null && newestBelow.get(record.key) === record.offset;
      // A tombstone in a batch that reaches beyond the cleaned part waits for the next cleaning.
      if (record.batchEnd <= cleanedOffset) record.metAtMs ??= nowMs;
      const isDue = record.value === null && record.metAtMs !== undefined && record.metAtMs + RETENTION_MS <= nowMs;
      record.isGone = !isNewest || isDue;
      return !record.isGone;
    });
    const stored = await storedRecords(log);
    const plain = ({ offset, key, value, timestampMs }: StoredRecord) => ({ offset, key, value, timestampMs });
    expect(stored.map(plain)).toEqual(expected.map(plain));
    expect(log.logEndOffset).toBe(this.records.length);
    for (const [i, segment] of log.segments.entries()) {
      if (i > 0) expect(segment.baseOffset).toBe(log.segments[i - 1]!.nextOffset);
    }
  }
}

const stepArbitrary = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      keys: fc.array(
        fc.record({
          key: fc.oneof({ weight: 30, arbitrary: fc.nat(30).map((n) => `key ${n}`) }, fc.constant(null)),
          isTombstone: fc.nat(4).map((n) => n === 0),
        }),
        { minLength: 1, maxLength: 5 },
      ),
      codec: fc.constantFrom(...CODECS),
      producerId: fc.constantFrom(undefined, 1, 2),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('clean' as const), afterMs: fc.constantFrom(0, 400, 1000) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reopen' as const), losesSnapshots: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('roll' as const) }) },
);

describe('compaction', () => {
  it('keeps of each key what a Map would, whatever is appended, cleaned and reopened', async () => {
    let cleanings = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(stepArbitrary, { minLength: 5, maxLength: 60 }),
        fc.constantFrom(1, 1000, 1_000_000),
        fc.constantFrom(300, 1000, 8000),
        async (steps, compactionKeyBytesMax, segmentBytes) => {
          const clock = new ManualClock();
          const disk = new MemoryDisk();
          // Hot batches are served from memory as they were appended; here the segments are looked at.
          const options = managerOptions({ clock, disk, tailCacheBytes: 0, maintenance: { compactionKeyBytesMax } });
          let manager = await openManager(options);
          let log = await createLog(manager, 'orders', { ...COMPACT, segmentBytes });
          const model = new Model(clock);
          for (const step of [...steps, { kind: 'clean' as const, afterMs: 5000 }]) {
            if (step.kind === 'append') await model.append(log, step.keys, step);
            else if (step.kind === 'roll') log.roll();
            else if (step.kind === 'clean') {
              clock.advance(step.afterMs);
              await log.syncSegments();
              await manager.maintain();
              expect(log.failure).toBeUndefined();
              expect(log.cleaning.cleanedOffset).toBe(log.segmentCount > 1 ? log.segments.at(-1)!.baseOffset : 0);
              await model.check(log);
              model.checkProducers(log);
              cleanings++;
            } else {
              await manager.close();
              if (step.losesSnapshots) {
                for (const name of await disk.list(log.folder)) {
                  if (name.endsWith('.snapshot')) await disk.remove(`${log.folder}/${name}`);
                }
              }
              manager = await openManager(options);
              log = await createLog(manager, 'orders', { ...COMPACT, segmentBytes });
              // A start goes on with the last segment that has a file, which may be one that was cleaned.
              log.roll();
              model.checkProducers(log);
            }
          }
          await manager.close();
        },
      ),
      { numRuns: 300 },
    );
    expect(cleanings).toBeGreaterThan(500);
  });
});

async function compactedLog(
  config: Parameters<typeof createLog>[2] = {},
  options: Parameters<typeof managerOptions>[0] = {},
): Promise<{ clock: ManualClock; disk: MemoryDisk; manager: LogManager; log: PartitionLog; model: Model }> {
  const clock = new ManualClock();
  const disk = new MemoryDisk();
  const manager = await openManager({ clock, disk, tailCacheBytes: 0, ...options });
  const log = await createLog(manager, 'orders', { ...COMPACT, ...config });
  return { clock, disk, manager, log, model: new Model(clock) };
}

const PLAIN = { codec: 'none' as const, producerId: undefined };

describe('compaction is due', () => {
  async function fill(model: Model, log: PartitionLog, count: number): Promise<void> {
    for (let i = 0; i < count; i++) await model.append(log, [{ key: `key ${i % 3}`, isTombstone: false }], PLAIN);
    await log.syncSegments();
  }

  it('when enough of the log is dirty, and not before', async () => {
    const { manager, log, model } = await compactedLog({ minCleanableDirtyRatio: 0.5 });
    await fill(model, log, 60);
    await manager.maintain();
    const first = log.cleaning.cleanedOffset;
    expect(first).toBeGreaterThan(40);
    // Distinct keys, so that the clean part is large.
    for (let i = 0; i < 60; i++) await model.append(log, [{ key: `other ${i}`, isTombstone: false }], PLAIN);
    await manager.maintain();
    const second = log.cleaning.cleanedOffset;
    expect(second).toBeGreaterThan(first);
    await fill(model, log, 20);
    await manager.maintain();
    expect(log.cleaning.cleanedOffset).toBe(second);
    await manager.close();
  });

  it('for records older than min.compaction.lag.ms only, and for those older than max.compaction.lag.ms in any case', async () => {
    const { clock, manager, log, model } = await compactedLog({
      minCleanableDirtyRatio: 1.1,
      minCompactionLagMs: 500,
      maxCompactionLagMs: 2000,
    });
    await fill(model, log, 30);
    clock.advance(1000);
    await manager.maintain();
    expect(log.cleaning.cleanedOffset).toBe(0);
    const oldEnd = log.logEndOffset;
    clock.advance(1001);
    await fill(model, log, 30);
    await manager.maintain();
    expect(log.cleaning.cleanedOffset).toBeGreaterThan(oldEnd - 10);
    expect(log.cleaning.cleanedOffset).toBeLessThanOrEqual(oldEnd);
    await manager.close();
  });

  it('never beyond the high watermark, nor for a log whose configuration is not known yet', async () => {
    const { clock, disk, manager, log } = await compactedLog();
    for (let i = 0; i < 40; i++) {
      const bytes = await keyedBatch([{ key: 'k', value: 'v'.repeat(80), timestampMs: clock.now() }]);
      await log.append(bytes, { leaderEpoch: 0, appendTimeMs: clock.now() }).synced;
      if (i === 19) log.advanceHighWatermark(20);
    }
    await manager.maintain();
    expect(log.cleaning.cleanedOffset).toBeGreaterThan(0);
    expect(log.cleaning.cleanedOffset).toBeLessThanOrEqual(20);
    const before = log.cleaning.cleanedOffset;
    await manager.close();

    const reopened = await openManager({ clock, disk });
    await reopened.maintain();
    expect(reopened.logs().get('orders-0')!.cleaning.cleanedOffset).toBe(before);
    const configured = await createLog(reopened, 'orders', COMPACT);
    await reopened.maintain();
    expect(configured.cleaning.cleanedOffset).toBeGreaterThan(before);
    await reopened.close();
  });

  it('and leaves gaps that are known, even where the broker dies before it could note how far it came', async () => {
    const { clock, disk, manager, log, model } = await compactedLog();
    await fill(model, log, 60);
    const save = log.saveCleaning.bind(log);
    await new Promise<void>((resolve) => {
      log.saveCleaning = (cleaning) => {
        if (cleaning.cleanedOffset === 0) return save(cleaning);
        resolve();
        return new Promise<void>(() => {});
      };
      void manager.maintain();
    });

    const reopened = await openManager({ clock, disk: disk.kill(new SeededRandom(1)) });
    const deleting = await createLog(reopened, 'orders', { ...COMPACT, cleanupPolicy: 'delete' });
    expect(deleting.cleaning.cleanedOffset).toBe(0);
    const options = { bytesMax: 1000, endOffset: deleting.logEndOffset, wholeFirstBatch: true };
    expect((await deleting.read(1, options)).length).toBeGreaterThan(0);
    await reopened.close();
  });

  it('for a log of compressed batches up to the limit of decompression; the rest is left alone and told once', async () => {
    const warnings: string[] = [];
    const logger = { debug() {}, info() {}, error() {}, warn: (_: unknown, text: string) => void warnings.push(text) };
    const { clock, manager, log, model } = await compactedLog(
      {},
      { logger: logger as never, maintenance: { decompressedBytesMax: 40 } },
    );
    await fill(model, log, 30);
    await model.append(log, [{ key: 'a', isTombstone: false }], { codec: 'gzip', producerId: undefined });
    await fill(model, log, 30);
    for (let i = 0; i < 3; i++) {
      await manager.maintain();
      clock.advance(600_001);
    }
    expect(warnings).toEqual(['compaction failed']);
    expect(await storedRecords(log)).toHaveLength(61);
    expect((await log.offsetForTimestamp(0, 61))?.offset).toBe(0);
    await manager.close();
  });
});

describe('a compacted log', () => {
  it('is served to a reader who was in the middle of a segment that is replaced', async () => {
    const { manager, log, model } = await compactedLog();
    for (let i = 0; i < 40; i++) await model.append(log, [{ key: `key ${i % 2}`, isTombstone: false }], PLAIN);
    await log.syncSegments();
    for (const segment of log.segments.slice(0, -1)) {
      segment.forgetIndexes();
      await segment.closeFile();
    }
    let reads = 0;
    let isOver = false;
    const reader = (async () => {
      while (!isOver || reads < 100) {
        await storedRecords(log);
        reads++;
      }
    })();
    await manager.maintain();
    isOver = true;
    await reader;
    expect(reads).toBeGreaterThan(2);
    await model.check(log);
    await manager.close();
  });

  it('has fewer, larger segments, and the files of the old ones are gone after the delay', async () => {
    const { clock, disk, manager, log, model } = await compactedLog({ segmentBytes: 2000, fileDeleteDelayMs: 50 });
    for (let i = 0; i < 400; i++) await model.append(log, [{ key: `key ${i % 5}`, isTombstone: false }], PLAIN);
    const before = log.segmentCount;
    await manager.maintain();
    await model.append(log, [{ key: 'more', isTombstone: false }], PLAIN);
    log.roll();
    await manager.maintain();
    expect(before).toBeGreaterThan(20);
    expect(log.segmentCount).toBeLessThan(5);
    await model.check(log);
    const deleted = async () => (await disk.list(log.folder)).filter((name) => name.endsWith('.deleted'));
    expect((await deleted()).length).toBeGreaterThan(20);
    clock.advance(50);
    while ((await deleted()).length > 0) await new Promise((resolve) => setImmediate(resolve));
    const files = (await disk.list(log.folder)).filter((name) => name.endsWith('.log'));
    // An empty active segment has no file yet.
    expect(files).toHaveLength(log.segments.filter(({ bytes }) => bytes > 0).length);
    await model.check(log);
    await manager.close();
  });

  it('takes appends while it is cleaned: the cleaner does a bounded slice per turn', async () => {
    const { clock, disk, manager, log, model } = await compactedLog(
      { segmentBytes: 4 * 1024 * 1024, batchBytesMax: 2 * 1024 * 1024 },
      { journalBytes: 64 * 1024 * 1024, unwrittenBytesMax: 64 * 1024 * 1024 },
    );
    const value = 'x'.repeat(8 * 1024);
    for (let i = 0; i < 1500; i++) {
      const bytes = await keyedBatch([{ key: `key ${i % 700}`, value, timestampMs: clock.now() }]);
      void log.append(bytes, { leaderEpoch: 0, appendTimeMs: clock.now() });
    }
    await log.append(await keyedBatch([{ key: 'k', value, timestampMs: 1 }]), { leaderEpoch: 0, appendTimeMs: 1 })
      .synced;
    log.advanceHighWatermark(log.syncedOffset);
    await log.syncSegments();
    expect(log.segmentCount).toBeGreaterThan(2);

    let isDone = false;
    const cleaning = manager.maintain().then(() => {
      isDone = true;
    });
    let turns = 0;
    let acknowledged = 0;
    let written = disk.usedBytes;
    let mostPerTurn = 0;
    while (!isDone) {
      const timestampMs = clock.now();
      const { synced } = log.append(await keyedBatch([{ key: 'live', value: 'v', timestampMs }]), {
        leaderEpoch: 0,
        appendTimeMs: timestampMs,
      });
      // Nothing but the disk stands between an append and its acknowledgment: the cleaner waits for its next turn.
      await synced;
      acknowledged++;
      await new Promise((resolve) => setImmediate(resolve));
      mostPerTurn = Math.max(mostPerTurn, disk.usedBytes - written);
      written = disk.usedBytes;
      turns++;
      clock.advance(1);
    }
    await cleaning;
    expect(acknowledged).toBe(turns);
    expect(turns).toBeGreaterThan(40);
    expect(mostPerTurn).toBeLessThan(1024 * 1024);
    expect((await storedRecords(log)).filter(({ key }) => key === 'live')).toHaveLength(acknowledged);
    expect(model.records).toHaveLength(0);
    await manager.close();
  });

  it('is cleaned no faster than the limit of bytes per second allows', async () => {
    const { clock, manager, log } = await compactedLog(
      { segmentBytes: 1024 * 1024 },
      {
        journalBytes: 64 * 1024 * 1024,
        unwrittenBytesMax: 64 * 1024 * 1024,
        maintenance: { compactionBytesPerSecondMax: 1024 * 1024 },
      },
    );
    for (let i = 0; i < 600; i++) {
      const record = { key: `key ${i % 500}`, value: 'x'.repeat(8 * 1024), timestampMs: clock.now() };
      await log.append(await keyedBatch([record]), { leaderEpoch: 0, appendTimeMs: clock.now() }).synced;
    }
    log.advanceHighWatermark(log.syncedOffset);
    const bytes = log.bytes - log.segments.at(-1)!.bytes;
    const startedMs = clock.monotonic();
    let isDone = false;
    const cleaning = manager.maintain().then(() => {
      isDone = true;
    });
    while (!isDone) {
      await new Promise((resolve) => setImmediate(resolve));
      if (!isDone) clock.advance(10);
    }
    await cleaning;
    // Read for the keys, read again, written.
    expect(clock.monotonic() - startedMs).toBeGreaterThan((bytes / (1024 * 1024)) * 1000 * 2);
    await manager.close();
  });

  it('is closed without waiting for the cleaner to finish', async () => {
    const { clock, disk, manager, log } = await compactedLog(
      { segmentBytes: 1024 * 1024 },
      { journalBytes: 64 * 1024 * 1024, unwrittenBytesMax: 64 * 1024 * 1024 },
    );
    for (let i = 0; i < 600; i++) {
      const record = { key: `key ${i % 500}`, value: 'x'.repeat(8 * 1024), timestampMs: clock.now() };
      await log.append(await keyedBatch([record]), { leaderEpoch: 0, appendTimeMs: clock.now() }).synced;
    }
    log.advanceHighWatermark(log.syncedOffset);
    const cleaning = manager.maintain();
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    await manager.close();
    await cleaning;
    expect(log.cleaning.cleanedOffset).toBe(0);
    expect((await disk.list(log.folder)).filter((name) => name.endsWith('.cleaned'))).toEqual([]);
    const reopened = await openManager({ clock, disk });
    expect(await storedRecords(reopened.logs().get('orders-0')!)).toHaveLength(600);
    await reopened.close();
  });
});
