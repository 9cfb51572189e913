import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type BrokerOptions, startBroker } from '../../broker/index.ts';
import { type Client, connect, messagePackSerializer, stringSerializer } from '../../client/index.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { CODECS } from '../../src/records/batch-header.ts';

async function startPair(options: Partial<BrokerOptions> = {}) {
  const broker = await startBroker({ storage: 'memory', ...options });
  onTestFinished(() => broker.close());
  const client = await connectTo(broker.addresses.native!);
  return { broker, client };
}

async function connectTo(address: string): Promise<Client> {
  const client = await connect(address, { reconnectBackoff: { initialMs: 5, maxMs: 50 } });
  onTestFinished(() => client.close({ timeoutMs: 0 }));
  return client;
}

async function errorOf(promise: Promise<unknown>): Promise<BurrowError> {
  const thrown = await promise.then(
    () => undefined,
    (error) => error,
  );
  expect(thrown).toBeInstanceOf(BurrowError);
  return thrown as BurrowError;
}

const text = { keyDeserializer: stringSerializer, valueDeserializer: stringSerializer };
const asText = { keySerializer: stringSerializer, valueSerializer: stringSerializer };

test('a record makes the round trip with key, headers and timestamp', async () => {
  const { client } = await startPair();
  await client.admin().createTopic({ name: 'events', partitions: 3 });
  const producer = client.producer(asText);
  const stored = await producer.send({
    topic: 'events',
    key: 'ä-key',
    value: 'wert',
    headers: { trace: 'abc', empty: null, bytes: new Uint8Array([1, 2]) },
    timestampMs: 1_700_000_000_123,
  });
  const consumer = client.consumer({ ...text, assignment: [{ topic: 'events' }], from: 'earliest' });
  const [record] = await consumer.poll();
  expect(record).toMatchObject({
    topic: 'events',
    partition: stored.partition,
    offset: 0,
    key: 'ä-key',
    value: 'wert',
    timestampMs: 1_700_000_000_123,
  });
  expect(record!.headers.map(({ key, value }) => [key, value && [...value]])).toEqual([
    ['trace', [97, 98, 99]],
    ['empty', null],
    ['bytes', [1, 2]],
  ]);
});

test.each(CODECS)(
  '100,000 records with %s compression arrive once and in the order of their keys',
  async (compression) => {
    const { client } = await startPair();
    await client.admin().createTopic({ name: 'events', partitions: 4 });
    const producer = client.producer({ ...asText, compression, batchBytes: 64 * 1024 });
    const total = 100_000;
    for (let from = 0; from < total; from += 10_000) {
      await producer.sendMany(
        Array.from({ length: 10_000 }, (_, index) => ({
          topic: 'events',
          key: `${(from + index) % 50}`,
          value: `${from + index}`,
        })),
      );
    }
    const consumer = client.consumer({ ...text, assignment: [{ topic: 'events' }], from: 'earliest' });
    const lastOfKey = new Map<string, number>();
    let count = 0;
    for await (const batch of consumer.batches()) {
      for (const { key, value } of batch.records) {
        const number = Number(value);
        expect(number).toBeGreaterThan(lastOfKey.get(key!) ?? -1);
        lastOfKey.set(key!, number);
      }
      count += batch.records.length;
      if (count >= total) break;
    }
    expect(count).toBe(total);
  },
);

test('a consumer that waits gets a record as soon as it is stored, long before waitMs is over', async () => {
  const { client } = await startPair();
  await client.admin().createTopic({ name: 'events', partitions: 2 });
  const consumer = client.consumer({ ...text, assignment: [{ topic: 'events' }], from: 'latest', waitMs: 60_000 });
  await consumer.position('events', 0);
  await consumer.position('events', 1);
  const producer = client.producer(asText);
  for (const partition of [0, 1, 0]) {
    const waiting = consumer.poll({ timeoutMs: 20_000 });
    await producer.send({ topic: 'events', partition, value: `p${partition}` });
    expect((await waiting).map(({ value }) => value)).toEqual([`p${partition}`]);
  }
});

test('seeks, pauses and new assignments interrupt a long poll', async () => {
  const { client } = await startPair();
  await client.admin().createTopic({ name: 'events', partitions: 2 });
  const producer = client.producer(asText);
  await producer.sendMany([0, 1].map((partition) => ({ topic: 'events', partition, value: `p${partition}` })));
  const consumer = client.consumer({
    ...text,
    assignment: [{ topic: 'events', partition: 0 }],
    from: 'latest',
    waitMs: 60_000,
  });
  expect(await consumer.poll({ timeoutMs: 100 })).toEqual([]);
  consumer.seekToBeginning('events', 0);
  expect((await consumer.poll({ timeoutMs: 20_000 })).map(({ value }) => value)).toEqual(['p0']);
  await consumer.assign([
    { topic: 'events', partition: 0 },
    { topic: 'events', partition: 1, from: 'earliest' },
  ]);
  expect((await consumer.poll({ timeoutMs: 20_000 })).map(({ value }) => value)).toEqual(['p1']);
  expect(await consumer.position('events', 0)).toBe(1);
});

test('records removed by retention: an error by default, or on from the earliest', async () => {
  const { client } = await startPair();
  const admin = client.admin();
  await admin.createTopic({ name: 'events', partitions: 1 });
  const producer = client.producer(asText);
  for (let index = 0; index < 10; index += 1) await producer.send({ topic: 'events', value: `${index}` });
  expect(await admin.deleteRecords('events', 0, 4)).toBe(4);
  const assignment = [{ topic: 'events', partition: 0, from: { offset: 1 } }];
  const strict = client.consumer({ ...text, assignment });
  const error = await errorOf(strict.poll({ timeoutMs: 20_000 }));
  expect([error.code, error.fields['offset']]).toEqual(['OFFSET_OUT_OF_RANGE', 1]);
  const lenient = client.consumer({ ...text, assignment, onOutOfRange: 'earliest' });
  expect((await lenient.poll({ timeoutMs: 20_000 }))[0]?.offset).toBe(4);
  expect(await admin.deleteRecords('events', 0, 'end')).toBe(10);
});

test('topics are created, listed, described, altered, grown and deleted', async () => {
  const { client } = await startPair();
  const admin = client.admin();
  await admin.createTopics([
    { name: 'b', partitions: 2, configs: { 'retention.ms': 3_600_000 } },
    { name: 'a', partitions: 1 },
  ]);
  expect((await errorOf(admin.createTopic({ name: 'a' }))).code).toBe('ALREADY_EXISTS');
  expect((await errorOf(admin.createTopic({ name: '../etc' }))).code).toBe('INVALID_NAME');
  expect((await errorOf(admin.createTopic({ name: 'c', configs: { nonsense: 1 } }))).code).toBe('INVALID_CONFIG');
  await admin.createTopic({ name: 'c', partitions: 1 }, { validateOnly: true });
  expect((await admin.listTopics()).filter((name) => !name.startsWith('_'))).toEqual(['a', 'b']);
  const [b, a] = await admin.describeTopics(['b', 'a']);
  expect([b?.partitions.length, a?.partitions.length]).toEqual([2, 1]);
  expect(b?.topicId).toMatch(/^[0-9a-f-]{36}$/);

  const config = async (key: string) => (await admin.describeTopicConfigs('b')).find((entry) => entry.key === key);
  expect(await config('retention.ms')).toMatchObject({ value: '3600000', isDefault: false });
  await admin.alterTopicConfigs('b', { 'retention.ms': null, 'cleanup.policy': 'compact' });
  expect(await config('retention.ms')).toMatchObject({ isDefault: true });
  expect(await config('cleanup.policy')).toMatchObject({ value: 'compact' });

  await admin.createPartitions('b', 4);
  expect((await admin.describeTopic('b')).partitions).toHaveLength(4);
  expect((await errorOf(admin.createPartitions('b', 3))).code).toBe('INVALID_PARTITIONS');

  await admin.deleteTopics(['a', 'b']);
  const gone = await errorOf(admin.describeTopic('a'));
  expect(gone.code).toBe('UNKNOWN_TOPIC_OR_PARTITION');
  expect(gone.message).toContain('burrow topic create');
});

test('offsets and status of partitions', async () => {
  const { client } = await startPair();
  const admin = client.admin();
  await admin.createTopic({ name: 'events', partitions: 2 });
  const producer = client.producer(asText);
  for (let index = 0; index < 5; index += 1) {
    await producer.send({ topic: 'events', partition: 1, value: `${index}`, timestampMs: 1000 + index * 10 });
  }
  const offsets = async (at: Parameters<typeof admin.offsets>[1]) =>
    (await admin.offsets('events', at)).map(({ offset }) => offset);
  expect(await offsets('earliest')).toEqual([0, 0]);
  expect(await offsets('latest')).toEqual([0, 5]);
  expect(await offsets({ timestampMs: 1025 })).toEqual([-1, 3]);
  const [first, second] = await admin.partitionStatus('events');
  expect(first).toMatchObject({ partition: 0, highWatermark: 0, failure: undefined });
  expect(second).toMatchObject({ partition: 1, logStartOffset: 0, highWatermark: 5, logEndOffset: 5 });
});

test('records that are too large for their topic are refused with its limit, others go on', async () => {
  const { client } = await startPair();
  await client.admin().createTopic({ name: 'events', partitions: 1, configs: { 'max.message.bytes': 2000 } });
  const producer = client.producer(asText);
  const large = errorOf(producer.send({ topic: 'events', value: 'x'.repeat(5000) }));
  expect((await large).code).toBe('RECORD_TOO_LARGE');
  expect((await producer.send({ topic: 'events', value: 'small' })).offset).toBe(0);
});

test('acks 1 and 0 store records, too', async () => {
  const { client } = await startPair();
  await client.admin().createTopic({ name: 'events', partitions: 1 });
  const leader = client.producer({ ...asText, acks: 1 });
  expect((await leader.send({ topic: 'events', value: 'a' })).offset).toBe(0);
  const nobody = client.producer({ ...asText, acks: 0 });
  expect((await nobody.send({ topic: 'events', value: 'b' })).offset).toBe(-1);
  const consumer = client.consumer({ ...text, assignment: [{ topic: 'events' }], from: 'earliest' });
  const values: (string | null)[] = [];
  while (values.length < 2) values.push(...(await consumer.poll()).map(({ value }) => value));
  expect(values).toEqual(['a', 'b']);
});

test('MessagePack values', async () => {
  const { client } = await startPair();
  await client.admin().createTopic({ name: 'events', partitions: 1 });
  const serializer = messagePackSerializer<{ id: number; tags: string[] }>();
  await client.producer({ valueSerializer: serializer }).send({ topic: 'events', value: { id: 7, tags: ['x'] } });
  const consumer = client.consumer({
    assignment: [{ topic: 'events' }],
    from: 'earliest',
    valueDeserializer: serializer,
  });
  expect((await consumer.poll())[0]?.value).toEqual({ id: 7, tags: ['x'] });
});

test('a topic that is deleted under a producer fails its records instead of keeping them for minutes', async () => {
  const { client } = await startPair({ autoCreateTopics: false } as Partial<BrokerOptions>);
  const admin = client.admin();
  await admin.createTopic({ name: 'events', partitions: 1 });
  const producer = client.producer({ ...asText, retryBackoff: { initialMs: 5, maxMs: 10 } });
  await producer.send({ topic: 'events', value: 'a' });
  await admin.deleteTopic('events');
  expect((await errorOf(producer.send({ topic: 'events', value: 'b' }))).code).toBe('UNKNOWN_TOPIC_OR_PARTITION');
});

test('a wrong address is named, with what to check', async () => {
  const broker = await startBroker({ storage: 'memory' });
  const address = broker.addresses.native!;
  await broker.close();
  const error = await errorOf(connect(address));
  expect(error.code).toBe('CONNECTION_FAILED');
  expect(error.message).toContain(address);
  for (const bad of ['http://localhost:7420', '', 'ws://', 'not an address']) {
    expect((await errorOf(connect(bad))).code).toBe('INVALID_ARGUMENT');
  }
  expect((await errorOf(connect([]))).code).toBe('INVALID_ARGUMENT');
});

test('connectWaitMs waits for a broker that is still starting', async () => {
  const first = await startBroker({ storage: 'memory' });
  const port = first.ports.native!;
  const address = first.addresses.native!;
  await first.close();
  const connecting = connect(address, { connectWaitMs: 20_000, reconnectBackoff: { initialMs: 5, maxMs: 20 } });
  const broker = await startBroker({ storage: 'memory', port });
  onTestFinished(() => broker.close());
  const client = await connecting;
  onTestFinished(() => client.close());
  expect(client.clusterId).toBe(broker.service.clusterId);
});

test('a broker that restarts in the midst of producing and consuming loses and repeats nothing', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'burrow-sdk-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  let broker = await startBroker({ storage: folder });
  onTestFinished(() => broker.close());
  const port = broker.ports.native!;
  const client = await connectTo(broker.addresses.native!);
  await client.admin().createTopic({ name: 'events', partitions: 3 });
  const producer = client.producer({ ...asText, batchBytes: 2000, retryBackoff: { initialMs: 5, maxMs: 50 } });
  const consumer = client.consumer({ ...text, assignment: [{ topic: 'events' }], from: 'earliest', waitMs: 100 });

  const sent: Promise<unknown>[] = [];
  let next = 0;
  let producing = true;
  const produce = async () => {
    while (producing) {
      const records = Array.from({ length: 20 }, () => {
        next += 1;
        return { topic: 'events', key: `${next % 7}`, value: `${next}` };
      });
      sent.push(producer.sendMany(records));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  const seen = new Map<string, number[]>();
  let seenCount = 0;
  const consumed = (async () => {
    for await (const { key, value } of consumer) {
      const numbers = seen.get(key!) ?? [];
      numbers.push(Number(value));
      seen.set(key!, numbers);
      seenCount += 1;
    }
  })();
  const producingDone = produce();
  for (let restart = 0; restart < 3; restart += 1) {
    const before = seenCount;
    while (seenCount < before + 500) await new Promise((resolve) => setTimeout(resolve, 5));
    await broker.close();
    broker = await startBroker({ storage: folder, port });
  }
  producing = false;
  await producingDone;
  await Promise.all(sent);
  while (seenCount < next) await new Promise((resolve) => setTimeout(resolve, 5));
  await consumer.close();
  await consumed;
  expect(seenCount).toBe(next);
  const all = [...seen.values()].flat();
  expect(new Set(all).size).toBe(next);
  for (const numbers of seen.values()) expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
}, 60_000);

test('close in the midst of everything is quick and leaves typed errors only', async () => {
  const { broker, client } = await startPair();
  await client.admin().createTopic({ name: 'events', partitions: 1 });
  const producer = client.producer({ ...asText, lingerMs: 60_000 });
  const consumer = client.consumer({ ...text, assignment: [{ topic: 'events' }], waitMs: 60_000 });
  const polling = consumer.poll({ timeoutMs: 60_000 });
  const sending = producer.send({ topic: 'events', value: 'a' });
  await Promise.all([client.close(), client.close()]);
  expect((await sending).offset).toBe(0);
  expect(await polling).toEqual([]);
  expect(() => client.producer()).toThrow(BurrowError);
  expect((await errorOf(producer.send({ topic: 'events', value: 'b' }))).code).toBe('CLIENT_CLOSED');

  const other = await connectTo(broker.addresses.native!);
  const stuck = other.producer(asText);
  await stuck.send({ topic: 'events', value: 'c' });
  await broker.close();
  const lost = errorOf(stuck.send({ topic: 'events', value: 'd' }));
  await other.close({ timeoutMs: 50 });
  expect((await lost).code).toBe('CLIENT_CLOSED');
});
