/**
 * Several sessions with one folder, as several brokers of a machine have them: their steps in any order, any of them
 * standing still for any time between two of its steps, killed, and the machine's power lost. From seeds.
 */
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Coordinator, CoordinatorEntry, CoordinatorLease } from '../../../broker/coordinator/coordinator.ts';
import { FileCoordinator } from '../../../broker/coordinator/file.ts';
import type { Disk, DiskFile, DiskWatch, OpenOptions } from '../../../broker/ports/disk.ts';
import { ManualClock } from '../../../broker/ports/manual-clock.ts';
import { MemoryDisk } from '../../../broker/ports/memory-disk.ts';
import { SeededRandom } from '../../../broker/ports/seeded-random.ts';
import { isBurrowError } from '../../../src/errors/burrow-error.ts';
import {
  checkLinearizable,
  type HistoryItem,
  mergeHistory,
  runRandomClient,
} from '../../support/coordinator-history.ts';

/**
 * A process, as far as its disk calls tell: it can stand still before any of them, and be killed, whereupon the call that
 * it is at is not made, or in part, or made without its learning of it.
 */
class ProcessDisk implements Disk {
  /** Each call waits for this. */
  gate: (path: string, kind: string) => Promise<void> = () => Promise.resolve();
  /** How much of the append that is made last is made; undefined: it lives. */
  killed: number | undefined;
  readonly #disk: MemoryDisk;

  constructor(disk: MemoryDisk) {
    this.#disk = disk;
  }

  async step<T>(path: string, kind: string, call: () => Promise<T>): Promise<T> {
    await this.gate(path, kind);
    if (this.killed !== undefined) return new Promise(() => {});
    const result = await call();
    return this.killed === undefined ? result : new Promise(() => {});
  }

  async open(path: string, options?: OpenOptions): Promise<DiskFile> {
    const file = await this.step(path, 'open', () => this.#disk.open(path, options));
    return {
      path,
      read: (position, bytes) => this.step(path, 'read', () => file.read(position, bytes)),
      write: (buffers, position) => this.step(path, 'write', () => file.write(buffers, position)),
      append: async (bytes) => {
        await this.gate(path, 'append');
        const part = this.killed === undefined ? bytes : bytes.subarray(0, Math.min(this.killed, bytes.byteLength));
        if (part.byteLength > 0) await file.append(part);
        if (this.killed !== undefined) await new Promise(() => {});
      },
      sync: () => this.step(path, 'sync', () => file.sync()),
      truncate: (bytes) => this.step(path, 'truncate', () => file.truncate(bytes)),
      size: () => this.step(path, 'size', () => file.size()),
      close: () => file.close(),
    };
  }

  list = (folder: string) => this.step(folder, 'list', () => this.#disk.list(folder));
  makeDirectory = (path: string) => this.step(path, 'makeDirectory', () => this.#disk.makeDirectory(path));
  rename = (from: string, to: string) => this.step(from, 'rename', () => this.#disk.rename(from, to));
  remove = (path: string) => this.step(path, 'remove', () => this.#disk.remove(path));
  removeTree = (path: string) => this.step(path, 'removeTree', () => this.#disk.removeTree(path));
  syncDirectory = (path: string) => this.step(path, 'syncDirectory', () => this.#disk.syncDirectory(path));
  exists = (path: string) => this.step(path, 'exists', () => this.#disk.exists(path));
  freeBytes = (path: string) => this.#disk.freeBytes(path);
  watch = (path: string, onChange: () => void): DiskWatch => this.#disk.watch(path, onChange);
}

async function settle(): Promise<void> {
  for (let i = 0; i < 300; i++) await Promise.resolve();
}

async function code(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'no error',
    (error: unknown) => (isBurrowError(error) ? error.code : String(error)),
  );
}

describe('a process that stands still', () => {
  interface Halt {
    readonly at: (path: string, kind: string) => boolean;
    readonly name: string;
  }
  const halts: Halt[] = [
    { name: 'before it appends', at: (_, kind) => kind === 'append' },
    { name: 'after it has appended', at: (_, kind) => kind === 'read' },
    { name: 'before it syncs', at: (path, kind) => kind === 'sync' && path.endsWith('.log') },
  ];

  async function bed(): Promise<{ disk: MemoryDisk; slow: FileCoordinator; own: ProcessDisk; fast: FileCoordinator }> {
    const disk = new MemoryDisk();
    const own = new ProcessDisk(disk);
    const open = (on: Disk): Promise<FileCoordinator> =>
      FileCoordinator.open({ disk: on, folder: '/c', clock: new ManualClock(), compactBytesMin: 800 });
    const fast = await open(disk);
    const slow = await open(own);
    onTestFinished(async () => {
      await slow.close();
      await fast.close();
    });
    return { disk, slow, own, fast };
  }

  async function change(store: Coordinator, key: string, value: string): Promise<void> {
    await store.transaction({ set: [{ key, value }] });
  }

  test.each(halts)('$name overwrites nothing, however much the others have done meanwhile', async ({ at, name }) => {
    for (const changes of [0, 1, 3, 200]) {
      const { slow, own, fast, disk } = await bed();
      await change(fast, 'owner', 'nobody');
      const { entry } = await slow.get('owner');
      let resume = (): void => {};
      own.gate = (path, kind) => {
        if (!at(path, kind)) return Promise.resolve();
        own.gate = () => Promise.resolve();
        return new Promise((resolve) => {
          resume = resolve;
        });
      };
      const late = slow.transaction({
        if: [{ key: 'owner', revision: entry!.modRevision }],
        set: [{ key: 'owner', value: 'slow' }],
      });
      await settle();
      const won = await fast.transaction({
        if: [{ key: 'owner', revision: entry!.modRevision }],
        set: [{ key: 'owner', value: 'fast' }],
      });
      for (let i = 0; i < changes; i++) await change(fast, 'busy', String(i));
      await settle();
      // The log that the slow one was at is gone by then.
      if (changes === 200) expect((await disk.list('/c')).some((file) => file.startsWith('0000000002'))).toBe(false);
      resume();
      const { committed } = await late;
      // What has been appended has its place before the others' changes.
      expect([committed, won.committed]).toEqual(name === 'before it appends' ? [false, true] : [true, false]);
      const owner = committed ? 'slow' : 'fast';
      for (const store of [slow, fast]) expect((await store.get('owner')).entry?.value).toBe(owner);
      await change(slow, 'busy', 'by slow');
      expect((await fast.get('busy')).entry?.value).toBe('by slow');
    }
  });

  test('while it starts the next log does not lead the others, nor itself, astray', async () => {
    const { slow, own, fast, disk } = await bed();
    for (const kind of ['create', 'append', 'rename', 'syncDirectory', 'remove']) {
      let resume: (() => void) | undefined;
      own.gate = (path, step) => {
        const hit = kind === 'create' ? step === 'open' && path.endsWith('.log') : step === kind;
        // The first append of a turn is the change; the one that names the next log comes after.
        if (!hit || (kind === 'append' && resume === undefined && disk.operations % 3 !== 0)) return Promise.resolve();
        own.gate = () => Promise.resolve();
        return new Promise((resolve) => {
          resume = resolve;
        });
      };
      const done: Array<Promise<void>> = [];
      for (let i = 0; i < 60 && resume === undefined; i++) {
        done.push(change(slow, `slow${i % 3}`, `${kind} ${i}`));
        await settle();
      }
      expect(resume, kind).toBeDefined();
      for (let i = 0; i < 300; i++) await change(fast, `fast${i % 3}`, `${kind} ${i}`);
      await settle();
      resume?.();
      await Promise.all(done);
      await change(slow, 'last', kind);
      await settle();
      const before = await fast.list('');
      expect(await slow.list('')).toEqual(before);
      const third = await FileCoordinator.open({ disk, folder: '/c', clock: new ManualClock() });
      expect(await third.list('')).toEqual(before);
      await third.close();
    }
  });

  test('while it opens an empty folder finds what others have made of it meanwhile', async () => {
    for (const kind of ['list', 'open', 'append', 'sync', 'syncDirectory', 'read']) {
      for (const nth of [1, 2, 3]) {
        const disk = new MemoryDisk();
        const own = new ProcessDisk(disk);
        let calls = 0;
        let resume = (): void => {};
        own.gate = (_, step) => {
          if (step !== kind || ++calls !== nth) return Promise.resolve();
          return new Promise((resolve) => {
            resume = resolve;
          });
        };
        const options = { folder: '/c', clock: new ManualClock(), compactBytesMin: 500 };
        const opening = FileCoordinator.open({ ...options, disk: own });
        await settle();
        const fast = await FileCoordinator.open({ ...options, disk });
        for (let i = 0; i < 100; i++) await change(fast, `k${i % 4}`, String(i));
        await settle();
        resume();
        const slow = await opening;
        expect(await slow.list('')).toEqual(await fast.list(''));
        await change(slow, 'k0', 'slow');
        expect((await fast.get('k0')).entry?.value).toBe('slow');
        await Promise.all([slow.close(), fast.close()]);
      }
    }
  });

  test('finds that its lease has ended, and what it then does with it is refused', async () => {
    const disk = new MemoryDisk();
    const own = new ProcessDisk(disk);
    const clock = new ManualClock();
    const options = { folder: '/c', clock, shared: true };
    const slow = await FileCoordinator.open({ ...options, disk: own });
    const fast = await FileCoordinator.open({ ...options, disk });
    onTestFinished(() => Promise.all([slow.close(), fast.close()]).then(() => {}));
    const lease = await slow.grantLease(1_000);
    const deadlineMs = lease.deadlineMs;
    const { revision } = await slow.transaction({ set: [{ key: 'controller', value: 'slow', leaseId: lease.id }] });
    let resume = (): void => {};
    const still = new Promise<void>((resolve) => {
      resume = resolve;
    });
    own.gate = () => still;
    const renewal = lease.keepAlive();
    const act = slow.transaction({
      if: [{ key: 'controller', createRevision: revision }],
      set: [{ key: 'x', value: 'slow' }],
    });
    await vi.waitFor(async () => {
      clock.advance(100);
      expect((await fast.get('controller')).entry).toBeUndefined();
    });
    expect(clock.monotonic()).toBeGreaterThanOrEqual(deadlineMs);
    await fast.transaction({ if: [{ key: 'controller', revision: 0 }], set: [{ key: 'controller', value: 'fast' }] });
    resume();
    own.gate = () => Promise.resolve();
    expect(await code(renewal)).toBe('LEASE_EXPIRED');
    expect(lease.deadlineMs).toBe(deadlineMs);
    expect(await act).toMatchObject({ committed: false });
    expect((await slow.list('')).entries.map(({ value }) => value)).toEqual(['fast']);
  });

  test('cannot end the lease of one that lives, although it saw no renewal', async () => {
    const disk = new MemoryDisk();
    const own = new ProcessDisk(disk);
    const [clock, ownClock] = [new ManualClock(), new ManualClock()];
    const slow = await FileCoordinator.open({ disk: own, folder: '/c', clock: ownClock, shared: true });
    const fast = await FileCoordinator.open({ disk, folder: '/c', clock, shared: true });
    onTestFinished(() => Promise.all([slow.close(), fast.close()]).then(() => {}));
    const lease = await fast.grantLease(1_000);
    await fast.transaction({ set: [{ key: 'member', value: '', leaseId: lease.id }] });
    await slow.get('member');
    let resume = (): void => {};
    const still = new Promise<void>((resolve) => {
      resume = resolve;
    });
    own.gate = () => still;
    for (let i = 0; i < 20; i++) {
      clock.advance(500);
      ownClock.advance(500);
      await lease.keepAlive();
      await settle();
    }
    resume();
    await settle();
    expect((await fast.get('member')).entry?.value).toBe('');
    expect((await slow.get('member')).entry?.value).toBe('');
    await lease.keepAlive();
  });
});

interface RunOptions {
  readonly seed: number;
  /** Canary: sessions whose reads do not read on. */
  readonly staleReads?: boolean;
}

/** Some sessions with random load, on a disk whose calls take effect in any order. What is wrong, or undefined. */
async function run({ seed, staleReads = false }: RunOptions): Promise<string | undefined> {
  const random = new SeededRandom(`sessions/${seed}`);
  const clock = new ManualClock();
  const waiting: Array<() => void> = [];
  const disk = new MemoryDisk({ random: random.fork('disk'), schedule: (complete) => waiting.push(complete) });
  const compactBytesMin = random.pick([400, 1_500, 100_000]);
  const pauseChance = random.pick([0, 0.02, 0.1]);
  const killChance = random.pick([0, 0.003]);
  const records: HistoryItem[] = [];
  let time = 0;
  let operations = 0;
  const operationsMax = random.between(30, 150);
  const paused: Array<() => void> = [];
  const told = new Map<number, { set: readonly CoordinatorEntry[]; removed: readonly string[] }>();
  let problem: string | undefined;
  let alive = 0;

  const startProcess = async (name: string): Promise<void> => {
    const own = new ProcessDisk(disk);
    const chance = random.fork(name);
    own.gate = async () => {
      if (chance.chance(killChance) && alive > 1) {
        alive--;
        own.killed = chance.below(400);
        // Another takes its place.
        void session(`${name}'`);
      } else if (chance.chance(pauseChance)) {
        await new Promise<void>((resolve) => paused.push(resolve));
      }
    };
    const options = {
      disk: own,
      folder: '/c',
      clock,
      random: random.fork(`${name} ids`),
      shared: true,
      compactBytesMin,
    };
    const store = await FileCoordinator.open(options);
    let stale: Awaited<ReturnType<Coordinator['get']>> | undefined;
    const seen: Coordinator = {
      get: async (key) => {
        if (!staleReads) return store.get(key);
        stale = stale?.entry?.key === key ? stale : await store.get(key);
        return stale;
      },
      list: (prefix) => store.list(prefix),
      transaction: (transaction) => store.transaction(transaction),
      watch: (prefix, from, onEvent) => store.watch(prefix, from, onEvent),
      grantLease: (ttlMs) => store.grantLease(ttlMs),
      close: () => store.close(),
    };
    const clients = Array.from({ length: 2 }, (_unused, i) =>
      runRandomClient({
        coordinator: seen,
        random: random.fork(`${name} ${i}`),
        name: `${name}.${i}`,
        keys: 3,
        now: () => ++time,
        record: (item) => records.push(item),
        goesOn: () => own.killed === undefined && operations++ < operationsMax,
      }),
    );
    await Promise.all(clients);
    await store.close();
  };
  const session = async (name: string): Promise<void> => {
    alive++;
    await startProcess(name).catch((error: unknown) => {
      problem ??= `${name}: ${String(error)}`;
    });
    alive--;
  };

  const observer = await drive(
    waiting,
    random,
    FileCoordinator.open({ disk, folder: '/c', clock, shared: true, compactBytesMin: 1e9 }),
  );
  observer.watch('', 1, (event) => {
    if (event.kind === 'changed') told.set(event.revision, event);
    else problem ??= `the observer was told ${event.kind}`;
  });
  for (const name of ['a', 'b', 'c']) void session(name);
  for (let step = 0; alive > 0 && step < 60_000; step++) {
    if (waiting.length > 0) waiting.splice(random.below(waiting.length), 1)[0]!();
    if (paused.length > 0 && (random.chance(0.01) || waiting.length === 0)) {
      paused.splice(random.below(paused.length), 1)[0]!();
    }
    if (step % 50 === 0) clock.advance(random.below(60));
    for (let i = 0; i < 6; i++) await Promise.resolve();
    if (step % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  if (alive > 0) problem ??= `${alive} sessions do not come to an end`;
  const { entries } = await drive(waiting, random, observer.list(''));
  await settle();
  await drive(waiting, random, observer.close());
  problem ??= checkLinearizable(mergeHistory(records), told);
  if (problem !== undefined) return problem;

  disk.halt();
  const crashed = disk.crash(random.fork('crash'), random.pick(['lost', 'kept', 'prefix', 'reordered']), {
    schedule: queueMicrotask,
  });
  const after = await FileCoordinator.open({ disk: crashed, folder: '/c', clock: new ManualClock() });
  const found = (await after.list('')).entries;
  await after.close();
  return JSON.stringify(found) === JSON.stringify(entries) ? undefined : 'a power loss took something that was seen';
}

/** Until `work` is done, completes disk calls in any order. */
async function drive<T>(waiting: Array<() => void>, random: SeededRandom, work: Promise<T>): Promise<T> {
  let done: boolean = false;
  const end = (): void => {
    done = true;
  };
  work.then(end, end);
  while (!done) {
    if (waiting.length > 0) waiting.splice(random.below(waiting.length), 1)[0]!();
    for (let i = 0; i < 6; i++) await Promise.resolve();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return work;
}

describe('sessions in any order', () => {
  test('are linearizable, and a power loss takes nothing that was seen', async () => {
    for (let seed = 0; seed < 300; seed++) {
      const problem = await run({ seed });
      if (problem !== undefined) expect.fail(`seed ${seed}: ${problem}`);
    }
  }, 240_000);

  test('the checker finds reads of the past', async () => {
    let found = 0;
    for (let seed = 0; seed < 10; seed++) if ((await run({ seed, staleReads: true })) !== undefined) found++;
    expect(found).toBeGreaterThan(5);
  }, 60_000);

  test('a lease is never gone before the deadline that its holder knows', async () => {
    let ended = 0;
    for (let seed = 0; seed < 60; seed++) {
      const random = new SeededRandom(`leases/${seed}`);
      const disk = new MemoryDisk();
      const clock = new ManualClock();
      const processes = await Promise.all(
        ['a', 'b', 'c'].map(async (name) => {
          const own = new ProcessDisk(disk);
          const store = await FileCoordinator.open({
            disk: own,
            folder: '/c',
            clock,
            shared: true,
            compactBytesMin: 600,
          });
          return {
            name,
            own,
            store,
            lease: undefined as CoordinatorLease | undefined,
            resume: undefined as (() => void) | undefined,
          };
        }),
      );
      const deadlineOf = new Map<string, () => number>();
      const watch = processes[2]!.store.watch('member/', 1, (event) => {
        if (event.kind !== 'changed') return;
        for (const key of event.removed) {
          ended++;
          if (clock.monotonic() < deadlineOf.get(key)!()) expect.fail(`seed ${seed}: ${key} ended too early`);
        }
      });
      for (let step = 0; step < 120; step++) {
        const process = random.pick(processes);
        const { name, own, store } = process;
        if (process.resume !== undefined) {
          if (random.chance(0.5)) {
            own.gate = () => Promise.resolve();
            process.resume();
            process.resume = undefined;
          }
        } else if (process.lease === undefined || clock.monotonic() >= process.lease.deadlineMs) {
          const lease = await store.grantLease(random.pick([50, 200]));
          process.lease = lease;
          const key = `member/${name}/${step}`;
          deadlineOf.set(key, () => lease.deadlineMs);
          void store.transaction({ set: [{ key, value: '', leaseId: lease.id }] }).catch(() => {});
        } else if (random.chance(0.7)) {
          void process.lease.keepAlive().catch(() => {});
        } else {
          own.gate = () =>
            new Promise((resolve) => {
              process.resume = resolve;
            });
          void process.lease.keepAlive().catch(() => {});
          await settle();
          // Idle sessions have nothing to stop at.
          if (process.resume === undefined) own.gate = () => Promise.resolve();
        }
        await settle();
        clock.advance(random.below(40));
        await settle();
      }
      watch.cancel();
      for (const { own, resume } of processes) {
        own.gate = () => Promise.resolve();
        resume?.();
      }
      await settle();
      await Promise.all(processes.map(({ store }) => store.close()));
    }
    expect(ended).toBeGreaterThan(100);
  }, 120_000);
});
