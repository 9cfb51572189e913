/**
 * Cuts a stream of chunks into frames, without copying those that lie within one chunk.
 *
 *     frame = length int32 · that many bytes
 */
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import { ReceivedBytes } from '../received-bytes.ts';

const LENGTH_BYTES = 4;
/** API key, API version and correlation id, which stand in every request. */
const REQUEST_BYTES_MIN = 8;
export class FrameCutter {
  readonly #frameBytesMax: number;
  readonly #received = new ReceivedBytes();
  /** Length of the frame that comes next; -1 while its length field is not complete. */
  #length = -1;
  #cutAny = false;

  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax;
  }

  /** Whether a frame has begun to arrive and is not complete. After `next()` gave undefined. */
  get partial(): boolean {
    return this.#received.bytes > 0 || this.#length >= 0;
  }

  /** Bytes that have arrived and are not cut yet. */
  get bytes(): number {
    return this.#received.bytes;
  }

  push(chunk: Buffer): void {
    this.#received.push(chunk);
  }

  /**
   * The next whole frame, without its length field, or undefined if more bytes are needed. Throws MALFORMED_FRAME or
   * FRAME_TOO_LARGE, as soon as the length is known; nothing can be cut after that.
   */
  next(): Buffer | undefined {
    if (this.#length < 0) {
      if (this.#received.bytes < LENGTH_BYTES) return undefined;
      const field = this.#received.take(LENGTH_BYTES);
      this.#length = this.#checkLength(field);
    }
    if (this.#received.bytes < this.#length) return undefined;
    const frame = this.#received.take(this.#length);
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
