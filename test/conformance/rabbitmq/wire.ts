/** Methods as bytes and as lines of a transcript, by the tables of the protocol and nothing else of the broker. */
import {
  type Argument,
  METHODS,
  type Method,
  type MethodArguments,
  type MethodName,
} from '../../../broker/listeners/amqp/methods.ts';
import { encodeTable, FieldReader, type Fields, type Rename, shortString } from './typed-fields.ts';

type Values = { readonly [name: string]: unknown };

/** Arguments of a method, with tables as plain objects; those left out have the protocol's defaults. */
export type Arguments<N extends MethodName> = {
  readonly [K in keyof MethodArguments<N>]?: K extends 'arguments' | 'clientProperties'
    ? Fields
    : MethodArguments<N>[K];
};

/** A method that a broker sent. */
export interface Received {
  readonly name: MethodName;
  /** Numbers, booleans and texts; tables as texts. */
  readonly args: { readonly [name: string]: number | boolean | string };
}

export function encodeMethod(name: MethodName, values: Values, rename: Rename): Buffer {
  const { classId, methodId, args } = METHODS[name] as Method;
  const parts: Buffer[] = [uint(classId, 2), uint(methodId, 2)];
  let bits: boolean[] = [];
  const flushBits = (): void => {
    if (bits.length > 0) parts.push(Buffer.of(bits.reduce((octet, bit, index) => octet | (bit ? 1 << index : 0), 0)));
    bits = [];
  };
  for (const [key, argument] of Object.entries(args)) {
    const value = values[key] ?? argument.value;
    if (argument.kind === 'bit') bits.push(value as boolean);
    else {
      flushBits();
      parts.push(encodeArgument(argument, value, rename));
    }
  }
  flushBits();
  return Buffer.concat(parts);
}

function encodeArgument({ kind }: Argument<unknown>, value: unknown, rename: Rename): Buffer {
  switch (kind) {
    case 'octet':
      return uint(value as number, 1);
    case 'short':
      return uint(value as number, 2);
    case 'long':
      return uint(value as number, 4);
    case 'longlong':
      return Buffer.concat([uint(0, 4), uint(value as number, 4)]);
    case 'shortstr':
      return shortString(rename(value as string));
    case 'longstr':
      return Buffer.concat([uint((value as Buffer).length, 4), value as Buffer]);
    default:
      return encodeTable(value instanceof Map ? {} : (value as Fields), rename);
  }
}

function uint(value: number, count: number): Buffer {
  const bytes = Buffer.alloc(count);
  bytes.writeUIntBE(value, 0, count);
  return bytes;
}

const NAMES: ReadonlyMap<string, MethodName> = new Map(
  (Object.entries(METHODS) as Array<[MethodName, Method]>).map(([name, { classId, methodId }]) => [
    `${classId}.${methodId}`,
    name,
  ]),
);

export function decodeMethod(payload: Buffer): Received {
  const reader = new FieldReader(payload);
  const ids = `${reader.uint16()}.${reader.uint16()}`;
  const name = NAMES.get(ids);
  if (name === undefined) throw new RangeError(`the broker sent method ${ids}`);
  const args: Record<string, number | boolean | string> = {};
  let octet = 0;
  let bit = 8;
  for (const [key, { kind, reserved }] of Object.entries(METHODS[name].args as Method['args'])) {
    let value: number | boolean | string;
    if (kind === 'bit') {
      if (bit === 8) {
        octet = reader.uint8();
        bit = 0;
      }
      value = (octet & (1 << bit++)) !== 0;
    } else {
      bit = 8;
      value = decodeArgument(reader, kind);
    }
    if (!reserved) args[key] = key === 'mechanisms' ? String(value).split(' ').sort().join(' ') : value;
  }
  return { name, args };
}

function decodeArgument(reader: FieldReader, kind: Argument<unknown>['kind']): number | string {
  switch (kind) {
    case 'octet':
      return reader.uint8();
    case 'short':
      return reader.uint16();
    case 'long':
      return reader.uint32();
    case 'longlong':
      return reader.uint64();
    case 'shortstr':
      return reader.shortString();
    case 'longstr':
      return reader.longString().toString();
    default:
      return reader.table();
  }
}
