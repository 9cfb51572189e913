import { describe, expect, it } from 'vitest';
import { testBatch } from '../support/batches.ts';
import { createLog, managerOptions, openManager, readLog } from '../support/log-environment.ts';

const append = { leaderEpoch: 0, appendTimeMs: 1_000 };

describe('a partition log', () => {
  it('gives batches ascending offsets and reads them back', async () => {
    const manager = await openManager();
    const log = await createLog(manager);
    const first = log.append(testBatch(['a', 'b']), append);
    const second = log.append(testBatch(['c']), append);
    await Promise.all([first.synced, second.synced]);
    expect([first.baseOffset, second.baseOffset, log.logEndOffset, log.syncedOffset]).toEqual([0, 2, 3, 3]);
    const batches = await readLog(log);
    expect(batches.map(({ baseOffset, values }) => [baseOffset, values])).toEqual([
      [0, ['a', 'b']],
      [2, ['c']],
    ]);
  });

  it('still has everything after a clean restart, across segments', async () => {
    const options = managerOptions();
    const manager = await openManager(options);
    const log = await createLog(manager);
    const values: string[] = [];
    for (let i = 0; i < 500; i++) {
      values.push(`value ${i} ${'x'.repeat(i % 200)}`);
      const { synced } = log.append(testBatch([values[i]!]), append);
      if (i % 7 === 0) await synced;
    }
    expect(log.segmentCount).toBeGreaterThan(3);
    expect((await readLog(log)).flatMap((batch) => batch.values)).toEqual(values);
    await manager.close();

    const reopened = (await openManager(options)).logs().get('orders-0')!;
    expect(reopened.logEndOffset).toBe(500);
    expect(reopened.segmentCount).toBe(log.segmentCount);
    expect((await readLog(reopened)).flatMap((batch) => batch.values)).toEqual(values);
    expect((await readLog(reopened, 321)).flatMap((batch) => batch.values)).toEqual(values.slice(321));
  });

  it('answers a batch that is sent again with its first offsets, also after a restart', async () => {
    const options = managerOptions();
    const manager = await openManager(options);
    const log = await createLog(manager);
    const producer = { producerId: 7, producerEpoch: 0 };
    const first = log.append(testBatch(['a', 'b'], { ...producer, baseSequence: 0 }), append);
    const again = log.append(testBatch(['a', 'b'], { ...producer, baseSequence: 0 }), append);
    expect([again.duplicate, again.baseOffset, log.logEndOffset]).toEqual([true, 0, 2]);
    await Promise.all([first.synced, again.synced]);
    expect(() => log.append(testBatch(['x'], { ...producer, baseSequence: 5 }), append)).toThrow(/sequence 5, but 2/);
    await manager.close();

    const reopened = (await openManager(options)).logs().get('orders-0')!;
    expect(reopened.append(testBatch(['a', 'b'], { ...producer, baseSequence: 0 }), append).duplicate).toBe(true);
    expect(reopened.append(testBatch(['c'], { ...producer, baseSequence: 2 }), append).baseOffset).toBe(2);
    expect(() =>
      reopened.append(testBatch(['x'], { ...producer, producerEpoch: -1, baseSequence: 3 }), append),
    ).toThrow();
  });

  it('removes records below an offset, for good', async () => {
    const options = managerOptions();
    const manager = await openManager(options);
    const log = await createLog(manager);
    for (let i = 0; i < 300; i++) log.append(testBatch([`${i} ${'y'.repeat(200)}`]), append);
    await log.append(testBatch(['last']), append).synced;
    log.advanceHighWatermark(log.syncedOffset);
    const before = log.segmentCount;
    await log.deleteRecordsBefore(150);
    expect(log.logStartOffset).toBe(150);
    expect(log.segmentCount).toBeLessThan(before);
    expect(() => log.read(149, { bytesMax: 100, endOffset: 300, wholeFirstBatch: true })).toThrow(/outside/);
    await manager.close();
    const reopened = (await openManager(options)).logs().get('orders-0')!;
    expect(reopened.logStartOffset).toBe(150);
    expect((await readLog(reopened)).at(0)?.baseOffset).toBe(150);
  });

  it('costs one sync per commit however many partitions it touches', async () => {
    const { MemoryDisk } = await import('../../broker/ports/memory-disk.ts');
    let syncs = 0;
    const disk = new MemoryDisk({ onOperation: (operation) => void (operation.kind === 'sync' && syncs++) });
    const manager = await openManager({ disk, journalBytes: 16 * 1024 * 1024 });
    const logs = await Promise.all(Array.from({ length: 64 }, (_, i) => createLog(manager, `topic-${i}`)));
    syncs = 0;
    await Promise.all(logs.map((log) => log.append(testBatch(['v']), append).synced));
    expect(syncs).toBe(1);
  });

  it('can be deleted while the node has more unwritten batches than it may', async () => {
    const { MemoryDisk } = await import('../../broker/ports/memory-disk.ts');
    // As a real disk, it answers only when the turn of the event loop is over.
    const disk = new MemoryDisk({ schedule: (complete) => void setImmediate(complete) });
    const manager = await openManager({ disk, unwrittenBytesMax: 100 });
    const [doomed, other] = [await createLog(manager, 'doomed'), await createLog(manager, 'other')];
    const outcomes = [doomed, other, doomed, other].map(
      (log) => log.append(testBatch(['x'.repeat(300)]), append).synced,
    );
    doomed.roll();
    await manager.delete(doomed);
    await Promise.allSettled(outcomes);
    await other.append(testBatch(['y']), append).synced;
    expect((await readLog(other)).flatMap((batch) => batch.values)).toHaveLength(3);
    expect([...manager.logs().keys()]).toEqual(['other-0']);
    await manager.close();
  });
});
