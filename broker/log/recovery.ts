/**
 * Opens the log of a partition folder: after a clean stop from indexes and snapshots, else by checking every batch
 * behind the recovery point. Decisions stand in `recovery-state.ts`; replaying the journal is `log-manager.ts`'s.
 */
import { join } from 'node:path';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import {
  getBaseOffset as baseOffset,
  getBaseSequence as baseSequence,
  getMaxTimestamp as maxTimestamp,
  getNextOffset as nextOffset,
  getPartitionLeaderEpoch as partitionLeaderEpoch,
  getProducerEpoch as producerEpoch,
  getProducerId as producerId,
  getRecordsCount as recordsCount,
} from '../../src/records/batch-header.ts';
import type { Disk } from '../ports/disk.ts';
import { readJsonFile, readWholeFile } from './atomic-file.ts';
import { finishCompactionSwaps } from './compaction-swap.ts';
import {
  CLEANED_SUFFIX,
  DELETED_SUFFIX,
  LOG_SUFFIX,
  offsetOfFileName,
  PARTITION_FILE,
  PRODUCER_SNAPSHOT_SUFFIX,
  producerSnapshotFile,
} from './file-names.ts';
import { type LeaderEpochEntry, LeaderEpochs } from './leader-epochs.ts';
import { LOG_CONFIG_DEFAULTS } from './log-config.ts';
import { type LogEnvironment, PartitionLog } from './partition-log.ts';
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

/** Identity and slow-moving state, as stored in the partition folder. */
interface PartitionFile {
  readonly topic: string;
  readonly topicId: Buffer;
  readonly partition: number;
  readonly logStartOffset: number;
  readonly leaderEpochs: readonly LeaderEpochEntry[];
}

/** Undefined if the folder is not that of a partition: its creation was cut short before anything could be stored. */
export async function openLog(environment: LogEnvironment, options: OpenLogOptions): Promise<PartitionLog | undefined> {
  const { disk } = environment;
  const { folder } = options;
  const identity = await readPartitionFile(disk, folder);
  if (identity === undefined) return undefined;
  await finishCompactionSwaps(disk, folder);
  await removeLeftovers(disk, folder);

  const epochs = new LeaderEpochs(identity.leaderEpochs);
  const segments = await openSegments(environment, options, epochs);
  if (segments.length === 0) segments.push(Segment.create(segmentOptions(disk, folder, identity.logStartOffset)));
  const logStartOffset = Math.max(identity.logStartOffset, segments[0]!.baseOffset);
  const logEndOffset = Math.max(segments.at(-1)!.nextOffset, logStartOffset);
  epochs.truncateEnd(logEndOffset);
  const { producers, snapshotOffsets } = await loadProducers(disk, folder, segments, logEndOffset);
  return new PartitionLog(environment, {
    topic: identity.topic,
    topicId: identity.topicId,
    partition: identity.partition,
    folder,
    config: LOG_CONFIG_DEFAULTS,
    logStartOffset,
    segments,
    producers,
    snapshotOffsets,
    leaderEpochs: epochs,
    recoveryPoint: options.clean ? logEndOffset : Math.min(options.recoveryPoint, logEndOffset),
  });
}

function segmentOptions(disk: Disk, folder: string, base: number) {
  return { disk, folder, baseOffset: base, indexIntervalBytes: LOG_CONFIG_DEFAULTS.indexIntervalBytes };
}

async function readPartitionFile(disk: Disk, folder: string): Promise<PartitionFile | undefined> {
  const path = join(folder, PARTITION_FILE);
  const value = await readJsonFile(disk, path);
  if (value === undefined) return undefined;
  const { topic, topicId, partition, logStartOffset, leaderEpochs } = value as Record<string, unknown>;
  if (
    typeof topic !== 'string' ||
    typeof topicId !== 'string' ||
    !/^[0-9a-f]{32}$/.test(topicId) ||
    !Number.isSafeInteger(partition) ||
    !Number.isSafeInteger(logStartOffset) ||
    !Array.isArray(leaderEpochs)
  ) {
    throw new BurrowError('STORAGE_CORRUPT', `${path} does not describe a partition.`, { fields: { file: path } });
  }
  return {
    topic,
    topicId: Buffer.from(topicId, 'hex'),
    partition: partition as number,
    logStartOffset: logStartOffset as number,
    leaderEpochs: leaderEpochs as LeaderEpochEntry[],
  };
}

async function removeLeftovers(disk: Disk, folder: string): Promise<void> {
  for (const name of await disk.list(folder)) {
    if (name.endsWith(DELETED_SUFFIX) || name.endsWith(CLEANED_SUFFIX) || name.endsWith('.new')) {
      await disk.remove(join(folder, name));
    }
  }
}

/** Opens all segments; the last one is ready for appends. */
async function openSegments(
  environment: LogEnvironment,
  options: OpenLogOptions,
  epochs: LeaderEpochs,
): Promise<Segment[]> {
  const { disk } = environment;
  const { folder, recoveryPoint, clean } = options;
  const bases = (await disk.list(folder))
    .map((name) => offsetOfFileName(name, LOG_SUFFIX))
    .filter((base) => base !== undefined);
  const segments: Segment[] = [];
  for (const [i, base] of bases.entries()) {
    const nextBase = bases[i + 1];
    const segment = Segment.create(segmentOptions(disk, folder, base));
    const trusted = clean || (nextBase !== undefined && nextBase <= recoveryPoint);
    if (trusted) {
      await openTrusted(segment);
      if (nextBase !== undefined) segment.forgetIndexes();
      segments.push(segment);
      continue;
    }
    const whole = await checkSegment(environment, segment, segments.at(-1)?.nextOffset ?? 0, options, epochs);
    segments.push(segment);
    if (!whole) {
      await dropSegmentsBehind(environment, options, bases.slice(i + 1));
      break;
    }
    if (nextBase !== undefined) {
      await segment.writeIndexes();
      segment.forgetIndexes();
    }
  }
  return segments;
}

async function openTrusted(segment: Segment): Promise<void> {
  const file = await segment.file();
  segment.forgetIndexes();
  await segment.loadSummary(await file.size());
  await segment.closeFile();
}

/**
 * Reads every batch and rebuilds the indexes. Where a batch is not intact, the segment ends: by truncation if it was
 * not known to be synced, else the start is refused. Returns false if the segment was cut.
 */
async function checkSegment(
  environment: LogEnvironment,
  segment: Segment,
  previousEnd: number,
  options: OpenLogOptions,
  epochs: LeaderEpochs,
): Promise<boolean> {
  const file = await segment.file();
  const size = await file.size();
  let expected = Math.max(previousEnd, segment.baseOffset);
  let outOfOrderAt: number | undefined;
  const result = await scanSegment(
    (position, bytes) => file.read(position, bytes),
    size,
    (window, at, position, bytes) => {
      if (outOfOrderAt !== undefined) return;
      const base = baseOffset(window, at);
      if (base < expected) {
        outOfOrderAt = position;
        return;
      }
      expected = nextOffset(window, at);
      segment.noteAppend(position, base, expected, bytes, maxTimestamp(window, at));
      // Epochs are saved off the append path: one that was missed stands in the batches themselves.
      epochs.assign(partitionLeaderEpoch(window, at), base);
    },
  );
  segment.writtenBytes = segment.bytes;
  const problem = outOfOrderAt === undefined ? result.problem : 'offsets go back';
  if (problem === undefined) return true;

  const facts = { intactEndOffset: segment.nextOffset, recoveryPoint: options.recoveryPoint, salvage: options.salvage };
  const decision = decideTail(facts);
  const fields = { file: segment.path, position: segment.bytes, offset: segment.nextOffset, problem };
  if (decision === 'refuse') {
    throw new BurrowError(
      'STORAGE_CORRUPT',
      `${segment.path} is damaged at position ${segment.bytes}, offset ${segment.nextOffset} (${problem}), below offset ` +
        `${options.recoveryPoint} that was known to be synced. Restore the file from a replica or backup, ` +
        'or start with --salvage to drop everything behind the damage.',
      { fields },
    );
  }
  if (decision === 'salvage') environment.logger.error(fields, 'salvage: dropping everything behind the damage');
  else environment.logger.warn({ ...fields, droppedBytes: size - segment.bytes }, 'torn tail truncated');
  await file.truncate(segment.bytes);
  return false;
}

/** Segments behind a cut hold nothing that was known to be synced, or are given up by salvage. */
async function dropSegmentsBehind(
  { disk, logger }: LogEnvironment,
  { folder }: OpenLogOptions,
  bases: number[],
): Promise<void> {
  for (const base of bases) {
    const { path } = Segment.create(segmentOptions(disk, folder, base));
    logger.warn({ file: path }, 'segment behind a torn one removed');
    await disk.remove(path);
  }
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
          recordsCount: recordsCount(window, at),
        };
        state.update(header, baseOffset(window, at), nextOffset(window, at), maxTimestamp(window, at));
      },
    );
  }
  return { producers: state, snapshotOffsets: offsets.filter((offset) => offset <= logEndOffset).reverse() };
}
