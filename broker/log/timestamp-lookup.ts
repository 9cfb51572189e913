/**
 * From a timestamp to an offset: the first record at or after it, and the newest record. Time indexes say where to start;
 * from there batch headers are followed, and only the batch that must hold the record is opened.
 *
 * A header's largest timestamp is what its producer says. Where it promises a record that is not there, the search goes on.
 */
import { isBurrowError } from '../../src/errors/burrow-error.ts';
import {
  getBaseOffset,
  getBaseTimestamp,
  getBatchBytes,
  getMaxTimestamp,
  getNextOffset,
  getPartitionLeaderEpoch,
  isControl,
  isLogAppendTime,
} from '../../src/records/batch-header.ts';
import { openRecords } from '../../src/records/batch-iterator.ts';
import { RecordCursor } from '../../src/records/record-cursor.ts';
import type { PartitionLog } from './partition-log.ts';

export interface TimestampedOffset {
  readonly offset: number;
  readonly timestampMs: number;
  readonly leaderEpoch: number;
}

export interface TimestampSearch {
  /** Records at or behind it are not found. */
  readonly endOffset: number;
  /** Of one batch that must be opened. */
  readonly decompressedBytesMax: number;
}

const READ_BYTES = 256 * 1024;

/**
 * The first record whose timestamp is not before `timestampMs`.
 * @throws BurrowError STORAGE_ERROR, STORAGE_CORRUPT, DECOMPRESSION_LIMIT
 */
export async function findTimestamp(
  log: PartitionLog,
  timestampMs: number,
  search: TimestampSearch,
): Promise<TimestampedOffset | undefined> {
  // Segments may be removed meanwhile; what is gone is passed over.
  for (const segment of [...log.segments]) {
    if (segment.maxTimestampMs < timestampMs || segment.nextOffset <= log.logStartOffset) continue;
    if (segment.baseOffset >= search.endOffset) return undefined;
    await segment.loadIndexes();
    const start = segment.timestampSearchStart(timestampMs);
    const endOffset = Math.min(segment.nextOffset, search.endOffset);
    const found = await searchFrom(log, start, timestampMs, { ...search, endOffset });
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The first record with the largest timestamp. Undefined if there is none, or if it is not below the end of the search. */
export async function findNewest(log: PartitionLog, search: TimestampSearch): Promise<TimestampedOffset | undefined> {
  let newestMs = -1;
  for (const segment of log.segments) newestMs = Math.max(newestMs, segment.maxTimestampMs);
  return newestMs < 0 ? undefined : findTimestamp(log, newestMs, search);
}

async function searchFrom(
  log: PartitionLog,
  startOffset: number,
  timestampMs: number,
  search: TimestampSearch,
): Promise<TimestampedOffset | undefined> {
  const { endOffset } = search;
  let offset = startOffset;
  for (;;) {
    offset = Math.max(offset, log.logStartOffset);
    if (offset >= endOffset) return undefined;
    const buffers = await readOrPass(log, offset, endOffset);
    if (buffers === undefined) continue;
    if (buffers.length === 0) return undefined;
    for (const buffer of buffers) {
      for (let position = 0; position < buffer.length; position += getBatchBytes(buffer, position)) {
        offset = getNextOffset(buffer, position);
        if (getMaxTimestamp(buffer, position) < timestampMs || isControl(buffer, position)) continue;
        const found = await searchBatch(buffer, position, timestampMs, log.logStartOffset, search);
        if (found !== undefined) return found;
      }
    }
  }
}

/** Undefined if the records at `offset` were removed in this moment: the log start offset has moved then. */
async function readOrPass(log: PartitionLog, offset: number, endOffset: number): Promise<Buffer[] | undefined> {
  try {
    return await log.read(offset, { bytesMax: READ_BYTES, endOffset, wholeFirstBatch: true });
  } catch (error) {
    if (isBurrowError(error, 'OFFSET_OUT_OF_RANGE') && offset < log.logStartOffset) return undefined;
    throw error;
  }
}

/** Per record: nothing is allocated. */
async function searchBatch(
  buffer: Buffer,
  position: number,
  timestampMs: number,
  startOffset: number,
  { decompressedBytesMax }: TimestampSearch,
): Promise<TimestampedOffset | undefined> {
  const records = await openRecords(buffer, position, decompressedBytesMax);
  const baseOffset = getBaseOffset(buffer, position);
  const baseTimestamp = getBaseTimestamp(buffer, position);
  const appendTime = isLogAppendTime(buffer, position) ? getMaxTimestamp(buffer, position) : undefined;
  const cursor = new RecordCursor(records);
  while (cursor.next()) {
    const recordMs = appendTime ?? baseTimestamp + cursor.timestampDelta;
    const offset = baseOffset + cursor.offsetDelta;
    if (recordMs >= timestampMs && offset >= startOffset) {
      return { offset, timestampMs: recordMs, leaderEpoch: getPartitionLeaderEpoch(buffer, position) };
    }
  }
  return undefined;
}
