/** The contract of `Coordinator`, run over all implementations. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Coordinator, CoordinatorEvent } from '../../../broker/coordinator/coordinator.ts';
import { EtcdCoordinator } from '../../../broker/coordinator/etcd.ts';
import { FileCoordinator } from '../../../broker/coordinator/file.ts';
import type { CoordinatorLimits } from '../../../broker/coordinator/key-values.ts';
import { MemoryCoordinator, MemoryStore } from '../../../broker/coordinator/memory.ts';
import { MemoryDisk } from '../../../broker/ports/memory-disk.ts';
import { NodeDisk } from '../../../broker/ports/node-disk.ts';
import { systemClock } from '../../../broker/ports/system-clock.ts';
import { isBurrowError } from '../../../src/errors/burrow-error.ts';
import { EtcdServer, etcdIsThere } from '../../support/etcd-server.ts';

async function code(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'no error',
    (error: unknown) => (isBurrowError(error) ? error.code : String(error)),
  );
}

/** Opens sessions with one and the same new, empty store. */
type OpenStore = (limits?: CoordinatorLimits) => Promise<() => Promise<Coordinator>>;

interface Implementation {
  readonly open: OpenStore;
  /** Whether the lengths of history are ours to choose. */
  readonly historyLimits: boolean;
}

async function realFolder(): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'burrow-coordinator-'));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  return join(root, 'c');
}

const WITH_ETCD = etcdIsThere();
let etcd: EtcdServer | undefined;
let etcdPrefixes = 0;

if (WITH_ETCD) {
  beforeAll(async () => {
    etcd = await EtcdServer.start();
  }, 60_000);
  afterAll(() => etcd?.remove());
}

const IMPLEMENTATIONS: ReadonlyArray<readonly [string, Implementation]> = [
  [
    'MemoryCoordinator',
    {
      historyLimits: true,
      open: async (limits) => {
        const store = new MemoryStore(limits);
        onTestFinished(() => store.close());
        return async () => new MemoryCoordinator({ store });
      },
    },
  ],
  [
    'MemoryCoordinator over a slow link',
    {
      historyLimits: true,
      open: async (limits) => {
        const store = new MemoryStore(limits);
        onTestFinished(() => store.close());
        let messages = 0;
        // Every seventh event is lost; events must come all the same.
        const delayMs = (direction: string): number | undefined =>
          direction === 'event' && ++messages % 7 === 0 ? undefined : messages % 3;
        return async () => new MemoryCoordinator({ store, link: { delayMs } });
      },
    },
  ],
  [
    'FileCoordinator on a disk in memory',
    {
      historyLimits: true,
      open: async (limits) => {
        const disk = new MemoryDisk();
        return () => FileCoordinator.open({ disk, folder: '/data/c', shared: true, compactBytesMin: 500, ...limits });
      },
    },
  ],
  [
    'FileCoordinator',
    {
      historyLimits: true,
      open: async (limits) => {
        const folder = await realFolder();
        return () =>
          FileCoordinator.open({ disk: new NodeDisk(), folder, shared: true, compactBytesMin: 500, ...limits });
      },
    },
  ],
  ...(WITH_ETCD
    ? [
        [
          'EtcdCoordinator',
          {
            historyLimits: false,
            open: async (limits?: CoordinatorLimits) => {
              const prefix = `contract/${etcdPrefixes++}`;
              const members = [etcd!.address];
              return () =>
                EtcdCoordinator.open({ members, prefix, credentials: { tls: false }, clock: systemClock, ...limits });
            },
          },
        ] as const,
      ]
    : []),
];

describe.each(IMPLEMENTATIONS)('%s', (_, { open: openStore, historyLimits }) => {
  async function openSessions(count: number, limits?: CoordinatorLimits): Promise<Coordinator[]> {
    const connect = await openStore(limits);
    const sessions: Coordinator[] = [];
    for (let i = 0; i < count; i++) {
      const session = await connect();
      onTestFinished(() => session.close());
      sessions.push(session);
    }
    return sessions;
  }

  async function open(limits?: CoordinatorLimits): Promise<Coordinator> {
    return (await openSessions(1, limits))[0]!;
  }

  async function set(store: Coordinator, key: string, value: string, leaseId?: string): Promise<number> {
    const change = leaseId === undefined ? { key, value } : { key, value, leaseId };
    const outcome = await store.transaction({ set: [change] });
    expect(outcome).toEqual({ committed: true, changed: true, revision: outcome.revision });
    return outcome.revision;
  }

  async function read(store: Coordinator, key: string): Promise<string | undefined> {
    return (await store.get(key)).entry?.value;
  }

  describe('entries', () => {
    test('an empty store has nothing in it', async () => {
      const store = await open();
      const { revision } = await store.get('a');
      expect(await store.get('a')).toEqual({ entry: undefined, revision });
      expect(await store.list('')).toEqual({ entries: [], revision });
    });

    test('each transaction that changes something has a higher revision; entries tell when they were made and set', async () => {
      const store = await open();
      const { revision: start } = await store.get('a');
      const first = await set(store, 'a', '1');
      expect(first).toBeGreaterThan(start);
      const both = {
        set: [
          { key: 'a', value: '2' },
          { key: 'b', value: '3' },
        ],
      };
      const { revision: second } = await store.transaction(both);
      expect(second).toBeGreaterThan(first);
      expect(await store.transaction({})).toEqual({ committed: true, changed: false, revision: second });
      expect(await store.transaction({ remove: ['absent'] })).toMatchObject({ committed: true, changed: false });
      const entry = { key: 'a', value: '2', createRevision: first, modRevision: second };
      expect(await store.get('a')).toEqual({ entry, revision: second });
      const third = await store.transaction({ remove: ['a', 'absent'] });
      expect(third).toMatchObject({ committed: true, changed: true });
      expect(third.revision).toBeGreaterThan(second);
      expect((await store.get('a')).entry).toBeUndefined();
      const again = await set(store, 'a', '4');
      expect((await store.get('a')).entry).toEqual({ key: 'a', value: '4', createRevision: again, modRevision: again });
    });

    test('conditions compare with the revision of the last change; 0 is absence; all must hold or nothing changes', async () => {
      const store = await open();
      const attempt = (value: string, ...conditions: Array<[string, number]>) =>
        store.transaction({
          if: conditions.map(([key, revision]) => ({ key, revision })),
          set: [{ key: 'a', value }],
        });
      const refused = { committed: false, changed: false };
      const { revision: first } = await attempt('1', ['a', 0]);
      expect(await attempt('2', ['a', 0])).toEqual({ ...refused, revision: first });
      expect(await attempt('2', ['a', first], ['b', first])).toMatchObject(refused);
      const { revision: second, committed } = await attempt('2', ['a', first], ['b', 0]);
      expect(committed).toBe(true);
      expect(await attempt('3', ['a', first])).toEqual({ ...refused, revision: second });
      expect(await read(store, 'a')).toBe('2');
      expect(await store.transaction({ if: [{ key: 'a', revision: second }], remove: ['a'] })).toMatchObject({
        committed: true,
        changed: true,
      });
      expect(await attempt('4', ['a', second])).toMatchObject(refused);
      expect(await attempt('4', ['a', 0])).toMatchObject({ committed: true });
    });

    test('a condition on the creation holds through changes, and not for a key that was made anew', async () => {
      const store = await open();
      const owner = await set(store, 'controller', 'one');
      await set(store, 'controller', 'one, renamed');
      const act = (value: string, createRevision: number) =>
        store.transaction({ if: [{ key: 'controller', createRevision }], set: [{ key: 'x', value }] });
      expect(await act('by one', owner)).toMatchObject({ committed: true });
      await store.transaction({ remove: ['controller'] });
      expect(await act('too late', owner)).toMatchObject({ committed: false });
      expect(await act('nobody', 0)).toMatchObject({ committed: true });
      await set(store, 'controller', 'two');
      expect(await act('still too late', owner)).toMatchObject({ committed: false });
      expect(await read(store, 'x')).toBe('nobody');
    });

    test('list gives the keys with a prefix, sorted', async () => {
      const store = await open();
      for (const key of ['topics/b', 'topics/a', 'users/a', 'topics/B', 'topics', 'topics/a/x'])
        await set(store, key, '');
      const { entries, revision } = await store.list('topics/');
      expect(entries.map(({ key }) => key)).toEqual(['topics/B', 'topics/a', 'topics/a/x', 'topics/b']);
      expect(revision).toBe((await store.get('topics/a/x')).entry!.modRevision);
      expect((await store.list('')).entries).toHaveLength(6);
    });

    test('keys named like members of Object.prototype, and any text as value, are kept as they are', async () => {
      const store = await open();
      const keys = [
        '__proto__',
        'constructor',
        'toString',
        'topics/__proto__',
        'käse/日本',
        'a\0b',
        'a\nb',
        '\u{1f600}',
        '\uff00',
      ];
      for (const key of keys) {
        expect((await store.get(key)).entry).toBeUndefined();
        const value = `"${key}"\0\u2028`;
        expect((await store.transaction({ if: [{ key, revision: 0 }], set: [{ key, value }] })).committed).toBe(true);
      }
      for (const key of keys) expect(await read(store, key)).toBe(`"${key}"\0\u2028`);
      expect((await store.list('')).entries.map(({ key }) => key)).toEqual([...keys].sort());
    });

    test('what breaks a rule or limit is refused and changes nothing', async () => {
      const store = await open({ keyCharactersMax: 10, transactionCharactersMax: 1000, transactionOperationsMax: 20 });
      const keys = Array.from({ length: 21 }, (_unused, i) => `k${i}`);
      const bad = [
        { set: [{ key: '', value: '' }] },
        { set: [{ key: 'x'.repeat(11), value: '' }] },
        { remove: ['x'.repeat(11)] },
        { if: [{ key: 'x'.repeat(11), revision: 0 }] },
        { if: [{ key: 'a', revision: -1 }] },
        { if: [{ key: 'a', createRevision: 0.5 }] },
        {
          set: [
            { key: 'a', value: '' },
            { key: 'a', value: '' },
          ],
        },
        { set: [{ key: 'a', value: '' }], remove: ['a'] },
        { remove: ['a', 'a'] },
        { set: [{ key: 'a', value: 'x'.repeat(1000) }] },
        { set: [{ key: 'a\ud800', value: '' }] },
        { set: [{ key: 'a', value: '\udc00' }] },
        { remove: keys },
        { set: keys.slice(0, 11).map((key) => ({ key, value: '' })), remove: keys.slice(11) },
        { if: keys.map((key) => ({ key, revision: 0 })) },
      ];
      for (const transaction of bad)
        expect(await code(store.transaction(transaction)), JSON.stringify(transaction)).toBe('INVALID_ARGUMENT');
      for (const ttlMs of [0, -1, 0.5, Number.NaN, 2 ** 31]) {
        expect(await code(store.grantLease(ttlMs)), String(ttlMs)).toBe('INVALID_ARGUMENT');
      }
      expect((await store.list('')).entries).toEqual([]);
      const allowed = { set: [{ key: 'x'.repeat(10), value: 'y'.repeat(900) }], remove: keys.slice(0, 19) };
      expect(await code(store.transaction(allowed))).toBe('no error');
    });
  });

  describe('several sessions', () => {
    test('of concurrent compare-and-sets on one key exactly one wins each round', async () => {
      const sessions = await openSessions(3);
      for (let round = 0; round < 10; round++) {
        const { entry } = await sessions[round % 3]!.get('a');
        const outcomes = await Promise.all(
          Array.from({ length: 8 }, (_unused, i) =>
            sessions[i % 3]!.transaction({
              if: [{ key: 'a', revision: entry?.modRevision ?? 0 }],
              set: [{ key: 'a', value: `${round}/${i}` }],
            }),
          ),
        );
        expect(outcomes.filter(({ committed }) => committed)).toHaveLength(1);
        const winner = outcomes.findIndex(({ committed }) => committed);
        for (const session of sessions) expect(await read(session, 'a')).toBe(`${round}/${winner}`);
      }
    });

    test('a counter incremented by many retrying clients misses nothing', async () => {
      const sessions = await openSessions(3);
      const client = async (store: Coordinator): Promise<void> => {
        for (let done = 0; done < 10; ) {
          const { entry } = await store.get('n');
          const { committed } = await store.transaction({
            if: [{ key: 'n', revision: entry?.modRevision ?? 0 }],
            set: [{ key: 'n', value: String(Number(entry?.value ?? 0) + 1) }],
          });
          if (committed) done++;
        }
      };
      await Promise.all(sessions.map(client));
      expect(await read(sessions[0]!, 'n')).toBe('30');
    });

    test('what one was answered, the next read of another sees', async () => {
      const [one, other] = (await openSessions(2)) as [Coordinator, Coordinator];
      for (let i = 0; i < 30; i++) {
        const revision = await set(one, `k${i % 4}`, String(i));
        const found = i % 2 === 0 ? await other.get(`k${i % 4}`) : undefined;
        const entry = found?.entry ?? (await other.list('k')).entries.find(({ key }) => key === `k${i % 4}`);
        expect(entry).toMatchObject({ value: String(i), modRevision: revision });
      }
    });

    test('a watch tells of changes by others', async () => {
      const [one, other] = (await openSessions(2)) as [Coordinator, Coordinator];
      const { revision } = await other.get('a');
      const seen: string[] = [];
      other.watch('a', revision + 1, (event) => {
        if (event.kind === 'changed') seen.push(...event.set.map(({ value }) => value));
      });
      for (let i = 0; i < 20; i++) await set(one, `a${i % 3}`, String(i));
      await vi.waitFor(() => expect(seen).toEqual(Array.from({ length: 20 }, (_unused, i) => String(i))), 5_000);
    });
  });

  describe('watches', () => {
    test('tell each change under the prefix once, in order, one event per transaction, never before they return', async () => {
      const store = await open();
      const before = await set(store, 'a/0', 'before');
      const events: CoordinatorEvent[] = [];
      let returned: boolean = false;
      const watch = store.watch('a/', before + 1, (event) => {
        expect(returned).toBe(true);
        events.push(event);
      });
      returned = true;
      const { revision: first } = await store.transaction({
        set: [
          { key: 'a/1', value: 'x' },
          { key: 'b/1', value: 'y' },
          { key: 'a/2', value: 'z' },
        ],
      });
      await set(store, 'b/2', 'not ours');
      const change = { set: [{ key: 'a/1', value: 'xx' }], remove: ['a/0', 'b/1'] };
      const { revision: second } = await store.transaction(change);
      await vi.waitFor(() => expect(events).toHaveLength(2), 5_000);
      expect(events).toEqual([
        {
          kind: 'changed',
          revision: first,
          set: [
            { key: 'a/1', value: 'x', createRevision: first, modRevision: first },
            { key: 'a/2', value: 'z', createRevision: first, modRevision: first },
          ],
          removed: [],
        },
        {
          kind: 'changed',
          revision: second,
          set: [{ key: 'a/1', value: 'xx', createRevision: first, modRevision: second }],
          removed: ['a/0'],
        },
      ]);
      watch.cancel();
      watch.cancel();
      const later = store.watch('a/', second + 1, (event) => events.push(event));
      await set(store, 'a/1', 'seen by the second only');
      await vi.waitFor(() => expect(events).toHaveLength(3), 5_000);
      later.cancel();
    });

    test('may start in the past or in the future', async () => {
      const store = await open();
      const revisions: number[] = [];
      for (let i = 1; i <= 5; i++) revisions.push(await set(store, `k${i}`, ''));
      const ahead = revisions.at(-1)! + 3;
      const starts = [revisions[0]!, revisions[2]!, revisions.at(-1)! + 1, ahead];
      const seen = starts.map((from) => {
        const told: number[] = [];
        store.watch('k', from, (event) => {
          told.push(event.kind === 'changed' ? event.revision : Number.NaN);
        });
        return { from, told };
      });
      for (let i = 6; i <= 9; i++) revisions.push(await set(store, `k${i}`, ''));
      for (const { from, told } of seen) {
        await vi.waitFor(() => expect(told).toEqual(revisions.filter((revision) => revision >= from)), 5_000);
      }
    });

    test.runIf(historyLimits)(
      'that start before what is remembered are told so, and listing again misses nothing',
      async () => {
        const store = await open({ historyRevisionsMax: 3 });
        for (let i = 1; i <= 10; i++) await set(store, `k${i}`, '');
        const old: CoordinatorEvent[] = [];
        const known: CoordinatorEvent[] = [];
        store.watch('', 7, (event) => old.push(event));
        store.watch('', 8, (event) => known.push(event));
        await vi.waitFor(() =>
          expect(known.map((event) => event.kind === 'changed' && event.revision)).toEqual([8, 9, 10]),
        );
        await vi.waitFor(() => expect(old).toEqual([{ kind: 'compacted' }]));
        await set(store, 'more', '');
        await vi.waitFor(() => expect(known).toHaveLength(4));
        expect(old).toHaveLength(1);
      },
    );

    test.runIf(historyLimits)('reach back within bounds of characters, too', async () => {
      const store = await open({ historyCharactersMax: 1000 });
      for (let i = 1; i <= 10; i++) await set(store, 'k', 'x'.repeat(300));
      const events: CoordinatorEvent[] = [];
      store.watch('', 7, (event) => events.push(event));
      await vi.waitFor(() => expect(events).toEqual([{ kind: 'compacted' }]));
      const last: CoordinatorEvent[] = [];
      store.watch('', 8, (event) => last.push(event));
      await vi.waitFor(() => expect(last).toHaveLength(3));
    });

    test('of a burst larger than what is remembered are told everything, or that something is missing', async () => {
      const store = await open({ historyRevisionsMax: 2 });
      const { revision } = await store.get('k');
      const told: number[] = [];
      let missing: boolean = false;
      store.watch('k', revision + 1, (event) => {
        if (event.kind === 'changed') told.push(event.revision);
        else missing = true;
      });
      const outcomes = await Promise.all(
        Array.from({ length: 50 }, (_unused, i) => store.transaction({ set: [{ key: `k${i}`, value: '' }] })),
      );
      const revisions = outcomes.map((outcome) => outcome.revision).sort((a, b) => a - b);
      await vi.waitFor(() => expect(missing || told.length === 50).toBe(true), 5_000);
      expect(told).toEqual(revisions.slice(0, told.length));
    });

    test('a callback may cancel, watch and change', async () => {
      const store = await open();
      const { revision } = await store.get('k');
      const seen: string[] = [];
      const first = store.watch('k', revision + 1, (event) => {
        if (event.kind !== 'changed') return;
        seen.push(`first ${event.set[0]?.key}`);
        first.cancel();
        store.watch(
          'k',
          event.revision,
          (again) => again.kind === 'changed' && seen.push(`second ${again.set[0]?.key}`),
        );
        void store.transaction({ set: [{ key: 'k3', value: '' }] });
      });
      await set(store, 'k1', '');
      await vi.waitFor(() => expect(seen).toEqual(['first k1', 'second k1', 'second k3']), 5_000);
    });
  });

  describe('leases', () => {
    test('their end removes their keys at one revision; other keys stay', async () => {
      const [holder, other] = (await openSessions(2)) as [Coordinator, Coordinator];
      const lease = await holder.grantLease(10_000);
      await set(holder, 'member/1', 'a', lease.id);
      await set(other, 'member/1/info', 'b', lease.id);
      const last = await set(holder, 'definition', 'c');
      expect((await other.get('member/1')).entry).toMatchObject({ value: 'a', leaseId: lease.id });
      expect((await other.get('definition')).entry?.leaseId).toBeUndefined();
      const events: CoordinatorEvent[] = [];
      other.watch('member/', last + 1, (event) => events.push(event));
      await lease.revoke();
      expect(lease.deadlineMs).toBe(Number.NEGATIVE_INFINITY);
      expect((await other.list('')).entries.map(({ key }) => key)).toEqual(['definition']);
      await vi.waitFor(() => expect(events).toHaveLength(1), 5_000);
      const [event] = events;
      expect(event?.kind === 'changed' && [...event.removed].sort()).toEqual(['member/1', 'member/1/info']);
      await lease.revoke();
      expect(await code(lease.keepAlive())).toBe('LEASE_EXPIRED');
      expect(lease.deadlineMs).toBe(Number.NEGATIVE_INFINITY);
    });

    test('that are not renewed end after their time, and not before the deadline of their holder', async () => {
      const [holder, other] = (await openSessions(2)) as [Coordinator, Coordinator];
      const before = systemClock.monotonic();
      const lease = await holder.grantLease(1_000);
      const kept = await holder.grantLease(1_000);
      expect(lease.ttlMs).toBeGreaterThanOrEqual(1_000);
      expect(lease.deadlineMs).toBeGreaterThanOrEqual(before + lease.ttlMs);
      expect(lease.deadlineMs).toBeLessThanOrEqual(systemClock.monotonic() + lease.ttlMs);
      await set(holder, 'dead', '', lease.id);
      await set(holder, 'alive', '', kept.id);
      let goneMs = 0;
      let askedMs = before;
      while (goneMs === 0) {
        // Lets timers fire.
        await new Promise((resolve) => setImmediate(resolve));
        await kept.keepAlive();
        askedMs = systemClock.monotonic();
        if ((await other.get('dead')).entry === undefined) goneMs = systemClock.monotonic();
      }
      expect(goneMs).toBeGreaterThanOrEqual(lease.deadlineMs);
      expect(askedMs).toBeLessThan(lease.deadlineMs + 10_000);
      expect(await code(lease.keepAlive())).toBe('LEASE_EXPIRED');
      expect(await read(other, 'alive')).toBe('');
      expect(kept.deadlineMs).toBeGreaterThan(lease.deadlineMs);
    }, 20_000);

    test('outlive the session that asked for them, and end all the same', async () => {
      const connect = await openStore();
      const holder = await connect();
      const other = await connect();
      onTestFinished(() => other.close());
      const lease = await holder.grantLease(1_000);
      await set(holder, 'a', '', lease.id);
      await holder.close();
      expect(await read(other, 'a')).toBe('');
      await vi.waitFor(async () => expect((await other.get('a')).entry).toBeUndefined(), 10_000);
    }, 20_000);

    test('that are not there refuse what names them, unless a condition does not hold anyway', async () => {
      const store = await open();
      const lease = await store.grantLease(10_000);
      await lease.revoke();
      const change = { set: [{ key: 'a', value: '', leaseId: lease.id }] };
      expect(await code(store.transaction(change))).toBe('LEASE_EXPIRED');
      expect(await store.transaction({ if: [{ key: 'a', revision: 1 }], ...change })).toMatchObject({
        committed: false,
      });
      expect(await code(store.transaction({ set: [{ key: 'a', value: '', leaseId: 'no such lease' }] }))).toBe(
        'LEASE_EXPIRED',
      );
      expect((await store.list('')).entries).toEqual([]);
    });

    test('let go of a key that is set without them, or removed', async () => {
      const store = await open();
      const lease = await store.grantLease(10_000);
      for (const key of ['a', 'b', 'c', 'd']) await set(store, key, '', lease.id);
      await set(store, 'a', 'stays');
      await store.transaction({ remove: ['b'] });
      await set(store, 'b', 'made anew');
      const second = await store.grantLease(10_000);
      await set(store, 'c', 'of another', second.id);
      await lease.revoke();
      expect((await store.list('')).entries.map(({ key }) => key)).toEqual(['a', 'b', 'c']);
      await second.revoke();
      expect((await store.list('')).entries.map(({ key }) => key)).toEqual(['a', 'b']);
    });
  });

  test('after close every call is refused and no watch is told anything; transactions before it are finished', async () => {
    const connect = await openStore();
    const store = await connect();
    const events: CoordinatorEvent[] = [];
    store.watch('', 1, (event) => events.push(event));
    const lease = await store.grantLease(10_000);
    const before = store.transaction({ set: [{ key: 'a', value: '1' }] });
    await store.close();
    await store.close();
    expect(await before).toMatchObject({ committed: true });
    const told = events.length;
    expect(await code(store.get('a'))).toBe('SHUTTING_DOWN');
    expect(await code(store.list('a'))).toBe('SHUTTING_DOWN');
    expect(await code(store.transaction({}))).toBe('SHUTTING_DOWN');
    expect(await code(store.grantLease(1000))).toBe('SHUTTING_DOWN');
    expect(await code(lease.keepAlive())).toBe('SHUTTING_DOWN');
    expect(() => store.watch('', 1, () => {})).toThrow('closed');
    const other = await connect();
    onTestFinished(() => other.close());
    expect(await read(other, 'a')).toBe('1');
    await set(other, 'a', '2');
    await new Promise((resolve) => setImmediate(resolve));
    expect(events).toHaveLength(told);
  });
});
