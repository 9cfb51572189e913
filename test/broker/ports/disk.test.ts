/** The contract of `Disk`, run over the real disk and the one in memory, and one against the other. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { type Disk, type DiskFile, diskErrorCode } from '../../../broker/ports/disk.ts';
import { MemoryDisk } from '../../../broker/ports/memory-disk.ts';
import { NodeDisk } from '../../../broker/ports/node-disk.ts';

async function nodeDisk(): Promise<{ disk: Disk; root: string }> {
  const root = await mkdtemp(join(tmpdir(), 'burrow-disk-'));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  return { disk: new NodeDisk(), root };
}

async function memoryDisk(trackDurability: boolean): Promise<{ disk: Disk; root: string }> {
  const disk = new MemoryDisk({ trackDurability });
  await disk.makeDirectory('/data');
  return { disk, root: '/data' };
}

async function code(call: Promise<unknown>): Promise<string | undefined> {
  return call.then(
    () => 'no error',
    (error: unknown) => diskErrorCode(error),
  );
}

async function openNew(disk: Disk, path: string): Promise<DiskFile> {
  const file = await disk.open(path, { create: true });
  onTestFinished(() => file.close().catch(() => {}));
  return file;
}

describe.each([
  ['NodeDisk', nodeDisk],
  ['MemoryDisk', () => memoryDisk(true)],
  ['MemoryDisk without journal', () => memoryDisk(false)],
])('%s', (_, make) => {
  test('opening a missing file without create is ENOENT, and a folder EISDIR', async () => {
    const { disk, root } = await make();
    expect(await code(disk.open(join(root, 'absent')))).toBe('ENOENT');
    expect(await code(disk.open(join(root, 'no', 'such'), { create: true }))).toBe('ENOENT');
    expect(await code(disk.open(root, { create: true }))).toBe('EISDIR');
  });

  test('what was written is read back, across buffers, holes and the end of the file', async () => {
    const { disk, root } = await make();
    const file = await openNew(disk, join(root, 'a'));
    await file.write([Buffer.from('hello '), Buffer.alloc(0), Buffer.from('world')], 0);
    await file.write([Buffer.from('!')], 14);
    expect((await file.read(0, 100)).toString('latin1')).toBe('hello world\0\0\0!');
    expect((await file.read(6, 5)).toString()).toBe('world');
    expect((await file.read(15, 5)).byteLength).toBe(0);
    expect((await file.read(1000, 5)).byteLength).toBe(0);
    expect(await file.size()).toBe(15);
    await file.write([], 500);
    await file.write([Buffer.alloc(0)], 500);
    expect(await file.size()).toBe(15);
  });

  test('what several handles append lies one after the other, whatever each has read or written before', async () => {
    const { disk, root } = await make();
    const path = join(root, 'log');
    const files = await Promise.all(
      [1, 2, 3].map(() => disk.open(path, { create: true, append: true }) as Promise<DiskFile>),
    );
    const pieces: string[] = [];
    await Promise.all(
      Array.from({ length: 60 }, (_unused, i) => {
        const piece = `[${i}:${'x'.repeat(i * 37)}]`;
        pieces.push(piece);
        return files[i % 3]!.append(Buffer.from(piece));
      }),
    );
    const text = (await files[0]!.read(0, 1 << 20)).toString();
    expect(text.match(/\[\d+:x*\]/g)?.sort()).toEqual(pieces.sort());
    expect(text).toHaveLength(pieces.join('').length);
    expect(await code(files[0]!.write([Buffer.from('no')], 0))).toBe('EINVAL');
    const plain = await openNew(disk, path);
    expect(await code(plain.append(Buffer.from('no')))).toBe('EINVAL');
    await plain.write([Buffer.from('<')], 0);
    expect((await files[1]!.read(0, 1)).toString()).toBe('<');
    for (const file of files) await file.close();
    expect(await code(files[0]!.append(Buffer.from('no')))).toBe('EBADF');
  });

  test('a watch tells of changes by other handles until it is closed; one of nothing tells nothing', async () => {
    const { disk, root } = await make();
    const path = join(root, 'log');
    const file = await disk.open(path, { create: true, append: true });
    onTestFinished(() => file.close());
    let told = 0;
    const watch = disk.watch(path, () => told++);
    await vi.waitFor(async () => {
      await file.append(Buffer.from('more'));
      expect(told).toBeGreaterThan(0);
    });
    watch.close();
    watch.close();
    disk.watch(join(root, 'absent'), () => {}).close();
  });

  test('a file that is opened for reading only is not written to', async () => {
    const { disk, root } = await make();
    const path = join(root, 'a');
    await (await openNew(disk, path)).write([Buffer.from('hello')], 0);
    const file = await disk.open(path, { readOnly: true });
    onTestFinished(() => file.close());
    expect((await file.read(0, 9)).toString()).toBe('hello');
    expect(await code(file.write([Buffer.from('x')], 0))).toBe('EBADF');
  });

  test('what a file was extended by reads as zeros, from anywhere in it', async () => {
    const { disk, root } = await make();
    const file = await openNew(disk, join(root, 'a'));
    await file.write([Buffer.from('hello')], 0);
    await file.truncate(50_000);
    expect((await file.read(30_000, 50_000)).equals(Buffer.alloc(20_000))).toBe(true);
    expect((await file.read(3, 5)).toString('latin1')).toBe('lo\0\0\0');
  });

  test('a write of more buffers than one writev takes is complete', async () => {
    const { disk, root } = await make();
    const file = await openNew(disk, join(root, 'a'));
    const buffers = Array.from({ length: 5000 }, (_unused, i) => Buffer.from(i % 7 === 0 ? '' : `${i};`));
    const all = Buffer.concat(buffers);
    await file.write(buffers, 3);
    expect((await file.read(3, all.byteLength + 1)).equals(all)).toBe(true);
  });

  test('a returned buffer is not shared with the file or with other reads', async () => {
    const { disk, root } = await make();
    const file = await openNew(disk, join(root, 'a'));
    const source = Buffer.from('abcdef');
    await file.write([source], 0);
    source.fill('z');
    const first = await file.read(0, 6);
    first.fill('y');
    expect((await file.read(0, 6)).toString()).toBe('abcdef');
    expect(first.buffer.byteLength).toBe(6);
    const short = await file.read(0, 1 << 20);
    expect(short.buffer.byteLength).toBe(6);
  });

  test('truncate shortens, and extends with zeros, also where there was data before', async () => {
    const { disk, root } = await make();
    const file = await openNew(disk, join(root, 'a'));
    await file.write([Buffer.alloc(200_000, 1)], 0);
    await file.truncate(70_000);
    expect(await file.size()).toBe(70_000);
    await file.truncate(150_000);
    const bytes = await file.read(0, 200_000);
    expect(bytes.byteLength).toBe(150_000);
    expect(bytes.subarray(0, 70_000).every((byte) => byte === 1)).toBe(true);
    expect(bytes.subarray(70_000).every((byte) => byte === 0)).toBe(true);
  });

  test('open with truncate empties the file, and handles of one file see each other', async () => {
    const { disk, root } = await make();
    const first = await openNew(disk, join(root, 'a'));
    await first.write([Buffer.from('old')], 0);
    const second = await disk.open(join(root, 'a'), { create: true, truncate: true });
    expect(await first.size()).toBe(0);
    await second.write([Buffer.from('new')], 0);
    await second.sync();
    expect((await first.read(0, 3)).toString()).toBe('new');
    await second.close();
  });

  test('a closed file refuses calls with EBADF, and closing twice is nothing', async () => {
    const { disk, root } = await make();
    const file = await disk.open(join(root, 'a'), { create: true });
    await file.close();
    await file.close();
    expect(await code(file.read(0, 1))).toBe('EBADF');
    expect(await code(file.write([Buffer.from('x')], 0))).toBe('EBADF');
    expect(await code(file.sync())).toBe('EBADF');
    expect(await code(file.truncate(0))).toBe('EBADF');
    expect(await code(file.size())).toBe('EBADF');
  });

  test('close waits for the calls in flight', async () => {
    const { disk, root } = await make();
    const file = await disk.open(join(root, 'a'), { create: true });
    const writes = Array.from({ length: 20 }, (_unused, i) => file.write([Buffer.alloc(4096, i)], i * 4096));
    await Promise.all([file.close(), ...writes]);
    const again = await openNew(disk, join(root, 'a'));
    expect(await again.size()).toBe(20 * 4096);
  });

  test('list sorts names, tells a missing folder from an empty one, and refuses files', async () => {
    const { disk, root } = await make();
    await disk.makeDirectory(join(root, 'x', 'y'));
    await disk.makeDirectory(join(root, 'x', 'y'));
    for (const name of ['b', 'a', 'B', '10', '9']) await openNew(disk, join(root, 'x', name));
    expect(await disk.list(join(root, 'x'))).toEqual(['10', '9', 'B', 'a', 'b', 'y']);
    expect(await disk.list(join(root, 'x', 'y'))).toEqual([]);
    expect(await code(disk.list(join(root, 'absent')))).toBe('ENOENT');
    expect(await code(disk.list(join(root, 'x', 'a')))).toBe('ENOTDIR');
    expect(await code(disk.makeDirectory(join(root, 'x', 'a')))).toBe('EEXIST');
    expect(await code(disk.makeDirectory(join(root, 'x', 'a', 'b')))).toBe('ENOTDIR');
  });

  test('rename replaces a file; the handle of the renamed and of the replaced file go on', async () => {
    const { disk, root } = await make();
    const a = await openNew(disk, join(root, 'a'));
    const b = await openNew(disk, join(root, 'b'));
    await a.write([Buffer.from('from a')], 0);
    await b.write([Buffer.from('from b')], 0);
    await disk.rename(join(root, 'a'), join(root, 'b'));
    expect(await disk.list(root)).toEqual(['b']);
    expect((await b.read(0, 9)).toString()).toBe('from b');
    await a.write([Buffer.from('A')], 5);
    const found = await openNew(disk, join(root, 'b'));
    expect((await found.read(0, 9)).toString()).toBe('from A');
    await disk.syncDirectory(root);
  });

  test('rename moves folders with what they hold, onto empty folders only', async () => {
    const { disk, root } = await make();
    await disk.makeDirectory(join(root, 'from', 'deep'));
    await openNew(disk, join(root, 'from', 'deep', 'file'));
    await disk.makeDirectory(join(root, 'full', 'thing'));
    await disk.makeDirectory(join(root, 'empty'));
    await openNew(disk, join(root, 'plain'));
    expect(await code(disk.rename(join(root, 'from'), join(root, 'full')))).toBe('ENOTEMPTY');
    expect(await code(disk.rename(join(root, 'from'), join(root, 'plain')))).toBe('ENOTDIR');
    expect(await code(disk.rename(join(root, 'plain'), join(root, 'empty')))).toBe('EISDIR');
    expect(await code(disk.rename(join(root, 'from'), join(root, 'from', 'deep', 'x')))).toBe('EINVAL');
    expect(await code(disk.rename(join(root, 'absent'), join(root, 'x')))).toBe('ENOENT');
    await disk.rename(join(root, 'from'), join(root, 'empty'));
    expect(await disk.exists(join(root, 'empty', 'deep', 'file'))).toBe(true);
    expect(await disk.exists(join(root, 'from'))).toBe(false);
    await disk.rename(join(root, 'empty'), join(root, 'empty'));
    expect(await disk.exists(join(root, 'empty', 'deep', 'file'))).toBe(true);
  });

  test('remove takes files only; removeTree takes all; neither minds absence', async () => {
    const { disk, root } = await make();
    await disk.makeDirectory(join(root, 'x', 'y'));
    const file = await openNew(disk, join(root, 'x', 'y', 'z'));
    await file.write([Buffer.from('still here')], 0);
    expect(await code(disk.remove(join(root, 'x')))).toMatch(/EISDIR|EPERM/);
    await disk.remove(join(root, 'absent'));
    await disk.removeTree(join(root, 'absent'));
    await disk.removeTree(join(root, 'x'));
    expect(await disk.list(root)).toEqual([]);
    expect((await file.read(0, 99)).toString()).toBe('still here');
    await openNew(disk, join(root, 'one'));
    await disk.removeTree(join(root, 'one'));
    await openNew(disk, join(root, 'two'));
    await disk.remove(join(root, 'two'));
    expect(await disk.list(root)).toEqual([]);
  });

  test('exists, freeBytes and syncDirectory answer', async () => {
    const { disk, root } = await make();
    await openNew(disk, join(root, 'file'));
    expect(await disk.exists(join(root, 'file'))).toBe(true);
    expect(await disk.exists(join(root, 'file', 'below'))).toBe(false);
    expect(await disk.exists(join(root, 'absent'))).toBe(false);
    expect(await disk.freeBytes(root)).toBeGreaterThan(0);
    expect(await code(disk.freeBytes(join(root, 'absent')))).toBe('ENOENT');
    await disk.syncDirectory(root);
    expect(await code(disk.syncDirectory(join(root, 'absent')))).toBe('ENOENT');
    expect(await code(disk.syncDirectory(join(root, 'file')))).toBe('ENOTDIR');
  });

  test('nonsense ranges are refused before they reach the disk', async () => {
    const { disk, root } = await make();
    const file = await openNew(disk, join(root, 'a'));
    for (const position of [-1, Number.NaN, 0.5, 2 ** 60]) {
      await expect(file.write([Buffer.from('x')], position)).rejects.toThrow(RangeError);
      await expect(file.read(position, 1)).rejects.toThrow(RangeError);
      await expect(file.truncate(position)).rejects.toThrow(RangeError);
    }
    expect(await file.size()).toBe(0);
  });
});

type Step =
  | { kind: 'write'; name: string; position: number; parts: number[]; fill: number }
  | { kind: 'truncate'; name: string; bytes: number }
  | { kind: 'rename'; name: string; to: string }
  | { kind: 'remove'; name: string }
  | { kind: 'reopen'; name: string };

const nameArbitrary = fc.constantFrom('a', 'b', 'c');
const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      name: nameArbitrary,
      position: fc.oneof(fc.nat(2000), fc.nat(300_000)),
      parts: fc.array(fc.oneof(fc.nat(100), fc.nat(100_000)), { maxLength: 4 }),
      fill: fc.integer({ min: 1, max: 255 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('truncate' as const), name: nameArbitrary, bytes: fc.nat(300_000) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('rename' as const), name: nameArbitrary, to: nameArbitrary }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), name: nameArbitrary }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reopen' as const), name: nameArbitrary }) },
);

/** Runs the steps and returns every answer and the final contents. */
async function run(disk: Disk, root: string, steps: readonly Step[]): Promise<string[]> {
  const trace: string[] = [];
  const handles = new Map<string, DiskFile>();
  const handle = async (name: string): Promise<DiskFile> => {
    const known = handles.get(name);
    if (known !== undefined) return known;
    const opened = await disk.open(join(root, name), { create: true });
    handles.set(name, opened);
    return opened;
  };
  const all: DiskFile[] = [];
  for (const step of steps) {
    if (step.kind === 'write') {
      await (await handle(step.name)).write(
        step.parts.map((bytes, i) => Buffer.alloc(bytes, step.fill + i)),
        step.position,
      );
    } else if (step.kind === 'truncate') {
      await (await handle(step.name)).truncate(step.bytes);
    } else if (step.kind === 'rename') {
      trace.push(String(await code(disk.rename(join(root, step.name), join(root, step.to)))));
    } else if (step.kind === 'remove') {
      await disk.remove(join(root, step.name));
    } else {
      const old = handles.get(step.name);
      if (old !== undefined) all.push(old);
      handles.delete(step.name);
    }
  }
  for (const [name, file] of handles) {
    all.push(file);
    trace.push(`${name}: ${await file.size()} ${(await file.read(0, 1 << 20)).toString('base64')}`);
  }
  for (const name of await disk.list(root)) {
    const file = await disk.open(join(root, name));
    trace.push(`${name} ${(await file.read(17, 1 << 20)).toString('base64')}`);
    all.push(file);
  }
  for (const file of all) await file.close();
  return trace;
}

test('any sequence of calls leaves the same contents and errors on the real disk and in memory', async () => {
  const { disk, root } = await nodeDisk();
  let folder = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(stepArbitrary, { maxLength: 30 }), async (steps) => {
      const own = join(root, String(folder++));
      await disk.makeDirectory(own);
      const expected = await run(disk, own, steps);
      for (const trackDurability of [true, false]) {
        const { disk: memory, root: memoryRoot } = await memoryDisk(trackDurability);
        expect(await run(memory, memoryRoot, steps)).toEqual(expected);
      }
    }),
    { numRuns: 100 },
  );
});
