/**
 * Sparse index of one segment: timestamp → offset. On disk, behind the header of `index-file.ts`:
 *
 *     entry (12 bytes): largest timestamp so far, int64 | offset − base offset of the batch that has it, uint32
 *
 * Invariant: both columns ascend strictly, so every record up to an entry's batch is no newer than its timestamp.
 */
import { INDEX_HEADER_BYTES, openIndexFile, sealIndexFile } from './index-file.ts';

const ENTRY_BYTES = 12;
const UINT32 = 0x1_0000_0000;

export class TimeIndex {
  #timestamps = new Float64Array(16);
  #relativeOffsets = new Uint32Array(16);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  get memoryBytes(): number {
    return this.#timestamps.byteLength + this.#relativeOffsets.byteLength;
  }

  get lastTimestampMs(): number {
    return this.#count === 0 ? -1 : this.#timestamps[this.#count - 1]!;
  }

  get lastRelativeOffset(): number {
    return this.#count === 0 ? 0 : this.#relativeOffsets[this.#count - 1]!;
  }

  /** Does nothing unless the timestamp is newer than every one before. */
  maybeAppend(timestampMs: number, relativeOffset: number): void {
    if (timestampMs < 0 || timestampMs <= this.lastTimestampMs) return;
    if (this.#count > 0 && relativeOffset <= this.lastRelativeOffset) return;
    if (this.#count === this.#timestamps.length) {
      const timestamps = new Float64Array(this.#count * 2);
      timestamps.set(this.#timestamps);
      this.#timestamps = timestamps;
      const offsets = new Uint32Array(this.#count * 2);
      offsets.set(this.#relativeOffsets);
      this.#relativeOffsets = offsets;
    }
    this.#timestamps[this.#count] = timestampMs;
    this.#relativeOffsets[this.#count] = relativeOffset;
    this.#count++;
  }

  /** Relative offset from which a search for the first record at or after `timestampMs` must start. */
  searchStart(timestampMs: number): number {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#timestamps[middle]! < timestampMs) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? 0 : this.#relativeOffsets[low - 1]!;
  }

  /** The last entry whose batch begins before an offset. */
  lastBefore(relativeOffset: number): { timestampMs: number; relativeOffset: number } | undefined {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#relativeOffsets[middle]! < relativeOffset) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return undefined;
    return { timestampMs: this.#timestamps[low - 1]!, relativeOffset: this.#relativeOffsets[low - 1]! };
  }

  /** Drops the entries at or behind an offset. */
  truncate(relativeOffset: number): void {
    while (this.#count > 0 && this.#relativeOffsets[this.#count - 1]! >= relativeOffset) this.#count--;
  }

  encode(segmentBytes: number): Buffer {
    const file = Buffer.allocUnsafeSlow(INDEX_HEADER_BYTES + this.#count * ENTRY_BYTES);
    for (let i = 0, at = INDEX_HEADER_BYTES; i < this.#count; i++, at += ENTRY_BYTES) {
      const timestampMs = this.#timestamps[i]!;
      file.writeUInt32BE(Math.floor(timestampMs / UINT32), at);
      file.writeUInt32BE(timestampMs % UINT32, at + 4);
      file.writeUInt32BE(this.#relativeOffsets[i]!, at + 8);
    }
    return sealIndexFile(file, segmentBytes);
  }

  /** Undefined if the bytes cannot be the index of a segment of `segmentBytes` bytes. */
  static decode(file: Buffer, segmentBytes: number): TimeIndex | undefined {
    const entries = openIndexFile(file, segmentBytes, ENTRY_BYTES);
    if (entries === undefined) return undefined;
    const index = new TimeIndex();
    for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
      index.maybeAppend(entries.readUInt32BE(at) * UINT32 + entries.readUInt32BE(at + 4), entries.readUInt32BE(at + 8));
    }
    return index;
  }
}
