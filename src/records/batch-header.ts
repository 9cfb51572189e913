/**
 * Header of a Kafka record batch, magic 2. Functions on (bytes, position of the batch); nothing is checked here.
 *
 *      0 base offset int64        | 8 batch length int32 (of what follows) | 12 partition leader epoch int32
 *     16 magic int8               | 17 crc uint32 (of 21 to the end)       | 21 attributes int16
 *     23 last offset delta int32  | 27 base timestamp int64                | 35 max timestamp int64
 *     43 producer id int64        | 51 producer epoch int16                | 53 base sequence int32
 *     57 records count int32      | 61 records
 *
 * Base offset and leader epoch lie before the CRC's range, so a broker may stamp them in place.
 */
import { crc32c } from '../bytes/crc32c.ts';

export const BATCH_HEADER_BYTES = 61;
export const LOG_OVERHEAD_BYTES = 12;
export const CRC_START = 21;
const UINT32 = 0x1_0000_0000;

function int32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}
function uint32(bytes: Uint8Array, at: number): number {
  return int32(bytes, at) >>> 0;
}
function int64(bytes: Uint8Array, at: number): number {
  return int32(bytes, at) * UINT32 + uint32(bytes, at + 4);
}
function int16(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) >> 16) | bytes[at + 1]!;
}
function putInt32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
function putInt64(bytes: Uint8Array, at: number, value: number): void {
  putInt32(bytes, at, Math.floor(value / UINT32));
  putInt32(bytes, at + 4, value >>> 0);
}

export function baseOffset(bytes: Uint8Array, position: number): number {
  return int64(bytes, position);
}
export function batchBytes(bytes: Uint8Array, position: number): number {
  return LOG_OVERHEAD_BYTES + int32(bytes, position + 8);
}
export function partitionLeaderEpoch(bytes: Uint8Array, position: number): number {
  return int32(bytes, position + 12);
}
export function magic(bytes: Uint8Array, position: number): number {
  return bytes[position + 16]!;
}
export function crc(bytes: Uint8Array, position: number): number {
  return uint32(bytes, position + 17);
}
export function attributes(bytes: Uint8Array, position: number): number {
  return int16(bytes, position + 21);
}
export function lastOffsetDelta(bytes: Uint8Array, position: number): number {
  return int32(bytes, position + 23);
}
export function nextOffset(bytes: Uint8Array, position: number): number {
  return baseOffset(bytes, position) + lastOffsetDelta(bytes, position) + 1;
}
export function baseTimestamp(bytes: Uint8Array, position: number): number {
  return int64(bytes, position + 27);
}
export function maxTimestamp(bytes: Uint8Array, position: number): number {
  return int64(bytes, position + 35);
}
export function producerId(bytes: Uint8Array, position: number): number {
  return int64(bytes, position + 43);
}
export function producerEpoch(bytes: Uint8Array, position: number): number {
  return int16(bytes, position + 51);
}
export function baseSequence(bytes: Uint8Array, position: number): number {
  return int32(bytes, position + 53);
}
export function recordsCount(bytes: Uint8Array, position: number): number {
  return int32(bytes, position + 57);
}
export function setBaseOffset(bytes: Uint8Array, position: number, offset: number): void {
  putInt64(bytes, position, offset);
}
export function setPartitionLeaderEpoch(bytes: Uint8Array, position: number, epoch: number): void {
  putInt32(bytes, position + 12, epoch);
}
export function setLogAppendTime(bytes: Uint8Array, position: number, timestampMs: number): void {
  bytes[position + 22]! |= 0x08;
  putInt64(bytes, position + 35, timestampMs);
  putInt32(bytes, position + 17, crc32c(bytes, position + CRC_START, position + batchBytes(bytes, position)));
}
