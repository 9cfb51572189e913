/**
 * Content properties of messages as AMQP 0-9-1 encodes them (section 4.2.6.1; the properties of class basic): two bytes of
 * flags, highest bit first, then the values of those that are set. Brokers pass them on as they came; single fields are read, and
 * changed, without making anything of the others.
 */
import { decodeUtf8, utf8Bytes } from '../bytes/utf8.ts';
import { ByteWriter } from '../bytes/writer.ts';
import { BurrowError } from '../errors/burrow-error.ts';
import { checkFieldTable, decodeFieldTable, editFieldTable, encodeFieldTable } from './field-table.ts';
import type { FieldTable, FieldValue } from './field-value.ts';

export interface MessageProperties {
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly headers?: FieldTable;
  /** 1 transient, 2 persistent. */
  readonly deliveryMode?: number;
  readonly priority?: number;
  readonly correlationId?: string;
  readonly replyTo?: string;
  /** Milliseconds, as text. */
  readonly expiration?: string;
  readonly messageId?: string;
  /** Seconds since 1970. */
  readonly timestamp?: number;
  readonly type?: string;
  readonly userId?: string;
  readonly appId?: string;
  readonly clusterId?: string;
}

export type PropertyName = keyof MessageProperties;

type Form = 'short' | 'table' | 'octet' | 'time';

/** In the order of their flags, from bit 15 down. */
const FIELDS: ReadonlyArray<readonly [PropertyName, Form]> = [
  ['contentType', 'short'],
  ['contentEncoding', 'short'],
  ['headers', 'table'],
  ['deliveryMode', 'octet'],
  ['priority', 'octet'],
  ['correlationId', 'short'],
  ['replyTo', 'short'],
  ['expiration', 'short'],
  ['messageId', 'short'],
  ['timestamp', 'time'],
  ['type', 'short'],
  ['userId', 'short'],
  ['appId', 'short'],
  ['clusterId', 'short'],
];

const INDEX_OF: ReadonlyMap<PropertyName, number> = new Map(FIELDS.map(([name], index) => [name, index]));
/** The last bit says that more flags follow, the one before has no field; neither is ever used. */
const UNUSED_FLAGS = 0x0003;

export const NO_PROPERTIES: Uint8Array = new Uint8Array(0);

/**
 * Throws MALFORMED_FRAME unless `bytes[start, end)` are properties: flags that have fields, and fields that fill it. Tables are walked,
 * so that nobody meets a malformed one later. No bytes at all are no properties.
 */
export function checkProperties(bytes: Uint8Array, start: number, end: number): void {
  if (start === end) return;
  if (end - start < 2) throw malformed('the flags are cut off');
  const flags = flagsAt(bytes, start);
  if ((flags & UNUSED_FLAGS) !== 0) throw malformed('flags are set that have no field');
  let position = start + 2;
  for (let index = 0; index < FIELDS.length; index++) {
    if ((flags & flagOf(index)) === 0) continue;
    const next = position + fieldBytes(bytes, position, end, FIELDS[index]![1]);
    if (next > end) throw malformed(`${FIELDS[index]![0]} is longer than what is left`);
    if (FIELDS[index]![1] === 'table') checkFieldTable(bytes, position + 4, next);
    position = next;
  }
  if (position !== end) throw malformed('bytes follow the last field');
}

/** Where a field's value begins, or -1 if it is not there. For bytes that were checked. Per message: no objects. */
export function propertyPosition(bytes: Uint8Array, start: number, end: number, name: PropertyName): number {
  if (end - start < 2) return -1;
  const flags = flagsAt(bytes, start);
  const wanted = INDEX_OF.get(name)!;
  if ((flags & flagOf(wanted)) === 0) return -1;
  let position = start + 2;
  for (let index = 0; index < wanted; index++) {
    if ((flags & flagOf(index)) !== 0) position += fieldBytes(bytes, position, end, FIELDS[index]![1]);
  }
  return position < end ? position : -1;
}

/** A field that is a short string; undefined if it is not there. For bytes that were checked. */
export function textProperty(bytes: Uint8Array, start: number, end: number, name: PropertyName): string | undefined {
  const position = propertyPosition(bytes, start, end, name);
  return position === -1 ? undefined : decodeUtf8(bytes, position + 1, position + 1 + bytes[position]!);
}

/** The headers; undefined if there are none. For bytes that were checked. */
export function headersProperty(bytes: Uint8Array, start: number, end: number): FieldTable | undefined {
  const position = propertyPosition(bytes, start, end, 'headers');
  if (position === -1) return undefined;
  return decodeFieldTable(bytes, position + 4, position + 4 + uint32(bytes, position));
}

/** Seconds since 1970; undefined if there is no timestamp. For bytes that were checked. */
export function timestampProperty(bytes: Uint8Array, start: number, end: number): number | undefined {
  const position = propertyPosition(bytes, start, end, 'timestamp');
  return position === -1 ? undefined : uint32(bytes, position) * 2 ** 32 + uint32(bytes, position + 4);
}

/** Everything there is. For bytes that were checked. */
export function decodeProperties(bytes: Uint8Array, start = 0, end: number = bytes.length): MessageProperties {
  const properties: Partial<Record<PropertyName, string | number | FieldTable>> = {};
  if (end - start < 2) return {};
  const flags = flagsAt(bytes, start);
  let position = start + 2;
  for (let index = 0; index < FIELDS.length; index++) {
    if ((flags & flagOf(index)) === 0) continue;
    const [name, form] = FIELDS[index]!;
    const count = fieldBytes(bytes, position, end, form);
    if (form === 'short') properties[name] = decodeUtf8(bytes, position + 1, position + count);
    else if (form === 'octet') properties[name] = bytes[position]!;
    else if (form === 'table') properties[name] = decodeFieldTable(bytes, position + 4, position + count);
    else properties[name] = uint32(bytes, position) * 2 ** 32 + uint32(bytes, position + 4);
    position += count;
  }
  return properties as MessageProperties;
}

/** @throws BurrowError INVALID_ARGUMENT for what does not fit */
export function encodeProperties(properties: MessageProperties): Uint8Array {
  const writer = new ByteWriter(64);
  let flags = 0;
  for (let index = 0; index < FIELDS.length; index++) {
    if (properties[FIELDS[index]![0]] !== undefined) flags |= flagOf(index);
  }
  if (flags === 0) return NO_PROPERTIES;
  writer.uint16(flags);
  for (const [name, form] of FIELDS) {
    const value = properties[name];
    if (value !== undefined) writeField(writer, name, form, value);
  }
  return writer.finish();
}

export interface PropertyChanges {
  /** Headers to set, or to remove where undefined. */
  readonly headers?: ReadonlyMap<string, FieldValue | undefined>;
  /** Fields to remove. */
  readonly remove?: readonly PropertyName[];
  /** Fields to set. */
  readonly set?: MessageProperties;
}

/** The properties with changes; what is not named keeps its bytes. For bytes that were checked. */
export function editProperties(bytes: Uint8Array, changes: PropertyChanges): Uint8Array {
  const end = bytes.length;
  const flags = end < 2 ? 0 : flagsAt(bytes, 0);
  const writer = new ByteWriter(end + 128);
  let newFlags = 0;
  let position = 2;
  writer.uint16(0);
  for (let index = 0; index < FIELDS.length; index++) {
    const [name, form] = FIELDS[index]!;
    const isThere = (flags & flagOf(index)) !== 0;
    const from = position;
    if (isThere) position += fieldBytes(bytes, position, end, form);
    const value = changes.set?.[name];
    if (value !== undefined) writeField(writer, name, form, value);
    else if (name === 'headers' && changes.headers !== undefined) {
      const table = isThere
        ? editFieldTable(bytes, from + 4, position, changes.headers)
        : editFieldTable(NO_PROPERTIES, 0, 0, changes.headers);
      if (!isThere && table.length === 0) continue;
      writer.uint32(table.length).bytes(table);
    } else if (isThere && changes.remove?.includes(name) !== true) writer.bytes(bytes.subarray(from, position));
    else continue;
    newFlags |= flagOf(index);
  }
  const edited = writer.finish();
  edited[0] = newFlags >>> 8;
  edited[1] = newFlags & 0xff;
  return newFlags === 0 ? NO_PROPERTIES : edited;
}

function writeField(writer: ByteWriter, name: PropertyName, form: Form, value: string | number | FieldTable): void {
  if (form === 'short') {
    const count = utf8Bytes(value as string);
    if (count > 255) throw new BurrowError('INVALID_ARGUMENT', `${name} has ${count} bytes; AMQP allows 255.`);
    writer.uint8(count).string(value as string);
  } else if (form === 'table') {
    const table = encodeFieldTable(value as FieldTable);
    writer.uint32(table.length).bytes(table);
  } else {
    const number = value as number;
    const max = form === 'octet' ? 255 : Number.MAX_SAFE_INTEGER;
    if (!Number.isSafeInteger(number) || number < 0 || number > max) {
      throw new BurrowError('INVALID_ARGUMENT', `${name} must be a whole number from 0 to ${max}, not ${number}.`);
    }
    if (form === 'octet') writer.uint8(number);
    else writer.uint32(Math.floor(number / 2 ** 32)).uint32(number % 2 ** 32);
  }
}

function flagOf(index: number): number {
  return 1 << (15 - index);
}

function flagsAt(bytes: Uint8Array, position: number): number {
  return (bytes[position]! << 8) | bytes[position + 1]!;
}

/** Bytes of a field's value, its length included; more than there are if it is cut off. */
function fieldBytes(bytes: Uint8Array, position: number, end: number, form: Form): number {
  switch (form) {
    case 'short':
      return position < end ? 1 + bytes[position]! : 1;
    case 'octet':
      return 1;
    case 'time':
      return 8;
    case 'table':
      return end - position < 4 ? 4 : 4 + uint32(bytes, position);
  }
}

function uint32(bytes: Uint8Array, position: number): number {
  return (
    bytes[position]! * 0x100_0000 + ((bytes[position + 1]! << 16) | (bytes[position + 2]! << 8) | bytes[position + 3]!)
  );
}

function malformed(problem: string): BurrowError {
  return new BurrowError('MALFORMED_FRAME', `The properties of a message are malformed: ${problem}.`);
}
