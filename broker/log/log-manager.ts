/**
 * All logs of a node: opens and recovers them, commits their appends (through the shared journal with `flush=always`),
 * keeps memory for unwritten batches bounded, syncs segments in the background and recycles the journal behind that.
 *
 * Folder: topics/<topic>-<partition>/…  deleted/…  journal/journal-NNNN  checkpoint.json  clean-shutdown.json
 */
import { dirname, join } from 'node:path';
import { BurrowError, isBurrowError } from '../../src/errors/burrow-error.ts';
import {
  getBaseOffset as batchBaseOffset,
  getBatchBytes as batchBytes,
  getMaxTimestamp as maxTimestamp,
  getNextOffset as nextOffset,
} from '../../src/records/batch-header.ts';
import type { Clock } from '../ports/clock.ts';
import type { Disk } from '../ports/disk.ts';
import type { Logger } from '../ports/logger.ts';
import type { Random } from '../ports/random.ts';
import { readJsonFile, replaceJsonFile } from './atomic-file.ts';
import { type Checkpoint, loadCheckpoint, saveCheckpoint } from './checkpoint.ts';
import { Deferred } from './deferred.ts';
import { logKey } from './file-names.ts';
import { GroupCommit } from './group-commit.ts';
import { Journal, type RetiredRounds } from './journal.ts';
import { JOURNAL_ID_BYTES, type JournalEntry } from './journal-format.ts';
import { recoverJournal } from './journal-recovery.ts';
import { LeaderEpochs } from './leader-epochs.ts';
import type { LogConfig } from './log-config.ts';
import type { LogEnvironment } from './log-environment.ts';
import { LogMaintenance, MAINTENANCE_DEFAULTS, type MaintenanceOptions } from './log-maintenance.ts';
import { NOTHING_CLEANED, readPartitionFile } from './partition-file.ts';
import { PartitionLog } from './partition-log.ts';
import { ProducerSnapshots } from './producer-snapshots.ts';
import { ProducerState } from './producer-state.ts';
import { openLog } from './recovery.ts';
import { decideEntry } from './recovery-state.ts';
import { Segment } from './segment.ts';
import { storageFailure } from './storage-failure.ts';
import { TailCache } from './tail-cache.ts';

export type FlushPolicy = 'always' | 'interval' | 'none';

export interface LogManagerOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** always: an append is acknowledged when synced; interval: synced every flushIntervalMs; none: when the system likes. */
  readonly flush: FlushPolicy;
  readonly flushIntervalMs: number;
  /** Size of one journal file; a few are used in turn. */
  readonly journalBytes: number;
  /** Memory for the newest batches of all logs together. */
  readonly tailCacheBytes: number;
  /** Batches that are only in the journal and memory, all logs together; at twice this, appends wait. */
  readonly unwrittenBytesMax: number;
  /** Start in spite of damage and drop what cannot be read. */
  readonly salvage: boolean;
  /** What differs from {@link MAINTENANCE_DEFAULTS}. */
  readonly maintenance?: Partial<MaintenanceOptions>;
}

/** One commit takes no more than about this, so that its latency stays bounded. */
const ROUND_BYTES_MAX = 8 * 1024 * 1024;
/** Appends wait while this many full journal files are not yet carried into segments. */
const RETIRED_FILES_MAX = 4;
/** Without fsync on every commit, segments are still synced this often, so that recovery has little to check. */
const LAZY_CHECKPOINT_MS = 60_000;
const OPEN_CONCURRENCY = 8;
const SYNC_CONCURRENCY = 2;

export class LogManager {
  readonly #options: LogManagerOptions;
  readonly #environment: LogEnvironment;
  readonly #logs = new Map<string, PartitionLog>();
  readonly #unwritten = new Set<PartitionLog>();
  #unwrittenBytes = 0;
  #sweeping: Promise<void> | undefined;
  #room: Deferred | undefined;
  #journal: Journal | undefined;
  #groupCommit: GroupCommit | undefined;
  #checkpoint: Checkpoint;
  readonly #maintenance: LogMaintenance;
  #checkpointing: Promise<void> = Promise.resolve();
  /** Logs that failed may have records in rounds up to this one that no segment holds. */
  #pinnedThroughRound = -1;
  #failure: BurrowError | undefined;
  #closed = false;
  #deletions = 0;
  /** Until these are durable, a crash brings the logs back, and the journal must still have what they lack. */
  readonly #deleting = new Set<Promise<void>>();
  #hasFailedDeletions = false;

  private constructor(options: LogManagerOptions, checkpoint: Checkpoint) {
    this.#options = options;
    this.#checkpoint = checkpoint;
    const manager = this;
    this.#environment = {
      disk: options.disk,
      clock: options.clock,
      logger: options.logger,
      tailCache: new TailCache(options.tailCacheBytes),
      get groupCommit() {
        return manager.#groupCommit;
      },
      onUnwritten: (log, bytes) => this.#onUnwritten(log, bytes),
      onWritten: (log, bytes) => this.#onWritten(log, bytes),
      onFailed: (log) => this.#onLogFailed(log),
    };
    const { disk, clock, random, logger } = options;
    this.#maintenance = new LogMaintenance(
      { disk, clock, random, logger, logs: () => this.#logs.values() },
      { ...MAINTENANCE_DEFAULTS, ...options.maintenance },
    );
  }

  /**
   * Opens all logs of a folder. Throws STORAGE_CORRUPT, naming file and position, where acknowledged records are damaged
   * (unless `salvage`).
   */
  static async open(options: LogManagerOptions): Promise<LogManager> {
    const { disk, directory } = options;
    const topics = join(directory, 'topics');
    const deleted = join(directory, 'deleted');
    await disk.makeDirectory(topics);
    await disk.makeDirectory(deleted);
    // A deleted log whose folder came back, because its renaming was not durable, must not lack files.
    await disk.syncDirectory(topics);
    await disk.syncDirectory(deleted);
    await disk.removeTree(deleted);
    await disk.makeDirectory(deleted);
    // A folder's own name is durable once its parent is synced.
    await disk.syncDirectory(dirname(directory));
    await disk.syncDirectory(directory);
    const stored = await loadCheckpoint(disk, join(directory, 'checkpoint.json'));
    const checkpoint = stored ?? {
      sequence: 0,
      journalId: options.random.bytes(JOURNAL_ID_BYTES),
      firstRound: 1,
      pinned: [],
      recoveryPoints: new Map(),
    };
    const manager = new LogManager(options, checkpoint);
    await manager.#start(stored !== undefined);
    return manager;
  }

  /** By `<topic>-<partition>`. */
  logs(): ReadonlyMap<string, PartitionLog> {
    return this.#logs;
  }

  /** Set when the journal failed: then no log of this node accepts writes until a restart. */
  get failure(): BurrowError | undefined {
    return this.#failure;
  }

  /** Creates a log, durably, or returns the one that was recovered. */
  async create(spec: {
    topic: string;
    topicId: Buffer;
    partition: number;
    config: LogConfig;
    leaderEpoch: number;
  }): Promise<PartitionLog> {
    const key = logKey(spec.topic, spec.partition);
    const existing = this.#logs.get(key);
    if (existing?.topicId.equals(spec.topicId)) {
      existing.reconfigure(spec.config);
      return existing;
    }
    if (existing !== undefined) await this.delete(existing);
    const { disk, directory } = this.#options;
    const folder = join(directory, 'topics', key);
    await disk.makeDirectory(folder);
    const log = new PartitionLog(this.#environment, {
      topic: spec.topic,
      topicId: spec.topicId,
      partition: spec.partition,
      folder,
      config: spec.config,
      logStartOffset: 0,
      cleaning: NOTHING_CLEANED,
      segments: [Segment.create({ disk, folder, baseOffset: 0, indexIntervalBytes: spec.config.indexIntervalBytes })],
      producers: new ProducerState(),
      producersOffset: 0,
      leaderEpochs: new LeaderEpochs(spec.leaderEpoch < 0 ? [] : [{ epoch: spec.leaderEpoch, startOffset: 0 }]),
      snapshots: new ProducerSnapshots(disk, folder, []),
      recoveryPoint: 0,
    });
    await log.saveState();
    await this.#syncFolder('topics');
    this.#logs.set(key, log);
    return log;
  }

  /** Takes a log away: its folder is renamed at once, and removed in the background. */
  async delete(log: PartitionLog): Promise<void> {
    if (this.#logs.get(log.key) === log) this.#logs.delete(log.key);
    const deletion = this.#delete(log).catch((error: unknown) => {
      // It comes back with the next start, and needs its rounds then.
      this.#pinPendingRounds();
      this.#hasFailedDeletions = true;
      throw error;
    });
    this.#deleting.add(deletion);
    await deletion.finally(() => this.#deleting.delete(deletion));
  }

  async #delete(log: PartitionLog): Promise<void> {
    const abandoned = log.abandon();
    // At once: it writes nothing any more, and a sweep that waits for it would go round for ever.
    this.#forgetUnwritten(log);
    await abandoned;
    const { disk, directory, logger } = this.#options;
    const grave = join(directory, 'deleted', `${log.topicId.toString('hex')}-${log.partition}-${this.#deletions++}`);
    await disk.rename(log.folder, grave);
    await this.#syncFolder('topics');
    await this.#syncFolder('deleted');
    void disk.removeTree(grave).catch((error: unknown) => {
      logger.warn({ folder: grave, error: String(error) }, 'deleted log could not be removed; the next start will');
    });
  }

  /** A folder whose sync failed may have lost names for good, and a later sync would not tell: the node stops writing. */
  async #syncFolder(name: 'topics' | 'deleted'): Promise<void> {
    const folder = join(this.#options.directory, name);
    try {
      await this.#options.disk.syncDirectory(folder);
    } catch (error) {
      throw this.#failNode(storageFailure(folder, 'synced', error));
    }
  }

  /** Does at once what is otherwise done at intervals: retention, compaction of all that is due, letting go of files. */
  async maintain(): Promise<void> {
    await this.#maintenance.tidy();
    await this.#maintenance.compact();
  }

  /** Syncs all segments and writes a checkpoint, so that a start has little to do. */
  checkpoint(): Promise<void> {
    return this.#enqueueCheckpoint(undefined);
  }

  /** Saves everything and leaves the clean-shutdown marker. Waiting appends settle first. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#maintenance.stop();
    await this.#groupCommit?.idle();
    await this.#sweeping;
    await this.#checkpointing;
    await Promise.allSettled([...this.#deleting]);
    const results = await eachOf([...this.#logs.values()], OPEN_CONCURRENCY, (log) => log.close());
    await this.#journal?.close();
    const failed = this.#failure !== undefined || [...this.#logs.values()].some((log) => log.failure !== undefined);
    if (failed || this.#hasFailedDeletions || results.some((error) => error !== undefined)) return;
    const firstRound = this.#journal?.nextRound ?? this.#checkpoint.firstRound;
    await this.#saveCheckpoint({ firstRound, pinned: [] });
    const { disk, directory } = this.#options;
    await replaceJsonFile(disk, join(directory, 'clean-shutdown.json'), { checkpoint: this.#checkpoint.sequence });
  }

  async #start(hasCheckpoint: boolean): Promise<void> {
    const { logger, clock, flush, flushIntervalMs } = this.#options;
    const startedMs = clock.monotonic();
    const clean = await this.#takeCleanMarker();
    await this.#openLogs(clean);
    let firstRound = this.#checkpoint.firstRound;
    if (!clean && hasCheckpoint) firstRound = (await this.#replayJournal()) + 1;
    await eachOrThrow([...this.#logs.values()], OPEN_CONCURRENCY, async (log) => {
      await log.syncSegments();
      await log.finishRecovery();
    });
    // From here on every record that the journal held stands in synced segments.
    await this.#saveCheckpoint({ firstRound, pinned: [] });
    if (flush === 'always') await this.#openJournal(firstRound, clean);
    else this.#scheduleLazyCheckpoint(flush === 'interval' ? flushIntervalMs : LAZY_CHECKPOINT_MS);
    this.#maintenance.start();
    if (this.#logs.size > 0) {
      logger.info({ logs: this.#logs.size, clean, tookMs: Math.round(clock.monotonic() - startedMs) }, 'logs opened');
    }
  }

  /** True if the last stop was clean. The marker is gone, durably, before anything is written. */
  async #takeCleanMarker(): Promise<boolean> {
    const { disk, directory } = this.#options;
    const path = join(directory, 'clean-shutdown.json');
    let marker: unknown;
    try {
      marker = await readJsonFile(disk, path);
    } catch (error) {
      if (!isBurrowError(error, 'STORAGE_CORRUPT')) throw error;
    }
    await disk.remove(path);
    await disk.syncDirectory(directory);
    const sequence = (marker as { checkpoint?: unknown } | undefined)?.checkpoint;
    return sequence === this.#checkpoint.sequence && sequence !== 0;
  }

  async #openLogs(clean: boolean): Promise<void> {
    const { disk, directory, logger, salvage } = this.#options;
    const root = join(directory, 'topics');
    const names = await disk.list(root);
    await eachOrThrow(names, OPEN_CONCURRENCY, async (name) => {
      const folder = join(root, name);
      const recoveryPoint = await this.#recoveryPointOf(folder);
      const log = await openLog(this.#environment, { folder, recoveryPoint, clean, salvage });
      if (log !== undefined) {
        this.#logs.set(log.key, log);
        return;
      }
      logger.warn({ folder }, 'removing the folder of a partition whose creation was cut short');
      await disk.removeTree(folder);
    });
  }

  async #recoveryPointOf(folder: string): Promise<number> {
    const identity = await readPartitionFile(this.#options.disk, folder);
    if (identity === undefined) return 0;
    return this.#checkpoint.recoveryPoints.get(recoveryKey(identity.topicId, identity.partition)) ?? 0;
  }

  /** Puts what the journal holds and segments lack back into the logs. Returns the last round number that was met. */
  async #replayJournal(): Promise<number> {
    const { disk, directory, logger, salvage, clock } = this.#options;
    const byId = new Map<string, PartitionLog>();
    for (const log of this.#logs.values()) byId.set(recoveryKey(log.topicId, log.partition), log);
    let restored = 0;
    const lastRound = await recoverJournal({
      disk,
      folder: join(directory, 'journal'),
      journalId: this.#checkpoint.journalId,
      firstRound: this.#checkpoint.firstRound,
      pinned: this.#checkpoint.pinned,
      salvage,
      onDamage: (damage) =>
        logger.error({ ...damage.fields, error: damage.message }, 'salvage: passing over journal damage'),
      onEntry: async (entry, source) => {
        const log = byId.get(recoveryKey(entry.topicId, entry.partition));
        // No such log: its topic was deleted.
        if (log === undefined || !this.#restoreEntry(log, entry, source)) return;
        restored++;
        if (this.#unwrittenBytes > this.#options.unwrittenBytesMax) await log.writeOut();
      },
    });
    if (restored > 0) logger.info({ restored, lastRound, atMs: clock.now() }, 'batches restored from the journal');
    return lastRound;
  }

  #restoreEntry(log: PartitionLog, entry: JournalEntry, source: { file: string; position: number }): boolean {
    const { records } = entry;
    if (batchBytes(records, 0) !== records.length || batchBaseOffset(records, 0) !== entry.baseOffset) {
      throw new BurrowError(
        'STORAGE_CORRUPT',
        `The journal entry for ${log.key} at ${source.file}, position ${source.position} is malformed.`,
      );
    }
    switch (decideEntry({ baseOffset: entry.baseOffset, nextOffset: nextOffset(records, 0) }, log)) {
      case 'skip':
        log.noteDeleted(records, maxTimestamp(records, 0));
        return false;
      case 'restore':
        log.restore(Buffer.from(records), maxTimestamp(records, 0));
        return true;
      case 'refuse': {
        const damage = new BurrowError(
          'STORAGE_CORRUPT',
          `${log.key} ends at offset ${log.logEndOffset}, but the journal (${source.file}, position ${source.position}) goes on at ` +
            `${entry.baseOffset}: acknowledged records between are missing. Restore the data folder, or start with --salvage.`,
          { fields: { file: source.file, position: source.position, log: log.key } },
        );
        if (!this.#options.salvage) throw damage;
        this.#options.logger.error({ log: log.key, error: damage.message }, 'salvage: dropping a journal entry');
        return false;
      }
    }
  }

  async #openJournal(nextRound: number, reuseFiles: boolean): Promise<void> {
    const { disk, directory, journalBytes } = this.#options;
    this.#journal = await Journal.open({
      disk,
      folder: join(directory, 'journal'),
      journalId: this.#checkpoint.journalId,
      fileBytes: journalBytes,
      nextRound,
      reuseFiles,
      onRetired: (rounds) => void this.#enqueueCheckpoint(rounds),
    });
    this.#groupCommit = new GroupCommit({
      journal: this.#journal,
      roundBytesMax: ROUND_BYTES_MAX,
      room: () => this.#waitForRoom(),
      onFailure: (error) => this.#onJournalFailed(error),
    });
  }

  #onJournalFailed(error: unknown): BurrowError {
    return this.#failNode(storageFailure('The journal', 'written', error));
  }

  /** Nothing on this node can be acknowledged any more until a restart. */
  #failNode(failure: BurrowError): BurrowError {
    this.#failure ??= failure;
    for (const log of this.#logs.values()) log.fail(this.#failure);
    this.#groupCommit?.fail(this.#failure);
    this.#maybeGiveRoom();
    return this.#failure;
  }

  #onLogFailed(log: PartitionLog): void {
    this.#forgetUnwritten(log);
    this.#pinPendingRounds();
  }

  #pinPendingRounds(): void {
    const pending = (this.#journal?.nextRound ?? 0) + (this.#groupCommit?.pendingRounds ?? 0);
    this.#pinnedThroughRound = Math.max(this.#pinnedThroughRound, pending);
  }

  #onUnwritten(log: PartitionLog, bytes: number): void {
    this.#unwrittenBytes += bytes;
    this.#unwritten.add(log);
    if (this.#unwrittenBytes > this.#options.unwrittenBytesMax && this.#groupCommit !== undefined) this.#sweep();
  }

  #onWritten(log: PartitionLog, bytes: number): void {
    // What was forgotten with a failed or deleted log is not counted any more.
    if (this.#unwritten.has(log)) this.#unwrittenBytes -= bytes;
    if (log.unwrittenBytes === 0) this.#unwritten.delete(log);
    this.#environment.tailCache.evict();
    this.#maybeGiveRoom();
  }

  /** What a failed or deleted log could not write counts no more. */
  #forgetUnwritten(log: PartitionLog): void {
    if (this.#unwritten.delete(log)) this.#unwrittenBytes -= log.unwrittenBytes;
    this.#maybeGiveRoom();
  }

  /** Writes out every log that holds unwritten batches. */
  #sweep(): void {
    if (this.#sweeping !== undefined) return;
    this.#sweeping = eachOf([...this.#unwritten], SYNC_CONCURRENCY, (log) => log.writeOut()).then(() => {
      this.#sweeping = undefined;
      if (this.#unwrittenBytes > this.#options.unwrittenBytesMax && this.#unwritten.size > 0) this.#sweep();
    });
  }

  #waitForRoom(): Promise<void> | undefined {
    if (this.#hasRoom()) return undefined;
    this.#room ??= new Deferred();
    return this.#room.promise;
  }

  #hasRoom(): boolean {
    if (this.#failure !== undefined) return true;
    return (
      this.#unwrittenBytes <= this.#options.unwrittenBytesMax * 2 &&
      (this.#journal === undefined ||
        this.#journal.retiredFileCount - this.#checkpoint.pinned.length < RETIRED_FILES_MAX)
    );
  }

  #maybeGiveRoom(): void {
    if (this.#room === undefined || !this.#hasRoom()) return;
    this.#room.resolve();
    this.#room = undefined;
  }

  #scheduleLazyCheckpoint(everyMs: number): void {
    this.#options.clock.schedule(everyMs, () => {
      if (this.#closed) return;
      void this.#enqueueCheckpoint(undefined).finally(() => this.#scheduleLazyCheckpoint(everyMs));
    });
  }

  #enqueueCheckpoint(retired: RetiredRounds | undefined): Promise<void> {
    this.#checkpointing = this.#checkpointing
      .then(() => this.#runCheckpoint(retired))
      .catch((error: unknown) => {
        // Without checkpoints the journal would grow until appends wait for ever.
        this.#failNode(storageFailure('The checkpoint', 'written', error));
      });
    return this.#checkpointing;
  }

  async #runCheckpoint(retired: RetiredRounds | undefined): Promise<void> {
    const dirty = [...this.#logs.values()].filter(
      (log) => log.recoveryPoint < log.logEndOffset && log.failure === undefined,
    );
    // A log whose sync fails has marked itself, and pins its rounds.
    await eachOf(dirty, SYNC_CONCURRENCY, (log) => log.syncSegments());
    await Promise.allSettled([...this.#deleting]);
    if (this.#failure !== undefined) return;
    if (retired === undefined) {
      await this.#saveCheckpoint({});
      return;
    }
    const isPinned = retired.firstRound <= this.#pinnedThroughRound;
    const pinned = isPinned ? [...this.#checkpoint.pinned, retired] : this.#checkpoint.pinned;
    await this.#saveCheckpoint({ firstRound: retired.lastRound + 1, pinned });
    if (!isPinned) this.#journal!.recycle(retired);
    this.#maybeGiveRoom();
  }

  async #saveCheckpoint(changes: Partial<Pick<Checkpoint, 'firstRound' | 'pinned'>>): Promise<void> {
    const { disk, directory } = this.#options;
    const recoveryPoints = new Map<string, number>();
    for (const log of this.#logs.values())
      recoveryPoints.set(recoveryKey(log.topicId, log.partition), log.recoveryPoint);
    const next = { ...this.#checkpoint, ...changes, sequence: this.#checkpoint.sequence + 1, recoveryPoints };
    await saveCheckpoint(disk, join(directory, 'checkpoint.json'), next);
    this.#checkpoint = next;
  }
}

function recoveryKey(topicId: Buffer, partition: number): string {
  return `${topicId.toString('hex')}-${partition}`;
}

/** Runs `work` on all items, a few at a time. Returns each one's error, or undefined. */
async function eachOf<T>(
  items: readonly T[],
  concurrency: number,
  work: (item: T) => Promise<void>,
): Promise<unknown[]> {
  const errors: unknown[] = new Array(items.length).fill(undefined);
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < items.length; i = next++) {
      try {
        await work(items[i]!);
      } catch (error) {
        errors[i] = error ?? new Error('failed');
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, items.length) }, worker));
  return errors;
}

async function eachOrThrow<T>(
  items: readonly T[],
  concurrency: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const failed = (await eachOf(items, concurrency, work)).find((error) => error !== undefined);
  if (failed !== undefined) throw failed;
}
