/**
 * Walks over the batches of a fetch answer by their headers alone, to learn from which offset to fetch next before anything of it
 * is decoded. CRC and records are checked when a batch is delivered.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import {
  BATCH_HEADER_BYTES,
  getBatchBytes,
  getMagic,
  getNextOffset,
  getRecordsCount,
  MAGIC_V2,
} from '../../src/records/batch-header.ts';

/** The offset behind the last batch in `bytes`; `fromOffset` if there is none. Per batch. */
export function nextOffsetAfter(bytes: Uint8Array, fromOffset: number): number {
  let nextOffset = fromOffset;
  let position = 0;
  while (position < bytes.byteLength) {
    const batchBytes = batchBytesAt(bytes, position, nextOffset);
    const next = getNextOffset(bytes, position);
    // A fetch answer begins with the batch that holds the offset asked for; from there offsets only grow.
    if (!Number.isSafeInteger(next) || next <= nextOffset) throw corrupt(bytes, position, nextOffset);
    nextOffset = next;
    position += batchBytes;
  }
  return nextOffset;
}

/** Records in the batches from `position` on, as their headers say. Per batch. */
export function recordsFrom(bytes: Uint8Array, position: number): number {
  let count = 0;
  for (let at = position; at + BATCH_HEADER_BYTES <= bytes.byteLength; ) {
    count += getRecordsCount(bytes, at);
    // What makes no sense is somebody else's to refuse; here it only must not go on for ever.
    at += Math.max(BATCH_HEADER_BYTES, getBatchBytes(bytes, at));
  }
  return count;
}

/** The size of the batch at `position`, if a whole batch of format 2 can stand there. */
export function batchBytesAt(bytes: Uint8Array, position: number, offset: number): number {
  const available = bytes.byteLength - position;
  if (available < BATCH_HEADER_BYTES || getMagic(bytes, position) !== MAGIC_V2) throw corrupt(bytes, position, offset);
  const batchBytes = getBatchBytes(bytes, position);
  if (batchBytes < BATCH_HEADER_BYTES || batchBytes > available) throw corrupt(bytes, position, offset);
  return batchBytes;
}

function corrupt(bytes: Uint8Array, position: number, offset: number): BurrowError {
  return new BurrowError(
    'CORRUPT_BATCH',
    `At offset ${offset} the broker sent bytes that are no record batch (byte ${position} of ${bytes.byteLength}).`,
    { fields: { position } },
  );
}
