/** The contract of `Coordinator`, run over all implementations. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Coordinator, CoordinatorEvent } from '../../../broker/coordinator/coordinator.ts';
import { FileCoordinator } from '../../../broker/coordinator/file.ts';
import type { CoordinatorLimits } from '../../../broker/coordinator/key-values.ts';
import { MemoryCoordinator } from '../../../broker/coordinator/memory.ts';
import { MemoryDisk } from '../../../broker/ports/memory-disk.ts';
import { NodeDisk } from '../../../broker/ports/node-disk.ts';
import { isBurrowError } from '../../../src/errors/burrow-error.ts';

async function code(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'no error',
    (error: unknown) => (isBurrowError(error) ? error.code : String(error)),
  );
}

async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe.each([
  ['MemoryCoordinator', async (limits?: CoordinatorLimits): Promise<Coordinator> => new MemoryCoordinator(limits)],
  [
    'FileCoordinator',
    async (limits?: CoordinatorLimits): Promise<Coordinator> =>
      FileCoordinator.open({ disk: new MemoryDisk(), folder: '/data/coordinator', compactBytesMin: 300, ...limits }),
  ],
  [
    'FileCoordinator on a real disk',
    async (limits?: CoordinatorLimits): Promise<Coordinator> => {
      const root = await mkdtemp(join(tmpdir(), 'burrow-coordinator-'));
      onTestFinished(() => rm(root, { recursive: true, force: true }));
      return FileCoordinator.open({ disk: new NodeDisk(), folder: join(root, 'c'), compactBytesMin: 300, ...limits });
    },
  ],
])('%s', (_, make) => {
  async function open(limits?: CoordinatorLimits): Promise<Coordinator> {
    const coordinator = await make(limits);
    onTestFinished(() => coordinator.close());
    return coordinator;
  }

  test('an empty store has revision 0 and nothing in it', async () => {
    const store = await open();
    expect(await store.get('a')).toEqual({ entry: undefined, revision: 0 });
    expect(await store.list('')).toEqual({ entries: [], revision: 0 });
  });

  test('each transaction that changes something gets the next revision; entries tell when they were made and set', async () => {
    const store = await open();
    expect(await store.transaction({ set: [{ key: 'a', value: '1' }] })).toEqual({ committed: true, revision: 1 });
    const both = {
      set: [
        { key: 'a', value: '2' },
        { key: 'b', value: '3' },
      ],
    };
    expect(await store.transaction(both)).toEqual({ committed: true, revision: 2 });
    expect(await store.transaction({})).toEqual({ committed: true, revision: 2 });
    expect(await store.transaction({ remove: ['absent'] })).toEqual({ committed: true, revision: 2 });
    expect(await store.get('a')).toEqual({
      entry: { key: 'a', value: '2', createRevision: 1, modRevision: 2 },
      revision: 2,
    });
    expect(await store.transaction({ remove: ['a', 'absent'] })).toEqual({ committed: true, revision: 3 });
    expect((await store.get('a')).entry).toBeUndefined();
    await store.transaction({ set: [{ key: 'a', value: '4' }] });
    expect((await store.get('a')).entry).toEqual({ key: 'a', value: '4', createRevision: 4, modRevision: 4 });
  });

  test('conditions compare with the revision of the last change; 0 is absence; all must hold or nothing changes', async () => {
    const store = await open();
    const set = (key: string, value: string, ...conditions: Array<[string, number]>) =>
      store.transaction({ if: conditions.map(([k, revision]) => ({ key: k, revision })), set: [{ key, value }] });
    expect(await set('a', '1', ['a', 0])).toEqual({ committed: true, revision: 1 });
    expect(await set('a', '2', ['a', 0])).toEqual({ committed: false, revision: 1 });
    expect(await set('a', '2', ['a', 1], ['b', 1])).toEqual({ committed: false, revision: 1 });
    expect(await set('a', '2', ['a', 1], ['b', 0])).toEqual({ committed: true, revision: 2 });
    expect(await set('a', '3', ['a', 1])).toEqual({ committed: false, revision: 2 });
    expect((await store.get('a')).entry?.value).toBe('2');
    expect(await store.transaction({ if: [{ key: 'a', revision: 2 }], remove: ['a'] })).toEqual({
      committed: true,
      revision: 3,
    });
    expect(await set('a', '4', ['a', 2])).toEqual({ committed: false, revision: 3 });
    expect(await set('a', '4', ['a', 0])).toEqual({ committed: true, revision: 4 });
  });

  test('of concurrent compare-and-sets on one key exactly one wins each round', async () => {
    const store = await open();
    for (let round = 0; round < 20; round++) {
      const { entry } = await store.get('a');
      const outcomes = await Promise.all(
        Array.from({ length: 8 }, (_unused, i) =>
          store.transaction({
            if: [{ key: 'a', revision: entry?.modRevision ?? 0 }],
            set: [{ key: 'a', value: `${round}/${i}` }],
          }),
        ),
      );
      expect(outcomes.filter(({ committed }) => committed)).toHaveLength(1);
      expect((await store.get('a')).entry?.value).toBe(`${round}/${outcomes.findIndex(({ committed }) => committed)}`);
    }
    expect((await store.get('a')).revision).toBe(20);
  });

  test('a counter incremented by many retrying clients misses nothing', async () => {
    const store = await open();
    const client = async (): Promise<void> => {
      for (let done = 0; done < 25; ) {
        const { entry } = await store.get('n');
        const { committed } = await store.transaction({
          if: [{ key: 'n', revision: entry?.modRevision ?? 0 }],
          set: [{ key: 'n', value: String(Number(entry?.value ?? 0) + 1) }],
        });
        if (committed) done++;
      }
    };
    await Promise.all([client(), client(), client(), client()]);
    expect((await store.get('n')).entry?.value).toBe('100');
  });

  test('list gives the keys with a prefix, sorted', async () => {
    const store = await open();
    for (const key of ['topics/b', 'topics/a', 'users/a', 'topics/B', 'topics', 'topics/a/x']) {
      await store.transaction({ set: [{ key, value: '' }] });
    }
    const { entries, revision } = await store.list('topics/');
    expect(entries.map(({ key }) => key)).toEqual(['topics/B', 'topics/a', 'topics/a/x', 'topics/b']);
    expect(revision).toBe(6);
    expect((await store.list('')).entries).toHaveLength(6);
  });

  test('keys named like members of Object.prototype, and any text as value, are kept as they are', async () => {
    const store = await open();
    const keys = ['__proto__', 'constructor', 'toString', 'topics/__proto__', 'käse/日本', 'a\0b', 'a\nb'];
    for (const key of keys) {
      expect((await store.get(key)).entry).toBeUndefined();
      expect(
        (await store.transaction({ if: [{ key, revision: 0 }], set: [{ key, value: `"${key}"\0\u2028` }] })).committed,
      ).toBe(true);
    }
    for (const key of keys) expect((await store.get(key)).entry?.value).toBe(`"${key}"\0\u2028`);
    expect((await store.list('')).entries.map(({ key }) => key)).toEqual([...keys].sort());
  });

  test('what breaks a rule or limit is refused and changes nothing', async () => {
    const store = await open({ keyCharactersMax: 10, transactionCharactersMax: 100 });
    const bad = [
      { set: [{ key: '', value: '' }] },
      { set: [{ key: 'x'.repeat(11), value: '' }] },
      { remove: ['x'.repeat(11)] },
      { if: [{ key: 'x'.repeat(11), revision: 0 }] },
      { if: [{ key: 'a', revision: -1 }] },
      { if: [{ key: 'a', revision: 0.5 }] },
      {
        set: [
          { key: 'a', value: '' },
          { key: 'a', value: '' },
        ],
      },
      { set: [{ key: 'a', value: '' }], remove: ['a'] },
      { remove: ['a', 'a'] },
      { set: [{ key: 'a', value: 'x'.repeat(100) }] },
      { set: [{ key: 'a\ud800', value: '' }] },
      { set: [{ key: 'a', value: '\udc00' }] },
    ];
    for (const transaction of bad)
      expect(await code(store.transaction(transaction)), JSON.stringify(transaction)).toBe('INVALID_ARGUMENT');
    expect((await store.list('')).revision).toBe(0);
    expect(await code(store.transaction({ set: [{ key: 'x'.repeat(10), value: 'y'.repeat(90) }] }))).toBe('no error');
  });

  test('a watch tells each change under its prefix once, in order, one event per transaction, never before it returns', async () => {
    const store = await open();
    await store.transaction({ set: [{ key: 'a/0', value: 'before' }] });
    const events: CoordinatorEvent[] = [];
    let returned: boolean = false;
    const watch = store.watch('a/', 2, (event) => {
      expect(returned).toBe(true);
      events.push(event);
    });
    returned = true;
    await store.transaction({
      set: [
        { key: 'a/1', value: 'x' },
        { key: 'b/1', value: 'y' },
        { key: 'a/2', value: 'z' },
      ],
    });
    await store.transaction({ set: [{ key: 'b/2', value: 'not ours' }] });
    await store.transaction({ set: [{ key: 'a/1', value: 'xx' }], remove: ['a/0', 'b/1'] });
    await settle();
    expect(events).toEqual([
      {
        kind: 'changed',
        revision: 2,
        set: [
          { key: 'a/1', value: 'x', createRevision: 2, modRevision: 2 },
          { key: 'a/2', value: 'z', createRevision: 2, modRevision: 2 },
        ],
        removed: [],
      },
      {
        kind: 'changed',
        revision: 4,
        set: [{ key: 'a/1', value: 'xx', createRevision: 2, modRevision: 4 }],
        removed: ['a/0'],
      },
    ]);
    watch.cancel();
    watch.cancel();
    await store.transaction({ set: [{ key: 'a/1', value: 'unseen' }] });
    await settle();
    expect(events).toHaveLength(2);
  });

  test('a watch may start in the past or in the future', async () => {
    const store = await open();
    for (let i = 1; i <= 5; i++) await store.transaction({ set: [{ key: `k${i}`, value: '' }] });
    const seen = new Map<number, number[]>([0, 1, 3, 6, 8].map((from) => [from, []]));
    for (const [from, revisions] of seen) {
      store.watch('', from, (event) => {
        if (event.kind === 'changed') revisions.push(event.revision);
      });
    }
    for (let i = 6; i <= 9; i++) await store.transaction({ set: [{ key: `k${i}`, value: '' }] });
    await settle();
    expect([...seen.values()]).toEqual([
      [1, 2, 3, 4, 5, 6, 7, 8, 9],
      [1, 2, 3, 4, 5, 6, 7, 8, 9],
      [3, 4, 5, 6, 7, 8, 9],
      [6, 7, 8, 9],
      [8, 9],
    ]);
  });

  test('a watch that starts before what is remembered is told so, and listing again misses nothing', async () => {
    const store = await open({ historyRevisionsMax: 3 });
    for (let i = 1; i <= 10; i++) await store.transaction({ set: [{ key: `k${i}`, value: '' }] });
    const old: CoordinatorEvent[] = [];
    const known: CoordinatorEvent[] = [];
    store.watch('', 7, (event) => old.push(event));
    store.watch('', 8, (event) => known.push(event));
    await settle();
    expect(old).toEqual([{ kind: 'compacted' }]);
    expect(known.map((event) => event.kind === 'changed' && event.revision)).toEqual([8, 9, 10]);
    await store.transaction({ set: [{ key: 'more', value: '' }] });
    await settle();
    expect(old).toHaveLength(1);
    expect(known).toHaveLength(4);
  });

  test('history is bounded by its characters, too', async () => {
    const store = await open({ historyCharactersMax: 1000 });
    for (let i = 1; i <= 10; i++) await store.transaction({ set: [{ key: 'k', value: 'x'.repeat(300) }] });
    const events: CoordinatorEvent[] = [];
    store.watch('', 7, (event) => events.push(event));
    await settle();
    expect(events).toEqual([{ kind: 'compacted' }]);
    const last: CoordinatorEvent[] = [];
    store.watch('', 8, (event) => last.push(event));
    await settle();
    expect(last).toHaveLength(3);
  });

  test('a live watch misses nothing even if more commits at once than is remembered', async () => {
    const store = await open({ historyRevisionsMax: 2 });
    const revisions: number[] = [];
    store.watch('', 1, (event) => {
      if (event.kind === 'changed') revisions.push(event.revision);
    });
    await Promise.all(
      Array.from({ length: 50 }, (_unused, i) => store.transaction({ set: [{ key: `k${i}`, value: '' }] })),
    );
    await settle();
    expect(revisions).toEqual(Array.from({ length: 50 }, (_unused, i) => i + 1));
  });

  test('a callback may cancel, watch and change', async () => {
    const store = await open();
    const seen: string[] = [];
    const first = store.watch('', 1, (event) => {
      if (event.kind !== 'changed') return;
      seen.push(`first ${event.revision}`);
      first.cancel();
      store.watch('', event.revision, (again) => again.kind === 'changed' && seen.push(`second ${again.revision}`));
      void store.transaction({ set: [{ key: 'from callback', value: '' }] });
    });
    await Promise.all([1, 2].map((i) => store.transaction({ set: [{ key: String(i), value: '' }] })));
    await vi.waitFor(() => expect(seen).toEqual(['first 1', 'second 1', 'second 2', 'second 3']));
  });

  test('after close every call is refused and no watch is told anything; transactions before it are finished', async () => {
    const store = await make();
    const events: CoordinatorEvent[] = [];
    store.watch('', 1, (event) => events.push(event));
    const before = store.transaction({ set: [{ key: 'a', value: '1' }] });
    await store.close();
    await store.close();
    expect(await before).toEqual({ committed: true, revision: 1 });
    const told = events.length;
    expect(await code(store.get('a'))).toBe('SHUTTING_DOWN');
    expect(await code(store.list('a'))).toBe('SHUTTING_DOWN');
    expect(await code(store.transaction({}))).toBe('SHUTTING_DOWN');
    expect(() => store.watch('', 1, () => {})).toThrow('closed');
    await settle();
    expect(events).toHaveLength(told);
  });
});
