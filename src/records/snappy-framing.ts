/**
 * The framing that xerial's snappy-java puts around snappy blocks, and with it Kafka's Java clients:
 *
 *     0x82 "SNAPPY" 0x00, version int32 = 1, compatible version int32 = 1, then blocks: length int32, snappy block
 *
 * librdkafka and others write a bare snappy block instead; both are read. Sizes come from the blocks' own headers, so a
 * bomb is refused before anything is allocated.
 */
import { readInt32, writeInt32 } from '../bytes/big-endian.ts';
import { ByteReader } from '../bytes/reader.ts';
import { BurrowError } from '../errors/burrow-error.ts';

const FRAMING_HEADER = Uint8Array.of(0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1);

/** As snappy-java cuts its input. */
const SNAPPY_BLOCK_BYTES = 32 * 1024;

/** A copy element makes at most 64 bytes out of 3; so nothing that snappy writes grows by more than this. */
const EXPANSION_MAX = 22;

interface SnappyBlocks {
  /** Views of the snappy blocks, in order. */
  readonly blocks: Uint8Array[];
  /** What all of them together decompress to, by their headers. */
  readonly contentBytes: number;
}

/** The snappy blocks in `bytes`, framed or bare. CORRUPT_BATCH if sizes do not fit, DECOMPRESSION_LIMIT over `bytesMax`. */
export function splitSnappy(bytes: Uint8Array, bytesMax: number): SnappyBlocks {
  const blocks: Uint8Array[] = [];
  if (!isFramed(bytes)) blocks.push(bytes);
  else {
    let position = FRAMING_HEADER.length;
    while (position < bytes.length) {
      const length = position + 4 <= bytes.length ? readInt32(bytes, position) : -1;
      position += 4;
      if (length < 0 || length > bytes.length - position) throw damaged();
      blocks.push(bytes.subarray(position, position + length));
      position += length;
    }
  }
  let contentBytes = 0;
  for (const block of blocks) {
    const reader = new ByteReader(block);
    const blockBytes = reader.uvarint();
    if (!reader.ok || blockBytes > block.length * EXPANSION_MAX) throw damaged();
    contentBytes += blockBytes;
  }
  if (contentBytes > bytesMax) {
    throw new BurrowError(
      'DECOMPRESSION_LIMIT',
      `The batch decompresses from ${bytes.length} to ${contentBytes} bytes; the limit is ${bytesMax}.`,
    );
  }
  return { blocks, contentBytes };
}

/** The 8 magic bytes decide, as in snappy-java; a bare block cannot start so, since its first elements would not fit. */
function isFramed(bytes: Uint8Array): boolean {
  if (bytes.length < FRAMING_HEADER.length) return false;
  for (let index = 0; index < 8; index++) if (bytes[index] !== FRAMING_HEADER[index]) return false;
  return true;
}

/** `bytes` in pieces as snappy-java would compress them. */
export function snappyPieces(bytes: Uint8Array): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let start = 0; start < bytes.length; start += SNAPPY_BLOCK_BYTES) {
    pieces.push(bytes.subarray(start, start + SNAPPY_BLOCK_BYTES));
  }
  return pieces;
}

/** Compressed blocks in their framing. */
export function frameSnappy(blocks: readonly Uint8Array[]): Uint8Array {
  let bytes = FRAMING_HEADER.length;
  for (const block of blocks) bytes += 4 + block.length;
  const framed = new Uint8Array(bytes);
  framed.set(FRAMING_HEADER);
  let position = FRAMING_HEADER.length;
  for (const block of blocks) {
    writeInt32(framed, position, block.length);
    framed.set(block, position + 4);
    position += 4 + block.length;
  }
  return framed;
}

function damaged(): BurrowError {
  return new BurrowError('CORRUPT_BATCH', 'The snappy data of the batch is damaged: lengths do not fit.');
}
