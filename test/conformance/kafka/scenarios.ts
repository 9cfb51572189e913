/**
 * What every Kafka client must be able to do with this broker. One list, run with each client's adapter; kafkajs is the
 * other side where two clients meet.
 */
import { createRequire } from 'node:module';
import { expect } from 'vitest';
import { KAFKA } from '../../support/kafka-apis.ts';
import type { KafkaTarget } from '../../support/kafka-target.ts';
import { KafkaTestClient } from '../../support/kafka-test-client.ts';
import { type ClientAdapter, CODECS, type ConsumedMessage, type Message } from './client-adapter.ts';
import { kafkajsAdapter } from './clients/kafkajs.ts';
import { nativeSdkAdapter } from './clients/native-sdk.ts';

export interface Scenario {
  readonly name: string;
  run(client: ClientAdapter, target: KafkaTarget): Promise<void>;
}

const murmur2: (key: Buffer) => number = createRequire(import.meta.url)(
  'kafkajs/src/producer/partitioners/default/murmur2',
);
const PARTITIONS = 4;
const ATTRIBUTES_POSITION = 21;
const PRODUCER_ID_POSITION = 43;

let topics = 0;

/** A topic of its own for each scenario. */
async function createTopic(target: KafkaTarget, label: string): Promise<string> {
  const name = `${label}-${++topics}`;
  await withClient(target, async (client) => {
    const topic = { name, numPartitions: PARTITIONS, replicationFactor: -1, assignments: [], configs: [] };
    const response = await client.call(KAFKA.createTopics, 7, { topics: [topic] });
    expect(response.topics[0]!.errorCode).toBe(0);
  });
  return name;
}

async function withClient<T>(target: KafkaTarget, use: (client: KafkaTestClient) => Promise<T>): Promise<T> {
  const client = await KafkaTestClient.connect(target.port, target.host);
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

/** The record batches of a partition, as the broker gives them. */
async function fetchBatches(target: KafkaTarget, topic: string, partition: number): Promise<Buffer[]> {
  const asked = { partition, fetchOffset: 0, partitionMaxBytes: 1 << 24, replicaDirectoryId: Buffer.alloc(16) };
  const request = { maxWaitMs: 0, minBytes: 1, topics: [{ topic, topicId: Buffer.alloc(16), partitions: [asked] }] };
  const response = await withClient(target, (client) => client.call(KAFKA.fetch, 11, request));
  const records = Buffer.concat(response.responses[0]!.partitions[0]!.records!);
  const batches: Buffer[] = [];
  for (let at = 0; at < records.length; ) {
    const end = at + 12 + records.readInt32BE(at + 8);
    batches.push(records.subarray(at, end));
    at = end;
  }
  return batches;
}

const LONG = 'long enough that compressing it pays. '.repeat(40);

/** Keys, headers, nulls and text beyond ASCII; long enough that every client really compresses. */
const MESSAGES: readonly Message[] = [
  { key: 'plain', value: `value ${LONG}`, headers: [] },
  { key: null, value: `no key ${LONG}`, headers: [] },
  { key: 'tombstone', value: null, headers: [] },
  { key: 'schlüssel-钥匙', value: `größe 😀 ${LONG}`, headers: [] },
  {
    key: 'headers',
    value: LONG,
    headers: [
      ['trace', 'abc123'],
      ['größe', '5 µm'],
      ['empty', ''],
    ],
  },
  { key: 'big', value: 'x'.repeat(100_000), headers: [['trace', 'abc124']] },
];

function expectMessages(found: readonly ConsumedMessage[], sent: readonly Message[]): void {
  const content = ({ key, value, headers }: Message) => ({ key, value, headers: headers.map((header) => [...header]) });
  expect(found.map(content)).toEqual(sent.map(content));
  expect(found.map(({ offset }) => offset)).toEqual(sent.map((_, index) => index));
}

const CODEC_SCENARIOS: readonly Scenario[] = CODECS.map((codec, number) => ({
  name: `produces with codec ${codec}, which is really used, and everyone reads it back`,
  async run(client, target) {
    const topic = await createTopic(target, `codec-${codec}`);
    await client.produce(target, { topic, partition: 1, codec, messages: MESSAGES });
    expectMessages(await client.consume(target, topic, 1, 0), MESSAGES);
    expectMessages(await kafkajsAdapter.consume(target, topic, 1, 0), MESSAGES);
    const batches = await fetchBatches(target, topic, 1);
    const used = batches.map((batch) => batch.readInt16BE(ATTRIBUTES_POSITION) & 7);
    // librdkafka leaves a batch uncompressed that would grow: here, one that holds nothing but a short key.
    expect(new Set(used.filter((codecNumber, index) => codecNumber !== 0 || batches[index]!.length > 200))).toEqual(
      new Set([number]),
    );
  },
}));

export const SCENARIOS: readonly Scenario[] = [
  ...CODEC_SCENARIOS,
  {
    name: 'reads what another client produced, with every codec',
    async run(client, target) {
      const topic = await createTopic(target, 'foreign');
      for (const codec of CODECS)
        await kafkajsAdapter.produce(target, { topic, partition: 0, codec, messages: MESSAGES });
      const found = await client.consume(target, topic, 0, 0);
      expectMessages(
        found,
        CODECS.flatMap(() => MESSAGES),
      );
    },
  },
  {
    name: 'meets the native SDK in both directions, with every codec',
    async run(client, target) {
      const topic = await createTopic(target, 'native');
      for (const codec of CODECS) {
        await client.produce(target, { topic, partition: 0, codec, messages: MESSAGES });
        await nativeSdkAdapter.produce(target, { topic, partition: 1, codec, messages: MESSAGES });
      }
      const all = CODECS.flatMap(() => MESSAGES);
      expectMessages(await nativeSdkAdapter.consume(target, topic, 0, 0), all);
      expectMessages(await client.consume(target, topic, 1, 0), all);
    },
  },
  {
    name: 'keeps the timestamps of the producer, or sets its own',
    async run(client, target) {
      const topic = await createTopic(target, 'time');
      const before = Date.now();
      const times = [1_500_000_000_000, 1_600_000_000_123];
      const stamped = times.map((timestampMs) => ({ key: 'k', value: 'v', headers: [], timestampMs }));
      const messages = client.timestamps ? stamped : [{ key: 'k', value: 'v', headers: [] }];
      await client.produce(target, { topic, partition: 0, messages });
      const found = (await client.consume(target, topic, 0, 0)).map(({ timestampMs }) => timestampMs);
      const other = (await kafkajsAdapter.consume(target, topic, 0, 0)).map(({ timestampMs }) => timestampMs);
      expect(found).toEqual(other);
      if (client.timestamps) expect(found).toEqual(times);
      else for (const time of found) expect(time).toBeGreaterThanOrEqual(before);
    },
  },
  {
    name: 'finds an offset by its time',
    async run(client, target) {
      if (client.offsetForTime === undefined) return;
      const topic = await createTopic(target, 'find');
      for (const timestampMs of [1_000_000, 2_000_000, 3_000_000]) {
        const message = { key: null, value: 'v', headers: [], timestampMs };
        await kafkajsAdapter.produce(target, { topic, partition: 2, messages: [message] });
      }
      expect(await client.offsetForTime(target, topic, 2, 1_000_000)).toBe(0);
      expect(await client.offsetForTime(target, topic, 2, 1_500_000)).toBe(1);
      expect(await client.offsetForTime(target, topic, 2, 3_000_000)).toBe(2);
    },
  },
  {
    name: 'starts at the offset it asks for, also within a batch',
    async run(client, target) {
      const topic = await createTopic(target, 'seek');
      const messages = Array.from({ length: 20 }, (_, index) => ({ key: null, value: `v${index}`, headers: [] }));
      await kafkajsAdapter.produce(target, { topic, partition: 0, codec: 'gzip', messages });
      const found = await client.consume(target, topic, 0, 13);
      expect(found.map(({ offset, value }) => [offset, value])).toEqual(
        Array.from({ length: 7 }, (_, index) => [13 + index, `v${13 + index}`]),
      );
    },
  },
  {
    name: 'puts each key in the partition that murmur2 says',
    async run(client, target) {
      const topic = await createTopic(target, 'keys');
      const keys = ['a', 'order-1', 'order-2', 'schlüssel', '钥匙', '0', 'x'.repeat(100), 'user@example.org'];
      const messages = keys.map((key) => ({ key, value: key, headers: [] }));
      await client.produce(target, { topic, messages });
      const placed = new Map<string | null, number>();
      for (let partition = 0; partition < PARTITIONS; partition++) {
        for (const { key } of await kafkajsAdapter.consume(target, topic, partition, 0)) placed.set(key, partition);
      }
      const expected = keys.map((key) => [key, (murmur2(Buffer.from(key)) & 0x7fff_ffff) % PARTITIONS] as const);
      expect(new Map(placed)).toEqual(new Map(expected));
    },
  },
  {
    name: 'produces idempotently, with a producer id of its own',
    async run(client, target) {
      const topic = await createTopic(target, 'idempotent');
      const messages = Array.from({ length: 50 }, (_, index) => ({ key: null, value: `v${index}`, headers: [] }));
      for (let round = 0; round < 2; round++) {
        await client.produce(target, { topic, partition: 3, idempotent: true, messages });
      }
      const found = await client.consume(target, topic, 3, 0);
      expect(found.map(({ value }) => value)).toEqual([...messages, ...messages].map(({ value }) => value));
      const batches = await fetchBatches(target, topic, 3);
      const producerIds = new Set(batches.map((batch) => batch.readBigInt64BE(PRODUCER_ID_POSITION)));
      expect(producerIds.size).toBe(2);
      expect(producerIds.has(-1n)).toBe(false);
    },
  },
  {
    name: 'creates the topic that it produces to',
    async run(client, target) {
      const topic = `on-demand-${++topics}`;
      await client.produce(target, { topic, partition: 0, messages: MESSAGES });
      expectMessages(await client.consume(target, topic, 0, 0), MESSAGES);
    },
  },
];
