/** Fetch: bounds, errors, long polls and their end. */
import { describe, expect, test } from 'vitest';
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
  valuesOf,
} from '../support/node-environment.ts';

const BATCH_BYTES = testBatch(['0']).length;

async function nodeWithTopic(partitions = 1): Promise<TestNode> {
  const node = await startTestNode();
  await createTopic(node, 'orders', partitions);
  return node;
}

async function produceValues(node: TestNode, values: readonly string[], partition = 0): Promise<void> {
  for (const value of values) await produceBatch(node, 'orders', testBatch([value]), partition);
}

function isSettled(promise: Promise<unknown>): Promise<boolean> {
  return Promise.race([promise.then(() => true), settle().then(() => false)]);
}

describe('bounds', () => {
  test('whole batches from the one that holds the offset', async () => {
    const node = await nodeWithTopic();
    await produceBatch(node, 'orders', testBatch(['a', 'b', 'c']));
    await produceValues(node, ['d']);
    expect(await readValues(node, 'orders', 1)).toEqual(['a', 'b', 'c', 'd']);
    expect(await readValues(node, 'orders', 3)).toEqual(['d']);
    expect(await readValues(node, 'orders', 4)).toEqual([]);
  });

  test('the answer’s limit holds over all partitions, each partition’s for itself', async () => {
    const node = await nodeWithTopic(3);
    for (const partition of [0, 1, 2]) await produceValues(node, ['0', '1', '2', '3'], partition);
    const answer = await node.service.fetch(
      fetchRequest(
        [0, 1, 2].map((partition) => fetchFrom('orders', 0, { partition, bytesMax: BATCH_BYTES * 2 })),
        { bytesMax: BATCH_BYTES * 3 },
      ),
    ).done;
    expect(answer.map(valuesOf)).toEqual([['0', '1'], ['0'], []]);
    expect(answer.map(({ highWatermark }) => highWatermark)).toEqual([4, 4, 4]);
  });

  test('the first batch of the first partition with data is whole, however small the limits', async () => {
    const node = await nodeWithTopic(3);
    for (const partition of [1, 2]) await produceValues(node, ['0', '1'], partition);
    const answer = await node.service.fetch(
      fetchRequest(
        [0, 1, 2].map((partition) => fetchFrom('orders', 0, { partition, bytesMax: 1 })),
        { bytesMax: 1 },
      ),
    ).done;
    expect(answer.map(valuesOf)).toEqual([[], ['0'], []]);
  });

  test('the broker’s own limit counts, whatever the client asks for', async () => {
    const node = await startTestNode({ settings: { fetchBytesMax: 1024 } });
    await createTopic(node, 'orders');
    await produceValues(
      node,
      Array.from({ length: 100 }, (_, index) => `${index}`),
    );
    const [fetched] = await node.service.fetch(fetchRequest([fetchFrom('orders')], { bytesMax: 2 ** 30 })).done;
    const bytes = fetched!.records.reduce((sum, buffer) => sum + buffer.length, 0);
    expect(bytes).toBeGreaterThan(1024 - 2 * BATCH_BYTES);
    expect(bytes).toBeLessThanOrEqual(1024);
  });
});

describe('errors', () => {
  test('each partition has its own, and the others are served', async () => {
    const node = await nodeWithTopic(2);
    await produceValues(node, ['a']);
    const answer = await node.service.fetch(
      fetchRequest(
        [
          fetchFrom('orders'),
          fetchFrom('orders', 5),
          fetchFrom('orders', -1),
          fetchFrom('orders', 0, { partition: 7 }),
          fetchFrom('hasOwnProperty'),
          fetchFrom('orders', 0, { partition: 1, currentLeaderEpoch: 3 }),
        ],
        { waitMs: 60_000, bytesMin: 1_000_000 },
      ),
    ).done;
    expect(answer.map(({ error }) => error?.code)).toEqual([
      undefined,
      'OFFSET_OUT_OF_RANGE',
      'OFFSET_OUT_OF_RANGE',
      'UNKNOWN_TOPIC_OR_PARTITION',
      'UNKNOWN_TOPIC_OR_PARTITION',
      'UNKNOWN_LEADER_EPOCH',
    ]);
    expect(valuesOf(answer[0])).toEqual(['a']);
    expect(answer[1]).toMatchObject({ highWatermark: -1, logStartOffset: -1, records: [] });
  });

  test('an older leader epoch is fenced, and a partition led elsewhere says so', async () => {
    const node = await nodeWithTopic();
    const partition = node.topics.partition('orders', 0);
    partition.assign({ replicas: [1, 2], leader: 1, leaderEpoch: 4 });
    const codeFor = async (currentLeaderEpoch: number): Promise<string | undefined> =>
      (await node.service.fetch(fetchRequest([fetchFrom('orders', 0, { currentLeaderEpoch })])).done)[0]?.error?.code;
    expect(await codeFor(3)).toBe('FENCED_LEADER_EPOCH');
    expect(await codeFor(4)).toBeUndefined();
    expect(await codeFor(5)).toBe('UNKNOWN_LEADER_EPOCH');
    partition.assign({ replicas: [1, 2], leader: 2, leaderEpoch: 5 });
    expect(await codeFor(-1)).toBe('NOT_LEADER');
    await expect(produceBatch(node, 'orders', testBatch(['a']))).rejects.toMatchObject({ code: 'NOT_LEADER' });
    partition.assign({ replicas: [1, 2], leader: -1, leaderEpoch: 6 });
    expect(await codeFor(-1)).toBe('LEADER_NOT_AVAILABLE');
  });
});

describe('long polls', () => {
  test('wait for the first data, and are answered with it', async () => {
    const node = await nodeWithTopic();
    const { done } = node.service.fetch(fetchRequest([fetchFrom('orders')], { waitMs: 60_000 }));
    expect(await isSettled(done)).toBe(false);
    await produceValues(node, ['a']);
    expect(valuesOf((await done)[0])).toEqual(['a']);
    expect(node.waiting.count).toBe(0);
  });

  test('end after their time, empty, at the earliest then', async () => {
    const node = await nodeWithTopic();
    const answers: number[] = [];
    for (const waitMs of [500, 100, 300, 100]) {
      void node.service.fetch(fetchRequest([fetchFrom('orders')], { waitMs })).done.then(() => answers.push(waitMs));
    }
    for (const [ms, expected] of [
      [99, []],
      [1, [100, 100]],
      [199, [100, 100]],
      [1, [100, 100, 300]],
      [200, [100, 100, 300, 500]],
    ] as const) {
      node.clock.advance(ms);
      await settle();
      expect(answers).toEqual(expected);
    }
  });

  test('count the bytes of all partitions towards the minimum', async () => {
    const node = await nodeWithTopic(3);
    const { done } = node.service.fetch(
      fetchRequest(
        [0, 1, 2].map((partition) => fetchFrom('orders', 0, { partition })),
        { waitMs: 60_000, bytesMin: BATCH_BYTES * 3 },
      ),
    );
    await produceValues(node, ['a'], 0);
    await produceValues(node, ['b'], 2);
    expect(await isSettled(done)).toBe(false);
    await produceValues(node, ['c'], 0);
    expect((await done).map(valuesOf)).toEqual([['a', 'c'], [], ['b']]);
  });

  test('a partition’s own limit caps what it counts', async () => {
    const node = await nodeWithTopic();
    const { done } = node.service.fetch(
      fetchRequest([fetchFrom('orders', 0, { bytesMax: BATCH_BYTES })], { waitMs: 100, bytesMin: BATCH_BYTES * 2 }),
    );
    await produceValues(node, ['a', 'b', 'c']);
    expect(await isSettled(done)).toBe(false);
    node.clock.advance(100);
    expect(valuesOf((await done)[0])).toEqual(['a']);
  });

  test('a commit of many partitions answers a fetch on them once, with all', async () => {
    const node = await nodeWithTopic(4);
    const { done } = node.service.fetch(
      fetchRequest(
        [0, 1, 2, 3].map((partition) => fetchFrom('orders', 0, { partition })),
        { waitMs: 60_000 },
      ),
    );
    await Promise.all(
      [0, 1, 2, 3].map((partition) => produceBatch(node, 'orders', testBatch([`${partition}`]), partition)),
    );
    expect((await done).map(valuesOf)).toEqual([['0'], ['1'], ['2'], ['3']]);
  });

  test('end when the topic is deleted, the leader changes, or records are cut away', async () => {
    const node = await nodeWithTopic(3);
    await produceValues(node, ['a', 'b'], 2);
    const fetches = [0, 1, 2].map((partition) =>
      node.service.fetch(
        fetchRequest([fetchFrom('orders', partition === 2 ? 1 : 0, { partition })], {
          waitMs: 60_000,
          bytesMin: 10_000,
        }),
      ),
    );
    node.topics.partition('orders', 0).assign({ replicas: [1, 2], leader: 2, leaderEpoch: 1 });
    expect((await fetches[0]!.done)[0]?.error?.code).toBe('NOT_LEADER');
    await node.service.deleteTopic('orders');
    expect((await fetches[1]!.done)[0]?.error?.code).toBe('UNKNOWN_TOPIC_OR_PARTITION');
    expect((await fetches[2]!.done)[0]?.error?.code).toBe('UNKNOWN_TOPIC_OR_PARTITION');
  });

  test('cancel answers at once and leaves nothing behind', async () => {
    const node = await nodeWithTopic(2);
    const timers = node.clock.timers;
    const pending = node.service.fetch(
      fetchRequest([fetchFrom('orders'), fetchFrom('orders', 0, { partition: 1 })], { waitMs: 60_000 }),
    );
    expect(node.waiting.count).toBe(1);
    pending.cancel();
    pending.cancel();
    const answer = await pending.done;
    expect(answer).toHaveLength(2);
    expect(answer[0]).toMatchObject({ error: undefined, highWatermark: 0, records: [] });
    expect(node.waiting.count).toBe(0);
    node.clock.advance(60_000);
    await settle();
    expect(node.clock.timers).toBe(timers);
  });

  test('stopping ends them', async () => {
    const node = await nodeWithTopic();
    const { done } = node.service.fetch(fetchRequest([fetchFrom('orders')], { waitMs: 60_000 }));
    await node.stop();
    expect(await done).toHaveLength(1);
  });

  test('ten thousand of them share one timer and cost nothing until their own partition moves', async () => {
    const node = await nodeWithTopic(100);
    const timers = node.clock.timers;
    const answered: number[] = [];
    const begun = performance.now();
    const fetches = Array.from({ length: 10_000 }, (_, index) => {
      const partition = index % 100;
      // Each waits shorter than the one before: the worst order for one timer.
      return node.service.fetch(fetchRequest([fetchFrom('orders', 0, { partition })], { waitMs: 60_000 - index }));
    });
    for (const { done } of fetches) void done.then((fetched) => answered.push(fetched[0]!.partition));
    expect(performance.now() - begun).toBeLessThan(1_000);
    expect(node.clock.timers).toBe(timers + 1);

    await produceValues(node, ['a'], 42);
    await settle();
    expect(answered).toEqual(new Array(100).fill(42));
    expect(node.waiting.count).toBe(9_900);

    node.clock.advance(50_001);
    await settle();
    expect(answered.length).toBeLessThan(200);
    for (const fetch of fetches) fetch.cancel();
    await Promise.all(fetches.map(({ done }) => done));
    expect(node.waiting.count).toBe(0);
  });
});
