/**
 * Looks over MessagePack that a stranger may have written before it is decoded: one value with nothing behind it, bounded nesting,
 * no count or length that the bytes do not back, and no extension but the timestamp of the specification. Above all
 * not msgpackr's record definitions, which its decoder accepts even where records are switched off, and compiles.
 * Allocates nothing but a small stack.
 */
const DEPTH_MAX = 128;

const TIMESTAMP_EXTENSION = 0xff;

/** Throws an error that says what is wrong and where. */
export function scanMessagePack(bytes: Uint8Array): void {
  // Values still expected at each level of nesting.
  const open: number[] = [1];
  let at = 0;
  while (open.length > 0) {
    const level = open.length - 1;
    if (open[level] === 0) {
      open.pop();
      continue;
    }
    open[level]! -= 1;
    if (at >= bytes.length) throw new RangeError(`the MessagePack ends in the midst of a value (byte ${at})`);
    const code = bytes[at]!;
    const values = collectionValues(bytes, at, code);
    const size = values < 0 ? scalarBytes(bytes, at, code) : collectionHeadBytes(code);
    if (size < 0)
      throw new TypeError(`the MessagePack holds type 0x${code.toString(16)} at byte ${at}, which is refused`);
    if (size > bytes.length - at) throw new RangeError(`a MessagePack value at byte ${at} is longer than the bytes`);
    at += size;
    if (values < 0) continue;
    // Each value takes at least a byte.
    if (values > bytes.length - at) throw new RangeError(`a MessagePack count at byte ${at} is larger than the bytes`);
    if (open.length >= DEPTH_MAX) throw new RangeError(`the MessagePack is nested more than ${DEPTH_MAX} deep`);
    open.push(values);
  }
  if (at !== bytes.length) throw new RangeError(`${bytes.length - at} bytes follow the MessagePack value`);
}

/** How many values an array or map holds (two for each pair); -1 for what is neither. */
function collectionValues(bytes: Uint8Array, at: number, code: number): number {
  if (code >= 0x90 && code <= 0x9f) return code & 0x0f;
  if (code >= 0x80 && code <= 0x8f) return 2 * (code & 0x0f);
  switch (code) {
    case 0xdc:
      return uint(bytes, at + 1, 2);
    case 0xdd:
      return uint(bytes, at + 1, 4);
    case 0xde:
      return 2 * uint(bytes, at + 1, 2);
    case 0xdf:
      return 2 * uint(bytes, at + 1, 4);
    default:
      return -1;
  }
}

function collectionHeadBytes(code: number): number {
  if (code < 0xa0) return 1;
  return code === 0xdc || code === 0xde ? 3 : 5;
}

/** Head and body of a value that holds no others; -1 for what is refused. */
function scalarBytes(bytes: Uint8Array, at: number, code: number): number {
  if (code <= 0x7f || code >= 0xe0) return 1;
  if (code >= 0xa0 && code <= 0xbf) return 1 + (code & 0x1f);
  switch (code) {
    case 0xc0: // nil
    case 0xc2: // false
    case 0xc3: // true
      return 1;
    case 0xc4: // bin 8, 16, 32
    case 0xd9: // str 8, 16, 32
      return 2 + uint(bytes, at + 1, 1);
    case 0xc5:
    case 0xda:
      return 3 + uint(bytes, at + 1, 2);
    case 0xc6:
    case 0xdb:
      return 5 + uint(bytes, at + 1, 4);
    case 0xcc: // uint 8, int 8
    case 0xd0:
      return 2;
    case 0xcd: // 16
    case 0xd1:
      return 3;
    case 0xca: // float 32, 32
    case 0xce:
    case 0xd2:
      return 5;
    case 0xcb: // float 64, 64
    case 0xcf:
    case 0xd3:
      return 9;
    case 0xd6: // timestamp of 4, 8 and 12 bytes
      return bytes[at + 1] === TIMESTAMP_EXTENSION ? 6 : -1;
    case 0xd7:
      return bytes[at + 1] === TIMESTAMP_EXTENSION ? 10 : -1;
    case 0xc7:
      return bytes[at + 1] === 12 && bytes[at + 2] === TIMESTAMP_EXTENSION ? 15 : -1;
    default:
      return -1;
  }
}

/** Big-endian; bytes that are not there count as 0xff, so that the length check fails. */
function uint(bytes: Uint8Array, at: number, width: number): number {
  let value = 0;
  for (let index = 0; index < width; index += 1) value = value * 256 + (bytes[at + index] ?? 0xff);
  return value;
}
