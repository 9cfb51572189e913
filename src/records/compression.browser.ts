/**
 * The codecs that browsers bring themselves: none and gzip (Compression Streams). The others throw
 * UNSUPPORTED_COMPRESSION. Same face as `compression.ts`, whose place it takes in browsers.
 */
import { BurrowError } from '../errors/burrow-error.ts';
import type { Codec } from './batch-header.ts';

/** `bytes` compressed; with the codec 'none' the same bytes. */
export async function compress(codec: Codec, bytes: Uint8Array): Promise<Uint8Array> {
  if (codec === 'none') return bytes;
  if (codec !== 'gzip' || typeof CompressionStream !== 'function') throw unsupported(codec);
  return (await through(bytes, new CompressionStream('gzip'), Number.POSITIVE_INFINITY))!;
}

/** Only the codec 'none' has a sync form here. */
export function compressSync(codec: Codec, bytes: Uint8Array): Uint8Array {
  if (codec !== 'none') throw unsupported(codec);
  return bytes;
}

/**
 * What `bytes` were before compression. Throws DECOMPRESSION_LIMIT if that is more than `bytesMax` bytes, as soon as it
 * shows, and CORRUPT_BATCH if the bytes are not what the codec writes.
 */
export async function decompress(codec: Codec, bytes: Uint8Array, bytesMax: number): Promise<Uint8Array> {
  if (codec === 'none') return decompressSync(codec, bytes, bytesMax);
  if (codec !== 'gzip' || typeof DecompressionStream !== 'function') throw unsupported(codec);
  let result: Uint8Array | undefined;
  try {
    result = await through(bytes, new DecompressionStream('gzip'), bytesMax);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new BurrowError('CORRUPT_BATCH', `The gzip data of the batch is damaged: ${text}`, { cause: error });
  }
  if (result === undefined) throw overLimit(codec, bytes, bytesMax);
  return result;
}

/** Only the codec 'none' has a sync form here. */
export function decompressSync(codec: Codec, bytes: Uint8Array, bytesMax: number): Uint8Array {
  if (codec !== 'none') throw unsupported(codec);
  if (bytes.length > bytesMax) throw overLimit(codec, bytes, bytesMax);
  return bytes;
}

/** There is nothing to load. */
export async function loadCodecs(): Promise<void> {}

interface ByteTransform {
  readonly readable: { getReader(): ChunkReader };
  readonly writable: { getWriter(): ChunkWriter };
}

interface ChunkReader {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
  cancel(reason?: unknown): Promise<void>;
}

interface ChunkWriter {
  write(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** `bytes` sent through a stream; undefined as soon as more than `bytesMax` come out. */
async function through(bytes: Uint8Array, transform: ByteTransform, bytesMax: number): Promise<Uint8Array | undefined> {
  const writer = transform.writable.getWriter();
  // What goes wrong here shows at the reader too.
  writer.write(bytes).catch(() => {});
  writer.close().catch(() => {});
  const reader = transform.readable.getReader();
  const pieces: Uint8Array[] = [];
  let count = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (value === undefined) continue;
    pieces.push(value);
    count += value.length;
    if (count > bytesMax) {
      reader.cancel().catch(() => {});
      return undefined;
    }
  }
  const result = new Uint8Array(count);
  let position = 0;
  for (const piece of pieces) {
    result.set(piece, position);
    position += piece.length;
  }
  return result;
}

function unsupported(codec: Codec): BurrowError {
  return new BurrowError(
    'UNSUPPORTED_COMPRESSION',
    `Browsers cannot read or write batches compressed with ${codec}. Use gzip or none for topics that browsers use.`,
  );
}

function overLimit(codec: Codec, bytes: Uint8Array, bytesMax: number): BurrowError {
  return new BurrowError(
    'DECOMPRESSION_LIMIT',
    `The batch decompresses (${codec}) from ${bytes.length} to more than ${bytesMax} bytes, which is the limit.`,
    { fields: { codec, bytesMax } },
  );
}
