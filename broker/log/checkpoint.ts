/**
 * The node's checkpoint: how far each log is synced in its segments, and from which journal round on a start must replay.
 * Written as a whole; a log that it does not know is checked from its beginning.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { Disk } from '../ports/disk.ts';
import { readJsonFile, replaceJsonFile } from './atomic-file.ts';
import type { RetiredRounds } from './journal.ts';
import { JOURNAL_ID_BYTES } from './journal-format.ts';

export interface Checkpoint {
  /** Ascends with each checkpoint written; ties the clean-shutdown marker to its checkpoint. */
  readonly sequence: number;
  /** Random; rounds of another journal are not believed. */
  readonly journalId: Buffer;
  /** The first round that may be missing in segments. */
  readonly firstRound: number;
  /** Older rounds that are still needed. */
  readonly pinned: readonly RetiredRounds[];
  /** By `<topic id in hex>-<partition>`. */
  readonly recoveryPoints: ReadonlyMap<string, number>;
}

const FORMAT = 1;

export async function saveCheckpoint(disk: Disk, path: string, checkpoint: Checkpoint): Promise<void> {
  await replaceJsonFile(disk, path, {
    format: FORMAT,
    sequence: checkpoint.sequence,
    journalId: checkpoint.journalId.toString('hex'),
    firstRound: checkpoint.firstRound,
    pinned: checkpoint.pinned,
    recoveryPoints: [...checkpoint.recoveryPoints],
  });
}

/** Undefined if the folder has none yet. */
export async function loadCheckpoint(disk: Disk, path: string): Promise<Checkpoint | undefined> {
  const value = (await readJsonFile(disk, path)) as Record<string, unknown> | undefined;
  if (value === undefined) return undefined;
  if (typeof value['format'] === 'number' && value['format'] > FORMAT) {
    throw new BurrowError(
      'DATA_FOLDER_VERSION',
      `${path} has format ${value['format']}, this version reads up to ${FORMAT}.`,
    );
  }
  const { sequence, journalId, firstRound, pinned, recoveryPoints } = value;
  if (
    typeof sequence !== 'number' ||
    typeof journalId !== 'string' ||
    journalId.length !== JOURNAL_ID_BYTES * 2 ||
    typeof firstRound !== 'number' ||
    !Array.isArray(pinned) ||
    !Array.isArray(recoveryPoints)
  ) {
    throw new BurrowError('STORAGE_CORRUPT', `${path} is not a checkpoint.`, { fields: { file: path } });
  }
  return {
    sequence,
    journalId: Buffer.from(journalId, 'hex'),
    firstRound,
    pinned: pinned as RetiredRounds[],
    recoveryPoints: new Map(recoveryPoints as Array<[string, number]>),
  };
}
