/**
 * The log engine against an in-memory disk that fails, fills up and loses power, driven by a seed. One run is a few
 * lives of a node: appends, reads, deletions, checkpoints, then a clean stop, a kill or a power loss at any moment.
 *
 * The model keeps, for each log, every batch in the order in which it was appended, and whether it was acknowledged.
 * After each start the log must hold exactly a prefix of that order which contains everything that was acknowledged;
 * what it holds then is decided for good.
 */
import type { FlushPolicy } from '../../broker/log/log-manager.ts';
import { LogManager } from '../../broker/log/log-manager.ts';
import type { PartitionLog } from '../../broker/log/partition-log.ts';
import type { Disk, DiskFile } from '../../broker/ports/disk.ts';
import { ManualClock } from '../../broker/ports/manual-clock.ts';
import { MemoryDisk } from '../../broker/ports/memory-disk.ts';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { isBurrowError } from '../../src/errors/burrow-error.ts';
import { testBatch } from '../support/batches.ts';
import { createLog, managerOptions, readLog, topicIdOf } from '../support/log-environment.ts';

export interface SimulationOptions {
  readonly seed: number;
  /** Switches a rule off on purpose, to show that the checker notices. */
  readonly sabotage?: 'journal-is-not-synced';
}

interface ModelBatch {
  readonly baseOffset: number;
  readonly values: readonly string[];
  acknowledged: boolean;
}

interface ModelLog {
  batches: ModelBatch[];
  logStartOffset: number;
  nextSequence: number;
  nextOffset: number;
}

export interface SimulationResult {
  readonly acknowledged: number;
  readonly crashes: number;
  readonly refusedStarts: number;
  readonly trace: string;
}

/** Runs one seed. Throws, with the seed, where a promise is broken. */
export async function simulateLogEngine(options: SimulationOptions): Promise<SimulationResult> {
  const simulation = new Simulation(options);
  try {
    return await simulation.run();
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    throw new Error(`seed ${options.seed} (${simulation.describe()}): ${text}\n${simulation.trace()}`);
  }
}

class Simulation {
  readonly #random: SeededRandom;
  readonly #weather: {
    readonly flush: FlushPolicy;
    readonly topics: number;
    readonly lives: number;
    readonly journalBytes: number;
    readonly segmentBytes: number;
    readonly tailCacheBytes: number;
    readonly unwrittenBytesMax: number;
    readonly faultChance: number;
    readonly capacityBytes: number;
  };
  readonly #sabotage: SimulationOptions['sabotage'];
  readonly #model = new Map<string, ModelLog>();
  readonly #trace: string[] = [];
  #disk: MemoryDisk;
  #pending: Array<() => void> = [];
  #acknowledged = 0;
  #crashes = 0;
  #refusedStarts = 0;
  #written = 0;

  constructor({ seed, sabotage }: SimulationOptions) {
    this.#random = new SeededRandom(seed);
    const random = this.#random;
    this.#sabotage = sabotage;
    this.#weather = {
      flush: random.chance(0.75) ? 'always' : random.pick(['interval', 'none']),
      topics: random.between(1, 4),
      lives: random.between(2, 4),
      journalBytes: random.pick([2048, 16_384, 65_536]),
      segmentBytes: random.pick([1024, 4096, 32_768]),
      tailCacheBytes: random.pick([512, 8192, 131_072]),
      unwrittenBytesMax: random.pick([1024, 8192, 65_536]),
      faultChance: random.pick([0, 0, 0.002, 0.01]),
      capacityBytes: random.chance(0.15) ? random.between(20_000, 400_000) : Number.MAX_SAFE_INTEGER,
    };
    this.#disk = this.#newDisk();
  }

  describe(): string {
    return JSON.stringify(this.#weather);
  }

  trace(): string {
    return this.#trace.slice(-40).join('\n');
  }

  #newDisk(): MemoryDisk {
    return new MemoryDisk(this.#diskOptions());
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

  async run(): Promise<SimulationResult> {
    for (let life = 0; life < this.#weather.lives; life++) await this.#live(life);
    // The last start is on a healthy disk and must succeed.
    this.#disk.clearFaults();
    this.#disk.capacityBytes = Number.MAX_SAFE_INTEGER;
    const manager = await this.#drive(this.#open());
    await this.#drive(this.#verify(manager));
    await this.#drive(manager.close());
    return {
      acknowledged: this.#acknowledged,
      crashes: this.#crashes,
      refusedStarts: this.#refusedStarts,
      trace: this.#trace.join('\n'),
    };
  }

  /** Runs a promise to its end by completing disk calls in a random order. */
  async #drive<T>(work: Promise<T>): Promise<T> {
    let settled = false;
    const done = work.finally(() => {
      settled = true;
    });
    done.catch(() => {});
    for (let idle = 0; !settled && idle < 10_000; ) idle = (await this.#step()) ? 0 : idle + 1;
    if (!settled) throw new Error('stuck: nothing left to complete');
    return done;
  }

  /** Completes one disk call. False if there is none. */
  async #step(): Promise<boolean> {
    const any = this.#pending.length > 0;
    if (any) this.#pending.splice(this.#random.below(Math.min(this.#pending.length, 4)), 1)[0]!();
    // Let everything that hangs on it run.
    for (let i = 0; i < 12; i++) await Promise.resolve();
    return any;
  }

  #open(): Promise<LogManager> {
    const { flush, journalBytes, tailCacheBytes, unwrittenBytesMax } = this.#weather;
    return LogManager.open(
      managerOptions({
        disk: this.#sabotage === 'journal-is-not-synced' ? withoutJournalSyncs(this.#disk) : this.#disk,
        clock: new ManualClock(),
        random: this.#random.fork('engine'),
        flush,
        journalBytes,
        tailCacheBytes,
        unwrittenBytesMax,
      }),
    );
  }

  async #live(life: number): Promise<void> {
    this.#note(`life ${life}`);
    const manager = await this.#start();
    if (manager === undefined) return;
    await this.#drive(this.#verify(manager));
    const { topics, segmentBytes, faultChance, capacityBytes } = this.#weather;
    const logs: PartitionLog[] = [];
    for (let i = 0; i < topics; i++) {
      logs.push(await this.#drive(createLog(manager, `t${i}`, { segmentBytes })));
      if (!this.#model.has(`t${i}`))
        this.#model.set(`t${i}`, { batches: [], logStartOffset: 0, nextSequence: 0, nextOffset: 0 });
    }
    if (faultChance > 0) {
      this.#disk.inject({
        on: ['write', 'sync', 'rename', 'create', 'syncDirectory', 'truncate'],
        probability: faultChance,
      });
      this.#disk.inject({ on: 'read', probability: faultChance });
    }
    this.#disk.capacityBytes = capacityBytes;

    const steps = this.#random.between(5, 120);
    for (let i = 0; i < steps; i++) {
      this.#act(manager, this.#random.pick(logs));
      for (let n = this.#random.below(6); n > 0; n--) await this.#step();
    }
    await this.#end(manager);
  }

  /** Opens the node; on faults of the disk it may refuse, with a typed error, and is tried again on a mended disk. */
  async #start(): Promise<LogManager | undefined> {
    const faults = this.#random.chance(0.15);
    if (faults) this.#disk.inject({ on: ['read', 'write', 'sync', 'open'], probability: 0.02 });
    try {
      return await this.#drive(this.#open());
    } catch (error) {
      if (!faults) throw error;
      this.#refusedStarts++;
      this.#note(`start refused: ${String(error)}`);
      await this.#powerLoss();
      return this.#drive(this.#open());
    } finally {
      this.#disk.clearFaults();
    }
  }

  #act(manager: LogManager, log: PartitionLog): void {
    const dice = this.#random.fraction();
    if (dice < 0.75) this.#append(log);
    else if (dice < 0.88) this.#read(log);
    else if (dice < 0.92) this.#deleteRecords(log);
    else if (dice < 0.96) void manager.checkpoint();
    else if (dice < 0.98) log.roll();
    else log.append.length; // a pause
  }

  #append(log: PartitionLog): void {
    const model = this.#model.get(log.topic)!;
    const values = Array.from(
      { length: this.#random.between(1, 4) },
      () => `${log.topic}#${this.#written++} ${'.'.repeat(this.#random.pick([0, 20, 300, 2000]))}`,
    );
    const batch = testBatch(values, { producerId: 1, producerEpoch: 0, baseSequence: model.nextSequence });
    let appended: ReturnType<PartitionLog['append']>;
    try {
      appended = log.append(batch, { leaderEpoch: 0, appendTimeMs: this.#written });
    } catch (error) {
      // Neither is the producer's fault here: the log has forgotten something.
      const forgot = isBurrowError(error, 'OUT_OF_ORDER_SEQUENCE') || isBurrowError(error, 'INVALID_PRODUCER_EPOCH');
      if (!isBurrowError(error) || forgot) throw error;
      return;
    }
    if (appended.duplicate) throw new Error(`${log.key}: a new batch was taken for a repeated one`);
    const entry: ModelBatch = { baseOffset: appended.baseOffset, values, acknowledged: false };
    if (appended.baseOffset !== model.nextOffset) {
      throw new Error(`${log.key}: offset ${appended.baseOffset}, expected ${model.nextOffset}`);
    }
    model.nextOffset = appended.nextOffset;
    model.batches.push(entry);
    model.nextSequence += values.length;
    appended.synced.then(
      () => {
        entry.acknowledged = true;
        this.#acknowledged++;
        log.advanceHighWatermark(log.syncedOffset);
      },
      (error: unknown) => this.#note(`append to ${log.key} failed: ${String(error)}`),
    );
  }

  #read(log: PartitionLog): void {
    const model = this.#model.get(log.topic)!;
    const offset = this.#random.between(log.logStartOffset, log.logEndOffset);
    const endOffset = log.syncedOffset;
    void (async () => {
      try {
        const found = await log.read(offset, {
          bytesMax: this.#random.pick([1, 700, 100_000]),
          endOffset,
          wholeFirstBatch: true,
        });
        checkRead(log.key, model, offset, endOffset, Buffer.concat(found));
      } catch (error) {
        // After a failed sync the disk may hold anything behind the recovery point; the log has said so.
        const damaged = isBurrowError(error, 'STORAGE_CORRUPT') && log.failure === undefined;
        if (!isBurrowError(error) || damaged) this.#broken = error;
        else this.#note(`read of ${log.key} failed: ${error.code}`);
      }
    })();
  }

  #broken: unknown;

  #deleteRecords(log: PartitionLog): void {
    const model = this.#model.get(log.topic)!;
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
    const how = this.#random.pick(['clean', 'kill', 'power', 'power', 'clean then power'] as const);
    this.#note(`end: ${how}`);
    if (how.startsWith('clean')) {
      try {
        await this.#drive(manager.close());
      } catch (error) {
        if (
          !isBurrowError(error) &&
          !String(error).includes('fault') &&
          !String(error).includes('ENOSPC') &&
          !String(error).includes('EIO')
        )
          throw error;
        this.#note(`close failed: ${String(error)}`);
      }
    }
    if (this.#broken !== undefined) throw this.#broken;
    if (how === 'kill') {
      this.#crashes++;
      this.#pending = [];
      this.#disk = this.#disk.kill(this.#random.fork('kill'), this.#diskOptions());
    } else if (how.endsWith('power')) {
      await this.#powerLoss();
    } else {
      this.#pending = [];
      this.#disk = this.#disk.kill(this.#random.fork('exit'), this.#diskOptions());
    }
    // Nor a failed sync, which leaves what it should have synced in an unknown state.
    const { flush, faultChance } = this.#weather;
    if (flush !== 'always' && faultChance > 0) this.#forgetAcknowledgments();
    this.#disk.clearFaults();
    this.#disk.capacityBytes = Number.MAX_SAFE_INTEGER;
  }

  async #powerLoss(): Promise<void> {
    this.#crashes++;
    this.#pending = [];
    const mode = this.#random.pick(['lost', 'kept', 'prefix', 'reordered'] as const);
    this.#disk = this.#disk.crash(this.#random.fork('crash'), mode, this.#diskOptions());
    // Without a sync on every commit, an acknowledgment does not survive a power loss.
    if (this.#weather.flush !== 'always') this.#forgetAcknowledgments();
  }

  #forgetAcknowledgments(): void {
    for (const { batches } of this.#model.values()) for (const batch of batches) batch.acknowledged = false;
  }

  /** Every log holds a prefix of what was appended, with all that was acknowledged; from now on that is decided. */
  async #verify(manager: LogManager): Promise<void> {
    for (const [topic, model] of this.#model) {
      const log = manager.logs().get(`${topic}-0`);
      if (log === undefined) throw new Error(`${topic} is gone`);
      if (!log.topicId.equals(topicIdOf(topic))) throw new Error(`${topic} has another id`);
      if (log.logStartOffset < model.logStartOffset) throw new Error(`${log.key}: deleted records are back`);
      const lost = model.batches.find(
        (batch) => batch.acknowledged && batch.baseOffset + batch.values.length > log.logEndOffset,
      );
      if (lost !== undefined) {
        throw new Error(`${log.key} ends at ${log.logEndOffset}: acknowledged batch at ${lost.baseOffset} is lost`);
      }
      const stored = await readLog(log);
      let next = 0;
      while (
        next < model.batches.length &&
        model.batches[next]!.baseOffset + model.batches[next]!.values.length <= log.logStartOffset
      )
        next++;
      for (const batch of stored) {
        const expected = model.batches[next++];
        if (!batch.intact) throw new Error(`${log.key}: batch at ${batch.baseOffset} is damaged`);
        if (
          expected === undefined ||
          expected.baseOffset !== batch.baseOffset ||
          expected.values.join() !== batch.values.join()
        ) {
          throw new Error(
            `${log.key}: at ${batch.baseOffset} stands ${batch.values[0]}, expected ${expected?.baseOffset} ${expected?.values[0]}`,
          );
        }
      }
      const dropped = model.batches.splice(next);
      this.#note(`${log.key}: ${stored.length} batches, ${dropped.length} unacknowledged ones dropped`);
      for (const batch of model.batches) batch.acknowledged = true;
      model.nextSequence -= dropped.reduce((sum, batch) => sum + batch.values.length, 0);
      this.#verifyRepetition(log, model);
      // What is here now has been served: it must stay.
      model.logStartOffset = log.logStartOffset;
      model.nextOffset = log.logEndOffset;
    }
  }

  /** The newest batch, sent again, is known, even if it has been deleted since. */
  #verifyRepetition(log: PartitionLog, model: ModelLog): void {
    const newest = model.batches.at(-1);
    if (newest === undefined || log.failure !== undefined) return;
    // Without the journal nothing may be left of a batch that was deleted before a power loss.
    if (this.#weather.flush !== 'always' && newest.baseOffset < log.logStartOffset) return;
    const baseSequence = model.nextSequence - newest.values.length;
    const batch = testBatch(newest.values, { producerId: 1, producerEpoch: 0, baseSequence });
    const { duplicate, baseOffset } = log.append(batch, { leaderEpoch: 0, appendTimeMs: this.#written });
    if (!duplicate || baseOffset !== newest.baseOffset) {
      throw new Error(`${log.key}: the batch at ${newest.baseOffset}, sent again, was stored at ${baseOffset}`);
    }
  }

  #note(text: string): void {
    this.#trace.push(text);
  }
}

/** A disk that says "synced" of the journal and does nothing: what acknowledging before the sync amounts to. */
export function withoutJournalSyncs(disk: MemoryDisk): Disk {
  return new Proxy<Disk>(disk, {
    get(target, name) {
      const member = Reflect.get(target, name, target) as unknown;
      if (name !== 'open') return typeof member === 'function' ? member.bind(target) : member;
      return async (...parameters: Parameters<Disk['open']>) => {
        const file = await target.open(...parameters);
        return new Proxy<DiskFile>(file, {
          get(opened, key) {
            if (key === 'sync' && opened.path.includes('/journal/')) return async () => {};
            const value = Reflect.get(opened, key, opened) as unknown;
            return typeof value === 'function' ? value.bind(opened) : value;
          },
        });
      };
    },
  });
}

function checkRead(key: string, model: ModelLog, offset: number, endOffset: number, bytes: Buffer): void {
  const { length } = bytes;
  if (length === 0) {
    if (offset < endOffset) throw new Error(`${key}: nothing to read at ${offset} below ${endOffset}`);
    return;
  }
  // Compared bytewise enough: the values are unique and carry their place.
  let at = 0;
  let first = true;
  while (at < length) {
    const size = 12 + bytes.readInt32BE(at + 8);
    const base = Number(bytes.readBigInt64BE(at));
    const count = bytes.readInt32BE(at + 57);
    const expected = model.batches.find((batch) => batch.baseOffset === base);
    if (
      expected === undefined ||
      expected.values.length !== count ||
      !bytes.subarray(at, at + size).includes(expected.values[0]!)
    ) {
      throw new Error(`${key}: a read at ${offset} returned a batch at ${base} that was never appended there`);
    }
    if (first && !(base <= offset && offset < base + count))
      throw new Error(`${key}: a read at ${offset} began with the batch at ${base}`);
    if (base + count > endOffset) throw new Error(`${key}: a read went beyond its end`);
    first = false;
    at += size;
  }
}
