/**
 * Writes protocol primitives into one growing buffer. The mirror of `reader.ts`.
 *
 * The memory is fresh for every message and comes from no pool: `finish` gives it away, and the next message
 * starts in new memory, since a buffer that is reused while a socket still sends it puts wrong bytes on the wire
 * (CVE-2026-35554 was that).
 *
 * Values out of range are the caller's fault and are cut to their width, as the array would.
 */
import { writeInt16, writeInt32, writeInt64 } from './big-endian.ts';
import { encodeUtf8Into, utf8Bytes } from './utf8.ts';
import { VARINT_BYTES_MAX, VARLONG_BYTES_MAX, writeUvarint, writeVarint, writeVarlong } from './varint.ts';

const NO_BYTES = new Uint8Array(0);

const float64Bytes = new Uint8Array(8);
const float64View = new DataView(float64Bytes.buffer);

/** Memory of its own for `count` bytes: in Node not cleared and a Buffer. Whoever asks must write all that it hands on. */
export function allocateBytes(count: number): Uint8Array {
  return typeof Buffer === 'function' ? Buffer.allocUnsafeSlow(count) : new Uint8Array(count);
}

export class ByteWriter {
  #bytes: Uint8Array = NO_BYTES;
  #position = 0;
  readonly #bytesInitial: number;

  /** `bytesInitial` is taken at the first write; a good guess saves copies. */
  constructor(bytesInitial = 256) {
    this.#bytesInitial = Math.max(16, bytesInitial);
  }

  /** Bytes written so far; also where the next write goes. */
  get position(): number {
    return this.#position;
  }

  /** Makes room for `count` bytes, moves past them and returns where they start. */
  #grow(count: number): number {
    const position = this.#position;
    const end = position + count;
    if (end > this.#bytes.length) this.#enlarge(end);
    this.#position = end;
    return position;
  }

  #enlarge(bytesNeeded: number): void {
    const bytes = allocateBytes(Math.max(bytesNeeded, this.#bytes.length * 2, this.#bytesInitial));
    bytes.set(this.#bytes.subarray(0, this.#position));
    this.#bytes = bytes;
  }

  int8(value: number): this {
    const position = this.#grow(1);
    this.#bytes[position] = value;
    return this;
  }

  uint8(value: number): this {
    return this.int8(value);
  }

  int16(value: number): this {
    const position = this.#grow(2);
    writeInt16(this.#bytes, position, value);
    return this;
  }

  uint16(value: number): this {
    return this.int16(value);
  }

  int32(value: number): this {
    const position = this.#grow(4);
    writeInt32(this.#bytes, position, value);
    return this;
  }

  uint32(value: number): this {
    return this.int32(value);
  }

  /** `value` is a safe integer. */
  int64(value: number): this {
    const position = this.#grow(8);
    writeInt64(this.#bytes, position, value);
    return this;
  }

  float64(value: number): this {
    float64View.setFloat64(0, value);
    return this.bytes(float64Bytes);
  }

  bool(value: boolean): this {
    return this.int8(value ? 1 : 0);
  }

  /** An unsigned varint of a uint32. */
  uvarint(value: number): this {
    const position = this.#grow(VARINT_BYTES_MAX);
    this.#position = writeUvarint(this.#bytes, position, value);
    return this;
  }

  /** A zigzag varint of an int32. */
  varint(value: number): this {
    const position = this.#grow(VARINT_BYTES_MAX);
    this.#position = writeVarint(this.#bytes, position, value);
    return this;
  }

  /** A zigzag varlong of a safe integer. */
  varlong(value: number): this {
    const position = this.#grow(VARLONG_BYTES_MAX);
    this.#position = writeVarlong(this.#bytes, position, value);
    return this;
  }

  /** The bytes themselves, without a length. */
  bytes(value: Uint8Array): this {
    const position = this.#grow(value.length);
    this.#bytes.set(value, position);
    return this;
  }

  /** A 16-byte id. */
  uuid(value: Uint8Array): this {
    if (value.length !== 16) throw new RangeError(`A uuid has 16 bytes, not ${value.length}`);
    return this.bytes(value);
  }

  /** UTF-8 without a length. */
  string(value: string): this {
    return this.#text(value, utf8Bytes(value));
  }

  #text(value: string, count: number): this {
    const position = this.#grow(count);
    encodeUtf8Into(value, this.#bytes, position);
    return this;
  }

  /** STRING: int16 length. */
  sizedString(value: string): this {
    const count = utf8Bytes(value);
    if (count > 0x7fff) throw new RangeError(`A string of ${count} bytes does not fit an int16 length`);
    return this.int16(count).#text(value, count);
  }

  /** NULLABLE_STRING: int16 length, -1 for null. */
  nullableString(value: string | null): this {
    return value === null ? this.int16(-1) : this.sizedString(value);
  }

  /** COMPACT_STRING: unsigned varint of length + 1. */
  compactString(value: string): this {
    const count = utf8Bytes(value);
    return this.uvarint(count + 1).#text(value, count);
  }

  /** COMPACT_NULLABLE_STRING: unsigned varint of length + 1, 0 for null. */
  compactNullableString(value: string | null): this {
    return value === null ? this.uvarint(0) : this.compactString(value);
  }

  /** BYTES: int32 length. */
  sizedBytes(value: Uint8Array): this {
    return this.int32(value.length).bytes(value);
  }

  /** NULLABLE_BYTES: int32 length, -1 for null. */
  nullableBytes(value: Uint8Array | null): this {
    return value === null ? this.int32(-1) : this.sizedBytes(value);
  }

  /** COMPACT_BYTES: unsigned varint of length + 1. */
  compactBytes(value: Uint8Array): this {
    return this.uvarint(value.length + 1).bytes(value);
  }

  /** COMPACT_NULLABLE_BYTES: unsigned varint of length + 1, 0 for null. */
  compactNullableBytes(value: Uint8Array | null): this {
    return value === null ? this.uvarint(0) : this.compactBytes(value);
  }

  /** ARRAY: int32 count, -1 for null. */
  arrayLength(count: number): this {
    return this.int32(count);
  }

  /** COMPACT_ARRAY: unsigned varint of count + 1, 0 for null (-1). */
  compactArrayLength(count: number): this {
    return this.uvarint(count + 1);
  }

  /** Leaves `count` zero bytes to be patched later and returns their position. */
  reserve(count: number): number {
    const position = this.#grow(count);
    this.#bytes.fill(0, position, position + count);
    return position;
  }

  /** Writes an int32 over what stands at `position`. */
  patchInt32(position: number, value: number): void {
    if (position < 0 || position + 4 > this.#position) throw new RangeError(`Nothing was written at ${position}`);
    writeInt32(this.#bytes, position, value);
  }

  /** The bytes written. They are the caller's; the writer is empty and starts in new memory. */
  finish(): Uint8Array {
    const bytes = this.#bytes.subarray(0, this.#position);
    this.#bytes = NO_BYTES;
    this.#position = 0;
    return bytes;
  }
}
