/**
 * One partition's log: append, read, look up, and what is durable of it. Knows bytes and offsets, no protocol and no
 * replicas. Opening and recovery stand in `recovery.ts`, removal of old records in `retention.ts` and `compaction.ts`.
 *
 * Offsets, each the end (exclusive) of something, in the order that always holds:
 *   logStartOffset <= highWatermark <= syncedOffset <= logEndOffset, and lastStableOffset <= highWatermark
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import {
  getBaseSequence as baseSequence,
  getBaseOffset as batchBaseOffset,
  getNextOffset as batchNextOffset,
  getLastOffsetDelta as lastOffsetDelta,
  getMaxTimestamp as maxTimestamp,
  getProducerEpoch as producerEpoch,
  getProducerId as producerId,
  getRecordsCount as recordsCount,
  setBaseOffset,
  setLogAppendTime,
  setPartitionLeaderEpoch,
} from '../../src/records/batch-header.ts';
import type { Timer } from '../ports/clock.ts';
import { swapIn } from './compaction-swap.ts';
import { Deferred } from './deferred.ts';
import { DELETED_SUFFIX, logKey, offsetIndexFile, timeIndexFile } from './file-names.ts';
import type { CommitParticipant } from './group-commit.ts';
import type { LeaderEpochs } from './leader-epochs.ts';
import { LOG_CONFIG_DEFAULTS, type LogConfig } from './log-config.ts';
import type { LogEnvironment, PartitionLogState } from './log-environment.ts';
import { type CleaningProgress, savePartitionFile } from './partition-file.ts';
import type { ProducerSnapshots } from './producer-snapshots.ts';
import type { ProducerState } from './producer-state.ts';
import { SEGMENT_BYTES_LIMIT, Segment } from './segment.ts';
import { type ReadOptions, readSegment } from './segment-read.ts';
import { storageFailure } from './storage-failure.ts';
import { LogTail } from './tail-cache.ts';
import { firstAtOrAfter, newestRecord, type TimestampedOffset } from './timestamp-lookup.ts';

export interface Appended {
  readonly baseOffset: number;
  readonly nextOffset: number;
  /** Milliseconds, or -1 where the producer's timestamps stay. */
  readonly logAppendTimeMs: number;
  /** True if this repeats one of the producer's last batches, which then was not written again. */
  readonly duplicate: boolean;
  /** Settles when the batch is durable by the flush policy, or rejects with STORAGE_ERROR or STORAGE_FULL. */
  readonly synced: Promise<void>;
}

/** With the journal, batches go to the segment when this much has gathered; until then they are served from memory. */
const WRITE_OUT_BYTES = 1024 * 1024;
/** One write to a segment takes at most about this much. */
const WRITE_RUN_BYTES = 4 * 1024 * 1024;
/** A batch that would take more is not opened to look for a timestamp. */
const LOOKUP_DECOMPRESSED_BYTES_MAX = 64 * 1024 * 1024;
export class PartitionLog implements CommitParticipant {
  readonly topic: string;
  readonly topicId: Buffer;
  readonly partition: number;
  readonly key: string;
  readonly folder: string;
  readonly #environment: LogEnvironment;
  readonly #tail = new LogTail();
  readonly #producers: ProducerState;
  /** Only during recovery: the state of producers knows all batches below it, also deleted ones. */
  #producersOffset: number;
  /** Only during recovery: segments and snapshots do not tell the state of producers. */
  #producersUnsaved = false;
  readonly #leaderEpochs: LeaderEpochs;
  #segments: Segment[];
  #active: Segment;
  #config: LogConfig | undefined;
  #cleaning: CleaningProgress;
  #logStartOffset: number;
  /** The log start offset that is durable. Invariant: no segment that reaches beyond it has been removed. */
  #savedStartOffset: number;
  #logEndOffset: number;
  #syncedOffset: number;
  #highWatermark: number;
  /** Everything below it is synced in segments: recovery may rely on it. Moved by syncSegments. */
  #recoveryPoint: number;
  #unwrittenBytes = 0;
  #failure: BurrowError | undefined;
  #closed = false;
  readonly #snapshots: ProducerSnapshots;
  #nextWriteOut: Deferred | undefined;
  #writing = false;
  #syncing: Promise<void> = Promise.resolve();
  /** Index files, snapshots and epochs are written one after the other, off the append path. */
  #housekeeping: Promise<void> = Promise.resolve();
  /** Segments that have left the log, with the timers that remove their files. */
  readonly #retired = new Map<Segment, Timer>();
  #retiredCount = 0;

  /** Called once per commit, not per batch, when syncedOffset or highWatermark moved, or the log failed. */
  onAdvance: ((log: PartitionLog) => void) | undefined;

  constructor(environment: LogEnvironment, state: PartitionLogState) {
    this.#environment = environment;
    this.topic = state.topic;
    this.topicId = state.topicId;
    this.partition = state.partition;
    this.key = logKey(state.topic, state.partition);
    this.folder = state.folder;
    this.#config = state.config;
    this.#cleaning = state.cleaning;
    this.#segments = state.segments;
    this.#active = state.segments.at(-1)!;
    this.#producers = state.producers;
    this.#leaderEpochs = state.leaderEpochs;
    this.#logStartOffset = state.logStartOffset;
    this.#savedStartOffset = state.logStartOffset;
    this.#logEndOffset = Math.max(this.#active.nextOffset, state.logStartOffset);
    this.#syncedOffset = this.#logEndOffset;
    this.#highWatermark = this.#logEndOffset;
    this.#recoveryPoint = state.recoveryPoint;
    this.#producersOffset = state.producersOffset;
    this.#snapshots = state.snapshots;
  }

  get config(): LogConfig {
    return this.#config ?? LOG_CONFIG_DEFAULTS;
  }

  /** Without the topic's own configuration nothing may be removed: the defaults could remove what it keeps. */
  get isConfigured(): boolean {
    return this.#config !== undefined;
  }

  /** First offset that may be read. Moved by retention and deleteRecordsBefore. Invariant: never goes back. */
  get logStartOffset(): number {
    return this.#logStartOffset;
  }

  /** Offset that the next batch gets. Moved by append. */
  get logEndOffset(): number {
    return this.#logEndOffset;
  }

  /** End of what is durable by the flush policy. Moved by commits. */
  get syncedOffset(): number {
    return this.#syncedOffset;
  }

  /** End of what consumers may see. Moved by whoever knows the replicas. Invariant: never goes back. */
  get highWatermark(): number {
    return this.#highWatermark;
  }

  /** End of what read-committed consumers may see: no open transaction begins below it. */
  get lastStableOffset(): number {
    return this.#highWatermark;
  }

  get recoveryPoint(): number {
    return this.#recoveryPoint;
  }

  /** How far compaction has come. */
  get cleaning(): CleaningProgress {
    return this.#cleaning;
  }

  /** Whether nothing more is to be done for this log: it is closed, deleted or has failed. */
  get isOver(): boolean {
    return this.#closed || this.#failure !== undefined;
  }

  get leaderEpoch(): number {
    return this.#leaderEpochs.latest;
  }

  get bytes(): number {
    let bytes = 0;
    for (const segment of this.#segments) bytes += segment.bytes;
    return bytes;
  }

  /** Whether no batch is stored, deleted ones aside. */
  get isEmpty(): boolean {
    return this.#segments.length === 1 && this.#active.bytes === 0;
  }

  get segmentCount(): number {
    return this.#segments.length;
  }

  /** Ascending; the last is the active one. For retention, compaction and checkpoints. */
  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /** Sticky until a restart; set when storage failed under this log. */
  get failure(): BurrowError | undefined {
    return this.#failure;
  }

  get unwrittenBytes(): number {
    return this.#unwrittenBytes;
  }

  reconfigure(config: LogConfig): void {
    this.#config = config;
  }

  /**
   * Appends one checked record batch: stamps offset and leader epoch in place and hands it to the commit. Synchronous,
   * so calls take effect in their order. The log owns the buffer from here. Per batch.
   * Throws OUT_OF_ORDER_SEQUENCE, INVALID_PRODUCER_EPOCH, or the failure of this log.
   */
  append(batch: Buffer, options: { leaderEpoch: number; appendTimeMs: number }): Appended {
    this.#checkUsable();
    const isIdempotent = producerId(batch, 0) >= 0;
    if (isIdempotent) {
      const repeated = this.#producers.check(producerHeader(batch));
      if (repeated !== undefined) return this.#answerRepeated(repeated.baseOffset, repeated.nextOffset);
    }

    const baseOffset = this.#logEndOffset;
    const nextOffset = baseOffset + lastOffsetDelta(batch, 0) + 1;
    if (options.leaderEpoch > this.#leaderEpochs.latest) this.assignLeaderEpoch(options.leaderEpoch);
    const stampsTime = this.config.timestampType === 'LogAppendTime';
    if (stampsTime) setLogAppendTime(batch, 0, options.appendTimeMs);
    setBaseOffset(batch, 0, baseOffset);
    setPartitionLeaderEpoch(batch, 0, options.leaderEpoch);
    // Before the producer's state moves on: the snapshot of a roll must not know this batch.
    this.#maybeRoll(batch.length, nextOffset, options.appendTimeMs);
    if (isIdempotent) this.#producers.update(producerHeader(batch), baseOffset, nextOffset, options.appendTimeMs);

    return {
      baseOffset,
      nextOffset,
      logAppendTimeMs: stampsTime ? options.appendTimeMs : -1,
      duplicate: false,
      synced: this.#appendStamped(withoutSlack(batch), baseOffset, nextOffset, options.appendTimeMs),
    };
  }

  /** Puts back a batch that the journal holds and the segments lack. Only during recovery. */
  restore(batch: Buffer, appendedAtMs: number): void {
    const baseOffset = batchBaseOffset(batch, 0);
    const nextOffset = batchNextOffset(batch, 0);
    if (baseOffset < this.#active.baseOffset) this.#segments = [this.#startSegment(baseOffset)];
    this.#maybeRoll(batch.length, nextOffset, appendedAtMs);
    this.#noteProducer(batch, appendedAtMs);
    this.#store(withoutSlack(batch), baseOffset, nextOffset, appendedAtMs);
    this.#syncedOffset = nextOffset;
    this.#highWatermark = nextOffset;
  }

  /** Notes the producer of a batch in the journal that was deleted before a segment had it. Only during recovery. */
  noteDeleted(batch: Uint8Array, appendedAtMs: number): void {
    if (batchBaseOffset(batch, 0) < this.#producersOffset) return;
    this.#noteProducer(batch, appendedAtMs);
    this.#producersUnsaved = true;
  }

  #noteProducer(batch: Uint8Array, appendedAtMs: number): void {
    const baseOffset = batchBaseOffset(batch, 0);
    const nextOffset = batchNextOffset(batch, 0);
    if (baseOffset > this.#producersOffset) this.#forgetProducers();
    if (producerId(batch, 0) >= 0) this.#producers.update(producerHeader(batch), baseOffset, nextOffset, appendedAtMs);
    this.#producersOffset = nextOffset;
  }

  /** Deleted batches are unknown, as after a power loss without the journal: no state is better than one of the past (KIP-360). */
  #forgetProducers(): void {
    this.#producers.clear();
    this.#producersUnsaved = true;
  }

  /** Ends recovery: before the journal forgets them, producers of deleted batches must be durable elsewhere. */
  async finishRecovery(): Promise<void> {
    if (this.#producersOffset < this.#logEndOffset) this.#forgetProducers();
    if (!this.#producersUnsaved) return;
    await this.#inOrder(async () => {
      await this.#snapshots.write(this.#logEndOffset, this.#producers.encode());
      await this.#snapshots.sync();
    });
  }

  /** Notes that the leader of `epoch` writes from here on, even before its first record (KIP-279). */
  assignLeaderEpoch(epoch: number): void {
    if (this.#leaderEpochs.assign(epoch, this.#logEndOffset)) void this.saveState().catch(() => {});
  }

  endOffsetForEpoch(epoch: number): { epoch: number; endOffset: number } | undefined {
    return this.#leaderEpochs.endOffset(epoch, this.#logEndOffset);
  }

  epochAt(offset: number): number {
    return this.#leaderEpochs.epochAt(offset);
  }

  /** Moves the high watermark forward; beyond what is synced here it does not go. */
  advanceHighWatermark(offset: number): void {
    const next = Math.min(offset, this.#syncedOffset);
    if (next > this.#highWatermark) this.#highWatermark = next;
  }

  onSynced(offset: number): void {
    if (offset <= this.#syncedOffset) return;
    this.#syncedOffset = offset;
    this.onAdvance?.(this);
  }

  /** Storage failed: nothing is appended or acknowledged any more until a restart. What is readable stays so. */
  fail(error: BurrowError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#tail.frozen = true;
    this.#environment.tailCache.evict();
    this.#environment.logger.error(
      { log: this.key, code: error.code, error: error.message },
      'partition stopped accepting writes',
    );
    this.#environment.onFailed(this);
    this.onAdvance?.(this);
  }

  /**
   * Whole batches, the first being the one that holds `offset`. Answers at once from memory, or with a promise from
   * disk. Throws OFFSET_OUT_OF_RANGE, STORAGE_ERROR. Per batch.
   */
  read(offset: number, options: ReadOptions): Buffer[] | Promise<Buffer[]> {
    if (offset < this.#logStartOffset || offset > this.#logEndOffset) throw this.#outOfRange(offset);
    if (offset >= options.endOffset) return [];
    if (offset >= this.#tail.firstOffset) {
      return this.#tail.read(offset, options.endOffset, options.bytesMax, options.wholeFirstBatch);
    }
    return this.#readSegments(offset, options);
  }

  /** Bytes between two offsets, as far as it can be told without reading; for the minimum of a long poll. */
  bytesBetween(offset: number, endOffset: number): number {
    if (offset >= endOffset) return 0;
    if (offset >= this.#tail.firstOffset) return this.#tail.bytesBetween(offset, endOffset);
    // Older than the hot tail: more than any sensible minimum.
    return this.#segmentFor(offset).bytes + this.#active.bytes;
  }

  /**
   * The first record that is at or after a timestamp and below `endOffset`.
   * Throws STORAGE_ERROR, or DECOMPRESSION_LIMIT for a batch that cannot be looked into.
   */
  offsetForTimestamp(
    timestampMs: number,
    endOffset: number,
    decompressedBytesMax = LOOKUP_DECOMPRESSED_BYTES_MAX,
  ): Promise<TimestampedOffset | undefined> {
    return firstAtOrAfter(this, timestampMs, endOffset, decompressedBytesMax);
  }

  /** The first of the records with the largest timestamp below `endOffset`. Throws as {@link offsetForTimestamp}. */
  maxTimestamp(
    endOffset: number,
    decompressedBytesMax = LOOKUP_DECOMPRESSED_BYTES_MAX,
  ): Promise<TimestampedOffset | undefined> {
    return newestRecord(this, endOffset, decompressedBytesMax);
  }

  /** Segment that holds an offset, or the next one that has records behind it. */
  #segmentFor(offset: number): Segment {
    return this.#segments[this.#segmentIndexFor(offset)]!;
  }

  #segmentIndexFor(offset: number): number {
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#segments[middle]!.baseOffset <= offset) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  async #readSegments(offset: number, options: ReadOptions): Promise<Buffer[]> {
    for (let index = this.#segmentIndexFor(offset); index < this.#segments.length; index++) {
      const segment = this.#segments[index]!;
      segment.lastUsedMs = this.#environment.clock.monotonic();
      let found: Buffer[] | undefined;
      try {
        found = await readSegment(segment, offset, options, this.#cleaning.gapsBelow);
      } catch (error) {
        if (offset < this.#logStartOffset) throw this.#outOfRange(offset);
        if (this.#segments.includes(segment)) throw this.#readError(segment, error);
        // Compaction has replaced it and its file is gone.
        index = this.#segmentIndexFor(offset) - 1;
        continue;
      }
      if (found !== undefined) return found;
      // Nothing at or behind the offset in this segment (compaction removed it): the next one goes on.
      if (offset >= this.#tail.firstOffset) break;
      if (this.#segments[index] !== segment) index = this.#segmentIndexFor(offset) - 1;
    }
    return this.#tail.isEmpty
      ? []
      : this.#tail.read(offset, options.endOffset, options.bytesMax, options.wholeFirstBatch);
  }

  #readError(segment: Segment, error: unknown): BurrowError {
    if (error instanceof BurrowError) return error;
    const text = error instanceof Error ? error.message : String(error);
    this.#environment.logger.error({ log: this.key, file: segment.path, error: text }, 'segment cannot be read');
    return new BurrowError('STORAGE_ERROR', `${segment.path} cannot be read: ${text}`, {
      cause: error,
      fields: { file: segment.path },
    });
  }

  /** Moves the log start offset up and removes segments that end below it. Durable when it resolves. */
  async deleteRecordsBefore(offset: number): Promise<void> {
    this.#checkUsable();
    if (offset > this.#highWatermark || offset < 0) throw this.#outOfRange(offset);
    this.#logStartOffset = Math.max(this.#logStartOffset, offset);
    this.#leaderEpochs.truncateStart(this.#logStartOffset);
    // Saved even if nothing moves: an earlier call that moved it may not be durable yet.
    await this.saveState();
    await this.#removeSegmentsBelowStart();
  }

  /** Removes the oldest closed segments, up to the one that begins at `baseOffset`. */
  async removeSegmentsBefore(baseOffset: number): Promise<void> {
    await this.deleteRecordsBefore(Math.min(baseOffset, this.#highWatermark));
  }

  /**
   * Only once the new start is durable: until then the segments belong to the log and are synced with it, since a log
   * that begins behind its stored start has lost something.
   */
  #removeSegmentsBelowStart(): Promise<void> {
    return this.#inOrder(async () => {
      const isObsolete = (segment: Segment): boolean =>
        segment !== this.#active && segment.nextOffset <= this.#savedStartOffset;
      // What is still to be written would look for its file.
      if (this.#segments.some((segment) => isObsolete(segment) && segment.writtenBytes < segment.bytes)) {
        await this.writeOut();
      }
      const obsolete = this.#segments.filter(
        (segment) => isObsolete(segment) && segment.writtenBytes === segment.bytes,
      );
      if (obsolete.length > 0) {
        const covered = this.#snapshots.newestOffset >= obsolete.at(-1)!.nextOffset;
        if (!covered) await this.#snapshots.write(this.#logEndOffset, this.#producers.encode());
        await this.#snapshots.sync();
      }
      this.#segments = this.#segments.filter((segment) => !obsolete.includes(segment));
      for (const segment of obsolete) {
        await this.#retireFile(segment);
        await this.#environment.disk.remove(offsetIndexFile(this.folder, segment.baseOffset));
        await this.#environment.disk.remove(timeIndexFile(this.folder, segment.baseOffset));
      }
    });
  }

  /** Renames the file of a segment that leaves the log; it is removed after a delay, so that readers can finish. */
  async #retireFile(segment: Segment): Promise<void> {
    const { disk, clock } = this.#environment;
    // Numbered, since a compacted segment may leave the log soon after the one that it replaced.
    const path = `${segment.path}.${this.#retiredCount++}${DELETED_SUFFIX}`;
    if (await disk.exists(segment.path)) await disk.rename(segment.path, path);
    segment.retireTo(path);
    const removal = clock.schedule(this.config.fileDeleteDelayMs, () => {
      this.#retired.delete(segment);
      void (async () => {
        await segment.closeFile();
        await disk.remove(path);
      })().catch((error: unknown) => this.#housekeepingFailed('removing a segment', error));
    });
    this.#retired.set(segment, removal);
  }

  /**
   * Puts a compacted segment, complete and synced in `cleanedPath`, in the place of those that it was made from.
   * Returns false if they have left the log meanwhile. A swap that fails halfway stops the log: the next start
   * completes it.
   */
  replaceSegments(replaced: readonly Segment[], replacement: Segment, cleanedPath: string): Promise<boolean> {
    return this.#inOrder(async () => {
      if (this.isOver || replaced.some((segment) => !this.#segments.includes(segment))) return false;
      const { disk } = this.#environment;
      // Whoever reads a replaced segment goes on in its own file, whatever stands under its name.
      for (const [i, segment] of replaced.entries()) {
        try {
          await segment.hold();
        } catch (error) {
          for (const held of replaced.slice(0, i)) await held.release();
          throw error;
        }
      }
      try {
        await swapIn({
          disk,
          folder: this.folder,
          cleanedPath,
          replaced,
          retire: (segment) => this.#retireFile(segment),
        });
      } catch (error) {
        this.fail(storageFailure(this.key, 'written', error));
        throw this.#failure;
      }
      replacement.markStored();
      const at = this.#segments.indexOf(replaced[0]!);
      this.#segments = [...this.#segments.slice(0, at), replacement, ...this.#segments.slice(at + replaced.length)];
      for (const segment of replaced) await segment.release();
      await replacement
        .writeIndexes()
        .catch((error: unknown) => this.#housekeepingFailed('indexes of a compacted segment', error));
      return true;
    });
  }

  /** Notes, durably, how far compaction has come. */
  saveCleaning(cleaning: CleaningProgress): Promise<void> {
    this.#cleaning = cleaning;
    return this.saveState();
  }

  /** Whether a batch must stay, if need be without records, so that its repetition is recognized after a restart. */
  retainsProducerBatch(batchProducerId: number, baseOffset: number): boolean {
    return batchProducerId >= 0 && this.#producers.retains(batchProducerId, baseOffset);
  }

  /** Starts a new segment if the active one holds anything. */
  roll(): void {
    if (this.#active.bytes === 0) return;
    const finished = this.#active;
    const snapshot = this.#producers.encode();
    const baseOffset = this.#logEndOffset;
    this.#segments.push(this.#startSegment(baseOffset));
    this.#environment.logger.debug({ log: this.key, baseOffset }, 'segment rolled');
    this.#keepHouse('closing a segment', async () => {
      await finished.writeIndexes();
      await this.#snapshots.write(baseOffset, snapshot);
    });
  }

  #startSegment(baseOffset: number): Segment {
    this.#active = Segment.create({
      disk: this.#environment.disk,
      folder: this.folder,
      baseOffset,
      indexIntervalBytes: this.config.indexIntervalBytes,
    });
    return this.#active;
  }

  /** Rolls a segment that is old enough, even if nothing is appended to it any more. */
  maybeRollByAge(nowMs: number): void {
    if (this.#active.bytes === 0) return;
    // Of a segment from before a restart it is not known; then its age counts from the restart.
    this.#active.firstAppendMs ??= nowMs;
    const { cleanupPolicy, segmentMs, maxCompactionLagMs } = this.config;
    const ageMax = cleanupPolicy === 'delete' ? segmentMs : Math.min(segmentMs, maxCompactionLagMs);
    if (nowMs - this.#active.firstAppendMs >= ageMax) this.roll();
  }

  expireProducers(deadlineMs: number): void {
    this.#producers.expire(deadlineMs);
  }

  /** Resolves when everything that was appended before the call is written to its segment (not synced). */
  writeOut(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#nextWriteOut === undefined) {
      this.#nextWriteOut = new Deferred();
      if (!this.#writing) {
        this.#writing = true;
        // A microtask later, so that one write takes all that the current turn appends.
        void Promise.resolve().then(() => this.#writeLoop());
      }
    }
    return this.#nextWriteOut.promise;
  }

  /** Syncs what is written to segments; then {@link recoveryPoint} stands at or behind the log end of the call. */
  syncSegments(): Promise<void> {
    const run = this.#syncing.then(() => this.#syncSegments());
    this.#syncing = run.catch(() => {});
    return run;
  }

  /** Writes everything out and syncs it, with indexes and producer state, for a start without recovery. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#failure === undefined) {
      await this.syncSegments();
      await this.#housekeeping;
      await this.#active.writeIndexes();
      await this.#snapshots.write(this.#logEndOffset, this.#producers.encode());
    }
    await this.#housekeeping;
    await this.closeFiles();
  }

  /** Lets go of everything without saving: for a log that is being deleted. */
  async abandon(): Promise<void> {
    this.#closed = true;
    this.#failure ??= new BurrowError('UNKNOWN_TOPIC_OR_PARTITION', `The topic ${this.topic} has been deleted.`);
    this.#tail.clear();
    this.onAdvance?.(this);
    await this.#syncing;
    await this.#housekeeping;
    while (this.#writing) await new Promise<void>((resolve) => this.#environment.clock.schedule(1, resolve));
    await this.closeFiles();
  }

  async closeFiles(): Promise<void> {
    for (const segment of this.#segments) await segment.closeFile();
    // Their files go with the next start.
    for (const [segment, removal] of this.#retired) {
      removal.cancel();
      await segment.closeFile();
    }
    this.#retired.clear();
  }

  /** Writes identity, log start offset and leader epochs, durably; one writer at a time. */
  saveState(): Promise<void> {
    const saved = this.#housekeeping.then(async () => {
      const logStartOffset = this.#logStartOffset;
      await savePartitionFile(this.#environment.disk, this.folder, {
        topic: this.topic,
        topicId: this.topicId,
        partition: this.partition,
        logStartOffset,
        leaderEpochs: this.#leaderEpochs.entries,
        cleaning: this.#cleaning,
      });
      this.#savedStartOffset = logStartOffset;
    });
    // After a failed sync of the folder, names that were created before may be lost, and a later sync would not tell.
    this.#housekeeping = saved.catch((error: unknown) => this.fail(storageFailure(this.key, 'synced', error)));
    return saved.catch((error: unknown) => {
      throw storageFailure(this.key, 'synced', error);
    });
  }

  #checkUsable(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#closed) throw new BurrowError('SHUTTING_DOWN');
  }

  #outOfRange(offset: number): BurrowError {
    return new BurrowError(
      'OFFSET_OUT_OF_RANGE',
      `Offset ${offset} of ${this.key} is outside ${this.#logStartOffset} to ${this.#highWatermark}.`,
      { fields: { topic: this.topic, partition: this.partition, offset, logStartOffset: this.#logStartOffset } },
    );
  }

  /** A batch that was sent again: its first copy may still be on its way to the disk. */
  #answerRepeated(baseOffset: number, nextOffset: number): Appended {
    const synced = nextOffset <= this.#syncedOffset ? Promise.resolve() : this.#commitOfEverything();
    return { baseOffset, nextOffset, logAppendTimeMs: -1, duplicate: true, synced };
  }

  #commitOfEverything(): Promise<void> {
    const { groupCommit } = this.#environment;
    return groupCommit === undefined ? this.writeOut() : groupCommit.barrier();
  }

  #appendStamped(batch: Buffer, baseOffset: number, nextOffset: number, appendTimeMs: number): Promise<void> {
    this.#store(batch, baseOffset, nextOffset, appendTimeMs);
    const { groupCommit } = this.#environment;
    if (groupCommit === undefined) return this.writeOut();
    if (this.#unwrittenBytes >= WRITE_OUT_BYTES) void this.writeOut();
    return groupCommit.add(
      this,
      { topicId: this.topicId, partition: this.partition, baseOffset, records: batch },
      nextOffset,
    );
  }

  /** Takes a stamped batch into the active segment and the tail. */
  #store(batch: Buffer, baseOffset: number, nextOffset: number, appendTimeMs: number): void {
    const segment = this.#active;
    const position = segment.bytes;
    segment.noteAppend(position, baseOffset, nextOffset, batch.length, maxTimestamp(batch, 0));
    segment.firstAppendMs ??= appendTimeMs;
    this.#logEndOffset = nextOffset;
    this.#tail.push({ baseOffset, nextOffset, bytes: batch, segment, position });
    this.#unwrittenBytes += batch.length;
    this.#environment.tailCache.add(this.#tail, batch.length);
    this.#environment.onUnwritten(this, batch.length);
  }

  #maybeRoll(bytes: number, nextOffset: number, appendTimeMs: number): void {
    const { bytes: size, baseOffset, firstAppendMs } = this.#active;
    const full = size + bytes > Math.min(this.config.segmentBytes, SEGMENT_BYTES_LIMIT);
    const wide = nextOffset - baseOffset > 0x7fff_ffff;
    const old = firstAppendMs !== undefined && appendTimeMs - firstAppendMs >= this.config.segmentMs;
    if (full || wide || old) this.roll();
  }

  async #writeLoop(): Promise<void> {
    while (this.#nextWriteOut !== undefined) {
      const covered = this.#nextWriteOut;
      this.#nextWriteOut = undefined;
      const endOffset = this.#logEndOffset;
      try {
        await this.#writeUnwritten(endOffset);
      } catch (error) {
        this.fail(storageFailure(this.key, 'written', error));
        covered.reject(this.#failure);
        continue;
      }
      // Without a journal, written to the segment is what an acknowledgment promises.
      if (this.#environment.groupCommit === undefined) this.onSynced(endOffset);
      covered.resolve();
    }
    this.#writing = false;
  }

  async #writeUnwritten(endOffset: number): Promise<void> {
    while (this.#tail.hasUnwritten) {
      if (this.#failure !== undefined) throw this.#failure;
      const run = this.#tail.nextUnwritten(WRITE_RUN_BYTES);
      const first = run[0]!;
      if (first.baseOffset >= endOffset) return;
      const file = await first.segment.file();
      const buffers = run.map((batch) => batch.bytes);
      await file.write(buffers, first.position);
      const last = run.at(-1)!;
      first.segment.writtenBytes = last.position + last.bytes.length;
      const bytes = first.segment.writtenBytes - first.position;
      this.#tail.markWritten(run.length);
      this.#unwrittenBytes -= bytes;
      this.#environment.onWritten(this, bytes);
    }
  }

  async #syncSegments(): Promise<void> {
    const target = this.#logEndOffset;
    await this.writeOut();
    try {
      let namesSynced = true;
      for (const segment of this.#segments) {
        if (segment.syncedBytes === segment.writtenBytes) continue;
        const bytes = segment.writtenBytes;
        const file = await segment.file();
        await file.sync();
        segment.syncedBytes = bytes;
        namesSynced &&= segment.nameSynced;
      }
      if (!namesSynced) {
        await this.#environment.disk.syncDirectory(this.folder);
        for (const segment of this.#segments) if (segment.syncedBytes > 0) segment.nameSynced = true;
      }
    } catch (error) {
      this.fail(storageFailure(this.key, 'synced', error));
      throw this.#failure;
    }
    // Another sync of this folder may have failed meanwhile and taken names with it.
    if (this.#failure !== undefined) throw this.#failure;
    this.#recoveryPoint = Math.max(this.#recoveryPoint, target);
  }

  /** Runs `work` after all that was queued before: index files, state and changes of segments never overlap. */
  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#housekeeping.then(work);
    this.#housekeeping = done.then(
      () => {},
      () => {},
    );
    return done;
  }

  /** Work whose result is a hint that the next start can do without; it must not stop the log. */
  #keepHouse(what: string, work: () => Promise<void>): void {
    this.#housekeeping = this.#housekeeping.then(work).catch((error: unknown) => this.#housekeepingFailed(what, error));
  }

  #housekeepingFailed(what: string, error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    this.#environment.logger.warn({ log: this.key, what, error: text }, 'housekeeping failed');
  }
}

function producerHeader(batch: Uint8Array) {
  return {
    producerId: producerId(batch, 0),
    producerEpoch: producerEpoch(batch, 0),
    baseSequence: baseSequence(batch, 0),
    recordsCount: recordsCount(batch, 0),
  };
}

/** A small slice of a large receive buffer would keep all of it alive in the tail. */
function withoutSlack(batch: Buffer): Buffer {
  return batch.buffer.byteLength <= batch.length * 2 ? batch : Buffer.from(batch);
}
