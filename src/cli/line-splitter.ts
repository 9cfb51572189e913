/**
 * Cuts a stream of bytes into lines at LF, byte for byte: CR stays part of its line, empty lines are lines, and a last
 * line without LF is one too. Lines are views of the chunks they came in; only one that straddles chunks is copied.
 */
import { BurrowError } from '../errors/burrow-error.ts';

const LF = 0x0a;

export class LineSplitter {
  readonly #source: string;
  readonly #lineBytesMax: number;
  /** Pieces of the line that has not ended yet. */
  #open: Uint8Array[] = [];
  #openBytes = 0;
  #lineCount = 0;

  /** A line longer than `lineBytesMax` is refused with INVALID_ARGUMENT, so that a file without LF cannot fill the memory. */
  constructor(options: { source: string; lineBytesMax: number }) {
    this.#source = options.source;
    this.#lineBytesMax = options.lineBytesMax;
  }

  /** The lines that `chunk` completes. Per chunk; per line one view. */
  push(chunk: Uint8Array): Uint8Array[] {
    const lines: Uint8Array[] = [];
    let start = 0;
    for (let end = chunk.indexOf(LF); end !== -1; end = chunk.indexOf(LF, start)) {
      lines.push(this.#complete(chunk.subarray(start, end)));
      start = end + 1;
    }
    if (start < chunk.length) {
      this.#open.push(chunk.subarray(start));
      this.#openBytes += chunk.length - start;
      this.#checkLength(this.#openBytes);
    }
    return lines;
  }

  /** What follows the last LF, or undefined if nothing does. */
  end(): Uint8Array | undefined {
    return this.#openBytes === 0 ? undefined : this.#complete(new Uint8Array(0));
  }

  #complete(tail: Uint8Array): Uint8Array {
    this.#checkLength(this.#openBytes + tail.length);
    this.#lineCount++;
    if (this.#openBytes === 0) return tail;
    const line = new Uint8Array(this.#openBytes + tail.length);
    let position = 0;
    for (const piece of this.#open) {
      line.set(piece, position);
      position += piece.length;
    }
    line.set(tail, position);
    this.#open = [];
    this.#openBytes = 0;
    return line;
  }

  #checkLength(bytes: number): void {
    if (bytes <= this.#lineBytesMax) return;
    throw new BurrowError(
      'INVALID_ARGUMENT',
      `Line ${this.#lineCount + 1} of ${this.#source} is longer than ${this.#lineBytesMax} bytes. Is it a text file? --line-bytes-max raises the limit.`,
    );
  }
}
