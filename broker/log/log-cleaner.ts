/**
 * Compacts one log at a time, in slices, so that appends and reads go on meanwhile. Each pass notes the newest offset of
 * every key from the first dirty offset on, as far as memory allows, and writes all segments below that anew, without
 * the records that are superseded. A segment from which nothing is removed stays as it is; small neighbours become one.
 *
 * What never changes, because recovery and readers rely on it: offsets and timestamps of the records that stay, where a
 * segment begins and ends (its last batch stays, if need be without records), and the batches by which repetitions of
 * idempotent producers are told.
 */

import { BurrowError } from '../../src/errors/burrow-error.ts';
import {
  BATCH_LENGTH_OVERHEAD,
  getBaseOffset as baseOffset,
  getBatchBytes as batchBytes,
  getMaxTimestamp as maxTimestamp,
  getNextOffset as nextOffset,
  getProducerId as producerId,
} from '../../src/records/batch-header.ts';
import { scanBatch } from '../../src/records/check-batch.ts';
import type { Clock } from '../ports/clock.ts';
import type { Disk, DiskFile } from '../ports/disk.ts';
import type { Logger } from '../ports/logger.ts';
import type { Random } from '../ports/random.ts';
import { type BatchFilter, type CleaningPlan, filterBatch, noteKeys } from './compaction.ts';
import { CLEANED_SUFFIX, logFile } from './file-names.ts';
import { NewestOffsets } from './newest-offsets.ts';
import type { PartitionLog } from './partition-log.ts';
import { Segment } from './segment.ts';

interface LogCleanerOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Memory for the keys of one pass; a log with more keys takes several. */
  readonly keyBytesMax: number;
  /** Reads and writes of the cleaner together; -1 is no limit. */
  readonly bytesPerSecondMax: number;
  /** A batch whose records would take more cannot be compacted; then its log is not. */
  readonly decompressedBytesMax: number;
}

/** What is done in one turn of the event loop, about. */
const SLICE_BYTES = 256 * 1024;
const READ_BYTES = 128 * 1024;
const WRITE_BYTES = 128 * 1024;
/** Offsets in a segment's index are relative to its base. */
const OFFSETS_MAX = 0x7fff_ffff;

export class LogCleaner {
  readonly #options: LogCleanerOptions;
  #sliceBytes = 0;
  #stopped = false;
  #wake: (() => void) | undefined;

  constructor(options: LogCleanerOptions) {
    this.#options = options;
  }

  /** Gives up what is being cleaned, at the next slice. */
  stop(): void {
    this.#stopped = true;
    this.#wake?.();
  }

  /** Carries out a plan. Returns false if the log was closed, deleted or failed meanwhile, or the cleaner stopped. */
  async clean(log: PartitionLog, plan: CleaningPlan): Promise<boolean> {
    const { clock, logger, random, keyBytesMax } = this.#options;
    const nowMs = clock.now();
    const bytesBefore = log.bytes;
    try {
      // What a segment holds in memory only could not be replaced.
      if (log.recoveryPoint < plan.endOffset) await log.syncSegments();
      for (let from = plan.firstDirtyOffset, isFirst = true; isFirst || from < plan.endOffset; isFirst = false) {
        const newest = new NewestOffsets(keyBytesMax, random.bytes(4).readUInt32LE());
        const endOffset = await this.#noteDirty(log, plan, from, newest);
        const tombstonesDueMs = await this.#cleanSegments(log, {
          newest,
          endOffset,
          nowMs,
          deleteHorizonMs: nowMs + log.config.deleteRetentionMs,
          decompressedBytesMax: this.#options.decompressedBytesMax,
        });
        await log.saveCleaning({ ...log.cleaning, cleanedOffset: endOffset, tombstonesDueMs });
        from = endOffset;
      }
    } catch (error) {
      if (error === GIVEN_UP || log.isOver) return false;
      throw error;
    }
    const fields = { log: log.key, bytesBefore, bytesAfter: log.bytes, endOffset: plan.endOffset };
    logger.debug(fields, 'log compacted');
    return true;
  }

  /** Notes the keys from `from` on. Returns the end of what was noted. */
  async #noteDirty(log: PartitionLog, plan: CleaningPlan, from: number, newest: NewestOffsets): Promise<number> {
    const { decompressedBytesMax } = this.#options;
    let endOffset = plan.endOffset;
    for (const segment of closedSegments(log, plan.endOffset)) {
      if (segment.nextOffset <= from) continue;
      const fits = await this.#eachBatch(log, segment, async (window, at) => {
        if (nextOffset(window, at) <= from) return true;
        const noted = await noteKeys(newest, window, at, from, decompressedBytesMax);
        if (noted === nextOffset(window, at)) return true;
        endOffset = noted;
        return false;
      });
      if (!fits) break;
    }
    return endOffset;
  }

  /** Returns when the first of the tombstones that stay may go, or -1. */
  async #cleanSegments(log: PartitionLog, filter: BatchFilter): Promise<number> {
    let tombstonesDueMs = -1;
    // From the oldest on: a tombstone gets its horizon only after what it deletes is gone.
    for (const group of groupsOf(closedSegments(log, Number.POSITIVE_INFINITY), filter.endOffset, log.config)) {
      const dueMs = await this.#cleanGroup(log, group, filter);
      if (dueMs >= 0 && (tombstonesDueMs < 0 || dueMs < tombstonesDueMs)) tombstonesDueMs = dueMs;
    }
    return tombstonesDueMs;
  }

  async #cleanGroup(log: PartitionLog, group: readonly Segment[], filter: BatchFilter): Promise<number> {
    let tombstonesDueMs = -1;
    const noteDue = (dueMs: number): void => {
      if (dueMs >= 0 && (tombstonesDueMs < 0 || dueMs < tombstonesDueMs)) tombstonesDueMs = dueMs;
    };
    if (group.length === 1 && !(await this.#changesAnything(log, group, filter, noteDue))) return tombstonesDueMs;
    tombstonesDueMs = -1;

    const { disk } = this.#options;
    const cleaned = await CleanedFile.create(disk, log.folder, group[0]!.baseOffset, log.config.indexIntervalBytes);
    try {
      for (const segment of group) {
        await this.#eachBatch(log, segment, async (window, at, bytes) => {
          const { result, dueMs } = await this.#outcome(log, group, filter, window, at, bytes);
          noteDue(dueMs);
          if (result !== undefined && (await cleaned.add(result))) await this.#breathe(WRITE_BYTES);
          return true;
        });
      }
      await cleaned.finish();
      this.#assertGoesOn(log);
      const gapsBelow = group.at(-1)!.nextOffset;
      if (gapsBelow > log.cleaning.gapsBelow) await log.saveCleaning({ ...log.cleaning, gapsBelow });
      if (!(await log.replaceSegments(group, cleaned.segment, cleaned.path))) throw GIVEN_UP;
    } catch (error) {
      // After a failed swap the file may be the only one there is; the next start knows.
      if (!log.isOver) await cleaned.discard();
      else await cleaned.close();
      throw error;
    }
    return tombstonesDueMs;
  }

  async #changesAnything(
    log: PartitionLog,
    group: readonly Segment[],
    filter: BatchFilter,
    noteDue: (dueMs: number) => void,
  ): Promise<boolean> {
    const unchanged = await this.#eachBatch(log, group[0]!, async (window, at, bytes) => {
      const { isChanged, dueMs } = await this.#outcome(log, group, filter, window, at, bytes);
      noteDue(dueMs);
      return !isChanged;
    });
    return !unchanged;
  }

  /** What stands in the place of a batch; undefined if nothing does. */
  async #outcome(
    log: PartitionLog,
    group: readonly Segment[],
    filter: BatchFilter,
    window: Buffer,
    at: number,
    bytes: number,
  ): Promise<{ result: Uint8Array | undefined; isChanged: boolean; dueMs: number }> {
    const filtered = await filterBatch(filter, window, at);
    switch (filtered.kind) {
      case 'unchanged':
        return { result: window.subarray(at, at + bytes), isChanged: false, dueMs: filtered.tombstonesDueMs };
      case 'rewritten':
        return { result: filtered.bytes, isChanged: true, dueMs: filtered.tombstonesDueMs };
      case 'emptied': {
        const mustStay =
          nextOffset(window, at) === group.at(-1)!.nextOffset ||
          log.retainsProducerBatch(producerId(window, at), baseOffset(window, at));
        const { header } = filtered;
        return mustStay
          ? { result: header, isChanged: header.length !== bytes, dueMs: -1 }
          : { result: undefined, isChanged: true, dueMs: -1 };
      }
    }
  }

  /** Calls `visit` for each batch of a segment, until it returns false; returns whether it never did. */
  async #eachBatch(
    log: PartitionLog,
    segment: Segment,
    visit: (window: Buffer, at: number, bytes: number) => Promise<boolean>,
  ): Promise<boolean> {
    let position = 0;
    let windowBytes = READ_BYTES;
    while (position < segment.bytes) {
      this.#assertGoesOn(log);
      // Retention may take the segment away at any time.
      if (!log.segments.includes(segment)) throw GIVEN_UP;
      const window = await segment.read(position, Math.min(windowBytes, segment.bytes - position));
      let at = 0;
      while (at < window.length) {
        const result = scanBatch(window, at, window.length);
        if (result === 'short') break;
        if (typeof result !== 'number') throw damaged(segment, position + at);
        if (!(await visit(window, at, result))) return false;
        at += result;
      }
      if (at === 0) {
        // The batch that stands here is larger than the window.
        const needed = window.length < BATCH_LENGTH_OVERHEAD ? 0 : batchBytes(window, 0);
        if (needed <= window.length || position + needed > segment.bytes) throw damaged(segment, position);
        windowBytes = needed;
        continue;
      }
      windowBytes = READ_BYTES;
      position += at;
      await this.#breathe(at);
    }
    return true;
  }

  #assertGoesOn(log: PartitionLog): void {
    if (this.#stopped || log.isOver) throw GIVEN_UP;
  }

  /** Lets everything else run after a slice of work, and waits as long as the limit of bytes per second asks. */
  async #breathe(bytes: number): Promise<void> {
    this.#sliceBytes += bytes;
    if (this.#sliceBytes < SLICE_BYTES || this.#stopped) return;
    const { clock, bytesPerSecondMax } = this.#options;
    const delayMs = bytesPerSecondMax > 0 ? (this.#sliceBytes / bytesPerSecondMax) * 1000 : 0;
    this.#sliceBytes = 0;
    await new Promise<void>((resolve) => {
      const timer = clock.schedule(delayMs, resolve);
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
    this.#wake = undefined;
  }
}

/** Not an error of anybody: there is nothing left to do. */
const GIVEN_UP = new Error('cleaning given up');

function closedSegments(log: PartitionLog, endOffset: number): Segment[] {
  return log.segments.slice(0, -1).filter((segment) => segment.nextOffset <= endOffset);
}

/** Neighbours that fit into one segment together, all of them below the end of what is known. */
function groupsOf(
  segments: readonly Segment[],
  endOffset: number,
  { segmentBytes }: { readonly segmentBytes: number },
): Segment[][] {
  const groups: Segment[][] = [];
  let bytes = 0;
  for (const segment of segments) {
    if (segment.baseOffset >= endOffset) break;
    const group = groups.at(-1);
    const fits =
      group !== undefined &&
      bytes + segment.bytes <= segmentBytes &&
      segment.nextOffset - group[0]!.baseOffset <= OFFSETS_MAX;
    if (fits) {
      group.push(segment);
      bytes += segment.bytes;
    } else {
      groups.push([segment]);
      bytes = segment.bytes;
    }
  }
  return groups;
}

/** The compacted segment while it is being written. */
class CleanedFile {
  readonly path: string;
  readonly segment: Segment;
  readonly #disk: Disk;
  readonly #file: DiskFile;
  #isOpen = true;
  #buffers: Uint8Array[] = [];
  #bufferedBytes = 0;
  #writtenBytes = 0;

  private constructor(disk: Disk, file: DiskFile, segment: Segment) {
    this.#disk = disk;
    this.#file = file;
    this.path = file.path;
    this.segment = segment;
  }

  static async create(
    disk: Disk,
    folder: string,
    baseOffset: number,
    indexIntervalBytes: number,
  ): Promise<CleanedFile> {
    const path = logFile(folder, baseOffset) + CLEANED_SUFFIX;
    const segment = Segment.create({ disk, folder, baseOffset, indexIntervalBytes });
    return new CleanedFile(disk, await disk.open(path, { create: true, truncate: true }), segment);
  }

  /** Returns whether something was written to the disk. */
  async add(batch: Uint8Array): Promise<boolean> {
    this.segment.noteAppend(
      this.segment.bytes,
      baseOffset(batch, 0),
      nextOffset(batch, 0),
      batch.length,
      maxTimestamp(batch, 0),
    );
    this.#buffers.push(batch);
    this.#bufferedBytes += batch.length;
    if (this.#bufferedBytes < WRITE_BYTES) return false;
    await this.#flush();
    return true;
  }

  /** Everything is on stable storage when it resolves; the file is closed. */
  async finish(): Promise<void> {
    await this.#flush();
    await this.#file.sync();
    await this.close();
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#file.close();
  }

  async discard(): Promise<void> {
    await this.close();
    await this.#disk.remove(this.path);
  }

  async #flush(): Promise<void> {
    if (this.#bufferedBytes === 0) return;
    await this.#file.write(this.#buffers, this.#writtenBytes);
    this.#writtenBytes += this.#bufferedBytes;
    this.#buffers = [];
    this.#bufferedBytes = 0;
  }
}

function damaged(segment: Segment, position: number): BurrowError {
  return new BurrowError(
    'STORAGE_CORRUPT',
    `${segment.path} is damaged at position ${position}; it is not compacted.`,
    {
      fields: { file: segment.path, position },
    },
  );
}
