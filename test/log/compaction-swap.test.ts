import { describe, expect, it } from 'vitest';
import { finishCompactionSwaps } from '../../broker/log/compaction-swap.ts';
import { logFile, offsetIndexFile, SWAP_SUFFIX } from '../../broker/log/file-names.ts';
import { MemoryDisk } from '../../broker/ports/memory-disk.ts';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { setBaseOffset } from '../../src/records/batch-header.ts';
import { testBatch } from '../support/batches.ts';
import { createLog, openManager, readLog } from '../support/log-environment.ts';

const FOLDER = '/log';

async function put(disk: MemoryDisk, path: string, bytes: Buffer): Promise<void> {
  const file = await disk.open(path, { create: true, truncate: true });
  await file.write([bytes], 0);
  await file.sync();
  await file.close();
}

function batchAt(baseOffset: number, values: string[]): Buffer {
  const batch = testBatch(values);
  setBaseOffset(batch, 0, baseOffset);
  return batch;
}

/** Segments 0–2, 2–4 and 4–6, the first with an index. */
async function threeSegments(): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  await disk.makeDirectory(FOLDER);
  for (const base of [0, 2, 4]) await put(disk, logFile(FOLDER, base), batchAt(base, ['old', 'old']));
  await put(disk, offsetIndexFile(FOLDER, 0), Buffer.from('old index'));
  await disk.syncDirectory('/');
  await disk.syncDirectory(FOLDER);
  return disk;
}

const names = async (disk: MemoryDisk) => (await disk.list(FOLDER)).map((name) => name.replace(/^0+(?=\d)/, ''));

describe('a swap that was interrupted', () => {
  it('is carried through: what it covers gives way, what lies behind stays', async () => {
    const disk = await threeSegments();
    const compacted = batchAt(0, ['new', 'new', 'new', 'new']);
    await put(disk, logFile(FOLDER, 0) + SWAP_SUFFIX, compacted);
    await finishCompactionSwaps(disk, FOLDER);
    expect(await names(disk)).toEqual(['0.log', '4.log']);
    expect(disk.snapshot().get(logFile(FOLDER, 0))!.equals(compacted)).toBe(true);
    // Durably: a power loss right behind it changes nothing.
    const survivor = disk.crash(new SeededRandom(1), 'lost');
    expect(await names(survivor)).toEqual(['0.log', '4.log']);
  });

  it('is carried through where the old files are gone already', async () => {
    const disk = await threeSegments();
    await put(disk, logFile(FOLDER, 0) + SWAP_SUFFIX, batchAt(0, ['new', 'new', 'new', 'new']));
    for (const base of [0, 2]) await disk.remove(logFile(FOLDER, base));
    await finishCompactionSwaps(disk, FOLDER);
    expect(await names(disk)).toEqual(['0.log', '4.log']);
  });

  it('is undone where its file is damaged and the old one is there', async () => {
    const disk = await threeSegments();
    await put(disk, logFile(FOLDER, 0) + SWAP_SUFFIX, batchAt(0, ['new', 'new', 'new', 'new']).subarray(0, 80));
    await finishCompactionSwaps(disk, FOLDER);
    expect(await names(disk)).toEqual(['0.index', '0.log', '2.log', '4.log']);
    expect(
      disk
        .snapshot()
        .get(logFile(FOLDER, 0))!
        .equals(batchAt(0, ['old', 'old'])),
    ).toBe(true);
  });

  it('makes the start refuse where its file is damaged and the only one', async () => {
    const disk = new MemoryDisk();
    const manager = await openManager({ disk });
    const log = await createLog(manager, 'orders', { segmentBytes: 500 });
    for (let i = 0; i < 20; i++) await log.append(testBatch([`${i}`]), { leaderEpoch: 0, appendTimeMs: 1 }).synced;
    await manager.checkpoint();
    await manager.close();
    const path = logFile(log.folder, 0);
    await disk.rename(path, path + SWAP_SUFFIX);
    disk.flipBit(path + SWAP_SUFFIX, 200, 3);
    await expect(openManager({ disk })).rejects.toMatchObject({ code: 'STORAGE_CORRUPT' });
    const salvaged = (await openManager({ disk, salvage: true })).logs().get('orders-0')!;
    expect((await readLog(salvaged)).length).toBeLessThan(20);
  });
});
