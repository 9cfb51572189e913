/**
 * Compiles the tables of `methods.ts` into readers and writers, once.
 *
 *     method payload = classId uint16 · methodId uint16 · arguments
 *
 * Bits that follow each other share an octet, the first in its lowest bit. Tables are checked and decoded; byte strings are views
 * of the frame.
 */
import { ByteReader } from '../../../src/bytes/reader.ts';
import type { ByteWriter } from '../../../src/bytes/writer.ts';
import { decodeFieldTable, encodeFieldTable } from '../../../src/messages/field-table.ts';
import type { FieldTable } from '../../../src/messages/field-value.ts';
import { type Argument, METHODS, type Method, type MethodArguments, type MethodName } from './methods.ts';
import { AmqpException } from './reply-codes.ts';

const IDS_BYTES = 4;
const BITS_PER_OCTET = 8;
const SHORT_STRING_BYTES_MAX = 255;

type Values = { [name: string]: unknown };

interface ArgumentCodec {
  read(reader: ByteReader, frame: Buffer, values: Values): void;
  write(writer: ByteWriter, values: Values): void;
}

interface MethodCodec {
  readonly name: MethodName;
  readonly method: Method;
  readonly shape: Values;
  readonly args: readonly ArgumentCodec[];
}

function idsOf(classId: number, methodId: number): number {
  return classId * 0x1_0000 + methodId;
}

function compile(name: MethodName, method: Method): MethodCodec {
  const entries = Object.entries(method.args);
  const kept = entries.filter(([, { reserved }]) => !reserved);
  const codecs: ArgumentCodec[] = [];
  for (let index = 0; index < entries.length; ) {
    let end = index + 1;
    if (entries[index]![1].kind === 'bit') {
      while (end < entries.length && entries[end]![1].kind === 'bit' && end - index < BITS_PER_OCTET) end++;
      codecs.push(compileBits(entries.slice(index, end)));
    } else codecs.push(compileArgument(...entries[index]!));
    index = end;
  }
  const shape = Object.fromEntries(kept.map(([key, { value }]) => [key, value]));
  return { name, method, shape, args: codecs };
}

function compileBits(bits: ReadonlyArray<[string, Argument<unknown>]>): ArgumentCodec {
  return {
    read(reader, _frame, values) {
      const octet = reader.uint8();
      for (let index = 0; index < bits.length; index++) {
        const [name, { reserved }] = bits[index]!;
        if (!reserved) values[name] = (octet & (1 << index)) !== 0;
      }
    },
    write(writer, values) {
      let octet = 0;
      for (let index = 0; index < bits.length; index++) {
        const [name, { reserved, value }] = bits[index]!;
        if ((reserved ? value : values[name]) === true) octet |= 1 << index;
      }
      writer.uint8(octet);
    },
  };
}

function compileArgument(name: string, { kind, reserved, value }: Argument<unknown>): ArgumentCodec {
  const { read, write } = KINDS[kind as keyof typeof KINDS];
  return {
    read(reader, frame, values) {
      const found = read(reader, frame);
      if (!reserved) values[name] = found;
    },
    write: (writer, values) => write(writer, (reserved ? value : values[name]) as never),
  };
}

const KINDS = {
  octet: {
    read: (reader: ByteReader) => reader.uint8(),
    write: (writer: ByteWriter, value: number) => void writer.uint8(value),
  },
  short: {
    read: (reader: ByteReader) => reader.uint16(),
    write: (writer: ByteWriter, value: number) => void writer.uint16(value),
  },
  long: {
    read: (reader: ByteReader) => reader.uint32(),
    write: (writer: ByteWriter, value: number) => void writer.uint32(value),
  },
  longlong: {
    read: (reader: ByteReader) => reader.uint32() * 0x1_0000_0000 + reader.uint32(),
    write: (writer: ByteWriter, value: number) => void writer.int64(value),
  },
  shortstr: {
    read: (reader: ByteReader) => reader.string(reader.uint8()),
    write: writeShortString,
  },
  longstr: {
    read: readLongString,
    write: (writer: ByteWriter, value: Buffer) => void writer.uint32(value.length).bytes(value),
  },
  table: {
    read: readTable,
    write(writer: ByteWriter, value: FieldTable): void {
      const bytes = encodeFieldTable(value);
      writer.uint32(bytes.length).bytes(bytes);
    },
  },
};

function readLongString(reader: ByteReader, frame: Buffer): Buffer {
  const count = reader.uint32();
  const start = reader.position;
  reader.skip(count);
  return reader.ok ? frame.subarray(start, start + count) : frame.subarray(0, 0);
}

function readTable(reader: ByteReader, frame: Buffer): FieldTable {
  const count = reader.uint32();
  const start = reader.position;
  reader.skip(count);
  return decodeFieldTable(frame, start, reader.ok ? start + count : start);
}

function writeShortString(writer: ByteWriter, value: string): void {
  const count = Buffer.byteLength(value);
  if (count > SHORT_STRING_BYTES_MAX) throw new RangeError(`A short string of ${count} bytes`);
  writer.uint8(count).string(value);
}

const CODECS: ReadonlyMap<string, MethodCodec> = new Map(
  (Object.entries(METHODS) as Array<[MethodName, Method]>).map(([name, method]) => [name, compile(name, method)]),
);
const BY_IDS: ReadonlyMap<number, MethodCodec> = new Map(
  Array.from(CODECS.values(), (codec) => [idsOf(codec.method.classId, codec.method.methodId), codec]),
);

/** A method and its arguments, typed together. */
export type AnyMethod = {
  readonly [N in MethodName]: { readonly name: N; readonly args: MethodArguments<N> };
}[MethodName];

/**
 * Which method a payload holds. Throws FRAME_ERROR, or NOT_IMPLEMENTED for one that there is not, as the specification says of
 * clients that ask too much; COMMAND_INVALID for one that only servers send.
 */
export function methodNameOf(payload: Buffer): MethodName {
  if (payload.length < IDS_BYTES) throw new AmqpException('FRAME_ERROR', 'a method frame is too short');
  const classId = payload.readUInt16BE(0);
  const methodId = payload.readUInt16BE(2);
  const codec = BY_IDS.get(idsOf(classId, methodId));
  if (codec === undefined) {
    throw new AmqpException('NOT_IMPLEMENTED', `there is no method ${methodId} of class ${classId}`);
  }
  return codec.name;
}

/**
 * Decodes the arguments behind the method's numbers. Throws FRAME_ERROR, or MALFORMED_FRAME for a table. Bytes behind the last
 * argument are ignored, as RabbitMQ does.
 */
export function decodeMethod(payload: Buffer): AnyMethod {
  const name = methodNameOf(payload);
  const { shape, args } = CODECS.get(name)!;
  const reader = new ByteReader(payload, IDS_BYTES);
  const values = { ...shape };
  for (let index = 0; index < args.length; index++) args[index]!.read(reader, payload, values);
  if (!reader.ok) throw new AmqpException('FRAME_ERROR', `the arguments of ${name} are cut off`);
  return { name, args: values } as unknown as AnyMethod;
}

/** Writes a payload: the method's numbers and its arguments. Short strings must fit. */
export function encodeMethod<N extends MethodName>(writer: ByteWriter, name: N, values: MethodArguments<N>): void {
  const { method, args } = CODECS.get(name)!;
  writer.uint16(method.classId).uint16(method.methodId);
  for (let index = 0; index < args.length; index++) args[index]!.write(writer, values as Values);
}
