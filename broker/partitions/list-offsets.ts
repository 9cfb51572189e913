/** Offsets by time: the earliest, the latest, that of the newest timestamp, or the first at or after a timestamp. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { storageError } from '../ports/storage-error.ts';
import {
  EARLIEST_TIMESTAMP,
  type FetchRequest,
  LATEST_TIMESTAMP,
  type ListedOffset,
  MAX_TIMESTAMP,
} from './broker-service.ts';
import type { Partition } from './partition.ts';

const NOT_FOUND: ListedOffset = { offset: -1, timestampMs: -1, leaderEpoch: -1 };

/** @throws BurrowError INVALID_ARGUMENT for a negative timestamp without a meaning, STORAGE_ERROR, STORAGE_CORRUPT */
export async function listOffset(
  partition: Partition,
  request: { readonly timestampMs: number; readonly isolation: FetchRequest['isolation'] },
  decompressedBytesMax: number,
): Promise<ListedOffset> {
  const { log, role } = partition;
  const { timestampMs } = request;
  const endOffset = partition.endOffset(request.isolation);
  if (timestampMs === EARLIEST_TIMESTAMP) {
    return { offset: log.logStartOffset, timestampMs: -1, leaderEpoch: log.epochAt(log.logStartOffset) };
  }
  if (timestampMs === LATEST_TIMESTAMP) {
    return { offset: endOffset, timestampMs: -1, leaderEpoch: role.leaderEpoch };
  }
  if (timestampMs < 0 && timestampMs !== MAX_TIMESTAMP) {
    throw new BurrowError('INVALID_ARGUMENT', `The timestamp ${timestampMs} has no meaning to ListOffsets.`);
  }
  try {
    const found =
      timestampMs === MAX_TIMESTAMP
        ? await log.maxTimestamp(endOffset, decompressedBytesMax)
        : await log.offsetForTimestamp(timestampMs, endOffset, decompressedBytesMax);
    return found ?? NOT_FOUND;
  } catch (error) {
    throw storageError(`${log.key} could not be searched`, error);
  }
}
