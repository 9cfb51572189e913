import { describe, expect, test } from 'vitest';
import { Consumer } from '../../../client/consumer/consumer.ts';
import type { ConsumerOptions } from '../../../client/consumer/consumer-options.ts';
import { partitionKey, type TopicPartition } from '../../../client/topic-partition.ts';
import { settle } from '../../support/fake-client-clock.ts';
import { COMMIT_MS, HEARTBEAT_MS, setUp } from './group-bed.ts';

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
