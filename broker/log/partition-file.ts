/** The file in a partition's folder that says whose it is, and keeps what moves slowly: log start and leader epochs. */
import { join } from 'node:path';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { Disk } from '../ports/disk.ts';
import { readJsonFile, replaceJsonFile } from './atomic-file.ts';
import { PARTITION_FILE } from './file-names.ts';
import type { LeaderEpochEntry } from './leader-epochs.ts';

export interface PartitionFile {
  readonly topic: string;
  readonly topicId: Buffer;
  readonly partition: number;
  readonly logStartOffset: number;
  readonly leaderEpochs: readonly LeaderEpochEntry[];
  readonly cleaning: CleaningProgress;
}

/** How far compaction has come. */
export interface CleaningProgress {
  /** Below it, no key has two records but for what was appended since. */
  readonly cleanedOffset: number;
  /** When the first of the tombstones that stand there may go; -1 if there are none. */
  readonly tombstonesDueMs: number;
  /**
   * From here on, batches follow each other without gaps: a jump is damage. Moved up, durably, before compaction removes
   * anything.
   */
  readonly gapsBelow: number;
}

export const NOTHING_CLEANED: CleaningProgress = { cleanedOffset: 0, tombstonesDueMs: -1, gapsBelow: 0 };

/** Undefined if there is none; STORAGE_CORRUPT if it does not describe a partition. */
export async function readPartitionFile(disk: Disk, folder: string): Promise<PartitionFile | undefined> {
  const path = join(folder, PARTITION_FILE);
  const value = await readJsonFile(disk, path);
  if (value === undefined) return undefined;
  const { topic, topicId, partition, logStartOffset, leaderEpochs, cleaning } = value as Record<string, unknown>;
  if (
    typeof topic !== 'string' ||
    typeof topicId !== 'string' ||
    !/^[0-9a-f]{32}$/.test(topicId) ||
    !Number.isSafeInteger(partition) ||
    !Number.isSafeInteger(logStartOffset) ||
    !Array.isArray(leaderEpochs)
  ) {
    throw notAPartition(path);
  }
  return {
    topic,
    topicId: Buffer.from(topicId, 'hex'),
    partition: partition as number,
    logStartOffset: logStartOffset as number,
    leaderEpochs: leaderEpochs as LeaderEpochEntry[],
    cleaning: cleaning === undefined ? NOTHING_CLEANED : readCleaningProgress(path, cleaning),
  };
}

function readCleaningProgress(path: string, value: unknown): CleaningProgress {
  const { cleanedOffset, tombstonesDueMs, gapsBelow } = Object(value) as Record<string, unknown>;
  if (
    !Number.isSafeInteger(cleanedOffset) ||
    !Number.isSafeInteger(tombstonesDueMs) ||
    !Number.isSafeInteger(gapsBelow ?? 0)
  ) {
    throw notAPartition(path);
  }
  return {
    cleanedOffset: cleanedOffset as number,
    tombstonesDueMs: tombstonesDueMs as number,
    // Written before gaps were noted: they may be anywhere.
    gapsBelow: (gapsBelow as number | undefined) ?? Number.MAX_SAFE_INTEGER,
  };
}

function notAPartition(path: string): BurrowError {
  return new BurrowError('STORAGE_CORRUPT', `${path} does not describe a partition.`, { fields: { file: path } });
}

/** Durable when it resolves, and so are all names in the folder. */
export function savePartitionFile(disk: Disk, folder: string, contents: PartitionFile): Promise<void> {
  return replaceJsonFile(disk, join(folder, PARTITION_FILE), {
    ...contents,
    topicId: contents.topicId.toString('hex'),
  });
}
