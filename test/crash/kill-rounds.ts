/**
 * Rounds of kill -9 of a real broker under load, on one data folder: the broker dies at a random moment (at work, frozen,
 * starting, stopping), starts again by itself, and what it has then is held against everything that was acknowledged or
 * read before: records (ledger.ts), topics and their configuration (topic-visits.ts), committed offsets (group-visits.ts).
 *
 * The seed decides what happens, not when the machine does it: a failing seed is likely to fail again, not certain.
 */
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { BrokerProcess } from '../../bench/support/broker-process.ts';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { type Client, connect } from '../../client/index.ts';
import { DeclarationVisits } from './declaration-visits.ts';
import { GroupVisits } from './group-visits.ts';
import { KillLoad, type LoadCounts, pause } from './kill-load.ts';
import { Ledger, type LedgerTopic, type PartitionFacts, Reading } from './ledger.ts';
import { QueueVisits } from './queue-visits.ts';
import { readPartition } from './read-partition.ts';
import { TopicVisits } from './topic-visits.ts';

export interface KillRoundsOptions {
  readonly rounds: number;
  readonly seed: number;
  /** Every so many rounds, and at the end, all records are read; else the newest. Default 1. */
  readonly readAllEvery?: number;
  /** Further flags of `burrow start`. */
  readonly flags?: readonly string[];
  /** Tampers with the data folder while the broker is down after the last round, to show that the checker notices. */
  readonly sabotage?: (dataDir: string) => void;
  /** Changes something behind the ledgers' back, before the last restart: to show the same. */
  readonly tamper?: (client: Client) => Promise<void>;
  readonly onRound?: (round: number, restartMs: number) => void;
}

/** A part of the load that judges itself. */
interface Visits {
  /** Rejects with the first broken promise. */
  readonly done: Promise<void>;
  stop(): Promise<void>;
  /** Compares what a broker that has just started has with what it must have. */
  check(client: Client): Promise<void>;
}

export interface KillRoundsResult {
  readonly seed: number;
  readonly rounds: number;
  /** How the broker died, beside dying at work. */
  readonly deaths: Readonly<Record<Death | 'starting', number>>;
  readonly acknowledged: number;
  readonly stored: number;
  readonly load: LoadCounts;
  readonly segmentsRemovedByRetention: boolean;
  readonly topics: TopicVisits['counts'];
  readonly groups: GroupVisits['counts'];
  readonly queues: QueueVisits['ledger']['counts'] & Pick<QueueVisits, 'readAgain'>;
  readonly declarations: DeclarationVisits['counts'];
  readonly restartMsMedian: number;
  readonly restartMsMax: number;
}

const TOPICS: ReadonlyArray<LedgerTopic & { configs: Record<string, number> }> = [
  { name: 'ledger', partitions: 4, configs: { 'segment.bytes': 262_144 } },
  { name: 'trimmed', partitions: 2, configs: { 'segment.bytes': 65_536 } },
  {
    name: 'sliding',
    partitions: 2,
    retentionBytes: 131_072,
    configs: { 'segment.bytes': 32_768, 'retention.bytes': 131_072 },
  },
];
const FLAGS = [
  ...['--journal-bytes', '4MiB', '--unwritten-bytes-max', '1MiB', '--tail-cache-bytes', '1MiB'],
  ...['--max-message-bytes', '200KiB', '--retention-check-interval-ms', '100'],
  ...['--auto-create-topics', 'false', '--log-level', 'warn'],
];
/** A start on two busy cores, recovery included; far more than it takes, far less than a hanging one. */
const RESTART_MS_MAX = 20_000;
/** Of each partition, where not everything is read. */
const NEWEST_RECORDS = 2000;

const DEATHS = ['working', 'frozen', 'thawed', 'stopping', 'stopped'] as const;
type Death = (typeof DEATHS)[number];

export function runKillRounds(options: KillRoundsOptions): Promise<KillRoundsResult> {
  return new KillRounds(options).run();
}

class KillRounds {
  readonly #options: KillRoundsOptions;
  readonly #random: SeededRandom;
  readonly #dataDir = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-kill-'));
  readonly #ledger = new Ledger(TOPICS);
  readonly #restartsMs: number[] = [];
  readonly #deaths: Record<Death | 'starting', number> = {
    working: 0,
    frozen: 0,
    thawed: 0,
    stopping: 0,
    stopped: 0,
    starting: 0,
  };
  #port = 0;
  #amqpPort = 0;
  /** Starts of the broker, those that failed included. */
  #lives = 0;
  #broker: BrokerProcess | undefined;
  #retentionWorked = false;

  constructor(options: KillRoundsOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
  }

  async run(): Promise<KillRoundsResult> {
    const { rounds, seed, sabotage, tamper, onRound, readAllEvery = 1 } = this.#options;
    this.#port = await freePort();
    do this.#amqpPort = await freePort();
    while (this.#amqpPort === this.#port);
    let client: Client | undefined;
    try {
      const url = (await this.#start()).nativeUrl;
      client = await connect(url, { reconnectBackoff: { initialMs: 20, maxMs: 200 } });
      for (const { name, partitions, configs } of TOPICS) {
        await client.admin().createTopic({ name, partitions, configs });
      }
      const load = new KillLoad(client, this.#ledger, this.#random.fork('load'), 'trimmed');
      const visits = new TopicVisits(client, this.#random.fork('visits'));
      const groups = new GroupVisits(client, 'ledger', this.#random.fork('groups'));
      const amqpUrl = `amqp://guest:guest@127.0.0.1:${this.#amqpPort}`;
      const queues = await QueueVisits.start(client, amqpUrl, this.#random.fork('queues'), () => this.#lives);
      const declarations = new DeclarationVisits(client, this.#random.fork('declarations'));
      const all: readonly Visits[] = [visits, groups, queues, declarations];
      const broken = Promise.all([load, ...all].map(({ done }) => done)).then(() => new Promise<never>(() => {}));
      for (let round = 1; round <= rounds; round++) {
        await Promise.race([broken, this.#round(all, round % readAllEvery === 0)]);
        onRound?.(round, this.#restartsMs.at(-1)!);
      }
      await Promise.race([broken, Promise.all([load, ...all].map((each) => each.stop()))]);
      await tamper?.(client);
      await this.#broker!.kill();
      sabotage?.(this.#dataDir);
      await this.#start();
      const stored = await this.#check(all, true);
      const restarts = this.#restartsMs.sort((a, b) => a - b);
      return {
        seed,
        rounds,
        deaths: this.#deaths,
        acknowledged: this.#ledger.acknowledgedCount,
        stored,
        load: load.counts,
        segmentsRemovedByRetention: this.#retentionWorked,
        topics: visits.counts,
        groups: groups.counts,
        queues: { ...queues.ledger.counts, readAgain: queues.readAgain },
        declarations: declarations.counts,
        restartMsMedian: Math.round(restarts[restarts.length >> 1]!),
        restartMsMax: Math.round(restarts.at(-1)!),
      };
    } finally {
      await client?.close({ timeoutMs: 0 });
      await this.#broker?.kill();
      fs.rmSync(this.#dataDir, { recursive: true, force: true });
    }
  }

  async #round(visits: readonly Visits[], readAll: boolean): Promise<void> {
    const random = this.#random;
    await pause(random.between(0, 400));
    await this.#end(random.chance(0.5) ? 'working' : random.pick(DEATHS));
    while (random.chance(0.3)) await this.#dieStarting(random.between(0, 1000));
    await this.#start();
    await this.#check(visits, readAll);
  }

  async #end(death: Death): Promise<void> {
    const random = this.#random;
    const broker = this.#broker!;
    this.#deaths[death]++;
    switch (death) {
      case 'working':
        break;
      case 'frozen':
      case 'thawed':
        broker.child.kill('SIGSTOP');
        await pause(random.between(10, 1500));
        if (death === 'frozen') break;
        broker.child.kill('SIGCONT');
        await pause(random.between(0, 50));
        break;
      case 'stopping':
        broker.child.kill('SIGTERM');
        await pause(random.between(0, 60));
        break;
      case 'stopped':
        await broker.stop();
        return;
    }
    await broker.kill();
  }

  /** A start that is killed on its way, or just after. */
  async #dieStarting(afterMs: number): Promise<void> {
    this.#deaths.starting++;
    const starting = this.#spawn().catch(() => undefined);
    await pause(afterMs);
    BrokerProcess.killAllStarting();
    await (await starting)?.kill();
  }

  async #start(): Promise<BrokerProcess> {
    const startedMs = performance.now();
    const hanging = setTimeout(() => BrokerProcess.killAllStarting(), RESTART_MS_MAX);
    try {
      this.#broker = await this.#spawn();
    } catch (error) {
      const tookMs = Math.round(performance.now() - startedMs);
      throw new Error(`the broker did not start again, after ${tookMs} ms`, { cause: error });
    } finally {
      clearTimeout(hanging);
    }
    this.#restartsMs.push(performance.now() - startedMs);
    return this.#broker;
  }

  #spawn(): Promise<BrokerProcess> {
    const flags = [...FLAGS, ...(this.#options.flags ?? [])];
    this.#lives++;
    return BrokerProcess.start({ dataDir: this.#dataDir, port: this.#port, amqpPort: this.#amqpPort, flags });
  }

  /** Compares what the broker has with what it must have. Returns how many records it has. The load goes on meanwhile. */
  async #check(visits: readonly Visits[], readAll: boolean): Promise<number> {
    const client = await connect(this.#broker!.nativeUrl);
    try {
      let stored = 0;
      for (const { name } of TOPICS) {
        for (const place of this.#ledger.partitions.filter(({ topic }) => topic === name)) {
          stored += await this.#checkPartition(client, place, readAll);
        }
        for (const { key, value } of await client.admin().describeTopicConfigs(name)) {
          const wanted = TOPICS.find((topic) => topic.name === name)?.configs[key];
          if (wanted !== undefined && value !== String(wanted)) throw new Error(`${name}: ${key} is ${value}`);
        }
      }
      for (const each of visits) await each.check(client);
      return stored;
    } finally {
      await client.close({ timeoutMs: 0 });
    }
  }

  async #checkPartition(client: Client, place: PartitionFacts, readAll: boolean): Promise<number> {
    const { topic, partition } = place;
    const { logStartOffset, highWatermark } = await this.#checkStatus(client, place);
    const from = readAll ? logStartOffset : Math.max(logStartOffset, highWatermark - NEWEST_RECORDS);
    const reading = new Reading(this.#ledger, place, from);
    await readPartition(client, { topic, partition, from, to: highWatermark }, (record) =>
      reading.record(record.offset, record.valueBytes),
    );
    // Where reading had to jump, records must have been removed meanwhile.
    await this.#checkStatus(client, place);
    return highWatermark - logStartOffset;
  }

  async #checkStatus(client: Client, place: PartitionFacts) {
    const { known } = place;
    const status = (await client.admin().partitionStatus(place.topic))[place.partition]!;
    if (status.failure !== undefined) throw new Error(`${place.key} does not work`, { cause: status.failure });
    place.check(status, known);
    if (place.retentionBytes !== undefined && status.logStartOffset > 0) this.#retentionWorked = true;
    return status;
  }
}

/**
 * Below the range from which the system picks ports for outgoing connections: there, a client that tries to reach the dead
 * broker could be given its port, and even connect to itself.
 */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const server = net.createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    await new Promise((resolve) => server.close(resolve));
    if (isFree) return port;
  }
}
