/**
 * The header of a record batch v2 (Kafka's DefaultRecordBatch, magic 2), read and stamped in place.
 *
 *      0        8        12       16  17     21    23       27       35       43       51    53       57       61
 *      | base   | batch  | leader | m | crc  | at- | last   | base   | max    | prod-  | ep- | base   | re-    | records …
 *      | offset | length | epoch  | a |      | tri-| offset | time-  | time-  | ucer   | och | se-    | cords  |
 *      |        |        |        | g |      | but.| delta  | stamp  | stamp  | id     |     | quence | count  |
 *      | int64  | int32  | int32  | 1 |uint32| i16 | int32  | int64  | int64  | int64  | i16 | int32  | int32  |
 *                                            |<—————————————————— covered by the CRC-32C —————————————————————— …|
 *
 * batchLength counts the bytes behind itself. Attributes: bits 0–2 compression codec, 3 timestamp type (1: log append
 * time), 4 transactional, 5 control, 6 delete horizon (baseTimestamp holds it, KIP-534); the rest is unused.
 *
 * All functions take the batch as (bytes, position of its first byte) and check nothing: `check-batch.ts` is the gate,
 * behind which all int64 here are known to be safe integers. Per batch: nothing is allocated.
 */
import { readInt16, readInt32, readInt64, writeInt16, writeInt32, writeInt64 } from '../bytes/big-endian.ts';
import { crc32c } from '../bytes/crc32c.ts';

/** Positions of the fields in the header, and its size. */
const BASE_OFFSET_POSITION = 0;
export const BATCH_LENGTH_POSITION = 8;
const PARTITION_LEADER_EPOCH_POSITION = 12;
export const MAGIC_POSITION = 16;
export const CRC_POSITION = 17;
/** Also the first byte that the CRC covers: what lies before may be stamped in place. */
export const ATTRIBUTES_POSITION = 21;
export const LAST_OFFSET_DELTA_POSITION = 23;
const BASE_TIMESTAMP_POSITION = 27;
export const MAX_TIMESTAMP_POSITION = 35;
export const PRODUCER_ID_POSITION = 43;
export const PRODUCER_EPOCH_POSITION = 51;
export const BASE_SEQUENCE_POSITION = 53;
export const RECORDS_COUNT_POSITION = 57;
export const BATCH_HEADER_BYTES = 61;
/** Bytes that batchLength does not count: baseOffset and batchLength itself. */
export const BATCH_LENGTH_OVERHEAD = 12;

export const MAGIC_V2 = 2;

export const CODEC_MASK = 0x07;
export const LOG_APPEND_TIME_FLAG = 0x08;
export const TRANSACTIONAL_FLAG = 0x10;
export const CONTROL_FLAG = 0x20;
export const DELETE_HORIZON_FLAG = 0x40;

/** Marks "none" for producer ids, epochs, sequences and timestamps. */
export const NONE = -1;

/** Compression codecs in the order of their numbers in the attributes. */
export const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const;
export type Codec = (typeof CODECS)[number];

/** The number of a codec in the attributes. */
export function codecNumber(codec: Codec): number {
  return CODECS.indexOf(codec);
}

export function getBaseOffset(bytes: Uint8Array, position: number): number {
  return readInt64(bytes, position + BASE_OFFSET_POSITION);
}

/** The whole batch, header included. */
export function getBatchBytes(bytes: Uint8Array, position: number): number {
  return BATCH_LENGTH_OVERHEAD + readInt32(bytes, position + BATCH_LENGTH_POSITION);
}

export function getPartitionLeaderEpoch(bytes: Uint8Array, position: number): number {
  return readInt32(bytes, position + PARTITION_LEADER_EPOCH_POSITION);
}

export function getMagic(bytes: Uint8Array, position: number): number {
  return (bytes[position + MAGIC_POSITION]! << 24) >> 24;
}

/** The stored CRC, unsigned. */
export function getCrc(bytes: Uint8Array, position: number): number {
  return readInt32(bytes, position + CRC_POSITION) >>> 0;
}

/** The CRC that the bytes have, unsigned. */
export function computeCrc(bytes: Uint8Array, position: number): number {
  return crc32c(bytes, position + ATTRIBUTES_POSITION, position + getBatchBytes(bytes, position));
}

export function getAttributes(bytes: Uint8Array, position: number): number {
  return readInt16(bytes, position + ATTRIBUTES_POSITION);
}

/** The codec, or undefined for a number that stands for none. */
export function getCodec(bytes: Uint8Array, position: number): Codec | undefined {
  return CODECS[getAttributes(bytes, position) & CODEC_MASK];
}

/** Whether all records carry the broker's time of append (maxTimestamp) instead of their own. */
export function isLogAppendTime(bytes: Uint8Array, position: number): boolean {
  return (getAttributes(bytes, position) & LOG_APPEND_TIME_FLAG) !== 0;
}

export function isTransactional(bytes: Uint8Array, position: number): boolean {
  return (getAttributes(bytes, position) & TRANSACTIONAL_FLAG) !== 0;
}

/** Whether the batch holds a commit or abort marker instead of a client's records. */
export function isControl(bytes: Uint8Array, position: number): boolean {
  return (getAttributes(bytes, position) & CONTROL_FLAG) !== 0;
}

/** Whether baseTimestamp is the time after which tombstones and markers in this batch may go. */
export function hasDeleteHorizon(bytes: Uint8Array, position: number): boolean {
  return (getAttributes(bytes, position) & DELETE_HORIZON_FLAG) !== 0;
}

export function getLastOffsetDelta(bytes: Uint8Array, position: number): number {
  return readInt32(bytes, position + LAST_OFFSET_DELTA_POSITION);
}

/** The offset behind the batch. */
export function getNextOffset(bytes: Uint8Array, position: number): number {
  return getBaseOffset(bytes, position) + getLastOffsetDelta(bytes, position) + 1;
}

export function getBaseTimestamp(bytes: Uint8Array, position: number): number {
  return readInt64(bytes, position + BASE_TIMESTAMP_POSITION);
}

export function getMaxTimestamp(bytes: Uint8Array, position: number): number {
  return readInt64(bytes, position + MAX_TIMESTAMP_POSITION);
}

/** -1 if the producer is not idempotent. */
export function getProducerId(bytes: Uint8Array, position: number): number {
  return readInt64(bytes, position + PRODUCER_ID_POSITION);
}

export function getProducerEpoch(bytes: Uint8Array, position: number): number {
  return readInt16(bytes, position + PRODUCER_EPOCH_POSITION);
}

/** Meaningless unless the batch has a producer id: kafkajs writes 0 then, others -1. */
export function getBaseSequence(bytes: Uint8Array, position: number): number {
  return readInt32(bytes, position + BASE_SEQUENCE_POSITION);
}

/** The sequence of the batch's last record; -1 if the batch carries none. */
export function getLastSequence(bytes: Uint8Array, position: number): number {
  const baseSequence = getBaseSequence(bytes, position);
  return baseSequence < 0 ? NONE : addToSequence(baseSequence, getLastOffsetDelta(bytes, position));
}

/** Sequences go on at 0 behind 2^31 - 1. */
export function addToSequence(sequence: number, increment: number): number {
  return (sequence + increment) % 0x8000_0000;
}

export function getRecordsCount(bytes: Uint8Array, position: number): number {
  return readInt32(bytes, position + RECORDS_COUNT_POSITION);
}

export function setBaseOffset(bytes: Uint8Array, position: number, baseOffset: number): void {
  writeInt64(bytes, position + BASE_OFFSET_POSITION, baseOffset);
}

export function setPartitionLeaderEpoch(bytes: Uint8Array, position: number, leaderEpoch: number): void {
  writeInt32(bytes, position + PARTITION_LEADER_EPOCH_POSITION, leaderEpoch);
}

/** Gives all records the broker's time of append. With a new CRC. */
export function setLogAppendTime(bytes: Uint8Array, position: number, timestampMs: number): void {
  writeInt16(bytes, position + ATTRIBUTES_POSITION, getAttributes(bytes, position) | LOG_APPEND_TIME_FLAG);
  writeInt64(bytes, position + MAX_TIMESTAMP_POSITION, timestampMs);
  resealBatch(bytes, position);
}

/** Gives the batch its producer and the sequence of its first record, for a sender who knows them late; with a new CRC. */
export function setProducer(
  bytes: Uint8Array,
  position: number,
  producer: { readonly producerId: number; readonly producerEpoch: number; readonly baseSequence: number },
): void {
  writeInt64(bytes, position + PRODUCER_ID_POSITION, producer.producerId);
  writeInt16(bytes, position + PRODUCER_EPOCH_POSITION, producer.producerEpoch);
  writeInt32(bytes, position + BASE_SEQUENCE_POSITION, producer.baseSequence);
  resealBatch(bytes, position);
}

/** Writes the CRC that the bytes have now. */
export function resealBatch(bytes: Uint8Array, position: number): void {
  writeInt32(bytes, position + CRC_POSITION, computeCrc(bytes, position));
}

/** What a batch header says beside its sizes and CRC. */
interface BatchHeaderFields {
  readonly baseOffset: number;
  readonly partitionLeaderEpoch: number;
  readonly attributes: number;
  readonly lastOffsetDelta: number;
  readonly baseTimestamp: number;
  readonly maxTimestamp: number;
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly recordsCount: number;
}

/** Writes the header of a batch whose records already stand behind it, with the CRC over `bytes[position + 21, end)`. */
export function writeBatchHeader(bytes: Uint8Array, position: number, end: number, fields: BatchHeaderFields): void {
  writeInt64(bytes, position + BASE_OFFSET_POSITION, fields.baseOffset);
  writeInt32(bytes, position + BATCH_LENGTH_POSITION, end - position - BATCH_LENGTH_OVERHEAD);
  writeInt32(bytes, position + PARTITION_LEADER_EPOCH_POSITION, fields.partitionLeaderEpoch);
  bytes[position + MAGIC_POSITION] = MAGIC_V2;
  writeInt16(bytes, position + ATTRIBUTES_POSITION, fields.attributes);
  writeInt32(bytes, position + LAST_OFFSET_DELTA_POSITION, fields.lastOffsetDelta);
  writeInt64(bytes, position + BASE_TIMESTAMP_POSITION, fields.baseTimestamp);
  writeInt64(bytes, position + MAX_TIMESTAMP_POSITION, fields.maxTimestamp);
  writeInt64(bytes, position + PRODUCER_ID_POSITION, fields.producerId);
  writeInt16(bytes, position + PRODUCER_EPOCH_POSITION, fields.producerEpoch);
  writeInt32(bytes, position + BASE_SEQUENCE_POSITION, fields.baseSequence);
  writeInt32(bytes, position + RECORDS_COUNT_POSITION, fields.recordsCount);
  writeInt32(bytes, position + CRC_POSITION, crc32c(bytes, position + ATTRIBUTES_POSITION, end));
}
