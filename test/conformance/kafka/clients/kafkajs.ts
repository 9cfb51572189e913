/** kafkajs, in this process. Reads by assignment through its internal Broker class, since its consumer needs groups. */
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { CompressionTypes, Kafka, logLevel, Partitioners } from 'kafkajs';
import { compressFrame, decompressFrame } from 'lz4-napi';
import { compress, decompress } from '../../../../src/records/compression.ts';
import type { KafkaTarget } from '../../../support/kafka-target.ts';
import type { ClientAdapter, CodecName, ConsumedMessage, Message, ProduceOptions } from '../client-adapter.ts';

const require = createRequire(import.meta.url);
const { CompressionCodecs } = require('kafkajs');
const ConnectionPool = require('kafkajs/src/network/connectionPool');
const Broker = require('kafkajs/src/broker');
const { createLogger, LEVELS } = require('kafkajs/src/loggers');
const consoleLogger = require('kafkajs/src/loggers/console');

CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy');
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: (encoder: { buffer: Buffer }) => compressFrame(encoder.buffer),
  decompress: (buffer: Buffer) => decompressFrame(buffer),
});
// kafkajs has no zstd of its own. The WebAssembly module may be initialized once in a process, and the SDK does that.
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder: { buffer: Buffer }) => Buffer.from(await compress('zstd', encoder.buffer)),
  decompress: async (buffer: Buffer) => Buffer.from(await decompress('zstd', buffer, 64 * 1024 * 1024)),
});

const COMPRESSION: Readonly<Record<CodecName, CompressionTypes>> = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
};

export function kafkajsClient({ host, port }: KafkaTarget): Kafka {
  return new Kafka({
    clientId: 'conformance',
    brokers: [`${host}:${port}`],
    logLevel: logLevel.NOTHING,
    retry: { retries: 2 },
  });
}

function toKafkajs({ key, value, headers, timestampMs }: Message) {
  return {
    key,
    value,
    headers: Object.fromEntries(headers),
    ...(timestampMs === undefined ? {} : { timestamp: String(timestampMs) }),
  };
}

interface KafkajsRecord {
  readonly offset: string;
  readonly timestamp: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, Buffer>>;
  readonly isControlRecord?: boolean;
}

function fromKafkajs(partition: number, record: KafkajsRecord): ConsumedMessage {
  return {
    partition,
    offset: Number(record.offset),
    key: record.key === null ? null : record.key.toString(),
    value: record.value === null ? null : record.value.toString(),
    headers: Object.entries(record.headers).map(([name, value]) => [name, value.toString()] as const),
    timestampMs: Number(record.timestamp),
  };
}

export const kafkajsAdapter: ClientAdapter = {
  timestamps: true,
  async produce(target, { topic, partition, codec = 'none', idempotent = false, messages }: ProduceOptions) {
    const producer = kafkajsClient(target).producer({ idempotent, createPartitioner: Partitioners.DefaultPartitioner });
    await producer.connect();
    try {
      const compression = COMPRESSION[codec];
      const records = messages.map((message) => ({
        ...toKafkajs(message),
        ...(partition === undefined ? {} : { partition }),
      }));
      await producer.send({ topic, acks: -1, compression, messages: records });
    } finally {
      await producer.disconnect();
    }
  },
  async consume(target, topic, partition, fromOffset) {
    const broker = await connectBroker(target);
    try {
      const found: ConsumedMessage[] = [];
      for (let offset = fromOffset; ; ) {
        const topics = [{ topic, partitions: [{ partition, fetchOffset: String(offset), maxBytes: 1 << 20 }] }];
        const { responses } = await broker.fetch({ maxWaitTime: 50, minBytes: 1, maxBytes: 1 << 24, topics });
        const { messages, highWatermark } = responses[0].partitions[0];
        // A batch is given whole, also where the offset asked for lies within it.
        for (const record of messages as KafkajsRecord[]) {
          if (Number(record.offset) < offset) continue;
          found.push(fromKafkajs(partition, record));
          offset = Number(record.offset) + 1;
        }
        if (offset >= Number(highWatermark)) return found;
      }
    } finally {
      await broker.disconnect();
    }
  },
  async offsetForTime(target, topic, partition, timestampMs) {
    const admin = kafkajsClient(target).admin();
    await admin.connect();
    try {
      const offsets = await admin.fetchTopicOffsetsByTimestamp(topic, timestampMs);
      return Number(offsets.find((entry) => entry.partition === partition)!.offset);
    } finally {
      await admin.disconnect();
    }
  },
};

async function connectBroker({ host, port }: KafkaTarget) {
  const logger = createLogger({ level: LEVELS.NOTHING, logCreator: consoleLogger });
  const connectionPool = new ConnectionPool({
    host,
    port,
    clientId: 'conformance',
    logger,
    connectionTimeout: 5_000,
    requestTimeout: 10_000,
    enforceRequestTimeout: true,
    maxInFlightRequests: null,
    instrumentationEmitter: null,
    socketFactory: ({ onConnect }: { onConnect: () => void }) => connect({ host, port }, onConnect),
    sasl: null,
    retry: { retries: 1 },
  });
  const broker = new Broker({ connectionPool, logger, allowAutoTopicCreation: false });
  await broker.connect();
  return broker;
}
