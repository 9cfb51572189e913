/**
 * Cuts a stream of chunks into frames. A frame within one chunk is a view of it; one that straddles chunks is put together
 * once, when all of it has arrived, so memory grows with the bytes received and never with a length announced.
 *
 *     frame = length int32 · that many bytes
 */
import { BurrowError } from '../../../src/errors/burrow-error.ts';

const LENGTH_BYTES = 4;
/** API key, API version and correlation id, which stand in every request. */
const REQUEST_BYTES_MIN = 8;
/** Smaller chunks are copied together, or a frame that comes byte by byte would cost a buffer object for each. */
const SMALL_CHUNK_BYTES = 8 * 1024;
const GATHER_BYTES = 64 * 1024;

export class FrameCutter {
  readonly #frameBytesMax: number;
  /** What has arrived and is not cut yet, in order. */
  #pieces: Buffer[] = [];
  #bytes = 0;
  /** How many bytes of the last piece are filled; it has more room if it is one that small chunks are gathered in. */
  #lastFilled = 0;
  /** Bytes of the first piece that are cut already. */
  #start = 0;
  /** Length of the frame that comes next; -1 while its length field is not complete. */
  #length = -1;
  #cutAny = false;

  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax;
  }

  /** Whether a frame has begun to arrive and is not complete. After `next()` gave undefined. */
  get partial(): boolean {
    return this.#bytes > 0 || this.#length >= 0;
  }

  /** Bytes that have arrived and are not cut yet. */
  get bytes(): number {
    return this.#bytes;
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#bytes += chunk.length;
    if (this.#pieces.length > 0 && chunk.length < SMALL_CHUNK_BYTES) {
      this.#gather(chunk);
      return;
    }
    this.#closeLast();
    this.#pieces.push(chunk);
    this.#lastFilled = chunk.length;
  }

  /** Cuts the room off a piece behind which another one comes. */
  #closeLast(): void {
    const last = this.#pieces.length - 1;
    if (last >= 0) this.#pieces[last] = this.#pieces[last]!.subarray(0, this.#lastFilled);
  }

  #gather(chunk: Buffer): void {
    const last = this.#pieces.at(-1)!;
    const taken = chunk.copy(last, this.#lastFilled, 0, Math.min(chunk.length, last.length - this.#lastFilled));
    this.#lastFilled += taken;
    if (taken === chunk.length) return;
    const room = Buffer.allocUnsafeSlow(GATHER_BYTES);
    this.#lastFilled = chunk.copy(room, 0, taken);
    this.#pieces.push(room);
  }

  /**
   * The next whole frame, without its length field, or undefined if more bytes are needed. Throws MALFORMED_FRAME or
   * FRAME_TOO_LARGE, as soon as the length is known; nothing can be cut after that.
   */
  next(): Buffer | undefined {
    if (this.#length < 0) {
      if (this.#bytes < LENGTH_BYTES) return undefined;
      const field = this.#take(LENGTH_BYTES);
      this.#length = this.#checkLength(field);
    }
    if (this.#bytes < this.#length) return undefined;
    const frame = this.#take(this.#length);
    this.#length = -1;
    this.#cutAny = true;
    return frame;
  }

  #checkLength(field: Buffer): number {
    const length = field.readInt32BE(0);
    if (length >= REQUEST_BYTES_MIN && length <= this.#frameBytesMax) return length;
    const foreign = this.#cutAny ? undefined : foreignProtocol(field);
    if (foreign !== undefined) {
      throw new BurrowError(
        'MALFORMED_FRAME',
        `These bytes look like ${foreign}. This port speaks the Kafka protocol without TLS.`,
      );
    }
    if (length > this.#frameBytesMax) {
      throw new BurrowError(
        'FRAME_TOO_LARGE',
        `The client announces a request of ${length} bytes; the limit is ${this.#frameBytesMax} (requestBytesMax).`,
        { fields: { length, frameBytesMax: this.#frameBytesMax } },
      );
    }
    throw new BurrowError('MALFORMED_FRAME', `The client announces a request of ${length} bytes.`, {
      fields: { length },
    });
  }

  /** Takes the next `count` bytes, which must have arrived. */
  #take(count: number): Buffer {
    this.#bytes -= count;
    const first = this.#pieces[0]!;
    const end = this.#start + count;
    const firstFilled = this.#pieces.length === 1 ? this.#lastFilled : first.length;
    if (end < firstFilled) {
      const start = this.#start;
      this.#start = end;
      return first.subarray(start, end);
    }
    if (end === firstFilled) {
      const view = first.subarray(this.#start, end);
      this.#dropFirst();
      return view;
    }
    return this.#join(count);
  }

  #join(count: number): Buffer {
    const joined = Buffer.allocUnsafeSlow(count);
    for (let filled = 0; filled < count; ) {
      const first = this.#pieces[0]!;
      const firstFilled = this.#pieces.length === 1 ? this.#lastFilled : first.length;
      const end = Math.min(firstFilled, this.#start + count - filled);
      filled += first.copy(joined, filled, this.#start, end);
      if (end === firstFilled) this.#dropFirst();
      else this.#start = end;
    }
    return joined;
  }

  #dropFirst(): void {
    this.#pieces.shift();
    this.#start = 0;
    if (this.#pieces.length === 0) this.#lastFilled = 0;
  }
}

/** What the first four bytes of a connection look like, if they are those of another protocol. */
function foreignProtocol(bytes: Buffer): string | undefined {
  if (bytes[0] === 0x16 && bytes[1] === 0x03) return 'a TLS handshake';
  const text = bytes.toString('latin1');
  if (['GET ', 'POST', 'PUT ', 'HEAD', 'DELE', 'OPTI', 'PATC', 'CONN', 'PRI '].includes(text)) return 'an HTTP request';
  if (text === 'AMQP') return 'the AMQP protocol';
  if (text === 'SSH-') return 'the SSH protocol';
  return undefined;
}
