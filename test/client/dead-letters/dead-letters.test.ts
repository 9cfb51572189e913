/** Listing, reading, replaying and purging dead letters, against a real broker. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { startBroker } from '../../../broker/index.ts';
import { type Client, connect, type ReplayOptions } from '../../../client/index.ts';

const TOPIC = 'orders.billing.dlq';
const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array | null) => new TextDecoder().decode(value ?? undefined);

/** A dead letter as a subscriber writes it; `v7` comes from offset 7. */
function letter(index: number, more: Readonly<Record<string, string>> = {}) {
  return {
    topic: TOPIC,
    partition: index % 2,
    key: bytes(`k${index % 3}`),
    value: bytes(`v${index}`),
    headers: {
      own: `h${index}`,
      'burrow-dlq-original-topic': 'orders',
      'burrow-dlq-original-partition': String(index % 2),
      'burrow-dlq-original-offset': String(index),
      'burrow-dlq-original-timestamp': String(1_600_000_000_000 + index),
      'burrow-dlq-group': 'billing',
      'burrow-dlq-attempts': '5',
      'burrow-dlq-error-name': index < 5 ? 'TypeError' : 'RangeError',
      'burrow-dlq-error-message': `no ${index}`,
      'burrow-dlq-failed-at': String(1_700_000_000_000 + index),
      ...more,
    },
    timestampMs: 1_700_000_000_000 + index,
  };
}

/** Ten dead letters in two partitions. */
async function setUp(count = 10) {
  const broker = await startBroker({ storage: 'memory' });
  onTestFinished(() => broker.close());
  const client = await connect(broker.addresses.native!);
  onTestFinished(() => client.close({ timeoutMs: 500 }));
  await client.admin().createTopics([
    { name: 'orders', partitions: 2 },
    { name: TOPIC, partitions: 2, configs: { 'retention.ms': -1 } },
  ]);
  await client.producer().sendMany(Array.from({ length: count }, (_, index) => letter(index)));
  const deadLetters = client.deadLetters();
  const replay = async (options: ReplayOptions = {}) => deadLetters.replay(TOPIC, { keep: true, ...options });
  return { client, deadLetters, replay };
}

async function valuesOf(client: Client, topic: string): Promise<string[]> {
  const status = await client.admin().partitionStatus(topic);
  let left = status.reduce((sum, { logStartOffset, highWatermark }) => sum + highWatermark - logStartOffset, 0);
  const consumer = client.consumer({ assignment: [{ topic }], from: 'earliest' });
  const values: string[] = [];
  while (left > 0) {
    const records = await consumer.poll();
    values.push(...records.map(({ value }) => text(value)));
    left -= records.length;
  }
  await consumer.close();
  return values.sort();
}

async function read(client: Client, options: Parameters<ReturnType<Client['deadLetters']>['read']>[1] = {}) {
  const values: string[] = [];
  for await (const { value, replayed } of client.deadLetters().read(TOPIC, options)) {
    values.push(`${text(value)}${replayed ? ' replayed' : ''}`);
  }
  return values;
}

const NONE = { replayed: 0, targets: [], alreadyReplayed: 0, filtered: 0, withoutOrigin: 0, removed: 0 };

test('list tells of topics that end in .dlq, or of those that are named', async () => {
  const { client, deadLetters, replay } = await setUp();
  await client.admin().createTopic({ name: 'failed.dlq' });
  await replay({ limit: 3 });
  expect(await deadLetters.list()).toEqual([
    { topic: 'failed.dlq', source: undefined, partitions: 1, records: 0, pending: 0, bytes: 0 },
    {
      topic: TOPIC,
      source: { topic: 'orders', group: 'billing' },
      partitions: 2,
      records: 10,
      pending: 7,
      bytes: expect.any(Number),
    },
  ]);
  expect(await deadLetters.list(['orders'])).toMatchObject([{ topic: 'orders', records: 3 }]);
  await expect(deadLetters.list(['nothing.dlq'])).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC_OR_PARTITION' });
});

test('read tells all that is known of each, partition by partition', async () => {
  const { client } = await setUp(2);
  const letters = [];
  for await (const each of client.deadLetters().read(TOPIC)) letters.push(each);
  expect(letters[1]).toEqual({
    topic: TOPIC,
    partition: 1,
    offset: 0,
    key: bytes('k1'),
    value: bytes('v1'),
    headers: [{ key: 'own', value: Buffer.from('h1') }],
    origin: { topic: 'orders', partition: 1, offset: 1, timestampMs: 1_600_000_000_001 },
    group: 'billing',
    attempts: 5,
    errorName: 'TypeError',
    errorMessage: 'no 1',
    errorStack: undefined,
    failedAtMs: 1_700_000_000_001,
    replayed: false,
  });
  expect(letters).toHaveLength(2);
});

test.each<[string, NonNullable<ReplayOptions['filter']>, number[]]>([
  ['error', { errorName: 'TypeError' }, [0, 1, 2, 3, 4]],
  ['group', { group: 'shipping' }, []],
  ['topic', { originalTopic: 'orders' }, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]],
  ['partition', { originalPartition: 1 }, [1, 3, 5, 7, 9]],
  ['offsets', { originalOffsetFrom: 3, originalOffsetEnd: 6 }, [3, 4, 5]],
  ['time', { failedFromMs: 1_700_000_000_007, failedBeforeMs: 1_700_000_000_009 }, [7, 8]],
  ['key', { key: bytes('k1') }, [1, 4, 7]],
  ['two of these', { key: bytes('k1'), errorName: 'RangeError' }, [7]],
])('a filter by %s chooses, for reading and for replaying', async (_, filter, indexes) => {
  const { client, replay } = await setUp();
  const values = indexes.map((index) => `v${index}`);
  expect((await read(client, { filter })).sort()).toEqual(values);
  expect(await replay({ filter })).toMatchObject({ replayed: values.length, filtered: 10 - values.length });
  expect(await valuesOf(client, 'orders')).toEqual(values);
});

describe('replay', () => {
  test('puts records back without what was noted of their failure, under the present time or their own', async () => {
    const { client, replay } = await setUp(2);
    const startedAtMs = Date.now();
    await replay();
    await replay({ all: true, keepTimestamps: true });
    const consumer = client.consumer({ assignment: [{ topic: 'orders', partition: 1 }], from: 'earliest' });
    const [first] = await consumer.poll({ maxRecords: 1 });
    const [second] = await consumer.poll({ maxRecords: 1 });
    for (const record of [first!, second!]) {
      expect([text(record.key), text(record.value), record.headers]).toEqual([
        'k1',
        'v1',
        [{ key: 'own', value: Buffer.from('h1') }],
      ]);
    }
    expect(first!.timestampMs).toBeGreaterThanOrEqual(startedAtMs);
    expect(second!.timestampMs).toBe(1_600_000_000_001);
  });

  test('removes what it has put back, up to the first that is left', async () => {
    const { client, deadLetters } = await setUp();
    // Leaves 4 and 5: partition 0 has 0 2 4 6 8, partition 1 has 1 3 5 7 9.
    const others = { filter: { originalOffsetEnd: 4 } };
    expect(await deadLetters.replay(TOPIC, others)).toMatchObject({ replayed: 4, filtered: 6, removed: 4 });
    const behind = { filter: { originalOffsetFrom: 6 } };
    expect(await deadLetters.replay(TOPIC, behind)).toMatchObject({ replayed: 4, filtered: 2, removed: 0 });
    expect(await read(client)).toEqual(['v4', 'v6 replayed', 'v8 replayed', 'v5', 'v7 replayed', 'v9 replayed']);
    expect(await deadLetters.replay(TOPIC)).toMatchObject({ replayed: 2, alreadyReplayed: 4, removed: 6 });
    expect(await read(client)).toEqual([]);
    expect(await valuesOf(client, 'orders')).toEqual(Array.from({ length: 10 }, (_, index) => `v${index}`));
    expect(await deadLetters.replay(TOPIC)).toEqual({ topic: TOPIC, ...NONE });
  });

  test('does nothing twice unless asked to, whatever was chosen before', async () => {
    const { client, replay } = await setUp();
    expect(await replay({ filter: { key: bytes('k1') } })).toMatchObject({ replayed: 3, alreadyReplayed: 0 });
    expect(await replay({ filter: { key: bytes('k1') } })).toMatchObject({ replayed: 0, alreadyReplayed: 3 });
    expect(await replay({ limit: 4 })).toMatchObject({ replayed: 4 });
    expect(await replay()).toMatchObject({ replayed: 3, alreadyReplayed: 7 });
    expect(await replay()).toMatchObject({ replayed: 0, alreadyReplayed: 10, removed: 0 });
    expect(await valuesOf(client, 'orders')).toEqual(Array.from({ length: 10 }, (_, index) => `v${index}`));
    await client.producer().send(letter(10));
    expect(await replay()).toMatchObject({ replayed: 1, alreadyReplayed: 10 });
    expect(await replay({ all: true })).toMatchObject({ replayed: 11, alreadyReplayed: 0 });
  });

  test('a dry run tells and changes nothing', async () => {
    const { client, deadLetters } = await setUp();
    const options = { filter: { errorName: 'TypeError' }, limit: 4 };
    const tried = await deadLetters.replay(TOPIC, { ...options, dryRun: true });
    expect(tried).toMatchObject({ replayed: 4, targets: [{ topic: 'orders', records: 4 }], removed: 0 });
    expect(await valuesOf(client, 'orders')).toEqual([]);
    expect(await deadLetters.list()).toMatchObject([{ records: 10, pending: 10 }]);
    expect(await deadLetters.replay(TOPIC, options)).toMatchObject({ replayed: 4, removed: 4 });
  });

  test('may go to another topic, also with what does not say where it comes from', async () => {
    const { client, deadLetters, replay } = await setUp(2);
    await client.producer().send({ topic: TOPIC, partition: 0, value: bytes('foreign') });
    await client.producer().send(letter(2, { 'burrow-dlq-original-topic': TOPIC }));
    expect(await replay()).toMatchObject({ replayed: 2, withoutOrigin: 2 });
    await client.admin().createTopic({ name: 'mended', partitions: 1 });
    expect(await replay({ to: 'mended' })).toMatchObject({
      replayed: 2,
      alreadyReplayed: 2,
      targets: [{ topic: 'mended', records: 2 }],
    });
    expect(await valuesOf(client, 'mended')).toEqual(['foreign', 'v2']);
    await expect(deadLetters.replay(TOPIC, { to: TOPIC })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  test('creates no topic: one that is gone is an error, and what was put back before it is noted', async () => {
    const { client, replay } = await setUp(3);
    await client.producer().send(letter(3, { 'burrow-dlq-original-topic': 'gone' }));
    await expect(replay()).rejects.toMatchObject({
      code: 'UNKNOWN_TOPIC_OR_PARTITION',
      message: expect.stringContaining('come from topic gone, which does not exist'),
    });
    expect(await client.admin().listTopics()).not.toContain('gone');
    // Partition 0 was done, v1 lay in the same chunk as the one that could not be put back.
    expect(await replay({ filter: { originalTopic: 'orders' } })).toMatchObject({ replayed: 1, alreadyReplayed: 2 });
  });

  test('a filter that leaves more gaps than can be noted is refused before anything is put back', async () => {
    const { client, replay } = await setUp(0);
    const letters = Array.from({ length: 6000 }, (_, index) => ({
      ...letter(index, { 'burrow-dlq-error-name': index % 2 === 0 ? 'Even' : 'Odd' }),
      partition: 0,
    }));
    await client.producer().sendMany(letters);
    const before = (await client.admin().partitionStatus('orders'))[0]!.highWatermark;
    await expect(replay({ filter: { errorName: 'Odd' } })).rejects.toMatchObject({ code: 'OFFSET_METADATA_TOO_LARGE' });
    const between = (await client.admin().partitionStatus('orders')).reduce((sum, each) => sum + each.highWatermark, 0);
    expect(between).toBeGreaterThan(before);
    // What was put back until then is noted: nothing is put back twice.
    const rest = await replay();
    expect(rest).toMatchObject({ replayed: 6000 - between, alreadyReplayed: between });
    expect(await valuesOf(client, 'orders')).toEqual(letters.map(({ value }) => text(value)).sort());
  });

  test('two at the same time notice each other', async () => {
    const { client, replay } = await setUp(2000);
    const results = await Promise.allSettled([replay(), replay()]);
    const refused = results.filter(({ status }) => status === 'rejected');
    for (const { reason } of refused as PromiseRejectedResult[]) expect(reason).toMatchObject({ code: 'CONFLICT' });
    expect(refused).toHaveLength(1);
    await replay();
    const values = await valuesOf(client, 'orders');
    expect(new Set(values).size).toBe(2000);
    // At most what both had in hand.
    expect(values.length).toBeLessThanOrEqual(2500);
  });

  test('what has been replayed of a topic that was deleted says nothing about one made anew', async () => {
    const { client, replay } = await setUp();
    await replay();
    await client.admin().deleteTopic(TOPIC);
    await client.admin().createTopic({ name: TOPIC, partitions: 2 });
    await client.producer().sendMany(Array.from({ length: 10 }, (_, index) => letter(index)));
    expect(await replay()).toMatchObject({ replayed: 10, alreadyReplayed: 0 });
  });

  test.each<[string, ReplayOptions]>([
    ['limit', { limit: 0 }],
    ['partition', { filter: { originalPartition: -1 } }],
    ['offset', { filter: { originalOffsetFrom: 0.5 } }],
    ['time', { filter: { failedFromMs: Number.NaN } }],
  ])('a %s that makes no sense is refused', async (_, options) => {
    const { replay } = await setUp(0);
    await expect(replay(options)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

describe('purge', () => {
  test('removes everything, or a partition, and tells what', async () => {
    const { client, deadLetters } = await setUp();
    expect(await deadLetters.purge(TOPIC, { dryRun: true })).toEqual([
      { partition: 0, from: 0, to: 5 },
      { partition: 1, from: 0, to: 5 },
    ]);
    expect(await read(client)).toHaveLength(10);
    expect(await deadLetters.purge(TOPIC, { partition: 1 })).toEqual([{ partition: 1, from: 0, to: 5 }]);
    expect(await read(client)).toHaveLength(5);
    await deadLetters.purge(TOPIC);
    expect(await read(client)).toEqual([]);
    expect(await deadLetters.purge(TOPIC)).toEqual([]);
    await expect(deadLetters.purge(TOPIC, { partition: 2 })).rejects.toMatchObject({
      code: 'UNKNOWN_TOPIC_OR_PARTITION',
    });
  });

  test('may stop at a time, or at the first that has not been replayed', async () => {
    const { client, deadLetters, replay } = await setUp();
    await deadLetters.purge(TOPIC, { beforeMs: 1_700_000_000_003 });
    expect(await read(client)).toEqual(['v4', 'v6', 'v8', 'v3', 'v5', 'v7', 'v9']);
    await replay({ filter: { originalOffsetEnd: 7 } });
    await replay({ filter: { originalOffsetFrom: 9 } });
    expect(await deadLetters.purge(TOPIC, { replayedOnly: true, beforeMs: 1_700_000_000_006 })).toEqual([
      { partition: 0, from: 2, to: 3 },
      { partition: 1, from: 1, to: 3 },
    ]);
    expect(await deadLetters.purge(TOPIC, { replayedOnly: true })).toEqual([{ partition: 0, from: 3, to: 4 }]);
    expect(await read(client)).toEqual(['v8', 'v7', 'v9 replayed']);
  });
});
