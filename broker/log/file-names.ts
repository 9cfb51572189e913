/** Names of the files of one partition folder, and of the folder itself. */
import { join } from 'node:path';

export const LOG_SUFFIX = '.log';
export const OFFSET_INDEX_SUFFIX = '.index';
export const TIME_INDEX_SUFFIX = '.timeindex';
export const PRODUCER_SNAPSHOT_SUFFIX = '.snapshot';
/** A segment on its way out: removed after a delay, or at the next start. */
export const DELETED_SUFFIX = '.deleted';
/** A compacted segment that is still being written: removed at the next start. */
export const CLEANED_SUFFIX = '.cleaned';
/** A complete compacted segment that is taking the place of older ones: carried through at the next start. */
export const SWAP_SUFFIX = '.swap';
export const PARTITION_FILE = 'partition.json';

/** Twenty digits, so that names sort as offsets do. */
export function offsetName(offset: number): string {
  return String(offset).padStart(20, '0');
}

export function logFile(folder: string, baseOffset: number): string {
  return join(folder, offsetName(baseOffset) + LOG_SUFFIX);
}

export function offsetIndexFile(folder: string, baseOffset: number): string {
  return join(folder, offsetName(baseOffset) + OFFSET_INDEX_SUFFIX);
}

export function timeIndexFile(folder: string, baseOffset: number): string {
  return join(folder, offsetName(baseOffset) + TIME_INDEX_SUFFIX);
}

export function producerSnapshotFile(folder: string, offset: number): string {
  return join(folder, offsetName(offset) + PRODUCER_SNAPSHOT_SUFFIX);
}

/** The offset that a file name starts with, or undefined if it is not `<20 digits><suffix>`. */
export function offsetOfFileName(name: string, suffix: string): number | undefined {
  if (name.length !== 20 + suffix.length || !name.endsWith(suffix)) return undefined;
  const digits = name.slice(0, 20);
  if (!/^\d{20}$/.test(digits)) return undefined;
  const offset = Number(digits);
  return Number.isSafeInteger(offset) ? offset : undefined;
}

/** Key of a log in maps and in the names of folders. Unambiguous: the partition follows the last hyphen. */
export function logKey(topic: string, partition: number): string {
  return `${topic}-${partition}`;
}
