/** What subscribers do with records whose handler throws, and with those of retry topics. */
import { describe, expect, test } from 'vitest';
import { committed, eventually, Gate, numbered, quick, startBed, TestPolicy, text } from './subscriber-bed.ts';

describe('a handler that throws', () => {
  test('stops the subscriber by default: with what it threw, and nothing beyond is committed', async () => {
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
      { ...quick, group: 'g', from: 'earliest', onError: (error) => errors.push(error) },
    );
    await expect(subscriber.closed).rejects.toThrow('cannot do it');
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(errors).toMatchObject([{ message: 'cannot do it' }]);
    expect(await committed(client, 'g')).toEqual([6]);
  });

  test('is called again with the record as often as the policy says, and its key waits while others go on', async () => {
    const { client, produce } = await startBed();
    const keys = ['a', 'b', 'a', 'b'];
    await produce(
      'orders',
      keys.map((key, index) => ({ key, value: `${index}`, partition: 0 })),
    );
    const policy = new TestPolicy(() => ({ kind: 'retryInPlace', delayMs: 50 }));
    const seen: string[] = [];
    let failures = 0;
    client.subscribe<string, string>(
      'orders',
      async ({ value }) => {
        if (value === '0' && failures < 3) {
          failures += 1;
          throw new Error('not yet');
        }
        seen.push(value!);
      },
      { ...text, from: 'earliest', failurePolicy: policy },
    );
    await eventually(() => seen.length === 4);
    expect(seen).toEqual(['1', '3', '0', '2']);
  });

  test('has its record set aside, which is awaited before the record counts as finished', async () => {
    const { client, produce } = await startBed();
    await produce('orders', numbered(5));
    const gate = new Gate();
    const policy = new TestPolicy((_, attempts) =>
      attempts < 3 ? { kind: 'retryInPlace', delayMs: 1 } : { kind: 'setAside' },
    );
    policy.onSetAside = () => gate.opened;
    const seen: string[] = [];
    client.subscribe<string, string>(
      'orders',
      ({ value }) => {
        seen.push(value!);
        if (value === '2') throw new Error(`no ${value}`);
      },
      { ...text, ...quick, group: 'g', from: 'earliest', failurePolicy: policy, concurrency: 2 },
    );
    await eventually(() => seen.length === 7);
    await eventually(async () => (await committed(client, 'g'))[0] === 2);
    gate.open();
    await eventually(async () => (await committed(client, 'g'))[0] === 5);
    expect(seen.filter((value) => value === '2')).toHaveLength(3);
    expect(policy.asides).toMatchObject([{ record: { offset: 2 }, attempts: 3, error: { message: 'no 2' } }]);
    expect(policy.asides[0]!.record.value).toEqual(new TextEncoder().encode('2'));
  });

  test('stops the subscriber if its record cannot be set aside', async () => {
    const { client, produce } = await startBed();
    await produce('orders', numbered(5));
    const policy = new TestPolicy(() => ({ kind: 'setAside' }));
    policy.onSetAside = () => Promise.reject(new Error('the topic is full'));
    const subscriber = client.subscribe(
      'orders',
      ({ offset }) => {
        if (offset === 3) throw new Error('no');
      },
      { ...quick, group: 'g', from: 'earliest', failurePolicy: policy },
    );
    await expect(subscriber.closed).rejects.toThrow('the topic is full');
    expect(await committed(client, 'g')).toEqual([3]);
  });

  test('a record that cannot be deserialized takes the same way, as it is stored', async () => {
    const { client, produce } = await startBed();
    await produce('orders', numbered(2));
    const value = new Uint8Array([0xff, 0xfe]);
    await client.producer().send({ topic: 'orders', value, partition: 0 });
    await produce('orders', numbered(2, 2));
    const policy = new TestPolicy(() => ({ kind: 'setAside' }));
    const seen: string[] = [];
    client.subscribe<string, string>('orders', (record) => seen.push(record.value!), {
      ...text,
      from: 'earliest',
      failurePolicy: policy,
    });
    await eventually(() => seen.length === 4);
    expect(policy.asides).toMatchObject([{ record: { offset: 2, value }, error: { code: 'SERIALIZATION_FAILED' } }]);
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
    await produce('orders', [{ value: 'bad', partition: 0 }]);
    await produce('orders', [{ value: 'c', partition: 0 }]);
    const policy = new TestPolicy(() => ({ kind: 'setAside' }));
    const seen: string[][] = [];
    const subscriber = client.subscribe<string, string>(
      'orders',
      ({ records }) => {
        const values = records.map((record) => record.value!);
        if (values.includes('bad')) throw new Error('bad');
        seen.push(values);
      },
      { ...text, ...quick, group: 'g', from: 'earliest', failurePolicy: policy, batch: true },
    );
    await eventually(() => seen.length === 2);
    expect(seen).toEqual([['a', 'b'], ['c']]);
    expect(policy.asides.map(({ record }) => record.offset)).toEqual([1, 3]);
    await subscriber.close();
    expect(await committed(client, 'g')).toEqual([5]);
  });
});

describe('a retry topic', () => {
  test('is read beside the others; its partition waits for the next record to be due and blocks nobody', async () => {
    const { client, produce } = await startBed();
    await client.admin().createTopic({ name: 'orders', partitions: 1 });
    await client.admin().createTopic({ name: 'orders.g.retry', partitions: 2 });
    const producer = client.producer();
    const sendRetry = (partition: number, name: string, dueMs: number) =>
      producer.send({
        topic: 'orders.g.retry',
        partition,
        value: new TextEncoder().encode(name),
        headers: { due: `${dueMs}`, attempt: '1' },
      });
    const startMs = Date.now();
    await sendRetry(0, 'soon', startMs + 50);
    await sendRetry(0, 'late', startMs + 900);
    for (let index = 0; index < 400; index += 1) void sendRetry(1, `never${index}`, startMs + 3_600_000);
    await sendRetry(1, 'never', startMs + 3_600_000);
    const seen: Array<{ value: string; atMs: number }> = [];
    const subscriber = client.subscribe<string, string>(
      'orders',
      ({ value }) => void seen.push({ value: value!, atMs: Date.now() - startMs }),
      {
        ...text,
        ...quick,
        group: 'g',
        from: 'earliest',
        failurePolicy: new TestPolicy(() => ({ kind: 'stop' }), ['orders.g.retry']),
        prefetch: 100,
      },
    );
    await eventually(() => seen.some(({ value }) => value === 'soon'));
    for (let from = 0; from < 500; from += 100) await produce('orders', numbered(100, from));
    await eventually(() => seen.length === 501);
    expect(seen.some(({ value }) => value === 'late')).toBe(false);
    await eventually(() => seen.length === 502);
    expect(seen.at(-1)!.value).toBe('late');
    expect(seen.at(-1)!.atMs).toBeGreaterThanOrEqual(900);
    await subscriber.close();
    const { partitions } = await client.admin().describeGroup('g');
    expect(partitions.map(({ topic, partition, committedOffset }) => [topic, partition, committedOffset])).toEqual([
      ['orders', 0, 500],
      ['orders.g.retry', 0, 2],
      ['orders.g.retry', 1, 0],
    ]);
  });
});
