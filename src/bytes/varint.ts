/**
 * Variable-length integers of the Kafka protocol: seven bits a byte, least significant first, high bit set on all
 * but the last. Unsigned varints hold uint32; varints and varlongs are zigzag-coded int32 and int64.
 *
 * An int64 is a safe integer here (|value| < 2^53): a larger one is refused by readers and must not reach writers.
 * Functions that write return the position behind what they wrote; the caller has made room.
 * Reading happens in `reader.ts` and, inlined for speed, in the record cursors.
 */

/** Longest forms, in bytes. */
export const VARINT_BYTES_MAX = 5;
export const VARLONG_BYTES_MAX = 10;

/** Size of the unsigned varint of a uint32. */
function uvarintBytes(value: number): number {
  const unsigned = value >>> 0;
  if (unsigned < 0x80) return 1;
  if (unsigned < 0x4000) return 2;
  if (unsigned < 0x20_0000) return 3;
  return unsigned < 0x1000_0000 ? 4 : 5;
}

/** Size of the zigzag varint of an int32. */
export function varintBytes(value: number): number {
  return uvarintBytes((value << 1) ^ (value >> 31));
}

/** Size of the zigzag varlong of a safe integer. */
export function varlongBytes(value: number): number {
  if (value === (value | 0)) return varintBytes(value);
  // Zigzag codes a number n ≥ 0 as 2n and n < 0 as 2(-n - 1) + 1; `half` is that without its last bit.
  let half = value >= 0 ? value : -value - 1;
  let bytes = 1;
  for (half = Math.floor(half / 64); half >= 1; half /= 128) bytes++;
  return bytes;
}

/** Writes a uint32 as an unsigned varint. */
export function writeUvarint(bytes: Uint8Array, position: number, value: number): number {
  let rest = value >>> 0;
  while (rest > 0x7f) {
    bytes[position++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  bytes[position++] = rest;
  return position;
}

/** Writes an int32 as a zigzag varint. */
export function writeVarint(bytes: Uint8Array, position: number, value: number): number {
  return writeUvarint(bytes, position, (value << 1) ^ (value >> 31));
}

/** Writes a safe integer as a zigzag varlong. */
export function writeVarlong(bytes: Uint8Array, position: number, value: number): number {
  if (value === (value | 0)) return writeVarint(bytes, position, value);
  const negative = value < 0;
  const half = negative ? -value - 1 : value;
  let rest = Math.floor(half / 64);
  let low = ((half % 64) << 1) | (negative ? 1 : 0);
  while (rest > 0) {
    bytes[position++] = low | 0x80;
    low = rest % 128;
    rest = Math.floor(rest / 128);
  }
  bytes[position++] = low;
  return position;
}
