/**
 * Cuts a stream of chunks into AMQP frames (0-9-1 section 2.3.5), without copying those that lie within one chunk.
 *
 *     frame = type uint8 · channel uint16 · length uint32 · that many bytes of payload · 0xCE
 *
 * Before the first frame stands the protocol header: eight bytes, "AMQP" and a version.
 */
import { ReceivedBytes } from '../received-bytes.ts';
import { AmqpException } from './reply-codes.ts';

export const METHOD_FRAME = 1;
export const HEADER_FRAME = 2;
export const BODY_FRAME = 3;
export const HEARTBEAT_FRAME = 8;
export const FRAME_END = 0xce;
export const FRAME_HEADER_BYTES = 7;
/** Bytes of a frame besides its payload. */
export const FRAME_OVERHEAD_BYTES = 8;
const PROTOCOL_HEADER_BYTES = 8;

export class FrameCutter {
  /** The frame that `next()` has cut. */
  type = 0;
  channel = 0;
  payload: Buffer = Buffer.alloc(0);

  #frameBytesMax: number;
  readonly #received = new ReceivedBytes();
  /** Length of the payload that comes next; -1 while its frame's header is not complete. */
  #length = -1;

  /** @param frameBytesMax - Of a whole frame. */
  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax;
  }

  /** From the next frame on, what was negotiated. */
  set frameBytesMax(bytes: number) {
    this.#frameBytesMax = bytes;
  }

  /** Bytes that have arrived and are not cut yet. */
  get bytes(): number {
    return this.#received.bytes;
  }

  push(chunk: Buffer): void {
    this.#received.push(chunk);
  }

  /** The first eight bytes of a connection, or undefined while they have not all arrived. */
  protocolHeader(): Buffer | undefined {
    return this.#received.bytes < PROTOCOL_HEADER_BYTES ? undefined : this.#received.take(PROTOCOL_HEADER_BYTES);
  }

  /**
   * Cuts the next frame, whose parts are then in the fields above. False if more bytes are needed. Throws FRAME_ERROR: for a frame that
   * is too large as soon as its length is known, or if its end is not where it should be. Nothing can be cut after that. Per frame: no
   * objects but the view.
   */
  next(): boolean {
    const received = this.#received;
    const front = received.frontBytes;
    if (this.#length < 0 && front >= FRAME_OVERHEAD_BYTES) {
      const length = this.#checkLength(
        received.frontByte(3) * 0x1_000000 +
          ((received.frontByte(4) << 16) | (received.frontByte(5) << 8) | received.frontByte(6)),
      );
      if (front >= length + FRAME_OVERHEAD_BYTES) {
        this.type = received.frontByte(0);
        this.channel = (received.frontByte(1) << 8) | received.frontByte(2);
        checkEnd(received.frontByte(FRAME_HEADER_BYTES + length), length);
        this.payload = received.takeFront(FRAME_HEADER_BYTES, length, 1);
        return true;
      }
    }
    return this.#nextStraddling();
  }

  /** A frame that lies in more than one chunk, or has not arrived. */
  #nextStraddling(): boolean {
    const received = this.#received;
    if (this.#length < 0) {
      if (received.bytes < FRAME_HEADER_BYTES) return false;
      const header = received.take(FRAME_HEADER_BYTES);
      this.type = header[0]!;
      this.channel = (header[1]! << 8) | header[2]!;
      this.#length = this.#checkLength(header.readUInt32BE(3));
    }
    if (received.bytes < this.#length + 1) return false;
    const rest = received.take(this.#length + 1);
    checkEnd(rest[this.#length]!, this.#length);
    this.payload = rest.subarray(0, this.#length);
    this.#length = -1;
    return true;
  }

  #checkLength(length: number): number {
    // Off by the eight bytes around the payload is what many clients get wrong, so RabbitMQ allows it (FRAME_SIZE_FUDGE).
    if (length <= this.#frameBytesMax) return length;
    const text = `a frame with ${length} bytes of payload; frame_max is ${this.#frameBytesMax}`;
    throw new AmqpException('FRAME_ERROR', text);
  }
}

function checkEnd(octet: number, length: number): void {
  if (octet === FRAME_END) return;
  throw new AmqpException('FRAME_ERROR', `a frame with ${length} bytes of payload does not end with 0xCE`);
}
