/**
 * Lines to standard output, gathered into large writes, at the reader's pace. A reader that goes away (`| head`) is no
 * error: the writer says so through `closed`, and the command ends quietly.
 */
import { Buffer } from 'node:buffer';
import { once } from 'node:events';
import type { Writable } from 'node:stream';

const GATHERED_BYTES = 64 * 1024;
const LF = Buffer.from('\n');

export class LineWriter {
  readonly #output: Writable;
  #pieces: Uint8Array[] = [];
  #bytes = 0;
  #closed = false;
  #failure: Error | undefined;

  constructor(output: Writable) {
    this.#output = output;
    output.on('error', (error: NodeJS.ErrnoException) => {
      this.#closed = true;
      if (error.code !== 'EPIPE') this.#failure = error;
    });
    output.on('close', () => {
      this.#closed = true;
    });
  }

  /** Whether nobody reads any more. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Adds a line. Keeps no view of a consumer's buffer beyond the next {@link flush}. Per record. */
  add(line: Uint8Array | string): void {
    const bytes = typeof line === 'string' ? Buffer.from(line) : line;
    this.#pieces.push(bytes, LF);
    this.#bytes += bytes.length + 1;
  }

  get wantsFlush(): boolean {
    return this.#bytes >= GATHERED_BYTES;
  }

  /** Resolves once the reader has room for more. Rejects if writing failed for another reason than its going away. */
  async flush(): Promise<void> {
    if (this.#bytes > 0 && !this.#closed) {
      const bytes = Buffer.concat(this.#pieces, this.#bytes);
      this.#pieces = [];
      this.#bytes = 0;
      if (!this.#output.write(bytes)) await this.#drained();
    }
    if (this.#failure) throw this.#failure;
  }

  async #drained(): Promise<void> {
    const stop = new AbortController();
    try {
      await Promise.race([once(this.#output, 'drain', stop), once(this.#output, 'close', stop)]);
    } catch {
      // once() rejects on 'error', which the listener above has noted.
    } finally {
      stop.abort();
    }
  }
}
