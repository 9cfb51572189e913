/** What a data folder says about itself, and which folders are refused. */
import { describe, expect, test } from 'vitest';
import { DATA_FOLDER_FORMAT, openDataFolder } from '../../broker/data-folder.ts';
import { readJsonFile, replaceFile, replaceJsonFile } from '../../broker/log/atomic-file.ts';
import { MemoryDisk } from '../../broker/ports/memory-disk.ts';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';

async function emptyFolder(options: ConstructorParameters<typeof MemoryDisk>[0] = {}): Promise<MemoryDisk> {
  const disk = new MemoryDisk(options);
  await disk.makeDirectory('/data');
  await disk.syncDirectory('/');
  return disk;
}

function open(disk: MemoryDisk, nodeId = 1, seed = 1) {
  const random = new SeededRandom(seed);
  return openDataFolder({ disk, directory: '/data', nodeId, random, ignoredNames: ['broker.lock'] });
}

describe('a data folder', () => {
  test('keeps its cluster id', async () => {
    const disk = await emptyFolder();
    const { clusterId } = await open(disk);
    expect(clusterId).toMatch(/^[A-Za-z0-9_-]{22}$/);
    expect(await open(disk, 1, 2)).toEqual({ clusterId });
    expect(await readJsonFile(disk, '/data/burrow.json')).toEqual({ format: DATA_FOLDER_FORMAT, clusterId, nodeId: 1 });
  });

  test('is the same after a power loss at any moment of its making, or still unused', async () => {
    let changes = 0;
    const whole = await emptyFolder({ onOperation: () => changes++ });
    changes = 0;
    await open(whole);
    for (let at = 1; at <= changes; at++) {
      let count = 0;
      let isMade = false;
      const disk: MemoryDisk = await emptyFolder({
        onOperation: () => {
          if (isMade && ++count === at) disk.halt();
        },
      });
      isMade = true;
      const before = await open(disk).catch(() => undefined);
      const survivor = disk.crash(new SeededRandom(at), 'reordered');
      const after = await open(survivor, 1, 2);
      if (before !== undefined) expect(after).toEqual(before);
    }
    expect(changes).toBeGreaterThan(3);
  });

  test('may hold the lock and what mount points hold before it is used', async () => {
    const disk = await emptyFolder();
    for (const name of ['broker.lock', 'broker.lock-owner.json', 'lost+found'])
      await disk.makeDirectory(`/data/${name}`);
    await open(disk);
  });
});

describe('refused is', () => {
  test('a folder with anything else in it, and it is left as it was', async () => {
    const disk = await emptyFolder();
    await replaceFile(disk, '/data/holiday.jpg', Buffer.from('…'));
    await expect(open(disk)).rejects.toMatchObject({ code: 'INVALID_CONFIG', message: /holiday\.jpg/ });
    expect(await disk.list('/data')).toEqual(['holiday.jpg']);
  });

  test('the folder of another node', async () => {
    const disk = await emptyFolder();
    await open(disk, 1);
    await expect(open(disk, 2)).rejects.toMatchObject({ code: 'INVALID_CONFIG', message: /--node-id 1/ });
  });

  test('a newer format', async () => {
    const disk = await emptyFolder();
    const identity = { format: DATA_FOLDER_FORMAT + 1, clusterId: 'c', nodeId: 1, news: true };
    await replaceJsonFile(disk, '/data/burrow.json', identity);
    await expect(open(disk)).rejects.toMatchObject({ code: 'DATA_FOLDER_VERSION' });
    expect(await readJsonFile(disk, '/data/burrow.json')).toEqual(identity);
  });

  test.each([
    ['damaged', Buffer.from('deadbeef\n{}')],
    ['empty', Buffer.alloc(0)],
  ])('an identity that is %s', async (_, contents) => {
    const disk = await emptyFolder();
    await replaceFile(disk, '/data/burrow.json', contents);
    await expect(open(disk)).rejects.toMatchObject({ code: 'STORAGE_CORRUPT', fields: { file: '/data/burrow.json' } });
  });

  test.each([{}, null, { format: 0, clusterId: 'c' }, { format: 1 }])('an identity that is %j', async (identity) => {
    const disk = await emptyFolder();
    await replaceJsonFile(disk, '/data/burrow.json', identity);
    await expect(open(disk)).rejects.toMatchObject({ code: 'STORAGE_CORRUPT' });
  });
});
