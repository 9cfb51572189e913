/** What subscribers do with records whose handler throws, and with those of retry topics. */
import { describe, expect, test } from 'vitest';
import type { FailurePolicy } from '../../../client/subscriber/failure-policy.ts';
import { Subscriber } from '../../../client/subscriber/subscriber.ts';
import { BatchBuilder } from '../../../src/records/batch-builder.ts';
import { FakeClientClock } from '../../support/fake-client-clock.ts';
import { FakeGroupCoordinator, FakeGroupHost } from '../../support/fake-group-coordinator.ts';
import { FakePushHost } from '../../support/fake-push-host.ts';
import { committed, deadLettersOf, eventually, numbered, quick, startBed, TestPolicy, text } from './subscriber-bed.ts';

function fail(text: string): never {
  throw new Error(text);
}

describe('a handler that throws', () => {
  test('is called again a few times by default, then stops the subscriber with what it threw; nothing beyond is committed', async () => {
    const { client, produce } = await startBed();
    await produce('orders', numbered(10));
    const seen: number[] = [];
    const errors: unknown[] = [];
    const subscriber = client.subscribe(
      'orders',
      ({ offset }) => {
        seen.push(offset);
        if (offset === 6) throw new Error('cannot do it');
      },
      { ...quick, group: 'g', from: 'earliest', retry: { delayMs: 1 }, onError: (error) => errors.push(error) },
    );
    await expect(subscriber.closed).rejects.toThrow('cannot do it');
    expect(seen.filter((offset) => offset === 6)).toHaveLength(5);
    expect(errors).toMatchObject([{ message: 'cannot do it' }]);
    expect(await committed(client, 'g')).toEqual([6]);
    // Nobody asked for another.
    expect((await client.admin().listTopics()).filter((name) => !name.startsWith('__'))).toEqual(['orders']);
  });

  test('is called again with the record and told how often; its key waits while others go on', async () => {
    const { client, produce } = await startBed();
    const keys = ['a', 'b', 'a', 'b'];
    await produce(
      'orders',
      keys.map((key, index) => ({ key, value: `${index}`, partition: 0 })),
    );
    const seen: string[] = [];
    const attempts: number[] = [];
    client.subscribe<string, string>(
      'orders',
      async ({ value }, attempt) => {
        if (value === '0') attempts.push(attempt);
        if (value === '0' && attempt < 4) throw new Error('not yet');
        seen.push(value!);
      },
      { ...text, from: 'earliest', retry: { delayMs: 50, backoff: 'fixed' } },
    );
    await eventually(() => seen.length === 4);
    expect(seen).toEqual(['1', '3', '0', '2']);
    expect(attempts).toEqual([1, 2, 3, 4]);
  });

  test('stops the subscriber if its record cannot be set aside', async () => {
    const { client, produce } = await startBed();
    await client.admin().createTopic({ name: 'failed.dlq', configs: { 'max.message.bytes': 300 } });
    await produce('orders', numbered(3));
    const bytes = crypto.getRandomValues(new Uint8Array(1000));
    await client.producer().send({ topic: 'orders', partition: 0, value: bytes });
    const subscriber = client.subscribe(
      'orders',
      ({ offset }) => {
        if (offset === 3) throw new Error('no');
      },
      { ...quick, group: 'g', from: 'earliest', retry: { attempts: 1 }, deadLetter: { topic: 'failed.dlq' } },
    );
    await expect(subscriber.closed).rejects.toMatchObject({ code: 'RECORD_TOO_LARGE' });
    expect(await committed(client, 'g')).toEqual([3]);
  });

  test('or returns something that only looks like a promise is treated alike', async () => {
    const { client, produce } = await startBed();
    await produce('orders', numbered(3));
    const handled: number[] = [];
    const evil = {
      // biome-ignore lint/suspicious/noThenProperty: that is what is tested
      then(): void {
        throw new Error('not a promise');
      },
    };
    client.subscribe('orders', ({ offset }) => (offset === 1 ? evil : handled.push(offset)), {
      from: 'earliest',
      retry: { attempts: 1 },
      deadLetter: { topic: 'failed.dlq' },
    });
    await eventually(async () => (await deadLettersOf(client, 'failed.dlq')).length === 1);
    await eventually(() => handled.length === 2);
    expect(await deadLettersOf(client, 'failed.dlq')).toMatchObject([
      { origin: { offset: 1 }, errorMessage: 'not a promise' },
    ]);
  });

  test.each<[string, Partial<FailurePolicy>, string]>([
    ['at a failure', { decide: () => fail('no idea') }, 'orders'],
    ['when asked whether a record is due', { waitMs: () => fail('no idea') }, 'retry'],
  ])('stops the subscriber if its policy itself throws %s', async (_name, broken, topic) => {
    const clock = new FakeClientClock();
    const coordinator = new FakeGroupCoordinator(clock);
    const host = new FakePushHost(clock, new FakeGroupHost(coordinator));
    for (const name of ['orders', 'retry']) {
      coordinator.topics.set(name, 1);
      host.log(name, 0);
    }
    const builder = new BatchBuilder();
    builder.append(0, null, new Uint8Array([1]));
    host.log(topic, 0).appendBytes(builder.finish());
    const policy = Object.assign(new TestPolicy(() => ({ kind: 'stop' }), ['retry']), broken);
    const handler = () => Promise.reject(new Error('no'));
    const subscriber = new Subscriber(host, policy, 'orders', handler, { group: 'g', from: 'earliest' }, () => {});
    const stopped = expect(subscriber.closed).rejects.toThrow('no idea');
    await clock.advance(60_000);
    await stopped;
  });

  test('a record that cannot be deserialized is set aside at once, as it is stored', async () => {
    const { client, produce } = await startBed();
    await produce('orders', numbered(2));
    const value = new Uint8Array([0xff, 0xfe]);
    await client.producer().send({ topic: 'orders', value, partition: 0 });
    await produce('orders', numbered(2, 2));
    const seen: string[] = [];
    // Also without a group, if the topic has a name.
    client.subscribe<string, string>('orders', (record) => seen.push(record.value!), {
      ...text,
      from: 'earliest',
      deadLetter: { topic: 'failed.dlq' },
    });
    await eventually(async () => (await deadLettersOf(client, 'failed.dlq')).length === 1);
    await eventually(() => seen.length === 4);
    const origin = { topic: 'orders', partition: 0, offset: 2 };
    expect(await deadLettersOf(client, 'failed.dlq')).toMatchObject([
      { origin, value, attempts: 1, errorName: 'SERIALIZATION_FAILED', group: undefined },
    ]);
  });

  test('in batches: all of it is set aside, or the one record that cannot be read, and the rest comes again', async () => {
    const { client, produce } = await startBed();
    const poison = new Uint8Array([0xff]);
    const encode = (value: string) => new TextEncoder().encode(value);
    await client.producer().sendMany([
      { topic: 'orders', value: encode('a'), partition: 0 },
      { topic: 'orders', value: poison, partition: 0 },
      { topic: 'orders', value: encode('b'), partition: 0 },
    ]);
    await produce('orders', [
      { value: 'bad', partition: 0 },
      { value: 'neighbour', partition: 0 },
    ]);
    await produce('orders', [{ value: 'c', partition: 0 }]);
    const seen: string[][] = [];
    const attempts: number[] = [];
    const subscriber = client.subscribe<string, string>(
      'orders',
      ({ records }, attempt) => {
        const values = records.map((record) => record.value!);
        attempts.push(attempt);
        if (values.includes('bad')) throw new Error('bad');
        seen.push(values);
      },
      {
        ...text,
        ...quick,
        group: 'g',
        from: 'earliest',
        retry: { attempts: 3, delayMs: 1 },
        deadLetter: true,
        batch: true,
      },
    );
    await eventually(() => seen.length === 2);
    expect(seen).toEqual([['a', 'b'], ['c']]);
    await subscriber.close();
    expect(await committed(client, 'g')).toEqual([6]);
    const letters = await deadLettersOf(client, 'orders.g.dlq');
    expect(letters.map(({ origin, attempts: tried }) => [origin?.offset, tried])).toEqual([
      [1, 1],
      [3, 3],
      [4, 3],
    ]);
    expect(attempts).toEqual([1, 1, 2, 3, 1]);
  });
});

describe('a retry topic', () => {
  test('is read beside the others; its partition waits for the next record to be due and blocks nobody', async () => {
    const { client, produce } = await startBed();
    await client.admin().createTopic({ name: 'orders', partitions: 1 });
    const retryTopic = 'orders.g.retry.1';
    await client.admin().createTopic({ name: retryTopic, partitions: 2 });
    const producer = client.producer();
    const sendRetry = (partition: number, name: string, dueMs: number) =>
      producer.send({
        topic: retryTopic,
        partition,
        value: new TextEncoder().encode(name),
        headers: { 'burrow-dlq-due-at': `${dueMs}`, 'burrow-dlq-attempts': '1' },
      });
    const startMs = Date.now();
    await sendRetry(0, 'soon', startMs + 50);
    await sendRetry(0, 'late', startMs + 900);
    for (let index = 0; index < 400; index += 1) void sendRetry(1, `never${index}`, startMs + 3_600_000);
    await sendRetry(1, 'never', startMs + 3_600_000);
    const seen: Array<{ value: string; attempt: number; atMs: number }> = [];
    const subscriber = client.subscribe<string, string>(
      'orders',
      ({ value }, attempt) => void seen.push({ value: value!, attempt, atMs: Date.now() - startMs }),
      {
        ...text,
        ...quick,
        group: 'g',
        from: 'earliest',
        // In place: what an earlier subscription has left in a retry topic is taken all the same.
        retry: { delayMsMax: 3_600_000 },
        prefetch: 100,
      },
    );
    await eventually(() => seen.some(({ value }) => value === 'soon'));
    for (let from = 0; from < 500; from += 100) await produce('orders', numbered(100, from));
    await eventually(() => seen.length === 501);
    expect(seen.some(({ value }) => value === 'late')).toBe(false);
    await eventually(() => seen.length === 502);
    expect(seen.at(-1)).toMatchObject({ value: 'late', attempt: 2 });
    expect(seen.at(-1)!.atMs).toBeGreaterThanOrEqual(900);
    await subscriber.close();
    const { partitions } = await client.admin().describeGroup('g');
    expect(partitions.map(({ topic, partition, committedOffset }) => [topic, partition, committedOffset])).toEqual([
      ['orders', 0, 500],
      [retryTopic, 0, 2],
      [retryTopic, 1, 0],
    ]);
  });
});
