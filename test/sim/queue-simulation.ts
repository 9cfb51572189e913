/**
 * A queue and the queue of its dead letters, on an in-memory disk that fails, is slow, fills up and loses power, driven by a
 * seed. One run is a few lives of a node with small segments, so that trimming and snapshots of settlements take part.
 * `queue-ledger.ts` judges what publishers and consumers see; in the end the queues must drain.
 */

import { type QueueSettings, resolveQueueSettings } from '../../broker/definitions/queue-settings.ts';
import { resolveTopicConfig } from '../../broker/definitions/topic-configs.ts';
import { type FlushPolicy, LogManager } from '../../broker/log/log-manager.ts';
import { DeadlineQueue } from '../../broker/partitions/deadline-queue.ts';
import { DiskSpace } from '../../broker/partitions/disk-space.ts';
import { Partition } from '../../broker/partitions/partition.ts';
import type { Disk } from '../../broker/ports/disk.ts';
import { silentLogger } from '../../broker/ports/logger.ts';
import { ManualClock } from '../../broker/ports/manual-clock.ts';
import { MemoryDisk } from '../../broker/ports/memory-disk.ts';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { PartitionBatchLog } from '../../broker/queues/batch-log.ts';
import type { MessageView } from '../../broker/queues/message-batch.ts';
import { MessageScan } from '../../broker/queues/message-scan.ts';
import { type DeadLetterReason, Queue } from '../../broker/queues/queue.ts';
import { QUEUE_LIMITS_DEFAULTS, type QueueLimits } from '../../broker/queues/queue-limits.ts';
import { loadSettlements } from '../../broker/queues/settlement-log.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { properties } from '../support/content-properties.ts';
import { managerOptions, topicIdOf } from '../support/log-environment.ts';
import { withoutJournalSyncs } from './log-engine-simulation.ts';
import { idOf, QueueClient, type QueueClientWorld } from './queue-client.ts';
import { type Entry, QueueLedger } from './queue-ledger.ts';
import { SABOTAGE } from './queue-sabotage.ts';

const DEFAULT_SETTINGS = resolveQueueSettings(new Map());

export interface QueueSimulationOptions {
  readonly seed: number;
  /** Switches a rule off on purpose, to show that the checker notices. */
  readonly sabotage?: keyof typeof SABOTAGE | 'journal-is-not-synced';
}

export interface QueueSimulationResult {
  readonly published: number;
  readonly deliveries: number;
  readonly settlements: number;
  readonly deadLetters: number;
  readonly purges: number;
  readonly snapshots: number;
  readonly trims: number;
  readonly crashes: number;
  readonly trace: string;
}

/** Runs one seed. Throws, with the seed, where a promise is broken. */
export async function simulateQueues(options: QueueSimulationOptions): Promise<QueueSimulationResult> {
  const { seed, sabotage } = options;
  const simulation = new Simulation(options);
  const restore =
    sabotage === undefined || sabotage === 'journal-is-not-synced' ? (): void => {} : SABOTAGE[sabotage]();
  try {
    return await simulation.run();
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    throw new Error(`seed ${seed} (${simulation.describe()}): ${text}\n${simulation.trace()}`);
  } finally {
    restore();
  }
}

interface OpenQueue {
  readonly queue: Queue;
  readonly ledger: QueueLedger;
  readonly messages: PartitionBatchLog;
  readonly settlements: PartitionBatchLog;
}

interface Node {
  readonly logs: LogManager;
  readonly diskSpace: DiskSpace;
  readonly deadlines: DeadlineQueue;
  readonly clock: ManualClock;
  queues: readonly OpenQueue[];
}

const KEYS = ['red', 'green', 'blue'];
/** Microtasks that the longest chain of promises behind one event may need. */
const TURNS = 24;

class Simulation implements QueueClientWorld {
  readonly random: SeededRandom;
  readonly #sabotage: QueueSimulationOptions['sabotage'];
  readonly #weather: {
    readonly flush: FlushPolicy;
    readonly clients: number;
    readonly lives: number;
    readonly steps: number;
    readonly segmentBytes: number;
    readonly tailCacheBytes: number;
    readonly readAheadBytes: number;
    readonly faultChance: number;
    readonly capacityBytes: number;
    /** How many steps disk calls lag behind, about. */
    readonly diskLag: number;
    /** Share of messages with a time to live of their own. */
    readonly expirationChance: number;
    readonly deadLetterFailureChance: number;
  };
  readonly #limits: QueueLimits;
  readonly #settings: readonly QueueSettings[];
  readonly #ledgers: readonly QueueLedger[];
  readonly #trace: string[] = [];
  #clients: QueueClient[] = [];
  #disk: MemoryDisk;
  #pending: Array<() => void> = [];
  #node: Node | undefined;
  #nowMs = 1_700_000_000_000;
  #published = 0;
  #deadLetters = 0;
  #purges = 0;
  #snapshots = 0;
  #trims = 0;
  #crashes = 0;
  #clientCount = 0;
  #broken: unknown;

  constructor({ seed, sabotage }: QueueSimulationOptions) {
    const random = new SeededRandom(seed);
    this.random = random;
    this.#sabotage = sabotage;
    this.#weather = {
      flush: random.chance(0.85) ? 'always' : random.pick(['interval', 'none']),
      clients: random.between(1, 4),
      lives: random.between(2, 4),
      steps: random.between(20, 140),
      segmentBytes: random.pick([512, 1024, 4096]),
      tailCacheBytes: random.pick([512, 4096, 131_072]),
      readAheadBytes: random.pick([1, 1000, 65_536]),
      faultChance: random.pick([0, 0, 0, 0.002, 0.01]),
      capacityBytes: random.chance(0.1) ? random.between(100_000, 400_000) : Number.MAX_SAFE_INTEGER,
      diskLag: random.pick([0, 2, 8]),
      expirationChance: random.pick([0, 0, 0, 0.2]),
      deadLetterFailureChance: random.pick([0, 0, 0.3]),
    };
    this.#limits = {
      ...QUEUE_LIMITS_DEFAULTS,
      batchBytes: random.pick([300, 2000, 512 * 1024]),
      dispatchMax: random.pick([3, 2048]),
      deadLettersInFlightMax: random.pick([1, 1024]),
      snapshotAfterBytes: random.pick([300, 2000, 1024 * 1024]),
      noteEntriesMax: random.pick([2, 20_000]),
    };
    const settings = drawSettings(random);
    this.#settings = [settings, DEFAULT_SETTINGS];
    this.#ledgers = this.#settings.map((each, index) => new QueueLedger(index === 0 ? 'work' : 'dead', each));
    this.#ledgers[0]!.mayExpire = this.#weather.expirationChance > 0;
    this.#disk = new MemoryDisk(this.#diskOptions());
  }

  describe(): string {
    const { maxPriority } = this.#settings[0]!;
    return JSON.stringify({ ...this.#weather, limits: this.#limits, settings: this.#settings[0], maxPriority });
  }

  trace(): string {
    return this.#trace.slice(-80).join('\n');
  }

  // What clients see

  get nowMs(): number {
    return this.#node!.clock.now();
  }

  get clock(): ManualClock {
    return this.#node!.clock;
  }

  get queues(): readonly OpenQueue[] {
    return this.#node!.queues;
  }

  note(text: string): void {
    this.#trace.push(text);
  }

  fail(error: unknown): void {
    this.#broken ??= error;
  }

  // Lives

  async run(): Promise<QueueSimulationResult> {
    const { lives, steps, faultChance, capacityBytes } = this.#weather;
    for (let life = 0; life < lives; life++) {
      await this.#start(life);
      if (faultChance > 0) {
        const on = ['write', 'sync', 'rename', 'create', 'syncDirectory', 'truncate'] as const;
        this.#disk.inject({ on: this.random.pick([[...on], ['read']]), probability: faultChance });
      }
      this.#disk.capacityBytes = capacityBytes;
      for (let step = this.random.between(1, steps); step > 0; step--) await this.#step();
      await this.#end();
    }
    await this.#start(lives);
    await this.#finish();
    return {
      published: this.#published,
      deliveries: this.#sum('deliveries'),
      settlements: this.#sum('settlements'),
      deadLetters: this.#deadLetters,
      purges: this.#purges,
      snapshots: this.#snapshots,
      trims: this.#trims,
      crashes: this.#crashes,
      trace: this.#trace.join('\n'),
    };
  }

  #sum(what: 'deliveries' | 'settlements'): number {
    return this.#ledgers.reduce((sum, ledger) => sum + ledger[what], 0);
  }

  async #start(life: number): Promise<void> {
    this.note(`life ${life}`);
    this.#disk.clearFaults();
    this.#disk.capacityBytes = Number.MAX_SAFE_INTEGER;
    await this.#drive(this.#open());
    for (const { queue, ledger, messages, settlements } of this.#node!.queues) {
      const present = await this.#drive(presentMessages(messages, settlements));
      ledger.onRestarted(present, this.nowMs);
      ledger.checkCounts(queue.readyCount, queue.unsettledCount);
      this.note(`${ledger.name} has ${[...present.keys()].join()}`);
    }
  }

  async #open(): Promise<void> {
    const clock = new ManualClock(this.#nowMs);
    const disk: Disk = this.#sabotage === 'journal-is-not-synced' ? withoutJournalSyncs(this.#disk) : this.#disk;
    const random = this.random.fork('node');
    const directory = '/data';
    const { flush, tailCacheBytes } = this.#weather;
    const logs = await LogManager.open(managerOptions({ disk, clock, random, directory, flush, tailCacheBytes }));
    const diskSpace = await DiskSpace.open({ disk, directory, clock, logger: silentLogger, freeBytesMin: 0 });
    const node: Node = { logs, diskSpace, deadlines: new DeadlineQueue(clock), clock, queues: [] };
    this.#node = node;
    const queues: OpenQueue[] = [];
    for (const [index, ledger] of this.#ledgers.entries()) {
      const [messages, settlements] = [
        await this.#openLog(node, ledger.name, 0),
        await this.#openLog(node, ledger.name, 1),
      ];
      const queue = await Queue.open({
        name: ledger.name,
        settings: this.#settings[index]!,
        messages,
        settlements,
        clock,
        deadlines: node.deadlines,
        logger: silentLogger,
        readAheadBytes: this.#weather.readAheadBytes,
        limits: this.#limits,
        deadLetter: (_, view, reason, onDone) => this.#deadLetter(view, reason, onDone),
        onUnused: () => {},
      });
      queues.push({ queue, ledger, messages, settlements });
    }
    node.queues = queues;
    this.#clients = Array.from({ length: this.#weather.clients }, () => this.#newClient());
  }

  async #openLog(node: Node, name: string, partition: number): Promise<PartitionBatchLog> {
    const { segmentBytes } = this.#weather;
    const configs = new Map([
      ['segment.bytes', String(segmentBytes)],
      ['retention.ms', '-1'],
      ['file.delete.delay.ms', '100'],
    ]);
    const config = { ...resolveTopicConfig(configs, new Map()), segmentBytes };
    const topicId = topicIdOf(name);
    const log = await node.logs.create({ topic: name, topicId, partition, config, leaderEpoch: 0 });
    const assignment = { replicas: [1], leader: 1, leaderEpoch: 0 };
    const { clock, diskSpace } = node;
    const simulation = this;
    const batchLog = new PartitionBatchLog({
      partition: new Partition({ log, nodeId: 1, assignment, config }),
      clock,
      diskSpace,
      needsRoom: partition === 0,
      onUnstored: () => {},
      onTrimFailed: () => {},
    });
    const { trim } = batchLog;
    batchLog.trim = function (this: PartitionBatchLog, offset) {
      if (partition === 0) simulation.#trims++;
      else simulation.#snapshots++;
      return trim.call(this, offset);
    };
    return batchLog;
  }

  #newClient(): QueueClient {
    return new QueueClient(this, `client${this.#clientCount++}`);
  }

  async #end(): Promise<void> {
    const { logs, diskSpace, queues, deadlines } = this.#node!;
    const how = this.random.pick(['stop', 'kill', 'power'] as const);
    this.note(`end: ${how}`);
    if (how === 'stop') {
      const stop = async (): Promise<void> => {
        for (const { queue } of queues) await queue.settled();
        for (const { queue } of queues) queue.close(new BurrowError('SHUTTING_DOWN'));
        deadlines.close();
        diskSpace.close();
        await logs.close();
      };
      await this.#drive(
        stop().catch((error: unknown) => {
          if (this.#weather.faultChance === 0 && this.#weather.capacityBytes === Number.MAX_SAFE_INTEGER) throw error;
          this.note(`close failed: ${String(error)}`);
        }),
      );
    } else this.#crashes++;
    this.#pending = [];
    const mode = this.random.pick(['lost', 'kept', 'prefix', 'reordered'] as const);
    const random = this.random.fork('end');
    const { flush, faultChance } = this.#weather;
    // Without a sync on every write neither a power loss nor a failed sync leaves what was said to be stored.
    if (flush !== 'always' && (how === 'power' || faultChance > 0)) {
      for (const ledger of this.#ledgers) ledger.forgetPromises();
    }
    this.#nowMs = this.nowMs + this.random.pick([0, 10, 3000]);
    this.#disk =
      how === 'power'
        ? this.#disk.crash(random, mode, this.#diskOptions())
        : this.#disk.kill(random, this.#diskOptions());
  }

  async #step(): Promise<void> {
    const { random } = this;
    const { clock, logs } = this.#node!;
    const choice = random.fraction();
    if (choice < 0.3) for (let count = random.pick([1, 1, 2, 6, 30]); count > 0; count--) this.#publish();
    else if (choice < 0.75) this.#act();
    else if (choice < 0.8) this.#sync();
    else if (choice < 0.81) await this.#purge();
    else if (choice < 0.83) void logs.maintain().catch(() => {});
    else if (choice < 0.85) void logs.checkpoint().catch(() => {});
    else clock.advance(random.pick([1, 20, 150, 700, 2500]));
    if (random.below(this.#weather.diskLag + 1) === 0) {
      while (this.#pending.length > 0 && random.chance(0.95)) await this.#complete();
    }
    await this.#turn();
    this.#checkCounts();
  }

  #act(): void {
    const index = this.random.below(this.#clients.length);
    const client = this.#clients[index]!;
    client.act();
    if (client.isClosed) this.#clients[index] = this.#newClient();
  }

  #publish(): void {
    const { random } = this;
    const { queue, ledger } = this.queues[0]!;
    const { maxPriority, messageTtlMs } = this.#settings[0]!;
    const priority = random.chance(0.5) ? random.below(6) : undefined;
    const expiration = random.chance(this.#weather.expirationChance) ? random.pick([0, 100, 1000, 20_000]) : undefined;
    const ttlMs = Math.min(messageTtlMs ?? Number.POSITIVE_INFINITY, expiration ?? Number.POSITIVE_INFINITY);
    const id = `m${this.#published++}`;
    const key = random.pick(KEYS);
    this.note(`publish ${id} (${key}, ${priority ?? '-'}, ${expiration ?? '-'})`);
    const entry = ledger.onPublish(id, {
      key,
      level: maxPriority === undefined ? 0 : Math.min(priority ?? 0, maxPriority),
      expiresAtMs: this.nowMs + ttlMs,
    });
    const fields = {
      ...(priority === undefined ? {} : { priority }),
      ...(expiration === undefined ? {} : { expiration: String(expiration) }),
    };
    this.#send(queue, ledger, entry, { key, properties: properties(fields) }, () => {});
  }

  #send(
    queue: Queue,
    ledger: QueueLedger,
    entry: Entry,
    { key, properties }: { key: string; properties: Buffer },
    onDone: (stored: boolean) => void,
  ): void {
    const body = [Buffer.from(`${entry.id} `), Buffer.from('.'.repeat(this.random.pick([0, 10, 100, 400])))];
    const target = {
      onStored: () => {
        this.#guard(() => ledger.onConfirmed(entry, this.nowMs));
        onDone(true);
      },
      onNotStored: () => {
        this.#guard(() => ledger.onNotConfirmed(entry));
        onDone(false);
      },
    };
    const taken = queue.publish({ exchange: '', routingKey: key, properties, body }, target, entry.order);
    if (!taken) this.#guard(() => ledger.onRefused(entry));
  }

  #deadLetter(view: MessageView, reason: DeadLetterReason, onDone: (done: boolean) => void): void {
    const id = idOf(view);
    const [{ ledger }, dead] = [this.queues[0]!, this.queues[1]!];
    this.#guard(() => {
      this.note(`dead letter ${id} (${reason})`);
      const entry = ledger.onDeadLetter(id, reason, this.nowMs);
      const done = (stored: boolean): void => {
        ledger.onDeadLetterDone(entry, stored, this.nowMs + this.#limits.retryMs);
        onDone(stored);
      };
      if (this.random.chance(this.#weather.deadLetterFailureChance)) return done(false);
      const options = { key: view.routingKey, level: 0, expiresAtMs: Number.POSITIVE_INFINITY };
      const copy = dead.ledger.onPublish(`d${this.#deadLetters++}-${id}`, options);
      this.#send(dead.queue, dead.ledger, copy, { key: view.routingKey, properties: Buffer.alloc(0) }, done);
    });
  }

  #sync(): void {
    for (const { queue, ledger } of this.queues) {
      const noted = ledger.beginSync();
      queue.settlementsSynced().then(
        () => ledger.onSynced(noted),
        (error: unknown) => this.note(`settlements are not synced: ${String(error)}`),
      );
    }
  }

  /** Nothing is published meanwhile, so that it is known what a purge found. */
  async #purge(): Promise<void> {
    const { queue, ledger } = this.queues[0]!;
    // It must be known what is there, and what may come back meanwhile.
    if (ledger.count('doomed') > 0) return;
    const unseen = queue.unsettledCount - ledger.count('out', 'doomed') + ledger.count('on its way');
    if (ledger.doomsUnseen && !ledger.dropsSilently && unseen > 0) return;
    this.note('purge');
    this.#purges++;
    const noted = new Map<Entry, number>();
    let count = -1;
    try {
      count = await this.#drive(queue.purge());
    } catch (error) {
      this.note(`purge failed: ${String(error)}`);
    }
    this.#guard(() => {
      const purged = ledger.rest.filter(({ place }) => place === 'ready');
      if (count !== -1) {
        const wrong = ledger.dropsSilently ? count > purged.length : count !== purged.length;
        if (wrong) throw new Error(`purge says ${count}, the ledger has ${purged.length}`);
        for (const entry of purged) noted.set(entry, -1);
      }
      ledger.onPurged(purged);
      ledger.onSynced(noted);
    });
  }

  #checkCounts(): void {
    for (const { queue, ledger } of this.queues) ledger.checkCounts(queue.readyCount, queue.unsettledCount);
  }

  /** Nothing fails any more: the queues must drain. */
  async #finish(): Promise<void> {
    for (const client of this.#clients) client.close();
    const client = this.#newClient();
    for (let round = 0; round < 400; round++) {
      client.drain();
      this.clock.advance(500);
      do await this.#turn();
      while (await this.#complete());
      this.#checkCounts();
      if (this.queues.some(({ queue }) => queue.readyCount + queue.unsettledCount > 0)) continue;
      for (const { ledger } of this.queues) ledger.checkDrained(this.nowMs);
      return;
    }
    const rest = this.queues.map(({ queue, ledger }) => {
      const left = ledger.rest.map(({ id, place }) => `${id} ${place}`).join();
      return `${ledger.name} says ${queue.readyCount} ready, ${queue.unsettledCount} unsettled; the ledger ${left}`;
    });
    throw new Error(`the queues do not drain: ${rest.join('; ')}`);
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.fail(error);
    }
  }

  // The disk

  #diskOptions() {
    return {
      random: this.random.fork('disk'),
      whenHalted: 'hang' as const,
      schedule: (complete: () => void) => {
        this.#pending.push(complete);
      },
    };
  }

  async #drive<T>(work: Promise<T>): Promise<T> {
    let settled = false;
    const done = work.finally(() => {
      settled = true;
    });
    done.catch(() => {});
    for (let idle = 0; !settled && idle < 1000; ) {
      idle = (await this.#complete()) ? 0 : idle + 1;
    }
    if (!settled) throw new Error('stuck: nothing left to complete');
    return done;
  }

  /** Completes one disk call. False if there is none. */
  async #complete(): Promise<boolean> {
    const any = this.#pending.length > 0;
    if (any) this.#pending.splice(this.random.below(Math.min(this.#pending.length, 4)), 1)[0]!();
    await this.#turn();
    return any;
  }

  /** Lets everything that hangs on it run. */
  async #turn(): Promise<void> {
    for (let index = 0; index < TURNS; index++) await Promise.resolve();
    if (this.#broken !== undefined) throw this.#broken;
  }
}

function drawSettings(random: SeededRandom): QueueSettings {
  const limited = random.chance(0.25);
  return {
    ...DEFAULT_SETTINGS,
    messageTtlMs: random.chance(0.15) ? random.pick([200, 3000]) : undefined,
    maxLength: limited ? random.between(1, 20) : undefined,
    overflow: random.pick(['drop-head', 'reject-publish']),
    deadLetterExchange: random.chance(0.6) ? 'dlx' : undefined,
    maxPriority: random.chance(0.25) ? 3 : undefined,
    singleActiveConsumer: random.chance(0.15),
    deliveryLimit: random.chance(0.3) ? random.between(1, 4) : undefined,
    ...(random.chance(0.25)
      ? { delayedRetryType: random.pick(['all', 'failed', 'returned']), delayedRetryMinMs: 100, delayedRetryMaxMs: 250 }
      : {}),
    groupKeyHeader: random.chance(0.25) ? '' : undefined,
  };
}

/** What the logs themselves say is in the queue, in order. */
async function presentMessages(
  messages: PartitionBatchLog,
  settlements: PartitionBatchLog,
): Promise<Map<string, { offset: number; returns: number }>> {
  const ranges: Array<readonly [number, number]> = [];
  const returns = new Map<number, number>();
  await loadSettlements(settlements, {
    onSettled: (start, end) => ranges.push([start, end]),
    onReturns: (offset, count) => returns.set(offset, count),
  });
  const present = new Map<string, { offset: number; returns: number }>();
  await new MessageScan(messages, 4096).run(messages.logStartOffset, messages.highWatermark, (view) => {
    const { offset } = view;
    if (ranges.some(([start, end]) => offset >= start && offset < end)) return true;
    if (present.has(idOf(view))) throw new Error(`${idOf(view)} is stored twice`);
    present.set(idOf(view), { offset, returns: returns.get(offset) ?? 0 });
    return true;
  });
  return present;
}
