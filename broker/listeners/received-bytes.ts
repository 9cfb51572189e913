/**
 * What a socket brought and nobody has taken yet. What lies within one chunk is taken as a view of it; what straddles chunks
 * is put together once, when all of it has arrived, so memory grows with the bytes received and never with a length announced.
 */

/** Smaller chunks are copied together, or a frame that comes byte by byte would cost a buffer object for each. */
const SMALL_CHUNK_BYTES = 8 * 1024;
const GATHER_BYTES = 64 * 1024;

export class ReceivedBytes {
  /** What has arrived and is not taken yet, in order. */
  #pieces: Buffer[] = [];
  #bytes = 0;
  /** How many bytes of the last piece are filled; it has more room if it is one that small chunks are gathered in. */
  #lastFilled = 0;
  /** Bytes of the first piece that are taken already. */
  #start = 0;

  /** Bytes that have arrived and are not taken yet. */
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

  /** Of the next bytes, how many lie in one chunk and can be looked at before they are taken. */
  get frontBytes(): number {
    const count = this.#pieces.length;
    return count === 0 ? 0 : (count === 1 ? this.#lastFilled : this.#pieces[0]!.length) - this.#start;
  }

  /** The byte `index` bytes ahead, which lies at the front. */
  frontByte(index: number): number {
    return this.#pieces[0]![this.#start + index]!;
  }

  /** Takes a whole piece of the front: a view of `count` bytes behind `before` and before `after` others, which are dropped. */
  takeFront(before: number, count: number, after: number): Buffer {
    const first = this.#pieces[0]!;
    const start = this.#start + before;
    const end = start + count + after;
    const view = first.subarray(start, start + count);
    this.#bytes -= before + count + after;
    if (end === (this.#pieces.length === 1 ? this.#lastFilled : first.length)) this.#dropFirst();
    else this.#start = end;
    return view;
  }

  /** Takes the next `count` bytes, which must have arrived. */
  take(count: number): Buffer {
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
