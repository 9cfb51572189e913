/**
 * Reads protocol primitives from untrusted bytes. It never throws and never reads past its end: the first read
 * that does not fit makes it bad for good (`ok` is false), and from then on every read gives zero, an empty
 * string or no bytes. So a parser reads a whole message and asks `ok` once at the end; only loops driven by a
 * count need care, and `arrayLength` refuses counts that the remaining bytes cannot back.
 *
 * Integers are big-endian. An int64 is a safe integer; a larger one makes the reader bad.
 * Byte strings are views into the input, not copies: what outlives the message must be copied.
 */
import { readInt16, readInt32, readInt64 } from './big-endian.ts';
import { decodeUtf8 } from './utf8.ts';

const NO_BYTES = new Uint8Array(0);

const float64Bytes = new Uint8Array(8);
const float64View = new DataView(float64Bytes.buffer);

export class ByteReader {
  #ok: boolean;
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #position: number;

  /** Reads `bytes[start, end)`. */
  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.#bytes = bytes;
    this.#position = start;
    this.#end = Math.min(end, bytes.length);
    this.#ok = start >= 0 && start <= this.#end;
    if (!this.#ok) this.#position = this.#end;
  }

  /** False once anything did not fit or made no sense. Sticky. */
  get ok(): boolean {
    return this.#ok;
  }

  /** Where the next read starts, as an index into the bytes given to the constructor. */
  get position(): number {
    return this.#position;
  }

  get remaining(): number {
    return this.#end - this.#position;
  }

  /** Makes the reader bad, for a parser that met a value it cannot accept. */
  fail(): void {
    this.#ok = false;
    this.#position = this.#end;
  }

  /** The position to read `count` bytes from, or -1. Counts that are negative or not integers are refused too. */
  #take(count: number): number {
    const position = this.#position;
    if (count >= 0 && count <= this.#end - position) {
      this.#position = position + count;
      return position;
    }
    this.fail();
    return -1;
  }

  skip(count: number): void {
    this.#take(count);
  }

  int8(): number {
    const position = this.#take(1);
    return position < 0 ? 0 : (this.#bytes[position]! << 24) >> 24;
  }

  uint8(): number {
    const position = this.#take(1);
    return position < 0 ? 0 : this.#bytes[position]!;
  }

  int16(): number {
    const position = this.#take(2);
    return position < 0 ? 0 : readInt16(this.#bytes, position);
  }

  uint16(): number {
    return this.int16() & 0xffff;
  }

  int32(): number {
    const position = this.#take(4);
    return position < 0 ? 0 : readInt32(this.#bytes, position);
  }

  uint32(): number {
    return this.int32() >>> 0;
  }

  /** A safe integer; the reader becomes bad if the value is none. */
  int64(): number {
    const position = this.#take(8);
    if (position < 0) return 0;
    const value = readInt64(this.#bytes, position);
    if (Number.isSafeInteger(value)) return value;
    this.fail();
    return 0;
  }

  float64(): number {
    const position = this.#take(8);
    if (position < 0) return 0;
    for (let index = 0; index < 8; index++) float64Bytes[index] = this.#bytes[position + index]!;
    return float64View.getFloat64(0);
  }

  /** Any byte but zero is true. */
  bool(): boolean {
    return this.int8() !== 0;
  }

  /** An unsigned varint: uint32. */
  uvarint(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.uint8();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return this.#ok ? value : 0;
    }
    const last = this.uint8();
    if (last > 0x0f) this.fail();
    return this.#ok ? (value | (last << 28)) >>> 0 : 0;
  }

  /** A zigzag varint: int32. */
  varint(): number {
    const value = this.uvarint();
    return (value >>> 1) ^ -(value & 1);
  }

  /** A zigzag varlong: a safe integer; the reader becomes bad if the value is none. */
  varlong(): number {
    // All but the last bit, which is the sign; so the sum is exact wherever the value is a safe integer.
    let byte = this.uint8();
    const negative = (byte & 1) === 1;
    let half = (byte & 0x7f) >>> 1;
    let scale = 64;
    for (let count = 1; byte > 0x7f; count++) {
      if (count === 10) {
        this.fail();
        return 0;
      }
      byte = this.uint8();
      half += (byte & 0x7f) * scale;
      scale *= 128;
    }
    const value = negative ? -half - 1 : half;
    if (!this.#ok) return 0;
    if (Number.isSafeInteger(value)) return value;
    this.fail();
    return 0;
  }

  /** The next `count` bytes as a view. */
  bytes(count: number): Uint8Array {
    const position = this.#take(count);
    return position < 0 ? NO_BYTES : this.#bytes.subarray(position, position + count);
  }

  /** A 16-byte id as a view. */
  uuid(): Uint8Array {
    return this.bytes(16);
  }

  /** The next `count` bytes as UTF-8. */
  string(count: number): string {
    const position = this.#take(count);
    return position < 0 ? '' : decodeUtf8(this.#bytes, position, position + count);
  }

  /** STRING: int16 length. Null is refused. */
  sizedString(): string {
    return this.string(this.int16());
  }

  /** NULLABLE_STRING: int16 length, -1 for null. */
  nullableString(): string | null {
    const count = this.int16();
    return count === -1 ? null : this.string(count);
  }

  /** COMPACT_STRING: unsigned varint of length + 1. Null is refused. */
  compactString(): string {
    return this.string(this.uvarint() - 1);
  }

  /** COMPACT_NULLABLE_STRING: unsigned varint of length + 1, 0 for null. */
  compactNullableString(): string | null {
    const count = this.uvarint() - 1;
    return count === -1 && this.#ok ? null : this.string(count);
  }

  /** BYTES: int32 length. Null is refused. */
  sizedBytes(): Uint8Array {
    return this.bytes(this.int32());
  }

  /** NULLABLE_BYTES: int32 length, -1 for null. */
  nullableBytes(): Uint8Array | null {
    const count = this.int32();
    return count === -1 ? null : this.bytes(count);
  }

  /** COMPACT_BYTES: unsigned varint of length + 1. Null is refused. */
  compactBytes(): Uint8Array {
    return this.bytes(this.uvarint() - 1);
  }

  /** COMPACT_NULLABLE_BYTES: unsigned varint of length + 1, 0 for null. */
  compactNullableBytes(): Uint8Array | null {
    const count = this.uvarint() - 1;
    return count === -1 && this.#ok ? null : this.bytes(count);
  }

  /**
   * ARRAY: int32 count, -1 for null. A count of elements that, at `elementBytesMin` bytes each, the remaining
   * bytes cannot hold makes the reader bad and gives 0, so that nothing is allocated for it.
   */
  arrayLength(elementBytesMin = 1): number {
    return this.#backed(this.int32(), elementBytesMin);
  }

  /** COMPACT_ARRAY: unsigned varint of count + 1, 0 for null. Checked as in {@link arrayLength}. */
  compactArrayLength(elementBytesMin = 1): number {
    const count = this.uvarint() - 1;
    return this.#ok ? this.#backed(count, elementBytesMin) : 0;
  }

  #backed(count: number, elementBytesMin: number): number {
    if (count >= -1 && count * Math.max(1, elementBytesMin) <= this.remaining) return count;
    this.fail();
    return 0;
  }
}
