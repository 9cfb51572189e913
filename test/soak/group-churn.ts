/**
 * Members of one group, in several processes, join, leave and are killed at random, while records are produced. Held against
 * what must be true of every group:
 * - every acknowledged record is processed, at least once;
 * - a partition is given to a member only after the one before has given it up (or was killed): no two hold it at once;
 * - in every generation that the broker describes, a partition has one owner at most;
 * - what is committed never goes back.
 *
 * Needs the built code for the members' processes (`npm test` and `npm run soak` build).
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Broker, startBroker } from '../../broker/index.ts';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { type Client, connect } from '../../client/index.ts';
import type { MemberCommand, MemberReport } from './group-member.ts';

export interface GroupChurnOptions {
  readonly durationMs: number;
  readonly seed: number;
  /** At most, at the same time. Default 20. */
  readonly membersMax?: number;
  /** Default 64. */
  readonly partitions?: number;
  /** Among which the members are spread. Default 5. */
  readonly processes?: number;
  /** Lets every so many records go unnoticed, to show that the checker notices that. */
  readonly sabotageEvery?: number;
  /** How long everything may take to be processed at the end: sessions of the killed, a rebalance, reading. Default 60,000. */
  readonly drainMsMax?: number;
}

export interface GroupChurnResult {
  readonly seed: number;
  readonly produced: number;
  /** Processed more than once: from the last commit on after kills, and what members were working on when they were closed. */
  readonly repeated: number;
  readonly joins: number;
  readonly leaves: number;
  readonly kills: number;
  readonly generations: number;
  readonly moves: number;
}

const MEMBER = fileURLToPath(
  new URL(
    import.meta.url.includes('/dist/') ? './group-member.js' : '../../dist/test/soak/group-member.js',
    import.meta.url,
  ),
);
const TOPIC = 'churn';
const GROUP = 'churn';
const STEP_MS = 150;
const LOOK_MS = 100;
const PRODUCE_MS = 20;
const RECORDS_PER_ROUND = 40;

interface Member {
  readonly id: number;
  readonly process: MemberProcess;
  state: 'here' | 'leaving';
}

class MemberProcess {
  readonly child: ChildProcess;
  isKilled = false;

  constructor(onReport: (report: MemberReport) => void) {
    this.child = fork(MEMBER, [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    // Also what was in the pipe when it was killed: that was true then.
    this.child.on('message', (report) => onReport(report as MemberReport));
  }

  send(command: MemberCommand): void {
    if (this.child.connected) this.child.send(command);
  }

  /** Resolves when all that it said has been heard. */
  async kill(): Promise<void> {
    if (this.isKilled) return;
    this.isKilled = true;
    const closed = new Promise((resolve) => this.child.once('close', resolve));
    this.child.kill('SIGKILL');
    await closed;
  }
}

export function runGroupChurn(options: GroupChurnOptions): Promise<GroupChurnResult> {
  return new GroupChurn(options).run();
}

class GroupChurn {
  readonly #options: Required<GroupChurnOptions>;
  readonly #random: SeededRandom;
  #broker!: Broker;
  #client!: Client;
  readonly #processes: MemberProcess[] = [];
  readonly #members = new Map<number, Member>();
  /** By partition: who holds it. */
  readonly #holders = new Map<number, number>();
  /** By partition: how often each offset was processed. */
  readonly #processed = new Map<number, number[]>();
  readonly #acknowledged: number[];
  readonly #committed = new Map<number, number>();
  readonly #problems: string[] = [];
  #nextMember = 1;
  #reports = 0;
  #stopped = false;
  #joins = 0;
  #leaves = 0;
  #kills = 0;
  #moves = 0;
  #generations = 0;

  constructor(options: GroupChurnOptions) {
    this.#options = { membersMax: 20, partitions: 64, processes: 5, sabotageEvery: 0, drainMsMax: 60_000, ...options };
    this.#random = new SeededRandom(options.seed);
    this.#acknowledged = new Array<number>(this.#options.partitions).fill(0);
  }

  async run(): Promise<GroupChurnResult> {
    const { durationMs, partitions, processes, seed } = this.#options;
    try {
      this.#broker = await startBroker({
        storage: 'memory',
        groupInitialRebalanceDelayMs: 0,
        groupMinSessionTimeoutMs: 100,
      });
      this.#client = await connect(this.#broker.addresses.native!);
      await this.#client.admin().createTopic({ name: TOPIC, partitions });
      for (let count = 0; count < processes; count += 1) this.#processes.push(this.#newProcess());
      const background = Promise.all([this.#produce(), this.#look()]).catch((error: unknown) => {
        this.#problems.push(String(error));
      });
      const endMs = performance.now() + durationMs;
      while (performance.now() < endMs && this.#problems.length === 0) {
        await this.#step();
        await pause(this.#random.between(0, 2 * STEP_MS));
      }
      this.#stopped = true;
      await background;
      if (this.#members.size === 0) this.#join();
      await this.#drain();
      if (this.#problems.length > 0) throw new Error(this.#problems.slice(0, 10).join('\n'));
      const all = [...this.#processed.values()].flat();
      return {
        seed,
        produced: this.#acknowledged.reduce((sum, count) => sum + count, 0),
        repeated: all.reduce((sum, times) => sum + Math.max(0, times - 1), 0),
        joins: this.#joins,
        leaves: this.#leaves,
        kills: this.#kills,
        generations: this.#generations,
        moves: this.#moves,
      };
    } finally {
      this.#stopped = true;
      await Promise.all(this.#processes.map((each) => each.kill()));
      await this.#client?.close({ timeoutMs: 0 });
      await this.#broker?.close();
    }
  }

  #newProcess(): MemberProcess {
    return new MemberProcess((report) => this.#onReport(report));
  }

  async #step(): Promise<void> {
    const dice = this.#random.below(100);
    const here = [...this.#members.values()].filter(({ state }) => state === 'here');
    if (here.length === 0 || (dice < 50 && this.#members.size < this.#options.membersMax)) this.#join();
    else if (dice < 88) this.#leave(here[this.#random.below(here.length)]!);
    else if (dice < 92) await this.#kill(this.#random.below(this.#processes.length));
  }

  #join(): void {
    const id = this.#nextMember++;
    const process = this.#processes[this.#random.below(this.#processes.length)]!;
    this.#members.set(id, { id, process, state: 'here' });
    this.#joins += 1;
    const address = this.#broker.addresses.native!;
    process.send({ kind: 'join', member: id, address, pattern: id % 5 === 0, seed: id });
  }

  #leave(member: Member): void {
    member.state = 'leaving';
    this.#leaves += 1;
    member.process.send({ kind: 'leave', member: member.id });
  }

  /** Kills a process with all its members, and puts a new one in its place. */
  async #kill(place: number): Promise<void> {
    const killed = this.#processes[place]!;
    this.#processes[place] = this.#newProcess();
    await killed.kill();
    this.#kills += 1;
    for (const { id, process } of this.#members.values()) if (process === killed) this.#onGone(id);
  }

  #onGone(member: number): void {
    this.#members.delete(member);
    for (const [partition, holder] of this.#holders) if (holder === member) this.#holders.delete(partition);
  }

  #onReport(report: MemberReport): void {
    const { member } = report;
    switch (report.kind) {
      case 'assigned':
        for (const partition of report.partitions) this.#onAssigned(partition, member);
        break;
      case 'revoked':
      case 'lost':
        for (const partition of report.partitions) {
          if (this.#holders.get(partition) === member) this.#holders.delete(partition);
        }
        break;
      case 'processed':
        this.#onProcessed(report.partition, report.from, report.next);
        break;
      case 'left':
        this.#onGone(member);
        break;
      case 'failed':
        this.#problems.push(`member ${member} failed: ${report.message}`);
    }
  }

  #onAssigned(partition: number, member: number): void {
    const holder = this.#holders.get(partition);
    if (holder !== undefined) {
      this.#problems.push(`${TOPIC}-${partition} went to member ${member} while member ${holder} held it`);
    }
    this.#moves += 1;
    this.#holders.set(partition, member);
  }

  #onProcessed(partition: number, from: number, next: number): void {
    const { sabotageEvery } = this.#options;
    const times = this.#processed.get(partition) ?? [];
    this.#processed.set(partition, times);
    for (let offset = from; offset < next; offset += 1) {
      this.#reports += 1;
      if (sabotageEvery > 0 && this.#reports % sabotageEvery === 0) continue;
      times[offset] = (times[offset] ?? 0) + 1;
    }
  }

  async #produce(): Promise<void> {
    const random = this.#random.fork('load');
    const producer = this.#client.producer();
    const value = new TextEncoder().encode('x'.repeat(50));
    while (!this.#stopped) {
      const records = Array.from({ length: RECORDS_PER_ROUND }, () => ({
        topic: TOPIC,
        partition: random.below(this.#options.partitions),
        value,
      }));
      await producer.sendMany(records);
      for (const { partition } of records) this.#acknowledged[partition]! += 1;
      await pause(PRODUCE_MS);
    }
    await producer.close();
  }

  /** At what the broker says of the group, again and again. */
  async #look(): Promise<void> {
    while (!this.#stopped) {
      await this.#lookOnce();
      await pause(LOOK_MS);
    }
  }

  async #lookOnce(): Promise<void> {
    const group = await this.#client
      .admin()
      .describeGroup(GROUP)
      .catch((error: { code?: string }) => {
        // Before the first member has joined.
        if (error.code === 'GROUP_ID_NOT_FOUND') return undefined;
        throw error;
      });
    if (group === undefined) return;
    this.#generations = Math.max(this.#generations, group.generationId);
    const owned = group.members.flatMap(({ assignment }) => assignment.map(({ partition }) => partition));
    if (group.state === 'Stable' && new Set(owned).size < owned.length) {
      this.#problems.push(`generation ${group.generationId} has partitions with two owners: ${owned}`);
    }
    for (const { partition, committedOffset = 0 } of group.partitions) {
      const before = this.#committed.get(partition) ?? 0;
      if (committedOffset < before) {
        this.#problems.push(`${TOPIC}-${partition} was committed up to ${before}, now up to ${committedOffset}`);
      }
      this.#committed.set(partition, committedOffset);
    }
  }

  async #drain(): Promise<void> {
    const giveUpAtMs = performance.now() + this.#options.drainMsMax;
    while (this.#problems.length === 0) {
      await this.#lookOnce();
      const missing = this.#missing();
      if (missing.length === 0) return;
      if (performance.now() > giveUpAtMs) {
        this.#problems.push(`never processed: ${missing.slice(0, 20).join(', ')} and so on, ${missing.length} in all`);
      }
      // Nobody may be left to read: somebody comes.
      if (this.#members.size === 0) this.#join();
      await pause(LOOK_MS);
    }
  }

  #missing(): string[] {
    return this.#acknowledged.flatMap((count, partition) => {
      const times = this.#processed.get(partition) ?? [];
      return Array.from({ length: count }, (_, offset) => offset)
        .filter((offset) => times[offset] === undefined)
        .map((offset) => `${TOPIC}-${partition}@${offset}`);
    });
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
