/**
 * Writes one value as MessagePack: nil, booleans, numbers, strings, binaries and arrays, which is all the protocol uses.
 * Written here and not left to msgpackr because binaries, and lists of pieces of one binary, are copied once, into the
 * frame that goes to the socket, or not at all. Decoding is msgpackr's. Per frame.
 */
import { allocateBytes } from '../bytes/writer.ts';
import { Pieces } from './schema.ts';

const encoder = new TextEncoder();

/** Smaller pieces are cheaper to copy than to write by themselves. */
const UNCOPIED_BYTES_MIN = 4096;

/** A piece that is not copied, and the position in the copied bytes at which it belongs. */
interface Inset {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** The encoded value in a buffer of its own, which nobody else writes to. */
export function encodeValue(value: unknown): Uint8Array {
  const bytes = allocateBytes(boundOf(value, false));
  return bytes.subarray(0, write(bytes, viewOf(bytes), 0, value, undefined));
}

/** The encoded value in parts, some of which are the large pieces in `value` themselves: those must not change any more. */
export function encodeValueParts(value: unknown): Uint8Array[] {
  const bytes = allocateBytes(boundOf(value, true));
  const insets: Inset[] = [];
  const end = write(bytes, viewOf(bytes), 0, value, insets);
  const parts: Uint8Array[] = [];
  let from = 0;
  for (const inset of insets) {
    if (inset.at > from) parts.push(bytes.subarray(from, inset.at));
    parts.push(inset.bytes);
    from = inset.at;
  }
  if (end > from) parts.push(bytes.subarray(from, end));
  return parts;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** At least as many bytes as the value takes, without what is not copied if there are insets. */
function boundOf(value: unknown, hasInsets: boolean): number {
  if (typeof value === 'string') return 5 + value.length * 3;
  if (value instanceof Uint8Array) return 5 + value.length;
  if (value instanceof Pieces) {
    let bound = 5;
    for (const { length } of value.list) if (!hasInsets || length < UNCOPIED_BYTES_MIN) bound += length;
    return bound;
  }
  if (!Array.isArray(value)) return 9;
  let bound = 5;
  for (const item of value) bound += boundOf(item, hasInsets);
  return bound;
}

function piecesBytes(pieces: Pieces): number {
  let bytes = 0;
  for (const piece of pieces.list) bytes += piece.length;
  return bytes;
}

function write(bytes: Uint8Array, view: DataView, at: number, value: unknown, insets: Inset[] | undefined): number {
  if (value === null || value === undefined) {
    bytes[at] = 0xc0;
    return at + 1;
  }
  switch (typeof value) {
    case 'boolean':
      bytes[at] = value ? 0xc3 : 0xc2;
      return at + 1;
    case 'number':
      return writeNumber(bytes, view, at, value);
    case 'string':
      return writeString(bytes, view, at, value);
  }
  if (value instanceof Uint8Array) {
    at = writeBinaryHead(bytes, view, at, value.length);
    bytes.set(value, at);
    return at + value.length;
  }
  if (value instanceof Pieces) {
    at = writeBinaryHead(bytes, view, at, piecesBytes(value));
    for (const piece of value.list) {
      if (insets !== undefined && piece.length >= UNCOPIED_BYTES_MIN) {
        insets.push({ at, bytes: piece });
        continue;
      }
      bytes.set(piece, at);
      at += piece.length;
    }
    return at;
  }
  if (Array.isArray(value)) {
    at = writeHead(bytes, view, at, value.length, { fix: 0x90, fixMax: 15, u8: 0, u16: 0xdc, u32: 0xdd });
    for (const item of value) at = write(bytes, view, at, item, insets);
    return at;
  }
  throw new TypeError(`a ${typeof value} has no place in a message`);
}

function writeNumber(bytes: Uint8Array, view: DataView, at: number, value: number): number {
  if (Number.isInteger(value)) {
    if (value >= 0 && value < 0x80) {
      bytes[at] = value;
      return at + 1;
    }
    if (value < 0 && value >= -0x20) {
      bytes[at] = value & 0xff;
      return at + 1;
    }
    if (value >= 0 && value <= 0xffff_ffff) {
      bytes[at] = 0xce;
      view.setUint32(at + 1, value);
      return at + 5;
    }
    if (value < 0 && value >= -0x8000_0000) {
      bytes[at] = 0xd2;
      view.setInt32(at + 1, value);
      return at + 5;
    }
    if (Number.isSafeInteger(value)) {
      // As an integer and not as the double it is, for the sake of languages that tell the two apart.
      const high = Math.floor(value / 0x1_0000_0000);
      bytes[at] = value >= 0 ? 0xcf : 0xd3;
      view.setInt32(at + 1, high);
      view.setUint32(at + 5, value - high * 0x1_0000_0000);
      return at + 9;
    }
  }
  bytes[at] = 0xcb;
  view.setFloat64(at + 1, value);
  return at + 9;
}

const STRING_HEAD = { fix: 0xa0, fixMax: 31, u8: 0xd9, u16: 0xda, u32: 0xdb } as const;

function writeString(bytes: Uint8Array, view: DataView, at: number, value: string): number {
  // The head's size depends on the length in bytes: guess from the characters, and move the text if that was wrong.
  const guess = headBytes(value.length);
  const { written } = encoder.encodeInto(value, bytes.subarray(at + guess));
  const actual = headBytes(written);
  if (actual !== guess) bytes.copyWithin(at + actual, at + guess, at + guess + written);
  writeHead(bytes, view, at, written, STRING_HEAD);
  return at + actual + written;
}

function headBytes(length: number): number {
  if (length <= STRING_HEAD.fixMax) return 1;
  if (length <= 0xff) return 2;
  return length <= 0xffff ? 3 : 5;
}

function writeBinaryHead(bytes: Uint8Array, view: DataView, at: number, length: number): number {
  return writeHead(bytes, view, at, length, { fix: 0, fixMax: -1, u8: 0xc4, u16: 0xc5, u32: 0xc6 });
}

interface HeadCodes {
  readonly fix: number;
  readonly fixMax: number;
  /** 0 where the type has no 8-bit form. */
  readonly u8: number;
  readonly u16: number;
  readonly u32: number;
}

function writeHead(bytes: Uint8Array, view: DataView, at: number, length: number, codes: HeadCodes): number {
  if (length <= codes.fixMax) {
    bytes[at] = codes.fix | length;
    return at + 1;
  }
  if (length <= 0xff && codes.u8 !== 0) {
    bytes[at] = codes.u8;
    bytes[at + 1] = length;
    return at + 2;
  }
  if (length <= 0xffff) {
    bytes[at] = codes.u16;
    view.setUint16(at + 1, length);
    return at + 3;
  }
  bytes[at] = codes.u32;
  view.setUint32(at + 1, length);
  return at + 5;
}
