/**
 * How messages become records of a topic and records become messages, as docs/mapping.md tells it to users. Both ways lose as
 * little as the other side can hold: properties become record headers with names of their own and come back as they were; headers
 * that are no strings become text and come back as text.
 */
import { isUtf8 } from 'node:buffer';
import { utf8Bytes } from '../../src/bytes/utf8.ts';
import type { FieldTable, FieldValue } from '../../src/messages/field-value.ts';
import { decodeProperties, encodeProperties, type MessageProperties } from '../../src/messages/message-properties.ts';
import type { RecordHeader } from '../../src/records/record-header.ts';

const EXCHANGE = 'amqp-exchange';
/** Only where the key of the record is something else. */
const ROUTING_KEY = 'amqp-routing-key';

type TextProperty = Exclude<keyof MessageProperties, 'headers' | 'deliveryMode' | 'priority' | 'timestamp'>;

const TEXT_PROPERTIES: ReadonlyMap<string, TextProperty> = new Map<string, TextProperty>([
  ['amqp-content-type', 'contentType'],
  ['amqp-content-encoding', 'contentEncoding'],
  ['amqp-correlation-id', 'correlationId'],
  ['amqp-reply-to', 'replyTo'],
  ['amqp-expiration', 'expiration'],
  ['amqp-message-id', 'messageId'],
  ['amqp-type', 'type'],
  ['amqp-user-id', 'userId'],
  ['amqp-app-id', 'appId'],
  ['amqp-cluster-id', 'clusterId'],
]);
/** With their greatest values. */
const NUMBER_PROPERTIES: ReadonlyMap<string, readonly ['deliveryMode' | 'priority' | 'timestamp', number]> = new Map([
  ['amqp-delivery-mode', ['deliveryMode', 255]],
  ['amqp-priority', ['priority', 255]],
  ['amqp-timestamp', ['timestamp', Number.MAX_SAFE_INTEGER]],
] as const);

/** AMQP's short string: names of headers, properties, routing keys. */
const SHORT_STRING_BYTES_MAX = 255;

/**
 * The headers of the record for a message.
 * @param routingKey - undefined if it is the key of the record
 */
export function recordHeadersOf(message: {
  readonly exchange: string;
  readonly routingKey: string | undefined;
  readonly properties: Uint8Array;
}): RecordHeader[] {
  const { exchange, routingKey } = message;
  const properties = decodeProperties(message.properties);
  const headers: RecordHeader[] = [];
  const add = (key: string, value: string): void => void headers.push({ key, value: Buffer.from(value) });
  for (const [key, value] of properties.headers ?? []) {
    // What says more than it is would come back as a property.
    if (!isReserved(key)) headers.push({ key, value: bytesOf(value) });
  }
  if (exchange !== '') add(EXCHANGE, exchange);
  if (routingKey !== undefined) add(ROUTING_KEY, routingKey);
  for (const [key, name] of TEXT_PROPERTIES) if (properties[name] !== undefined) add(key, properties[name]);
  for (const [key, [name]] of NUMBER_PROPERTIES) if (properties[name] !== undefined) add(key, String(properties[name]));
  return headers;
}

export interface MappedRecord {
  readonly partition: number;
  readonly offset: number;
  readonly timestampMs: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: readonly RecordHeader[];
}

/** The message for a record; the body is a view of its value. */
export function messageOf(record: MappedRecord): {
  readonly exchange: string;
  readonly routingKey: string;
  readonly properties: Uint8Array;
  readonly body: readonly Uint8Array[];
} {
  const { partition, offset, timestampMs, key, value } = record;
  const properties: { -readonly [Name in keyof MessageProperties]: MessageProperties[Name] } = {};
  const headers = new Map<string, FieldValue>();
  let exchange = '';
  let routingKey: string | undefined;
  if (timestampMs >= 0) properties.timestamp = Math.floor(timestampMs / 1000);
  for (const header of record.headers) {
    if (!isReserved(header.key)) {
      if (utf8Bytes(header.key) <= SHORT_STRING_BYTES_MAX) headers.set(header.key, fieldOf(header.value));
      continue;
    }
    const text = shortString(header.value);
    if (text === undefined) continue;
    if (header.key === EXCHANGE) exchange = text;
    else if (header.key === ROUTING_KEY) routingKey = text;
    else setProperty(properties, header.key, text);
  }
  if (routingKey === undefined) {
    routingKey = shortString(key) ?? '';
    if (key !== null && shortString(key) === undefined) headers.set('x-record-key', key);
  }
  if (value === null) headers.set('x-tombstone', true);
  // 64-bit integers, as RabbitMQ's stream offsets are.
  headers.set('x-stream-offset', BigInt(offset));
  headers.set('x-stream-partition', BigInt(partition));
  properties.headers = headers;
  return { exchange, routingKey, properties: encodeProperties(properties), body: value === null ? [] : [value] };
}

function isReserved(key: string): boolean {
  return key === EXCHANGE || key === ROUTING_KEY || TEXT_PROPERTIES.has(key) || NUMBER_PROPERTIES.has(key);
}

function setProperty(
  properties: { -readonly [Name in keyof MessageProperties]: MessageProperties[Name] },
  key: string,
  text: string,
): void {
  const name = TEXT_PROPERTIES.get(key);
  if (name !== undefined) {
    properties[name] = text;
    return;
  }
  const [numberName, max] = NUMBER_PROPERTIES.get(key)!;
  if (/^[0-9]{1,16}$/.test(text) && Number(text) <= max) properties[numberName] = Number(text);
}

/** Undefined if it is no text, or too long for AMQP. */
function shortString(bytes: Uint8Array | null): string | undefined {
  if (bytes === null || bytes.length > SHORT_STRING_BYTES_MAX || !isUtf8(bytes)) return undefined;
  return textOf(bytes);
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
}

function fieldOf(value: Uint8Array | null): FieldValue {
  if (value === null) return null;
  return isUtf8(value) ? textOf(value) : value;
}

function bytesOf(value: FieldValue): Uint8Array | null {
  if (value === null || value instanceof Uint8Array) return value;
  if (typeof value !== 'object') return Buffer.from(String(value));
  const plain = plainOf(value);
  return Buffer.from(typeof plain === 'object' ? JSON.stringify(plain) : String(plain));
}

/** As JSON has it. Bytes become base64, timestamps their seconds. */
function plainOf(value: FieldValue): unknown {
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (value instanceof Map)
    return Object.fromEntries(Array.from(value as FieldTable, ([key, each]) => [key, plainOf(each)]));
  if (Array.isArray(value)) return (value as readonly FieldValue[]).map(plainOf);
  const typed = value as Extract<FieldValue, { readonly type: string }>;
  return typed.type === 'timestamp' ? typed.seconds : decimalText(typed.value, typed.scale);
}

function decimalText(value: number, scale: number): string {
  const digits = String(Math.abs(value)).padStart(scale + 1, '0');
  const whole = digits.slice(0, digits.length - scale);
  const sign = value < 0 ? '-' : '';
  return scale === 0 ? `${sign}${whole}` : `${sign}${whole}.${digits.slice(-scale)}`;
}
