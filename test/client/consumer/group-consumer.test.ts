import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Consumer } from '../../../client/consumer/consumer.ts';
import type { ConsumerOptions } from '../../../client/consumer/consumer-options.ts';
import type { ConsumerRecord } from '../../../client/consumer/consumer-record.ts';
import { stringSerializer } from '../../../client/serializers.ts';
import { partitionKey, type TopicPartition } from '../../../client/topic-partition.ts';
import { FakeClientClock, settle } from '../../support/fake-client-clock.ts';
import { FakeFetchHost } from '../../support/fake-fetch-host.ts';
import { FakeGroupCoordinator, FakeGroupHost } from '../../support/fake-group-coordinator.ts';

type TextConsumer = Consumer<string, string>;

const HEARTBEAT_MS = 100;
const COMMIT_MS = 1000;

function setUp(partitions = 2) {
  const clock = new FakeClientClock();
  const coordinator = new FakeGroupCoordinator(clock);
  coordinator.topics.set('t', partitions);
  const logs = new FakeFetchHost(clock).logs;
  const hosts: FakeFetchHost[] = [];
  const consumers: TextConsumer[] = [];
  onTestFinished(async () => {
    for (const consumer of consumers) void consumer.close({ timeoutMs: 0 });
    await clock.advance(60_000);
  });
  const start = (options: ConsumerOptions<string, string> = {}) => {
    const groups = new FakeGroupHost(coordinator);
    const host = new FakeFetchHost(clock, groups);
    host.logs = logs;
    for (let partition = 0; partition < partitions; partition += 1) host.log('t', partition);
    hosts.push(host);
    const consumer: TextConsumer = new Consumer(
      host,
      {
        group: 'g',
        topics: ['t'],
        from: 'earliest',
        heartbeatIntervalMs: HEARTBEAT_MS,
        autoCommitIntervalMs: COMMIT_MS,
        valueDeserializer: stringSerializer,
        keyDeserializer: stringSerializer,
        ...options,
      },
      () => {},
    );
    consumers.push(consumer);
    return { consumer, host, groups };
  };
  const append = async (partition: number, ...values: string[]) => {
    for (const value of values) await hosts[0]!.log('t', partition).append([value]);
    for (const host of hosts) host.wake();
  };
  /** Time for rebalances and fetches, not for a commit. */
  const rest = () => clock.advance(4 * HEARTBEAT_MS);
  /** Reads while time goes on. */
  const poll = async (consumer: TextConsumer, maxRecords = 100) => {
    const records = consumer.poll({ maxRecords, timeoutMs: HEARTBEAT_MS });
    // In small steps: a join takes many turns of the event loop, and no time.
    for (let waitedMs = 0; waitedMs < HEARTBEAT_MS; waitedMs += 10) await clock.advance(10);
    return (await records).map(shown);
  };
  const committed = (partition: number) => coordinator.committed.get(`t-${partition}`)?.offset;
  return { clock, coordinator, start, append, rest, poll, committed };
}

function shown({ partition, offset, value }: ConsumerRecord<string, string>): string {
  return `${partition}/${offset}=${value}`;
}

const keys = (partitions: readonly TopicPartition[]) => partitions.map(partitionKey).join(' ');

describe('where it begins', () => {
  test('at the committed offset, else where `from` says', async () => {
    const { coordinator, start, append, rest, poll } = setUp();
    coordinator.committed.set('t-1', { topic: 't', partition: 1, offset: 2 });
    const { consumer } = start();
    await append(0, 'a', 'b');
    await append(1, 'c', 'd', 'e');
    await rest();
    expect((await poll(consumer)).sort()).toEqual(['0/0=a', '0/1=b', '1/2=e']);
  });

  test("the place that 'latest' found is committed, so that what comes next is not missed if this consumer dies", async () => {
    const { clock, start, append, rest, committed } = setUp(1);
    const { consumer } = start({ from: 'latest' });
    await append(0, 'a', 'b');
    await rest();
    const reading = consumer.poll({ timeoutMs: 2 * COMMIT_MS });
    await clock.advance(2 * COMMIT_MS);
    expect(await reading).toEqual([]);
    expect(committed(0)).toBe(2);
  });

  test('a committed offset that the log has no more is an error, unless `onOutOfRange` says where to go on', async () => {
    const { coordinator, start, append, rest, poll } = setUp(1);
    const { consumer, host } = start();
    await append(0, 'a', 'b', 'c');
    await consumer.close();
    host.log('t').removeUpTo(2);
    coordinator.committed.set('t-0', { topic: 't', partition: 0, offset: 1 });
    const strict = start();
    await rest();
    await expect(strict.consumer.poll()).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' });
    await strict.consumer.close();
    expect(await poll(start({ onOutOfRange: 'earliest' }).consumer)).toEqual(['0/2=c']);
  });

  test('seek in onAssigned overrides both', async () => {
    const { start, append, poll } = setUp(1);
    const started = start({ onAssigned: () => started.consumer.seek('t', 0, 1) });
    await append(0, 'a', 'b');
    expect(await poll(started.consumer)).toEqual(['0/1=b']);
  });

  test('nothing is delivered before onAssigned is done', async () => {
    const { clock, start, append, rest, poll } = setUp(1);
    const { consumer } = start({ onAssigned: () => new Promise((resolve) => clock.schedule(1000, resolve)) });
    await append(0, 'a');
    await rest();
    expect(await poll(consumer)).toEqual([]);
    await clock.advance(1000);
    expect(await poll(consumer)).toEqual(['0/0=a']);
  });

  test('committed offsets are asked for until they are known', async () => {
    const { clock, coordinator, start, append, poll } = setUp(1);
    coordinator.committed.set('t-0', { topic: 't', partition: 0, offset: 1 });
    const { consumer, groups } = start();
    groups.failNext('fetchOffsets', 'COORDINATOR_LOADING', 'CONNECTION_LOST', 'STORAGE_ERROR');
    await append(0, 'a', 'b');
    await clock.advance(5000);
    expect(await poll(consumer)).toEqual(['0/1=b']);
  });
});

describe('auto-commit', () => {
  test('commits what a poll returned once the next is called, not before', async () => {
    const { clock, start, append, poll, committed } = setUp(1);
    const { consumer } = start();
    await append(0, 'a', 'b', 'c');
    expect(await poll(consumer, 2)).toHaveLength(2);
    await clock.advance(2 * COMMIT_MS);
    // Where it began, which it knows to be finished.
    expect(committed(0)).toBe(0);
    expect(await poll(consumer, 2)).toHaveLength(1);
    await clock.advance(2 * COMMIT_MS);
    expect(committed(0)).toBe(2);
    await poll(consumer);
    await clock.advance(COMMIT_MS);
    expect(committed(0)).toBe(3);
  });

  test('a record of an iteration is finished when the next is asked for', async () => {
    const { clock, coordinator, start, committed } = setUp(1);
    const { consumer, host } = start();
    await host.log('t').append(['a', 'b', 'c']);
    const iterator = consumer[Symbol.asyncIterator]();
    const next = async () => {
      const result = iterator.next();
      await clock.advance(4 * HEARTBEAT_MS);
      return (await result).value?.offset;
    };
    expect(await next()).toBe(0);
    await clock.advance(COMMIT_MS);
    expect(committed(0)).toBe(0);
    expect(await next()).toBe(1);
    await clock.advance(COMMIT_MS);
    expect(committed(0)).toBe(1);
    expect(await next()).toBe(2);
    const waiting = iterator.next();
    await clock.advance(COMMIT_MS);
    expect(committed(0)).toBe(3);
    // With the epoch of the batch that they came in.
    expect(coordinator.committed.get('t-0')).toMatchObject({ leaderEpoch: expect.any(Number) });
    await consumer.close();
    expect(await waiting).toMatchObject({ done: true });
  });

  test('a batch is finished when the next is asked for', async () => {
    const { clock, start, append, committed } = setUp(1);
    const { consumer } = start();
    await append(0, 'a', 'b');
    const batches = consumer.batches();
    const first = batches.next();
    await clock.advance(4 * HEARTBEAT_MS);
    expect((await first).value).toMatchObject({ nextOffset: 1 });
    await clock.advance(COMMIT_MS);
    expect(committed(0)).toBe(0);
    await batches.next();
    await clock.advance(COMMIT_MS);
    expect(committed(0)).toBe(1);
  });

  test('sends nothing while nothing has changed', async () => {
    const { clock, start, append, poll, groups } = { ...setUp(1), groups: undefined };
    const started = start();
    await append(0, 'a');
    await poll(started.consumer);
    await poll(started.consumer);
    await clock.advance(2 * COMMIT_MS);
    const count = () => started.groups.requests.filter((name) => name === 'commitOffsets').length;
    const before = count();
    expect(before).toBeGreaterThan(0);
    await clock.advance(10 * COMMIT_MS);
    expect(count()).toBe(before);
    expect(groups).toBeUndefined();
  });

  test('a failure that passes is made up for by the next commit; one that does not is told', async () => {
    const { clock, start, append, poll, committed } = setUp(1);
    const { consumer, groups } = start();
    await append(0, 'a');
    await poll(consumer);
    groups.failNext('commitOffsets', 'STORAGE_ERROR', 'OFFSET_METADATA_TOO_LARGE');
    await poll(consumer);
    await clock.advance(2 * COMMIT_MS);
    await expect(consumer.poll()).rejects.toMatchObject({ code: 'OFFSET_METADATA_TOO_LARGE' });
    await clock.advance(COMMIT_MS);
    expect(committed(0)).toBe(1);
  });
});

describe('close', () => {
  test('commits what is finished and leaves; what the last poll returned is not finished', async () => {
    const { coordinator, start, append, poll, committed } = setUp(1);
    const { consumer } = start();
    await append(0, 'a', 'b');
    await poll(consumer, 1);
    await poll(consumer, 1);
    await consumer.close();
    expect(committed(0)).toBe(1);
    expect(coordinator.left).toHaveLength(1);
    expect(coordinator.state).toBe('Empty');
  });

  test('after commit() it is', async () => {
    const { start, append, poll, committed } = setUp(1);
    const { consumer } = start();
    await append(0, 'a', 'b');
    await poll(consumer);
    await consumer.commit();
    await consumer.close();
    expect(committed(0)).toBe(2);
  });

  test('so is what was handed out before a poll that waits', async () => {
    const { start, append, poll, committed } = setUp(1);
    const { consumer } = start();
    await append(0, 'a', 'b');
    await poll(consumer);
    const waiting = consumer.poll({ timeoutMs: 60_000 });
    await settle();
    await consumer.close();
    expect(await waiting).toEqual([]);
    expect(committed(0)).toBe(2);
  });

  test('takes no longer than it may', async () => {
    const { clock, start, rest } = setUp(1);
    const { consumer, groups } = start();
    await rest();
    groups.cutOff = true;
    let closed = false;
    void consumer.close({ timeoutMs: 2000 }).then(() => {
      closed = true;
    });
    await clock.advance(1999);
    expect(closed).toBe(false);
    await clock.advance(1);
    expect(closed).toBe(true);
    await expect(consumer.poll()).rejects.toMatchObject({ code: 'CLIENT_CLOSED' });
  });
});

describe('commits by hand', () => {
  test('nothing is committed by itself, not even on close', async () => {
    const { clock, coordinator, start, append, poll } = setUp(1);
    const { consumer } = start({ autoCommit: false });
    await append(0, 'a', 'b');
    await poll(consumer);
    await poll(consumer);
    await clock.advance(3 * COMMIT_MS);
    await consumer.close();
    expect(coordinator.commits).toEqual([]);
  });

  test('commit() covers all that was handed out, commit(offsets) what it says', async () => {
    const { coordinator, start, append, rest, poll, committed } = setUp(2);
    const { consumer } = start({ autoCommit: false });
    await append(0, 'a', 'b');
    await append(1, 'c');
    await rest();
    await poll(consumer);
    await consumer.commit();
    expect([committed(0), committed(1)]).toEqual([2, 1]);
    await consumer.commit([{ topic: 't', partition: 0, offset: 1, metadata: 'half' }]);
    expect(coordinator.committed.get('t-0')).toMatchObject({ offset: 1, metadata: 'half' });
    expect(await consumer.committed()).toMatchObject([
      { topic: 't', partition: 0, offset: 1, metadata: 'half' },
      { topic: 't', partition: 1, offset: 1 },
    ]);
    expect(await consumer.committed([{ topic: 't', partition: 1 }])).toMatchObject([{ offset: 1 }]);
  });

  test('need a group', async () => {
    const { start } = setUp(1);
    const { host } = start();
    const alone = new Consumer(host, {}, () => {});
    await expect(alone.commit()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(alone.committed()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

describe('rebalances', () => {
  test('wait for what the user works on, commit it, and deliver nothing of it any more', async () => {
    const { start, append, rest, poll, committed } = setUp(2);
    const events: string[] = [];
    const { consumer: a } = start({
      onRevoked: (partitions) => void events.push(`revoked ${keys(partitions)}, committed ${committed(1)}`),
    });
    await append(0, 'a');
    await append(1, 'b', 'c', 'd');
    // One at a time, so that more of the partition lies in the buffer.
    const seen = [...(await poll(a, 1)), ...(await poll(a, 1)), ...(await poll(a, 1))];
    const fromOne = seen.filter((record) => record.startsWith('1/')).length;
    expect(fromOne).toBeGreaterThan(0);
    expect(fromOne).toBeLessThan(3);
    const { consumer: b } = start();
    await rest();
    expect(events).toEqual([]);
    expect(b.assignment).toEqual([]);
    // The user comes back: all that it had is finished, and nothing more of partition 1 is given to it.
    const after = await poll(a);
    expect(after.filter((record) => record.startsWith('1/'))).toEqual([]);
    await rest();
    expect(events).toEqual([`revoked t-1, committed ${fromOne}`]);
    expect(keys(a.assignment)).toBe('t-0');
    expect(keys(b.assignment)).toBe('t-1');
    const rest1 = await poll(b);
    expect(rest1).toEqual(['1/0=b', '1/1=c', '1/2=d'].slice(fromOne));
  });

  test('do not wait while nothing is being worked on', async () => {
    const { start, append, rest, poll } = setUp(2);
    const { consumer: a } = start();
    await append(0, 'a');
    await poll(a);
    await poll(a);
    const { consumer: b } = start();
    await rest();
    expect(keys(b.assignment)).toBe('t-1');
    expect(keys(a.assignment)).toBe('t-0');
  });

  test('an iteration that is at a record of a partition that goes does not get the next of it', async () => {
    const { clock, start, rest } = setUp(2);
    const { consumer: a, host } = start();
    await host.log('t', 1).append(['a', 'b', 'c']);
    const iterator = a[Symbol.asyncIterator]();
    const first = iterator.next();
    await rest();
    expect((await first).value).toMatchObject({ partition: 1, offset: 0 });
    const { consumer: b } = start();
    await rest();
    expect(b.assignment).toEqual([]);
    const second = iterator.next();
    await rest();
    expect(keys(b.assignment)).toBe('t-1');
    const polled = b.poll({ timeoutMs: 100 });
    await clock.advance(200);
    expect((await polled).map(({ offset }) => offset)).toEqual([1, 2]);
    await a.close();
    expect(await second).toMatchObject({ done: true });
  });

  test('an eager rebalance goes on from what was committed, without repeating anything', async () => {
    const { start, append, rest, poll } = setUp(2);
    const { consumer: a } = start({ assignors: ['range'] });
    await append(0, 'a', 'b', 'c');
    await append(1, 'd', 'e', 'f');
    const seen = await poll(a, 2);
    const { consumer: b } = start({ assignors: ['range'] });
    for (let round = 0; round < 10; round += 1) {
      seen.push(...(await poll(a, 2)), ...(await poll(b, 2)));
      await rest();
    }
    expect(seen.sort()).toEqual(['0/0=a', '0/1=b', '0/2=c', '1/0=d', '1/1=e', '1/2=f']);
  });

  test('what is lost is not committed, and not delivered from the buffer', async () => {
    const { coordinator, start, append, rest, poll, committed } = setUp(1);
    const lost: string[] = [];
    const { consumer } = start({ onLost: (partitions) => void lost.push(keys(partitions)) });
    await append(0, 'a', 'b', 'c');
    await poll(consumer, 1);
    const before = committed(0);
    coordinator.forgetMembers();
    await rest();
    expect(lost).toEqual(['t-0']);
    expect(committed(0)).toBe(before);
    // It is a member again, and begins at what is committed.
    expect(await poll(consumer)).toEqual(['0/0=a', '0/1=b', '0/2=c']);
  });

  test('paused partitions stay paused over a rebalance that does not touch them', async () => {
    const { start, append, rest, poll } = setUp(2);
    const { consumer: a } = start();
    await rest();
    a.pause('t', 0);
    await append(0, 'a');
    start();
    await poll(a);
    await rest();
    expect(await poll(a)).toEqual([]);
    a.resume('t', 0);
    expect(await poll(a)).toEqual(['0/0=a']);
  });

  test('callbacks that throw are told by the next poll', async () => {
    const { start, append, rest, poll } = setUp(1);
    const { consumer } = start({
      onAssigned: () => {
        throw new Error('broken');
      },
    });
    await append(0, 'a');
    await rest();
    await expect(consumer.poll()).rejects.toMatchObject({ message: expect.stringContaining('broken') });
    expect(await poll(consumer)).toEqual(['0/0=a']);
  });
});

describe('a reader that is stuck', () => {
  test('leaves the group after maxPollIntervalMs and comes back with its next poll', async () => {
    const { clock, start, append, rest, poll, committed } = setUp(1);
    const lost: string[] = [];
    const { consumer: a } = start({
      maxPollIntervalMs: 4000,
      onLost: (partitions) => void lost.push(keys(partitions)),
    });
    await append(0, 'a', 'b');
    expect(await poll(a, 1)).toEqual(['0/0=a']);
    const { consumer: b } = start({ maxPollIntervalMs: 400_000 });
    await clock.advance(3500);
    expect(b.assignment).toEqual([]);
    await clock.advance(2000);
    await rest();
    expect(lost).toEqual(['t-0']);
    expect(keys(b.assignment)).toBe('t-0');
    // Nobody said that its record was finished.
    expect(committed(0)).toBe(0);
    expect(await poll(b)).toEqual(['0/0=a', '0/1=b']);
    // What it had in the buffer is gone.
    expect(await poll(a)).toEqual([]);
    await b.close();
    for (let round = 0; round < 5; round += 1) await poll(a);
    expect(keys(a.assignment)).toBe('t-0');
  });

  test('is none while it iterates slowly, or waits for records', async () => {
    const { clock, coordinator, start } = setUp(1);
    const { consumer, host } = start({ maxPollIntervalMs: 4000 });
    await host.log('t').append(Array.from({ length: 10 }, (_, index) => `${index}`));
    const iterator = consumer[Symbol.asyncIterator]();
    for (let index = 0; index < 10; index += 1) {
      const next = iterator.next();
      await clock.advance(3000);
      expect((await next).value).toMatchObject({ offset: index });
    }
    const waiting = iterator.next();
    await clock.advance(20_000);
    expect(coordinator.members.size).toBe(1);
    expect(coordinator.generationId).toBe(1);
    void consumer.close();
    await waiting;
  });

  test('does not hold up a rebalance for ever', async () => {
    const { clock, start, append, rest, poll } = setUp(2);
    const { consumer: a } = start({ maxPollIntervalMs: 4000 });
    await append(0, 'a');
    await append(1, 'b');
    await rest();
    expect(await poll(a)).toHaveLength(2);
    const { consumer: b } = start();
    await rest();
    expect(b.assignment).toEqual([]);
    await clock.advance(5000);
    await rest();
    expect(keys(b.assignment)).toBe('t-0 t-1');
  });
});

describe('errors', () => {
  test('one that ends the membership is thrown by every read', async () => {
    const { start, rest } = setUp(1);
    const { consumer, groups } = start();
    groups.failNext('join', 'GROUP_MAX_SIZE_REACHED');
    await rest();
    for (let count = 0; count < 2; count += 1) {
      await expect(consumer.poll()).rejects.toMatchObject({ code: 'GROUP_MAX_SIZE_REACHED' });
    }
    await consumer.close();
  });

  test('a topic that does not exist is told once', async () => {
    const { clock, start, rest, poll } = setUp(1);
    const { consumer } = start({ topics: ['t', 'none'] });
    await rest();
    await expect(consumer.poll()).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC_OR_PARTITION' });
    await clock.advance(5000);
    expect(await poll(consumer)).toEqual([]);
  });

  test.each([
    [{ group: '' }],
    [{ group: 'x'.repeat(250) }],
    [{ topics: undefined }],
    [{ topics: [] }],
    [{ topics: [''] }],
    [{ pattern: /a/ }],
    [{ topics: undefined, pattern: 'a' }],
    [{ assignors: [] }],
    [{ assignors: ['fair'] }],
    [{ sessionTimeoutMs: 0 }],
    [{ heartbeatIntervalMs: 20_000 }],
    [{ groupInstanceId: '' }],
    [{ maxPollIntervalMs: -1 }],
    [{ assignment: [] }],
    [{ group: undefined }],
  ] as Array<[ConsumerOptions<string, string>]>)('options that make no sense are refused: %j', (options) => {
    const { start } = setUp(1);
    expect(() => start(options)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });

  test('a consumer in a group is not assigned by hand', async () => {
    const { start } = setUp(1);
    await expect(start().consumer.assign([])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  test('lag is that of one partition, or of all', async () => {
    const { start, append, poll } = setUp(2);
    const { consumer } = start();
    await append(0, 'a', 'b', 'c');
    await append(1, 'd', 'e');
    await poll(consumer, 1);
    expect(consumer.lag()).toBe(4);
    expect([consumer.lag('t', 0)! + consumer.lag('t', 1)!]).toEqual([4]);
  });
});

type Step =
  | { readonly kind: 'append'; readonly partition: number; readonly count: number }
  | { readonly kind: 'poll'; readonly who: number; readonly maxRecords: number }
  | { readonly kind: 'next'; readonly who: number }
  | { readonly kind: 'join' }
  | { readonly kind: 'close'; readonly who: number }
  | { readonly kind: 'crash'; readonly who: number }
  | { readonly kind: 'fail'; readonly who: number; readonly request: string }
  | { readonly kind: 'time'; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('append' as const), partition: fc.nat(3), count: fc.nat(6) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('poll' as const),
      who: fc.nat(3),
      maxRecords: fc.integer({ min: 1, max: 5 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('next' as const), who: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('join' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('close' as const), who: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const), who: fc.nat(3) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('fail' as const),
      who: fc.nat(3),
      request: fc.constantFrom('commitOffsets', 'fetchOffsets', 'heartbeat', 'sync'),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('time' as const), ms: fc.nat(1500) }) },
);

interface Watched {
  readonly consumer: TextConsumer;
  readonly groups: FakeGroupHost;
  /** By partition: what was handed out since it was assigned. */
  readonly holding: Map<number, number[]>;
  iterator: AsyncIterator<ConsumerRecord<string, string>> | undefined;
  /** A read under way. */
  reading: Promise<void> | undefined;
}

test.each(['cooperative-sticky', 'range'] as const)(
  'whatever happens, with %s: nothing is skipped, nothing comes twice within an assignment, nothing after it was revoked',
  async (assignor) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
        const { clock, start, append } = setUp(4);
        const alive: Watched[] = [];
        const delivered = new Map<number, Set<number>>();
        const appended = [0, 0, 0, 0];
        const problems: string[] = [];
        const join = () => {
          const holding = new Map<number, number[]>();
          const drop = (partitions: readonly TopicPartition[]) => {
            for (const { partition } of partitions) holding.delete(partition);
          };
          const started = start({
            assignors: [assignor],
            sessionTimeoutMs: 2000,
            heartbeatIntervalMs: 300,
            maxPollIntervalMs: 20_000,
            onAssigned: (partitions) => {
              for (const { partition } of partitions) holding.set(partition, []);
            },
            onRevoked: drop,
            onLost: drop,
          });
          alive.push({ ...started, holding, iterator: undefined, reading: undefined });
        };
        const take = (watched: Watched, { partition, offset }: ConsumerRecord<string, string>) => {
          const mine = watched.holding.get(partition);
          if (mine === undefined) problems.push(`${partition}/${offset} came after it was revoked`);
          else if (mine.length > 0 && offset !== mine.at(-1)! + 1)
            problems.push(`${partition}/${offset} after ${mine}`);
          mine?.push(offset);
          delivered.set(partition, (delivered.get(partition) ?? new Set()).add(offset));
        };
        const read = (watched: Watched, reading: Promise<void>) => {
          watched.reading = reading
            .catch((error) => {
              if (error.code !== 'CLIENT_CLOSED') problems.push(String(error));
            })
            .finally(() => {
              watched.reading = undefined;
            });
        };
        const poll = (watched: Watched, maxRecords: number) => {
          if (watched.reading !== undefined || watched.iterator !== undefined) return;
          const polling = watched.consumer.poll({ maxRecords, timeoutMs: 300 }).then((records) => {
            for (const record of records) take(watched, record);
          });
          read(watched, polling);
        };
        join();
        for (const each of steps) {
          const watched = 'who' in each ? alive[each.who % Math.max(1, alive.length)] : undefined;
          if (each.kind === 'append') {
            await append(each.partition, ...Array.from({ length: each.count }, () => 'x'));
            appended[each.partition]! += each.count;
          } else if (each.kind === 'time') await clock.advance(each.ms);
          else if (each.kind === 'join' && alive.length < 4) join();
          else if (watched === undefined) continue;
          else if (each.kind === 'poll') poll(watched, each.maxRecords);
          else if (each.kind === 'next' && watched.reading === undefined) {
            watched.iterator ??= watched.consumer[Symbol.asyncIterator]();
            read(
              watched,
              watched.iterator.next().then(({ value, done }) => {
                if (done !== true) take(watched, value);
              }),
            );
          } else if (each.kind === 'close' || each.kind === 'crash') {
            if (each.kind === 'crash') watched.groups.cutOff = true;
            alive.splice(alive.indexOf(watched), 1);
            void watched.consumer.close({ timeoutMs: 100 });
          } else if (each.kind === 'fail') {
            watched.groups.failNext(each.request, 'COORDINATOR_NOT_AVAILABLE');
          }
          await clock.advance(50);
        }
        // Then all close, and one reads to the end.
        for (const { consumer } of alive.splice(0)) void consumer.close();
        await clock.advance(3000);
        join();
        for (let round = 0; round < 15; round += 1) {
          poll(alive[0]!, 100);
          await clock.advance(400);
        }
        expect(problems).toEqual([]);
        appended.forEach((count, partition) => {
          const offsets = [...(delivered.get(partition) ?? [])].sort((a, b) => a - b);
          expect(offsets).toEqual(Array.from({ length: count }, (_, offset) => offset));
        });
      }),
      { numRuns: 40 },
    );
  },
);
