/**
 * Reads the journal after an unclean stop. The last round may be torn and is then as if it had never been written;
 * damage before it is refused, because acknowledged records stand behind it.
 */
import { join } from 'node:path';
import { crc32c } from '../../src/bytes/crc32c.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { type Disk, type DiskFile, diskErrorCode } from '../ports/disk.ts';
import { journalFileNumber, type RetiredRounds } from './journal.ts';
import {
  alignedToRound,
  type JournalEntry,
  ROUND_ALIGNMENT,
  ROUND_HEADER_BYTES,
  type RoundHeader,
  readEntries,
  readRoundHeader,
} from './journal-format.ts';

export interface JournalRecoveryOptions {
  readonly disk: Disk;
  readonly folder: string;
  readonly journalId: Buffer;
  /** The first round that segments may lack. */
  readonly firstRound: number;
  /** Older rounds that are still needed, because a log could not take them. */
  readonly pinned: readonly RetiredRounds[];
  readonly salvage: boolean;
  /** Called for every entry, in the order in which they were written. */
  readonly onEntry: (entry: JournalEntry, source: { file: string; position: number; round: number }) => Promise<void>;
  /** Called in salvage mode for each damaged place that is passed over. */
  readonly onDamage: (damage: BurrowError) => void;
}

interface FoundRound {
  readonly file: string;
  readonly position: number;
  readonly header: RoundHeader;
  readonly intact: boolean;
}

/**
 * Replays what is needed and returns the highest round number that was met, torn or not, or `firstRound - 1` if there
 * was none: the next round must get a higher one, so that a torn round is never taken for its successor.
 */
export async function recoverJournal(options: JournalRecoveryOptions): Promise<number> {
  const rounds = await findRounds(options);
  const lastSeen = Math.max(rounds.at(-1)?.header.number ?? 0, options.firstRound - 1);
  let expected = options.firstRound;
  for (const round of rounds) {
    const { number } = round.header;
    if (!round.intact && number === lastSeen) break;
    if (!round.intact || (number >= options.firstRound && number !== expected)) report(options, round, expected);
    if (number >= options.firstRound) expected = number + 1;
    if (round.intact) await replay(options, round);
  }
  return lastSeen;
}

function report(options: JournalRecoveryOptions, round: FoundRound, expected: number): void {
  const what = round.intact ? `round ${expected} is missing before it` : 'its contents do not match their checksum';
  const damage = new BurrowError(
    'STORAGE_CORRUPT',
    `The journal is damaged: ${round.file}, position ${round.position}, round ${round.header.number}: ${what}. ` +
      'Acknowledged records stand there. Restore the data folder, or start with --salvage to drop what cannot be read.',
    { fields: { file: round.file, position: round.position } },
  );
  if (!options.salvage) throw damage;
  options.onDamage(damage);
}

/** All headers of rounds that are needed, in ascending order of their numbers. */
async function findRounds(options: JournalRecoveryOptions): Promise<FoundRound[]> {
  const found: FoundRound[] = [];
  for (const name of await listJournal(options)) {
    const path = join(options.folder, name);
    const file = await options.disk.open(path);
    try {
      await scanFile(options, file, found);
    } finally {
      await file.close();
    }
  }
  return found.sort((a, b) => a.header.number - b.header.number);
}

async function listJournal({ disk, folder }: JournalRecoveryOptions): Promise<string[]> {
  try {
    return (await disk.list(folder)).filter((name) => journalFileNumber(name) !== undefined);
  } catch (error) {
    if (diskErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

const WINDOW_BYTES = 1024 * 1024;

/**
 * Looks for headers at every aligned place instead of going from round to round: so a damaged header in the middle is
 * noticed by the gap in the numbers. Where a round is intact, the search goes on behind it.
 */
async function scanFile(options: JournalRecoveryOptions, file: DiskFile, found: FoundRound[]): Promise<void> {
  const size = await file.size();
  let position = 0;
  while (position < size) {
    const window = await file.read(position, WINDOW_BYTES);
    if (window.length === 0) return;
    let at = 0;
    while (at < window.length) {
      const header = readRoundHeader(window, at, options.journalId);
      if (header === undefined || !isNeeded(options, header.number)) {
        at += ROUND_ALIGNMENT;
        continue;
      }
      const roundBytes = ROUND_HEADER_BYTES + header.payloadBytes;
      const payload =
        at + roundBytes <= window.length
          ? window.subarray(at + ROUND_HEADER_BYTES, at + roundBytes)
          : await file.read(position + at + ROUND_HEADER_BYTES, Math.min(header.payloadBytes, size));
      const intact = payload.length === header.payloadBytes && crc32c(payload) === header.payloadCrc;
      found.push({ file: file.path, position: position + at, header, intact });
      at += intact ? alignedToRound(roundBytes) : ROUND_ALIGNMENT;
    }
    position += at;
  }
}

function isNeeded({ firstRound, pinned }: JournalRecoveryOptions, number: number): boolean {
  return number >= firstRound || pinned.some((rounds) => number >= rounds.firstRound && number <= rounds.lastRound);
}

async function replay(options: JournalRecoveryOptions, round: FoundRound): Promise<void> {
  const file = await options.disk.open(round.file);
  try {
    const payload = await file.read(round.position + ROUND_HEADER_BYTES, round.header.payloadBytes);
    const entries = readEntries(payload, round.header.entryCount);
    if (entries === undefined)
      throw new BurrowError(
        'STORAGE_CORRUPT',
        `Round ${round.header.number} in ${round.file} has a malformed payload.`,
      );
    for (const entry of entries) {
      await options.onEntry(entry, { file: round.file, position: round.position, round: round.header.number });
    }
  } finally {
    await file.close();
  }
}
