/**
 * Writes one frame as a list of buffers: pieces of its own, and between them record batches that it never copies.
 *
 *     frame = length int32 (of what follows) · header · body
 */
import { ByteWriter } from '../../../src/bytes/writer.ts';

interface Splice {
  /** Where in the own bytes the buffers belong. */
  readonly position: number;
  readonly buffers: readonly Buffer[];
}

export class MessageWriter extends ByteWriter {
  #splices: Splice[] = [];
  #splicedBytes = 0;

  /** Puts buffers behind what is written so far, without a length and without copying. */
  splice(buffers: readonly Buffer[], bytes: number): void {
    if (bytes === 0) return;
    this.#splices.push({ position: this.position, buffers });
    this.#splicedBytes += bytes;
  }

  /** All that was written, as a frame: the first four bytes, which must have been reserved, become its length. */
  finishFrame(): Buffer[] {
    this.patchInt32(0, this.position + this.#splicedBytes - 4);
    const splices = this.#splices;
    const written = this.finish();
    const own = Buffer.from(written.buffer, written.byteOffset, written.byteLength);
    this.#splices = [];
    this.#splicedBytes = 0;
    if (splices.length === 0) return [own];
    const frame: Buffer[] = [];
    let from = 0;
    for (const { position, buffers } of splices) {
      if (position > from) frame.push(own.subarray(from, position));
      from = position;
      for (const buffer of buffers) if (buffer.length > 0) frame.push(buffer);
    }
    if (from < own.length) frame.push(own.subarray(from));
    return frame;
  }
}
