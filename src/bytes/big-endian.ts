/**
 * Big-endian integers at a position. No bounds checks: the caller knows that the bytes are there.
 * int64 are JavaScript numbers: exact where the value is a safe integer, rounded elsewhere (see `readInt64`).
 */

export function readInt16(bytes: Uint8Array, position: number): number {
  return ((bytes[position]! << 24) >> 16) | bytes[position + 1]!;
}

export function readInt32(bytes: Uint8Array, position: number): number {
  return (bytes[position]! << 24) | (bytes[position + 1]! << 16) | (bytes[position + 2]! << 8) | bytes[position + 3]!;
}

/** Rounding never turns an unsafe value into a safe one, so `Number.isSafeInteger` of the result tells if it is exact. */
export function readInt64(bytes: Uint8Array, position: number): number {
  return readInt32(bytes, position) * 0x1_0000_0000 + (readInt32(bytes, position + 4) >>> 0);
}

export function writeInt16(bytes: Uint8Array, position: number, value: number): void {
  bytes[position] = value >> 8;
  bytes[position + 1] = value;
}

export function writeInt32(bytes: Uint8Array, position: number, value: number): void {
  bytes[position] = value >> 24;
  bytes[position + 1] = value >> 16;
  bytes[position + 2] = value >> 8;
  bytes[position + 3] = value;
}

/** `value` is a safe integer. */
export function writeInt64(bytes: Uint8Array, position: number, value: number): void {
  writeInt32(bytes, position, Math.floor(value / 0x1_0000_0000));
  writeInt32(bytes, position + 4, value >>> 0);
}
