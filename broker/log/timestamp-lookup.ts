/**
 * Finds records by their timestamps (ListOffsets), precise to the record: time indexes lead to the place, batch headers
 * to the batch, and only that one batch is decompressed. Timestamps are the producers' and may be in any order.
 */
import { BurrowError, isBurrowError } from '../../src/errors/burrow-error.ts';
import {
  getBaseOffset as baseOffset,
  getBaseTimestamp as baseTimestamp,
  getBatchBytes as batchBytes,
  isLogAppendTime,
  getMaxTimestamp as maxTimestamp,
  getNextOffset as nextOffset,
  getPartitionLeaderEpoch as partitionLeaderEpoch,
} from '../../src/records/batch-header.ts';
import { openRecords } from '../../src/records/batch-iterator.ts';
import { RecordCursor } from '../../src/records/record-cursor.ts';
import type { Segment } from './segment.ts';

export interface TimestampedOffset {
  readonly offset: number;
  readonly timestampMs: number;
  /** Of the batch that holds the record. */
  readonly leaderEpoch: number;
}

/** What of a log the search needs. */
interface SearchedLog {
  readonly logStartOffset: number;
  readonly logEndOffset: number;
  readonly segments: readonly Segment[];
  read(
    offset: number,
    options: { bytesMax: number; endOffset: number; wholeFirstBatch: boolean },
  ): Buffer[] | Promise<Buffer[]>;
}

/** Offsets [start, end) that are looked at. */
interface OffsetRange {
  readonly startOffset: number;
  readonly endOffset: number;
}

const READ_BYTES = 64 * 1024;

/**
 * The first record in the order of offsets that is at or after `timestampMs` and below `endOffset`.
 * Throws DECOMPRESSION_LIMIT where the batch it is in would take more than `decompressedBytesMax`.
 */
export async function firstAtOrAfter(
  log: SearchedLog,
  timestampMs: number,
  endOffset: number,
  decompressedBytesMax: number,
): Promise<TimestampedOffset | undefined> {
  let startOffset = log.logStartOffset;
  while (startOffset < endOffset) {
    // Looked up anew each time: segments come and go while the search waits for the disk.
    const segment = log.segments.find(
      ({ nextOffset, maxTimestampMs }) => nextOffset > startOffset && maxTimestampMs >= timestampMs,
    );
    if (segment === undefined || segment.baseOffset >= endOffset) return undefined;
    const end = Math.min(segment.nextOffset, endOffset);
    const range = { startOffset: Math.max(startOffset, segment.baseOffset), endOffset: end };
    if (!(await loadIndexes(log, segment))) continue;
    const found = await firstInSegment(log, segment, timestampMs, range, decompressedBytesMax);
    if (found !== undefined) return found;
    startOffset = Math.max(end, log.logStartOffset);
  }
  return undefined;
}

/**
 * The first of the records with the largest timestamp below `endOffset`; undefined if no record has a timestamp.
 * Throws as {@link firstAtOrAfter}.
 */
export async function newestRecord(
  log: SearchedLog,
  endOffset: number,
  decompressedBytesMax: number,
): Promise<TimestampedOffset | undefined> {
  for (;;) {
    let newest: TimestampedOffset | undefined;
    let isComplete = true;
    const candidates = log.segments
      .filter((segment) => segment.baseOffset < endOffset && segment.maxTimestampMs >= 0)
      .sort((a, b) => b.maxTimestampMs - a.maxTimestampMs || a.baseOffset - b.baseOffset);
    for (const segment of candidates) {
      // The best that the segment may have. Segments tie where the newest of one stands behind `endOffset`.
      const best = { timestampMs: segment.maxTimestampMs, offset: segment.baseOffset };
      if (newest !== undefined && !comesBefore(best, newest)) break;
      isComplete = await loadIndexes(log, segment);
      if (!isComplete) break;
      const found = await newestInSegment(log, segment, endOffset, decompressedBytesMax);
      if (found !== undefined && (newest === undefined || comesBefore(found, newest))) newest = found;
    }
    if (isComplete) return newest;
  }
}

/** Returns false if the segment has left the log, and its file with it: then the search looks again at what is there. */
async function loadIndexes(log: SearchedLog, segment: Segment): Promise<boolean> {
  try {
    await segment.loadIndexes();
    return true;
  } catch (error) {
    if (!log.segments.includes(segment)) return false;
    if (error instanceof BurrowError) throw error;
    throw new BurrowError('STORAGE_ERROR', `${segment.path} cannot be read: ${String(error)}`, { cause: error });
  }
}

type Place = Pick<TimestampedOffset, 'offset' | 'timestampMs'>;

function comesBefore(a: Place, b: Place): boolean {
  return a.timestampMs > b.timestampMs || (a.timestampMs === b.timestampMs && a.offset < b.offset);
}

async function newestInSegment(
  log: SearchedLog,
  segment: Segment,
  endOffset: number,
  decompressedBytesMax: number,
): Promise<TimestampedOffset | undefined> {
  const startOffset = Math.max(log.logStartOffset, segment.baseOffset);
  const range = { startOffset, endOffset: Math.min(endOffset, segment.nextOffset) };
  let timestampMs = segment.maxTimestampMs;
  if (range.endOffset < segment.nextOffset) {
    // What is newest may stand behind the end: the index knows up to an entry, headers say the rest.
    const known = segment.newestIndexedBefore(range.endOffset);
    timestampMs = known?.timestampMs ?? -1;
    const from = Math.max(startOffset, known?.offset ?? startOffset);
    await eachBatch(log, { ...range, startOffset: from }, (batch, at) => {
      timestampMs = Math.max(timestampMs, maxTimestamp(batch, at));
    });
  }
  if (timestampMs < 0) return undefined;
  const first = await firstInSegment(log, segment, timestampMs, range, decompressedBytesMax);
  if (first !== undefined) return first;
  // The newest record is outside the range, in a batch that its border cuts or below the log's start.
  let newest: TimestampedOffset | undefined;
  await eachBatch(log, range, async (batch, at) => {
    if (maxTimestamp(batch, at) <= (newest?.timestampMs ?? -1)) return;
    const found = await newestInBatch(batch, at, range, decompressedBytesMax);
    if (found !== undefined && (newest === undefined || comesBefore(found, newest))) newest = found;
  });
  return newest;
}

async function firstInSegment(
  log: SearchedLog,
  segment: Segment,
  timestampMs: number,
  range: OffsetRange,
  decompressedBytesMax: number,
): Promise<TimestampedOffset | undefined> {
  const startOffset = Math.max(range.startOffset, segment.timestampSearchStart(timestampMs));
  let found: TimestampedOffset | undefined;
  await eachBatch(log, { ...range, startOffset }, async (batch, at) => {
    if (maxTimestamp(batch, at) < timestampMs) return;
    found = await firstInBatch(batch, at, timestampMs, range, decompressedBytesMax);
    return found !== undefined;
  });
  return found;
}

/** Calls `visit` for each batch that reaches into the range, until it returns true. */
async function eachBatch(
  log: SearchedLog,
  range: OffsetRange,
  visit: (bytes: Buffer, at: number) => unknown,
): Promise<void> {
  let offset = range.startOffset;
  while (offset < range.endOffset) {
    offset = Math.max(offset, log.logStartOffset);
    let buffers: Buffer[];
    try {
      buffers = await log.read(offset, { bytesMax: READ_BYTES, endOffset: log.logEndOffset, wholeFirstBatch: true });
    } catch (error) {
      // Records are being deleted: the search goes on where the log begins now.
      if (isBurrowError(error, 'OFFSET_OUT_OF_RANGE') && offset < log.logStartOffset) continue;
      throw error;
    }
    if (buffers.length === 0) return;
    for (const buffer of buffers) {
      for (let at = 0; at < buffer.length; at += batchBytes(buffer, at)) {
        if (baseOffset(buffer, at) >= range.endOffset) return;
        const done = visit(buffer, at);
        if (done instanceof Promise ? await done : done === true) return;
        offset = nextOffset(buffer, at);
      }
    }
  }
}

async function firstInBatch(
  batch: Buffer,
  at: number,
  timestampMs: number,
  range: OffsetRange,
  decompressedBytesMax: number,
): Promise<TimestampedOffset | undefined> {
  const { cursor, offsetBase, timestampBase, stampsAll } = await openBatch(batch, at, decompressedBytesMax);
  while (cursor.next()) {
    const offset = offsetBase + cursor.offsetDelta;
    if (offset < range.startOffset) continue;
    if (offset >= range.endOffset) return undefined;
    const recordMs = stampsAll ? timestampBase : timestampBase + cursor.timestampDelta;
    if (recordMs >= timestampMs) {
      return { offset, timestampMs: recordMs, leaderEpoch: partitionLeaderEpoch(batch, at) };
    }
  }
  if (!cursor.ok) throw malformed(offsetBase);
  return undefined;
}

async function newestInBatch(
  batch: Buffer,
  at: number,
  range: OffsetRange,
  decompressedBytesMax: number,
): Promise<TimestampedOffset | undefined> {
  const { cursor, offsetBase, timestampBase, stampsAll } = await openBatch(batch, at, decompressedBytesMax);
  let offset = -1;
  let newestMs = -1;
  while (cursor.next()) {
    const recordOffset = offsetBase + cursor.offsetDelta;
    if (recordOffset < range.startOffset || recordOffset >= range.endOffset) continue;
    const recordMs = stampsAll ? timestampBase : timestampBase + cursor.timestampDelta;
    if (recordMs <= newestMs) continue;
    newestMs = recordMs;
    offset = recordOffset;
  }
  if (!cursor.ok) throw malformed(offsetBase);
  return offset < 0 ? undefined : { offset, timestampMs: newestMs, leaderEpoch: partitionLeaderEpoch(batch, at) };
}

async function openBatch(batch: Buffer, at: number, decompressedBytesMax: number) {
  const stampsAll = isLogAppendTime(batch, at);
  return {
    cursor: new RecordCursor(await openRecords(batch, at, decompressedBytesMax)),
    offsetBase: baseOffset(batch, at),
    timestampBase: stampsAll ? maxTimestamp(batch, at) : baseTimestamp(batch, at),
    stampsAll,
  };
}

function malformed(offset: number): BurrowError {
  return new BurrowError('CORRUPT_BATCH', `A record of the batch at offset ${offset} is malformed.`, {
    fields: { offset },
  });
}
