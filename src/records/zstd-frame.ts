/**
 * Finds the frames in zstd data and bounds what they decompress to, without decompressing (RFC 8878).
 *
 *     frame = magic 0xFD2FB528, descriptor, window (unless single segment), dictionary id, content size,
 *             blocks …, checksum uint32 (if descriptor bit 2)                                all little-endian
 *     block = header uint24: bit 0 last, bits 1–2 type (0 raw, 1 one repeated byte, 2 compressed), then size; data
 *
 * For decompressors that want to know how much memory to bring: streaming encoders, zstd-jni of Kafka's Java clients
 * among them, write no content size. Kafka knows no dictionaries, and skippable frames do not occur: both are refused.
 */
import { BurrowError } from '../errors/burrow-error.ts';

const MAGIC_BYTES = [0x28, 0xb5, 0x2f, 0xfd];
const BLOCK_BYTES_MAX = 128 * 1024;
const BLOCK_RAW = 0;
const BLOCK_REPEATED = 1;
const BLOCK_RESERVED = 3;

export interface ZstdFrame {
  /** The position behind the frame. */
  readonly end: number;
  /** Size of the content as the frame states it, or -1. Not larger than `contentBytesBound`. */
  readonly contentBytes: number;
  /** The blocks cannot make more than this. */
  readonly contentBytesBound: number;
}

/** The frame at `start`; CORRUPT_BATCH if there is none or it does not end within `bytes`. */
export function zstdFrame(bytes: Uint8Array, start: number): ZstdFrame {
  for (let index = 0; index < 4; index++) if (bytes[start + index] !== MAGIC_BYTES[index]) throw damaged();
  const descriptor = bytes[start + 4] ?? 0x08;
  const singleSegment = (descriptor & 0x20) !== 0;
  const hasDictionaryOrReservedBit = (descriptor & 0x0b) !== 0;
  if (hasDictionaryOrReservedBit) throw damaged();
  const sizeFlag = descriptor >> 6;
  const sizeBytes = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << sizeFlag;
  let position = start + 5;
  if (!singleSegment) position += 1;
  const contentBytes = sizeBytes === 0 ? -1 : littleEndian(bytes, position, sizeBytes) + (sizeBytes === 2 ? 256 : 0);
  position += sizeBytes;

  let contentBytesBound = 0;
  for (let last = false; !last; ) {
    const header = littleEndian(bytes, position, 3);
    position += 3;
    last = (header & 1) === 1;
    const type = (header >> 1) & 3;
    const size = header >> 3;
    if (type === BLOCK_RESERVED || size > BLOCK_BYTES_MAX) throw damaged();
    contentBytesBound += type === BLOCK_RAW || type === BLOCK_REPEATED ? size : BLOCK_BYTES_MAX;
    position += type === BLOCK_REPEATED ? 1 : size;
  }
  if ((descriptor & 0x04) !== 0) position += 4;
  if (position > bytes.length || contentBytes > contentBytesBound) throw damaged();
  return { end: position, contentBytes, contentBytesBound };
}

/** An unsigned integer of `count` bytes. Rounded above 2^53, which no frame can fill. */
function littleEndian(bytes: Uint8Array, position: number, count: number): number {
  if (position + count > bytes.length) throw damaged();
  let value = 0;
  for (let index = count - 1; index >= 0; index--) value = value * 256 + bytes[position + index]!;
  return value;
}

function damaged(): BurrowError {
  return new BurrowError('CORRUPT_BATCH', 'The zstd data of the batch is damaged: it is no row of whole zstd frames.');
}
