/**
 * The stored form of queue messages: record batches as of any log, one record a message.
 *
 *     key      the routing key, UTF-8
 *     value    the body
 *     headers  "p": the content properties as AMQP encodes them (property flags and values, AMQP 0-9-1 section 4.2.6.1), if any
 *              "e": the name of the exchange, unless it is the default one
 *              "d": empty, if the message is a dead letter: then what its properties say about deaths is the broker's own
 *     timestamp  when the message was published here
 *
 * Builder and reader go over the bytes without an object per message.
 */
import { encodeUtf8Into, utf8Bytes } from '../../src/bytes/utf8.ts';
import { varintBytes, varlongBytes, writeVarint, writeVarlong } from '../../src/bytes/varint.ts';
import { BATCH_HEADER_BYTES, NONE, writeBatchHeader } from '../../src/records/batch-header.ts';
import type { RecordCursor } from '../../src/records/record-cursor.ts';

const PROPERTIES_HEADER = 0x70; // "p"
const EXCHANGE_HEADER = 0x65; // "e"
const DEAD_LETTER_HEADER = 0x64; // "d"
const BYTES_INITIAL = 4096;
const NO_BYTES = Buffer.alloc(0);

/** A message as it comes from a publisher. The bytes are copied when it is stored. */
export interface PublishedMessage {
  readonly exchange: string;
  readonly routingKey: string;
  /** Content properties as AMQP encodes them, flags included; empty for none. */
  readonly properties: Uint8Array;
  /** The body, in one or more pieces. */
  readonly body: readonly Uint8Array[];
  /** It has died in a queue of this broker, which its headers tell. Default false. */
  readonly isDeadLetter?: boolean;
}

export class MessageBatchBuilder {
  #bytes: Buffer = NO_BYTES;
  #position = BATCH_HEADER_BYTES;
  #count = 0;
  #baseTimestampMs = 0;
  #maxTimestampMs = 0;
  #bytesInitial = BYTES_INITIAL;

  get count(): number {
    return this.#count;
  }

  /** Of the batch so far, its header included. */
  get byteCount(): number {
    return this.#position;
  }

  /** Per message. */
  append(timestampMs: number, message: PublishedMessage): void {
    const { exchange, routingKey, properties, body } = message;
    const isDeadLetter = message.isDeadLetter === true;
    if (this.#count === 0) {
      this.#baseTimestampMs = timestampMs;
      this.#maxTimestampMs = timestampMs;
    } else if (timestampMs > this.#maxTimestampMs) this.#maxTimestampMs = timestampMs;
    const timestampDelta = timestampMs - this.#baseTimestampMs;
    const keyBytes = utf8Bytes(routingKey);
    const exchangeBytes = exchange === '' ? 0 : utf8Bytes(exchange);
    let bodyBytes = 0;
    for (const piece of body) bodyBytes += piece.length;
    const headers = (properties.length > 0 ? 1 : 0) + (exchangeBytes > 0 ? 1 : 0) + (isDeadLetter ? 1 : 0);
    const recordBytes =
      1 +
      varlongBytes(timestampDelta) +
      varintBytes(this.#count) +
      varintBytes(keyBytes) +
      keyBytes +
      varintBytes(bodyBytes) +
      bodyBytes +
      1 +
      (properties.length > 0 ? 2 + varintBytes(properties.length) + properties.length : 0) +
      (exchangeBytes > 0 ? 2 + varintBytes(exchangeBytes) + exchangeBytes : 0) +
      (isDeadLetter ? 3 : 0);
    const end = this.#position + varintBytes(recordBytes) + recordBytes;
    if (end > this.#bytes.length) this.#enlarge(end);

    const bytes = this.#bytes;
    let at = writeVarint(bytes, this.#position, recordBytes);
    bytes[at++] = 0;
    at = writeVarlong(bytes, at, timestampDelta);
    at = writeVarint(bytes, at, this.#count);
    at = writeVarint(bytes, at, keyBytes);
    at = encodeUtf8Into(routingKey, bytes, at);
    at = writeVarint(bytes, at, bodyBytes);
    for (const piece of body) {
      bytes.set(piece, at);
      at += piece.length;
    }
    bytes[at++] = headers << 1;
    if (properties.length > 0) {
      bytes[at++] = 2; // zigzag of 1
      bytes[at++] = PROPERTIES_HEADER;
      at = writeVarint(bytes, at, properties.length);
      bytes.set(properties, at);
      at += properties.length;
    }
    if (exchangeBytes > 0) {
      bytes[at++] = 2;
      bytes[at++] = EXCHANGE_HEADER;
      at = writeVarint(bytes, at, exchangeBytes);
      at = encodeUtf8Into(exchange, bytes, at);
    }
    if (isDeadLetter) {
      bytes[at++] = 2;
      bytes[at++] = DEAD_LETTER_HEADER;
      bytes[at++] = 0;
    }
    this.#position = end;
    this.#count++;
  }

  /** The batch; the builder is empty afterwards and keeps no hold on the bytes. */
  finish(): Buffer {
    if (this.#count === 0) throw new Error('A batch needs at least one message');
    const batch = this.#bytes.subarray(0, this.#position);
    writeBatchHeader(batch, 0, batch.length, {
      baseOffset: 0,
      partitionLeaderEpoch: NONE,
      attributes: 0,
      lastOffsetDelta: this.#count - 1,
      baseTimestamp: this.#baseTimestampMs,
      maxTimestamp: this.#maxTimestampMs,
      producerId: NONE,
      producerEpoch: NONE,
      baseSequence: NONE,
      recordsCount: this.#count,
    });
    this.#bytesInitial = Math.max(BYTES_INITIAL, Math.min(this.#position + (this.#position >> 2), 1 << 20));
    this.#bytes = NO_BYTES;
    this.#position = BATCH_HEADER_BYTES;
    this.#count = 0;
    return batch;
  }

  #enlarge(bytesNeeded: number): void {
    const bytes = Buffer.allocUnsafeSlow(Math.max(bytesNeeded, this.#bytes.length * 2, this.#bytesInitial));
    this.#bytes.copy(bytes, 0, 0, this.#position);
    this.#bytes = bytes;
  }
}

/**
 * One stored message, seen in the bytes of its batch. One view is used for message after message: what outlives the next
 * one must be copied.
 */
export class MessageView {
  offset = -1;
  timestampMs = 0;
  bytes: Buffer = NO_BYTES;
  bodyPosition = 0;
  bodyBytes = 0;
  propertiesPosition = 0;
  /** 0 without properties. */
  propertiesBytes = 0;
  isDeadLetter = false;
  #keyPosition = 0;
  #keyBytes = 0;
  #exchangePosition = 0;
  #exchangeBytes = 0;

  /** Looks at the record at which `cursor` stands. False if it is no message. Per message. */
  set(cursor: RecordCursor, offset: number, timestampMs: number): boolean {
    this.offset = offset;
    this.timestampMs = timestampMs;
    this.bytes = cursor.bytes as Buffer;
    this.#keyPosition = cursor.keyPosition;
    this.#keyBytes = Math.max(0, cursor.keyBytes);
    this.bodyPosition = cursor.valuePosition;
    this.bodyBytes = Math.max(0, cursor.valueBytes);
    this.propertiesBytes = 0;
    this.isDeadLetter = false;
    this.#exchangeBytes = 0;
    let at = cursor.headersPosition;
    for (let header = 0; header < cursor.headersCount; header++) {
      // Written by the builder above: names of one byte, lengths that the cursor has checked.
      if (this.bytes[at] !== 2) return false;
      const name = this.bytes[at + 1]!;
      let value = 0;
      let shift = 0;
      let byte: number;
      at += 2;
      do {
        byte = this.bytes[at++]!;
        value |= (byte & 0x7f) << shift;
        shift += 7;
      } while (byte >= 0x80);
      const length = value >>> 1;
      if (name === PROPERTIES_HEADER) {
        this.propertiesPosition = at;
        this.propertiesBytes = length;
      } else if (name === EXCHANGE_HEADER) {
        this.#exchangePosition = at;
        this.#exchangeBytes = length;
      } else if (name === DEAD_LETTER_HEADER) this.isDeadLetter = true;
      else return false;
      at += length;
    }
    return true;
  }

  get routingKey(): string {
    return this.bytes.toString('utf8', this.#keyPosition, this.#keyPosition + this.#keyBytes);
  }

  get exchange(): string {
    return this.bytes.toString('utf8', this.#exchangePosition, this.#exchangePosition + this.#exchangeBytes);
  }

  /** A view on the batch. */
  get body(): Buffer {
    return this.bytes.subarray(this.bodyPosition, this.bodyPosition + this.bodyBytes);
  }

  /** A view on the batch; empty without properties. */
  get properties(): Buffer {
    return this.bytes.subarray(this.propertiesPosition, this.propertiesPosition + this.propertiesBytes);
  }
}
