/**
 * Sparse index of one segment: offset → position of the batch that starts there. On disk, behind the header
 * of `index-file.ts`:
 *
 *     entry (8 bytes): offset − base offset, uint32 | position in the segment, uint32
 *
 * Held in memory for the active segment and written as a whole when the segment is closed; an index is never trusted
 * beyond a hint, since it can always be rebuilt by scanning the segment.
 */
import { INDEX_HEADER_BYTES, openIndexFile, sealIndexFile } from './index-file.ts';

const ENTRY_BYTES = 8;

export class OffsetIndex {
  #relativeOffsets = new Uint32Array(16);
  #positions = new Uint32Array(16);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  get memoryBytes(): number {
    return this.#relativeOffsets.byteLength + this.#positions.byteLength;
  }

  /** Entries must be added in ascending order. */
  append(relativeOffset: number, position: number): void {
    if (this.#count === this.#positions.length) {
      this.#relativeOffsets = grown(this.#relativeOffsets);
      this.#positions = grown(this.#positions);
    }
    this.#relativeOffsets[this.#count] = relativeOffset;
    this.#positions[this.#count] = position;
    this.#count++;
  }

  /** Position of the last indexed batch that starts at or before the offset; 0 if there is none. */
  positionAtOrBefore(relativeOffset: number): number {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#relativeOffsets[middle]! <= relativeOffset) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? 0 : this.#positions[low - 1]!;
  }

  /** Drops the entries at or behind a position. */
  truncate(position: number): void {
    while (this.#count > 0 && this.#positions[this.#count - 1]! >= position) this.#count--;
  }

  encode(segmentBytes: number): Buffer {
    const file = Buffer.allocUnsafeSlow(INDEX_HEADER_BYTES + this.#count * ENTRY_BYTES);
    for (let i = 0, at = INDEX_HEADER_BYTES; i < this.#count; i++, at += ENTRY_BYTES) {
      file.writeUInt32BE(this.#relativeOffsets[i]!, at);
      file.writeUInt32BE(this.#positions[i]!, at + 4);
    }
    return sealIndexFile(file, segmentBytes);
  }

  /** Undefined if the bytes cannot be the index of a segment of `segmentBytes` bytes. */
  static decode(file: Buffer, segmentBytes: number): OffsetIndex | undefined {
    const entries = openIndexFile(file, segmentBytes, ENTRY_BYTES);
    if (entries === undefined) return undefined;
    const index = new OffsetIndex();
    for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
      index.append(entries.readUInt32BE(at), entries.readUInt32BE(at + 4));
    }
    return index;
  }
}

function grown(array: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(array.length * 2);
  larger.set(array);
  return larger;
}
