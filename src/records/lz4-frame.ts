/**
 * How large an LZ4 frame gets, found without decompressing it, since the decompressor takes no limit.
 *
 *     frame = magic 0x184D2204, FLG, BD, content size uint64 (if FLG bit 3), dictionary id (if bit 0), header checksum,
 *             blocks …, end mark 0 uint32, content checksum uint32 (if FLG bit 2)           all little-endian
 *     block = size uint32 (bit 31: stored as it is), data, checksum uint32 (if FLG bit 4)
 *     data  = sequences: token, [more literal length], literals, offset uint16, [more match length]
 *
 * (LZ4 frame format 1.6, LZ4 block format.) Kafka knows one frame a batch, and no dictionaries. Whether offsets and
 * checksums are right is left to the decompressor.
 */
import { BurrowError } from '../errors/burrow-error.ts';

const MAGIC = 0x184d2204;
const VERSION_MASK = 0xc0;
const VERSION_1 = 0x40;
const BLOCK_CHECKSUM_FLAG = 0x10;
const CONTENT_SIZE_FLAG = 0x08;
const CONTENT_CHECKSUM_FLAG = 0x04;
const DICTIONARY_FLAG = 0x01;
const STORED_FLAG = 0x8000_0000;

/** Block sizes by their number in BD; 0 to 3 are not defined. */
const BLOCK_BYTES_MAX = [0, 0, 0, 0, 64 * 1024, 256 * 1024, 1024 * 1024, 4 * 1024 * 1024];

/**
 * At least the size of the frame's content. Throws DECOMPRESSION_LIMIT if that is more than `bytesMax` (then it has been
 * counted exactly), CORRUPT_BATCH if the bytes are no frame that fills them.
 */
export function lz4ContentBytes(bytes: Uint8Array, bytesMax: number): number {
  let position = checkFrameHeader(bytes);
  const flags = bytes[4]!;
  const blockBytesMax = BLOCK_BYTES_MAX[(bytes[5]! >> 4) & 7]!;
  const checksumBytes = (flags & BLOCK_CHECKSUM_FLAG) !== 0 ? 4 : 0;
  const firstBlock = position;
  let bound = 0;
  for (;;) {
    if (position + 4 > bytes.length) throw damaged();
    const header = readUint32(bytes, position);
    position += 4;
    if (header === 0) break;
    const blockBytes = header % STORED_FLAG;
    if (blockBytes > blockBytesMax || blockBytes + checksumBytes > bytes.length - position) throw damaged();
    bound += header >= STORED_FLAG ? blockBytes : blockBytesMax;
    position += blockBytes + checksumBytes;
  }
  if ((flags & CONTENT_CHECKSUM_FLAG) !== 0) position += 4;
  if (position !== bytes.length) throw damaged();
  // Nearly always the sizes of the blocks settle it. Only if they could be too much, their sequences are counted.
  return bound <= bytesMax ? bound : countBlocks(bytes, firstBlock, checksumBytes, bytesMax);
}

/** The position of the first block. */
function checkFrameHeader(bytes: Uint8Array): number {
  if (bytes.length < 7 || readUint32(bytes, 0) !== MAGIC) throw damaged();
  const flags = bytes[4]!;
  if ((flags & VERSION_MASK) !== VERSION_1 || (flags & DICTIONARY_FLAG) !== 0) throw damaged();
  if (BLOCK_BYTES_MAX[(bytes[5]! >> 4) & 7] === 0) throw damaged();
  return (flags & CONTENT_SIZE_FLAG) === 0 ? 7 : 15;
}

function countBlocks(bytes: Uint8Array, position: number, checksumBytes: number, bytesMax: number): number {
  let contentBytes = 0;
  for (;;) {
    const header = readUint32(bytes, position);
    position += 4;
    if (header === 0) return contentBytes;
    const blockBytes = header % STORED_FLAG;
    contentBytes += header >= STORED_FLAG ? blockBytes : blockContentBytes(bytes, position, position + blockBytes);
    position += blockBytes + checksumBytes;
    if (contentBytes > bytesMax) {
      throw new BurrowError(
        'DECOMPRESSION_LIMIT',
        `The batch decompresses from ${bytes.length} to more than ${bytesMax} bytes, which is the limit.`,
      );
    }
  }
}

/** What the sequences of a compressed block make. */
function blockContentBytes(bytes: Uint8Array, start: number, end: number): number {
  let position = start;
  let contentBytes = 0;
  while (position < end) {
    const token = bytes[position++]!;
    let literals = token >> 4;
    if (literals === 15) {
      let more = 255;
      while (more === 255 && position < end) {
        more = bytes[position++]!;
        literals += more;
      }
    }
    contentBytes += literals;
    position += literals;
    // The last sequence ends behind its literals.
    if (position >= end) break;
    position += 2;
    let match = (token & 15) + 4;
    if (match === 19) {
      let more = 255;
      while (more === 255 && position < end) {
        more = bytes[position++]!;
        match += more;
      }
    }
    contentBytes += match;
  }
  if (position !== end) throw damaged();
  return contentBytes;
}

function readUint32(bytes: Uint8Array, position: number): number {
  return (
    (bytes[position]! | (bytes[position + 1]! << 8) | (bytes[position + 2]! << 16) | (bytes[position + 3]! << 24)) >>> 0
  );
}

function damaged(): BurrowError {
  return new BurrowError('CORRUPT_BATCH', 'The lz4 data of the batch is damaged: it is not one whole LZ4 frame.');
}
