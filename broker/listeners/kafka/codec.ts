/**
 * Compiles message tables into readers and writers, once per message and version: what depends on the version is decided
 * at that time, and what remains is one call per field.
 *
 * Reading follows the rules of `MessageReader`: nothing is thrown, the caller asks `ok` at the end; unknown tagged fields
 * are skipped without being kept; bytes behind the last known field are ignored, as Kafka does.
 */
import type { MessageReader } from './message-reader.ts';
import { MessageWriter } from './message-writer.ts';
import {
  type Decoded,
  defaultsOf,
  type Encodable,
  type Field,
  type Fields,
  type MessageTable,
  type ScalarKind,
} from './schema/field.ts';

type AnyField = Field<unknown, boolean>;
type Values = { [name: string]: unknown };

/** How one field is read and written in one version. */
interface FieldCodec {
  /** The fewest bytes that a value takes: how many elements of an array the remaining bytes can back. */
  readonly bytesMin: number;
  read(reader: MessageReader): unknown;
  write(writer: MessageWriter, value: unknown): void;
}

export interface MessageCodec<F extends Fields> {
  readonly table: MessageTable<F>;
  /** `version` must be one of the table's. The result counts only if `reader.ok`. */
  decode(reader: MessageReader, version: number): Decoded<F>;
  encode(writer: MessageWriter, version: number, message: Encodable<F>): void;
}

export function compileMessage<F extends Fields>(table: MessageTable<F>): MessageCodec<F> {
  const compiled: FieldCodec[] = [];
  const codecOf = (version: number): FieldCodec => {
    if (!(version >= table.versions.min && version <= table.versions.max)) {
      throw new RangeError(`${table.name} has no version ${version}`);
    }
    compiled[version] ??= compileStruct(table.fields, version, version >= table.flexibleSince);
    return compiled[version];
  };
  return {
    table,
    decode: (reader, version) => codecOf(version).read(reader) as Decoded<F>,
    encode: (writer, version, message) => codecOf(version).write(writer, message),
  };
}

function compileStruct(fields: Fields, version: number, flexible: boolean): FieldCodec {
  const present = Object.entries(fields).filter(([, field]) => version >= field.since && version <= field.until);
  const plain = present.filter(([, field]) => field.tag === undefined);
  const names = plain.map(([name]) => name);
  const codecs = plain.map(([, field]) => compileField(field, version, flexible));
  const fallbacks = plain.map(([, field]) => field.default);
  const tags = flexible ? compileTags(present, version) : undefined;
  const shape: Values = { ...defaultsOf(fields) };
  return {
    bytesMin: codecs.reduce((sum, codec) => sum + codec.bytesMin, flexible ? 1 : 0),
    read(reader) {
      const values = { ...shape };
      for (let index = 0; index < codecs.length; index++) values[names[index]!] = codecs[index]!.read(reader);
      tags?.read(reader, values);
      return values;
    },
    write(writer, value) {
      const values = value as Values;
      for (let index = 0; index < codecs.length; index++) {
        const given = values[names[index]!];
        codecs[index]!.write(writer, given === undefined ? fallbacks[index] : given);
      }
      tags?.write(writer, values);
    },
  };
}

/** The section of tagged fields that ends every structure of a flexible version. */
interface TagsCodec {
  read(reader: MessageReader, values: Values): void;
  write(writer: MessageWriter, values: Values): void;
}

/** Tag and size of a tagged field take a byte each at least. */
const TAGGED_FIELD_BYTES_MIN = 2;

function compileTags(present: ReadonlyArray<[string, AnyField]>, version: number): TagsCodec {
  const tagged = present
    .filter(([, field]) => field.tag !== undefined)
    .map(([name, field]) => ({ name, field, tag: field.tag!, codec: compileField(field, version, true) }))
    .sort((one, other) => one.tag - other.tag);
  const byTag = new Map(tagged.map((known) => [known.tag, known]));
  return {
    read(reader, values) {
      const count = reader.uvarint();
      if (count === 0) return;
      if (count * TAGGED_FIELD_BYTES_MIN > reader.remaining) return reader.fail();
      if (!reader.spend(count)) return;
      for (let index = 0; index < count && reader.ok; index++) {
        const known = byTag.get(reader.uvarint());
        const bytes = reader.uvarint();
        if (known === undefined) {
          reader.skip(bytes);
          continue;
        }
        const end = reader.position + bytes;
        values[known.name] = known.codec.read(reader);
        if (reader.position !== end) reader.fail();
      }
    },
    write(writer, values) {
      const set = tagged.filter(({ name, field }) => !isDefault(field, values[name]));
      writer.uvarint(set.length);
      for (const { name, tag, codec } of set) {
        const content = new MessageWriter();
        codec.write(content, values[name]);
        writer.uvarint(tag).uvarint(content.position).bytes(content.finish());
      }
    },
  };
}

function isDefault(field: AnyField, value: unknown): boolean {
  if (value === undefined || value === field.default) return true;
  const { type } = field;
  if (type.kind === 'array') return Array.isArray(value) && value.length === 0 && Array.isArray(field.default);
  if (type.kind === 'struct') {
    return Object.entries(type.fields).every(([name, inner]) => isDefault(inner, (value as Values)[name]));
  }
  return Buffer.isBuffer(value) && Buffer.isBuffer(field.default) && value.equals(field.default);
}

function compileField(field: AnyField, version: number, flexible: boolean): FieldCodec {
  const { type } = field;
  const nullable = version >= field.nullableSince;
  if (type.kind === 'struct') return compileStruct(type.fields, version, flexible);
  if (type.kind === 'array') return compileArray(compileField(type.element, version, flexible), nullable, flexible);
  return compileScalar(type.kind, nullable, flexible && !field.classic);
}

function compileArray(element: FieldCodec, nullable: boolean, flexible: boolean): FieldCodec {
  return {
    bytesMin: flexible ? 1 : 4,
    read(reader) {
      const count = flexible ? reader.compactArrayLength(element.bytesMin) : reader.arrayLength(element.bytesMin);
      if (count === -1) {
        if (nullable) return null;
        reader.fail();
      }
      const values: unknown[] = [];
      if (count <= 0 || !reader.spend(count)) return values;
      for (let index = 0; index < count && reader.ok; index++) values.push(element.read(reader));
      return values;
    },
    write(writer, value) {
      const values = value as readonly unknown[] | null;
      if (values === null) checkNullable(nullable);
      const count = values === null ? -1 : values.length;
      if (flexible) writer.compactArrayLength(count);
      else writer.arrayLength(count);
      for (let index = 0; index < count; index++) element.write(writer, values![index]);
    },
  };
}

function checkNullable(nullable: boolean): void {
  if (!nullable) throw new TypeError('null in a field that cannot be null');
}

function compileScalar(kind: ScalarKind, nullable: boolean, flexible: boolean): FieldCodec {
  switch (kind) {
    case 'bool':
      return { bytesMin: 1, read: (reader) => reader.bool(), write: (writer, value) => writer.bool(value as boolean) };
    case 'int8':
      return { bytesMin: 1, read: (reader) => reader.int8(), write: (writer, value) => writer.int8(value as number) };
    case 'int16':
      return { bytesMin: 2, read: (reader) => reader.int16(), write: (writer, value) => writer.int16(value as number) };
    case 'uint16':
      return {
        bytesMin: 2,
        read: (reader) => reader.uint16(),
        write: (writer, value) => writer.uint16(value as number),
      };
    case 'int32':
      return { bytesMin: 4, read: (reader) => reader.int32(), write: (writer, value) => writer.int32(value as number) };
    case 'int64':
      return { bytesMin: 8, read: (reader) => reader.int64(), write: (writer, value) => writer.int64(value as number) };
    case 'float64':
      return {
        bytesMin: 8,
        read: (reader) => reader.float64(),
        write: (writer, value) => writer.float64(value as number),
      };
    case 'uuid':
      return {
        bytesMin: 16,
        read: (reader) => reader.buffer(16),
        write: (writer, value) => writer.uuid(value as Buffer),
      };
    case 'string':
      return compileString(nullable, flexible);
    default:
      return compileBytes(kind, nullable, flexible);
  }
}

function compileString(nullable: boolean, flexible: boolean): FieldCodec {
  const bytesMin = flexible ? 1 : 2;
  return {
    bytesMin,
    read(reader) {
      const count = flexible ? reader.uvarint() - 1 : reader.int16();
      // A reader that went bad gives zero, which would look like a compact null here; the message is refused anyway.
      return count === -1 && nullable ? null : reader.string(count);
    },
    write(writer, value) {
      if (value === null) checkNullable(nullable);
      if (flexible) writer.compactNullableString(value as string | null);
      else writer.nullableString(value as string | null);
    },
  };
}

/** Bytes and records: the same on the wire, since record batches carry their own lengths inside. */
function compileBytes(kind: ScalarKind, nullable: boolean, flexible: boolean): FieldCodec {
  const sliced = kind === 'recordSlices';
  return {
    bytesMin: flexible ? 1 : 4,
    read(reader) {
      const count = flexible ? reader.uvarint() - 1 : reader.int32();
      if (count === -1 && nullable) return null;
      const view = reader.buffer(count);
      return sliced ? [view] : view;
    },
    write(writer, value) {
      if (value === null) checkNullable(nullable);
      const buffers = value === null ? [] : sliced ? (value as readonly Buffer[]) : [value as Buffer];
      let bytes = 0;
      for (const buffer of buffers) bytes += buffer.length;
      const count = value === null ? -1 : bytes;
      if (flexible) writer.uvarint(count + 1);
      else writer.int32(count);
      if (kind === 'bytes') for (const buffer of buffers) writer.bytes(buffer);
      else writer.splice(buffers, bytes);
    },
  };
}
