/** The fault model of the in-memory disk: what crash tests of everything else rely on. */
import { describe, expect, test } from 'vitest';
import { type DiskFile, diskErrorCode } from '../../../broker/ports/disk.ts';
import type { DiskOperation } from '../../../broker/ports/disk-faults.ts';
import { MemoryDisk } from '../../../broker/ports/memory-disk.ts';
import type { CrashMode } from '../../../broker/ports/memory-disk-tree.ts';
import { SeededRandom } from '../../../broker/ports/seeded-random.ts';

const SEEDS = Array.from({ length: 300 }, (_, i) => i);
const UNSYNCED: readonly CrashMode[] = ['lost', 'prefix', 'reordered'];

async function code(call: Promise<unknown>): Promise<string | undefined> {
  return call.then(
    () => 'no error',
    (error: unknown) => diskErrorCode(error),
  );
}

async function contents(disk: MemoryDisk, path: string): Promise<Buffer> {
  const file = await disk.open(path);
  return file.read(0, 1 << 24);
}

/** A disk with /log holding `synced`, name and contents durable. */
async function diskWithSynced(synced: string, seed = 0): Promise<{ disk: MemoryDisk; file: DiskFile }> {
  const disk = new MemoryDisk({ random: new SeededRandom(seed) });
  const file = await disk.open('/log', { create: true });
  await file.write([Buffer.from(synced)], 0);
  await file.sync();
  await disk.syncDirectory('/');
  return { disk, file };
}

describe('contents at a power loss', () => {
  test('what was synced survives in every mode, and old handles are dead', async () => {
    for (const mode of [...UNSYNCED, 'kept'] as const) {
      for (const seed of SEEDS.slice(0, 50)) {
        const { disk, file } = await diskWithSynced('synced', seed);
        await file.write([Buffer.from('+more')], 6);
        const after = disk.crash(new SeededRandom(seed), mode);
        expect((await contents(after, '/log')).subarray(0, 6).toString()).toBe('synced');
        expect(await code(file.write([Buffer.from('late')], 0))).toBe('EHALTED');
        expect(await code(disk.open('/log'))).toBe('EHALTED');
        await file.close();
        expect((await contents(after, '/log')).subarray(0, 6).toString()).toBe('synced');
      }
    }
  });

  test('lost drops and kept keeps all that was not synced', async () => {
    for (const [mode, expected] of [
      ['lost', 'synced'],
      ['kept', 'SYNced+more'],
    ] as const) {
      const { disk, file } = await diskWithSynced('synced');
      await file.write([Buffer.from('+more')], 6);
      await file.write([Buffer.from('SYN')], 0);
      const after = disk.crash(new SeededRandom(1), mode);
      expect((await contents(after, '/log')).toString()).toBe(expected);
    }
  });

  test('a truncation that was not synced is undone by lost and done by kept', async () => {
    for (const [mode, expected] of [
      ['lost', 'synced'],
      ['kept', 'sy'],
    ] as const) {
      const { disk, file } = await diskWithSynced('synced');
      await file.truncate(2);
      expect((await contents(disk.crash(new SeededRandom(1), mode), '/log')).toString()).toBe(expected);
    }
  });

  test('what was kept is durable afterwards: a second crash loses nothing more', async () => {
    for (const seed of SEEDS.slice(0, 50)) {
      const { disk, file } = await diskWithSynced('synced');
      await file.write([Buffer.alloc(9000, 7)], 6);
      const once = disk.crash(new SeededRandom(seed), 'reordered');
      const found = once.snapshot();
      expect(once.crash(new SeededRandom(seed + 1), 'lost').snapshot()).toEqual(found);
    }
  });

  test('prefix keeps writes in order: a write survives, even in part, only if all before it do', async () => {
    const outcomes = new Set<string>();
    for (const seed of SEEDS) {
      const { disk, file } = await diskWithSynced('');
      for (let i = 0; i < 4; i++) await file.write([Buffer.alloc(2048, i + 1)], i * 2048);
      const found = await contents(disk.crash(new SeededRandom(seed), 'prefix'), '/log');
      const sectors = Array.from({ length: Math.ceil(found.byteLength / 512) }, (_, i) => found[i * 512]!);
      const written = sectors.indexOf(0);
      const survivors = written < 0 ? sectors : sectors.slice(0, written);
      expect(survivors).toEqual(Array.from({ length: survivors.length }, (_, i) => Math.floor(i / 4) + 1));
      // Behind the tear there is nothing but the zeros of a size that was ahead of its data.
      expect(sectors.slice(survivors.length).every((byte) => byte === 0)).toBe(true);
      outcomes.add(`${survivors.length} of ${sectors.length}`);
    }
    expect(outcomes).toContain('0 of 0');
    expect(outcomes).toContain('16 of 16');
    expect(outcomes).toContain('5 of 5');
    expect(outcomes).toContain('5 of 8');
    expect(outcomes.size).toBeGreaterThan(15);
  });

  test('reordered may keep a later write and drop an earlier one, tear within a write, and leave zeros as a hole', async () => {
    const seen = { laterWithoutEarlier: 0, tornInside: 0, hole: 0, sizeWithoutData: 0, dataWithoutSize: 0 };
    for (const seed of SEEDS) {
      const { disk, file } = await diskWithSynced('');
      await file.write([Buffer.alloc(4096, 1)], 0);
      await file.write([Buffer.alloc(4096, 2)], 4096);
      const found = await contents(disk.crash(new SeededRandom(seed), 'reordered'), '/log');
      const sectors = Array.from({ length: 16 }, (_, i) => found[i * 512] ?? -1);
      const [first, second] = [sectors.slice(0, 8), sectors.slice(8)];
      if (first.every((byte) => byte === 0) && second.every((byte) => byte === 2)) seen.laterWithoutEarlier++;
      if (first.includes(1) && first.includes(0)) seen.tornInside++;
      if (first.includes(0) && second.includes(2)) seen.hole++;
      if (found.byteLength === 8192 && sectors.every((byte) => byte === 0)) seen.sizeWithoutData++;
      if (found.byteLength === 0) seen.dataWithoutSize++;
      for (const [i, byte] of sectors.entries()) expect([-1, 0, i < 8 ? 1 : 2]).toContain(byte);
    }
    for (const [what, count] of Object.entries(seen)) expect(count, what).toBeGreaterThan(0);
  });

  test('overwritten sectors are old or new, never a mixture', async () => {
    for (const seed of SEEDS) {
      const { disk, file } = await diskWithSynced('o'.repeat(5000), seed);
      await file.write([Buffer.from('n'.repeat(4000))], 300);
      const found = (await contents(disk.crash(new SeededRandom(seed), 'reordered'), '/log')).toString();
      expect(found.slice(0, 300)).toBe('o'.repeat(300));
      expect(found.slice(300, 512)).toMatch(/^(o+|n+)$/);
      for (let at = 512; at < 4096; at += 512) expect(found.slice(at, at + 512)).toMatch(/^(o+|n+)$/);
      expect(found.slice(4096, 4300)).toMatch(/^(o+|n+)$/);
      expect(found.slice(4300)).toBe('o'.repeat(700));
    }
  });

  test('a sync covers what took effect before it was called, not what came while it ran', async () => {
    const waiting: Array<() => void> = [];
    let defer: boolean = false;
    const disk = new MemoryDisk({ schedule: (complete) => (defer ? waiting.push(complete) : complete()) });
    const file = await disk.open('/log', { create: true });
    await disk.syncDirectory('/');
    await file.write([Buffer.from('A')], 0);
    defer = true;
    const sync = file.sync();
    const write = file.write([Buffer.from('B')], 1);
    waiting[1]!();
    await write;
    waiting[0]!();
    await sync;
    defer = false;
    expect((await contents(disk.crash(new SeededRandom(0), 'lost'), '/log')).toString()).toBe('A');
  });
});

describe('names at a power loss', () => {
  test('a synced file whose folder was not synced is gone, or there, by chance', async () => {
    const found = new Set<boolean>();
    for (const seed of SEEDS.slice(0, 40)) {
      const disk = new MemoryDisk();
      const file = await disk.open('/new', { create: true });
      await file.write([Buffer.from('x')], 0);
      await file.sync();
      found.add(await disk.crash(new SeededRandom(seed), 'reordered').exists('/new'));
    }
    expect(found).toEqual(new Set([true, false]));
  });

  test('a folder that its parent does not know durably takes all below it along', async () => {
    const disk = new MemoryDisk();
    await disk.makeDirectory('/a/b');
    const file = await disk.open('/a/b/c', { create: true });
    await file.sync();
    await disk.syncDirectory('/a/b');
    await disk.syncDirectory('/a');
    expect(disk.crash(new SeededRandom(0), 'lost').snapshot().size).toBe(0);
  });

  test('write-new, sync, rename, sync the folder: either version is found at every crash point, whole', async () => {
    const swap = async (disk: MemoryDisk): Promise<void> => {
      const file = await disk.open('/f.new', { create: true, truncate: true });
      await file.write([Buffer.alloc(3000, 'n')], 0);
      await file.sync();
      await file.close();
      await disk.rename('/f.new', '/f');
      await disk.syncDirectory('/');
    };
    const versions = new Set<string>();
    for (let point = 0; point <= 5; point++) {
      for (const mode of ['lost', 'kept', 'prefix', 'reordered'] as const) {
        for (const seed of SEEDS.slice(0, 20)) {
          let armed = -1;
          const disk: MemoryDisk = new MemoryDisk({
            onOperation: (_, index) => {
              if (index === armed) disk.halt();
            },
          });
          const old = await disk.open('/f', { create: true });
          await old.write([Buffer.from('old')], 0);
          await old.sync();
          await disk.syncDirectory('/');
          armed = disk.operations + point;
          await swap(disk).catch(() => {});
          const after = disk.crash(new SeededRandom(seed), mode);
          const text = (await contents(after, '/f')).toString();
          expect(['old', 'n'.repeat(3000)]).toContain(text);
          versions.add(`${point}:${text.slice(0, 1)}`);
        }
      }
    }
    expect(versions).toContain('0:o');
    expect(versions).toContain('3:o');
    expect(versions).toContain('3:n');
    expect(versions).toContain('5:n');
    expect(versions).not.toContain('2:n');
    expect(versions).not.toContain('4:o');
  });

  test('renaming before the contents are synced can leave the new name with nothing in it', async () => {
    const sizes = new Set<number>();
    for (const seed of SEEDS.slice(0, 100)) {
      const disk = new MemoryDisk();
      const file = await disk.open('/f.new', { create: true });
      await file.write([Buffer.alloc(3000, 'n')], 0);
      await disk.rename('/f.new', '/f');
      await disk.syncDirectory('/');
      sizes.add((await contents(disk.crash(new SeededRandom(seed), 'reordered'), '/f')).byteLength);
    }
    expect(sizes).toContain(0);
    expect(sizes).toContain(3000);
  });

  test('a renamed file has its old name or its new one, never both and never neither', async () => {
    const found = new Set<string>();
    for (const seed of SEEDS) {
      const disk = new MemoryDisk();
      await disk.makeDirectory('/a');
      await disk.makeDirectory('/b');
      await disk.syncDirectory('/');
      await (await disk.open('/a/1', { create: true })).sync();
      await disk.syncDirectory('/a');
      await disk.rename('/a/1', '/a/2');
      await disk.rename('/a/2', '/b/3');
      if (seed % 2 === 0) await disk.syncDirectory('/a');
      const names = [...disk.crash(new SeededRandom(seed), 'reordered').snapshot().keys()];
      expect(names).toHaveLength(1);
      found.add(names[0]!);
    }
    expect(found).toEqual(new Set(['/a/1', '/a/2', '/b/3']));
  });

  test('a name made durable elsewhere does not come back where it was created', async () => {
    for (const seed of SEEDS.slice(0, 50)) {
      const disk = new MemoryDisk();
      await disk.makeDirectory('/a');
      await disk.makeDirectory('/b');
      await disk.syncDirectory('/');
      await (await disk.open('/a/x', { create: true })).sync();
      await disk.rename('/a/x', '/b/x');
      await disk.syncDirectory('/b');
      const mode = seed % 2 === 0 ? 'kept' : 'reordered';
      expect([...disk.crash(new SeededRandom(seed), mode).snapshot().keys()]).toEqual(['/b/x']);
    }
  });

  test('a removal without a sync of the folder may be undone, with the synced contents', async () => {
    const found = new Set<string>();
    for (const seed of SEEDS.slice(0, 40)) {
      const { disk } = await diskWithSynced('synced');
      await disk.remove('/log');
      const after = disk.crash(new SeededRandom(seed), 'reordered');
      found.add((await after.exists('/log')) ? (await contents(after, '/log')).toString() : 'gone');
    }
    expect(found).toEqual(new Set(['gone', 'synced']));
    const { disk } = await diskWithSynced('synced');
    await disk.remove('/log');
    await disk.syncDirectory('/');
    expect(await disk.crash(new SeededRandom(0), 'lost').exists('/log')).toBe(false);
  });

  test('removeTree is many removals: a crash may find a part', async () => {
    const counts = new Set<number>();
    for (const seed of SEEDS.slice(0, 60)) {
      const disk = new MemoryDisk();
      await disk.makeDirectory('/a/b');
      for (const path of ['/a/1', '/a/b/2', '/a/b/3']) await (await disk.open(path, { create: true })).sync();
      for (const folder of ['/a/b', '/a', '/']) await disk.syncDirectory(folder);
      await disk.removeTree('/a');
      counts.add(disk.crash(new SeededRandom(seed), 'reordered').snapshot().size);
    }
    expect(counts).toEqual(new Set([0, 1, 2, 3]));
  });
});

describe('a killed process', () => {
  test('completed writes are seen by the next process but are no more durable than before', async () => {
    const { disk, file } = await diskWithSynced('synced');
    await file.write([Buffer.from('+more')], 6);
    const after = disk.kill(new SeededRandom(0));
    expect((await contents(after, '/log')).toString()).toBe('synced+more');
    expect((await contents(after.crash(new SeededRandom(0), 'lost'), '/log')).toString()).toBe('synced');
  });

  test('a write in flight took effect, or in part, or not', async () => {
    const lengths = new Set<number>();
    for (const seed of SEEDS.slice(0, 100)) {
      const { disk, file } = await diskWithSynced('');
      file.write([Buffer.from('abc'), Buffer.from('def')], 0).catch(() => {});
      const after = disk.kill(new SeededRandom(seed));
      const text = (await contents(after, '/log')).toString();
      expect('abcdef'.startsWith(text)).toBe(true);
      lengths.add(text.length);
    }
    expect(lengths).toEqual(new Set([0, 1, 2, 3, 4, 5, 6]));
  });

  test('its calls fail with EHALTED, or stay silent if so wished', async () => {
    const { disk, file } = await diskWithSynced('');
    const write = file.write([Buffer.from('x')], 0);
    disk.kill(new SeededRandom(0));
    expect(await code(write)).toBe('EHALTED');

    const silent = new MemoryDisk({ whenHalted: 'hang' });
    const hanging = code(silent.open('/a', { create: true }));
    silent.halt();
    let answered = false;
    for (const call of [hanging, code(silent.list('/'))]) {
      void call.then(() => {
        answered = true;
      });
    }
    for (let i = 0; i < 20; i++) await Promise.resolve();
    expect(answered).toBe(false);
  });
});

describe('errors', () => {
  test('the nth matching call fails, with the given code, and only that one', async () => {
    const { disk, file } = await diskWithSynced('synced');
    const fault = disk.inject({ on: 'read', nth: 2, when: ({ position }) => position === 3 });
    expect(await code(file.read(0, 1))).toBe('no error');
    expect(await code(file.read(3, 1))).toBe('no error');
    expect(await code(file.read(3, 1))).toBe('EIO');
    expect(await code(file.read(3, 1))).toBe('no error');
    expect(fault.hits).toBe(1);
    const full = disk.inject({ on: ['create', 'rename'], code: 'ENOSPC', times: 1 });
    expect(await code(disk.rename('/log', '/x'))).toBe('ENOSPC');
    expect(await disk.list('/')).toEqual(['log']);
    expect(await code(disk.open('/new', { create: true }))).toBe('no error');
    full.remove();
    const all = disk.inject({ on: 'list' });
    expect(await code(disk.list('/'))).toBe('EIO');
    all.remove();
    expect(await code(disk.list('/'))).toBe('no error');
    disk.inject({ on: 'list' });
    disk.clearFaults();
    expect(await code(disk.list('/'))).toBe('no error');
  });

  test('a failing write leaves some beginning of its bytes', async () => {
    const lengths = new Set<number>();
    for (const seed of SEEDS.slice(0, 100)) {
      const { disk, file } = await diskWithSynced('', seed);
      disk.inject({ on: 'write' });
      expect(await code(file.write([Buffer.from('abc'), Buffer.from('def')], 0))).toBe('EIO');
      const text = (await contents(disk, '/log')).toString();
      expect('abcdef'.startsWith(text)).toBe(true);
      lengths.add(text.length);
    }
    expect(lengths).toEqual(new Set([0, 1, 2, 3, 4, 5, 6]));
  });

  test('after a failed sync the next one succeeds although data is missing: the trap for who retries', async () => {
    const outcomes = new Set<string>();
    for (const seed of SEEDS.slice(0, 100)) {
      const { disk, file } = await diskWithSynced('', seed);
      await file.write([Buffer.from('A')], 0);
      await file.write([Buffer.from('B')], 1);
      disk.inject({ on: 'sync', nth: 1 });
      expect(await code(file.sync())).toBe('EIO');
      const seen = (await contents(disk, '/log')).toString();
      expect(await code(file.sync())).toBe('no error');
      const mode = seed % 2 === 0 ? 'lost' : 'kept';
      const stored = (await contents(disk.crash(new SeededRandom(seed), mode), '/log')).toString();
      outcomes.add(`${seen.replaceAll('\0', '_')} ${stored.replaceAll('\0', '_')}`);
    }
    // Everything seen and nothing stored (ext4); what is seen is what is stored (Btrfs).
    for (const outcome of ['AB ', 'AB A', 'AB _B', 'AB AB', ' ', 'A A', '_B _B']) expect(outcomes).toContain(outcome);
  });

  test('a full disk takes what fits and says ENOSPC; room comes back with removal, truncation and capacity', async () => {
    const disk = new MemoryDisk({ capacityBytes: 10 });
    const file = await disk.open('/a', { create: true });
    expect(await disk.freeBytes('/')).toBe(10);
    expect(await code(file.write([Buffer.alloc(6, 1), Buffer.alloc(6, 2)], 0))).toBe('ENOSPC');
    expect([...(await file.read(0, 20))]).toEqual([1, 1, 1, 1, 1, 1, 2, 2, 2, 2]);
    expect(await code(file.write([Buffer.alloc(10, 3)], 0))).toBe('no error');
    expect(await code(file.write([Buffer.alloc(1)], 10))).toBe('ENOSPC');
    await file.truncate(4);
    expect(await disk.freeBytes('/')).toBe(6);
    const other = await disk.open('/b', { create: true });
    await other.write([Buffer.alloc(6)], 0);
    await disk.remove('/b');
    expect(await disk.freeBytes('/'), 'still open').toBe(0);
    await other.close();
    expect(await disk.freeBytes('/')).toBe(6);
    await disk.rename('/a', '/c');
    await file.close();
    const third = await disk.open('/d', { create: true });
    await third.write([Buffer.alloc(6)], 0);
    await third.close();
    await disk.rename('/d', '/c');
    expect(disk.usedBytes).toBe(6);
    disk.capacityBytes = 100;
    expect(await disk.freeBytes('/')).toBe(94);
    expect(disk.kill(new SeededRandom(0)).usedBytes).toBe(6);
  });

  test('a flipped bit stays flipped through syncs and crashes', async () => {
    const { disk, file } = await diskWithSynced('AAAA');
    await file.write([Buffer.from('AA')], 4);
    disk.flipBit('/log', 1, 1);
    disk.flipBit('/log', 5, 1);
    expect((await contents(disk, '/log')).toString()).toBe('ACAAAC');
    await file.sync();
    expect((await contents(disk.crash(new SeededRandom(0), 'lost'), '/log')).toString()).toBe('ACAAAC');
    expect(() => disk.flipBit('/log', 6, 0)).toThrow(RangeError);
    expect(() => disk.flipBit('/absent', 0, 0)).toThrow(RangeError);
  });
});

describe('crash points', () => {
  test('changes are numbered, each is told before and after, reads are not', async () => {
    const told: string[] = [];
    const tell = (when: string) => (operation: DiskOperation, index: number) => {
      const { kind, path, to, position, bytes } = operation;
      told.push([when, index, kind, path, to, position, bytes].filter((part) => part !== undefined).join(' '));
    };
    const disk = new MemoryDisk({ beforeOperation: tell('before'), onOperation: tell('after') });
    await disk.makeDirectory('/d');
    const file = await disk.open('/d/a', { create: true });
    await disk.open('/d/a');
    await file.write([Buffer.alloc(3), Buffer.alloc(4)], 5);
    await file.read(0, 1);
    await file.sync();
    await file.truncate(1);
    await disk.rename('/d/a', '/d/b');
    await disk.remove('/d/b');
    await disk.syncDirectory('/d');
    await disk.removeTree('/d');
    expect(disk.operations).toBe(9);
    expect(told.filter((line) => line.startsWith('after'))).toEqual([
      'after 0 makeDirectory /d',
      'after 1 create /d/a',
      'after 2 write /d/a 5 7',
      'after 3 sync /d/a',
      'after 4 truncate /d/a 1',
      'after 5 rename /d/a /d/b',
      'after 6 remove /d/b',
      'after 7 syncDirectory /d',
      'after 8 removeTree /d',
    ]);
    expect(told.filter((line) => line.startsWith('before'))).toHaveLength(9);
  });

  test('halting after a change leaves it done and its caller unanswered; before it, in flight', async () => {
    for (const hook of ['beforeOperation', 'onOperation'] as const) {
      const found = new Set<string>();
      for (const seed of SEEDS.slice(0, 30)) {
        const disk: MemoryDisk = new MemoryDisk({
          [hook]: (operation: DiskOperation) => {
            if (operation.kind === 'write') disk.halt();
          },
        });
        const file = await disk.open('/a', { create: true });
        expect(await code(file.write([Buffer.from('ab')], 0))).toBe('EHALTED');
        expect(await code(file.sync())).toBe('EHALTED');
        found.add((await contents(disk.kill(new SeededRandom(seed)), '/a')).toString());
      }
      expect(found).toEqual(new Set(hook === 'onOperation' ? ['ab'] : ['', 'a', 'ab']));
    }
  });

  test('a hook that throws makes the call fail although it took effect', async () => {
    const disk = new MemoryDisk({
      onOperation: ({ kind }) => {
        if (kind === 'rename') throw new Error('lost answer');
      },
    });
    await disk.open('/a', { create: true });
    await expect(disk.rename('/a', '/b')).rejects.toThrow('lost answer');
    expect(await disk.list('/')).toEqual(['b']);
  });
});

test('calls complete when and in the order the scheduler wants', async () => {
  const random = new SeededRandom('order');
  const waiting: Array<() => void> = [];
  const disk = new MemoryDisk({ schedule: (complete) => waiting.push(complete) });
  const opening = disk.open('/a', { create: true });
  waiting.pop()!();
  const file = await opening;
  const done: number[] = [];
  const writes = [0, 1, 2, 3].map((i) => file.write([Buffer.from(String(i))], i).then(() => done.push(i)));
  expect(waiting).toHaveLength(4);
  const order = random.shuffle([0, 1, 2, 3]);
  for (const i of order) {
    waiting[i]!();
    await writes[i];
  }
  expect(done).toEqual(order);
});

test('without durability tracking nothing waits, and a crash is refused', async () => {
  const disk = new MemoryDisk({ trackDurability: false });
  const file = await disk.open('/a', { create: true });
  await file.write([Buffer.alloc(100_000, 1)], 0);
  await file.sync();
  expect(() => disk.crash(new SeededRandom(0), 'lost')).toThrow('cannot crash');
  expect(() => disk.kill(new SeededRandom(0))).toThrow('cannot crash');
  expect(disk.halted).toBe(false);
});

test('appending costs the same however long the file is', async () => {
  const disk = new MemoryDisk({ trackDurability: false });
  const file = await disk.open('/a', { create: true });
  const batch = [Buffer.alloc(1000, 1)];
  for (let i = 0; i < 100_000; i++) await file.write(batch, i * 1000);
  expect(await file.size()).toBe(100_000_000);
  expect((await file.read(99_999_000, 2000)).equals(batch[0]!)).toBe(true);
}, 5_000);

/** Concurrent clients on a disk with faults, then a crash: everything that happened, as text. */
async function chaos(seed: number): Promise<string> {
  const random = new SeededRandom(seed);
  const waiting: Array<() => void> = [];
  const trace: string[] = [];
  const disk = new MemoryDisk({
    random: random.fork('faults'),
    schedule: (complete) => waiting.push(complete),
    onOperation: (operation, index) => trace.push(`${index} ${operation.kind} ${operation.path}`),
    capacityBytes: 200_000,
  });
  disk.inject({ on: ['write', 'sync', 'create', 'rename', 'read'], probability: 0.05 });
  const client = async (name: string): Promise<void> => {
    const own = random.fork(name);
    let file: DiskFile | undefined;
    for (let i = 0; i < 40; i++) {
      try {
        file ??= await disk.open(`/${name}`, { create: true });
        const draw = own.fraction();
        if (draw < 0.6) await file.write([own.bytes(own.below(3000))], own.below(20_000));
        else if (draw < 0.75) await file.sync();
        else if (draw < 0.8) await file.truncate(own.below(20_000));
        else if (draw < 0.9) await disk.rename(`/${name}`, `/${name}2`);
        else await disk.syncDirectory('/');
      } catch (error) {
        trace.push(`${name} ${diskErrorCode(error)}`);
      }
    }
  };
  const clients = Promise.all(['a', 'b', 'c'].map(client));
  const stopAfter = 50 + random.below(50);
  for (let step = 0; step < stopAfter; step++) {
    const complete = waiting.splice(random.below(waiting.length), 1)[0];
    complete?.();
    for (let i = 0; i < 10; i++) await Promise.resolve();
  }
  const after = disk.crash(random.fork('crash'), random.pick(['lost', 'kept', 'prefix', 'reordered']));
  for (const complete of waiting) complete();
  for (let i = 0; i < 200 && waiting.length > 0; i++) await Promise.resolve();
  await clients;
  for (const [path, bytes] of after.snapshot()) trace.push(`${path} ${bytes.toString('base64')}`);
  return trace.join('\n');
}

test('the same seed gives the same calls, faults and crash; another seed gives others', async () => {
  const traces = new Set<string>();
  for (let seed = 0; seed < 30; seed++) {
    const trace = await chaos(seed);
    expect(await chaos(seed)).toBe(trace);
    traces.add(trace);
  }
  expect(traces.size).toBe(30);
});
