import { describe, expect, onTestFinished, test } from 'vitest';
import type { Coordinator } from '../../../broker/coordinator/coordinator.ts';
import { FileCoordinator } from '../../../broker/coordinator/file.ts';
import { MemoryCoordinator } from '../../../broker/coordinator/memory.ts';
import type { PartitionAssignment } from '../../../broker/definitions/topic-definition.ts';
import { type TopicEvent, TopicStore, type TopicStoreOptions } from '../../../broker/definitions/topics.ts';
import { ManualClock } from '../../../broker/ports/manual-clock.ts';
import { MemoryDisk } from '../../../broker/ports/memory-disk.ts';
import { SeededRandom } from '../../../broker/ports/seeded-random.ts';
import { type BurrowError, isBurrowError } from '../../../src/errors/burrow-error.ts';

interface Opened {
  readonly store: TopicStore;
  readonly events: string[];
  readonly failures: BurrowError[];
}

function told(event: TopicEvent): string {
  if (event.kind === 'removed') return `- ${event.topic.name}`;
  const { name, partitions, configs } = event.topic;
  return `${event.previous === undefined ? '+' : '~'} ${name} ${partitions.length} ${JSON.stringify([...configs])}`;
}

async function open(coordinator: Coordinator, options: Partial<TopicStoreOptions> = {}): Promise<Opened> {
  const events: string[] = [];
  const failures: BurrowError[] = [];
  const store = await TopicStore.open({
    coordinator,
    clock: new ManualClock(1000),
    random: new SeededRandom('topics'),
    onEvent: (event) => events.push(told(event)),
    onFailure: (error) => failures.push(error),
    ...options,
  });
  onTestFinished(() => store.close());
  return { store, events, failures };
}

function partitions(count: number, leaderEpoch = 0): PartitionAssignment[] {
  return Array.from({ length: count }, () => ({ replicas: [1], leader: 1, leaderEpoch }));
}

async function code(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'no error',
    (error: unknown) => (isBurrowError(error) ? error.code : String(error)),
  );
}

const NO_CONFIGS = new Map<string, string>();

describe('topics', () => {
  test('a created topic is there, told once, and has an id of its own', async () => {
    const { store, events } = await open(new MemoryCoordinator());
    const topic = await store.create({
      name: 'orders',
      partitions: partitions(3),
      configs: new Map([['retention.ms', '7d']]),
    });
    expect(topic).toMatchObject({ name: 'orders', createdAtMs: 1000, revision: 1, partitions: partitions(3) });
    expect([...topic.configs]).toEqual([['retention.ms', '604800000']]);
    expect(store.get('orders')).toEqual(topic);
    expect(store.getById(topic.topicId)).toEqual(topic);
    expect(topic.topicId).toHaveLength(16);
    expect(topic.topicId.toString('hex')).toMatch(/^.{12}4.{3}[89ab]/);
    expect(events).toEqual(['+ orders 3 [["retention.ms","604800000"]]']);
    const other = await store.create({ name: 'other', partitions: partitions(1), configs: NO_CONFIGS });
    expect(other.topicId).not.toEqual(topic.topicId);
    expect([...store.all()].map(({ name }) => name)).toEqual(['orders', 'other']);
    expect(store.get('absent')).toBeUndefined();
    expect(store.getById(Buffer.alloc(16))).toBeUndefined();
  });

  test('no topic id begins with a dash in its text form', async () => {
    const { store } = await open(new MemoryCoordinator());
    for (let i = 0; i < 300; i++) {
      const { topicId } = await store.create({ name: `t${i}`, partitions: partitions(1), configs: NO_CONFIGS });
      expect(topicId.toString('base64url')).not.toMatch(/^-/);
    }
  });

  test('what is refused changes nothing', async () => {
    const { store, events } = await open(new MemoryCoordinator(), { partitionsMax: 5 });
    const create = (name: string, parts: readonly PartitionAssignment[], configs = NO_CONFIGS) =>
      code(store.create({ name, partitions: parts, configs }));
    expect(await create('a/b', partitions(1))).toBe('INVALID_NAME');
    expect(await create('a', [])).toBe('INVALID_PARTITIONS');
    expect(await create('a', partitions(6))).toBe('INVALID_PARTITIONS');
    expect(await create('a', [{ replicas: [], leader: -1, leaderEpoch: 0 }])).toBe('INVALID_REPLICATION_FACTOR');
    expect(await create('a', [{ replicas: [1, 1], leader: 1, leaderEpoch: 0 }])).toBe('INVALID_REPLICATION_FACTOR');
    expect(await create('a', [{ replicas: [-3], leader: -1, leaderEpoch: 0 }])).toBe('INVALID_REPLICATION_FACTOR');
    expect(await create('a', [{ replicas: [1], leader: 2, leaderEpoch: 0 }])).toBe('INVALID_PARTITIONS');
    expect(await create('a', [{ replicas: [1], leader: 1, leaderEpoch: -1 }])).toBe('INVALID_PARTITIONS');
    expect(await create('a', partitions(1), new Map([['retention.mss', '1']]))).toBe('INVALID_CONFIG');
    expect(await create('a', partitions(5))).toBe('no error');
    expect(await create('a', partitions(1))).toBe('ALREADY_EXISTS');
    expect(await code(store.delete('b'))).toBe('UNKNOWN_TOPIC_OR_PARTITION');
    expect(await code(store.alterConfigs('b', NO_CONFIGS))).toBe('UNKNOWN_TOPIC_OR_PARTITION');
    expect(await code(store.setPartitions('b', () => partitions(1)))).toBe('UNKNOWN_TOPIC_OR_PARTITION');
    expect(await code(store.alterConfigs('a', new Map([['segment.bytes', '1']])))).toBe('INVALID_CONFIG');
    expect(await code(store.setPartitions('a', () => partitions(4)))).toBe('INVALID_PARTITIONS');
    expect(await code(store.setPartitions('a', () => partitions(6)))).toBe('INVALID_PARTITIONS');
    expect(events).toEqual(['+ a 5 []']);
  });

  test('names from Object.prototype are names like others', async () => {
    const coordinator = new MemoryCoordinator();
    const { store } = await open(coordinator);
    const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf'];
    for (const name of names) {
      expect(store.get(name)).toBeUndefined();
      await store.create({ name, partitions: partitions(1), configs: NO_CONFIGS });
    }
    const again = await open(coordinator);
    expect([...again.store.all()].map(({ name }) => name).sort()).toEqual([...names].sort());
    await store.delete('__proto__');
    expect(store.get('__proto__')).toBeUndefined();
  });

  test('of two that create the same name at the same time one wins', async () => {
    const coordinator = new MemoryCoordinator();
    const one = await open(coordinator, { random: new SeededRandom(1) });
    const two = await open(coordinator, { random: new SeededRandom(2) });
    const outcomes = await Promise.allSettled(
      [one, two, one, two].map(({ store }) =>
        store.create({ name: 'a', partitions: partitions(1), configs: NO_CONFIGS }),
      ),
    );
    const created = outcomes.filter((outcome) => outcome.status === 'fulfilled');
    expect(created).toHaveLength(1);
    expect(one.store.get('a')?.topicId).toEqual(created[0]!.value.topicId);
    expect(two.store.get('a')).toEqual(one.store.get('a'));
    expect([one.events, two.events]).toEqual([['+ a 1 []'], ['+ a 1 []']]);
  });

  test('configs are altered one by one by many at once, and none is lost', async () => {
    const coordinator = new MemoryCoordinator();
    const stores = [await open(coordinator), await open(coordinator)];
    await stores[0]!.store.create({ name: 'a', partitions: partitions(1), configs: new Map([['segment.ms', '5']]) });
    const changes: Array<[string, string | undefined]> = [
      ['retention.ms', '1'],
      ['retention.bytes', '2'],
      ['segment.bytes', '1000'],
      ['segment.ms', undefined],
    ];
    await Promise.all(changes.map((change, i) => stores[i % 2]!.store.alterConfigs('a', new Map([change]))));
    for (const { store } of stores) {
      expect([...store.get('a')!.configs].sort()).toEqual([
        ['retention.bytes', '2'],
        ['retention.ms', '1'],
        ['segment.bytes', '1000'],
      ]);
    }
    expect(stores[0]!.events).toEqual(stores[1]!.events);
    expect(stores[0]!.events).toHaveLength(5);
  });

  test('partitions are added and get other leaders; an epoch never goes back', async () => {
    const { store, events } = await open(new MemoryCoordinator());
    await store.create({ name: 'a', partitions: partitions(1), configs: NO_CONFIGS });
    const grown = await store.setPartitions('a', (topic) => [...topic.partitions, ...partitions(2)]);
    expect(grown.partitions).toHaveLength(3);
    await store.setPartitions('a', () => [{ replicas: [2, 1], leader: 2, leaderEpoch: 1 }, ...partitions(2)]);
    expect(store.get('a')?.partitions[0]).toEqual({ replicas: [2, 1], leader: 2, leaderEpoch: 1 });
    expect(await code(store.setPartitions('a', () => partitions(3)))).toBe('INVALID_PARTITIONS');
    expect(events).toEqual(['+ a 1 []', '~ a 3 []', '~ a 3 []']);
  });

  test('validateOnly checks and returns what would be, and changes nothing', async () => {
    const { store, events } = await open(new MemoryCoordinator());
    const options = { validateOnly: true };
    const topic = { name: 'a', partitions: partitions(2), configs: NO_CONFIGS };
    expect((await store.create(topic, options)).partitions).toHaveLength(2);
    await store.create(topic);
    expect(await code(store.create(topic, options))).toBe('ALREADY_EXISTS');
    expect((await store.setPartitions('a', () => partitions(4), options)).partitions).toHaveLength(4);
    expect(await code(store.setPartitions('a', () => partitions(1), options))).toBe('INVALID_PARTITIONS');
    expect((await store.alterConfigs('a', new Map([['segment.ms', '5']]), options)).configs.size).toBe(1);
    expect(await code(store.alterConfigs('a', new Map([['segment.ms', '0']]), options))).toBe('INVALID_CONFIG');
    expect(events).toEqual(['+ a 2 []']);
    expect(store.get('a')?.partitions).toHaveLength(2);
  });

  test('deleting leaves a tombstone until it is forgotten; the same name is another topic afterwards', async () => {
    const coordinator = new MemoryCoordinator();
    const { store, events } = await open(coordinator);
    const topic = { name: 'a', partitions: partitions(1), configs: NO_CONFIGS };
    const first = await store.create(topic);
    await store.delete('a');
    expect(store.get('a')).toBeUndefined();
    expect(store.getById(first.topicId)).toBeUndefined();
    const second = await store.create(topic);
    expect(second.topicId).not.toEqual(first.topicId);
    expect(events).toEqual(['+ a 1 []', '- a', '+ a 1 []']);
    const again = await open(coordinator);
    expect(await again.store.deleted()).toEqual([{ name: 'a', topicId: first.topicId, deletedAtMs: 1000 }]);
    await again.store.forgetDeleted(first.topicId);
    expect(await store.deleted()).toEqual([]);
  });

  test('everything is there after a restart on disk, and nothing of it is told as new', async () => {
    const disk = new MemoryDisk();
    const first = await FileCoordinator.open({ disk, folder: '/c' });
    const one = await open(first);
    await one.store.create({
      name: 'a',
      partitions: [{ replicas: [3, 1, 2], leader: -1, leaderEpoch: 7 }],
      configs: new Map([['cleanup.policy', 'compact']]),
    });
    await one.store.create({ name: 'b', partitions: partitions(2), configs: NO_CONFIGS });
    const before = [...one.store.all()];
    await first.close();
    const second = await FileCoordinator.open({ disk, folder: '/c' });
    const two = await open(second);
    expect([...two.store.all()]).toEqual(before);
    expect(two.events).toEqual([]);
    await two.store.delete('b');
    expect(two.events).toEqual(['- b']);
  });

  test('a watch that fell behind is made up for: what was missed is told as a difference', async () => {
    const coordinator = new MemoryCoordinator({ historyRevisionsMax: 2 });
    const busy = await open(coordinator);
    const topic = (name: string) => ({ name, partitions: partitions(1), configs: NO_CONFIGS });
    for (const name of ['kept', 'changed', 'gone', 'replaced']) await busy.store.create(topic(name));

    // A coordinator whose watch is only looked at later, as over a network.
    let deliver: (() => void) | undefined;
    const slow: Coordinator = {
      get: (key) => coordinator.get(key),
      list: (prefix) => coordinator.list(prefix),
      transaction: (transaction) => coordinator.transaction(transaction),
      grantLease: (ttlMs) => coordinator.grantLease(ttlMs),
      close: () => coordinator.close(),
      watch: (prefix, from, onEvent) => {
        if (deliver !== undefined) return coordinator.watch(prefix, from, onEvent);
        deliver = () => coordinator.watch(prefix, from, onEvent);
        return { cancel: () => {} };
      },
    };
    const behind = await open(slow);
    await busy.store.alterConfigs('changed', new Map([['segment.ms', '5']]));
    await busy.store.delete('gone');
    await busy.store.delete('replaced');
    await busy.store.create(topic('replaced'));
    await busy.store.create(topic('new'));
    const own = behind.store.alterConfigs('kept', new Map([['segment.ms', '6']]));
    await new Promise((resolve) => setImmediate(resolve));
    expect(behind.events).toEqual([]);
    deliver?.();
    await own;
    expect(behind.events.sort()).toEqual([
      '+ new 1 []',
      '+ replaced 1 []',
      '- gone',
      '- replaced',
      '~ changed 1 [["segment.ms","5"]]',
      '~ kept 1 [["segment.ms","6"]]',
    ]);
    await busy.store.create(topic('after'));
    await new Promise((resolve) => setImmediate(resolve));
    expect(behind.events.at(-1)).toBe('+ after 1 []');
    const byName = (store: TopicStore) => [...store.all()].sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(byName(behind.store)).toEqual(byName(busy.store));
  });

  test('a stored definition that is not one is refused by name when opening', async () => {
    const good = { format: 1, topicId: '00'.repeat(16), createdAtMs: 5, partitions: [[1, 0, [1]]], configs: [] };
    const bad: unknown[] = [
      null,
      [],
      'text',
      { ...good, format: undefined },
      { ...good, topicId: 'zz' },
      { ...good, topicId: 7 },
      { ...good, createdAtMs: -1 },
      { ...good, partitions: [] },
      { ...good, partitions: {} },
      { ...good, partitions: [[1, 0]] },
      { ...good, partitions: [[1, 0, []]] },
      { ...good, partitions: [[1, 0, ['1']]] },
      { ...good, partitions: [[1, 0.5, [1]]] },
      { ...good, partitions: [[2, 0, [1]]] },
      { ...good, configs: { 'retention.ms': '1' } },
      { ...good, configs: [['retention.ms', 1]] },
      { ...good, configs: [['retention.mss', '1']] },
      { ...good, configs: [['retention.ms', '-5']] },
    ];
    for (const value of bad) {
      const coordinator = new MemoryCoordinator();
      await coordinator.transaction({ set: [{ key: 'topics/a', value: JSON.stringify(value) }] });
      const error: unknown = await open(coordinator).catch((reason: unknown) => reason);
      expect(isBurrowError(error, 'STORAGE_CORRUPT') && error.message, JSON.stringify(value)).toContain('"topics/a"');
    }
    for (const [key, value] of [
      ['topics/a', 'no json'],
      ['topics/a b', JSON.stringify(good)],
      ['topics/..', JSON.stringify(good)],
    ] as const) {
      const coordinator = new MemoryCoordinator();
      await coordinator.transaction({ set: [{ key, value }] });
      expect(await code(open(coordinator))).toBe('STORAGE_CORRUPT');
    }
    const coordinator = new MemoryCoordinator();
    await coordinator.transaction({ set: [{ key: 'topics/a', value: JSON.stringify(good) }] });
    expect((await open(coordinator)).store.get('a')?.createdAtMs).toBe(5);
    await coordinator.transaction({ set: [{ key: 'topics/a', value: JSON.stringify({ ...good, format: 2 }) }] });
    expect(await code(open(coordinator))).toBe('DATA_FOLDER_VERSION');
    await coordinator.transaction({ set: [{ key: 'deleted-topics/zz', value: '{}' }], remove: ['topics/a'] });
    expect(await code((await open(coordinator)).store.deleted())).toBe('STORAGE_CORRUPT');
  });

  test('a bad definition that arrives later, or a coordinator that fails, is told once and stops the copy', async () => {
    const coordinator = new MemoryCoordinator();
    const { store, events, failures } = await open(coordinator);
    await coordinator.transaction({ set: [{ key: 'topics/a', value: 'garbage' }] });
    await new Promise((resolve) => setImmediate(resolve));
    expect(failures.map((error) => error.code)).toEqual(['STORAGE_CORRUPT']);
    expect(await code(store.create({ name: 'b', partitions: partitions(1), configs: NO_CONFIGS }))).toBe(
      'STORAGE_CORRUPT',
    );
    expect(events).toEqual([]);

    const disk = new MemoryDisk();
    const stored = await open(await FileCoordinator.open({ disk, folder: '/c' }));
    disk.inject({ on: 'sync' });
    expect(await code(stored.store.create({ name: 'b', partitions: partitions(1), configs: NO_CONFIGS }))).toBe(
      'STORAGE_ERROR',
    );
    await new Promise((resolve) => setImmediate(resolve));
    expect(stored.failures.map((error) => error.code)).toEqual(['STORAGE_ERROR']);
    expect(stored.store.get('b')).toBeUndefined();
  });

  test('after close no event is told', async () => {
    const coordinator = new MemoryCoordinator();
    const { store, events } = await open(coordinator);
    const other = await open(coordinator);
    store.close();
    await other.store.create({ name: 'a', partitions: partitions(1), configs: NO_CONFIGS });
    expect(events).toEqual([]);
  });

  test('who loses every race is told to retry', async () => {
    const inner = new MemoryCoordinator();
    const { store } = await open(inner);
    await store.create({ name: 'a', partitions: partitions(1), configs: NO_CONFIGS });
    const { entry } = await inner.get('topics/a');
    let attempts = 0;
    const contended: Coordinator = {
      get: (key) => inner.get(key),
      list: (prefix) => inner.list(prefix),
      watch: (prefix, from, onEvent) => inner.watch(prefix, from, onEvent),
      grantLease: (ttlMs) => inner.grantLease(ttlMs),
      close: () => inner.close(),
      transaction: async (transaction) => {
        attempts++;
        await inner.transaction({ set: [{ key: 'topics/a', value: entry!.value }] });
        return inner.transaction(transaction);
      },
    };
    const loser = await open(contended);
    expect(await code(loser.store.alterConfigs('a', new Map([['segment.ms', '5']])))).toBe('CONFLICT');
    expect(attempts).toBe(20);
  });
});
