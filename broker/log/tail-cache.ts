/**
 * The newest batches of every log, held in memory: what is not in a segment file yet, and the hot tail that consumers
 * read without touching the disk. `LogTail` belongs to one log; `TailCache` bounds all of them together and evicts in
 * the order of arrival. Per batch.
 */
import type { Segment } from './segment.ts';

export interface TailBatch {
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly bytes: Buffer;
  readonly segment: Segment;
  /** Where it stands in the segment, written or not. */
  readonly position: number;
}

/** The dead head of a queue is cut off once it is longer than this and than what is alive. */
const COMPACT_QUEUE_AT = 1024;

export class LogTail {
  #batches: TailBatch[] = [];
  #head = 0;
  /** Index of the first batch that is not written to its segment. Invariant: #head <= #unwritten <= length. */
  #unwritten = 0;
  /** Set when the log cannot write any more: what is unwritten stays readable here and nowhere else. */
  frozen = false;

  get isEmpty(): boolean {
    return this.#head === this.#batches.length;
  }

  /** Offset of the oldest batch held; Infinity if none is. */
  get firstOffset(): number {
    return this.isEmpty ? Number.POSITIVE_INFINITY : this.#batches[this.#head]!.baseOffset;
  }

  get hasUnwritten(): boolean {
    return this.#unwritten < this.#batches.length;
  }

  push(batch: TailBatch): void {
    this.#batches.push(batch);
  }

  /** Batches that are not written yet, oldest first, of one segment, up to about `bytesMax`. */
  nextUnwritten(bytesMax: number): TailBatch[] {
    const run: TailBatch[] = [];
    let bytes = 0;
    for (let i = this.#unwritten; i < this.#batches.length && bytes < bytesMax; i++) {
      const batch = this.#batches[i]!;
      if (run.length > 0 && batch.segment !== run[0]!.segment) break;
      run.push(batch);
      bytes += batch.bytes.length;
    }
    return run;
  }

  markWritten(count: number): void {
    this.#unwritten += count;
  }

  /**
   * Whole batches from the one that holds `offset`, below `endOffset`, up to `bytesMax` (the first may be larger if
   * `wholeFirstBatch`). Only for offsets from {@link firstOffset} on.
   */
  read(offset: number, endOffset: number, bytesMax: number, wholeFirstBatch: boolean): Buffer[] {
    const found: Buffer[] = [];
    let bytes = 0;
    for (let i = this.#indexOf(offset); i < this.#batches.length; i++) {
      const batch = this.#batches[i]!;
      if (batch.nextOffset > endOffset) break;
      const first = found.length === 0 && wholeFirstBatch;
      if (bytes + batch.bytes.length > bytesMax && !first) break;
      found.push(batch.bytes);
      bytes += batch.bytes.length;
    }
    return found;
  }

  /** Bytes of the batches in [offset, endOffset) that are held here. */
  bytesBetween(offset: number, endOffset: number): number {
    let bytes = 0;
    for (let i = this.#indexOf(offset); i < this.#batches.length; i++) {
      const batch = this.#batches[i]!;
      if (batch.nextOffset > endOffset) break;
      bytes += batch.bytes.length;
    }
    return bytes;
  }

  /** Drops the oldest batch. False if it must stay because it is not written yet. */
  evictFirst(): boolean {
    if (this.isEmpty) return true;
    if (this.#head === this.#unwritten) return this.frozen;
    this.#batches[this.#head] = undefined as unknown as TailBatch;
    this.#head++;
    if (this.#head >= COMPACT_QUEUE_AT && this.#head * 2 >= this.#batches.length) {
      this.#batches = this.#batches.slice(this.#head);
      this.#unwritten -= this.#head;
      this.#head = 0;
    }
    return true;
  }

  clear(): void {
    this.#batches = [];
    this.#head = 0;
    this.#unwritten = 0;
  }

  /** Index of the batch that holds `offset`, or of the first one behind it. */
  #indexOf(offset: number): number {
    let low = this.#head;
    let high = this.#batches.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#batches[middle]!.nextOffset <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export class TailCache {
  readonly #bytesMax: number;
  #tails: Array<LogTail | undefined> = [];
  #sizes: number[] = [];
  #head = 0;
  #usedBytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Notes a batch that was pushed to `tail`, and evicts the oldest ones while there is too much. */
  add(tail: LogTail, bytes: number): void {
    this.#tails.push(tail);
    this.#sizes.push(bytes);
    this.#usedBytes += bytes;
    this.evict();
  }

  /** Also to be called after batches were written, since unwritten ones cannot go. */
  evict(): void {
    while (this.#usedBytes > this.#bytesMax && this.#head < this.#tails.length) {
      if (!this.#tails[this.#head]!.evictFirst()) return;
      this.#usedBytes -= this.#sizes[this.#head]!;
      this.#tails[this.#head] = undefined;
      this.#head++;
      if (this.#head >= COMPACT_QUEUE_AT && this.#head * 2 >= this.#tails.length) {
        this.#tails = this.#tails.slice(this.#head);
        this.#sizes = this.#sizes.slice(this.#head);
        this.#head = 0;
      }
    }
  }
}
