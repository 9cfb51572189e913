/** A node whose disk stops after some operation, and the node that comes after it. */
import { MemoryCoordinator } from '../../broker/coordinator/memory.ts';
import { ManualClock } from '../../broker/ports/manual-clock.ts';
import { MemoryDisk } from '../../broker/ports/memory-disk.ts';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { startTestNode, type TestNode, type TestNodeOptions } from './node-environment.ts';

export const CRASHES = ['kill', 'lost', 'prefix', 'reordered'] as const;

type Settings = Pick<TestNodeOptions, 'settings'>;

/**
 * Runs `live` on a new node again and again, and has the disk halt after each of the operations that it causes, or in the midst of it,
 * in another way each time; `check` then gets the node that starts on what is left, with what `live` had noted by then. Returns the number of crashes.
 */
export async function crashAtEveryOperation<T>(
  options: Settings & {
    readonly newNotes: () => T;
    readonly live: (node: TestNode, notes: T) => Promise<void>;
    readonly check: (node: TestNode, notes: T, name: string) => Promise<void>;
  },
): Promise<number> {
  const { settings = {} } = options;
  const whole = await lifeOf({ ...options, settings }, Number.POSITIVE_INFINITY, false);
  let crashes = 0;
  for (let last = whole.first; last < whole.disk.operations; last++) {
    const how = CRASHES[(crashes >>> 1) % CRASHES.length]!;
    const inTheMidst = crashes % 2 === 1;
    const { disk, clock, coordinator, notes } = await lifeOf({ ...options, settings }, last, inTheMidst);
    const name = `operation ${last}${inTheMidst ? ', in its midst' : ''}, ${how}`;
    const random = new SeededRandom(name);
    const survivor = how === 'kill' ? disk.kill(random, {}) : disk.crash(random, how, {});
    const next = await startTestNode({ disk: survivor, coordinator, clock: new ManualClock(clock.now()), settings });
    await options.check(next, notes, name);
    await next.stop();
    crashes++;
  }
  return crashes;
}

async function lifeOf<T>(
  options: Settings & {
    readonly newNotes: () => T;
    readonly live: (node: TestNode, notes: T) => Promise<void>;
  },
  last: number,
  inTheMidst: boolean,
) {
  let onHalted = (): void => {};
  const halted = new Promise<void>((resolve) => {
    onHalted = resolve;
  });
  const halt = (_: unknown, index: number): void => {
    if (index < last) return;
    disk.halt();
    onHalted();
  };
  const disk: MemoryDisk = new MemoryDisk(inTheMidst ? { beforeOperation: halt } : { onOperation: halt });
  const clock = new ManualClock();
  const coordinator = new MemoryCoordinator();
  const node = await startTestNode({ ...options, disk, clock, coordinator });
  const first = disk.operations;
  const notes = options.newNotes();
  await Promise.race([options.live(node, notes), halted]);
  return { disk, clock, coordinator, notes, first };
}
