/** Reads whole batches from a segment file, starting from the place its sparse index names. Per read, not per batch. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import {
  BATCH_HEADER_BYTES,
  getBaseOffset as batchBaseOffset,
  getBatchBytes as batchBytesAt,
  getNextOffset as batchNextOffset,
  getMagic as magic,
} from '../../src/records/batch-header.ts';
import { offsetName } from './file-names.ts';
import type { Segment } from './segment.ts';

export interface ReadOptions {
  readonly bytesMax: number;
  /** Nothing at or behind it is returned. */
  readonly endOffset: number;
  /** Return the first batch even if it is larger than `bytesMax` (KIP-74). */
  readonly wholeFirstBatch: boolean;
}

const READ_BYTES_MAX = 8 * 1024 * 1024;
/** What a read takes along to bridge the gap from an index entry to the batch that is wanted. */
const READ_SLACK_BYTES = 8 * 1024;

/** Undefined if the segment ends before the offset. Below `gapsBelow`, the wanted offset may have been compacted away. */
export async function readSegment(
  segment: Segment,
  offset: number,
  options: ReadOptions,
  gapsBelow: number,
): Promise<Buffer[] | undefined> {
  let position = segment.positionHint(offset);
  if (position === undefined) {
    await segment.loadIndexes();
    position = segment.positionHint(offset) ?? 0;
  }
  const end = segment.writtenBytes;
  let bytes = Math.min(options.bytesMax + READ_SLACK_BYTES, READ_BYTES_MAX);
  while (position < end) {
    const window = await segment.read(position, Math.min(bytes, end - position));
    let at = 0;
    while (batchFits(window, at) && batchNextOffset(window, at) <= offset)
      at += checkedBatchBytes(segment, window, at, position);
    if (batchFits(window, at)) {
      // A batch's CRC does not cover its offsets: damage there shows only in how batches follow each other.
      if (batchBaseOffset(window, at) > Math.max(offset, gapsBelow)) throw damaged(segment, position + at);
      checkedBatchBytes(segment, window, at, position);
      const taken = wholeBatches(segment, window, at, position, options);
      return taken > at ? [window.subarray(at, taken)] : [];
    }
    if (at > 0) {
      position += at;
      continue;
    }
    // The batch that stands here is larger than the window.
    if (window.length < BATCH_HEADER_BYTES) throw damaged(segment, position);
    const needed = checkedBatchBytes(segment, window, 0, position);
    if (!options.wholeFirstBatch && needed > options.bytesMax && batchNextOffset(window, 0) > offset) return [];
    if (needed <= window.length || position + needed > end) throw damaged(segment, position);
    bytes = needed;
  }
  return undefined;
}

/** Where the run of whole, readable batches that begins at `start` ends in the window. */
function wholeBatches(segment: Segment, window: Buffer, start: number, position: number, options: ReadOptions): number {
  let at = start;
  let end = 0;
  while (batchFits(window, at) && batchNextOffset(window, at) <= options.endOffset) {
    if (at > start && batchBaseOffset(window, at) < end) throw damaged(segment, position + at);
    end = batchNextOffset(window, at);
    const bytes = checkedBatchBytes(segment, window, at, position);
    const tooMuch = at + bytes - start > options.bytesMax;
    if (tooMuch && !(at === start && options.wholeFirstBatch)) break;
    at += bytes;
  }
  return at;
}

/** Size of the batch in the window; the header is checked as far as following it needs. */
function checkedBatchBytes(segment: Segment, window: Buffer, at: number, position: number): number {
  const bytes = batchBytesAt(window, at);
  const sound =
    bytes >= BATCH_HEADER_BYTES && magic(window, at) === 2 && batchNextOffset(window, at) <= segment.nextOffset;
  if (!sound) throw damaged(segment, position + at);
  return bytes;
}

function batchFits(window: Buffer, at: number): boolean {
  return window.length - at >= BATCH_HEADER_BYTES && batchBytesAt(window, at) <= window.length - at;
}

function damaged(segment: Segment, position: number): BurrowError {
  return new BurrowError(
    'STORAGE_CORRUPT',
    `${segment.path} is damaged at position ${position} (offsets from ${offsetName(segment.baseOffset)}).`,
    { fields: { file: segment.path, position } },
  );
}
