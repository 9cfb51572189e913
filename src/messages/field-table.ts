/**
 * AMQP field tables as RabbitMQ encodes them (its errata to AMQP 0-9-1, section 4.2.5.5): a uint32 of bytes, then entries of
 * a short string and a value, each value with a letter for its type:
 *
 *     t boolean   b int8   B uint8   s int16   u uint16   I int32   i uint32   l L int64   f float   d double
 *     D decimal (scale uint8, int32)   S long string   x bytes   A list   F table   T timestamp (seconds)   V nothing
 *
 * The bytes are untrusted: every length is held against what is left, tables nest up to a limit. A table that is edited keeps the
 * bytes of the entries that stay, so that types and values that are not understood here pass through unchanged.
 */
import { decodeUtf8, encodeUtf8Into, utf8Bytes } from '../bytes/utf8.ts';
import { ByteWriter } from '../bytes/writer.ts';
import { BurrowError } from '../errors/burrow-error.ts';
import type { FieldTable, FieldValue } from './field-value.ts';

/** Tables and lists inside each other. RabbitMQ has no limit, which CVE-2026-69220 is about. */
export const FIELD_TABLE_DEPTH_MAX = 32;

const DECIMAL_BYTES = 5;

/** Decodes the entries in `bytes[start, end)`: a table without its length. @throws BurrowError MALFORMED_FRAME */
export function decodeFieldTable(bytes: Uint8Array, start: number, end: number): FieldTable {
  return new Reader(bytes, start, end).table(end, 0);
}

/** Throws MALFORMED_FRAME unless `bytes[start, end)` are the entries of a table. Makes nothing of them. */
export function checkFieldTable(bytes: Uint8Array, start: number, end: number): void {
  new Reader(bytes, start, end).skipEntries(end, 0);
}

/** The entries, without the length. */
export function encodeFieldTable(table: FieldTable): Uint8Array {
  const writer = new ByteWriter(64);
  writeEntries(writer, table, 0);
  return writer.finish();
}

/**
 * The entries in `bytes[start, end)` with some of them set, or removed where the value is undefined. Others keep their bytes and
 * their order; new ones come last.
 */
export function editFieldTable(
  bytes: Uint8Array,
  start: number,
  end: number,
  changes: ReadonlyMap<string, FieldValue | undefined>,
): Uint8Array {
  const reader = new Reader(bytes, start, end);
  const writer = new ByteWriter(end - start + 64);
  while (reader.position < end) {
    const from = reader.position;
    const name = reader.shortString();
    reader.skipValue(0);
    if (!changes.has(name)) writer.bytes(bytes.subarray(from, reader.position));
  }
  for (const [name, value] of changes) if (value !== undefined) writeEntry(writer, name, value, 0);
  return writer.finish();
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #end: number;
  position: number;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.position = start;
    this.#end = end;
  }

  table(end: number, depth: number): FieldTable {
    const table = new Map<string, FieldValue>();
    while (this.position < end) {
      const name = this.shortString();
      table.set(name, this.#value(depth));
    }
    if (this.position !== end) throw malformed('an entry reaches beyond its table');
    return table;
  }

  skipEntries(end: number, depth: number): void {
    while (this.position < end) {
      this.#take(this.#bytes[this.#take(1)]!);
      this.skipValue(depth);
    }
    if (this.position !== end) throw malformed('an entry reaches beyond its table');
  }

  shortString(): string {
    const count = this.#bytes[this.#take(1)]!;
    const start = this.#take(count);
    return decodeUtf8(this.#bytes, start, start + count);
  }

  skipValue(depth: number): void {
    const type = this.#type();
    if (type === 'F' || type === 'A') {
      const end = this.#nested(depth);
      if (type === 'F') this.skipEntries(end, depth + 1);
      else while (this.position < end) this.skipValue(depth + 1);
      if (this.position !== end) throw malformed('a value reaches beyond its list');
      return;
    }
    if (type === 'S' || type === 'x') this.#take(this.#uint32());
    else this.#take(fixedBytes(type));
  }

  #value(depth: number): FieldValue {
    const type = this.#type();
    const view = this.#view;
    switch (type) {
      case 'S': {
        const count = this.#uint32();
        const start = this.#take(count);
        return decodeUtf8(this.#bytes, start, start + count);
      }
      case 'x': {
        const count = this.#uint32();
        const start = this.#take(count);
        return new Uint8Array(this.#bytes.subarray(start, start + count));
      }
      case 'F': {
        const end = this.#nested(depth);
        return this.table(end, depth + 1);
      }
      case 'A': {
        const end = this.#nested(depth);
        const list: FieldValue[] = [];
        while (this.position < end) list.push(this.#value(depth + 1));
        if (this.position !== end) throw malformed('a value reaches beyond its list');
        return list;
      }
      default:
        break;
    }
    const at = this.#take(fixedBytes(type));
    switch (type) {
      case 'V':
        return null;
      case 't':
        return this.#bytes[at] !== 0;
      case 'b':
        return view.getInt8(at);
      case 'B':
        return this.#bytes[at]!;
      case 's':
        return view.getInt16(at);
      case 'u':
        return view.getUint16(at);
      case 'I':
        return view.getInt32(at);
      case 'i':
        return view.getUint32(at);
      case 'f':
        return view.getFloat32(at);
      case 'd':
        return view.getFloat64(at);
      case 'D':
        return { type: 'decimal', scale: this.#bytes[at]!, value: view.getInt32(at + 1) };
      case 'T':
        return { type: 'timestamp', seconds: Number(view.getBigUint64(at)) };
      default: {
        const value = view.getBigInt64(at);
        return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
      }
    }
  }

  #type(): string {
    return String.fromCharCode(this.#bytes[this.#take(1)]!);
  }

  #nested(depth: number): number {
    if (depth >= FIELD_TABLE_DEPTH_MAX) throw malformed(`tables nest deeper than ${FIELD_TABLE_DEPTH_MAX}`);
    const count = this.#uint32();
    if (count > this.#end - this.position) throw malformed('a table is longer than what is left');
    return this.position + count;
  }

  #uint32(): number {
    return this.#view.getUint32(this.#take(4));
  }

  /** Moves past `count` bytes and returns where they start. */
  #take(count: number): number {
    const start = this.position;
    if (count > this.#end - start) throw malformed('a value is longer than what is left');
    this.position = start + count;
    return start;
  }
}

function fixedBytes(type: string): number {
  switch (type) {
    case 'V':
      return 0;
    case 't':
    case 'b':
    case 'B':
      return 1;
    case 's':
    case 'u':
      return 2;
    case 'I':
    case 'i':
    case 'f':
      return 4;
    case 'D':
      return DECIMAL_BYTES;
    case 'l':
    case 'L':
    case 'd':
    case 'T':
      return 8;
    default:
      throw malformed(`there is no type ${JSON.stringify(type)}`);
  }
}

function writeEntries(writer: ByteWriter, table: FieldTable, depth: number): void {
  for (const [name, value] of table) writeEntry(writer, name, value, depth);
}

function writeEntry(writer: ByteWriter, name: string, value: FieldValue, depth: number): void {
  const count = utf8Bytes(name);
  if (count > 255) {
    throw new BurrowError('INVALID_ARGUMENT', `The name of a header has ${count} bytes; AMQP allows 255.`);
  }
  writer.uint8(count).string(name);
  writeValue(writer, value, depth);
}

function writeValue(writer: ByteWriter, value: FieldValue, depth: number): void {
  if (typeof value === 'string') writeSized(writer, 'S', textBytes(value));
  else if (typeof value === 'boolean') letter(writer, 't').uint8(value ? 1 : 0);
  else if (typeof value === 'number') writeNumber(writer, value);
  else if (typeof value === 'bigint') writeBigint(writer, value);
  else if (value === null) letter(writer, 'V');
  else if (value instanceof Uint8Array) writeSized(writer, 'x', value);
  else if (isFieldTable(value)) writeNested(writer, 'F', depth, (inner) => writeEntries(inner, value, depth + 1));
  else if (isFieldList(value)) {
    writeNested(writer, 'A', depth, (inner) => {
      for (const each of value) writeValue(inner, each, depth + 1);
    });
  } else if (value.type === 'timestamp') letter(writer, 'T').bytes(int64(BigInt(value.seconds)));
  else letter(writer, 'D').uint8(value.scale).int32(value.value);
}

function isFieldTable(value: FieldValue): value is FieldTable {
  return value instanceof Map;
}

function isFieldList(value: FieldValue): value is readonly FieldValue[] {
  return Array.isArray(value);
}

function writeNumber(writer: ByteWriter, value: number): void {
  if (!Number.isSafeInteger(value)) {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setFloat64(0, value);
    letter(writer, 'd').bytes(bytes);
  } else if (value === (value | 0)) letter(writer, 'I').int32(value);
  else letter(writer, 'l').bytes(int64(BigInt(value)));
}

function writeBigint(writer: ByteWriter, value: bigint): void {
  if (BigInt.asIntN(64, value) !== value) {
    throw new BurrowError('INVALID_ARGUMENT', `The header value ${value} does not fit into 64 bits.`);
  }
  letter(writer, 'l').bytes(int64(value));
}

function writeSized(writer: ByteWriter, type: string, bytes: Uint8Array): void {
  letter(writer, type).uint32(bytes.length).bytes(bytes);
}

function writeNested(writer: ByteWriter, type: string, depth: number, write: (inner: ByteWriter) => void): void {
  if (depth >= FIELD_TABLE_DEPTH_MAX) {
    throw new BurrowError('INVALID_ARGUMENT', `Headers nest deeper than ${FIELD_TABLE_DEPTH_MAX}.`);
  }
  const inner = new ByteWriter(64);
  write(inner);
  writeSized(writer, type, inner.finish());
}

function letter(writer: ByteWriter, type: string): ByteWriter {
  return writer.uint8(type.charCodeAt(0));
}

function textBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(utf8Bytes(text));
  encodeUtf8Into(text, bytes, 0);
  return bytes;
}

function int64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigInt64(0, value);
  return bytes;
}

function malformed(problem: string): BurrowError {
  return new BurrowError('MALFORMED_FRAME', `A field table is malformed: ${problem}.`);
}
