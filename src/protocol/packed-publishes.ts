/**
 * The messages of one publish request, packed in one binary, since a MessagePack value for each of their fields would cost more
 * than all the rest of the way. One after the other:
 *
 *     flags       uint8   1 mandatory · 2 exchange follows · 4 routing key follows · 8 properties follow
 *     exchange    uvarint bytes, UTF-8; without it that of the message before, and of the first the default one
 *     routingKey  uvarint bytes, UTF-8; without it that of the message before, and of the first the empty one
 *     properties  uvarint bytes, content properties as AMQP encodes them (0-9-1, section 4.2.6.1)
 *     body        uvarint bytes
 *
 * Per message: no objects but the views on properties and body.
 */

import { ByteReader } from '../bytes/reader.ts';
import { encodeUtf8Into, utf8Bytes } from '../bytes/utf8.ts';
import { VARINT_BYTES_MAX, writeUvarint } from '../bytes/varint.ts';
import { allocateBytes } from '../bytes/writer.ts';
import { BurrowError } from '../errors/burrow-error.ts';
import { checkProperties, NO_PROPERTIES } from '../messages/message-properties.ts';

const MANDATORY = 1;
const EXCHANGE = 2;
const ROUTING_KEY = 4;
const PROPERTIES = 8;
const FLAGS = MANDATORY | EXCHANGE | ROUTING_KEY | PROPERTIES;

/** Of names and routing keys: AMQP's short string. */
const SHORT_STRING_BYTES_MAX = 255;
const BYTES_INITIAL = 1024;
const NO_BYTES = new Uint8Array(0);

export class PackedPublishesWriter {
  #bytes: Uint8Array = NO_BYTES;
  #position = 0;
  #count = 0;
  #exchange = '';
  #routingKey = '';

  get count(): number {
    return this.#count;
  }

  get byteCount(): number {
    return this.#position;
  }

  /** The bytes are copied. `exchange` and `routingKey` must have been checked. Per message. */
  append(exchange: string, routingKey: string, properties: Uint8Array, body: Uint8Array, mandatory: boolean): void {
    let flags = mandatory ? MANDATORY : 0;
    let bytesMax = 1 + 4 * VARINT_BYTES_MAX + properties.length + body.length;
    let exchangeBytes = 0;
    let keyBytes = 0;
    if (exchange !== this.#exchange) {
      flags |= EXCHANGE;
      exchangeBytes = utf8Bytes(exchange);
      bytesMax += exchangeBytes;
      this.#exchange = exchange;
    }
    if (routingKey !== this.#routingKey) {
      flags |= ROUTING_KEY;
      keyBytes = utf8Bytes(routingKey);
      bytesMax += keyBytes;
      this.#routingKey = routingKey;
    }
    if (properties.length > 0) flags |= PROPERTIES;
    if (this.#position + bytesMax > this.#bytes.length) this.#enlarge(this.#position + bytesMax);
    const bytes = this.#bytes;
    let at = this.#position;
    bytes[at++] = flags;
    if ((flags & EXCHANGE) !== 0) at = encodeUtf8Into(exchange, bytes, writeUvarint(bytes, at, exchangeBytes));
    if ((flags & ROUTING_KEY) !== 0) at = encodeUtf8Into(routingKey, bytes, writeUvarint(bytes, at, keyBytes));
    if (properties.length > 0) at = writeBytes(bytes, at, properties);
    this.#position = writeBytes(bytes, at, body);
    this.#count++;
  }

  /** The bytes are the caller's; the writer is empty and starts in new memory. */
  finish(): Uint8Array {
    const packed = this.#bytes.subarray(0, this.#position);
    this.#bytes = NO_BYTES;
    this.#position = 0;
    this.#count = 0;
    this.#exchange = '';
    this.#routingKey = '';
    return packed;
  }

  #enlarge(bytesNeeded: number): void {
    const bytes = allocateBytes(Math.max(bytesNeeded, this.#bytes.length * 2, BYTES_INITIAL));
    bytes.set(this.#bytes.subarray(0, this.#position));
    this.#bytes = bytes;
  }
}

function writeBytes(bytes: Uint8Array, position: number, value: Uint8Array): number {
  const at = writeUvarint(bytes, position, value.length);
  bytes.set(value, at);
  return at + value.length;
}

/**
 * Throws MALFORMED_FRAME unless `packed` holds exactly `count` messages whose names are short enough and whose properties are sound.
 * Makes nothing of them, so that a request is taken whole or not at all.
 */
export function checkPackedPublishes(packed: Uint8Array, count: number): void {
  const reader = new ByteReader(packed);
  for (let index = 0; index < count; index++) {
    const flags = reader.uint8();
    if ((flags & ~FLAGS) !== 0) throw malformed(`message ${index} has flags that mean nothing`);
    if ((flags & EXCHANGE) !== 0) skipShortString(reader);
    if ((flags & ROUTING_KEY) !== 0) skipShortString(reader);
    if ((flags & PROPERTIES) !== 0) {
      const length = reader.uvarint();
      const start = reader.position;
      reader.skip(length);
      if (reader.ok) checkProperties(packed, start, reader.position);
    }
    reader.skip(reader.uvarint());
    if (!reader.ok) throw malformed(`message ${index} of ${count} is cut off, or one of its names is too long`);
  }
  if (reader.remaining > 0) throw malformed(`bytes follow the last of ${count} messages`);
}

function skipShortString(reader: ByteReader): void {
  const length = reader.uvarint();
  if (length > SHORT_STRING_BYTES_MAX) reader.fail();
  else reader.skip(length);
}

/** Walks over messages that {@link checkPackedPublishes} has checked. Is itself the message at which it stands, until the next. */
export class PackedPublishesReader {
  exchange = '';
  routingKey = '';
  /** Views on the packed bytes. */
  properties: Uint8Array = NO_PROPERTIES;
  readonly body: [Uint8Array] = [NO_BYTES];
  mandatory = false;
  readonly #reader: ByteReader;

  constructor(packed: Uint8Array) {
    this.#reader = new ByteReader(packed);
  }

  /** False at the end. Per message. */
  next(): boolean {
    const reader = this.#reader;
    if (reader.remaining === 0) return false;
    const flags = reader.uint8();
    this.mandatory = (flags & MANDATORY) !== 0;
    if ((flags & EXCHANGE) !== 0) this.exchange = reader.string(reader.uvarint());
    if ((flags & ROUTING_KEY) !== 0) this.routingKey = reader.string(reader.uvarint());
    this.properties = (flags & PROPERTIES) !== 0 ? reader.bytes(reader.uvarint()) : NO_PROPERTIES;
    this.body[0] = reader.bytes(reader.uvarint());
    return true;
  }
}

function malformed(problem: string): BurrowError {
  return new BurrowError('MALFORMED_FRAME', `The packed messages are malformed: ${problem}.`);
}
