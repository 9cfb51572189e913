/**
 * What logs need from time to time, whoever uses them: segments that are rolled and removed by age, compaction, producers
 * forgotten, files and indexes of closed segments let go. What goes wrong with one log never keeps the others waiting.
 */
import type { Clock, Timer } from '../ports/clock.ts';
import type { Disk } from '../ports/disk.ts';
import type { Logger } from '../ports/logger.ts';
import type { Random } from '../ports/random.ts';
import { type CleaningPlan, planCleaning } from './compaction.ts';
import { LogCleaner } from './log-cleaner.ts';
import type { PartitionLog } from './partition-log.ts';
import { applyRetention } from './retention.ts';
import type { Segment } from './segment.ts';

export interface MaintenanceOptions {
  readonly maintenanceIntervalMs: number;
  /** How often logs are looked at for compaction; while there is something to compact, it goes on without a pause. */
  readonly compactionIntervalMs: number;
  /** Memory for the keys of one compaction pass. */
  readonly compactionKeyBytesMax: number;
  /** What compaction reads and writes at most; -1 is no limit. */
  readonly compactionBytesPerSecondMax: number;
  /** A log with a batch that decompresses to more is not compacted. */
  readonly decompressedBytesMax: number;
  /** A producer that has been silent for longer may repeat a batch unnoticed. */
  readonly producerIdExpirationMs: number;
  /** Closed segments, of all logs together, whose files may stay open. */
  readonly closedFilesMax: number;
  /** A closed segment that nobody has read for as long lets go of its file and indexes. */
  readonly segmentIdleMs: number;
}

export const MAINTENANCE_DEFAULTS: MaintenanceOptions = {
  maintenanceIntervalMs: 30_000,
  compactionIntervalMs: 15_000,
  compactionKeyBytesMax: 32 * 1024 * 1024,
  compactionBytesPerSecondMax: -1,
  decompressedBytesMax: 64 * 1024 * 1024,
  producerIdExpirationMs: 86_400_000,
  closedFilesMax: 512,
  segmentIdleMs: 300_000,
};

/** A log that could not be compacted is not tried again before. */
const COMPACTION_RETRY_MS = 600_000;

interface MaintenanceEnvironment {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly logs: () => Iterable<PartitionLog>;
}

export class LogMaintenance {
  readonly #environment: MaintenanceEnvironment;
  readonly #options: MaintenanceOptions;
  readonly #cleaner: LogCleaner;
  readonly #timers = new Set<Timer>();
  #running: Promise<void> = Promise.resolve();
  #compacting: Promise<void> = Promise.resolve();
  #stopped = false;
  /** What was last reported of a log, so that the same cause is told once. */
  readonly #reported = new WeakMap<PartitionLog, Map<string, string>>();
  /** By the monotonic clock. */
  readonly #compactNotBefore = new WeakMap<PartitionLog, number>();

  constructor(environment: MaintenanceEnvironment, options: MaintenanceOptions) {
    this.#environment = environment;
    this.#options = options;
    this.#cleaner = new LogCleaner({
      disk: environment.disk,
      clock: environment.clock,
      random: environment.random,
      logger: environment.logger,
      keyBytesMax: options.compactionKeyBytesMax,
      bytesPerSecondMax: options.compactionBytesPerSecondMax,
      decompressedBytesMax: options.decompressedBytesMax,
    });
  }

  start(): void {
    this.#every(this.#options.maintenanceIntervalMs, () => this.tidy());
    this.#every(this.#options.compactionIntervalMs, () => this.compact());
  }

  /** Resolves when nothing is at work any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) timer.cancel();
    this.#cleaner.stop();
    await this.#running;
    await this.#compacting;
  }

  /** Everything but compaction, for all logs. */
  tidy(): Promise<void> {
    this.#running = this.#running.then(() => this.#tidy());
    return this.#running;
  }

  /** Compacts logs, the dirtiest first, until none is due. */
  compact(): Promise<void> {
    this.#compacting = this.#compacting.then(async () => {
      while (await this.#compactDirtiest());
    });
    return this.#compacting;
  }

  #every(intervalMs: number, work: () => Promise<void>): void {
    if (this.#stopped) return;
    const timer = this.#environment.clock.schedule(intervalMs, () => {
      this.#timers.delete(timer);
      void work().finally(() => this.#every(intervalMs, work));
    });
    this.#timers.add(timer);
  }

  async #tidy(): Promise<void> {
    const { clock, logger } = this.#environment;
    for (const log of this.#environment.logs()) {
      if (this.#stopped) return;
      if (log.isOver) continue;
      await this.#attempt(log, 'retention', async () => {
        const nowMs = clock.now();
        log.expireProducers(nowMs - this.#options.producerIdExpirationMs);
        if (!log.isConfigured) return;
        log.maybeRollByAge(nowMs);
        const removed = await applyRetention(log, nowMs);
        if (removed > 0) {
          logger.info({ log: log.key, removed, logStartOffset: log.logStartOffset }, 'segments removed by retention');
        }
      });
    }
    await this.#letGo();
  }

  /** Closes files and forgets indexes of closed segments that are idle, or too many. */
  async #letGo(): Promise<void> {
    const { closedFilesMax, segmentIdleMs } = this.#options;
    const nowMs = this.#environment.clock.monotonic();
    const held: Array<{ log: PartitionLog; segment: Segment }> = [];
    for (const log of this.#environment.logs()) {
      for (const segment of log.segments.slice(0, -1)) {
        if (segment.isStored && (segment.isOpen || segment.indexMemoryBytes > 0)) held.push({ log, segment });
      }
    }
    held.sort((a, b) => b.segment.lastUsedMs - a.segment.lastUsedMs);
    for (const [i, { log, segment }] of held.entries()) {
      if (i < closedFilesMax && nowMs - segment.lastUsedMs < segmentIdleMs) continue;
      segment.forgetIndexes();
      await this.#attempt(log, 'closing files', () => segment.closeFile());
    }
  }

  /** Returns whether a log was compacted. */
  async #compactDirtiest(): Promise<boolean> {
    if (this.#stopped) return false;
    const { clock } = this.#environment;
    const nowMs = clock.now();
    let dirtiest: { log: PartitionLog; plan: CleaningPlan } | undefined;
    for (const log of this.#environment.logs()) {
      if ((this.#compactNotBefore.get(log) ?? 0) > clock.monotonic()) continue;
      await this.#attempt(log, 'planning compaction', async () => {
        const plan = await planCleaning(log, nowMs);
        if (plan === undefined || (dirtiest !== undefined && dirtiest.plan.dirtyRatio >= plan.dirtyRatio)) return;
        dirtiest = { log, plan };
      });
    }
    if (dirtiest === undefined) return false;
    const { log, plan } = dirtiest;
    const isDone = await this.#attempt(log, 'compaction', async () => {
      await this.#cleaner.clean(log, plan);
    });
    if (!isDone) this.#compactNotBefore.set(log, clock.monotonic() + COMPACTION_RETRY_MS);
    return true;
  }

  /** Returns false if `work` failed; the cause is logged once, until `work` succeeds again or fails otherwise. */
  async #attempt(log: PartitionLog, what: string, work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      this.#reported.get(log)?.delete(what);
      return true;
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      const reported = this.#reported.get(log) ?? new Map<string, string>();
      this.#reported.set(log, reported);
      if (reported.get(what) !== text) this.#environment.logger.warn({ log: log.key, error: text }, `${what} failed`);
      reported.set(what, text);
      return false;
    }
  }
}
