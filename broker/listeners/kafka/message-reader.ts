/**
 * Reads one Kafka message from a frame. Beside the bounds of the bytes it keeps a budget of elements: a few bytes of
 * count must not become millions of objects, although each of them could be backed by a byte or two (CVE-2026-111115
 * and CVE-2026-111108 were that, in headers and in arrays).
 */
import { ByteReader } from '../../../src/bytes/reader.ts';

const NO_BYTES = Buffer.alloc(0);

export class MessageReader extends ByteReader {
  readonly #frame: Buffer;
  #elementsLeft: number;

  /** Reads `frame` from `start`; all arrays and tagged fields of the message together may have `elementsMax` elements. */
  constructor(frame: Buffer, start: number, elementsMax: number) {
    super(frame, start);
    this.#frame = frame;
    this.#elementsLeft = elementsMax;
  }

  /** Takes `count` elements from the budget; beyond it the reader becomes bad. */
  spend(count: number): boolean {
    this.#elementsLeft -= count;
    if (this.#elementsLeft < 0) this.fail();
    return this.ok;
  }

  /** The next `count` bytes as a view of the frame. */
  buffer(count: number): Buffer {
    const start = this.position;
    this.skip(count);
    return this.ok ? this.#frame.subarray(start, start + count) : NO_BYTES;
  }
}
