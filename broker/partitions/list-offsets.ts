/** Offsets by time: the earliest, the latest, that of the newest timestamp, or the first at or after a timestamp. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import {
  EARLIEST_TIMESTAMP,
  type FetchRequest,
  LATEST_TIMESTAMP,
  type ListedOffset,
  MAX_TIMESTAMP,
} from './broker-service.ts';
import type { Partition } from './partition.ts';

const NONE: ListedOffset = { offset: -1, timestampMs: -1, leaderEpoch: -1 };

/** @throws BurrowError INVALID_ARGUMENT for a negative timestamp without a meaning, STORAGE_ERROR */
export async function listOffset(
  partition: Partition,
  timestampMs: number,
  isolation: FetchRequest['isolation'],
): Promise<ListedOffset> {
  const { log, role } = partition;
  const endOffset = partition.endOffset(isolation);
  switch (timestampMs) {
    case EARLIEST_TIMESTAMP:
      return { offset: log.logStartOffset, timestampMs: -1, leaderEpoch: log.epochAt(log.logStartOffset) };
    case LATEST_TIMESTAMP:
      return { offset: endOffset, timestampMs: -1, leaderEpoch: role.leaderEpoch };
    case MAX_TIMESTAMP:
      return (await log.maxTimestamp(endOffset)) ?? NONE;
  }
  if (timestampMs < 0) {
    throw new BurrowError('INVALID_ARGUMENT', `The timestamp ${timestampMs} has no meaning to ListOffsets.`);
  }
  return (await log.offsetForTimestamp(timestampMs, endOffset)) ?? NONE;
}
