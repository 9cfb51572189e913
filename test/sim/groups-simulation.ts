/**
 * The group coordinator against an in-memory disk that fails and loses power, and consumers that come, go, die and fall
 * silent, driven by a seed. One run is a few lives of a node over one offsets topic with small segments, so that compaction
 * takes part too. `group-ledger.ts` judges the answers; after each start the groups must be as they were, and in the end
 * everybody must get something to do.
 */
import { MemoryCoordinator } from '../../broker/coordinator/memory.ts';
import type { GroupDescription } from '../../broker/groups/group-service.ts';
import { Groups } from '../../broker/groups/groups.ts';
import { OffsetsLog } from '../../broker/groups/offsets-log.ts';
import { LogManager } from '../../broker/log/log-manager.ts';
import { topicConfigDefaults } from '../../broker/partitions/broker-configs.ts';
import { DiskSpace } from '../../broker/partitions/disk-space.ts';
import { Topics } from '../../broker/partitions/topics.ts';
import type { Disk } from '../../broker/ports/disk.ts';
import { silentLogger } from '../../broker/ports/logger.ts';
import { ManualClock } from '../../broker/ports/manual-clock.ts';
import { MemoryDisk } from '../../broker/ports/memory-disk.ts';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { embeddedSettings } from '../../broker/resolve-options.ts';
import { managerOptions } from '../support/log-environment.ts';
import { type ClientWorld, GroupClient, PARTITIONS, SESSION_TIMEOUT_MS, TOPIC } from './group-client.ts';
import { GroupLedger } from './group-ledger.ts';
import { withoutJournalSyncs } from './log-engine-simulation.ts';

export interface GroupsSimulationOptions {
  readonly seed: number;
  /** Switches a rule off on purpose, to show that the checker notices. */
  readonly sabotage?: 'journal-is-not-synced' | 'groups-are-not-stored' | 'leaders-share-partitions';
}

export interface GroupsSimulationResult {
  readonly assignments: number;
  readonly commits: number;
  readonly crashes: number;
  readonly deletions: number;
  readonly trace: string;
}

/** Runs one seed. Throws, with the seed, where a promise is broken. */
export async function simulateGroups(options: GroupsSimulationOptions): Promise<GroupsSimulationResult> {
  const simulation = new Simulation(options);
  const { writeGroup } = OffsetsLog.prototype;
  if (options.sabotage === 'groups-are-not-stored') {
    OffsetsLog.prototype.writeGroup = function (this: OffsetsLog, groupId) {
      this.writeOffset(groupId, 'nothing', 0, undefined);
    };
  }
  try {
    return await simulation.run();
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    throw new Error(`seed ${options.seed} (${simulation.describe()}): ${text}\n${simulation.trace()}`);
  } finally {
    OffsetsLog.prototype.writeGroup = writeGroup;
  }
}

interface Node {
  readonly logs: LogManager;
  readonly topics: Topics;
  readonly diskSpace: DiskSpace;
  readonly groups: Groups;
  readonly clock: ManualClock;
}

const GROUP_IDS = ['alpha', 'beta', 'gamma'];
/** Microtasks that the longest chain of promises behind one event may need. */
const TURNS = 40;

class Simulation implements ClientWorld {
  readonly random: SeededRandom;
  readonly ledger = new GroupLedger();
  readonly sharesPartitions: boolean;
  readonly #sabotage: GroupsSimulationOptions['sabotage'];
  readonly #weather: {
    readonly groups: number;
    readonly clients: number;
    readonly lives: number;
    readonly steps: number;
    readonly segmentBytes: number;
    readonly faultChance: number;
    /** How many steps disk calls lag behind, about. */
    readonly diskLag: number;
  };
  readonly #settings;
  readonly #coordinator = new MemoryCoordinator();
  readonly #clients: GroupClient[] = [];
  readonly #trace: string[] = [];
  #disk: MemoryDisk;
  #pending: Array<() => void> = [];
  #node: Node | undefined;
  #nowMs = 1_700_000_000_000;
  #offset = 0;
  #crashes = 0;
  #deletions = 0;
  #broken: unknown;

  constructor({ seed, sabotage }: GroupsSimulationOptions) {
    const random = new SeededRandom(seed);
    this.random = random;
    this.#sabotage = sabotage;
    this.sharesPartitions = sabotage === 'leaders-share-partitions';
    this.#weather = {
      groups: random.between(1, GROUP_IDS.length),
      clients: random.between(1, 7),
      lives: random.between(2, 4),
      steps: random.between(40, 250),
      segmentBytes: random.pick([1024, 4096, 65_536]),
      faultChance: random.pick([0, 0, 0, 0.002]),
      diskLag: random.pick([0, 2, 8]),
    };
    this.#settings = embeddedSettings({
      storage: 'memory',
      offsetsTopicPartitions: random.between(1, 3),
      offsetsTopicSegmentBytes: this.#weather.segmentBytes,
      groupInitialRebalanceDelayMs: random.pick([0, 100, 3000]),
      groupMembersMax: random.pick([3, 1000]),
      groupMinSessionTimeoutMs: 1,
    });
    for (let index = 0; index < this.#weather.clients; index++) {
      const groupId = GROUP_IDS[random.below(this.#weather.groups)]!;
      this.#clients.push(new GroupClient(this, `c${index}`, groupId));
    }
    this.#disk = new MemoryDisk(this.#diskOptions());
  }

  describe(): string {
    return JSON.stringify({ ...this.#weather, sabotage: this.#sabotage });
  }

  trace(): string {
    return this.#trace.slice(-60).join('\n');
  }

  // What clients see

  get groups(): Groups {
    return this.#node!.groups;
  }

  nextOffset(): number {
    return ++this.#offset;
  }

  note(text: string): void {
    this.#trace.push(text);
  }

  fail(error: unknown): void {
    this.#broken ??= error;
  }

  // Lives

  async run(): Promise<GroupsSimulationResult> {
    for (let life = 0; life < this.#weather.lives; life++) {
      await this.#start(life);
      const steps = this.random.between(1, this.#weather.steps);
      for (let step = 0; step < steps; step++) await this.#step();
      await this.#end();
    }
    await this.#start(this.#weather.lives);
    await this.#finish();
    const { assignments, commits } = this.ledger;
    return {
      assignments,
      commits,
      crashes: this.#crashes,
      deletions: this.#deletions,
      trace: this.#trace.join('\n'),
    };
  }

  async #start(life: number): Promise<void> {
    this.note(`life ${life}`);
    this.#node = await this.#drive(this.#open());
    const { groups, topics } = this.#node;
    if (life === 0) {
      const specification = { name: TOPIC, partitions: PARTITIONS, replicationFactor: -1, configs: new Map() };
      await this.#drive(topics.create(specification, { validateOnly: false }));
      await this.#drive(groups.coordinatorOf('alpha'));
    }
    await this.#drive(groups.loaded);
    for (const groupId of GROUP_IDS) {
      this.ledger.onStarted(groupId, groups.describeGroup(groupId).state !== 'Dead');
      this.#checkOffsets(groupId);
    }
    const { faultChance } = this.#weather;
    if (faultChance > 0) {
      this.#disk.inject({ on: ['write', 'sync', 'rename', 'create', 'syncDirectory'], probability: faultChance });
    }
  }

  async #open(): Promise<Node> {
    const clock = new ManualClock(this.#nowMs);
    const disk: Disk = this.#sabotage === 'journal-is-not-synced' ? withoutJournalSyncs(this.#disk) : this.#disk;
    const random = this.random.fork('node');
    const directory = '/data';
    const logger = silentLogger;
    const settings = this.#settings;
    const logs = await LogManager.open(managerOptions({ disk, clock, random, directory }));
    const diskSpace = await DiskSpace.open({ disk, directory, clock, logger, freeBytesMin: 0 });
    const topics = await Topics.open({
      coordinator: this.#coordinator,
      logs,
      clock,
      random,
      logger,
      nodeId: 1,
      configDefaults: topicConfigDefaults(settings),
      defaultPartitions: 1,
      defaultReplicationFactor: 1,
      partitionsMax: 100,
      batchBytesCeiling: 16 * 1024,
      onAdvance: () => {},
      onFailure: (error) => this.fail(error),
    });
    const groups = new Groups({
      topics,
      diskSpace,
      clock,
      random,
      logger,
      settings,
      batchBytesCeiling: 16 * 1024,
    });
    return { logs, topics, diskSpace, groups, clock };
  }

  async #end(): Promise<void> {
    const { logs, topics, groups, diskSpace } = this.#node!;
    const before = GROUP_IDS.map((groupId) => this.#settledDescription(groupId));
    const how = this.random.pick(['stop', 'kill', 'power'] as const);
    this.note(`end: ${how}`);
    if (how === 'stop') {
      const stop = async (): Promise<void> => {
        await groups.close();
        await topics.close();
        diskSpace.close();
        await logs.close();
      };
      await this.#drive(
        stop().catch((error: unknown) => {
          if (this.#weather.faultChance === 0) throw error;
          this.note(`close failed: ${String(error)}`);
        }),
      );
    }
    this.#pending = [];
    const random = this.random.fork('end');
    const mode = this.random.pick(['lost', 'kept', 'prefix', 'reordered'] as const);
    if (how !== 'stop') this.#crashes++;
    this.#disk =
      how === 'power'
        ? this.#disk.crash(random, mode, this.#diskOptions())
        : this.#disk.kill(random, this.#diskOptions());
    for (const client of this.#clients) client.onNodeLost();
    await this.#checkRestart(before);
  }

  /** A stable group comes back with the same members, in the same generation, with the same assignments. */
  async #checkRestart(before: ReadonlyArray<GroupDescription | undefined>): Promise<void> {
    this.#node = await this.#drive(this.#open());
    const { groups, logs, topics } = this.#node;
    await this.#drive(groups.loaded);
    for (const description of before) {
      if (description === undefined) continue;
      const after = groups.describeGroup(description.groupId);
      // A static member whose return could not be stored has its old id again, and will be back once more.
      const byInstance = this.#weather.faultChance > 0;
      const [was, is] = [shown(description, byInstance), shown(after, byInstance)];
      // Too many members are sent through a rebalance at once.
      if (was !== is && after.state === 'Stable')
        throw new Error(`a group has changed over a restart: ${was} to ${is}`);
      if (after.state === 'Empty' || after.state === 'Dead') throw new Error(`a group was forgotten: ${was}`);
    }
    await this.#drive(groups.close());
    await this.#drive(topics.close());
    this.#node.diskSpace.close();
    await this.#drive(logs.close());
    this.#pending = [];
    this.#disk = this.#disk.kill(this.random.fork('look'), this.#diskOptions());
  }

  /** Undefined where something is going on that may change the group. */
  #settledDescription(groupId: string): GroupDescription | undefined {
    const returns = this.#clients.some((client) => client.groupId === groupId && client.isStatic && client.isWaiting);
    const description = this.groups.describeGroup(groupId);
    return returns || description.state !== 'Stable' ? undefined : description;
  }

  async #step(): Promise<void> {
    const { random } = this;
    const { clock, logs } = this.#node!;
    const choice = random.fraction();
    if (choice < 0.75) random.pick(this.#clients).act(false);
    else if (choice < 0.78) random.pick(this.#clients).die();
    else if (choice < 0.8) void logs.maintain().catch(() => {});
    else if (choice < 0.82) this.#tryDelete(random.pick(GROUP_IDS));
    else if (choice < 0.84) void logs.checkpoint().catch(() => {});
    else if (choice < 0.9) this.#checkOffsets(random.pick(GROUP_IDS));
    else {
      const ms = random.pick([1, 100, 700, 2500]);
      this.#nowMs += ms;
      clock.advance(ms);
    }
    if (random.below(this.#weather.diskLag + 1) === 0) {
      while (this.#pending.length > 0 && random.chance(0.95)) await this.#complete();
    }
    await this.#turn();
  }

  #tryDelete(groupId: string): void {
    const { groups } = this.#node!;
    if (groups.describeGroup(groupId).state !== 'Empty') return;
    this.ledger.onDeletionBegun(groupId);
    groups.deleteGroup(groupId).then(
      () => {
        this.#deletions++;
        this.note(`${groupId} is deleted`);
        this.ledger.onDeleted(groupId);
      },
      () => {},
    );
  }

  #checkOffsets(groupId: string): void {
    const wanted = Array.from({ length: PARTITIONS }, (_, partition) => ({ topic: TOPIC, partition }));
    for (const { partition, offset } of this.groups.fetchOffsets(groupId, wanted)) {
      this.ledger.onFetched(groupId, partition, offset);
    }
  }

  /** Nothing fails any more: everybody must come in, and every partition must have an owner. */
  async #finish(): Promise<void> {
    this.#disk.clearFaults();
    const isFull = (groupId: string): boolean =>
      this.#clients.filter((client) => client.groupId === groupId).length > this.#settings.groupMembersMax;
    const waited = this.#clients.filter(({ groupId }) => !isFull(groupId));
    for (let round = 0; round < 300; round++) {
      for (const client of waited) client.act(true);
      this.#nowMs += 500;
      this.#node!.clock.advance(500);
      do await this.#turn();
      while (await this.#complete());
      // Members whose client died are there for a session yet, with what they own.
      if (round * 500 < 2 * SESSION_TIMEOUT_MS) continue;
      if (!waited.every(({ isIn }) => isIn) || !this.#allAreStable()) continue;
      this.#checkCoverage(waited);
      return;
    }
    const phases = waited.map((client) => `${client.name} of ${client.groupId} ${client.isIn ? 'in' : 'out'}`);
    throw new Error(`the groups do not come to rest: ${phases.join(', ')}`);
  }

  #allAreStable(): boolean {
    return this.groups.listGroups().every(({ state }) => state === 'Stable' || state === 'Empty');
  }

  #checkCoverage(clients: readonly GroupClient[]): void {
    for (const groupId of new Set(clients.map((client) => client.groupId))) {
      const owned = clients.filter((client) => client.groupId === groupId).flatMap((client) => client.owned);
      if (owned.sort().join() === '0,1,2,3,4') continue;
      throw new Error(`the consumers of ${groupId} own ${owned.join()}`);
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
    for (let idle = 0; !settled && idle < 10_000; ) {
      idle = (await this.#complete()) ? 0 : idle + 1;
      if (idle > 0) await this.#turn();
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

function shown({ groupId, generationId, members, leader }: GroupDescription, byInstance: boolean): string {
  const names = new Map(
    members.map(({ memberId, groupInstanceId }) => [memberId, byInstance ? (groupInstanceId ?? memberId) : memberId]),
  );
  const each = members.map(({ memberId, assignment }) => `${names.get(memberId)}: ${[...assignment].join()}`).sort();
  return JSON.stringify({ groupId, generationId, leader: names.get(leader ?? ''), members: each });
}
