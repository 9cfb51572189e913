/**
 * Puts the contents of one channel together: a method that has content, then its header frame, then body frames until the announced
 * size is reached (AMQP 0-9-1 section 4.2.6). Pure.
 *
 *     header payload = classId uint16 · weight uint16 · bodySize uint64 · property flags and values
 *
 * Nothing is allocated for an announced size; body frames stay the views that they came as.
 */
import { checkProperties } from '../../../src/messages/message-properties.ts';
import { AmqpException } from './reply-codes.ts';

/** A message as it came. The bytes are views of what was received: who keeps them longer than the handler's call copies them. */
export interface Content {
  /** Property flags and values, checked. */
  readonly properties: Buffer;
  readonly body: readonly Buffer[];
  readonly bodyBytes: number;
}

const HEADER_BYTES = 12;
const BASIC_CLASS = 60;
const NO_FRAMES: readonly Buffer[] = [];

export class ContentAssembly {
  readonly #bodyBytesMax: number;
  #properties: Buffer = Buffer.alloc(0);
  #body: Buffer[] = [];
  /** Announced, and received so far. */
  #bodySize = 0;
  #bodyBytes = 0;
  /** Frames of the body that were looked at by {@link detach}. */
  #detached = 0;
  /** What the next frame must be. */
  #expects: 'method' | 'header' | 'body' = 'method';

  constructor(bodyBytesMax: number) {
    this.#bodyBytesMax = bodyBytesMax;
  }

  /** Whether a content has begun and is not complete: then no method may come. */
  get isOpen(): boolean {
    return this.#expects !== 'method';
  }

  /** Bytes that are kept for a content that is not complete. */
  get bytes(): number {
    return this.#properties.length + this.#bodyBytes;
  }

  /** A method that has content came. */
  begin(): void {
    this.#expects = 'header';
  }

  /**
   * A header frame came. Gives the content if it has no body. Throws UNEXPECTED_FRAME, FRAME_ERROR, MALFORMED_FRAME for the properties,
   * or PRECONDITION_FAILED for a body that is too large, as RabbitMQ does: then the body may still come and is to be dropped.
   */
  onHeader(payload: Buffer): Content | undefined {
    if (this.#expects !== 'header') throw unexpected(`expected a ${this.#expects} frame, got a content header`);
    if (payload.length < HEADER_BYTES) throw new AmqpException('FRAME_ERROR', 'a content header is cut off');
    const classId = payload.readUInt16BE(0);
    if (classId !== BASIC_CLASS) throw unexpected(`expected a content header of class ${BASIC_CLASS}, got ${classId}`);
    const bodySize = payload.readUInt32BE(4) * 0x1_0000_0000 + payload.readUInt32BE(8);
    // By now the whole frame is here: it cannot be larger than frame_max.
    checkProperties(payload, HEADER_BYTES, payload.length);
    if (bodySize > this.#bodyBytesMax) {
      const text = `message size ${bodySize} is larger than configured max size ${this.#bodyBytesMax}`;
      throw new AmqpException('PRECONDITION_FAILED', text);
    }
    this.#properties = payload.subarray(HEADER_BYTES);
    this.#bodySize = bodySize;
    this.#expects = 'body';
    return bodySize === 0 ? this.#finish() : undefined;
  }

  /**
   * A body frame came. Gives the content if it is complete. Throws UNEXPECTED_FRAME, or FRAME_ERROR if there is more than was announced.
   * Empty frames are allowed and kept nowhere.
   */
  onBody(payload: Buffer): Content | undefined {
    if (this.#expects !== 'body') throw unexpected(`expected a ${this.#expects} frame, got a content body`);
    if (payload.length > this.#bodySize - this.#bodyBytes) {
      const text = `a body of ${this.#bodyBytes + payload.length} bytes was announced with ${this.#bodySize}`;
      throw new AmqpException('FRAME_ERROR', text);
    }
    if (payload.length === 0) return undefined;
    this.#body.push(payload);
    this.#bodyBytes += payload.length;
    return this.#bodyBytes === this.#bodySize ? this.#finish() : undefined;
  }

  /** Copies what is small in the chunk that it lies in, so that it does not keep all of the chunk alive while the rest is on its way. */
  detach(): void {
    if (this.#expects !== 'body') return;
    this.#properties = ownBytes(this.#properties);
    for (; this.#detached < this.#body.length; this.#detached++) {
      this.#body[this.#detached] = ownBytes(this.#body[this.#detached]!);
    }
  }

  /** Forgets a content that is not complete. */
  abandon(): void {
    this.#finish();
  }

  #finish(): Content {
    const content: Content = {
      properties: this.#properties,
      body: this.#bodyBytes === 0 ? NO_FRAMES : this.#body,
      bodyBytes: this.#bodyBytes,
    };
    this.#properties = this.#properties.subarray(0, 0);
    if (this.#bodyBytes > 0) this.#body = [];
    this.#bodyBytes = 0;
    this.#bodySize = 0;
    this.#detached = 0;
    this.#expects = 'method';
    return content;
  }
}

/** A content that keeps little besides itself alive. */
export function detached(content: Content): Content {
  return { ...content, properties: ownBytes(content.properties), body: content.body.map(ownBytes) };
}

/** The same bytes; a copy if they are a small part of what they lie in. */
function ownBytes(bytes: Buffer): Buffer {
  return bytes.length * 2 >= bytes.buffer.byteLength ? bytes : Buffer.from(bytes);
}

function unexpected(text: string): AmqpException {
  return new AmqpException('UNEXPECTED_FRAME', text);
}
