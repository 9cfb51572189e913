/**
 * Puts a compacted segment in the place of the segments it was made from, so that a crash at any point leaves either
 * them or it. Names of one file on its way, with what makes each step safe:
 *
 *     <base>.log.cleaned   being written; synced when complete. A start removes it.
 *     <base>.log.swap      complete, and its name durable before anything else is touched. A start carries it through.
 *     <base>.log           in place. Only once the old files are durably gone, since one that came back would overlap.
 *
 * The folder is synced after each step, because unsynced renames may reach the disk in any order.
 */
import { join } from 'node:path';
import { getNextOffset as nextOffset } from '../../src/records/batch-header.ts';
import type { Disk } from '../ports/disk.ts';
import { LOG_SUFFIX, logFile, offsetIndexFile, offsetOfFileName, SWAP_SUFFIX, timeIndexFile } from './file-names.ts';
import { type Segment, scanSegment } from './segment.ts';

interface SegmentSwap {
  readonly disk: Disk;
  readonly folder: string;
  /** The compacted file, complete and synced. */
  readonly cleanedPath: string;
  /** Consecutive, and held open by the caller; the compacted segment covers the same offsets. */
  readonly replaced: readonly Segment[];
  /** Renames the file of a replaced segment away. */
  readonly retire: (segment: Segment) => Promise<void>;
}

/** If this rejects, it is not known how far the swap came, until the next start completes it. */
export async function swapIn({ disk, folder, cleanedPath, replaced, retire }: SegmentSwap): Promise<void> {
  const { baseOffset } = replaced[0]!;
  const swapPath = logFile(folder, baseOffset) + SWAP_SUFFIX;
  // An old index would be believed if the sizes of the files happened to be equal.
  for (const segment of replaced) await removeIndexes(disk, folder, segment.baseOffset);
  await disk.rename(cleanedPath, swapPath);
  await disk.syncDirectory(folder);
  for (const segment of replaced) await retire(segment);
  await disk.syncDirectory(folder);
  await disk.rename(swapPath, logFile(folder, baseOffset));
  await disk.syncDirectory(folder);
}

/** Completes the swaps that a crash or a failure interrupted. Before any segment of the folder is opened. */
export async function finishCompactionSwaps(disk: Disk, folder: string): Promise<void> {
  const names = await disk.list(folder);
  for (const name of names) {
    const baseOffset = offsetOfFileName(name, LOG_SUFFIX + SWAP_SUFFIX);
    if (baseOffset !== undefined) await finishSwap(disk, folder, baseOffset, names);
  }
}

/**
 *     swap file | <base>.log | decision
 *     intact    | any        | carry through
 *     damaged   | there      | undo: the old files may all be there; where not, opening the log refuses
 *     damaged   | missing    | carry through: opening the log tells how much is left of it, and refuses or salvages
 */
async function finishSwap(disk: Disk, folder: string, baseOffset: number, names: readonly string[]): Promise<void> {
  const path = logFile(folder, baseOffset);
  const swapPath = path + SWAP_SUFFIX;
  const endOffset = await intactEndOffset(disk, swapPath);
  if (endOffset === undefined && (await disk.exists(path))) {
    await disk.remove(swapPath);
    await disk.syncDirectory(folder);
    return;
  }
  await removeIndexes(disk, folder, baseOffset);
  for (const name of names) {
    const other = offsetOfFileName(name, LOG_SUFFIX);
    if (other === undefined || other <= baseOffset || other >= (endOffset ?? 0)) continue;
    await disk.remove(join(folder, name));
    await removeIndexes(disk, folder, other);
  }
  await disk.syncDirectory(folder);
  await disk.rename(swapPath, path);
  await disk.syncDirectory(folder);
}

/** Undefined if any batch of the file is damaged. */
async function intactEndOffset(disk: Disk, path: string): Promise<number | undefined> {
  const file = await disk.open(path);
  try {
    let endOffset: number | undefined;
    const { problem } = await scanSegment(
      (position, bytes) => file.read(position, bytes),
      await file.size(),
      (window, at) => {
        endOffset = nextOffset(window, at);
      },
    );
    return problem === undefined ? endOffset : undefined;
  } finally {
    await file.close();
  }
}

async function removeIndexes(disk: Disk, folder: string, baseOffset: number): Promise<void> {
  await disk.remove(offsetIndexFile(folder, baseOffset));
  await disk.remove(timeIndexFile(folder, baseOffset));
}
