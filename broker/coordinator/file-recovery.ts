/**
 * The files of the file coordinator, and how their contents become its state again.
 *
 *     0000000007.snapshot   all entries as of the start of log 7
 *     0000000007.log        the changes since then
 *     0000000008.log        the changes after those, while snapshot 8 is being written, or after it failed
 *     0000000008.snapshot.tmp
 *
 * All are sequences of frames (`frames.ts`). The first frame of each says what it is and its revision.
 *
 * What a crash can leave, and what follows:
 *
 * | found                                                        | how it comes about                   | decision        |
 * |--------------------------------------------------------------|--------------------------------------|-----------------|
 * | `.tmp`; files numbered below the newest snapshot             | crash while compacting               | remove          |
 * | newer logs without a whole change                            | crash or error while starting a log  | remove          |
 * | last log with changes ends in a broken frame, which is torn  | crash in the last write              | truncate there  |
 * | broken frame anywhere else, or one that no tearing explains  | damage to what was synced            | STORAGE_CORRUPT |
 * | a number or revision missing                                 | a file was taken away                | STORAGE_CORRUPT |
 *
 * A snapshot gets its name only after it is synced, and a log its first change only after all of the log before is.
 */
import { join } from 'node:path';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { Disk, DiskFile } from '../ports/disk.ts';
import type { CoordinatorEntry } from './coordinator.ts';
import { encodeFrame, FrameReader } from './frames.ts';
import type { KeyValues, StateChange } from './key-values.ts';

const FORMAT = 1;
const FILE_NAME = /^(\d{10})\.(log|snapshot|snapshot\.tmp)$/;
/** Entries of a snapshot go into frames of about this many characters. */
const SNAPSHOT_FRAME_CHARACTERS = 128 * 1024;

export type CoordinatorFileKind = 'log' | 'snapshot' | 'snapshot.tmp';

export function coordinatorFile(folder: string, generation: number, kind: CoordinatorFileKind): string {
  return join(folder, `${String(generation).padStart(10, '0')}.${kind}`);
}

export function encodeLogHeader(revision: number): Buffer {
  return encodeFrame({ format: FORMAT, kind: 'log', revision });
}

/** One frame for the changes of one commit: all of them are stored, or none. */
export function encodeChanges(changes: readonly StateChange[]): Buffer {
  return encodeFrame(
    changes.map(({ revision, set, removed }) => [revision, set.map(({ key, value }) => [key, value]), removed]),
  );
}

/** The frames of a snapshot. Lazily, so that a large one does not stop everything else while it is encoded. */
export function* encodeSnapshot(revision: number, entries: readonly CoordinatorEntry[]): Generator<Buffer> {
  yield encodeFrame({ format: FORMAT, kind: 'snapshot', revision, entries: entries.length });
  let rows: unknown[] = [];
  let characters = 0;
  for (const { key, value, createRevision, modRevision } of entries) {
    rows.push([key, value, createRevision, modRevision]);
    characters += key.length + value.length;
    if (characters < SNAPSHOT_FRAME_CHARACTERS) continue;
    yield encodeFrame(rows);
    rows = [];
    characters = 0;
  }
  if (rows.length > 0) yield encodeFrame(rows);
}

export interface RecoveredFiles {
  /** Number of the newest log, which is the one to append to. 0: there is none. */
  readonly generation: number;
  /** Number of the newest snapshot. 0: there is none. */
  readonly snapshotGeneration: number;
  readonly snapshotBytes: number;
  /** Of all logs since the snapshot. */
  readonly logBytes: number;
  /** Where the newest log ends, without what a crash tore. */
  readonly logEnd: number;
  /** Its last frame. */
  readonly lastFramePosition: number;
  /** Files that are of no use any more. */
  readonly garbage: readonly string[];
}

/** Reads all there is into `state`. Changes no file. */
export async function recoverFiles(disk: Disk, folder: string, state: KeyValues): Promise<RecoveredFiles> {
  const logs: number[] = [];
  let snapshotGeneration = 0;
  const names = await disk.list(folder);
  for (const name of names) {
    const match = FILE_NAME.exec(name);
    if (match?.[2] === 'log') logs.push(Number(match[1]));
    else if (match?.[2] === 'snapshot') snapshotGeneration = Math.max(snapshotGeneration, Number(match[1]));
  }
  const base = Math.max(1, snapshotGeneration);
  const live = logs.filter((generation) => generation >= base).sort((a, b) => a - b);
  const path = (generation: number): string => coordinatorFile(folder, generation, 'log');

  // Logs that were started and never got a change: the one before them is still the last.
  while (live.length > 0 && (live.at(-1)! > base || snapshotGeneration === 0)) {
    if (!(await withReader(disk, path(live.at(-1)!), isUnused))) break;
    live.pop();
  }
  if (snapshotGeneration > 0 && live[0] !== base) throw missing(path(base));

  let snapshotBytes = 0;
  if (snapshotGeneration > 0) {
    const snapshotPath = coordinatorFile(folder, snapshotGeneration, 'snapshot');
    snapshotBytes = await withReader(disk, snapshotPath, (reader) => readSnapshot(reader, snapshotPath, state));
  }
  let logBytes = 0;
  let logEnd = 0;
  let lastFramePosition = 0;
  for (const [index, generation] of live.entries()) {
    if (generation !== base + index) throw missing(path(base + index));
    const last = index === live.length - 1;
    const ends = await withReader(disk, path(generation), (reader) => replayLog(reader, path(generation), state, last));
    ({ logEnd, lastFramePosition } = ends);
    logBytes += logEnd;
  }
  const garbage = names.filter((name) => {
    const match = FILE_NAME.exec(name);
    if (match === null) return false;
    const generation = Number(match[1]);
    if (match[2] === 'log') return !live.includes(generation);
    return match[2] === 'snapshot.tmp' || generation < snapshotGeneration;
  });
  return {
    generation: live.at(-1) ?? 0,
    snapshotGeneration,
    snapshotBytes,
    logBytes,
    logEnd,
    lastFramePosition,
    garbage: garbage.map((name) => join(folder, name)),
  };
}

/** Whether a log has no whole change and no sign that one was ever synced. */
async function isUnused(reader: FrameReader, path: string): Promise<boolean> {
  let position = 0;
  for (let frames = 0; frames < 2; frames++) {
    const read = await reader.read(position);
    if (read.kind === 'end') return true;
    if (read.kind === 'broken') {
      if (await reader.isTorn(position)) return true;
      throw corrupt(path, position);
    }
    position = read.nextPosition;
  }
  return false;
}

async function readSnapshot(reader: FrameReader, path: string, state: KeyValues): Promise<number> {
  const first = await reader.read(0);
  if (first.kind !== 'frame') throw corrupt(path, 0);
  const header = parseHeader(first.value, 'snapshot', path);
  let position = first.nextPosition;
  let left = header.entries;
  for (;;) {
    const read = await reader.read(position);
    if (read.kind === 'end' && left === 0) break;
    if (read.kind !== 'frame') throw corrupt(path, position);
    if (!isArrayOf(read.value, isSnapshotRow)) throw corrupt(path, position);
    for (const [key, value, createRevision, modRevision] of read.value) {
      state.restore({ key, value, createRevision, modRevision });
    }
    left -= read.value.length;
    position = read.nextPosition;
  }
  state.restoreRevision(header.revision);
  return position;
}

async function replayLog(
  reader: FrameReader,
  path: string,
  state: KeyValues,
  last: boolean,
): Promise<{ logEnd: number; lastFramePosition: number }> {
  const first = await reader.read(0);
  if (first.kind !== 'frame') throw corrupt(path, 0);
  const header = parseHeader(first.value, 'log', path);
  if (header.revision !== state.revision) throw gap(path, 0, state.revision, header.revision);
  let lastFramePosition = 0;
  let position = first.nextPosition;
  for (;;) {
    const read = await reader.read(position);
    if (read.kind === 'end') break;
    if (read.kind === 'broken') {
      if (last && (await reader.isTorn(position))) break;
      throw corrupt(path, position);
    }
    if (!isArrayOf(read.value, isChangeRow)) throw corrupt(path, position);
    for (const [revision, set, removed] of read.value) {
      if (revision !== state.revision + 1) throw gap(path, position, state.revision, revision - 1);
      for (const [key, value] of set) {
        const createRevision = state.entries.get(key)?.createRevision ?? revision;
        state.restore({ key, value, createRevision, modRevision: revision });
      }
      for (const key of removed) state.restoreRemoval(key);
      state.restoreRevision(revision);
    }
    lastFramePosition = position;
    position = read.nextPosition;
  }
  return { logEnd: position, lastFramePosition };
}

async function withReader<T>(
  disk: Disk,
  path: string,
  use: (reader: FrameReader, path: string) => Promise<T>,
): Promise<T> {
  const file: DiskFile = await disk.open(path);
  try {
    return await use(new FrameReader(file, await file.size()), path);
  } finally {
    await file.close();
  }
}

function parseHeader(
  value: unknown,
  kind: 'log' | 'snapshot',
  path: string,
): { readonly revision: number; readonly entries: number } {
  if (typeof value !== 'object' || value === null) throw corrupt(path, 0);
  const { format, kind: foundKind, revision, entries } = value as Record<string, unknown>;
  if (typeof format === 'number' && format > FORMAT) {
    throw new BurrowError(
      'DATA_FOLDER_VERSION',
      `${path} has format ${format}; this version reads up to ${FORMAT}. Use the version that wrote it, or a newer one.`,
      { fields: { file: path, format } },
    );
  }
  if (foundKind !== kind || !isRevision(revision)) throw corrupt(path, 0);
  if (kind === 'snapshot' && !isRevision(entries)) throw corrupt(path, 0);
  return { revision, entries: isRevision(entries) ? entries : 0 };
}

type ChangeRow = readonly [revision: number, set: ReadonlyArray<readonly [string, string]>, removed: readonly string[]];
type SnapshotRow = readonly [key: string, value: string, createRevision: number, modRevision: number];

function isChangeRow(value: unknown): value is ChangeRow {
  if (!Array.isArray(value)) return false;
  const [revision, set, removed] = value as unknown[];
  return isRevision(revision) && isArrayOf(set, isPair) && isArrayOf(removed, isString);
}

function isSnapshotRow(value: unknown): value is SnapshotRow {
  if (!Array.isArray(value)) return false;
  const [key, text, createRevision, modRevision] = value as unknown[];
  return isString(key) && isString(text) && isRevision(createRevision) && isRevision(modRevision);
}

function isPair(value: unknown): value is readonly [string, string] {
  return Array.isArray(value) && isString(value[0]) && isString(value[1]);
}

function isArrayOf<T>(value: unknown, isItem: (item: unknown) => item is T): value is readonly T[] {
  return Array.isArray(value) && value.every(isItem);
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

function isRevision(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function corrupt(path: string, position: number): BurrowError {
  return new BurrowError(
    'STORAGE_CORRUPT',
    `${path} is damaged at byte ${position}, in a part that was synced. Restore the file from a backup.`,
    { fields: { file: path, position } },
  );
}

function gap(path: string, position: number, known: number, found: number): BurrowError {
  return new BurrowError(
    'STORAGE_CORRUPT',
    `${path} goes on from revision ${found} at byte ${position}, but the files before it end at ${known}. Restore the missing file from a backup.`,
    { fields: { file: path, position } },
  );
}

function missing(path: string): BurrowError {
  return new BurrowError('STORAGE_CORRUPT', `${path} is missing. Restore it from a backup.`, {
    fields: { file: path },
  });
}
