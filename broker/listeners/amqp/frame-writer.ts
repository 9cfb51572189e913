/**
 * Writes the frames of one connection into few buffers: small frames share a chunk of memory, large bodies are passed on as they are,
 * between the pieces of it. What a turn of the event loop wrote is taken with `take()` and sent at once.
 *
 * Memory is fresh and given away, never used again: a socket may still send from it (CVE-2026-35554 was that).
 * Per message: no objects but for the pieces of a large body.
 */
import { writeInt16, writeInt32, writeInt64 } from '../../../src/bytes/big-endian.ts';
import { encodeUtf8Into, utf8Bytes } from '../../../src/bytes/utf8.ts';
import { ByteWriter } from '../../../src/bytes/writer.ts';
import {
  BODY_FRAME,
  FRAME_END,
  FRAME_HEADER_BYTES,
  FRAME_OVERHEAD_BYTES,
  HEADER_FRAME,
  HEARTBEAT_FRAME,
  METHOD_FRAME,
} from './frame-cutter.ts';
import { encodeMethod } from './method-codec.ts';
import type { MethodArguments, MethodName } from './methods.ts';

/** A message as it is sent. */
export interface OutgoingMessage {
  readonly exchange: string;
  readonly routingKey: string;
  /** Property flags and values; none at all for no properties. */
  readonly properties: Uint8Array;
  /** The bytes must not change until they are sent. */
  readonly body: Uint8Array;
}

/** Chunks are as large as what was last sent at once, within these bounds: idle connections keep none. */
const CHUNK_BYTES_MIN = 512;
const CHUNK_BYTES_MAX = 64 * 1024;
/** Larger pieces of a body are not copied. */
const COPIED_BYTES_MAX = 4 * 1024;

const BASIC_CLASS = 60;
const DELIVER = 60;
const ACK = 80;
const NACK = 120;
const IDS_BYTES = 4;
const CONTENT_HEADER_BYTES = 12;
/** Flags that say that no property is set. */
const NO_PROPERTIES_BYTES = 2;
const SHORT_STRING_BYTES_MAX = 256;
const NO_BYTES: Buffer = Buffer.alloc(0);

export class FrameWriter {
  #frameBytesMax: number;
  #chunk = NO_BYTES;
  /** Of the chunk: up to where it is written, and from where it is not among the taken pieces. */
  #position = 0;
  #start = 0;
  #pieces: Buffer[] = [];
  #bytes = 0;
  #chunkBytes = CHUNK_BYTES_MIN;

  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax;
  }

  set frameBytesMax(bytes: number) {
    this.#frameBytesMax = bytes;
  }

  /** Bytes written and not taken. */
  get bytes(): number {
    return this.#bytes + this.#position - this.#start;
  }

  /** All that was written since the last call. */
  take(): Buffer[] {
    this.#cut();
    const pieces = this.#pieces;
    this.#chunkBytes = Math.min(Math.max(this.#bytes, CHUNK_BYTES_MIN), CHUNK_BYTES_MAX);
    this.#chunk = NO_BYTES;
    this.#position = 0;
    this.#start = 0;
    this.#pieces = [];
    this.#bytes = 0;
    return pieces;
  }

  /** Moves what is in the chunk among the pieces. */
  #cut(): void {
    if (this.#position === this.#start) return;
    this.#pieces.push(this.#chunk.subarray(this.#start, this.#position));
    this.#bytes += this.#position - this.#start;
    this.#start = this.#position;
  }

  /** Makes sure of room for `count` bytes in one chunk. */
  #reserve(count: number): void {
    if (this.#position + count <= this.#chunk.length) return;
    if (this.#chunk.length > 0) this.#chunkBytes = Math.min(this.#chunkBytes * 2, CHUNK_BYTES_MAX);
    this.#cut();
    this.#chunk = Buffer.allocUnsafeSlow(Math.max(count, this.#chunkBytes));
    this.#position = 0;
    this.#start = 0;
  }

  /** Bytes that are no frame: the protocol header. */
  raw(bytes: Buffer): void {
    this.#reserve(bytes.length);
    this.#position += bytes.copy(this.#chunk, this.#position);
  }

  heartbeat(): void {
    this.#reserve(FRAME_OVERHEAD_BYTES);
    this.#header(HEARTBEAT_FRAME, 0, 0);
    this.#chunk[this.#position++] = FRAME_END;
  }

  method<N extends MethodName>(channel: number, name: N, args: MethodArguments<N>): void {
    const writer = new ByteWriter(64);
    encodeMethod(writer, name, args);
    this.#methodPayload(channel, writer.finish());
  }

  #methodPayload(channel: number, payload: Uint8Array): void {
    this.#reserve(payload.length + FRAME_OVERHEAD_BYTES);
    this.#header(METHOD_FRAME, channel, payload.length);
    this.#chunk.set(payload, this.#position);
    this.#position += payload.length;
    this.#chunk[this.#position++] = FRAME_END;
  }

  /** A method that has content, and the content. */
  content<N extends 'basic.return' | 'basic.get-ok'>(
    channel: number,
    name: N,
    args: MethodArguments<N>,
    message: OutgoingMessage,
  ): void {
    this.method(channel, name, args);
    this.#content(channel, message.properties, message.body);
  }

  /** basic.deliver and its content. Per message. */
  deliver(
    channel: number,
    consumerTag: string,
    deliveryTag: number,
    redelivered: boolean,
    message: OutgoingMessage,
  ): void {
    const payloadBytesMax = IDS_BYTES + 3 * SHORT_STRING_BYTES_MAX + 9;
    this.#reserve(payloadBytesMax + FRAME_OVERHEAD_BYTES);
    const chunk = this.#chunk;
    const headerPosition = this.#position;
    this.#position += FRAME_HEADER_BYTES;
    this.#ids(DELIVER);
    this.#shortString(consumerTag);
    this.#deliveryTag(deliveryTag);
    chunk[this.#position++] = redelivered ? 1 : 0;
    this.#shortString(message.exchange);
    this.#shortString(message.routingKey);
    this.#endMethod(headerPosition, channel);
    this.#content(channel, message.properties, message.body);
  }

  /** basic.ack as a confirm. Per message. */
  ack(channel: number, deliveryTag: number, multiple: boolean): void {
    this.#settle(channel, ACK, deliveryTag, multiple);
  }

  /** basic.nack as a confirm. Per message. */
  nack(channel: number, deliveryTag: number, multiple: boolean): void {
    this.#settle(channel, NACK, deliveryTag, multiple);
  }

  #settle(channel: number, methodId: number, deliveryTag: number, multiple: boolean): void {
    this.#reserve(FRAME_OVERHEAD_BYTES + IDS_BYTES + 9);
    const headerPosition = this.#position;
    this.#position += FRAME_HEADER_BYTES;
    this.#ids(methodId);
    this.#deliveryTag(deliveryTag);
    this.#chunk[this.#position++] = multiple ? 1 : 0;
    this.#endMethod(headerPosition, channel);
  }

  #header(type: number, channel: number, payloadBytes: number): void {
    this.#headerAt(this.#position, type, channel, payloadBytes);
    this.#position += FRAME_HEADER_BYTES;
  }

  #headerAt(position: number, type: number, channel: number, payloadBytes: number): void {
    this.#chunk[position] = type;
    writeInt16(this.#chunk, position + 1, channel);
    writeInt32(this.#chunk, position + 3, payloadBytes);
  }

  #endMethod(headerPosition: number, channel: number): void {
    this.#headerAt(headerPosition, METHOD_FRAME, channel, this.#position - headerPosition - FRAME_HEADER_BYTES);
    this.#chunk[this.#position++] = FRAME_END;
  }

  #ids(methodId: number): void {
    writeInt32(this.#chunk, this.#position, (BASIC_CLASS << 16) | methodId);
    this.#position += IDS_BYTES;
  }

  #deliveryTag(deliveryTag: number): void {
    writeInt64(this.#chunk, this.#position, deliveryTag);
    this.#position += 8;
  }

  /** Cut at 255 bytes, between characters: the key of a record that came by another protocol may be longer. */
  #shortString(text: string): void {
    const chunk = this.#chunk;
    const position = this.#position + 1;
    let count = utf8Bytes(text);
    if (count < SHORT_STRING_BYTES_MAX) encodeUtf8Into(text, chunk, position);
    else count = chunk.write(text, position, SHORT_STRING_BYTES_MAX - 1);
    chunk[position - 1] = count;
    this.#position = position + count;
  }

  #content(channel: number, properties: Uint8Array, body: Uint8Array): void {
    const propertiesBytes = properties.length === 0 ? NO_PROPERTIES_BYTES : properties.length;
    this.#reserve(FRAME_OVERHEAD_BYTES + CONTENT_HEADER_BYTES + propertiesBytes);
    this.#header(HEADER_FRAME, channel, CONTENT_HEADER_BYTES + propertiesBytes);
    const chunk = this.#chunk;
    // Class and weight; and flags, where there are no properties to write over them.
    writeInt32(chunk, this.#position, BASIC_CLASS << 16);
    writeInt16(chunk, this.#position + CONTENT_HEADER_BYTES, 0);
    writeInt64(chunk, this.#position + 4, body.length);
    chunk.set(properties, this.#position + CONTENT_HEADER_BYTES);
    this.#position += CONTENT_HEADER_BYTES + propertiesBytes;
    chunk[this.#position++] = FRAME_END;
    const pieceBytesMax = this.#frameBytesMax - FRAME_OVERHEAD_BYTES;
    for (let from = 0; from < body.length; from += pieceBytesMax) {
      this.#bodyFrame(channel, body, from, Math.min(from + pieceBytesMax, body.length));
    }
  }

  #bodyFrame(channel: number, body: Uint8Array, from: number, to: number): void {
    const count = to - from;
    if (count <= COPIED_BYTES_MAX) {
      this.#reserve(count + FRAME_OVERHEAD_BYTES);
      this.#header(BODY_FRAME, channel, count);
      this.#chunk.set(from === 0 && to === body.length ? body : body.subarray(from, to), this.#position);
      this.#position += count;
    } else {
      // The end octet, too, must find room in this chunk.
      this.#reserve(FRAME_OVERHEAD_BYTES);
      this.#header(BODY_FRAME, channel, count);
      this.#cut();
      this.#pieces.push(Buffer.from(body.buffer, body.byteOffset + from, count));
      this.#bytes += count;
    }
    this.#chunk[this.#position++] = FRAME_END;
  }
}
