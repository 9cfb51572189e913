/**
 * Compaction and retention against an in-memory disk that fails, fills up and loses power, driven by a seed: a few lives
 * of a node with appends, reads, deletions and cleaning at the same time, each ended at any moment. `KeyedLogModel` says
 * after each start what the logs must hold.
 */
import type { FlushPolicy } from '../../broker/log/log-manager.ts';
import { LogManager } from '../../broker/log/log-manager.ts';
import type { PartitionLog } from '../../broker/log/partition-log.ts';
import type { Disk, DiskFile } from '../../broker/ports/disk.ts';
import { ManualClock } from '../../broker/ports/manual-clock.ts';
import { MemoryDisk } from '../../broker/ports/memory-disk.ts';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { isBurrowError } from '../../src/errors/burrow-error.ts';
import { type KeyedRecord, keyedBatch, storedRecords } from '../support/keyed-batches.ts';
import { managerOptions, smallLogConfig, topicIdOf } from '../support/log-environment.ts';
import { KeyedLogModel } from './keyed-log-model.ts';

/** A rule that is switched off on purpose, to show that the checker notices. */
export type CompactionSabotage = 'compacted-files-are-not-synced' | 'folders-are-not-synced';

export interface CompactionResult {
  readonly acknowledged: number;
  readonly crashes: number;
  /** Ends of lives in the middle of a cleaning. */
  readonly interrupted: number;
  readonly cleanings: number;
  readonly trace: string;
}

const DELETE_RETENTION_MS = 3000;

/** Runs one seed. Throws, with the seed, where a promise is broken. */
export async function simulateCompaction(seed: number, sabotage?: CompactionSabotage): Promise<CompactionResult> {
  const simulation = new CompactionSimulation(seed, sabotage);
  try {
    return await simulation.run();
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    throw new Error(`seed ${seed} (${simulation.describe()}): ${text}\n${simulation.trace()}`);
  }
}

interface Topic {
  readonly name: string;
  generation: number;
  model: KeyedLogModel;
}

class CompactionSimulation {
  readonly #random: SeededRandom;
  readonly #sabotage: CompactionSabotage | undefined;
  readonly #weather: {
    readonly flush: FlushPolicy;
    readonly lives: number;
    readonly keys: number;
    readonly journalBytes: number;
    readonly segmentBytes: number;
    readonly tailCacheBytes: number;
    readonly unwrittenBytesMax: number;
    readonly compactionKeyBytesMax: number;
    readonly retentionBytes: number;
    readonly faultChance: number;
    readonly capacityBytes: number;
  };
  readonly #topics: Topic[];
  readonly #trace: string[] = [];
  #disk: MemoryDisk;
  #clock = new ManualClock();
  #pending: Array<() => void> = [];
  #broken: unknown;
  #acknowledged = 0;
  #crashes = 0;
  #interrupted = 0;
  #cleanings = 0;
  #written = 0;

  constructor(seed: number, sabotage: CompactionSabotage | undefined) {
    this.#random = new SeededRandom(seed);
    this.#sabotage = sabotage;
    const random = this.#random;
    this.#weather = {
      flush: random.chance(0.75) ? 'always' : random.pick(['interval', 'none']),
      lives: random.between(2, 4),
      keys: random.pick([2, 8, 30]),
      journalBytes: random.pick([2048, 16_384, 65_536]),
      segmentBytes: random.pick([300, 1024, 4096]),
      tailCacheBytes: random.pick([0, 512, 8192]),
      unwrittenBytesMax: random.pick([1024, 8192]),
      compactionKeyBytesMax: random.pick([1, 100_000]),
      retentionBytes: random.chance(0.2) ? 3000 : -1,
      faultChance: random.pick([0, 0, 0, 0.002, 0.01]),
      capacityBytes: random.chance(0.15) ? random.between(20_000, 200_000) : Number.MAX_SAFE_INTEGER,
    };
    this.#topics = Array.from({ length: random.between(1, 2) }, (_, i) => ({
      name: `t${i}`,
      generation: 0,
      model: new KeyedLogModel(DELETE_RETENTION_MS),
    }));
    this.#disk = new MemoryDisk(this.#diskOptions());
  }

  describe(): string {
    return JSON.stringify(this.#weather);
  }

  trace(): string {
    return this.#trace.slice(-30).join('\n');
  }

  #diskOptions() {
    return {
      random: this.#random.fork('disk'),
      whenHalted: 'hang' as const,
      schedule: (complete: () => void) => {
        this.#pending.push(complete);
      },
    };
  }

  async run(): Promise<CompactionResult> {
    for (let life = 0; life < this.#weather.lives; life++) await this.#live(life);
    const manager = await this.#drive(this.#open());
    await this.#drive(this.#verify(manager));
    await this.#drive(manager.close());
    return {
      acknowledged: this.#acknowledged,
      crashes: this.#crashes,
      interrupted: this.#interrupted,
      cleanings: this.#cleanings,
      trace: this.#trace.join('\n'),
    };
  }

  /** Runs a promise to its end by completing disk calls in a random order, and timers where nothing else is left. */
  async #drive<T>(work: Promise<T>): Promise<T> {
    let settled = false;
    const done = work.finally(() => {
      settled = true;
    });
    done.catch(() => {});
    for (let idle = 0; !settled && idle < 2000; ) {
      if (await this.#step()) idle = 0;
      else {
        idle++;
        this.#clock.advance(1);
      }
    }
    if (!settled) throw new Error('stuck: nothing left to complete');
    return done;
  }

  async #step(): Promise<boolean> {
    const any = this.#pending.length > 0;
    if (any) this.#pending.splice(this.#random.below(Math.min(this.#pending.length, 4)), 1)[0]!();
    for (let i = 0; i < 12; i++) await Promise.resolve();
    return any;
  }

  #open(): Promise<LogManager> {
    const { flush, journalBytes, tailCacheBytes, unwrittenBytesMax, compactionKeyBytesMax } = this.#weather;
    // Timers of the life before are gone with it.
    this.#clock = new ManualClock(this.#clock.now());
    return LogManager.open(
      managerOptions({
        disk: this.#sabotage === undefined ? this.#disk : withoutSyncs(this.#disk, this.#sabotage),
        clock: this.#clock,
        random: this.#random.fork('engine'),
        flush,
        journalBytes,
        tailCacheBytes,
        unwrittenBytesMax,
        maintenance: {
          compactionKeyBytesMax,
          maintenanceIntervalMs: 900,
          compactionIntervalMs: 500,
          closedFilesMax: 2,
        },
      }),
    );
  }

  #create(manager: LogManager, { name, generation }: Topic): Promise<PartitionLog> {
    const { segmentBytes, retentionBytes } = this.#weather;
    return manager.create({
      topic: name,
      topicId: topicIdOf(`${name} ${generation}`),
      partition: 0,
      leaderEpoch: 0,
      config: smallLogConfig({
        segmentBytes,
        retentionBytes,
        retentionMs: -1,
        cleanupPolicy: retentionBytes < 0 ? 'compact' : 'compact,delete',
        minCleanableDirtyRatio: 0,
        deleteRetentionMs: DELETE_RETENTION_MS,
      }),
    });
  }

  async #live(life: number): Promise<void> {
    this.#note(`life ${life}`);
    const manager = await this.#start();
    await this.#drive(this.#verify(manager));
    const logs = new Map<Topic, PartitionLog>();
    for (const topic of this.#topics) logs.set(topic, await this.#drive(this.#create(manager, topic)));
    const { faultChance, capacityBytes } = this.#weather;
    if (faultChance > 0) {
      this.#disk.inject({
        on: ['write', 'sync', 'rename', 'create', 'remove', 'syncDirectory', 'truncate', 'open', 'read'],
        probability: faultChance,
      });
    }
    this.#disk.capacityBytes = capacityBytes;
    for (let steps = this.#random.between(20, 150); steps > 0 && logs.size > 0; steps--) {
      const topic = this.#random.pick([...logs.keys()]);
      await this.#act(manager, topic, logs);
      for (let n = this.#random.below(8); n > 0; n--) await this.#step();
    }
    for (const [{ name }, log] of logs) {
      if (log.cleaning.cleanedOffset > 0) this.#cleanings++;
      const isHealthy = faultChance === 0 && capacityBytes === Number.MAX_SAFE_INTEGER;
      if (isHealthy && log.failure !== undefined)
        throw new Error(`${name} failed for no reason: ${log.failure.message}`);
    }
    await this.#end(manager);
  }

  /** On faults of the disk a start may be refused, and is tried again on a mended disk. */
  async #start(): Promise<LogManager> {
    const faults = this.#random.chance(0.2);
    if (faults) this.#disk.inject({ on: ['read', 'write', 'sync', 'open', 'rename', 'remove'], probability: 0.02 });
    try {
      return await this.#drive(this.#open());
    } catch (error) {
      if (!faults) throw error;
      this.#note(`start refused: ${String(error)}`);
      this.#powerLoss();
      return this.#drive(this.#open());
    } finally {
      this.#disk.clearFaults();
    }
  }

  async #act(manager: LogManager, topic: Topic, logs: Map<Topic, PartitionLog>): Promise<void> {
    const log = logs.get(topic)!;
    const dice = this.#random.fraction();
    if (dice < 0.62) await this.#append(topic, log);
    else if (dice < 0.7) this.#read(topic, log);
    else if (dice < 0.73) this.#deleteRecords(topic, log);
    else if (dice < 0.76) void manager.checkpoint();
    else if (dice < 0.8) log.roll();
    else if (dice < 0.89) void manager.maintain();
    else if (dice < 0.995) this.#clock.advance(this.#random.pick([1, 300, 1200]));
    else {
      topic.model.isDeleted = true;
      logs.delete(topic);
      this.#note(`delete ${topic.name}`);
      void manager.delete(log).catch((error: unknown) => this.#note(`delete failed: ${String(error)}`));
    }
  }

  async #append({ name, model }: Topic, log: PartitionLog): Promise<void> {
    const random = this.#random;
    const timestampMs = this.#clock.now();
    const records: KeyedRecord[] = Array.from({ length: random.between(1, 4) }, () => ({
      key: random.chance(0.02) ? null : `k${random.below(this.#weather.keys)}`,
      value: random.chance(0.2) ? null : `${name}#${this.#written++}${'v'.repeat(random.pick([0, 20, 300]))}`,
      timestampMs,
    }));
    // Codecs that need no thread pool, whose order of events is not the seed's.
    const codec = random.pick(['none', 'none', 'snappy', 'lz4'] as const);
    const batch = await keyedBatch(records, { codec, producerId: 1, baseSequence: model.nextSequence });
    void model.append(log, batch, records, timestampMs, () => {
      this.#acknowledged++;
    });
  }

  #read({ model }: Topic, log: PartitionLog): void {
    const nowMs = this.#clock.now();
    void (async () => {
      try {
        const stored = await storedRecords(log);
        const known = new Set(model.batches.flatMap(({ records }) => records.map(({ value }) => value)));
        const foreign = stored.find(({ value }) => !known.has(value));
        if (foreign !== undefined) throw new Error(`${log.key}: ${foreign.value} was never appended`);
        const first = await log.offsetForTimestamp(nowMs - this.#random.below(3000), log.highWatermark);
        if (first !== undefined && first.offset >= log.logEndOffset) throw new Error('an offset behind the end');
      } catch (error) {
        // After a failed sync the disk may hold anything behind the recovery point; the log has said so.
        const isOver = log.failure !== undefined;
        const isFault = isBurrowError(error, 'STORAGE_ERROR') || isBurrowError(error, 'OFFSET_OUT_OF_RANGE');
        if (!isOver && !isFault && !String(error).includes('EIO')) this.#broken = error;
        else this.#note(`read of ${log.key} failed: ${String(error)}`);
      }
    })();
  }

  #deleteRecords({ model }: Topic, log: PartitionLog): void {
    const offset = this.#random.between(log.logStartOffset, log.highWatermark);
    void log.deleteRecordsBefore(offset).then(
      () => {
        model.logStartOffset = Math.max(model.logStartOffset, offset);
      },
      (error: unknown) => this.#note(`delete records of ${log.key} failed: ${String(error)}`),
    );
  }

  async #end(manager: LogManager): Promise<void> {
    if (this.#broken !== undefined) throw this.#broken;
    const isCleaning = [...this.#disk.snapshot().keys()].some((path) => /\.(cleaned|swap)$/.test(path));
    if (isCleaning) this.#interrupted++;
    const how = this.#random.pick(['clean', 'kill', 'power', 'power', 'clean then power'] as const);
    this.#note(`end: ${how}${isCleaning ? ' while cleaning' : ''}`);
    if (how.startsWith('clean')) {
      await this.#drive(manager.close()).catch((error: unknown) => {
        if (!isBurrowError(error) && !/EIO|ENOSPC/.test(String(error))) throw error;
        this.#note(`close failed: ${String(error)}`);
      });
    }
    if (this.#broken !== undefined) throw this.#broken;
    if (how.endsWith('power')) this.#powerLoss();
    else {
      if (how === 'kill') this.#crashes++;
      this.#pending = [];
      this.#disk = this.#disk.kill(this.#random.fork('kill'), this.#diskOptions());
    }
    const { flush, faultChance } = this.#weather;
    if (flush !== 'always' && faultChance > 0) this.#forgetAcknowledgments();
    this.#disk.clearFaults();
    this.#disk.capacityBytes = Number.MAX_SAFE_INTEGER;
  }

  #powerLoss(): void {
    this.#crashes++;
    this.#pending = [];
    const mode = this.#random.pick(['lost', 'kept', 'prefix', 'reordered'] as const);
    this.#disk = this.#disk.crash(this.#random.fork('crash'), mode, this.#diskOptions());
    // Without a sync on every commit, an acknowledgment does not survive a power loss.
    if (this.#weather.flush !== 'always') this.#forgetAcknowledgments();
  }

  #forgetAcknowledgments(): void {
    for (const { model } of this.#topics) model.forgetAcknowledgments();
  }

  async #verify(manager: LogManager): Promise<void> {
    for (const topic of this.#topics) {
      const log = manager.logs().get(`${topic.name}-0`);
      if (topic.model.isDeleted) {
        topic.generation++;
        topic.model = new KeyedLogModel(DELETE_RETENTION_MS);
        continue;
      }
      if (log === undefined) {
        if (topic.model.batches.length > 0) throw new Error(`${topic.name} is gone`);
        continue;
      }
      await topic.model.verify(log, this.#clock.now());
      this.#note(`${log.key}: ${log.segmentCount} segments up to ${log.logEndOffset}, ${log.bytes} bytes`);
    }
  }

  #note(text: string): void {
    this.#trace.push(text.slice(0, 200));
  }
}

/** A disk that says "synced" and does nothing. */
function withoutSyncs(disk: MemoryDisk, sabotage: CompactionSabotage): Disk {
  const member = (target: object, name: string | symbol): unknown => {
    const value = Reflect.get(target, name, target) as unknown;
    return typeof value === 'function' ? (value.bind(target) as unknown) : value;
  };
  return new Proxy<Disk>(disk, {
    get(target, name) {
      if (sabotage === 'folders-are-not-synced') {
        const isSync = name === 'syncDirectory';
        return isSync
          ? async (path: string) => (path.includes('-0') ? undefined : disk.syncDirectory(path))
          : member(target, name);
      }
      if (name !== 'open') return member(target, name);
      return async (...parameters: Parameters<Disk['open']>) => {
        const file = await target.open(...parameters);
        if (!file.path.endsWith('.cleaned')) return file;
        return new Proxy<DiskFile>(file, {
          get: (opened, key) => (key === 'sync' ? async () => {} : member(opened, key)),
        });
      };
    },
  });
}
