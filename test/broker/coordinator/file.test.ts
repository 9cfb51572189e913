/** What only the stored coordinator has: files, recovery, compaction, disk faults. */
import { describe, expect, onTestFinished, test } from 'vitest';
import type { CoordinatorEvent } from '../../../broker/coordinator/coordinator.ts';
import { FileCoordinator, type FileCoordinatorOptions } from '../../../broker/coordinator/file.ts';
import { encodeFrame } from '../../../broker/coordinator/frames.ts';
import type { DiskOperation } from '../../../broker/ports/disk-faults.ts';
import { MemoryDisk } from '../../../broker/ports/memory-disk.ts';
import { SeededRandom } from '../../../broker/ports/seeded-random.ts';
import { type BurrowError, isBurrowError } from '../../../src/errors/burrow-error.ts';

const ROOT = '0000000001-root.log';

/** The log that is in use. */
function logOf(disk: MemoryDisk): string {
  return [...disk.snapshot().keys()].filter((path) => path.endsWith('.log')).at(-1)!;
}

/** Names of files without what is random in them. */
async function plainNames(disk: MemoryDisk): Promise<string[]> {
  return (await disk.list('/c')).map((name) => name.replace(/-[0-9a-f]{12}|\.[0-9a-f]{12}/g, ''));
}

async function settle(): Promise<void> {
  for (let i = 0; i < 2000; i++) await Promise.resolve();
}

async function open(disk: MemoryDisk, options: Partial<FileCoordinatorOptions> = {}): Promise<FileCoordinator> {
  const store = await FileCoordinator.open({ disk, folder: '/c', ...options });
  onTestFinished(() => store.close().catch(() => {}));
  return store;
}

function set(store: FileCoordinator, key: string, value: string): Promise<{ revision: number }> {
  return store.transaction({ set: [{ key, value }] });
}

async function failure(call: Promise<unknown>): Promise<BurrowError> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isBurrowError(error)) throw new Error(`no BurrowError but ${String(error)}`);
  return error;
}

async function values(store: FileCoordinator): Promise<Record<string, string>> {
  return Object.fromEntries((await store.list('')).entries.map(({ key, value }) => [key, value]));
}

async function fileOf(disk: MemoryDisk, path: string, change: (bytes: Buffer) => Buffer | undefined): Promise<void> {
  const file = await disk.open(path);
  const bytes = await file.read(0, await file.size());
  const changed = change(bytes) ?? bytes;
  await file.truncate(0);
  await file.write([changed], 0);
  await file.sync();
  await file.close();
}

describe('opening again', () => {
  test('everything is there with its revisions, and goes on', async () => {
    const disk = new MemoryDisk();
    const first = await open(disk);
    await set(first, 'a', '1');
    await set(first, 'b', '2');
    await set(first, 'a', '3');
    await first.transaction({ remove: ['b'] });
    const before = await first.list('');
    await first.close();
    const second = await open(disk);
    expect(await second.list('')).toEqual(before);
    expect(before.entries).toEqual([{ key: 'a', value: '3', createRevision: 1, modRevision: 3 }]);
    expect(await set(second, 'b', '5')).toMatchObject({ committed: true, revision: 5 });
    expect((await second.get('b')).entry?.createRevision).toBe(5);
    const third = await open(disk);
    expect((await third.list('')).revision).toBe(5);
  });

  test('a watch goes on after a restart as far as the log reaches, and is told where it does not', async () => {
    const disk = new MemoryDisk();
    const told = async (store: FileCoordinator, from: number): Promise<unknown[]> => {
      const events: CoordinatorEvent[] = [];
      store.watch('', from, (event) => events.push(event));
      await new Promise((resolve) => setImmediate(resolve));
      return events.map((event) => (event.kind === 'changed' ? event.revision : event.kind));
    };
    const first = await open(disk, { compactBytesMin: 2000 });
    await set(first, 'a', '1');
    await set(first, 'b', '2');
    await first.close();
    const second = await open(disk, { compactBytesMin: 2000 });
    await set(second, 'c', '3');
    expect(await told(second, 1)).toEqual([1, 2, 3]);
    await set(second, 'd', 'x'.repeat(9000));
    await set(second, 'd', '');
    await settle();
    await second.close();
    const third = await open(disk);
    expect(await told(third, 5)).toEqual(['compacted']);
    expect(await told(third, 6)).toEqual([]);
  });

  test('an acknowledged transaction survives a power loss that keeps only what was synced', async () => {
    const disk = new MemoryDisk();
    const store = await open(disk, { compactBytesMin: 200 });
    for (let i = 0; i < 50; i++) await set(store, `k${i % 7}`, String(i));
    const before = await store.list('');
    const after = await open(disk.crash(new SeededRandom(0), 'lost'));
    expect(await after.list('')).toEqual(before);
  });
});

describe('cost', () => {
  async function writtenByOneChange(entries: number): Promise<{ bytes: number; operations: number }> {
    let bytes = 0;
    let operations = 0;
    let counting: boolean = false;
    const disk = new MemoryDisk({
      onOperation: (operation: DiskOperation) => {
        if (!counting) return;
        operations++;
        bytes += operation.kind === 'write' ? (operation.bytes ?? 0) : 0;
      },
    });
    const store = await open(disk);
    await Promise.all(Array.from({ length: entries }, (_, i) => set(store, `topics/${i}`, '{}')));
    // Lets a compaction that these have started come to its end.
    await settle();
    counting = true;
    await set(store, 'topics/5', '{"changed":true}');
    counting = false;
    return { bytes, operations };
  }

  test('a change writes and syncs once, the same bytes at 10 and at 100,000 entries', async () => {
    const few = await writtenByOneChange(10);
    const many = await writtenByOneChange(100_000);
    expect(few.operations).toBe(2);
    expect(many.operations).toBe(2);
    // Revisions and positions have more digits.
    expect(Math.abs(many.bytes - few.bytes)).toBeLessThanOrEqual(16);
  });

  test('compaction writes a constant factor of what changes write, and bounds the space', async () => {
    let written = 0;
    let appended = 0;
    const disk = new MemoryDisk({
      onOperation: (operation: DiskOperation) => {
        if (operation.kind !== 'write') return;
        written += operation.bytes ?? 0;
        if (operation.path.endsWith('.log')) appended += operation.bytes ?? 0;
      },
    });
    const store = await open(disk, { compactBytesMin: 4096 });
    const state = { key: '', value: 'x'.repeat(100) };
    let spaceMax = 0;
    for (let i = 0; i < 10_000; i++) {
      await store.transaction({ set: [{ ...state, key: `k${i % 300}` }] });
      spaceMax = Math.max(spaceMax, disk.usedBytes);
    }
    expect(written / appended).toBeLessThan(1.7);
    expect(written / appended).toBeGreaterThan(1.1);
    // Two snapshots of 300 entries, two logs of twice that.
    expect(spaceMax).toBeLessThan(300 * 250 * 8);
  });

  test('concurrent transactions share syncs', async () => {
    let syncs = 0;
    const disk = new MemoryDisk({ onOperation: ({ kind }) => kind === 'sync' && syncs++ });
    const store = await open(disk, { commitTransactionsMax: 100 });
    syncs = 0;
    await Promise.all(Array.from({ length: 250 }, (_, i) => set(store, `k${i}`, '')));
    expect(syncs).toBe(3);
  });

  test('changes go on while a snapshot is being written, and none is lost', async () => {
    const disk = new MemoryDisk();
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    let renames = 0;
    const rename = disk.rename.bind(disk);
    disk.rename = async (from, to) => {
      await gate;
      await rename(from, to);
      renames++;
    };
    const store = await open(disk, { compactBytesMin: 500 });
    for (let i = 0; i < 120; i++) await set(store, `k${i % 40}`, 'x'.repeat(50));
    expect(await plainNames(disk)).toEqual([ROOT, '0000000002.log', '0000000003.log', '0000000003.snapshot.tmp']);
    const before = await store.list('');
    expect(before.entries).toHaveLength(40);
    const crashed = disk.snapshot();
    release();
    await store.close();
    expect(renames).toBe(1);
    expect(await plainNames(disk)).toEqual([ROOT, '0000000003.log', '0000000003.snapshot']);
    expect(await (await open(disk)).list('')).toEqual(before);

    const other = new MemoryDisk();
    await other.makeDirectory('/c');
    for (const [path, bytes] of crashed) await (await other.open(path, { create: true })).write([bytes], 0);
    expect(await (await open(other)).list('')).toEqual(before);
    // Nobody knows whether the writer of the draft lives.
    expect(await plainNames(other)).toEqual([ROOT, '0000000002.log', '0000000003.log', '0000000003.snapshot.tmp']);
  });
});

describe('damage', () => {
  /** A log with three changes; returns where each frame starts, and the end. */
  async function threeChanges(): Promise<{ disk: MemoryDisk; starts: number[] }> {
    const disk = new MemoryDisk();
    const store = await open(disk);
    const starts: number[] = [];
    const sizeNow = () => disk.snapshot().get(logOf(disk))!.byteLength;
    for (let i = 0; i < 3; i++) {
      starts.push(sizeNow());
      await set(store, `key${i}`, 'v'.repeat(700));
    }
    starts.push(sizeNow());
    await store.close();
    return { disk, starts };
  }

  test('any flipped bit in what was synced is refused with file and position, also in the last change', async () => {
    const { starts } = await threeChanges();
    const bytes = starts[3]!;
    const random = new SeededRandom('flips');
    for (let round = 0; round < 300; round++) {
      const { disk } = await threeChanges();
      const log = logOf(disk);
      const position = round < 64 ? starts[2]! + (round % 16) : random.below(bytes);
      disk.flipBit(log, position, random.below(8));
      const error = await failure(FileCoordinator.open({ disk, folder: '/c' }));
      expect(error.code, `bit at ${position}`).toBe('STORAGE_CORRUPT');
      expect(error.fields['file']).toBe(log);
      const frame = [0, ...starts].findLast((start) => start <= position)!;
      expect(error.fields['position']).toBe(frame);
      expect(error.message).toContain(log);
      expect(error.message).toContain(String(frame));
    }
  });

  test('a last change that is cut short, or lacks sectors, is dropped, and the log goes on in its place', async () => {
    const { starts } = await threeChanges();
    const [last, end] = [starts[2]!, starts[3]!];
    const tears: Array<(bytes: Buffer) => Buffer | undefined> = [];
    for (let cut = last + 1; cut < end; cut += 13) tears.push((bytes) => bytes.subarray(0, cut));
    for (let sector = Math.ceil(last / 512) * 512; sector < end; sector += 512) {
      tears.push((bytes) => void bytes.fill(0, sector, Math.min(end, sector + 512)));
    }
    tears.push((bytes) => void bytes.fill(0, last, Math.ceil(last / 512) * 512));
    tears.push((bytes) => void bytes.fill(0, last));
    tears.push((bytes) => Buffer.concat([bytes.subarray(0, last), Buffer.alloc(100_000)]));
    for (const tear of tears) {
      const { disk } = await threeChanges();
      await fileOf(disk, logOf(disk), tear);
      const store = await open(disk);
      expect(Object.keys(await values(store))).toEqual(['key0', 'key1']);
      expect(await set(store, 'next', 'n')).toMatchObject({ committed: true, revision: 3 });
      const again = await open(disk.crash(new SeededRandom(0), 'lost'));
      expect(Object.keys(await values(again))).toEqual(['key0', 'key1', 'next']);
    }
    expect(tears.length).toBeGreaterThan(50);
  });

  test('a lost sector in the middle is damage, since what follows was written after its sync', async () => {
    const { starts } = await threeChanges();
    for (let sector = 512; sector + 512 < starts[2]!; sector += 512) {
      const { disk } = await threeChanges();
      await fileOf(disk, logOf(disk), (bytes) => void bytes.fill(0, sector, sector + 512));
      expect((await failure(FileCoordinator.open({ disk, folder: '/c' }))).code).toBe('STORAGE_CORRUPT');
    }
  });

  test('a missing log or snapshot is noticed', async () => {
    const compacted = async (): Promise<MemoryDisk> => {
      const disk = new MemoryDisk();
      const store = await open(disk, { compactBytesMin: 1500 });
      for (let i = 0; i < 20; i++) {
        await set(store, `k${i % 5}`, 'x'.repeat(100));
        await settle();
      }
      await store.close();
      return disk;
    };
    const log = /-[0-9a-f]{12}\.log$/;
    const snapshot = /-[0-9a-f]{12}\.snapshot$/;
    expect([...(await compacted()).snapshot().keys()]).toEqual([
      `/c/${ROOT}`,
      expect.stringMatching(log),
      expect.stringMatching(snapshot),
    ]);
    for (const pattern of [log, snapshot]) {
      const disk = await compacted();
      await disk.remove([...disk.snapshot().keys()].find((path) => pattern.test(path))!);
      const error = await failure(FileCoordinator.open({ disk, folder: '/c' }));
      expect(error.code).toBe('STORAGE_CORRUPT');
      expect(error.message).toMatch(/missing/);
    }
    for (let round = 0; round < 100; round++) {
      const disk = await compacted();
      const path = [...disk.snapshot().keys()].find((name) => snapshot.test(name))!;
      const random = new SeededRandom(round);
      if (round % 2 === 0) disk.flipBit(path, random.below(disk.snapshot().get(path)!.byteLength), random.below(8));
      else await fileOf(disk, path, (bytes) => bytes.subarray(0, random.below(bytes.byteLength)));
      expect((await failure(FileCoordinator.open({ disk, folder: '/c' }))).fields['file']).toBe(path);
    }
  });

  test('frames with a right checksum and wrong contents are refused, not believed', async () => {
    const header = { format: 2, kind: 'log' };
    for (const frames of [
      [null],
      [{ ...header, kind: 'snapshot' }],
      [header, { not: 'a list' }],
      [header, ['s', 1, 0, 0]],
      [header, ['s', 1, 0, 0, { not: 'a list' }]],
      [header, ['s', 1, 0, 0, [[0, [], [['key only']], []]]]],
      [header, ['s', 1.5, 0, 0, []]],
      [header, ['s', 1, 0, 0, [[0, [], [], [7]]]]],
      [header, ['s', 1, 0, 0, [[1, 'lease', -1]]]],
      [header, ['s', 1, 0, 0, [[7, 'lease']]]],
      // Says that more was there before it than is.
      [header, ['s', 1, 2, 50, []]],
      [header, ['s', 1, 0, 0, '../elsewhere']],
    ]) {
      const disk = new MemoryDisk();
      await disk.makeDirectory('/c');
      const file = await disk.open(`/c/${ROOT}`, { create: true });
      await file.write(frames.map(encodeFrame), 0);
      const error = await failure(FileCoordinator.open({ disk, folder: '/c' }));
      expect(error.code, JSON.stringify(frames)).toBe('STORAGE_CORRUPT');
    }
  });

  test('files of another format are refused as such', async () => {
    for (const name of [ROOT, '0000000001.log']) {
      const disk = new MemoryDisk();
      await disk.makeDirectory('/c');
      const file = await disk.open(`/c/${name}`, { create: true });
      await file.write([encodeFrame({ format: name === ROOT ? 3 : 1, kind: 'log' }), encodeFrame({})], 0);
      const error = await failure(FileCoordinator.open({ disk, folder: '/c' }));
      expect(error.code).toBe('DATA_FOLDER_VERSION');
      expect(error.message).toContain(name);
    }
  });

  test('files of others in the folder are left alone', async () => {
    const { disk } = await threeChanges();
    for (const name of ['README', '0000000001.log.bak', '1.log']) await disk.open(`/c/${name}`, { create: true });
    const store = await open(disk, { compactBytesMin: 100 });
    for (let i = 0; i < 100; i++) await set(store, 'a', '');
    await settle();
    await store.close();
    const left = await plainNames(disk);
    expect(left).toEqual(expect.arrayContaining(['0000000001.log.bak', '1.log', 'README']));
    expect(left).not.toContain('0000000002.log');
  });
});

describe('a failing disk', () => {
  test('after a failed sync everything that waited and all that comes is refused, also reads, and watches are told', async () => {
    const disk = new MemoryDisk();
    const store = await open(disk, { commitTransactionsMax: 1 });
    await set(store, 'a', '1');
    const events: CoordinatorEvent[] = [];
    store.watch('', 1, (event) => events.push(event));
    disk.inject({ on: 'sync', times: 1 });
    const errors = await Promise.all([failure(set(store, 'b', '2')), failure(set(store, 'c', '3'))]);
    expect(errors.map(({ code }) => code)).toEqual(['STORAGE_ERROR', 'STORAGE_ERROR']);
    expect((await failure(set(store, 'd', '4'))).code).toBe('STORAGE_ERROR');
    // What they would find might be what was lost.
    expect((await failure(store.get('a'))).code).toBe('STORAGE_ERROR');
    await new Promise((resolve) => setImmediate(resolve));
    store.watch('', 1, (event) => events.push(event));
    await new Promise((resolve) => setImmediate(resolve));
    expect(events.map(({ kind }) => kind)).toEqual(['changed', 'failed', 'changed', 'failed']);
    await store.close();
  });

  test('a sync that fails for lack of space is as final as any other', async () => {
    const disk = new MemoryDisk();
    const store = await open(disk);
    disk.inject({ on: 'sync', times: 1, code: 'ENOSPC' });
    expect((await failure(set(store, 'b', '2'))).code).toBe('STORAGE_ERROR');
    expect((await failure(set(store, 'b', '2'))).code).toBe('STORAGE_ERROR');
  });

  test('what is seen after a failed sync and a restart of the process survives the next power loss', async () => {
    const seen = new Set<number>();
    for (let seed = 0; seed < 200; seed++) {
      const disk = new MemoryDisk({ random: new SeededRandom(seed) });
      const store = await open(disk);
      await set(store, 'a', '1');
      disk.inject({ on: 'sync', nth: 1 });
      await failure(set(store, 'b', 'x'.repeat(2000)));
      const restarted = disk.kill(new SeededRandom(seed));
      const second = await open(restarted);
      const visible = await values(second);
      expect(visible['a']).toBe('1');
      await set(second, 'c', '3');
      const third = await open(restarted.crash(new SeededRandom(seed), 'lost'));
      expect(await values(third)).toEqual({ ...visible, c: '3' });
      seen.add(Object.keys(visible).length);
    }
    expect(seen).toEqual(new Set([1, 2]));
  });

  test('a full disk refuses changes, keeps what there is, and takes changes again when there is room', async () => {
    const disk = new MemoryDisk();
    const store = await open(disk);
    await set(store, 'a', '1');
    disk.capacityBytes = disk.usedBytes + 100;
    for (let round = 0; round < 3; round++) {
      expect((await failure(set(store, 'big', 'x'.repeat(500)))).code).toBe('STORAGE_FULL');
    }
    expect(await values(store)).toEqual({ a: '1' });
    disk.capacityBytes += 100;
    await set(store, 'small', '2');
    disk.capacityBytes += 10_000;
    expect(await set(store, 'big', 'x'.repeat(500))).toMatchObject({ committed: true, revision: 3 });
    const after = await open(disk.crash(new SeededRandom(0), 'lost'));
    expect(Object.keys(await values(after))).toEqual(['a', 'big', 'small']);
  });

  test('a compaction without room leaves commits alone and succeeds later', async () => {
    const disk = new MemoryDisk();
    const store = await open(disk, { compactBytesMin: 2000 });
    const full = disk.inject({
      on: ['write', 'create'],
      code: 'ENOSPC',
      when: ({ path }) => path.includes('snapshot'),
    });
    for (let i = 0; i < 120; i++) await set(store, `k${i % 40}`, 'x'.repeat(100));
    await settle();
    expect(full.hits).toBeGreaterThan(0);
    expect((await disk.list('/c')).filter((name) => name.includes('snapshot'))).toEqual([]);
    full.remove();
    for (let i = 0; i < 160; i++) await set(store, `k${i % 40}`, 'y'.repeat(100));
    await settle();
    const files = await plainNames(disk);
    expect(files.filter((name) => name.endsWith('snapshot'))).toHaveLength(1);
    expect(files).toHaveLength(3);
    const before = await store.list('');
    expect(await (await open(disk.crash(new SeededRandom(0), 'lost'))).list('')).toEqual(before);
  });

  test('a compaction that fails otherwise costs nothing but space', async () => {
    for (const kind of ['create', 'write', 'sync', 'rename', 'syncDirectory'] as const) {
      const disk = new MemoryDisk();
      const store = await open(disk, { compactBytesMin: 1000 });
      const log = logOf(disk);
      const fault = disk.inject({ on: kind, times: 1, when: ({ path }) => path !== log });
      for (let i = 0; i < 160; i++) await set(store, `k${i % 40}`, 'x'.repeat(100));
      await settle();
      expect(fault.hits, kind).toBe(1);
      const before = await store.list('');
      expect(before.entries).toHaveLength(40);
      const after = disk.crash(new SeededRandom(0), 'lost');
      expect(await (await open(after)).list('')).toEqual(before);
    }
  });

  test('errors while opening are typed', async () => {
    for (const kind of ['makeDirectory', 'syncDirectory', 'list', 'create', 'write', 'sync'] as const) {
      const disk = new MemoryDisk();
      disk.inject({ on: kind, times: 1 });
      expect((await failure(FileCoordinator.open({ disk, folder: '/c' }))).code).toBe('STORAGE_ERROR');
      await open(disk);
    }
    const disk = new MemoryDisk();
    await set(await open(disk), 'a', '1');
    for (const kind of ['open', 'read', 'write', 'sync', 'list'] as const) {
      const fault = disk.inject({ on: kind });
      expect((await failure(FileCoordinator.open({ disk, folder: '/c' }))).code, kind).toBe('STORAGE_ERROR');
      fault.remove();
    }
    expect(await values(await open(disk))).toEqual({ a: '1' });
    const full = new MemoryDisk({ capacityBytes: 10 });
    expect((await failure(FileCoordinator.open({ disk: full, folder: '/c' }))).code).toBe('STORAGE_FULL');
  });
});
