/** A failure policy with a pull consumer, against a real broker: how often records are tried, where they land, and that a replay puts them back. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { type Broker, type BrokerOptions, startBroker } from '../../../broker/index.ts';
import {
  type Client,
  connect,
  type DeadLetter,
  type FailurePolicy,
  type FailurePolicyOptions,
  type HeaderValue,
  jsonSerializer,
  openFailurePolicy,
  type ProducerRecord,
  type RawRecord,
} from '../../../client/index.ts';
import { deserializeField } from '../../../client/serializers.ts';
import { type Handler, SequentialSubscriber } from '../../support/sequential-subscriber.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array | null) => new TextDecoder().decode(value ?? undefined);
const FAST = { delayMs: 2, delayMsMax: 8 } as const;

async function setUp(options: Partial<BrokerOptions> = {}): Promise<{ broker: Broker; client: Client }> {
  const broker = await startBroker({ storage: 'memory', groupInitialRebalanceDelayMs: 0, ...options });
  onTestFinished(() => broker.close());
  const client = await connect(broker.addresses.native!, { reconnectBackoff: { initialMs: 5, maxMs: 50 } });
  onTestFinished(() => client.close({ timeoutMs: 500 }));
  return { broker, client };
}

async function subscribe(client: Client, options: FailurePolicyOptions, handler: Handler) {
  const policy = await openFailurePolicy(client, options);
  const subscriber = new SequentialSubscriber(client, options.group!, options.topics, policy, handler);
  const close = async () => {
    await subscriber.close();
    await policy.close({ timeoutMs: 500 });
  };
  onTestFinished(close);
  return { policy, subscriber, close };
}

async function deadLetters(client: Client, topic: string): Promise<DeadLetter[]> {
  const letters: DeadLetter[] = [];
  for await (const letter of client.deadLetters().read(topic)) letters.push(letter);
  return letters;
}

/** What is stored in a topic, up to its present end. */
async function readAll(client: Client, topic: string): Promise<RawRecord[]> {
  const status = await client.admin().partitionStatus(topic);
  let left = status.reduce((sum, { logStartOffset, highWatermark }) => sum + highWatermark - logStartOffset, 0);
  const consumer = client.consumer({ assignment: [{ topic }], from: 'earliest' });
  const records: RawRecord[] = [];
  while (left > 0) {
    const some = await consumer.poll();
    records.push(...some);
    left -= some.length;
  }
  await consumer.close();
  return records;
}

async function until(condition: () => boolean): Promise<void> {
  await vi.waitFor(() => expect(condition()).toBe(true), { timeout: 10_000, interval: 5 });
}

/** 60 records of 12 keys in 3 partitions; a third of them fail. */
const fails = (value: string) => Number(value.slice(1)) % 3 === 0;
const RECORDS: ProducerRecord[] = Array.from({ length: 60 }, (_, index) => ({
  topic: 'orders',
  key: bytes(`k${index % 12}`),
  value: bytes(`v${index}`),
  headers: [['trace', `t${index}`]] as const,
  timestampMs: 1_700_000_000_000 + index,
}));

describe.each(['in-place', 'topic'] as const)('retries %s', (mode) => {
  test('exactly the failing records are dead letters, after exactly the attempts, with their headers; replay puts them back', async () => {
    const { client } = await setUp();
    await client.admin().createTopic({ name: 'orders', partitions: 3 });
    const attempts = new Map<string, number>();
    const partitions = new Map<string, Set<number>>();
    let mended = false;
    const done = new Set<string>();
    await subscribe(
      client,
      { topics: ['orders'], group: 'billing', deadLetter: true, retry: { attempts: 4, mode, ...FAST } },
      ({ value, key, partition }) => {
        const name = text(value);
        attempts.set(name, (attempts.get(name) ?? 0) + 1);
        const used = partitions.get(text(key)) ?? new Set();
        partitions.set(text(key), used.add(partition));
        if (fails(name) && !mended) throw new RangeError(`cannot bill ${name}`);
        done.add(name);
      },
    );
    await client.producer().sendMany(RECORDS);
    const sources = new Map((await readAll(client, 'orders')).map((record) => [text(record.value), record]));
    const failing = [...sources.keys()].filter(fails).sort();
    await until(() => done.size === 40 && failing.every((name) => attempts.get(name) === 4));
    await vi.waitFor(async () => expect(await deadLetters(client, 'orders.billing.dlq')).toHaveLength(20));

    const letters = await deadLetters(client, 'orders.billing.dlq');
    expect(letters.map(({ value }) => text(value)).sort()).toEqual(failing);
    for (const letter of letters) {
      const name = text(letter.value);
      const { key, partition, offset, timestampMs, headers } = sources.get(name)!;
      expect(letter).toMatchObject({
        topic: 'orders.billing.dlq',
        partition,
        key,
        headers,
        origin: { topic: 'orders', partition, offset, timestampMs },
        group: 'billing',
        attempts: 4,
        errorName: 'RangeError',
        errorMessage: `cannot bill ${name}`,
        errorStack: expect.stringMatching(/^RangeError: cannot bill v\d+\n +at /),
        replayed: false,
      });
      expect(letter.failedAtMs).toBeGreaterThan(Date.now() - 60_000);
    }
    for (const [name, count] of attempts) expect([name, count]).toEqual([name, fails(name) ? 4 : 1]);
    // A key stays in its partition on every way.
    for (const [key, used] of partitions) expect([key, used.size]).toEqual([key, 1]);

    mended = true;
    expect(await client.deadLetters().replay('orders.billing.dlq')).toEqual({
      topic: 'orders.billing.dlq',
      replayed: 20,
      targets: [{ topic: 'orders', records: 20 }],
      alreadyReplayed: 0,
      filtered: 0,
      withoutOrigin: 0,
      removed: 20,
    });
    await until(() => done.size === 60);
    const all = await readAll(client, 'orders');
    expect(all).toHaveLength(80);
    for (const { key, value, headers, partition } of all) {
      const source = sources.get(text(value))!;
      expect({ key, value, headers, partition }).toEqual({
        key: source.key,
        value: source.value,
        headers: source.headers,
        partition: source.partition,
      });
    }
    expect(await deadLetters(client, 'orders.billing.dlq')).toEqual([]);
  });
});

test('keys, values and headers come through retries, dead letters and replay byte by byte', async () => {
  const { client } = await setUp();
  const admin = client.admin();
  await admin.createTopic({ name: 't', partitions: 1 });
  const policy = await openFailurePolicy(client, {
    topics: ['t'],
    group: 'g',
    deadLetter: true,
    retry: { mode: 'topic', attempts: 2 },
  });
  onTestFinished(() => policy.close());
  const producer = client.producer();
  const field = fc.option(fc.uint8Array({ maxLength: 60 }));
  const header = fc.tuple(
    fc.oneof(fc.string({ unit: 'grapheme', maxLength: 8 }), fc.constant('burrow-dlq'), fc.constant('__proto__')),
    field as fc.Arbitrary<HeaderValue>,
  );
  const shape = ({ keyBytes, valueBytes, headers }: RawRecord) => ({ keyBytes, valueBytes, headers });
  await fc.assert(
    fc.asyncProperty(field, field, fc.array(header, { maxLength: 5 }), async (key, value, headers) => {
      await producer.send({ topic: 't', partition: 0, key, value, headers });
      const source = (await readAll(client, 't')).at(-1)!;
      await policy.setAside(source, 1, new Error('once'));
      const waiting = (await readAll(client, 't.g.retry.1')).at(-1)!;
      expect(policy.attemptsBefore(waiting)).toBe(1);
      await policy.setAside(waiting, 2, new Error('twice'));
      expect((await client.deadLetters().replay('t.g.dlq')).replayed).toBe(1);
      const replayed = (await readAll(client, 't')).at(-1)!;
      expect(replayed.offset).toBe(source.offset + 1);
      expect(shape(replayed)).toEqual(shape(source));
      expect(shape(source)).toEqual({ keyBytes: key, valueBytes: value, headers: source.headers });
    }),
    { numRuns: 40 },
  );
});

test('a record that cannot be deserialized is not retried, and lands as it is', async () => {
  const { client } = await setUp();
  await client.admin().createTopic({ name: 'orders' });
  const serializer = jsonSerializer<{ ok: boolean }>();
  const seen: string[] = [];
  await subscribe(
    client,
    { topics: ['orders'], group: 'g', deadLetter: true, retry: { mode: 'topic', ...FAST } },
    (record) => {
      seen.push(text(record.value));
      deserializeField(serializer, record.value!, 'value', record.topic, record.partition, record.offset);
    },
  );
  await client
    .producer()
    .sendMany(['{"ok":true}', '{"ok":', '{"ok":false}'].map((value) => ({ topic: 'orders', value: bytes(value) })));
  await vi.waitFor(async () => expect(await deadLetters(client, 'orders.g.dlq')).toHaveLength(1));
  await until(() => seen.length === 3);
  const [letter] = await deadLetters(client, 'orders.g.dlq');
  expect([text(letter!.value), letter!.attempts, letter!.errorName]).toEqual(['{"ok":', 1, 'SERIALIZATION_FAILED']);
});

test('the same error about something else is a failure as others are', async () => {
  const { client } = await setUp();
  await client.admin().createTopic({ name: 'orders' });
  let attempts = 0;
  await subscribe(client, { topics: ['orders'], group: 'g', deadLetter: true, retry: { attempts: 3, ...FAST } }, () => {
    attempts += 1;
    deserializeField(jsonSerializer(), bytes('{'), 'value', 'elsewhere', 0, 0);
  });
  await client.producer().send({ topic: 'orders', value: bytes('v') });
  await vi.waitFor(async () => expect(await deadLetters(client, 'orders.g.dlq')).toHaveLength(1));
  expect(attempts).toBe(3);
});

test('without a dead-letter topic the subscription stops with the error, and commits nothing beyond', async () => {
  const { client } = await setUp();
  await client.admin().createTopic({ name: 'orders', partitions: 1 });
  await client.producer().sendMany(['a', 'b', 'c'].map((value) => ({ topic: 'orders', value: bytes(value) })));
  const options = { topics: ['orders'], group: 'g', retry: { attempts: 2, ...FAST }, deadLetter: false } as const;
  let calls = 0;
  const { policy, subscriber } = await subscribe(client, options, ({ value }) => {
    calls += 1;
    if (text(value) === 'b') throw new Error('b is not for me');
  });
  await expect(subscriber.done).rejects.toThrow('b is not for me');
  expect(calls).toBe(3);
  expect(await subscriber.consumer.committed()).toMatchObject([{ topic: 'orders', offset: 1 }]);
  const [, record] = await readAll(client, 'orders');
  await expect(policy.setAside(record!, 2, new Error('x'))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  expect(await client.admin().listTopics()).not.toContain('orders.g.dlq');
});

test('a crash between setting aside and committing leaves a duplicate, never a gap', async () => {
  const { client } = await setUp();
  await client.admin().createTopic({ name: 'orders', partitions: 1 });
  await client.producer().sendMany(['a', 'b', 'c'].map((value) => ({ topic: 'orders', value: bytes(value) })));
  const options = { topics: ['orders'], group: 'g', retry: { attempts: 1 }, deadLetter: true } as const;
  const policy = await openFailurePolicy(client, options);
  onTestFinished(() => policy.close());
  // Set aside and durable; the offset is not committed any more.
  const crashing: FailurePolicy = {
    ...{ retryTopics: [], checkTopic: () => {}, addTopics: () => Promise.resolve(), close: () => Promise.resolve() },
    decide: (...of) => policy.decide(...of),
    waitMs: () => 0,
    attemptsBefore: () => 0,
    setAside: async (...of) => {
      await policy.setAside(...of);
      throw new Error('crash');
    },
  };
  const handler: Handler = ({ value }) => {
    if (text(value) === 'b') throw new Error('no');
  };
  const first = new SequentialSubscriber(client, 'g', ['orders'], crashing, handler);
  await expect(first.done).rejects.toThrow('crash');
  await first.close();
  const { subscriber } = await subscribe(client, options, handler);
  await vi.waitFor(async () => expect(await subscriber.consumer.committed()).toMatchObject([{ offset: 3 }]));
  const letters = await deadLetters(client, 'orders.g.dlq');
  expect(letters.map(({ value, origin }) => [text(value), origin?.offset])).toEqual([
    ['b', 1],
    ['b', 1],
  ]);
});

test('a record is set aside once the broker is back', async () => {
  const storage = await mkdtemp(join(tmpdir(), 'burrow-dlq-'));
  onTestFinished(() => rm(storage, { recursive: true, force: true }));
  const { broker, client } = await setUp({ storage, diskFreeBytesMin: 0 });
  await client.admin().createTopic({ name: 'orders', partitions: 1 });
  await client.producer().send({ topic: 'orders', value: bytes('v') });
  const [record] = await readAll(client, 'orders');
  const policy = await openFailurePolicy(client, {
    topics: ['orders'],
    group: 'g',
    deadLetter: true,
    retry: { attempts: 1 },
  });
  onTestFinished(() => policy.close({ timeoutMs: 0 }));
  await broker.close();
  let isStored = false;
  const storing = policy.setAside(record!, 1, new Error('no')).then(() => {
    isStored = true;
  });
  await until(() => !client.connected);
  expect(isStored).toBe(false);
  const again = await startBroker({ storage, diskFreeBytesMin: 0, port: broker.ports.native });
  onTestFinished(() => again.close());
  await storing;
  expect(await deadLetters(client, 'orders.g.dlq')).toHaveLength(1);
});

describe('the topics that records are set aside in', () => {
  test('are made like their source: partitions and limits, with room for what is added', async () => {
    const { client } = await setUp({ defaultPartitions: 2, retentionMs: 1_000_000 });
    const admin = client.admin();
    const configs = { 'max.message.bytes': 2000, 'cleanup.policy': 'compact', 'retention.bytes': 5000 };
    await admin.createTopic({ name: 'orders', partitions: 5, configs });
    const policy = await openFailurePolicy(client, {
      topics: ['orders'],
      group: 'g',
      retry: { mode: 'topic', attempts: 3, delayMs: 1000, delayMsMax: 60_000 },
      deadLetter: { retentionMs: 12_345 },
    });
    onTestFinished(() => policy.close());
    expect(policy.retryTopics).toEqual(['orders.g.retry.1', 'orders.g.retry.2']);
    // Does not fit into a batch compressed, once there is more than the record itself.
    const value = crypto.getRandomValues(new Uint8Array(1900));
    await client.producer().send({ topic: 'orders', partition: 4, key: bytes('k'), value });
    const [record] = await readAll(client, 'orders');
    await policy.setAside(record!, 3, new Error('x'.repeat(5000)));
    const expected = new Map<string, string>([
      ['orders.g.retry.1', '1120000'],
      ['orders.g.retry.2', '1120000'],
      ['orders.g.dlq', '12345'],
    ]);
    for (const [name, retentionMs] of expected) {
      expect((await admin.describeTopic(name)).partitions).toHaveLength(5);
      const values = new Map((await admin.describeTopicConfigs(name)).map((entry) => [entry.key, entry.value]));
      expect([values.get('cleanup.policy'), values.get('retention.ms'), values.get('retention.bytes')]).toEqual([
        'delete',
        retentionMs,
        '-1',
      ]);
      expect(Number(values.get('max.message.bytes'))).toBeGreaterThan(2000);
    }
    expect(await deadLetters(client, 'orders.g.dlq')).toMatchObject([{ partition: 4, value }]);
  });

  test('are used as they are if they exist, also with fewer partitions; a key stays together', async () => {
    const { client } = await setUp();
    await client.admin().createTopic({ name: 'orders', partitions: 6 });
    await client.admin().createTopic({ name: 'failed.dlq', partitions: 4 });
    const policy = await openFailurePolicy(client, {
      topics: ['orders'],
      group: 'g',
      retry: { attempts: 1 },
      deadLetter: { topic: 'failed.dlq' },
    });
    onTestFinished(() => policy.close());
    await client.producer().sendMany(RECORDS);
    for (const record of await readAll(client, 'orders')) await policy.setAside(record, 1, new Error('no'));
    const letters = await deadLetters(client, 'failed.dlq');
    expect(letters).toHaveLength(60);
    for (const { partition, origin } of letters) expect(partition).toBe(origin!.partition % 4);
  });

  test('are made also if the source is gone', async () => {
    const { client } = await setUp();
    const admin = client.admin();
    await admin.createTopic({ name: 'orders', partitions: 3 });
    const policy = await openFailurePolicy(client, {
      topics: ['orders'],
      group: 'g',
      deadLetter: true,
      retry: { attempts: 1 },
    });
    onTestFinished(() => policy.close());
    await client.producer().send({ topic: 'orders', partition: 2, value: bytes('v') });
    const [record] = await readAll(client, 'orders');
    await admin.deleteTopic('orders');
    await policy.setAside(record!, 1, new Error('no'));
    expect(await deadLetters(client, 'orders.g.dlq')).toMatchObject([{ partition: 2, origin: { topic: 'orders' } }]);
  });

  test('a record that an earlier subscription left in a retry topic is found', async () => {
    const { client } = await setUp();
    await client.admin().createTopic({ name: 'orders' });
    const before = await openFailurePolicy(client, {
      topics: ['orders'],
      group: 'g',
      retry: { mode: 'topic', attempts: 9, delayMs: 1 },
    });
    await client.producer().send({ topic: 'orders', value: bytes('v') });
    const [record] = await readAll(client, 'orders');
    await before.setAside(record!, 7, new Error('no'));
    await before.close();
    const seen: string[] = [];
    const { policy } = await subscribe(
      client,
      { topics: ['orders'], group: 'g' },
      ({ topic }) => void seen.push(topic),
    );
    expect(policy.retryTopics).toContain('orders.g.retry.7');
    await until(() => seen.length === 2);
    expect(seen.sort()).toEqual(['orders', 'orders.g.retry.7']);
  });

  test.each<[string, FailurePolicyOptions, string]>([
    ['names too long together', { topics: ['x'.repeat(240)], group: 'group', deadLetter: true }, 'INVALID_NAME'],
    ['no name for a topic', { topics: ['a/b'], group: 'g' }, 'INVALID_NAME'],
    ['its own dead letters', { topics: ['t.dlq'], group: 'g', deadLetter: { topic: 't.dlq' } }, 'INVALID_ARGUMENT'],
    ['its own dead letters, by name', { topics: ['t', 't.g.dlq'], group: 'g' }, 'INVALID_ARGUMENT'],
    ['its own retries', { topics: ['t.g.retry.1'], group: 'g' }, 'INVALID_ARGUMENT'],
    [
      'too many delays',
      { topics: ['t'], group: 'g', retry: { mode: 'topic', attempts: 100, delayMs: 1, delayMsMax: 1e9 } },
      'INVALID_ARGUMENT',
    ],
  ])('a subscription is refused for %s', async (_, options, code) => {
    const { client } = await setUp();
    await expect(openFailurePolicy(client, options)).rejects.toMatchObject({ code });
  });
});

test('a record with no room left gets the briefest note of its failure, then a typed error', async () => {
  const { client } = await setUp();
  const admin = client.admin();
  await admin.createTopic({ name: 'orders' });
  await admin.createTopic({ name: 'failed.dlq', configs: { 'max.message.bytes': 4000 } });
  const policy = await openFailurePolicy(client, {
    topics: ['orders'],
    group: 'g',
    retry: { attempts: 1 },
    deadLetter: { topic: 'failed.dlq', errorMessageBytesMax: 3000 },
  });
  onTestFinished(() => policy.close());
  const value = (count: number) => crypto.getRandomValues(new Uint8Array(count));
  await client.producer().sendMany([2000, 3200, 3999].map((count) => ({ topic: 'orders', value: value(count) })));
  const message = Array.from(value(1500), (byte) => byte.toString(16)).join('');
  const records = await readAll(client, 'orders');
  const error = Object.assign(new Error(message), { stack: 'short' });
  await policy.setAside(records[1]!, 1, error);
  await expect(policy.setAside(records[2]!, 1, error)).rejects.toMatchObject({
    code: 'RECORD_TOO_LARGE',
    message: expect.stringContaining('Raise max.message.bytes of failed.dlq'),
    fields: { topic: 'failed.dlq', from: 'orders', partition: 0, offset: 2 },
  });
  await policy.setAside(records[0]!, 1, new Error('brief'));
  const letters = await deadLetters(client, 'failed.dlq');
  expect(letters.map(({ value: stored }) => stored?.length)).toEqual([3200, 2000]);
  expect([letters[0]!.errorMessage, letters[0]!.errorStack]).toEqual([message.slice(0, 128), undefined]);
  expect(letters[1]!.errorStack).toMatch(/^Error: brief/);
});

test('a value that fits only as compressed fits its dead letter too', async () => {
  const { client } = await setUp();
  await client.admin().createTopic({ name: 'orders' });
  const policy = await openFailurePolicy(client, {
    topics: ['orders'],
    group: 'g',
    deadLetter: true,
    retry: { attempts: 1 },
  });
  onTestFinished(() => policy.close());
  await client.producer({ compression: 'gzip' }).send({ topic: 'orders', value: new Uint8Array(4_000_000) });
  const [record] = await readAll(client, 'orders');
  await policy.setAside(record!, 1, new Error('large'));
  const [letter] = await deadLetters(client, 'orders.g.dlq');
  expect(letter!.value).toHaveLength(4_000_000);
  expect(letter!.errorStack).toMatch(/^Error: large/);
});

describe('waiting in a retry topic', () => {
  async function waiting(headers: ReadonlyArray<readonly [string, string]>, timestampMs = 1_000_000) {
    const { client } = await setUp();
    await client.admin().createTopic({ name: 'orders' });
    const retry = { mode: 'topic', attempts: 2, delayMs: 500, delayMsMax: 1000 } as const;
    const policy = await openFailurePolicy(client, { topics: ['orders'], group: 'g', deadLetter: true, retry });
    onTestFinished(() => policy.close());
    for (const topic of ['orders', 'orders.g.retry.1']) {
      await client.producer().send({ topic, value: null, headers, timestampMs });
    }
    const [[original], [retried]] = [await readAll(client, 'orders'), await readAll(client, 'orders.g.retry.1')];
    return { policy, original: original!, retried: retried! };
  }

  test('lasts until the record is due, and only there', async () => {
    const { policy, original, retried } = await waiting([
      ['burrow-dlq-due-at', '1000400'],
      ['burrow-dlq-attempts', '1'],
    ]);
    expect([1_000_000, 1_000_399, 1_000_400, 2_000_000].map((nowMs) => policy.waitMs(retried, nowMs))).toEqual([
      400, 1, 0, 0,
    ]);
    expect(policy.waitMs(original, 1_000_000)).toBe(0);
    expect([policy.attemptsBefore(retried), policy.attemptsBefore(original)]).toEqual([1, 0]);
  });

  test('never lasts longer than the longest delay from when it was written, whatever the headers and the clock say', async () => {
    const { policy, retried } = await waiting([['burrow-dlq-due-at', '9000000000000000']]);
    expect([1_000_000, 1_000_600, 1_001_000, 0].map((nowMs) => policy.waitMs(retried, nowMs))).toEqual([
      1000, 400, 0, 1000,
    ]);
    const { policy: other, retried: nonsense } = await waiting([['burrow-dlq-due-at', 'soon']]);
    expect([other.waitMs(nonsense, 0), other.attemptsBefore(nonsense)]).toEqual([0, 0]);
  });
});

test('where a replay goes cannot be chosen by who writes into the subscribed topic', async () => {
  const { client } = await setUp();
  await client.admin().createTopic({ name: 'orders' });
  await client.admin().createTopic({ name: 'secrets' });
  const policy = await openFailurePolicy(client, {
    topics: ['orders'],
    group: 'g',
    deadLetter: true,
    retry: { attempts: 1 },
  });
  onTestFinished(() => policy.close());
  const forged = { 'burrow-dlq-original-topic': 'secrets', 'burrow-dlq-original-partition': '0' };
  await client
    .producer()
    .send({ topic: 'orders', value: null, headers: { ...forged, 'burrow-dlq-original-offset': '7' } });
  const [record] = await readAll(client, 'orders');
  await policy.setAside(record!, 1, new Error('no'));
  const [letter] = await deadLetters(client, 'orders.g.dlq');
  expect(letter!.origin).toMatchObject({ topic: 'orders', partition: 0, offset: 0 });
  expect(letter!.headers).toEqual([]);
});

test('who consumes dead letters of others has retries and dead letters of its own, which remember the first origin', async () => {
  const { client } = await setUp();
  await client.admin().createTopic({ name: 'orders', partitions: 1 });
  const billing = { topics: ['orders'], group: 'billing', retry: { attempts: 1 }, deadLetter: true } as const;
  await subscribe(client, billing, () => {
    throw new Error('bill');
  });
  await client.producer().send({ topic: 'orders', value: bytes('v') });
  await vi.waitFor(async () => expect(await deadLetters(client, 'orders.billing.dlq')).toHaveLength(1));
  const repair = {
    topics: ['orders.billing.dlq'],
    group: 'repair',
    deadLetter: true,
    retry: { attempts: 2, mode: 'topic', ...FAST },
  } as const;
  await subscribe(client, repair, () => {
    throw new TypeError('mend');
  });
  const topic = 'orders.billing.dlq.repair.dlq';
  await vi.waitFor(async () => expect(await client.admin().listTopics()).toContain(topic));
  await vi.waitFor(async () => expect(await deadLetters(client, topic)).toHaveLength(1));
  expect(await client.admin().listTopics()).toContain('orders.billing.dlq.repair.retry.1');
  expect(await deadLetters(client, topic)).toMatchObject([
    { origin: { topic: 'orders', offset: 0 }, group: 'repair', attempts: 2, errorName: 'TypeError', headers: [] },
  ]);
});
