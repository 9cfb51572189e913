/**
 * From the bytes of a fetch to records: finds the batches, opens them (decompression) and decodes their records.
 * Input is untrusted, as everything that comes over a wire or from a file: bad bytes give typed errors.
 */
import { BurrowError } from '../errors/burrow-error.ts';
import {
  BATCH_HEADER_BYTES,
  getBaseOffset,
  getBaseTimestamp,
  getBatchBytes,
  getCodec,
  getMaxTimestamp,
  getRecordsCount,
  isLogAppendTime,
} from './batch-header.ts';
import { scanBatch } from './check-batch.ts';
import { decompress, decompressSync } from './compression.ts';
import { LogRecord } from './log-record.ts';
import { RecordCursor } from './record-cursor.ts';

/**
 * Positions of the whole batches in `bytes[start, end)`. A batch that is cut off at the end is left out: brokers may cut
 * fetch responses anywhere. Anything else that is no sound batch throws CORRUPT_BATCH.
 */
export function* batchPositions(bytes: Uint8Array, start = 0, end: number = bytes.length): Generator<number, void> {
  let position = start;
  while (position < end) {
    const result = scanBatch(bytes, position, end);
    if (result === 'short') return;
    if (typeof result !== 'number') {
      throw new BurrowError('CORRUPT_BATCH', `No sound record batch at position ${position}: ${result}.`, {
        fields: { position },
      });
    }
    yield position;
    position += result;
  }
}

/**
 * The uncompressed records of the batch at `position`, as a view where they are not compressed. `bytesMax` bounds what
 * they may decompress to (DECOMPRESSION_LIMIT).
 */
export async function openRecords(bytes: Uint8Array, position: number, bytesMax: number): Promise<Uint8Array> {
  const codec = getCodec(bytes, position);
  const records = recordsSection(bytes, position);
  return codec === 'none' ? records : decompress(knownCodec(codec), records, bytesMax);
}

/** As {@link openRecords}, on the caller's thread. For zstd `loadCodecs` must have been awaited once. */
export function openRecordsSync(bytes: Uint8Array, position: number, bytesMax: number): Uint8Array {
  const codec = getCodec(bytes, position);
  const records = recordsSection(bytes, position);
  return codec === 'none' ? records : decompressSync(knownCodec(codec), records, bytesMax);
}

/** The records of the batch at `position` as they are stored. */
export function recordsSection(bytes: Uint8Array, position: number): Uint8Array {
  return bytes.subarray(position + BATCH_HEADER_BYTES, position + getBatchBytes(bytes, position));
}

function knownCodec<T>(codec: T | undefined): T {
  if (codec === undefined) throw new BurrowError('UNSUPPORTED_COMPRESSION');
  return codec;
}

/**
 * Appends the records of the batch at `position` to `into` and returns it. `records` are its uncompressed records as
 * `openRecords` gives them; those before `offsetMin` are left out, since a fetch may start in the midst of a batch.
 * Throws CORRUPT_BATCH if the records are malformed or not as many as the header says. Per record: one view object.
 */
export function decodeRecords(
  bytes: Uint8Array,
  position: number,
  records: Uint8Array,
  offsetMin = 0,
  into: LogRecord[] = [],
): LogRecord[] {
  const baseOffset = getBaseOffset(bytes, position);
  const logAppendTime = isLogAppendTime(bytes, position);
  const baseTimestamp = logAppendTime ? getMaxTimestamp(bytes, position) : getBaseTimestamp(bytes, position);
  const recordsCount = getRecordsCount(bytes, position);
  const cursor = new RecordCursor(records);
  let count = 0;
  while (cursor.next()) {
    count++;
    const offset = baseOffset + cursor.offsetDelta;
    if (offset < offsetMin) continue;
    into.push(new LogRecord(cursor, offset, logAppendTime ? baseTimestamp : baseTimestamp + cursor.timestampDelta));
  }
  if (!cursor.ok || count !== recordsCount) {
    const found = cursor.ok ? `${count} records` : `a malformed record behind ${count} others`;
    throw new BurrowError(
      'CORRUPT_BATCH',
      `The batch at offset ${baseOffset} says that it holds ${recordsCount} records, but holds ${found}.`,
      { fields: { baseOffset, recordsCount } },
    );
  }
  return into;
}
