/**
 * From fetched bytes to records: checks a batch, decompresses and decodes it. Per batch; per record only the view object that the
 * user gets.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import {
  getBaseOffset,
  getBaseTimestamp,
  getCodec,
  getMaxTimestamp,
  getNextOffset,
  getPartitionLeaderEpoch,
  getRecordsCount,
  isControl,
  isLogAppendTime,
} from '../../src/records/batch-header.ts';
import { openRecords, recordsSection } from '../../src/records/batch-iterator.ts';
import { scanBatch } from '../../src/records/check-batch.ts';
import { RecordCursor } from '../../src/records/record-cursor.ts';
import { batchBytesAt } from './batch-scan.ts';
import { ConsumerRecord, RecordSection, type RecordSource } from './consumer-record.ts';
import type { FetchedChunk } from './partition-cursor.ts';

export interface OpenerLimits {
  readonly checkCrcs: boolean;
  /** Of one batch, in bytes. */
  readonly decompressedBytesMax: number;
}

/** The records of one batch, ready to be delivered. */
export interface OpenedBatch<K, V> {
  readonly records: readonly ConsumerRecord<K, V>[];
  /** The first record that was not delivered yet. */
  index: number;
  /** Behind the batch, which may have lost its last records to compaction. */
  readonly nextOffset: number;
  /** As the batch's header says: also those that are not in `records`. */
  readonly recordsCount: number;
  /** Bytes of the batch in its chunk. */
  readonly batchBytes: number;
  /** Of the leader that stored it. */
  readonly leaderEpoch: number;
}

/** Opens the batch at the chunk's position; a promise only if it must be decompressed. Throws typed errors. */
export function openBatch<K, V>(
  chunk: FetchedChunk,
  source: RecordSource<K, V>,
  limits: OpenerLimits,
): OpenedBatch<K, V> | Promise<OpenedBatch<K, V>> {
  const { bytes, position } = chunk;
  const batchBytes = checkedBatchBytes(bytes, position, limits);
  if (isControl(bytes, position)) {
    const leaderEpoch = getPartitionLeaderEpoch(bytes, position);
    const nextOffset = getNextOffset(bytes, position);
    return {
      records: [],
      index: 0,
      nextOffset,
      recordsCount: getRecordsCount(bytes, position),
      batchBytes,
      leaderEpoch,
    };
  }
  if (getCodec(bytes, position) === 'none') {
    return decode(chunk, position, batchBytes, recordsSection(bytes, position), source);
  }
  return openRecords(bytes, position, limits.decompressedBytesMax).then((records) =>
    decode(chunk, position, batchBytes, records, source),
  );
}

/** Whether the chunk's next batch must be decompressed. */
export function isCompressed(chunk: FetchedChunk): boolean {
  return getCodec(chunk.bytes, chunk.position) !== 'none';
}

function checkedBatchBytes(bytes: Uint8Array, position: number, limits: OpenerLimits): number {
  const baseOffset = getBaseOffset(bytes, position);
  if (!limits.checkCrcs) return batchBytesAt(bytes, position, baseOffset);
  const result = scanBatch(bytes, position, bytes.byteLength);
  if (typeof result === 'number') return result;
  throw new BurrowError('CORRUPT_BATCH', `The batch at offset ${baseOffset} is damaged: ${result}.`, {
    fields: { position, baseOffset },
  });
}

function decode<K, V>(
  chunk: FetchedChunk,
  position: number,
  batchBytes: number,
  recordBytes: Uint8Array,
  source: RecordSource<K, V>,
): OpenedBatch<K, V> {
  const { bytes, fromOffset } = chunk;
  const baseOffset = getBaseOffset(bytes, position);
  const stamped = isLogAppendTime(bytes, position);
  const baseTimestamp = stamped ? getMaxTimestamp(bytes, position) : getBaseTimestamp(bytes, position);
  const recordsCount = getRecordsCount(bytes, position);
  const records: ConsumerRecord<K, V>[] = [];
  const section = new RecordSection(source, recordBytes);
  const cursor = new RecordCursor(recordBytes);
  let count = 0;
  // Per record.
  while (cursor.next()) {
    count += 1;
    const offset = baseOffset + cursor.offsetDelta;
    // A fetch may ask for an offset in the midst of a batch; the broker answers with the whole batch.
    if (offset < fromOffset) continue;
    records.push(
      new ConsumerRecord(section, cursor, offset, stamped ? baseTimestamp : baseTimestamp + cursor.timestampDelta),
    );
  }
  if (!cursor.ok || count !== recordsCount) {
    throw new BurrowError(
      'CORRUPT_BATCH',
      `The batch at offset ${baseOffset} says that it holds ${recordsCount} records, but ${count} can be read.`,
      { fields: { baseOffset, recordsCount } },
    );
  }
  const leaderEpoch = getPartitionLeaderEpoch(bytes, position);
  return { records, index: 0, nextOffset: getNextOffset(bytes, position), recordsCount, batchBytes, leaderEpoch };
}
