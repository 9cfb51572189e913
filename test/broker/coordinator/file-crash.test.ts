/**
 * The stored coordinator under crashes, from seeds. Each seed draws its disk, its load and its crashes; the checker is
 * a list of what was asked for and what was answered.
 *
 * The promise checked: what is found after a crash is the state after some number of the transactions in their order,
 * each whole, and that number includes every one that was acknowledged.
 */
import { describe, expect, test } from 'vitest';
import type { CoordinatorTransaction } from '../../../broker/coordinator/coordinator.ts';
import { FileCoordinator } from '../../../broker/coordinator/file.ts';
import { MemoryDisk } from '../../../broker/ports/memory-disk.ts';
import type { CrashMode } from '../../../broker/ports/memory-disk-tree.ts';
import { SeededRandom } from '../../../broker/ports/seeded-random.ts';
import { isBurrowError } from '../../../src/errors/burrow-error.ts';

const SEEDS = 3000;

interface Issued {
  readonly transaction: CoordinatorTransaction;
  /** 'refused': answered that nothing was changed. */
  outcome: 'unknown' | 'refused' | number;
}

/** The simplest coordinator there is: what `file.ts` has to agree with. Revision → keys and values. */
function model(start: ReadonlyMap<string, string>, issued: readonly Issued[]): Array<Map<string, string>> {
  const states = [new Map(start)];
  for (const { transaction, outcome } of issued) {
    if (outcome === 'refused') continue;
    const next = new Map(states.at(-1));
    for (const { key, value } of transaction.set ?? []) next.set(key, value);
    for (const key of transaction.remove ?? []) next.delete(key);
    states.push(next);
  }
  return states;
}

interface Options {
  readonly faults: boolean;
  /** Canary: a disk whose file syncs do nothing must be found out. */
  readonly syncs: boolean;
}

/** Runs one seed and returns what is wrong, or undefined. */
async function run(seed: number, { faults, syncs }: Options): Promise<string | undefined> {
  const random = new SeededRandom(`coordinator/${seed}`);
  const valueBytesMax = random.pick([10, 100, 3000]);
  const compactBytesMin = random.pick([300, 2000, 20_000]);
  const commitTransactionsMax = random.pick([1, 3, 1000]);
  let known: ReadonlyMap<string, string> = new Map();
  let revision = 0;
  let next = 0;
  let disk = new MemoryDisk({ random: random.fork('disk') });
  await disk.makeDirectory('/data');
  await disk.syncDirectory('/');

  for (let round = 0; round < 3; round++) {
    const operationsMax = random.between(1, random.pick([20, 80]));
    let operations = 0;
    const waiting: Array<() => void> = [];
    // The same disk again, with hooks that stop it after some operations and a scheduler that shuffles completions.
    disk = disk.kill(random.fork('hooks'), {
      schedule: (complete) => waiting.push(complete),
      onOperation: () => {
        if (++operations >= operationsMax) disk.halt();
      },
    });
    const issued: Issued[] = [];
    const load = async (): Promise<string | undefined> => {
      let store: FileCoordinator;
      try {
        store = await FileCoordinator.open({
          disk: syncs ? disk : withoutSync(disk),
          folder: '/data/c',
          compactBytesMin,
          commitTransactionsMax,
        });
      } catch (error) {
        if (isBurrowError(error, 'STORAGE_CORRUPT')) return `round ${round}: ${error.message}`;
        return undefined;
      }
      const found = await store.list('').catch(() => undefined);
      if (found !== undefined) {
        const problem = differs(
          new Map(found.entries.map(({ key, value }) => [key, value])),
          found.revision,
          known,
          revision,
        );
        if (problem !== undefined) return `round ${round}, opened again: ${problem}`;
      }
      if (faults) {
        disk.inject({ on: ['write', 'sync'], probability: 0.03, times: 2, code: random.pick(['EIO', 'ENOSPC']) });
        disk.inject({ on: ['create', 'rename', 'remove', 'syncDirectory'], probability: 0.05, times: 2 });
      }
      while (!disk.halted) {
        const burst = Array.from({ length: random.between(1, 6) }, async () => {
          const id = next++;
          const value = `${id}:${'v'.repeat(random.below(valueBytesMax))}`;
          // Two keys that must always agree, and sometimes one that goes.
          const own: Issued = {
            transaction: {
              set: [`a${id % 11}`, `b${id % 11}`, 'last'].map((key) => ({ key, value })),
              ...(random.chance(0.3) && id % 11 !== 5 ? { remove: ['a5', 'b5'] } : {}),
            },
            outcome: 'unknown',
          };
          issued.push(own);
          try {
            own.outcome = (await store.transaction(own.transaction)).revision;
          } catch (error) {
            if (isBurrowError(error, 'STORAGE_FULL')) own.outcome = 'refused';
          }
        });
        await Promise.all(burst);
        // After a sticky failure nothing moves any more.
        if (issued.length > 300) disk.halt();
      }
      return undefined;
    };
    let problem: string | undefined;
    let done: boolean = false;
    const running = load().then((result) => {
      problem = result;
      done = true;
    });
    while (!done) {
      const complete = waiting.splice(random.below(waiting.length), 1)[0];
      complete?.();
      for (let i = 0; i < 8; i++) await Promise.resolve();
    }
    await running;
    if (problem !== undefined) return problem;

    disk.halt();
    const mode: CrashMode | 'kill' = random.pick(['lost', 'kept', 'prefix', 'reordered', 'reordered', 'kill']);
    const crashed =
      mode === 'kill'
        ? disk.kill(random.fork('crash'), { schedule: queueMicrotask })
        : disk.crash(random.fork('crash'), mode, { schedule: queueMicrotask });
    for (const complete of waiting.splice(0)) complete();

    let found: { entries: Map<string, string>; revision: number };
    try {
      const store = await FileCoordinator.open({ disk: crashed, folder: '/data/c' });
      const { entries, revision: foundRevision } = await store.list('');
      found = { entries: new Map(entries.map(({ key, value }) => [key, value])), revision: foundRevision };
      await store.close();
    } catch (error) {
      return `round ${round} (${mode}): ${String(error)}`;
    }
    const states = model(known, issued);
    const acknowledged = issued.reduce(
      (max, { outcome }) => (typeof outcome === 'number' ? Math.max(max, outcome) : max),
      revision,
    );
    const expected = states[found.revision - revision];
    if (found.revision < acknowledged)
      return `round ${round} (${mode}): revision ${found.revision} < acknowledged ${acknowledged}`;
    if (expected === undefined) return `round ${round} (${mode}): revision ${found.revision} was never given`;
    const difference = differs(found.entries, 0, expected, 0);
    if (difference !== undefined) return `round ${round} (${mode}), revision ${found.revision}: ${difference}`;
    known = found.entries;
    revision = found.revision;
    disk = crashed;
  }
  return undefined;
}

function differs(
  found: ReadonlyMap<string, string>,
  foundRevision: number,
  expected: ReadonlyMap<string, string>,
  expectedRevision: number,
): string | undefined {
  if (foundRevision !== expectedRevision) return `revision ${foundRevision} instead of ${expectedRevision}`;
  const keys = new Set([...found.keys(), ...expected.keys()]);
  for (const key of keys) {
    if (found.get(key) !== expected.get(key))
      return `${key} is ${found.get(key)?.slice(0, 20)} instead of ${expected.get(key)?.slice(0, 20)}`;
  }
  return undefined;
}

function withoutSync(disk: MemoryDisk): MemoryDisk {
  const open = disk.open.bind(disk);
  disk.open = async (path, options) => {
    const file = await open(path, options);
    file.sync = async () => {};
    return file;
  };
  return disk;
}

describe('thousands of seeded crashes', () => {
  test.each([
    ['on a healthy disk', { faults: false, syncs: true }],
    ['on a disk that also fails', { faults: true, syncs: true }],
  ])(
    'acknowledged transactions survive, all are whole and in order, %s',
    async (_, options) => {
      for (let seed = 0; seed < SEEDS / 2; seed++) {
        const problem = await run(seed, options);
        if (problem !== undefined) expect.fail(`seed ${seed}: ${problem}`);
      }
    },
    120_000,
  );

  test('the same seed runs the same', async () => {
    for (const seed of [1, 2, 3]) {
      expect(await run(seed, { faults: true, syncs: false })).toBe(await run(seed, { faults: true, syncs: false }));
    }
  });

  test('the checker finds a coordinator that acknowledges before it syncs', async () => {
    let found = 0;
    for (let seed = 0; seed < 50; seed++) {
      if ((await run(seed, { faults: false, syncs: false })) !== undefined) found++;
    }
    expect(found).toBeGreaterThan(10);
  });
});
