/**
 * zstd from whichever place has it: node:zlib since Node 22.15 and 23.8, WebAssembly (@bokuweb/zstd-wasm) before.
 * For `compression.ts` alone, which gives errors their types.
 */
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { BurrowError } from '../errors/burrow-error.ts';
import { zstdFrame } from './zstd-frame.ts';

export interface Zstd {
  compress(bytes: Uint8Array): Promise<Uint8Array>;
  compressSync(bytes: Uint8Array): Uint8Array;
  /** Throws, or an error with the code ERR_BUFFER_TOO_LARGE if the content is larger than `bytesMax`. */
  decompress(bytes: Uint8Array, bytesMax: number): Promise<Uint8Array>;
  decompressSync(bytes: Uint8Array, bytesMax: number): Uint8Array;
}

type Callback = (error: Error | null, result: Buffer) => void;

/** The part of node:zlib that Node 20's types do not know. */
interface ZlibWithZstd {
  zstdCompress(bytes: Uint8Array, callback: Callback): void;
  zstdCompressSync(bytes: Uint8Array): Buffer;
  zstdDecompress(bytes: Uint8Array, options: { maxOutputLength: number }, callback: Callback): void;
  zstdDecompressSync(bytes: Uint8Array, options: { maxOutputLength: number }): Buffer;
}

/** Linear memory of the WebAssembly module grows to what the largest batch took and never shrinks; so it is bounded. */
const WASM_BYTES_MAX = 256 * 1024 * 1024;

/** ZSTD_error_dstSize_tooSmall, as the module's error texts carry it. */
const WASM_TOO_SMALL = /code -70$/;

const LEVEL = 3;

let loaded: Zstd | undefined = fromZlib(zlib as Partial<ZlibWithZstd>);
let loading: Promise<Zstd> | undefined;

/** Resolves once {@link zstd} may be called. */
export async function loadZstd(): Promise<void> {
  if (loaded !== undefined) return;
  loading ??= fromWasm();
  loaded = await loading;
}

export function zstd(): Zstd {
  if (loaded === undefined) throw new Error('loadCodecs() must be awaited before zstd is used synchronously');
  return loaded;
}

/** The limit in the form that zlib takes. */
export function zlibLimit(bytesMax: number): { maxOutputLength: number } {
  return { maxOutputLength: Math.max(1, Math.min(bytesMax, 0x7fff_ffff)) };
}

/** node:zlib's zstd, or undefined where it has none. */
export function fromZlib(module: Partial<ZlibWithZstd>): Zstd | undefined {
  const { zstdCompress, zstdCompressSync, zstdDecompress, zstdDecompressSync } = module;
  if (!(zstdCompress && zstdCompressSync && zstdDecompress && zstdDecompressSync)) return undefined;
  const compress = promisify(zstdCompress);
  const decompress = promisify(zstdDecompress);
  return {
    compress,
    compressSync: (bytes) => zstdCompressSync(bytes),
    decompress: (bytes, bytesMax) => decompress(bytes, zlibLimit(bytesMax)),
    decompressSync: (bytes, bytesMax) => zstdDecompressSync(bytes, zlibLimit(bytesMax)),
  };
}

/** The WebAssembly module's zstd. */
export async function fromWasm(): Promise<Zstd> {
  const wasm = await import('@bokuweb/zstd-wasm');
  await wasm.init();
  const compressSync = (bytes: Uint8Array) => wasm.compress(bytes, LEVEL);
  /** Frame by frame, into memory that is never larger than the frame's blocks and the limit allow. */
  const decompressSync = (bytes: Uint8Array, bytesMax: number) => {
    const pieces: Uint8Array[] = [];
    let left = Math.min(bytesMax, WASM_BYTES_MAX);
    for (let position = 0; position < bytes.length; ) {
      const frame = zstdFrame(bytes, position);
      const capacity = frame.contentBytes >= 0 ? frame.contentBytes : Math.min(frame.contentBytesBound, left);
      if (capacity > left) throw tooLarge();
      const piece = inflateFrame(bytes.subarray(frame.start, frame.end), capacity, frame.contentBytesBound > left);
      pieces.push(piece);
      left -= piece.length;
      position = frame.end;
    }
    if (pieces.length === 0) throw new BurrowError('CORRUPT_BATCH', 'The zstd data of the batch is empty.');
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  };
  const inflateFrame = (frame: Uint8Array, capacity: number, limitTaken: boolean) => {
    try {
      // One byte more than nothing, since the module cannot tell an allocation of nothing from one that failed.
      return wasm.decompress(frame, { defaultHeapSize: capacity + 1 });
    } catch (error) {
      if (limitTaken && error instanceof Error && WASM_TOO_SMALL.test(error.message)) throw tooLarge();
      throw error;
    }
  };
  return {
    compress: async (bytes) => compressSync(bytes),
    compressSync,
    decompress: async (bytes, bytesMax) => decompressSync(bytes, bytesMax),
    decompressSync,
  };
}

/** In the form of zlib's own error. */
function tooLarge(): Error {
  return Object.assign(new Error('The output is larger than the limit'), { code: 'ERR_BUFFER_TOO_LARGE' });
}
