/**
 * What compaction decides: which logs need it, how far it may go, and which records stay. `log-cleaner.ts` does it.
 *
 * Of each key the newest record stays. A tombstone (null value) stays, too, until deleteRetentionMs after the first
 * cleaning that met it, so that readers who began before see the deletion; the time stands in the batch (delete horizon,
 * KIP-534). Records without a key go: nothing could ever supersede them, and produce refuses them, so they are from a time
 * when the topic was not compacted; Kafka does the same. Batches of transactions and their markers stay as they are:
 * whether a transaction was aborted is not known here.
 */

import { writeInt16, writeInt32 } from '../../src/bytes/big-endian.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import {
  ATTRIBUTES_POSITION,
  BATCH_HEADER_BYTES,
  BATCH_LENGTH_OVERHEAD,
  BATCH_LENGTH_POSITION,
  getBaseOffset as baseOffset,
  getBaseTimestamp as baseTimestamp,
  getBatchBytes as batchBytes,
  type Codec,
  codecNumber,
  getAttributes,
  getCodec,
  hasDeleteHorizon,
  isControl,
  isTransactional,
  getMaxTimestamp as maxTimestamp,
  getNextOffset as nextOffset,
  getRecordsCount as recordsCount,
  resealBatch,
} from '../../src/records/batch-header.ts';
import { openRecords } from '../../src/records/batch-iterator.ts';
import { BatchRewriter } from '../../src/records/batch-rewriter.ts';
import { compress } from '../../src/records/compression.ts';
import { RecordCursor } from '../../src/records/record-cursor.ts';
import type { NewestOffsets } from './newest-offsets.ts';
import type { PartitionLog } from './partition-log.ts';
import type { Segment } from './segment.ts';

export interface CleaningPlan {
  /** Oldest first: all that may be cleaned, clean ones included. */
  readonly segments: readonly Segment[];
  readonly firstDirtyOffset: number;
  readonly endOffset: number;
  /** Share of the cleanable bytes that was not cleaned yet. */
  readonly dirtyRatio: number;
}

/** What there is to clean in a log, or undefined if nothing is due. */
export async function planCleaning(log: PartitionLog, nowMs: number): Promise<CleaningPlan | undefined> {
  const { cleanupPolicy, minCompactionLagMs, minCleanableDirtyRatio } = log.config;
  if (!log.isConfigured || log.isOver || cleanupPolicy === 'delete') return undefined;
  // Open transactions are not cleaned into: they may still be aborted.
  const stableOffset = Math.min(log.highWatermark, log.lastStableOffset);
  const closed = log.segments.slice(0, -1);
  const isYoung = (segment: Segment): boolean =>
    minCompactionLagMs > 0 && nowMs - segment.maxTimestampMs < minCompactionLagMs;
  const barrier = closed.findIndex((segment) => segment.nextOffset > stableOffset || isYoung(segment));
  const segments = barrier < 0 ? closed : closed.slice(0, barrier);
  const { cleanedOffset, tombstonesDueMs } = log.cleaning;
  let cleanBytes = 0;
  let dirtyBytes = 0;
  for (const segment of segments) {
    if (segment.nextOffset <= cleanedOffset) cleanBytes += segment.bytes;
    else dirtyBytes += segment.bytes;
  }
  const dirtyRatio = dirtyBytes === 0 ? 0 : dirtyBytes / (cleanBytes + dirtyBytes);
  const isDue =
    (dirtyBytes > 0 && dirtyRatio >= minCleanableDirtyRatio) ||
    (segments.length > 0 && tombstonesDueMs >= 0 && tombstonesDueMs <= nowMs) ||
    (await waitsTooLong(log, segments, nowMs));
  if (!isDue) return undefined;
  return {
    segments,
    firstDirtyOffset: Math.max(cleanedOffset, segments[0]!.baseOffset),
    endOffset: segments.at(-1)!.nextOffset,
    dirtyRatio,
  };
}

/** Whether the oldest record that was not cleaned yet is older than max.compaction.lag.ms (KIP-354). */
async function waitsTooLong(log: PartitionLog, segments: readonly Segment[], nowMs: number): Promise<boolean> {
  const { maxCompactionLagMs } = log.config;
  const first = segments.find((segment) => segment.nextOffset > log.cleaning.cleanedOffset);
  if (first === undefined || maxCompactionLagMs === Number.MAX_SAFE_INTEGER) return false;
  const head = await first.read(0, BATCH_HEADER_BYTES);
  return head.length === BATCH_HEADER_BYTES && nowMs - maxTimestamp(head, 0) > maxCompactionLagMs;
}

/** Whether the keys of a batch count, for itself and against older records. */
function isCompactable(batch: Buffer, at: number): boolean {
  return !isControl(batch, at) && !isTransactional(batch, at);
}

/**
 * Notes the keys of a batch. Returns the end of what was noted: the batch's, or the offset of the record for which there
 * was no room. Per record.
 */
export async function noteKeys(
  newest: NewestOffsets,
  batch: Buffer,
  at: number,
  fromOffset: number,
  decompressedBytesMax: number,
): Promise<number> {
  if (!isCompactable(batch, at) || recordsCount(batch, at) === 0) return nextOffset(batch, at);
  const cursor = new RecordCursor(await openRecords(batch, at, decompressedBytesMax));
  const base = baseOffset(batch, at);
  while (cursor.next()) {
    const offset = base + cursor.offsetDelta;
    if (offset < fromOffset || cursor.keyBytes < 0) continue;
    const { keyPosition, keyBytes } = cursor;
    if (!newest.put(cursor.bytes, keyPosition, keyPosition + keyBytes, offset)) return offset;
  }
  if (!cursor.ok) throw malformed(base);
  return nextOffset(batch, at);
}

export interface BatchFilter {
  readonly newest: NewestOffsets;
  /** End of what `newest` knows: from here on everything stays. */
  readonly endOffset: number;
  readonly nowMs: number;
  /** The horizon of tombstones that are met for the first time. */
  readonly deleteHorizonMs: number;
  readonly decompressedBytesMax: number;
}

/** What becomes of a batch: the same bytes, fewer records, or no records at all. */
type FilteredBatch =
  | { readonly kind: 'unchanged'; readonly tombstonesDueMs: number }
  | { readonly kind: 'rewritten'; readonly bytes: Uint8Array; readonly tombstonesDueMs: number }
  /** `header` is the batch without records, for where it must stay. */
  | { readonly kind: 'emptied'; readonly header: Uint8Array };

const UNCHANGED: FilteredBatch = { kind: 'unchanged', tombstonesDueMs: -1 };

/** Decides on each record of a batch. Per record: no objects. */
export async function filterBatch(filter: BatchFilter, batch: Buffer, at: number): Promise<FilteredBatch> {
  if (!isCompactable(batch, at) || baseOffset(batch, at) >= filter.endOffset) return UNCHANGED;
  const whole = batch.subarray(at, at + batchBytes(batch, at));
  if (recordsCount(batch, at) === 0) return { kind: 'emptied', header: whole };
  const records = await openRecords(batch, at, filter.decompressedBytesMax);
  const horizonMs = hasDeleteHorizon(batch, at) ? baseTimestamp(batch, at) : undefined;
  const dropsTombstones = horizonMs !== undefined && horizonMs <= filter.nowMs;
  const base = baseOffset(batch, at);

  const flags = new Uint8Array(recordsCount(batch, at));
  let index = 0;
  let kept = 0;
  let hasTombstones = false;
  const cursor = new RecordCursor(records);
  while (cursor.next()) {
    const stays = keeps(filter, cursor, base + cursor.offsetDelta, dropsTombstones);
    if (stays) {
      flags[index] = 1;
      kept++;
      hasTombstones ||= cursor.valueBytes < 0;
    }
    index++;
  }
  if (!cursor.ok || index !== flags.length) throw malformed(base);
  // A batch that was not noted as a whole gets its horizon when it is.
  const meetsTombstones = hasTombstones && horizonMs === undefined && nextOffset(batch, at) <= filter.endOffset;
  const tombstonesDueMs = hasTombstones ? (horizonMs ?? (meetsTombstones ? filter.deleteHorizonMs : -1)) : -1;
  if (kept === flags.length && !meetsTombstones) return { kind: 'unchanged', tombstonesDueMs };

  const rewriter = new BatchRewriter(batch, at, records.length, meetsTombstones ? filter.deleteHorizonMs : undefined);
  const copied = new RecordCursor(records);
  for (let i = 0; copied.next(); i++) if (flags[i] === 1) rewriter.keep(copied);
  const rewritten = rewriter.finish();
  if (kept === 0) return { kind: 'emptied', header: rewritten };
  return { kind: 'rewritten', bytes: await recompressed(rewritten, getCodec(batch, at)!), tombstonesDueMs };
}

/** Per record. */
function keeps(filter: BatchFilter, cursor: RecordCursor, offset: number, dropsTombstones: boolean): boolean {
  if (offset >= filter.endOffset) return true;
  if (cursor.keyBytes < 0) return false;
  const { keyPosition, keyBytes } = cursor;
  if (filter.newest.get(cursor.bytes, keyPosition, keyPosition + keyBytes) > offset) return false;
  return cursor.valueBytes >= 0 || !dropsTombstones;
}

/** The same batch with its records compressed; on the thread pool where that pays. */
async function recompressed(batch: Uint8Array, codec: Codec): Promise<Uint8Array> {
  if (codec === 'none') return batch;
  const records = await compress(codec, batch.subarray(BATCH_HEADER_BYTES));
  const bytes = new Uint8Array(BATCH_HEADER_BYTES + records.length);
  bytes.set(batch.subarray(0, BATCH_HEADER_BYTES));
  bytes.set(records, BATCH_HEADER_BYTES);
  writeInt32(bytes, BATCH_LENGTH_POSITION, bytes.length - BATCH_LENGTH_OVERHEAD);
  writeInt16(bytes, ATTRIBUTES_POSITION, getAttributes(bytes, 0) | codecNumber(codec));
  resealBatch(bytes, 0);
  return bytes;
}

function malformed(offset: number): BurrowError {
  return new BurrowError('CORRUPT_BATCH', `The records of the batch at offset ${offset} are malformed.`, {
    fields: { offset },
  });
}
