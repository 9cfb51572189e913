/**
 * Opens the log of a partition folder: after a clean stop from indexes and snapshots, else by checking every batch
 * behind the recovery point. Decisions stand in `recovery-state.ts`; replaying the journal is `log-manager.ts`'s.
 */
import { join } from 'node:path';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import {
  getBaseOffset as baseOffset,
  getBaseSequence as baseSequence,
  getLastOffsetDelta as lastOffsetDelta,
  getMaxTimestamp as maxTimestamp,
  getNextOffset as nextOffset,
  getPartitionLeaderEpoch as partitionLeaderEpoch,
  getProducerEpoch as producerEpoch,
  getProducerId as producerId,
} from '../../src/records/batch-header.ts';
import type { Disk, DiskFile } from '../ports/disk.ts';
import { readWholeFile } from './atomic-file.ts';
import { finishCompactionSwaps } from './compaction-swap.ts';
import {
  CLEANED_SUFFIX,
  DELETED_SUFFIX,
  LOG_SUFFIX,
  logFile,
  offsetIndexFile,
  offsetOfFileName,
  PRODUCER_SNAPSHOT_SUFFIX,
  producerSnapshotFile,
  timeIndexFile,
} from './file-names.ts';
import { LeaderEpochs } from './leader-epochs.ts';
import { LOG_CONFIG_DEFAULTS } from './log-config.ts';
import type { LogEnvironment } from './log-environment.ts';
import { readPartitionFile, savePartitionFile } from './partition-file.ts';
import { PartitionLog } from './partition-log.ts';
import { ProducerSnapshots } from './producer-snapshots.ts';
import { ProducerState } from './producer-state.ts';
import { decideTail } from './recovery-state.ts';
import { Segment, scanSegment } from './segment.ts';

export interface OpenLogOptions {
  readonly folder: string;
  /** What the last checkpoint knew to be synced; 0 if it did not know the log. */
  readonly recoveryPoint: number;
  /** The node stopped cleanly: files are complete, indexes and snapshots current. */
  readonly clean: boolean;
  readonly salvage: boolean;
}

interface SegmentsOptions extends OpenLogOptions {
  readonly logStartOffset: number;
  readonly gapsBelow: number;
}

/** Undefined if the folder is not that of a partition: its creation was cut short before anything could be stored. */
export async function openLog(environment: LogEnvironment, options: OpenLogOptions): Promise<PartitionLog | undefined> {
  const { disk } = environment;
  const { folder } = options;
  const identity = await readPartitionFile(disk, folder);
  if (identity === undefined) return undefined;
  // Before anything is removed because of it: after a crash, what is read may not be on the disk yet.
  if (!options.clean) await savePartitionFile(disk, folder, identity);
  await finishCompactionSwaps(disk, folder);
  await removeLeftovers(disk, folder);

  const epochs = new LeaderEpochs(identity.leaderEpochs);
  let segments = await openSegments(
    environment,
    { ...options, logStartOffset: identity.logStartOffset, gapsBelow: identity.cleaning.gapsBelow },
    epochs,
  );
  const endOffset = Math.max(segments.at(-1)?.nextOffset ?? 0, identity.logStartOffset);
  const { producers, producersOffset, snapshots } = await loadProducers(disk, folder, segments, endOffset);
  if (segments.length > 0 && segments.at(-1)!.nextOffset < identity.logStartOffset) {
    // All that is left was deleted, and what followed is in the journal or was never synced: the log goes on at its start.
    if (snapshots.newestOffset < producersOffset) await snapshots.write(producersOffset, producers.encode());
    await snapshots.sync();
    await dropSegments(
      environment,
      options,
      segments.map((segment) => segment.baseOffset),
    );
    segments = [];
  }
  if (segments.length === 0) segments.push(Segment.create(segmentOptions(disk, folder, identity.logStartOffset)));
  const logStartOffset = Math.max(identity.logStartOffset, segments[0]!.baseOffset);
  const logEndOffset = Math.max(segments.at(-1)!.nextOffset, logStartOffset);
  epochs.truncateEnd(logEndOffset);
  const log = new PartitionLog(environment, {
    topic: identity.topic,
    topicId: identity.topicId,
    partition: identity.partition,
    folder,
    config: undefined,
    logStartOffset,
    // What salvage cut off may grow again, and is dirty then.
    cleaning: {
      ...identity.cleaning,
      cleanedOffset: Math.min(identity.cleaning.cleanedOffset, logEndOffset),
      gapsBelow: Math.min(identity.cleaning.gapsBelow, logEndOffset),
    },
    segments,
    producers,
    producersOffset,
    snapshots,
    leaderEpochs: epochs,
    recoveryPoint: options.clean ? logEndOffset : Math.min(options.recoveryPoint, logEndOffset),
  });
  // Saved anew for the same reason as segments are rewritten. It also syncs the folder: what was removed above must not
  // come back after the next crash, when the log has grown over it.
  if (!options.clean) await log.saveState();
  return log;
}

function segmentOptions(disk: Disk, folder: string, base: number) {
  return { disk, folder, baseOffset: base, indexIntervalBytes: LOG_CONFIG_DEFAULTS.indexIntervalBytes };
}

async function removeLeftovers(disk: Disk, folder: string): Promise<void> {
  for (const name of await disk.list(folder)) {
    if (name.endsWith(DELETED_SUFFIX) || name.endsWith(CLEANED_SUFFIX) || name.endsWith('.new')) {
      await disk.remove(join(folder, name));
    }
  }
}

/**
 * Opens all segments; the last one is ready for appends. Segments follow each other without gaps (compaction keeps it
 * so), and the first begins at or below the log start offset: otherwise a file is missing.
 */
async function openSegments(
  environment: LogEnvironment,
  options: SegmentsOptions,
  epochs: LeaderEpochs,
): Promise<Segment[]> {
  const { disk } = environment;
  const { folder, recoveryPoint, clean, salvage, logStartOffset } = options;
  const found = (await disk.list(folder))
    .map((name) => offsetOfFileName(name, LOG_SUFFIX))
    .filter((base) => base !== undefined);
  // Below the log start offset, the removal of files may have been cut short in any order.
  const bases = found.filter((_, i) => i + 1 === found.length || found[i + 1]! > logStartOffset);
  for (const base of found.filter((base) => !bases.includes(base))) await disk.remove(logFile(folder, base));
  const segments: Segment[] = [];
  for (const [i, base] of bases.entries()) {
    const nextBase = bases[i + 1];
    const segment = Segment.create(segmentOptions(disk, folder, base));
    const expected = segments.at(-1)?.nextOffset ?? Math.min(base, logStartOffset);
    if (base !== expected) {
      decideOrRefuse(environment, options, {
        path: segment.path,
        position: 0,
        offset: expected,
        problem: 'a segment before it is missing',
      });
      await dropSegments(environment, options, bases.slice(i));
      break;
    }
    const trusted = !salvage && (clean || (nextBase !== undefined && nextBase <= recoveryPoint));
    if (!trusted) await removeIndexes(disk, folder, base);
    if (!trusted && base >= recoveryPoint) await rewriteFile(disk, segment.path);
    const whole = trusted ? await openTrusted(segment) : await checkSegment(environment, segment, options, epochs);
    segments.push(segment);
    if (!whole) {
      await dropSegments(environment, options, bases.slice(i + 1));
      break;
    }
    if (nextBase === undefined) continue;
    if (!trusted) await segment.writeIndexes();
    segment.forgetIndexes();
    // Many closed segments would hold as many files open.
    await segment.closeFile();
  }
  await segments.at(-1)?.loadIndexes();
  const end = Math.max(segments.at(-1)?.nextOffset ?? 0, logStartOffset);
  if (clean && end > recoveryPoint) {
    throw new BurrowError(
      'STORAGE_CORRUPT',
      `${segments.at(-1)?.path ?? folder} ends at offset ${end}, but the log was closed at ${recoveryPoint}. ` +
        'Restore the file from a replica or backup, or start with --salvage.',
      { fields: { file: segments.at(-1)?.path ?? folder, offset: end } },
    );
  }
  if (end < recoveryPoint) {
    const path = segments.at(-1)?.path ?? folder;
    decideOrRefuse(environment, options, {
      path,
      position: segments.at(-1)?.bytes ?? 0,
      offset: end,
      problem: 'the log ends here',
    });
  }
  return segments;
}

const REWRITE_WINDOW_BYTES = 1024 * 1024;

/**
 * Writes what was not known to be synced once more. After a failed sync the kernel holds pages that read well, are not
 * on the disk, and that no later sync writes (Rebello et al., ATC'20): a restart must not believe them.
 */
async function rewriteTail(file: DiskFile, start: number, end: number): Promise<void> {
  for (let position = start; position < end; position += REWRITE_WINDOW_BYTES) {
    const window = await file.read(position, Math.min(REWRITE_WINDOW_BYTES, end - position));
    await file.write([window], position);
  }
}

/** The same for a file whose very name may not be on the disk: a new file takes its place. */
async function rewriteFile(disk: Disk, path: string): Promise<void> {
  const source = await disk.open(path);
  const copy = await disk.open(`${path}.new`, { create: true, truncate: true });
  try {
    for (let position = 0; ; ) {
      const window = await source.read(position, REWRITE_WINDOW_BYTES);
      if (window.length === 0) break;
      await copy.write([window], position);
      position += window.length;
    }
    await copy.sync();
  } finally {
    await source.close();
    await copy.close();
  }
  await disk.rename(`${path}.new`, path);
}

/** Indexes of a segment that may be cut would fit again once it has grown to its old size with other batches. */
async function removeIndexes(disk: Disk, folder: string, base: number): Promise<void> {
  await disk.remove(offsetIndexFile(folder, base));
  await disk.remove(timeIndexFile(folder, base));
}

/** A segment that was synced as a whole: only its tail is read, to learn where it ends. */
async function openTrusted(segment: Segment): Promise<boolean> {
  const file = await segment.file();
  segment.forgetIndexes();
  const { position, problem } = await segment.loadSummary(await file.size());
  if (problem === undefined) return true;
  throw new BurrowError(
    'STORAGE_CORRUPT',
    `${segment.path} is damaged at position ${position} (${problem}), although all of it was known to be synced. ` +
      'Restore the file from a replica or backup, or start with --salvage to drop everything behind the damage.',
    { fields: { file: segment.path, position } },
  );
}

/**
 * Reads every batch and rebuilds the indexes. Where a batch is not intact, the segment ends: by truncation if it was
 * not known to be synced, else the start is refused. Returns false if the segment was cut.
 */
async function checkSegment(
  environment: LogEnvironment,
  segment: Segment,
  options: SegmentsOptions,
  epochs: LeaderEpochs,
): Promise<boolean> {
  const file = await segment.file();
  const size = await file.size();
  let expected = segment.baseOffset;
  let syncedBytes = 0;
  let orderProblem: string | undefined;
  const result = await scanSegment(
    (position, bytes) => file.read(position, bytes),
    size,
    (window, at, position, bytes) => {
      if (orderProblem !== undefined) return;
      const base = baseOffset(window, at);
      // A batch's CRC does not cover its offset: damage there shows only in how batches follow each other.
      if (base < expected) orderProblem = 'offsets go back';
      else if (base > Math.max(expected, options.gapsBelow)) orderProblem = 'offsets jump';
      if (orderProblem !== undefined) return;
      expected = nextOffset(window, at);
      if (expected <= options.recoveryPoint) syncedBytes = position + bytes;
      segment.noteAppend(position, base, expected, bytes, maxTimestamp(window, at));
      // Epochs are saved off the append path: one that was missed stands in the batches themselves.
      epochs.assign(partitionLeaderEpoch(window, at), base);
    },
  );
  segment.writtenBytes = segment.bytes;
  if (segment.baseOffset < options.recoveryPoint) await rewriteTail(file, syncedBytes, segment.bytes);
  const problem = orderProblem ?? result.problem;
  if (problem === undefined) return true;

  decideOrRefuse(environment, options, {
    path: segment.path,
    position: segment.bytes,
    offset: segment.nextOffset,
    problem,
  });
  await file.truncate(segment.bytes);
  // At once: a segment that is cut to what was synced has nothing that would bring the next sync about.
  await file.sync();
  return false;
}

/** Returns if the log may end at `offset`; throws where that would drop what was known to be synced. */
function decideOrRefuse(
  { logger }: LogEnvironment,
  { recoveryPoint, salvage, logStartOffset }: SegmentsOptions,
  found: { path: string; position: number; offset: number; problem: string },
): void {
  const fields = { file: found.path, position: found.position, offset: found.offset, problem: found.problem };
  // What was deleted is not missed.
  const intactEndOffset = Math.max(found.offset, logStartOffset);
  switch (decideTail({ intactEndOffset, recoveryPoint, salvage })) {
    case 'truncate':
      logger.warn(fields, 'torn tail truncated');
      return;
    case 'salvage':
      logger.error({ ...fields, recoveryPoint }, 'salvage: dropping everything behind the damage');
      return;
    case 'refuse':
      throw new BurrowError(
        'STORAGE_CORRUPT',
        `${found.path} is damaged at position ${found.position}, offset ${found.offset} (${found.problem}), below offset ` +
          `${recoveryPoint} that was known to be synced. Restore the file from a replica or backup, ` +
          'or start with --salvage to drop everything behind the damage.',
        { fields },
      );
  }
}

/** Segments behind a cut hold nothing that was known to be synced, or are given up by salvage. */
async function dropSegments(
  { disk, logger }: LogEnvironment,
  { folder }: OpenLogOptions,
  bases: number[],
): Promise<void> {
  for (const base of bases) {
    const path = logFile(folder, base);
    logger.warn({ file: path }, 'segment behind a torn place removed');
    await disk.remove(path);
  }
  await disk.syncDirectory(folder);
}

/** The newest usable snapshot, brought up to date from the batches behind it. */
async function loadProducers(disk: Disk, folder: string, segments: Segment[], logEndOffset: number) {
  const offsets = (await disk.list(folder))
    .map((name) => offsetOfFileName(name, PRODUCER_SNAPSHOT_SUFFIX))
    .filter((offset) => offset !== undefined)
    .reverse();
  let producers: ProducerState | undefined;
  let from = 0;
  for (const offset of offsets) {
    if (producers !== undefined || offset > logEndOffset) continue;
    const bytes = await readWholeFile(disk, producerSnapshotFile(folder, offset));
    producers = bytes && ProducerState.decode(bytes);
    if (producers !== undefined) from = offset;
  }
  // A snapshot of a future that was cut off would be believed once the log has grown again.
  for (const offset of offsets) if (offset > logEndOffset) await disk.remove(producerSnapshotFile(folder, offset));
  const state = producers ?? new ProducerState();
  for (const segment of segments) {
    if (segment.nextOffset <= from) continue;
    await scanSegment(
      (position, bytes) => segment.read(position, bytes),
      segment.bytes,
      (window, at) => {
        if (producerId(window, at) < 0 || baseOffset(window, at) < from) return;
        const header = {
          producerId: producerId(window, at),
          producerEpoch: producerEpoch(window, at),
          baseSequence: baseSequence(window, at),
          // Compaction may have removed records, but not their sequences.
          recordsCount: lastOffsetDelta(window, at) + 1,
        };
        state.update(header, baseOffset(window, at), nextOffset(window, at), maxTimestamp(window, at));
      },
    );
  }
  const kept = offsets.filter((offset) => offset <= logEndOffset).reverse();
  return {
    producers: state,
    producersOffset: Math.max(from, segments.at(-1)?.nextOffset ?? 0),
    snapshots: new ProducerSnapshots(disk, folder, kept),
  };
}
