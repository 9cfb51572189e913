/** kafkajs's own codec, reached inside its package: a foreign encoder and decoder that can run on generated records. */
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

interface Encoder {
  readonly buffer: Buffer;
}

export interface KafkajsBatchOptions {
  compression: number;
  firstOffset: number;
  firstTimestamp: number;
  maxTimestamp: number;
  partitionLeaderEpoch: number;
  lastOffsetDelta: number;
  transactional: boolean;
  producerId: number;
  producerEpoch: number;
  firstSequence: number;
  records: Encoder[];
}

export interface KafkajsRecord {
  offsetDelta: number;
  timestampDelta: number;
  key: Buffer | null;
  value: Buffer | null;
  headers: Record<string, Buffer | Buffer[]>;
}

const kafkajs = require('kafkajs') as {
  CompressionTypes: { Snappy: number };
  CompressionCodecs: Record<number, unknown>;
};
kafkajs.CompressionCodecs[kafkajs.CompressionTypes.Snappy] = require('kafkajs-snappy');

const { RecordBatch } = require('kafkajs/src/protocol/recordBatch/v0') as {
  RecordBatch: (options: KafkajsBatchOptions) => Promise<Encoder>;
};
const Record = require('kafkajs/src/protocol/recordBatch/record/v0') as (record: KafkajsRecord) => Encoder;
const decodeBatch = require('kafkajs/src/protocol/recordBatch/v0/decoder') as (decoder: object) => Promise<{
  firstOffset: string;
  attributes: number;
  lastOffsetDelta: number;
  producerId: string;
  records: Array<{
    offset: string;
    timestamp: string;
    key: Buffer | null;
    value: Buffer | null;
    headers: Record<string, Buffer | Buffer[]>;
  }>;
}>;
const Decoder = require('kafkajs/src/protocol/decoder') as new (bytes: Buffer) => object;

export const kafkajsMurmur2 = require('kafkajs/src/producer/partitioners/default/murmur2') as (key: Buffer) => number;

export async function encodeWithKafkajs(
  options: Omit<KafkajsBatchOptions, 'records'>,
  records: KafkajsRecord[],
): Promise<Buffer> {
  const { buffer } = await RecordBatch({ ...options, records: records.map((record) => Record(record)) });
  return buffer;
}

export function decodeWithKafkajs(bytes: Uint8Array): ReturnType<typeof decodeBatch> {
  return decodeBatch(new Decoder(Buffer.from(bytes)));
}
