/**
 * Messages on their way to a consumer, packed in one binary. One after the other:
 *
 *     flags       uint8    1 returns follow · 2 exchange follows · 4 properties follow
 *     tag         uvarint  delivery tag, less the tag before it (of the first: less the frame's `baseTag`)
 *     timestamp   varlong  when it was published, in ms, less the frame's `baseTimestampMs`
 *     returns     uvarint  how often it was delivered before and came back
 *     exchange    uvarint bytes, UTF-8; without it the default one
 *     routingKey  uvarint bytes, UTF-8
 *     properties  uvarint bytes, content properties as AMQP encodes them (0-9-1, section 4.2.6.1)
 *     body        uvarint bytes
 *
 * Per message: no objects.
 */
import { ByteReader } from '../bytes/reader.ts';
import { VARINT_BYTES_MAX, VARLONG_BYTES_MAX, writeUvarint, writeVarlong } from '../bytes/varint.ts';
import { allocateBytes } from '../bytes/writer.ts';
import { BurrowError } from '../errors/burrow-error.ts';

const RETURNS = 1;
const EXCHANGE = 2;
const PROPERTIES = 4;

/** What a writer takes at first: as much as it needed the last time and some more, so that it seldom has to move. */
const BYTES_INITIAL = 4096;
const BYTES_INITIAL_MAX = 256 * 1024;
const HEAD_BYTES_MAX = 1 + 6 * VARINT_BYTES_MAX + VARLONG_BYTES_MAX;
const NO_BYTES = new Uint8Array(0);

/** A stored message as places in the bytes that hold it. */
export interface MessageSource {
  readonly timestampMs: number;
  readonly bytes: Uint8Array;
  readonly exchangePosition: number;
  /** 0 for the default exchange. */
  readonly exchangeBytes: number;
  readonly keyPosition: number;
  readonly keyBytes: number;
  readonly propertiesPosition: number;
  /** 0 without properties. */
  readonly propertiesBytes: number;
  readonly bodyPosition: number;
  readonly bodyBytes: number;
}

/** What goes into a frame beside the packed messages. */
export interface PackedDeliveries {
  readonly baseTag: number;
  readonly baseTimestampMs: number;
  readonly count: number;
  readonly messages: Uint8Array;
}

export class PackedDeliveriesWriter {
  #bytes: Uint8Array = NO_BYTES;
  #position = 0;
  #count = 0;
  #baseTag = 0;
  #lastTag = 0;
  #baseTimestampMs = 0;
  #bytesInitial = BYTES_INITIAL;

  get count(): number {
    return this.#count;
  }

  get byteCount(): number {
    return this.#position;
  }

  /** Tags must ascend. The bytes are copied. Per message. */
  append(tag: number, returns: number, source: MessageSource): void {
    const { keyBytes, exchangeBytes, propertiesBytes, bodyBytes } = source;
    if (this.#count === 0) {
      this.#baseTag = tag;
      this.#lastTag = tag;
      this.#baseTimestampMs = source.timestampMs;
    }
    const end = this.#position + HEAD_BYTES_MAX + keyBytes + exchangeBytes + propertiesBytes + bodyBytes;
    if (end > this.#bytes.length) this.#enlarge(end);
    const bytes = this.#bytes;
    let at = this.#position;
    bytes[at++] =
      (returns > 0 ? RETURNS : 0) | (exchangeBytes > 0 ? EXCHANGE : 0) | (propertiesBytes > 0 ? PROPERTIES : 0);
    at = writeUvarint(bytes, at, tag - this.#lastTag);
    at = writeVarlong(bytes, at, source.timestampMs - this.#baseTimestampMs);
    if (returns > 0) at = writeUvarint(bytes, at, returns);
    if (exchangeBytes > 0) at = copySized(bytes, at, source.bytes, source.exchangePosition, exchangeBytes);
    at = copySized(bytes, at, source.bytes, source.keyPosition, keyBytes);
    if (propertiesBytes > 0) at = copySized(bytes, at, source.bytes, source.propertiesPosition, propertiesBytes);
    this.#position = copySized(bytes, at, source.bytes, source.bodyPosition, bodyBytes);
    this.#lastTag = tag;
    this.#count++;
  }

  /** What was appended; the writer is empty and starts in new memory. */
  finish(): PackedDeliveries {
    const packed = {
      baseTag: this.#baseTag,
      baseTimestampMs: this.#baseTimestampMs,
      count: this.#count,
      messages: this.#bytes.subarray(0, this.#position),
    };
    const likelyBytes = this.#position + (this.#position >> 2);
    this.#bytesInitial = Math.min(Math.max(likelyBytes, BYTES_INITIAL), BYTES_INITIAL_MAX);
    this.#bytes = NO_BYTES;
    this.#position = 0;
    this.#count = 0;
    return packed;
  }

  #enlarge(bytesNeeded: number): void {
    const bytes = allocateBytes(Math.max(bytesNeeded, this.#bytes.length * 2, this.#bytesInitial));
    bytes.set(this.#bytes.subarray(0, this.#position));
    this.#bytes = bytes;
  }
}

/** A loop for short pieces: the view that `set` would need costs more. */
const LOOP_BYTES_MAX = 48;

function copySized(into: Uint8Array, position: number, from: Uint8Array, start: number, count: number): number {
  const at = writeUvarint(into, position, count);
  if (count <= LOOP_BYTES_MAX) for (let index = 0; index < count; index++) into[at + index] = from[start + index]!;
  else into.set(from.subarray(start, start + count), at);
  return at + count;
}

/** Walks over packed deliveries: its fields are those of the message at which it stands. */
export class PackedDeliveriesReader implements MessageSource {
  readonly bytes: Uint8Array;
  deliveryTag: number;
  timestampMs = 0;
  /** How often it was delivered before and came back. */
  returns = 0;
  exchangePosition = 0;
  exchangeBytes = 0;
  keyPosition = 0;
  keyBytes = 0;
  propertiesPosition = 0;
  propertiesBytes = 0;
  bodyPosition = 0;
  bodyBytes = 0;
  readonly #reader: ByteReader;
  readonly #baseTimestampMs: number;
  #left: number;

  constructor(packed: PackedDeliveries) {
    this.bytes = packed.messages;
    this.deliveryTag = packed.baseTag;
    this.#baseTimestampMs = packed.baseTimestampMs;
    this.#left = packed.count;
    this.#reader = new ByteReader(packed.messages);
  }

  /** Messages that {@link next} has not reached. */
  get left(): number {
    return this.#left;
  }

  /** False at the end. Per message. @throws BurrowError MALFORMED_FRAME */
  next(): boolean {
    const reader = this.#reader;
    if (this.#left === 0) {
      if (reader.remaining > 0) throw malformed('bytes follow the last message');
      return false;
    }
    this.#left--;
    const flags = reader.uint8();
    this.deliveryTag += reader.uvarint();
    this.timestampMs = this.#baseTimestampMs + reader.varlong();
    this.returns = (flags & RETURNS) !== 0 ? reader.uvarint() : 0;
    this.exchangeBytes = (flags & EXCHANGE) !== 0 ? reader.uvarint() : 0;
    this.exchangePosition = reader.position;
    reader.skip(this.exchangeBytes);
    this.keyBytes = reader.uvarint();
    this.keyPosition = reader.position;
    reader.skip(this.keyBytes);
    this.propertiesBytes = (flags & PROPERTIES) !== 0 ? reader.uvarint() : 0;
    this.propertiesPosition = reader.position;
    reader.skip(this.propertiesBytes);
    this.bodyBytes = reader.uvarint();
    this.bodyPosition = reader.position;
    reader.skip(this.bodyBytes);
    if (!reader.ok) throw malformed('a message is cut off');
    return true;
  }
}

function malformed(problem: string): BurrowError {
  return new BurrowError('MALFORMED_FRAME', `The packed deliveries are malformed: ${problem}.`);
}
