/**
 * Contents of a file in memory: grows by chunks, so that an append never copies what is there already,
 * and holes take no memory. Small files take little: the first chunk starts small and doubles.
 */
const CHUNK_BYTES = 64 * 1024;
const FIRST_BYTES = 512;

export class ChunkedBytes {
  /** Chunk i holds bytes [i × CHUNK_BYTES, …). A missing chunk, and what a short chunk lacks, reads as zeros. */
  readonly #chunks: Array<Buffer | undefined> = [];
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  write(source: Uint8Array, position: number): void {
    let done = 0;
    while (done < source.byteLength) {
      const at = position + done;
      const begin = at % CHUNK_BYTES;
      const count = Math.min(CHUNK_BYTES - begin, source.byteLength - done);
      this.#chunk(Math.floor(at / CHUNK_BYTES), begin + count).set(source.subarray(done, done + count), begin);
      done += count;
    }
    if (done > 0) this.#bytes = Math.max(this.#bytes, position + done);
  }

  /** A copy of [position, position + count), cut at the end of the contents. */
  read(position: number, count: number): Buffer {
    const available = Math.min(count, this.#bytes - position);
    if (available <= 0) return Buffer.allocUnsafeSlow(0);
    const result = Buffer.allocUnsafeSlow(available);
    let done = 0;
    while (done < available) {
      const at = position + done;
      const begin = at % CHUNK_BYTES;
      const wanted = Math.min(CHUNK_BYTES - begin, available - done);
      const chunk = this.#chunks[Math.floor(at / CHUNK_BYTES)];
      const end = Math.min(begin + wanted, chunk?.byteLength ?? 0);
      const copied = chunk === undefined || end <= begin ? 0 : chunk.copy(result, done, begin, end);
      result.fill(0, done + copied, done + wanted);
      done += wanted;
    }
    return result;
  }

  /** Shortens, or extends with zeros. */
  resize(bytes: number): void {
    if (bytes < this.#bytes) {
      const chunks = Math.ceil(bytes / CHUNK_BYTES);
      if (this.#chunks.length > chunks) this.#chunks.length = chunks;
      // What was cut off must read as zeros if the contents grow again.
      const rest = bytes % CHUNK_BYTES;
      if (rest > 0) this.#chunks[chunks - 1]?.fill(0, rest);
    }
    this.#bytes = bytes;
  }

  copy(): ChunkedBytes {
    const result = new ChunkedBytes();
    for (const [index, chunk] of this.#chunks.entries()) {
      if (chunk === undefined) continue;
      result.#chunks[index] = Buffer.from(chunk.buffer.slice(chunk.byteOffset, chunk.byteOffset + chunk.byteLength));
    }
    result.#bytes = this.#bytes;
    return result;
  }

  #chunk(index: number, bytes: number): Buffer {
    const chunk = this.#chunks[index];
    if (chunk !== undefined && chunk.byteLength >= bytes) return chunk;
    let capacity = index === 0 ? FIRST_BYTES : CHUNK_BYTES;
    while (capacity < bytes) capacity *= 2;
    const grown = Buffer.alloc(capacity);
    if (chunk !== undefined) grown.set(chunk);
    this.#chunks[index] = grown;
    return grown;
  }
}
