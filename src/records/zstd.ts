/**
 * zstd from whichever place has it: node:zlib since Node 22.15 and 23.8, WebAssembly (@bokuweb/zstd-wasm) before.
 * For `compression.ts` alone, which gives errors their types.
 */
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { type ZstdFrame, zstdFrame } from './zstd-frame.ts';

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
let wasmLoading: Promise<Zstd> | undefined;

/** Resolves once {@link zstd} may be called. */
export async function loadZstd(): Promise<void> {
  loaded ??= await fromWasm();
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
  const decompressSync = (bytes: Uint8Array, bytesMax: number) =>
    decodeFrames(bytes, bytesMax, (frame, left) => zstdDecompressSync(frame, zlibLimit(left)));
  return {
    compress,
    compressSync: (bytes) => zstdCompressSync(bytes),
    // zlib takes a frame that is cut off for a whole one, and overlooks what follows the first: so frames are counted here.
    decompress: async (bytes, bytesMax) =>
      zstdFrame(bytes, 0).end === bytes.length
        ? decompress(bytes, zlibLimit(bytesMax))
        : decompressSync(bytes, bytesMax),
    decompressSync,
  };
}

/** The WebAssembly module's zstd. It must be initialized only once: a second time would take its memory away. */
export function fromWasm(): Promise<Zstd> {
  wasmLoading ??= loadWasm();
  return wasmLoading;
}

async function loadWasm(): Promise<Zstd> {
  const wasm = await import('@bokuweb/zstd-wasm');
  await wasm.init();
  const compressSync = (bytes: Uint8Array) => wasm.compress(bytes, LEVEL);
  const decodeFrame = (frame: Uint8Array, left: number, { contentBytesBound }: ZstdFrame) => {
    try {
      // What the frame states as its size goes first; it has been held against the limit.
      return wasm.decompress(frame, { defaultHeapSize: Math.min(contentBytesBound, left) });
    } catch (error) {
      const limited = contentBytesBound > left && error instanceof Error && WASM_TOO_SMALL.test(error.message);
      throw limited ? tooLarge() : error;
    }
  };
  const decompressSync = (bytes: Uint8Array, bytesMax: number) =>
    decodeFrames(bytes, Math.min(bytesMax, WASM_BYTES_MAX), decodeFrame);
  return {
    compress: async (bytes) => compressSync(bytes),
    compressSync,
    decompress: async (bytes, bytesMax) => decompressSync(bytes, bytesMax),
    decompressSync,
  };
}

/** Decodes frame by frame; `decodeFrame` must not give more than `left` bytes. */
function decodeFrames(
  bytes: Uint8Array,
  bytesMax: number,
  decodeFrame: (frame: Uint8Array, left: number, facts: ZstdFrame) => Uint8Array,
): Uint8Array {
  const pieces: Uint8Array[] = [];
  let left = bytesMax;
  let position = 0;
  do {
    const frame = zstdFrame(bytes, position);
    if (frame.contentBytes > left) throw tooLarge();
    const piece = decodeFrame(bytes.subarray(position, frame.end), left, frame);
    if (piece.length > left) throw tooLarge();
    pieces.push(piece);
    left -= piece.length;
    position = frame.end;
  } while (position < bytes.length);
  // A Buffer, as from the other codecs: users see views of it as keys and values.
  return pieces.length === 1 && Buffer.isBuffer(pieces[0]) ? pieces[0] : Buffer.concat(pieces);
}

/** In the form of zlib's own error. */
function tooLarge(): Error {
  return Object.assign(new Error('The output is larger than the limit'), { code: 'ERR_BUFFER_TOO_LARGE' });
}
