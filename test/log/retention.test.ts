import { describe, expect, it } from 'vitest';
import type { LogConfig } from '../../broker/log/log-config.ts';
import type { LogManager, LogManagerOptions } from '../../broker/log/log-manager.ts';
import type { PartitionLog } from '../../broker/log/partition-log.ts';
import { ManualClock } from '../../broker/ports/manual-clock.ts';
import { MemoryDisk } from '../../broker/ports/memory-disk.ts';
import { testBatch } from '../support/batches.ts';
import { createLog, openManager, readLog } from '../support/log-environment.ts';

const VALUE = 'v'.repeat(100);

async function setUp(
  config: Partial<LogConfig>,
  options: Partial<LogManagerOptions> = {},
): Promise<{ clock: ManualClock; disk: MemoryDisk; manager: LogManager; log: PartitionLog }> {
  const clock = new ManualClock();
  const disk = new MemoryDisk();
  const manager = await openManager({ clock, disk, ...options });
  const log = await createLog(manager, 'orders', { segmentBytes: 1000, ...config });
  return { clock, disk, manager, log };
}

/** One record per batch, with the clock's time; visible to consumers. */
async function append(log: PartitionLog, clock: ManualClock, count: number, timestampMs?: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const batch = testBatch([VALUE], { timestampMs: timestampMs ?? clock.now() });
    await log.append(batch, { leaderEpoch: 0, appendTimeMs: clock.now() }).synced;
  }
  log.advanceHighWatermark(log.syncedOffset);
}

describe('retention by time', () => {
  it('removes closed segments whose newest record is too old, for good', async () => {
    const { clock, disk, manager, log } = await setUp({ retentionMs: 1000 });
    await append(log, clock, 20);
    clock.advance(600);
    await append(log, clock, 20);
    const firstYoung = log.segments.find((segment) => segment.nextOffset > 20)!.baseOffset;
    await manager.maintain();
    expect(log.logStartOffset).toBe(0);
    clock.advance(401);
    await manager.maintain();
    expect(log.logStartOffset).toBe(firstYoung);
    await manager.close();
    const reopened = await openManager({ clock, disk });
    expect((await readLog(reopened.logs().get('orders-0')!)).at(0)?.baseOffset).toBe(firstYoung);
    await reopened.close();
  });

  it('empties a log that nobody appends to any more, also its active segment', async () => {
    const { clock, manager, log } = await setUp({ retentionMs: 1000 });
    await append(log, clock, 3);
    clock.advance(1001);
    await manager.maintain();
    expect([log.logStartOffset, log.logEndOffset, log.isEmpty]).toEqual([3, 3, true]);
    await append(log, clock, 1);
    expect((await readLog(log)).map(({ baseOffset }) => baseOffset)).toEqual([3]);
    await manager.close();
  });

  it('stops at a segment with a newer record, and at the high watermark', async () => {
    const { clock, manager, log } = await setUp({ retentionMs: 1000 });
    await append(log, clock, 10);
    await append(log, clock, 1, clock.now() + 5000);
    await append(log, clock, 10);
    clock.advance(2000);
    await manager.maintain();
    expect(log.logStartOffset).toBeGreaterThan(0);
    expect(log.logStartOffset).toBeLessThanOrEqual(10);

    const { clock: otherClock, manager: otherManager, log: unseen } = await setUp({ retentionMs: 1000 });
    for (let i = 0; i < 30; i++) {
      const batch = testBatch([VALUE], { timestampMs: otherClock.now() });
      await unseen.append(batch, { leaderEpoch: 0, appendTimeMs: otherClock.now() }).synced;
      if (i === 14) unseen.advanceHighWatermark(15);
    }
    otherClock.advance(5000);
    await otherManager.maintain();
    expect(unseen.logStartOffset).toBeGreaterThan(0);
    expect(unseen.logStartOffset).toBeLessThanOrEqual(15);
    await Promise.all([manager.close(), otherManager.close()]);
  });

  it('takes records without a timestamp for as old as their segment is known to be closed', async () => {
    const { clock, manager, log } = await setUp({ retentionMs: 1000 });
    await append(log, clock, 20, -1);
    clock.advance(5000);
    await manager.maintain();
    expect(log.logStartOffset).toBe(0);
    clock.advance(1001);
    await manager.maintain();
    expect(log.logStartOffset).toBe(log.segments.at(-1)!.baseOffset);
    await manager.close();
  });
});

describe('retention', () => {
  it('may take away a segment that is only in memory and the journal', async () => {
    const { clock, disk, manager, log } = await setUp({ retentionMs: 1000 });
    await append(log, clock, 3);
    expect(log.segments[0]!.writtenBytes).toBe(0);
    clock.advance(1001);
    await manager.maintain();
    await append(log, clock, 1);
    await log.syncSegments();
    expect(log.failure).toBeUndefined();
    await manager.close();
    const reopened = await openManager({ clock, disk });
    expect((await readLog(reopened.logs().get('orders-0')!)).map(({ baseOffset }) => baseOffset)).toEqual([3]);
    await reopened.close();
  });
});

describe('retention by size', () => {
  it('removes the oldest segments as long as the rest is still large enough', async () => {
    const { clock, manager, log } = await setUp({ retentionMs: -1, retentionBytes: 3000 });
    await append(log, clock, 60);
    await manager.maintain();
    expect(log.bytes).toBeGreaterThanOrEqual(3000);
    expect(log.bytes - log.segments[0]!.bytes).toBeLessThan(3000);
    await manager.close();
  });

  it('never removes the active segment', async () => {
    const { clock, manager, log } = await setUp({ retentionMs: -1, retentionBytes: 0 });
    await append(log, clock, 12);
    await manager.maintain();
    expect(log.segmentCount).toBe(1);
    expect(log.bytes).toBeGreaterThan(0);
    await manager.close();
  });
});

describe('maintenance', () => {
  it('leaves a log alone until its configuration is known, and one that is only compacted', async () => {
    const { clock, disk, manager, log } = await setUp({ retentionMs: -1 });
    await append(log, clock, 30);
    await manager.close();
    // Longer than the default retention.
    clock.advance(30 * 86_400_000);
    const reopened = await openManager({ clock, disk });
    await reopened.maintain();
    expect(reopened.logs().get('orders-0')!.logStartOffset).toBe(0);
    const compacted = await createLog(reopened, 'orders', {
      retentionMs: 1,
      retentionBytes: 1,
      cleanupPolicy: 'compact',
      minCleanableDirtyRatio: 2,
    });
    await reopened.maintain();
    expect(compacted.logStartOffset).toBe(0);
    compacted.reconfigure({ ...compacted.config, cleanupPolicy: 'compact,delete' });
    await reopened.maintain();
    expect(compacted.logStartOffset).toBe(30);
    await reopened.close();
  });

  it('rolls a segment by age, also one from before a restart, and sooner where records wait for compaction', async () => {
    const { clock, disk, manager, log } = await setUp({ segmentMs: 1000, retentionMs: -1 });
    await append(log, clock, 1);
    clock.advance(999);
    await manager.maintain();
    expect(log.segmentCount).toBe(1);
    clock.advance(1);
    await manager.maintain();
    expect(log.segmentCount).toBe(2);
    await append(log, clock, 1);
    await manager.close();

    const reopened = await openManager({ clock, disk });
    const config = { segmentMs: 1000, retentionMs: -1, cleanupPolicy: 'compact' as const, maxCompactionLagMs: 500 };
    const again = await createLog(reopened, 'orders', config);
    await reopened.maintain();
    expect(again.segmentCount).toBe(2);
    clock.advance(500);
    await reopened.maintain();
    expect(again.segments.at(-1)!.baseOffset).toBe(2);
    await reopened.close();
  });

  it('runs by itself, and no more after close', async () => {
    const { clock, manager, log } = await setUp({ retentionMs: 1000 }, { maintenance: { maintenanceIntervalMs: 100 } });
    await append(log, clock, 3);
    for (let i = 0; i < 20 && log.logStartOffset === 0; i++) {
      clock.advance(100);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(log.logStartOffset).toBe(3);
    await manager.close();
    expect(clock.timers).toBe(0);
  });

  it('forgets producers that were silent for too long', async () => {
    const { clock, manager, log } = await setUp({}, { maintenance: { producerIdExpirationMs: 1000 } });
    const producer = { producerId: 7, producerEpoch: 0, timestampMs: clock.now() };
    const send = (baseSequence: number) =>
      log.append(testBatch([VALUE], { ...producer, baseSequence }), { leaderEpoch: 0, appendTimeMs: clock.now() });
    await send(0).synced;
    clock.advance(1000);
    await manager.maintain();
    expect(() => send(9)).toThrow(/1 is next/);
    clock.advance(1);
    await manager.maintain();
    expect(send(9).baseOffset).toBe(1);
    await manager.close();
  });

  it('keeps few files open and forgets the indexes of what is not read', async () => {
    const { clock, disk, manager, log } = await setUp(
      { retentionMs: -1 },
      { tailCacheBytes: 0, maintenance: { closedFilesMax: 3, segmentIdleMs: 1000 } },
    );
    await append(log, clock, 60);
    await log.syncSegments();
    const closed = () => log.segments.slice(0, -1);
    const open = () => closed().filter((segment) => segment.isOpen).length;
    await readLog(log);
    expect(open()).toBeGreaterThan(3);
    await manager.maintain();
    expect(open()).toBe(3);
    expect(closed().filter((segment) => segment.indexMemoryBytes > 0)).toHaveLength(3);
    clock.advance(1000);
    await manager.maintain();
    expect(open()).toBe(0);
    expect((await readLog(log)).length).toBe(60);
    await manager.close();
    // Nor does a start hold files open.
    const reopened = await openManager({ clock, disk, maintenance: { segmentIdleMs: 1000 } });
    const again = reopened.logs().get('orders-0')!;
    expect(again.segments.slice(0, -1).filter((segment) => segment.isOpen)).toHaveLength(0);
    await reopened.close();
  });

  it('goes on with the other logs when storage fails under one, and tells each cause once', async () => {
    const told: unknown[] = [];
    const logger = { debug() {}, info() {}, error() {}, warn: (fields: object) => void told.push(fields) };
    const { clock, disk, manager, log } = await setUp({ retentionMs: 1000 }, { logger: logger as never });
    const other = await createLog(manager, 'others', { segmentBytes: 1000, retentionMs: 1000 });
    for (const each of [log, other]) await append(each, clock, 20);
    clock.advance(1001);
    disk.inject({ on: 'rename', when: ({ path }) => path.includes('orders-0') });
    await manager.maintain();
    await manager.maintain();
    expect(other.logStartOffset).toBe(20);
    expect(log.failure?.code).toBe('STORAGE_ERROR');
    expect(told).toEqual([expect.objectContaining({ log: 'orders-0' })]);
    await manager.close();
  });
});
