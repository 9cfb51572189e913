import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Coordinator, CoordinatorTransaction } from '../../../broker/coordinator/coordinator.ts';
import { MemoryCoordinator } from '../../../broker/coordinator/memory.ts';
import { CoordinatorMirror } from '../../../broker/coordinator/mirror.ts';
import { BurrowError, isBurrowError } from '../../../src/errors/burrow-error.ts';

interface Opened {
  readonly mirror: CoordinatorMirror;
  /** What was told so far makes this. */
  readonly copy: Map<string, string>;
  readonly told: string[];
  readonly failures: string[];
}

async function open(coordinator: Coordinator, prefix = 'a/'): Promise<Opened> {
  const copy = new Map<string, string>();
  const told: string[] = [];
  const failures: string[] = [];
  const mirror = await CoordinatorMirror.open({
    coordinator,
    prefix,
    apply: (set, removed) => {
      for (const key of removed) {
        told.push(`- ${key}`);
        copy.delete(key);
      }
      for (const { key, value } of set) {
        if (value === 'bad') throw new BurrowError('STORAGE_CORRUPT');
        told.push(`+ ${key} ${value}`);
        copy.set(key, value);
      }
    },
    onFailure: ({ code }) => failures.push(code),
  });
  onTestFinished(() => mirror.close());
  return { mirror, copy, told, failures };
}

const set = (key: string, value: string, revision?: number): CoordinatorTransaction => ({
  ...(revision === undefined ? {} : { if: [{ key, revision }] }),
  set: [{ key, value }],
});

describe('a mirror of a prefix', () => {
  test('tells what is there, then its own changes and those of others, not those beside the prefix', async () => {
    const coordinator = new MemoryCoordinator();
    await coordinator.transaction(set('a/1', 'x'));
    await coordinator.transaction(set('b/1', 'x'));
    const { mirror, told } = await open(coordinator);
    expect(told).toEqual(['+ a/1 x']);
    expect(await mirror.transaction(set('a/2', 'y', 0))).toBeGreaterThan(0);
    await coordinator.transaction(set('b/2', 'y'));
    await coordinator.transaction({ remove: ['a/1'] });
    expect(await mirror.transaction(set('a/3', 'z'))).toBeGreaterThan(0);
    expect(told).toEqual(['+ a/1 x', '+ a/2 y', '- a/1', '+ a/3 z']);
    expect([mirror.revisionOf('a/1'), mirror.revisionOf('a/2')]).toEqual([0, 3]);
  });

  test('knows, when a condition did not hold, what is there instead, and tells it once', async () => {
    const coordinator = new MemoryCoordinator();
    const { mirror, told } = await open(coordinator);
    const other = coordinator.transaction(set('a/1', 'theirs'));
    expect(await mirror.transaction(set('a/1', 'mine', 0))).toBeUndefined();
    expect(told).toEqual(['+ a/1 theirs']);
    await other;
    expect(await mirror.transaction(set('a/1', 'mine', mirror.revisionOf('a/1')))).toBeGreaterThan(0);
    expect(told).toEqual(['+ a/1 theirs', '+ a/1 mine']);
    const removal = coordinator.transaction({ remove: ['a/1'] });
    expect(await mirror.transaction(set('a/1', 'again', mirror.revisionOf('a/1')))).toBeUndefined();
    await removal;
    expect(await mirror.transaction(set('a/2', 'end'))).toBeGreaterThan(0);
    expect(told.slice(2)).toEqual(['- a/1', '+ a/2 end']);
  });

  test('is not misled by old news after it has read ahead', async () => {
    const coordinator = new MemoryCoordinator();
    await coordinator.transaction(set('a/1', 'old'));
    // A watch that is slow, as one over a network may be.
    const late: Array<() => void> = [];
    const slow: Coordinator = {
      get: (key) => coordinator.get(key),
      list: (prefix) => coordinator.list(prefix),
      transaction: (transaction) => coordinator.transaction(transaction),
      watch: (prefix, from, onEvent) => coordinator.watch(prefix, from, (event) => late.push(() => onEvent(event))),
      grantLease: (ttlMs) => coordinator.grantLease(ttlMs),
      close: () => coordinator.close(),
    };
    const { mirror, told, copy } = await open(slow);
    await coordinator.transaction({ remove: ['a/1'] });
    await coordinator.transaction(set('a/1', 'new'));
    expect(await mirror.transaction(set('a/1', 'mine', mirror.revisionOf('a/1')))).toBeUndefined();
    expect(copy.get('a/1')).toBe('new');
    for (const deliver of late) deliver();
    expect(told).toEqual(['+ a/1 old', '+ a/1 new']);
  });

  test('finds what it missed when the coordinator has forgotten it', async () => {
    const coordinator = new MemoryCoordinator({ historyRevisionsMax: 1 });
    const { mirror, copy, told } = await open(coordinator);
    await mirror.transaction(set('a/1', '1'));
    await mirror.transaction(set('a/2', '2'));
    // All within one turn, before anything is delivered.
    await Promise.all([
      coordinator.transaction(set('a/3', '3')),
      coordinator.transaction({ remove: ['a/1'] }),
      coordinator.transaction(set('a/2', 'new')),
    ]);
    await mirror.transaction(set('a/9', '9'));
    expect(Object.fromEntries(copy)).toEqual({ 'a/2': 'new', 'a/3': '3', 'a/9': '9' });
    expect(told.filter((line) => line === '- a/1')).toHaveLength(1);
  });

  test('ends with what cannot be read, and rejects who waits', async () => {
    const coordinator = new MemoryCoordinator();
    const { mirror, failures } = await open(coordinator);
    const waiting = mirror.transaction(set('a/1', 'bad'));
    await expect(waiting).rejects.toSatisfy((error) => isBurrowError(error, 'STORAGE_CORRUPT'));
    expect(failures).toEqual(['STORAGE_CORRUPT']);
    await expect(mirror.transaction(set('a/2', 'x'))).rejects.toThrow();
  });

  test('ends, too, with what cannot be read when it looks again', async () => {
    const coordinator = new MemoryCoordinator();
    const { mirror, failures } = await open(coordinator, 'a/');
    const other = coordinator.transaction(set('a/1', 'bad'));
    await expect(mirror.transaction(set('a/1', 'mine', 0))).rejects.toSatisfy((error) =>
      isBurrowError(error, 'STORAGE_CORRUPT'),
    );
    await other;
    expect(failures).toEqual(['STORAGE_CORRUPT']);
  });

  test('tells nothing after it was closed', async () => {
    const coordinator = new MemoryCoordinator();
    const { mirror, told } = await open(coordinator);
    mirror.close();
    await coordinator.transaction(set('a/1', 'x'));
    await expect(mirror.transaction(set('a/2', 'x'))).rejects.toSatisfy((error) =>
      isBurrowError(error, 'SHUTTING_DOWN'),
    );
    expect(told).toEqual([]);
  });

  test('two mirrors that change the same keys at the same time end up with the same', async () => {
    const step = fc.record({
      who: fc.nat({ max: 1 }),
      key: fc.constantFrom('a/1', 'a/2', 'a/3'),
      value: fc.option(fc.constantFrom('x', 'y', 'z')),
      together: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20, size: 'max' }), async (steps) => {
        const coordinator = new MemoryCoordinator({ historyRevisionsMax: 2 });
        const opened = [await open(coordinator), await open(coordinator)];
        const running: Promise<unknown>[] = [];
        for (const { who, key, value, together } of steps) {
          const { mirror } = opened[who]!;
          const revision = mirror.revisionOf(key);
          if (value === null && revision === 0) continue;
          const change = value === null ? { remove: [key] } : { set: [{ key, value }] };
          running.push(mirror.transaction({ if: [{ key, revision }], ...change }));
          if (!together) await Promise.all(running.splice(0));
        }
        await Promise.all(running);
        for (const { mirror, copy } of opened) {
          await mirror.transaction(set('a/end', String(opened.findIndex((each) => each.copy === copy))));
        }
        await opened[0]!.mirror.transaction(set('a/last', '!'));
        const { entries } = await coordinator.list('a/');
        const there = Object.fromEntries(entries.map(({ key, value }) => [key, value]));
        expect(Object.fromEntries(opened[0]!.copy)).toEqual(there);
        expect(Object.fromEntries(opened[1]!.copy)).toEqual(there);
      }),
      { numRuns: 300 },
    );
  });
});
