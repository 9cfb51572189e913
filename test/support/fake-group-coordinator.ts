/**
 * The rules of Kafka's classic group protocol in memory, on a client's clock, for tests of members: written apart from the
 * broker's coordinator. Members reach it through a {@link FakeGroupHost} each, which a test can cut off.
 */
import type {
  CommittedOffset,
  GroupHost,
  JoinAnswer,
  JoinRequest,
  MemberIdentity,
  OffsetToCommit,
} from '../../client/groups/group-host.ts';
import { partitionKey, type TopicPartition, ungroup } from '../../client/topic-partition.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { ErrorName } from '../../src/errors/table.ts';
import { decodeAssignment } from '../../src/groups/consumer-protocol.ts';
import type { FakeClientClock } from './fake-client-clock.ts';

interface Member {
  id: string;
  readonly instanceId: string | undefined;
  protocols: JoinRequest['protocols'];
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  join: ((answer: JoinAnswer) => void) | undefined;
  sync: { resolve: (bytes: Uint8Array) => void; reject: (error: BurrowError) => void } | undefined;
  assignment: Uint8Array;
  timer: { cancel(): void } | undefined;
}

export type FakeGroupState = 'Empty' | 'Preparing' | 'Completing' | 'Stable';

const NOTHING = new Uint8Array(0);

export class FakeGroupCoordinator {
  readonly clock: FakeClientClock;
  /** Partitions by topic. */
  readonly topics = new Map<string, number>();
  readonly members = new Map<string, Member>();
  readonly committed = new Map<string, OffsetToCommit>();
  /** What was assigned in each generation, by member id. */
  readonly history: Array<{ readonly generationId: number; readonly owners: Map<string, TopicPartition[]> }> = [];
  readonly pendingIds = new Set<string>();
  readonly commits: Array<readonly OffsetToCommit[]> = [];
  state: FakeGroupState = 'Empty';
  generationId = 0;
  leader = '';
  protocolName = '';
  left: string[] = [];
  #nextId = 1;
  #timer: { cancel(): void } | undefined;

  constructor(clock: FakeClientClock) {
    this.clock = clock;
  }

  async join(request: JoinRequest): Promise<JoinAnswer> {
    const { memberId, groupInstanceId, protocols } = request;
    const replaced = [...this.members.values()].find(({ instanceId }) => instanceId === groupInstanceId);
    if (memberId === '' && groupInstanceId === undefined) {
      const id = this.#newId();
      this.pendingIds.add(id);
      return this.#refusal('MEMBER_ID_REQUIRED', id);
    }
    if (memberId === '' && replaced !== undefined) return this.#replace(replaced, request);
    if (memberId !== '' && !this.members.has(memberId) && !this.pendingIds.delete(memberId)) {
      return this.#refusal('UNKNOWN_MEMBER', memberId);
    }
    const id = memberId === '' ? this.#newId() : memberId;
    const known = this.members.get(id);
    if (known !== undefined && id !== this.leader && sameProtocols(known.protocols, protocols)) {
      if (this.state === 'Stable' || this.state === 'Completing') return this.#joined(known);
    }
    const member: Member = known ?? {
      id,
      instanceId: groupInstanceId,
      protocols,
      sessionTimeoutMs: request.sessionTimeoutMs,
      rebalanceTimeoutMs: request.rebalanceTimeoutMs,
      join: undefined,
      sync: undefined,
      assignment: NOTHING,
      timer: undefined,
    };
    member.protocols = protocols;
    this.members.set(id, member);
    return new Promise((resolve) => {
      member.join = resolve;
      member.timer?.cancel();
      this.#prepare();
      this.#maybeComplete();
    });
  }

  sync(
    { memberId, generationId }: MemberIdentity,
    assignments: ReadonlyArray<{ readonly memberId: string; readonly assignment: Uint8Array }>,
  ): Promise<Uint8Array> {
    const member = this.#check(memberId, generationId);
    if (this.state === 'Preparing') throw new BurrowError('REBALANCE_IN_PROGRESS');
    if (this.state === 'Stable') return Promise.resolve(member.assignment);
    const answer = new Promise<Uint8Array>((resolve, reject) => {
      member.sync = { resolve, reject };
    });
    if (memberId === this.leader) this.#assign(assignments);
    return answer;
  }

  heartbeat({ memberId, generationId }: MemberIdentity): void {
    const member = this.#check(memberId, generationId);
    this.#touch(member);
    if (this.state === 'Preparing') throw new BurrowError('REBALANCE_IN_PROGRESS');
  }

  leave({ memberId }: MemberIdentity): void {
    if (this.pendingIds.delete(memberId)) return;
    if (!this.members.has(memberId)) throw new BurrowError('UNKNOWN_MEMBER');
    this.left.push(memberId);
    this.#remove(memberId);
  }

  commit(identity: MemberIdentity, offsets: readonly OffsetToCommit[]): void {
    this.#check(identity.memberId, identity.generationId);
    if (this.state === 'Completing') throw new BurrowError('REBALANCE_IN_PROGRESS');
    this.commits.push(offsets);
    for (const offset of offsets) this.committed.set(partitionKey(offset), offset);
  }

  /** As after a restart that lost the group's members. */
  forgetMembers(): void {
    for (const id of [...this.members.keys()]) this.#remove(id);
  }

  /** The group goes to another generation without being asked. */
  rebalance(): void {
    this.#prepare();
    this.#maybeComplete();
  }

  #newId(): string {
    const id = `m${String(this.#nextId).padStart(3, '0')}`;
    this.#nextId += 1;
    return id;
  }

  #check(memberId: string, generationId: number): Member {
    const member = this.members.get(memberId);
    if (member === undefined) throw new BurrowError('UNKNOWN_MEMBER');
    if (generationId !== this.generationId) throw new BurrowError('ILLEGAL_GENERATION');
    return member;
  }

  /** A static member that comes back takes the place of its old self. */
  async #replace(old: Member, { protocols }: JoinRequest): Promise<JoinAnswer> {
    this.members.delete(old.id);
    old.timer?.cancel();
    const wasLeader = this.leader === old.id;
    const renamed: Member = { ...old, id: this.#newId(), join: undefined, sync: undefined };
    this.members.set(renamed.id, renamed);
    if (wasLeader) this.leader = renamed.id;
    this.#touch(renamed);
    if (this.state === 'Stable' && sameTopics(old.protocols, protocols)) {
      return { ...this.#joined(renamed), skipAssignment: wasLeader };
    }
    renamed.protocols = protocols;
    return new Promise((resolve) => {
      renamed.join = resolve;
      this.#prepare();
      this.#maybeComplete();
    });
  }

  #prepare(): void {
    if (this.state === 'Preparing') return;
    for (const member of this.members.values()) {
      member.sync?.reject(new BurrowError('REBALANCE_IN_PROGRESS'));
      member.sync = undefined;
    }
    this.state = 'Preparing';
    const timeoutMs = Math.max(0, ...[...this.members.values()].map((member) => member.rebalanceTimeoutMs));
    this.#timer?.cancel();
    this.#timer = this.clock.schedule(timeoutMs, () => {
      // Static members have until the end of their session to come back.
      for (const member of this.members.values()) {
        if (member.join === undefined && member.instanceId === undefined) this.#drop(member);
      }
      this.#complete();
    });
  }

  #maybeComplete(): void {
    if (this.state === 'Preparing' && [...this.members.values()].every(({ join }) => join !== undefined))
      this.#complete();
  }

  #complete(): void {
    this.#timer?.cancel();
    if (this.members.size === 0) {
      this.state = 'Empty';
      return;
    }
    this.state = 'Completing';
    this.generationId += 1;
    const all = [...this.members.values()];
    const joined = all.filter(({ join }) => join !== undefined).map(({ id }) => id);
    if (!joined.includes(this.leader)) this.leader = joined[0]!;
    const common = all[0]!.protocols.find(({ name }) =>
      all.every((each) => each.protocols.some((p) => p.name === name)),
    );
    this.protocolName = common!.name;
    for (const member of all) {
      const { join } = member;
      member.join = undefined;
      if (join === undefined) continue;
      this.#touch(member);
      join(this.#joined(member));
    }
  }

  #assign(assignments: ReadonlyArray<{ readonly memberId: string; readonly assignment: Uint8Array }>): void {
    const owners = new Map<string, TopicPartition[]>();
    for (const { memberId, assignment } of assignments) {
      owners.set(memberId, ungroup(decodeAssignment(assignment).assignedPartitions));
      const member = this.members.get(memberId);
      if (member !== undefined) member.assignment = assignment;
    }
    this.history.push({ generationId: this.generationId, owners });
    this.state = 'Stable';
    for (const member of this.members.values()) {
      member.sync?.resolve(member.assignment);
      member.sync = undefined;
    }
  }

  #joined(member: Member): JoinAnswer {
    const isLeader = member.id === this.leader;
    return {
      error: undefined,
      memberId: member.id,
      generationId: this.generationId,
      protocolName: this.protocolName,
      leader: this.leader,
      skipAssignment: false,
      members: isLeader
        ? [...this.members.values()].map(({ id, instanceId, protocols }) => ({
            memberId: id,
            groupInstanceId: instanceId,
            metadata: protocols.find(({ name }) => name === this.protocolName)!.metadata,
          }))
        : [],
    };
  }

  #refusal(code: ErrorName, memberId: string): JoinAnswer {
    const error = new BurrowError(code);
    const nothing = { generationId: -1, protocolName: '', leader: '', skipAssignment: false, members: [] };
    return { error, memberId, ...nothing };
  }

  #touch(member: Member): void {
    member.timer?.cancel();
    member.timer = this.clock.schedule(member.sessionTimeoutMs, () => this.#remove(member.id));
  }

  #remove(id: string): void {
    const member = this.members.get(id);
    if (member === undefined) return;
    this.#drop(member);
    if (this.members.size === 0) {
      this.#timer?.cancel();
      this.state = 'Empty';
    } else {
      this.#prepare();
      this.#maybeComplete();
    }
  }

  #drop(member: Member): void {
    member.timer?.cancel();
    member.join?.(this.#refusal('UNKNOWN_MEMBER', member.id));
    member.sync?.reject(new BurrowError('UNKNOWN_MEMBER'));
    this.members.delete(member.id);
  }
}

function sameProtocols(a: JoinRequest['protocols'], b: JoinRequest['protocols']): boolean {
  return a.length === b.length && a.every((each, i) => Buffer.compare(each.metadata, b[i]!.metadata) === 0);
}

/** Subscriptions carry what the member owned, which a new process does not know: only the names count here. */
function sameTopics(a: JoinRequest['protocols'], b: JoinRequest['protocols']): boolean {
  return a.map(({ name }) => name).join() === b.map(({ name }) => name).join();
}

export class FakeGroupHost implements GroupHost {
  readonly clock: FakeClientClock;
  readonly backoff = { initialMs: 100, maxMs: 1000 };
  readonly requestTimeoutMs = 30_000;
  readonly coordinator: FakeGroupCoordinator;
  /** Thrown by the next requests of this name, one each. */
  readonly failures = new Map<string, BurrowError[]>();
  readonly requests: string[] = [];
  readonly joins: JoinRequest[] = [];
  #cutOff: boolean = false;
  #breaks = new Set<() => void>();

  constructor(coordinator: FakeGroupCoordinator) {
    this.coordinator = coordinator;
    this.clock = coordinator.clock;
  }

  /** While cut off, requests fail and those under way are lost. */
  set cutOff(value: boolean) {
    this.#cutOff = value;
    if (!value) return;
    for (const lose of this.#breaks) lose();
  }

  failNext(request: string, ...codes: ErrorName[]): void {
    this.failures.set(
      request,
      codes.map((code) => new BurrowError(code)),
    );
  }

  findCoordinator(): Promise<number> {
    return this.#ask('findCoordinator', () => 1);
  }

  join(_nodeId: number, request: JoinRequest): Promise<JoinAnswer> {
    this.joins.push(request);
    return this.#ask('join', () => this.coordinator.join(request));
  }

  sync(
    _nodeId: number,
    member: MemberIdentity,
    _protocolName: string,
    assignments: ReadonlyArray<{ readonly memberId: string; readonly assignment: Uint8Array }>,
  ): Promise<Uint8Array> {
    return this.#ask('sync', () => this.coordinator.sync(member, assignments));
  }

  heartbeat(_nodeId: number, member: MemberIdentity): Promise<void> {
    return this.#ask('heartbeat', () => this.coordinator.heartbeat(member));
  }

  leave(_nodeId: number, member: MemberIdentity): Promise<void> {
    return this.#ask('leave', () => this.coordinator.leave(member));
  }

  commitOffsets(
    _nodeId: number,
    member: MemberIdentity,
    offsets: readonly OffsetToCommit[],
  ): Promise<ReadonlyArray<BurrowError | undefined>> {
    return this.#ask('commitOffsets', () => {
      this.coordinator.commit(member, offsets);
      return offsets.map(() => undefined);
    });
  }

  fetchOffsets(
    _nodeId: number,
    _groupId: string,
    partitions: readonly TopicPartition[],
  ): Promise<readonly CommittedOffset[]> {
    return this.#ask('fetchOffsets', () =>
      partitions.map(({ topic, partition }) => {
        const found = this.coordinator.committed.get(partitionKey({ topic, partition }));
        const { offset, leaderEpoch, metadata = '' } = found ?? {};
        return { topic, partition, offset, leaderEpoch, metadata };
      }),
    );
  }

  partitionCounts(topics: readonly string[] | undefined): Promise<ReadonlyMap<string, number>> {
    return this.#ask('partitionCounts', () => {
      const all = [...this.coordinator.topics];
      return new Map(topics === undefined ? all : all.filter(([name]) => topics.includes(name)));
    });
  }

  async #ask<T>(name: string, answer: () => T | Promise<T>): Promise<T> {
    this.requests.push(name);
    await new Promise((resolve) => setImmediate(resolve));
    if (this.#cutOff) throw new BurrowError('CONNECTION_LOST');
    const failure = this.failures.get(name)?.shift();
    if (failure !== undefined) throw failure;
    return new Promise((resolve, reject) => {
      const lose = () => reject(new BurrowError('CONNECTION_LOST'));
      this.#breaks.add(lose);
      Promise.resolve()
        .then(answer)
        .then(resolve, reject)
        .finally(() => this.#breaks.delete(lose));
    });
  }
}
