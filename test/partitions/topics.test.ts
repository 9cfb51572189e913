/** Topics of a node: creating, deleting, changing, limits, names, and what a crash in the middle leaves. */
import { describe, expect, test } from 'vitest';
import { FileCoordinator } from '../../broker/coordinator/file.ts';
import type { TopicDescription } from '../../broker/partitions/broker-service.ts';
import { ManualClock } from '../../broker/ports/manual-clock.ts';
import { MemoryDisk } from '../../broker/ports/memory-disk.ts';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { testBatch } from '../support/batches.ts';
import {
  createTopic,
  fetchFrom,
  fetchRequest,
  produceBatch,
  readValues,
  settle,
  startTestNode,
  type TestNode,
} from '../support/node-environment.ts';

const NOW = { validateOnly: false };

interface CreateOptions {
  readonly partitions?: number;
  readonly replicationFactor?: number;
  readonly configs?: ReadonlyMap<string, string>;
  readonly validateOnly?: boolean;
}

function create(node: TestNode, name: string, options: CreateOptions = {}): Promise<TopicDescription> {
  const { partitions = 1, replicationFactor = -1, configs = new Map(), validateOnly = false } = options;
  return node.service.createTopic({ name, partitions, replicationFactor, configs }, { validateOnly });
}

describe('creating', () => {
  test('describes the topic as it is served', async () => {
    const node = await startTestNode({ settings: { defaultPartitions: 3 } });
    const topic = await create(node, 'orders', { partitions: -1 });
    expect(topic).toEqual(node.service.describeTopic('orders'));
    expect(node.service.describeTopicById(topic.topicId)).toBe(node.service.describeTopic('orders'));
    expect(topic.topicId).toHaveLength(16);
    expect(topic).toMatchObject({ name: 'orders', internal: false });
    expect(topic.partitions).toEqual(
      [0, 1, 2].map((partition) => ({ partition, leader: 1, leaderEpoch: 0, replicas: [1], inSyncReplicas: [1] })),
    );
    expect(node.service.topicNames()).toEqual(['orders']);
  });

  test('validateOnly checks and changes nothing', async () => {
    const node = await startTestNode();
    const topic = await create(node, 'orders', { partitions: 2, validateOnly: true });
    expect(topic.partitions).toHaveLength(2);
    expect(node.service.topicNames()).toEqual([]);
    expect(node.logs.logs().size).toBe(0);
    await create(node, 'orders', { partitions: 2 });
    await expect(create(node, 'orders', { validateOnly: true })).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
  });

  const refused: ReadonlyArray<readonly [string, string, string, CreateOptions]> = [
    ['no name', 'INVALID_NAME', '', {}],
    ['a path as name', 'INVALID_NAME', '../escape', {}],
    ['a reserved name', 'INVALID_NAME', '__consumer_offsets', {}],
    ['no partitions', 'INVALID_PARTITIONS', 'a', { partitions: 0 }],
    ['-2 partitions', 'INVALID_PARTITIONS', 'a', { partitions: -2 }],
    ['half a partition', 'INVALID_PARTITIONS', 'a', { partitions: 1.5 }],
    ['more partitions than the broker may hold', 'INVALID_PARTITIONS', 'a', { partitions: 11 }],
    ['replicas without brokers', 'INVALID_REPLICATION_FACTOR', 'a', { replicationFactor: 2 }],
    ['no replica', 'INVALID_REPLICATION_FACTOR', 'a', { replicationFactor: 0 }],
    ['an unknown config', 'INVALID_CONFIG', 'a', { configs: new Map([['retention', '1']]) }],
    ['a bad value', 'INVALID_CONFIG', 'a', { configs: new Map([['retention.ms', 'long']]) }],
    [
      'batches larger than the journal',
      'INVALID_CONFIG',
      'a',
      { configs: new Map([['max.message.bytes', '70000000']]) },
    ],
  ];
  test.each(refused)('refuses %s: %s', async (_, code, name, options) => {
    const node = await startTestNode({ settings: { partitionsMax: 10 } });
    await expect(create(node, name, options)).rejects.toMatchObject({ code });
    await expect(create(node, name, { ...options, validateOnly: true })).rejects.toMatchObject({ code });
    // Nothing stays reserved.
    await create(node, 'b', { partitions: 10 });
  });

  test('names that differ only in "." and "_" collide, also while the first is being created', async () => {
    const node = await startTestNode();
    const outcomes = await Promise.allSettled([create(node, 'a.b_c'), create(node, 'a_b.c'), create(node, 'a.b_c')]);
    expect(outcomes[0]?.status).toBe('fulfilled');
    expect(outcomes[1]).toMatchObject({ reason: { code: 'INVALID_NAME' } });
    expect(outcomes[2]).toMatchObject({ reason: { code: 'ALREADY_EXISTS' } });
    await expect(create(node, 'a_b.c')).rejects.toMatchObject({ code: 'INVALID_NAME' });
    await node.service.deleteTopic('a.b_c');
    await create(node, 'a_b.c');
  });

  test('the limit of partitions counts those being created and not those that were deleted', async () => {
    const node = await startTestNode({ settings: { partitionsMax: 10 } });
    const outcomes = await Promise.allSettled(['a', 'b', 'c'].map((name) => create(node, name, { partitions: 4 })));
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
    expect(outcomes[2]).toMatchObject({ reason: { code: 'INVALID_PARTITIONS', fields: { partitionsMax: 10 } } });
    await expect(node.service.createPartitions('a', 7, NOW)).rejects.toMatchObject({ code: 'INVALID_PARTITIONS' });
    const raised = await Promise.allSettled(['a', 'b'].map((name) => node.service.createPartitions(name, 6, NOW)));
    expect(raised.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    await node.service.deleteTopic('b');
    await create(node, 'c', { partitions: 4 });
  });

  test('a thousand topics, also of names that every object has', async () => {
    const node = await startTestNode();
    const inherited = Object.getOwnPropertyNames(Object.prototype);
    expect(inherited).toContain('__proto__');
    const names = [...inherited, ...Array.from({ length: 1000 - inherited.length }, (_, index) => `topic-${index}`)];
    for (const name of inherited) {
      expect(node.service.describeTopic(name)).toBeUndefined();
      expect(() => node.service.partitionStatus(name)).toThrow(/no topic/);
    }
    await Promise.all(names.map((name) => create(node, name)));
    expect(node.service.topicNames()).toEqual([...names].sort());
    await Promise.all(names.map((name) => produceBatch(node, name, testBatch([`in ${name}`]))));
    for (const name of names) expect(await readValues(node, name)).toEqual([`in ${name}`]);
    await Promise.all(names.map((name) => node.service.deleteTopic(name)));
    expect(node.service.topicNames()).toEqual([]);
    expect(node.logs.logs().size).toBe(0);
  });

  test('if a log cannot be created there is no topic, and it can be created later', async () => {
    const node = await startTestNode();
    node.disk.inject({ on: 'create', code: 'ENOSPC', when: ({ path }) => path.includes('/orders-2/') });
    await expect(create(node, 'orders', { partitions: 4 })).rejects.toMatchObject({ code: 'STORAGE_FULL' });
    expect(node.service.describeTopic('orders')).toBeUndefined();
    node.disk.clearFaults();
    await settle();
    await create(node, 'orders', { partitions: 4 });
    await produceBatch(node, 'orders', testBatch(['a']), 2);
  });
});

describe('deleting', () => {
  test('a topic that is created again under the same name shows no old records', async () => {
    const node = await startTestNode();
    for (let round = 0; round < 5; round++) {
      const topic = await create(node, 'orders');
      expect(await readValues(node, 'orders')).toEqual([]);
      await produceBatch(node, 'orders', testBatch([`round ${round}`]));
      await node.service.deleteTopic('orders');
      expect(node.service.describeTopicById(topic.topicId)).toBeUndefined();
    }
    await expect(node.service.deleteTopic('orders')).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC_OR_PARTITION' });
  });

  test('is over when it is answered, also amid writes, which are refused from then on', async () => {
    const node = await startTestNode();
    await create(node, 'orders', { partitions: 8 });
    const writes = Array.from({ length: 200 }, (_, index) => produceBatch(node, 'orders', testBatch(['x']), index % 8));
    await node.service.deleteTopic('orders');
    await expect(produceBatch(node, 'orders', testBatch(['x']))).rejects.toMatchObject({
      code: 'UNKNOWN_TOPIC_OR_PARTITION',
    });
    await Promise.allSettled(writes);
    expect(node.logs.logs().size).toBe(0);
    expect(node.logs.failure).toBeUndefined();
  });

  test('deletes, creates and writes in any mixture end with what was done last', async () => {
    const node = await startTestNode();
    await create(node, 'orders');
    const done: Array<Promise<unknown>> = [];
    for (let round = 0; round < 20; round++) {
      done.push(Promise.allSettled([node.service.deleteTopic('orders'), create(node, 'orders', { partitions: 3 })]));
      await settle();
    }
    await Promise.all(done);
    if (node.service.describeTopic('orders') === undefined) await create(node, 'orders', { partitions: 3 });
    expect([...node.logs.logs().keys()].sort()).toEqual(['orders-0', 'orders-1', 'orders-2']);
    await produceBatch(node, 'orders', testBatch(['alive']), 2);
    expect(await readValues(node, 'orders', 0, 2)).toEqual(['alive']);
  });
});

describe('changing', () => {
  test('partitions are added, and the old ones keep their records', async () => {
    const node = await startTestNode();
    await create(node, 'orders', { partitions: 2 });
    await produceBatch(node, 'orders', testBatch(['old']), 1);
    await node.service.createPartitions('orders', 4, { validateOnly: true });
    expect(node.service.describeTopic('orders')?.partitions).toHaveLength(2);
    await node.service.createPartitions('orders', 4, NOW);
    expect(node.service.describeTopic('orders')?.partitions).toHaveLength(4);
    await produceBatch(node, 'orders', testBatch(['new']), 3);
    expect(await readValues(node, 'orders', 0, 1)).toEqual(['old']);
    for (const total of [4, 3, 0, -1, Number.NaN]) {
      await expect(node.service.createPartitions('orders', total, NOW)).rejects.toMatchObject({
        code: 'INVALID_PARTITIONS',
      });
    }
  });

  test('configs take effect at once, are told with their origin, and go back to the broker’s default', async () => {
    const node = await startTestNode({ settings: { retentionMs: 5000, maxMessageBytes: 500 } });
    await create(node, 'orders', { configs: new Map([['segment.bytes', '2048']]) });
    const config = (key: string) => node.service.describeTopicConfigs('orders').find((entry) => entry.key === key);
    expect(config('segment.bytes')).toMatchObject({ value: '2048', isDefault: false, type: 'int' });
    expect(config('retention.ms')).toMatchObject({ value: '5000', isDefault: true });
    const large = testBatch(['x'.repeat(600)]);
    await expect(produceBatch(node, 'orders', Buffer.from(large))).rejects.toMatchObject({ code: 'RECORD_TOO_LARGE' });
    await node.service.alterTopicConfigs('orders', new Map([['max.message.bytes', '1000']]), { validateOnly: true });
    await expect(produceBatch(node, 'orders', Buffer.from(large))).rejects.toMatchObject({ code: 'RECORD_TOO_LARGE' });
    await node.service.alterTopicConfigs('orders', new Map([['max.message.bytes', '1000']]), NOW);
    await produceBatch(node, 'orders', Buffer.from(large));
    await node.service.alterTopicConfigs('orders', new Map([['max.message.bytes', undefined]]), NOW);
    expect(config('max.message.bytes')).toMatchObject({ value: '500', isDefault: true });
    await expect(produceBatch(node, 'orders', large)).rejects.toMatchObject({ code: 'RECORD_TOO_LARGE' });
    for (const changes of [new Map([['nonsense', '1']]), new Map([['max.message.bytes', '70000000']])]) {
      await expect(node.service.alterTopicConfigs('orders', changes, NOW)).rejects.toMatchObject({
        code: 'INVALID_CONFIG',
      });
    }
    await expect(node.service.alterTopicConfigs('toString', new Map(), NOW)).rejects.toMatchObject({
      code: 'UNKNOWN_TOPIC_OR_PARTITION',
    });
  });

  test('the broker’s configs are told under Kafka’s names', async () => {
    const node = await startTestNode({ settings: { autoCreateTopics: false } });
    const entries = new Map(node.service.describeBrokerConfigs().map((entry) => [entry.key, entry]));
    expect(entries.get('auto.create.topics.enable')).toMatchObject({ value: 'false', isDefault: false });
    expect(entries.get('num.partitions')).toMatchObject({ value: '1', isDefault: true });
  });
});

describe('records and offsets', () => {
  test('records are deleted up to an offset or all, and readers below start anew', async () => {
    const node = await startTestNode();
    await create(node, 'orders');
    for (const value of ['a', 'b', 'c']) await produceBatch(node, 'orders', testBatch([value]));
    const cut = (offset: number): Promise<number> =>
      node.service.deleteRecords({ topic: 'orders', partition: 0, offset });
    expect(await cut(1)).toBe(1);
    expect((await node.service.fetch(fetchRequest([fetchFrom('orders', 0)])).done)[0]?.error?.code).toBe(
      'OFFSET_OUT_OF_RANGE',
    );
    expect(await readValues(node, 'orders', 1)).toEqual(['b', 'c']);
    expect(await cut(0)).toBe(1);
    await expect(cut(4)).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' });
    await expect(cut(-2)).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' });
    expect(await cut(-1)).toBe(3);
    await create(node, 'table', { configs: new Map([['cleanup.policy', 'compact']]) });
    await expect(node.service.deleteRecords({ topic: 'table', partition: 0, offset: 0 })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  test('leader epochs tell where they end', async () => {
    const node = await startTestNode();
    await create(node, 'orders');
    await produceBatch(node, 'orders', testBatch(['a', 'b']));
    node.topics.partition('orders', 0).assign({ replicas: [1], leader: 1, leaderEpoch: 3 });
    await produceBatch(node, 'orders', testBatch(['c']));
    const endOf = (leaderEpoch: number, currentLeaderEpoch = -1) =>
      node.service.endOffsetForEpoch({ topic: 'orders', partition: 0, leaderEpoch, currentLeaderEpoch });
    expect(endOf(0)).toEqual({ leaderEpoch: 0, endOffset: 2 });
    expect(endOf(2)).toEqual({ leaderEpoch: 0, endOffset: 2 });
    expect(endOf(3)).toEqual({ leaderEpoch: 3, endOffset: 3 });
    expect(endOf(4)).toEqual({ leaderEpoch: -1, endOffset: -1 });
    expect(() => endOf(0, 1)).toThrow(expect.objectContaining({ code: 'FENCED_LEADER_EPOCH' }));
  });

  test('producer ids never come twice', async () => {
    const node = await startTestNode();
    const ids = await Promise.all(Array.from({ length: 2500 }, () => node.service.allocateProducerId()));
    expect(new Set(ids).size).toBe(2500);
  });
});

describe('a crash', () => {
  /** A node on a disk that forgets what is not synced, with its definitions on the same disk. */
  async function startOn(disk: MemoryDisk, clock: ManualClock): Promise<TestNode & { coordinator: FileCoordinator }> {
    await disk.makeDirectory('/data');
    await disk.syncDirectory('/');
    const coordinator = await FileCoordinator.open({ disk, folder: '/data/coordinator' });
    const node = await startTestNode({ disk, clock, coordinator, random: new SeededRandom(`${clock.now()}`) });
    return { ...node, coordinator };
  }

  /** The number of changes on the disk that `work` takes. */
  async function countChanges(work: (node: TestNode) => Promise<unknown>): Promise<{ before: number; after: number }> {
    let changes = 0;
    const disk = new MemoryDisk({ onOperation: () => changes++ });
    const node = await startOn(disk, new ManualClock());
    await prepare(node);
    const before = changes;
    await work(node);
    const after = changes;
    await node.stop();
    return { before, after };
  }

  async function prepare(node: TestNode): Promise<void> {
    await create(node, 'old', { partitions: 2 });
    await produceBatch(node, 'old', testBatch(['old record']), 1);
  }

  async function crashAt(change: number, work: (node: TestNode) => Promise<unknown>): Promise<TestNode> {
    let changes = 0;
    const disk: MemoryDisk = new MemoryDisk({
      whenHalted: 'hang',
      onOperation: () => {
        if (++changes === change) disk.halt();
      },
    });
    const clock = new ManualClock();
    const node = await startOn(disk, clock);
    await prepare(node);
    await Promise.race([work(node).catch(() => {}), halted(disk)]);
    clock.advance(1);
    return startOn(disk.crash(new SeededRandom(change), 'lost'), clock);
  }

  async function halted(disk: MemoryDisk): Promise<void> {
    while (!disk.halted) await settle();
  }

  test('while a topic is created: it is there whole or not at all, and others are untouched', async () => {
    const work = (node: TestNode): Promise<unknown> => create(node, 'new', { partitions: 3 });
    const { before, after } = await countChanges(work);
    expect(after - before).toBeGreaterThan(10);
    let created = 0;
    for (let change = before + 1; change <= after; change++) {
      const node = await crashAt(change, work);
      const topic = node.service.describeTopic('new');
      if (topic !== undefined) {
        created++;
        expect(topic.partitions).toHaveLength(3);
        for (const partition of [0, 1, 2]) await produceBatch(node, 'new', testBatch(['x']), partition);
      } else {
        expect([...node.logs.logs().keys()].filter((key) => key.startsWith('new'))).toEqual([]);
        await create(node, 'new', { partitions: 1 });
      }
      expect(await readValues(node, 'old', 0, 1)).toEqual(['old record']);
      await node.stop();
    }
    expect(created).toBeGreaterThan(0);
    expect(created).toBeLessThan(after - before);
  });

  test('while a topic is deleted: it is there whole or gone for good, with its files', async () => {
    const work = (node: TestNode): Promise<unknown> => node.service.deleteTopic('old');
    const { before, after } = await countChanges(work);
    let deleted = 0;
    for (let change = before + 1; change <= after; change++) {
      const node = await crashAt(change, work);
      if (node.service.describeTopic('old') === undefined) {
        deleted++;
        expect(node.logs.logs().size).toBe(0);
        await create(node, 'old', { partitions: 2 });
        expect(await readValues(node, 'old', 0, 1)).toEqual([]);
      } else {
        expect(await readValues(node, 'old', 0, 1)).toEqual(['old record']);
      }
      await node.stop();
    }
    expect(deleted).toBeGreaterThan(0);
    expect(deleted).toBeLessThan(after - before);
  });
});

test('if definitions cannot be stored any more, topics cannot be changed; those there are served on', async () => {
  const disk = new MemoryDisk();
  await disk.makeDirectory('/data');
  const coordinator = await FileCoordinator.open({ disk, folder: '/data/coordinator' });
  const node = await startTestNode({ disk, coordinator });
  await create(node, 'orders');
  disk.inject({ on: 'sync', times: 1, when: ({ path }) => path.includes('/coordinator/') });
  await expect(create(node, 'late')).rejects.toMatchObject({ code: 'STORAGE_ERROR' });
  await expect(create(node, 'later')).rejects.toMatchObject({ code: 'STORAGE_ERROR' });
  await expect(node.service.deleteTopic('orders')).rejects.toMatchObject({ code: 'STORAGE_ERROR' });
  expect(node.service.topicNames()).toEqual(['orders']);
  await produceBatch(node, 'orders', testBatch(['a']));
  expect(await readValues(node, 'orders')).toEqual(['a']);
  expect(node.failures.map(({ code }) => code)).toEqual(['STORAGE_ERROR']);
});

test('topics, records and configs are there again after a stop', async () => {
  const disk = new MemoryDisk();
  const clock = new ManualClock();
  const first = await startTestNode({ disk, clock });
  await createTopic(first, 'orders', 3, { 'retention.ms': '1000' });
  await produceBatch(first, 'orders', testBatch(['a', 'b']), 2);
  const described = first.service.describeTopic('orders');
  await first.stop();
  const second = await startTestNode({ disk, clock, coordinator: first.coordinator });
  expect(second.service.describeTopic('orders')).toEqual(described);
  expect(await readValues(second, 'orders', 0, 2)).toEqual(['a', 'b']);
  const config = second.service.describeTopicConfigs('orders').find(({ key }) => key === 'retention.ms');
  expect(config).toMatchObject({ value: '1000', isDefault: false });
});
