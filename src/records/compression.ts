/**
 * The compression codecs of record batches: gzip, snappy (framed as Java does, read bare too), lz4 frames, zstd.
 * Decompression takes a limit that holds before or while output is allocated, since 50 KB can hold 50 MB of zeros.
 *
 * The async forms work on Node's thread pool, except for what is so small that the hop costs more than the work. The sync
 * forms serve code whose order of events must be its own. zstd comes from node:zlib where Node has it (22.15, 23.8) and
 * from WebAssembly elsewhere, which works on the caller's thread in either form.
 * In browsers `compression.browser.ts` stands in this file's place (package.json, "browser").
 */

import { promisify } from 'node:util';
import zlib from 'node:zlib';
import * as lz4 from 'lz4-napi';
import * as snappy from 'snappy';
import { asBuffer } from '../bytes/as-buffer.ts';
import { BurrowError, isBurrowError } from '../errors/burrow-error.ts';
import type { Codec } from './batch-header.ts';
import { lz4ContentBytes } from './lz4-frame.ts';
import { frameSnappy, snappyPieces, splitSnappy } from './snappy-framing.ts';
import { loadZstd, zlibLimit, zstd } from './zstd.ts';

/** Below this many bytes a hop to the thread pool (some 50 µs) costs more than the work of snappy and lz4. */
const SYNC_BYTES_MAX = 64 * 1024;

const gzip = promisify(zlib.gzip);
const gunzip = promisify<zlib.InputType, zlib.ZlibOptions, Buffer>(zlib.gunzip);

/** `bytes` compressed; with the codec 'none' the same bytes. */
export async function compress(codec: Codec, bytes: Uint8Array): Promise<Uint8Array> {
  switch (codec) {
    case 'none':
      return bytes;
    case 'gzip':
      return gzip(bytes);
    case 'snappy':
      if (bytes.length <= SYNC_BYTES_MAX) return compressSync(codec, bytes);
      return frameSnappy(await Promise.all(snappyPieces(bytes).map((piece) => snappy.compress(piece))));
    case 'lz4':
      return bytes.length <= SYNC_BYTES_MAX ? compressSync(codec, bytes) : lz4.compressFrame(bytes);
    case 'zstd':
      await loadZstd();
      return zstd().compress(bytes);
  }
}

/** As {@link compress}, on the caller's thread. For zstd `loadCodecs` must have been awaited once. */
export function compressSync(codec: Codec, bytes: Uint8Array): Uint8Array {
  switch (codec) {
    case 'none':
      return bytes;
    case 'gzip':
      return zlib.gzipSync(bytes);
    case 'snappy':
      return frameSnappy(snappyPieces(bytes).map((piece) => snappy.compressSync(piece)));
    case 'lz4':
      return lz4.compressFrameSync(asBuffer(bytes));
    case 'zstd':
      return zstd().compressSync(bytes);
  }
}

/**
 * What `bytes` were before compression. Throws DECOMPRESSION_LIMIT if that is more than `bytesMax` bytes, without having
 * taken memory for it, and CORRUPT_BATCH if the bytes are not what the codec writes.
 */
export async function decompress(codec: Codec, bytes: Uint8Array, bytesMax: number): Promise<Uint8Array> {
  try {
    switch (codec) {
      case 'none':
        return limited(bytes, bytesMax);
      case 'gzip':
        return await gunzip(bytes, zlibLimit(bytesMax));
      case 'snappy': {
        const { blocks, contentBytes } = splitSnappy(bytes, bytesMax);
        if (contentBytes <= SYNC_BYTES_MAX) return decompressSync(codec, bytes, bytesMax);
        return joined((await Promise.all(blocks.map((block) => snappy.uncompress(block)))) as Buffer[]);
      }
      case 'lz4':
        if (lz4ContentBytes(bytes, bytesMax) <= SYNC_BYTES_MAX) return decompressSync(codec, bytes, bytesMax);
        return await lz4.decompressFrame(bytes);
      case 'zstd':
        await loadZstd();
        return await zstd().decompress(bytes, bytesMax);
    }
  } catch (error) {
    throw decompressionError(codec, error, bytes, bytesMax);
  }
}

/** As {@link decompress}, on the caller's thread. For zstd `loadCodecs` must have been awaited once. */
export function decompressSync(codec: Codec, bytes: Uint8Array, bytesMax: number): Uint8Array {
  try {
    switch (codec) {
      case 'none':
        return limited(bytes, bytesMax);
      case 'gzip':
        return zlib.gunzipSync(bytes, zlibLimit(bytesMax));
      case 'snappy':
        return joined(splitSnappy(bytes, bytesMax).blocks.map((block) => snappy.uncompressSync(block)) as Buffer[]);
      case 'lz4':
        lz4ContentBytes(bytes, bytesMax);
        return lz4.decompressFrameSync(asBuffer(bytes));
      case 'zstd':
        return zstd().decompressSync(bytes, bytesMax);
    }
  } catch (error) {
    throw decompressionError(codec, error, bytes, bytesMax);
  }
}

/** Loads what the sync forms need and cannot load themselves. Cheap where there is nothing to load, and when repeated. */
export async function loadCodecs(): Promise<void> {
  await loadZstd();
}

function limited(bytes: Uint8Array, bytesMax: number): Uint8Array {
  if (bytes.length > bytesMax) throw overLimit('none', bytes, bytesMax);
  return bytes;
}

function joined(pieces: Buffer[]): Uint8Array {
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
}

function decompressionError(codec: Codec, error: unknown, bytes: Uint8Array, bytesMax: number): BurrowError {
  if (isBurrowError(error)) return error;
  if (error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE') {
    return overLimit(codec, bytes, bytesMax);
  }
  const text = error instanceof Error ? error.message : String(error);
  return new BurrowError('CORRUPT_BATCH', `The ${codec} data of the batch is damaged: ${text}`, { cause: error });
}

function overLimit(codec: Codec, bytes: Uint8Array, bytesMax: number): BurrowError {
  return new BurrowError(
    'DECOMPRESSION_LIMIT',
    `The batch decompresses (${codec}) from ${bytes.length} to more than ${bytesMax} bytes, which is the limit.`,
    { fields: { codec, bytesMax } },
  );
}
