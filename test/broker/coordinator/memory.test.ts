/** What only the coordinator in memory has: links that delay and lose messages, by a clock that a test moves. */
import { describe, expect, test } from 'vitest';
import type { Coordinator, CoordinatorEntry, CoordinatorEvent } from '../../../broker/coordinator/coordinator.ts';
import { MemoryCoordinator, type MemoryLink, MemoryStore } from '../../../broker/coordinator/memory.ts';
import { ManualClock } from '../../../broker/ports/manual-clock.ts';
import { SeededRandom } from '../../../broker/ports/seeded-random.ts';
import { isBurrowError } from '../../../src/errors/burrow-error.ts';
import {
  checkLinearizable,
  type HistoryItem,
  mergeHistory,
  runRandomClient,
} from '../../support/coordinator-history.ts';

async function code(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'no error',
    (error: unknown) => (isBurrowError(error) ? error.code : String(error)),
  );
}

async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

/** A link that a test cuts. */
class CutLink implements MemoryLink {
  lost = new Set<string>();

  delayMs(direction: 'request' | 'answer' | 'event'): number | undefined {
    return this.lost.has(direction) ? undefined : 1;
  }
}

/** A store with one session over a link, and one beside it. */
function bed(): { clock: ManualClock; store: MemoryStore; link: CutLink; far: Coordinator; near: Coordinator } {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock });
  const link = new CutLink();
  const far = new MemoryCoordinator({ store, link, requestTimeoutMs: 500 });
  return { clock, store, link, far, near: new MemoryCoordinator({ store }) };
}

/** Moves the clock until the call is over. */
async function finish<T>(clock: ManualClock, call: Promise<T>): Promise<T> {
  let done: boolean = false;
  const end = (): void => {
    done = true;
  };
  call.then(end, end);
  for (let i = 0; i < 2_000 && !done; i++) {
    clock.advance(1);
    await settle();
  }
  return call;
}

describe('a session over a link', () => {
  test('whose requests are lost is told in time, and nothing is made', async () => {
    const { clock, link, far, near } = bed();
    link.lost.add('request');
    const startMs = clock.monotonic();
    expect(await finish(clock, code(far.transaction({ set: [{ key: 'a', value: '1' }] })))).toBe(
      'COORDINATION_UNAVAILABLE',
    );
    expect(clock.monotonic() - startMs).toBe(500);
    expect((await near.get('a')).entry).toBeUndefined();
    link.lost.clear();
    expect(await finish(clock, far.transaction({ set: [{ key: 'a', value: '2' }] }))).toMatchObject({
      committed: true,
    });
  });

  test('whose answers are lost does not know what was made', async () => {
    const { clock, link, far, near } = bed();
    link.lost.add('answer');
    expect(await finish(clock, code(far.transaction({ set: [{ key: 'a', value: '1' }] })))).toBe(
      'COORDINATION_UNAVAILABLE',
    );
    expect((await near.get('a')).entry?.value).toBe('1');
    expect(await finish(clock, code(far.get('a')))).toBe('COORDINATION_UNAVAILABLE');
  });

  test('that is cut off loses its lease, and not before its deadline; afterwards it is told what it missed', async () => {
    const { clock, link, far, near } = bed();
    const lease = await finish(clock, far.grantLease(1_000));
    await finish(clock, far.transaction({ set: [{ key: 'member', value: '', leaseId: lease.id }] }));
    const events: CoordinatorEvent[] = [];
    far.watch('', 1, (event) => events.push(event));
    clock.advance(800);
    await finish(clock, lease.keepAlive());
    const deadlineMs = lease.deadlineMs;
    expect(deadlineMs).toBeGreaterThan(clock.monotonic());
    await settle();
    expect(events).toHaveLength(1);
    for (const direction of ['request', 'answer', 'event']) link.lost.add(direction);
    void code(lease.keepAlive());
    clock.advance(deadlineMs - clock.monotonic() - 1);
    expect((await near.get('member')).entry).toBeDefined();
    clock.advance(10);
    expect((await near.get('member')).entry).toBeUndefined();
    await near.transaction({ set: [{ key: 'other', value: '' }] });
    clock.advance(5_000);
    await settle();
    expect(events).toHaveLength(1);
    link.lost.clear();
    clock.advance(200);
    await settle();
    expect(events.map((event) => event.kind === 'changed' && event.revision)).toEqual([1, 2, 3]);
    expect(await finish(clock, code(lease.keepAlive()))).toBe('LEASE_EXPIRED');
    expect(lease.deadlineMs).toBe(deadlineMs);
  });

  test('is told when the store has forgotten what it missed', async () => {
    const { clock, store, link, far, near } = bed();
    const events: CoordinatorEvent[] = [];
    far.watch('', 1, (event) => events.push(event));
    link.lost.add('event');
    await near.transaction({ set: [{ key: 'a', value: '1' }] });
    clock.advance(300);
    store.compact();
    link.lost.clear();
    clock.advance(300);
    await settle();
    expect(events).toEqual([{ kind: 'compacted' }]);
  });
});

test('sessions over links that delay and lose at random are linearizable, the same for the same seed', async () => {
  const run = async (seed: number): Promise<string> => {
    const random = new SeededRandom(`memory/${seed}`);
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    const lossChance = random.pick([0, 0.02, 0.2]);
    const records: HistoryItem[] = [];
    const told = new Map<number, { set: readonly CoordinatorEntry[]; removed: readonly string[] }>();
    let [time, operations, running] = [0, 0, 0];
    const observer = new MemoryCoordinator({ store });
    observer.watch('', 1, (event) => {
      if (event.kind === 'changed') told.set(event.revision, event);
    });
    const far = new Map<number, unknown>();
    for (const name of ['a', 'b', 'c']) {
      const chance = random.fork(name);
      const link = { delayMs: () => (chance.chance(lossChance) ? undefined : chance.below(50)) };
      const coordinator = new MemoryCoordinator({ store, link, requestTimeoutMs: 100 });
      if (name === 'a') {
        coordinator.watch('', 1, (event) => event.kind === 'changed' && far.set(event.revision, event));
      }
      running++;
      void runRandomClient({
        coordinator,
        random: random.fork(`${name} client`),
        name,
        keys: 3,
        now: () => ++time,
        record: (item) => records.push(item),
        goesOn: () => operations++ < 150,
      }).then(() => running--);
    }
    while (running > 0) {
      clock.advance(1);
      await settle();
      if (clock.monotonic() % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    for (let i = 0; i < 2_000 && far.size < told.size; i++) {
      clock.advance(1);
      await settle();
    }
    expect([...far.entries()], `seed ${seed}`).toEqual([...told.entries()]);
    const history = mergeHistory(records);
    expect(checkLinearizable(history, told), `seed ${seed}`).toBeUndefined();
    return JSON.stringify(history);
  };
  for (let seed = 0; seed < 60; seed++) await run(seed);
  expect(await run(7)).toBe(await run(7));
}, 60_000);
