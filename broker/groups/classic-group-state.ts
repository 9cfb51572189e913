/**
 * One classic consumer group: who is a member, when it rebalances, in which generation it is. The rules and the error of
 * every case are those of Kafka's coordinator (ClassicGroup and the classic parts of GroupMetadataManager in Kafka 4).
 * Knows no offsets, no log and no clock: it is told the time (monotonic, in ms), hands what must be stored to `store`, and
 * answers joins and syncs through the functions that came with them.
 *
 *     Empty ── first join ──> PreparingRebalance ── all have joined, or time is up ──> CompletingRebalance
 *       ^                        ^          │ nobody is left                                │
 *       │                        │          v                                               │ the leader's assignment
 *       └────────────────────────│───── (stored) Empty                                      │ is stored
 *                                └── join, leave, death of a member ── Stable <─────────────┘
 *
 * Where it differs from Kafka: a static member that comes back to a full group is let in, since the group does not grow; one
 * that comes back with other topics causes a rebalance; a leader's second assignment of a generation is not stored while
 * the first is on its way; a join or sync that the same member repeats ends the first one.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { CONSUMER_PROTOCOL_TYPE, decodeSubscription } from '../../src/groups/consumer-protocol.ts';
import type { Logger } from '../ports/logger.ts';
import {
  type AnswerJoin,
  type AnswerSync,
  type GroupMember,
  GroupMembers,
  metadataFor,
  newMember,
  sameProtocols,
} from './group-members.ts';
import type { StoredGroup } from './group-records.ts';
import type {
  GroupDescription,
  GroupState,
  JoinGroupOutcome,
  JoinGroupRequest,
  LeaveGroupRequest,
  LeftMember,
  MemberIdentity,
  SyncGroupOutcome,
  SyncGroupRequest,
} from './group-service.ts';

/** Ends joins of new members that nobody may be waiting for any more (Kafka's NewMemberJoinTimeoutMs). */
const NEW_MEMBER_JOIN_TIMEOUT_MS = 300_000;
const NO_BYTES = new Uint8Array(0);
const NEVER = Number.POSITIVE_INFINITY;
/** About what a member takes in memory besides what it sends. */
const MEMBER_BYTES = 1000;

export type OnStored = (error: BurrowError | undefined, nowMs: number) => void;

export interface ClassicGroupOptions {
  readonly groupId: string;
  /** How long the first members of a group wait for others; starts again while others come, up to the rebalance timeout. */
  readonly initialRebalanceDelayMs: number;
  readonly membersMax: number;
  /** Makes it durable and calls back, later. */
  readonly store: (group: Omit<StoredGroup, 'stateTimestampMs'>, onStored: OnStored) => void;
  readonly logger: Logger;
}

/** What the group waits for besides signs of life. */
type Wait =
  /** More members: the group was empty. */
  | { readonly kind: 'first joins'; dueMs: number; remainingMs: number; cameMore: boolean }
  /** The members to join again. */
  | { readonly kind: 'joins'; dueMs: number }
  /** Those who have joined to ask for their assignment. */
  | { readonly kind: 'syncs'; dueMs: number; readonly memberIds: Set<string> };

export class ClassicGroupState {
  readonly groupId: string;
  readonly #options: ClassicGroupOptions;
  #state: GroupState = 'Empty';
  /** Invariant: never goes back. Moved at the end of each rebalance. */
  #generationId = 0;
  #protocolType: string | undefined;
  #protocolName: string | undefined;
  readonly #members = new GroupMembers();
  /** Ids given to new members that have not come back with them yet (KIP-394), and when they are given up. */
  readonly #pending = new Map<string, number>();
  #wait: Wait | undefined;
  /** Of which generation the leader's assignment is being stored. */
  #storingGeneration = -1;
  /** What the members of a `consumer` group subscribe to; undefined where unknown. */
  #topics: ReadonlySet<string> | undefined;
  /** Of the latest generation that was assigned. */
  #assignmentBytes = 0;
  #deadlineMs = NEVER;

  constructor(options: ClassicGroupOptions) {
    this.groupId = options.groupId;
    this.#options = options;
  }

  get state(): GroupState {
    return this.#state;
  }

  get generationId(): number {
    return this.#generationId;
  }

  get protocolType(): string | undefined {
    return this.#protocolType;
  }

  get membersCount(): number {
    return this.#members.size;
  }

  /** About what it takes in memory. */
  get bytes(): number {
    return (
      (this.#members.size + this.#pending.size) * MEMBER_BYTES + this.#members.protocolBytes + this.#assignmentBytes
    );
  }

  /** Neither members nor ids promised to any, and nothing about it in the log. */
  get isUnused(): boolean {
    return this.#state === 'Empty' && this.#generationId === 0 && this.#pending.size === 0;
  }

  /** Somebody new is expected to come back with the id it got. */
  get hasPending(): boolean {
    return this.#pending.size > 0;
  }

  /** Nothing happens by itself before; may be too early, never too late. */
  get deadlineMs(): number {
    return this.#deadlineMs;
  }

  /** Takes what the log says about it. */
  restore(stored: StoredGroup, nowMs: number): void {
    this.#generationId = stored.generationId;
    this.#protocolType = stored.protocolType === '' ? undefined : stored.protocolType;
    this.#protocolName = stored.protocolName;
    for (const member of stored.members) {
      const { protocolName = '' } = stored;
      this.#assignmentBytes += member.assignment.length;
      this.#members.add({
        ...member,
        protocols: [{ name: protocolName, metadata: member.subscription }],
        answerJoin: undefined,
        answerSync: undefined,
        isNew: false,
        sessionDueMs: NEVER,
      });
    }
    this.#members.restoreLeader(stored.leader);
    this.#topics = this.#subscribedTopics();
    if (this.#members.size === 0) return;
    this.#state = 'Stable';
    // Whoever lives has a whole session to say so.
    for (const member of this.#members.all()) this.#touch(member, nowMs);
    if (this.#members.size > this.#options.membersMax) this.#prepareRebalance('more members than allowed', nowMs);
  }

  // Joining

  /** `newMemberId` is used if the group takes in someone new. */
  join(request: JoinGroupRequest, newMemberId: string, nowMs: number, answer: AnswerJoin): void {
    const { memberId, groupInstanceId } = request;
    const instance = groupInstanceId === undefined ? undefined : this.#members.instance(groupInstanceId);
    const returns = memberId === '' && instance !== undefined;
    if (this.#state === 'Dead') {
      refuse(answer, memberId, this.#dead());
      return;
    }
    if (!returns && !this.#hasRoomFor(memberId)) {
      this.#members.remove(memberId);
      this.#pending.delete(memberId);
      if (this.#state === 'PreparingRebalance') this.#maybeCompleteJoin(nowMs);
      return refuse(answer, '', this.#full());
    }
    if (!this.#supports(request)) {
      refuse(answer, memberId, this.#inconsistent());
      return;
    }
    if (returns) {
      this.#replaceStatic(request, instance, newMemberId, nowMs, answer);
      return;
    }
    if (memberId !== '') {
      this.#joinKnown(request, nowMs, answer);
      return;
    }
    if (groupInstanceId === undefined && request.requiresKnownMemberId) {
      // Only who proves that it got the answer becomes a member: retries of lost joins leave no dead members behind.
      if (this.#pending.size >= this.#options.membersMax) {
        refuse(answer, '', this.#full());
        return;
      }
      this.#pending.set(newMemberId, nowMs + request.sessionTimeoutMs);
      this.#dueBy(nowMs + request.sessionTimeoutMs);
      return refuse(answer, newMemberId, new BurrowError('MEMBER_ID_REQUIRED'));
    }
    this.#addMember(request, newMemberId, nowMs, answer);
  }

  #joinKnown(request: JoinGroupRequest, nowMs: number, answer: AnswerJoin): void {
    const { memberId } = request;
    if (this.#pending.has(memberId) && request.groupInstanceId === undefined) {
      this.#pending.delete(memberId);
      return this.#addMember(request, memberId, nowMs, answer);
    }
    const member = this.#find(request);
    if (member instanceof BurrowError) {
      refuse(answer, memberId, member);
      return;
    }
    const changed = !sameProtocols(member.protocols, request.protocols);
    const leads = this.#members.leader === memberId;
    // A leader that joins wants a new assignment: what it assigns may have changed.
    const rebalances = this.#state === 'PreparingRebalance' || changed || (this.#state === 'Stable' && leads);
    if (!rebalances) {
      // It missed the answer of this generation, which it gets again.
      this.#touch(member, nowMs);
      return answer(this.#joined(member, leads && this.#state === 'CompletingRebalance'));
    }
    this.#members.update(member, request);
    this.#awaitJoin(member, answer);
    this.#rebalance(`member ${memberId} joins again: ${request.reason ?? 'no reason given'}`, nowMs);
  }

  #addMember(request: JoinGroupRequest, memberId: string, nowMs: number, answer: AnswerJoin): void {
    if (this.#members.size === 0) this.#protocolType = request.protocolType;
    const member = newMember(memberId, request);
    member.isNew = true;
    member.answerJoin = answer;
    this.#members.add(member);
    member.sessionDueMs = nowMs + NEW_MEMBER_JOIN_TIMEOUT_MS;
    this.#dueBy(member.sessionDueMs);
    if (this.#wait?.kind === 'first joins') this.#wait.cameMore = true;
    this.#rebalance(`new member ${memberId}: ${request.reason ?? 'no reason given'}`, nowMs);
  }

  /** A static member is back without its member id (KIP-345): it takes its place over, and whoever had it is fenced. */
  #replaceStatic(
    request: JoinGroupRequest,
    oldMemberId: string,
    newMemberId: string,
    nowMs: number,
    answer: AnswerJoin,
  ): void {
    const old = this.#members.get(oldMemberId)!;
    const fenced = this.#fenced(old);
    old.answerJoin?.(failedJoin(oldMemberId, fenced));
    old.answerSync?.(fenced);
    const oldLeader = this.#members.leader;
    const changed = this.#subscribesAnew(old, request);
    if (this.#wait?.kind === 'syncs') this.#wait.memberIds.delete(oldMemberId);
    const member = this.#members.rename(oldMemberId, newMemberId);
    this.#members.update(member, request);
    this.#touch(member, nowMs);
    this.#awaitJoin(member, answer);
    const reason = `static member ${request.groupInstanceId} is back: ${request.reason ?? 'no reason given'}`;
    if (this.#state !== 'Stable' || changed || this.#members.selectProtocol() !== this.#protocolName) {
      // Also while the leader assigns: it knows the old member id, for which nobody will ask.
      return this.#rebalance(reason, nowMs);
    }
    const generationId = this.#generationId;
    this.#options.logger.info({ group: this.groupId, reason }, 'a static member takes its place over');
    this.#options.store(this.#snapshot(undefined), (error, storedMs) => {
      // If a rebalance has begun meanwhile, it answers.
      const waits = this.#state === 'Stable' && this.#generationId === generationId && member.answerJoin === answer;
      if (!waits) return;
      this.#members.setAnswerJoin(member, undefined);
      this.#touch(member, storedMs);
      // The new member id stays in any case: who had the old one is fenced. Without an answer nobody uses it, and a join
      // without a member id takes the place over once more.
      if (error !== undefined) {
        answer(failedJoin('', error));
        return;
      }
      const leads = this.#members.leader === newMemberId;
      const skipAssignment = leads && request.supportsSkippingAssignment;
      // Clients that cannot skip it must not believe that they lead: their assignment would reach nobody (KIP-814).
      const leader = leads && !request.supportsSkippingAssignment ? oldLeader! : this.#members.leader!;
      answer({ ...this.#joined(member, skipAssignment), leader, skipAssignment });
    });
  }

  /** Whether the assignment must follow what a static member says now. Owned partitions always differ after a restart. */
  #subscribesAnew(old: GroupMember, request: JoinGroupRequest): boolean {
    if (this.#protocolType !== CONSUMER_PROTOCOL_TYPE) return false;
    const before = topicsOf(metadataFor(old, this.#protocolName));
    const metadata = request.protocols.find(({ name }) => name === this.#protocolName)?.metadata;
    const after = metadata === undefined ? undefined : topicsOf(metadata);
    if (before === undefined || after === undefined) return true;
    return before.size !== after.size || [...after].some((topic) => !before.has(topic));
  }

  #hasRoomFor(memberId: string): boolean {
    const { membersMax } = this.#options;
    const member = this.#members.get(memberId);
    switch (this.#state) {
      case 'Empty':
      case 'Dead':
        return true;
      case 'PreparingRebalance':
        // Those who wait count, not the members: so a group that is too large loses who joins again last.
        return member?.answerJoin !== undefined || this.#members.awaitingJoin < membersMax;
      default:
        return member !== undefined || this.#members.size < membersMax;
    }
  }

  #supports({ protocolType, protocols }: JoinGroupRequest): boolean {
    if (protocolType === '' || protocols.length === 0) return false;
    if (this.#state === 'Empty') return true;
    return protocolType === this.#protocolType && this.#members.shareOneOf(protocols);
  }

  #awaitJoin(member: GroupMember, answer: AnswerJoin): void {
    member.answerJoin?.(failedJoin(member.memberId, new BurrowError('REBALANCE_IN_PROGRESS')));
    this.#members.setAnswerJoin(member, answer);
  }

  // Rebalancing

  /** Something has changed: begins a rebalance, or ends the one that goes on if this was what it waited for. */
  #rebalance(reason: string, nowMs: number): void {
    if (this.#state === 'PreparingRebalance') this.#maybeCompleteJoin(nowMs);
    else this.#prepareRebalance(reason, nowMs);
  }

  #prepareRebalance(reason: string, nowMs: number): void {
    if (this.#state === 'CompletingRebalance') this.#failSyncs(new BurrowError('REBALANCE_IN_PROGRESS'), nowMs);
    const isFirst = this.#state === 'Empty';
    this.#state = 'PreparingRebalance';
    this.#options.logger.info(
      { group: this.groupId, generationId: this.#generationId, members: this.#members.size, reason },
      'group rebalances',
    );
    const timeoutMs = this.#members.rebalanceTimeoutMs();
    if (!isFirst) {
      this.#startWait({ kind: 'joins', dueMs: nowMs + timeoutMs });
      this.#maybeCompleteJoin(nowMs);
      return;
    }
    const delayMs = this.#options.initialRebalanceDelayMs;
    const remainingMs = Math.max(timeoutMs - delayMs, 0);
    this.#startWait({ kind: 'first joins', dueMs: nowMs + delayMs, remainingMs, cameMore: false });
  }

  #maybeCompleteJoin(nowMs: number): void {
    const allJoined = this.#members.awaitingJoin === this.#members.size && this.#pending.size === 0;
    if (!allJoined) return;
    if (this.#wait?.kind === 'first joins' && this.#members.size > 0) return;
    this.#completeJoin(nowMs);
  }

  /** The next generation begins, with those who have joined. */
  #completeJoin(nowMs: number): void {
    for (const { memberId, answerJoin, groupInstanceId } of [...this.#members.all()]) {
      // Static members have until the end of their session to come back.
      if (answerJoin === undefined && groupInstanceId === undefined) this.#members.remove(memberId);
    }
    if (this.#members.size > 0 && !this.#members.electJoinedLeader()) {
      this.#startWait({ kind: 'joins', dueMs: nowMs + this.#members.rebalanceTimeoutMs() });
      return;
    }
    this.#generationId++;
    this.#wait = undefined;
    const { logger, store } = this.#options;
    if (this.#members.size === 0) {
      this.#state = 'Empty';
      this.#assignmentBytes = 0;
      this.#protocolName = undefined;
      this.#topics = this.#subscribedTopics();
      logger.info({ group: this.groupId, generationId: this.#generationId }, 'group is empty');
      // Should it not be stored, the last members come back at the next start and are given up one session later.
      store(this.#snapshot(undefined), () => {});
      return;
    }
    this.#state = 'CompletingRebalance';
    this.#protocolName = this.#members.selectProtocol();
    this.#topics = this.#subscribedTopics();
    logger.info(
      { group: this.groupId, generationId: this.#generationId, members: this.#members.size },
      'group has a new generation',
    );
    const memberIds = new Set<string>();
    for (const member of this.#members.all()) {
      memberIds.add(member.memberId);
      member.isNew = false;
      this.#touch(member, nowMs);
      const { answerJoin } = member;
      this.#members.setAnswerJoin(member, undefined);
      answerJoin?.(this.#joined(member, member.memberId === this.#members.leader));
    }
    this.#startWait({ kind: 'syncs', dueMs: nowMs + this.#members.rebalanceTimeoutMs(), memberIds });
  }

  // Assigning

  sync(request: SyncGroupRequest, nowMs: number, answer: AnswerSync): void {
    const member = this.#state === 'Dead' ? this.#dead() : this.#find(request);
    if (member instanceof BurrowError) {
      answer(member);
      return;
    }
    if (request.generationId !== this.#generationId) {
      answer(this.#illegalGeneration(request));
      return;
    }
    const { protocolType, protocolName } = request;
    const matches =
      (protocolType ?? this.#protocolType) === this.#protocolType &&
      (protocolName ?? this.#protocolName) === this.#protocolName;
    if (!matches) {
      answer(this.#inconsistent());
      return;
    }
    if (this.#state === 'PreparingRebalance') {
      answer(new BurrowError('REBALANCE_IN_PROGRESS'));
      return;
    }
    if (this.#wait?.kind === 'syncs') {
      this.#wait.memberIds.delete(member.memberId);
      if (this.#wait.memberIds.size === 0) this.#wait = undefined;
    }
    this.#touch(member, nowMs);
    if (this.#state === 'Stable') {
      answer(this.#assigned(member));
      return;
    }
    member.answerSync?.(new BurrowError('REBALANCE_IN_PROGRESS'));
    member.answerSync = answer;
    if (this.#members.leader === member.memberId) this.#storeAssignments(request);
  }

  #storeAssignments(request: SyncGroupRequest): void {
    const generationId = this.#generationId;
    if (this.#storingGeneration === generationId) return;
    this.#storingGeneration = generationId;
    const assignments = new Map<string, Uint8Array>();
    for (const { memberId, assignment } of request.assignments) {
      // Copied, or it would keep all of the request alive.
      if (this.#members.get(memberId) !== undefined) assignments.set(memberId, new Uint8Array(assignment));
    }
    this.#options.store(this.#snapshot(assignments), (error, nowMs) => {
      if (this.#storingGeneration === generationId) this.#storingGeneration = -1;
      // Members may have come or gone meanwhile; then they are to join again.
      if (this.#state !== 'CompletingRebalance' || this.#generationId !== generationId) return;
      if (error !== undefined) {
        this.#failSyncs(error, nowMs);
        this.#prepareRebalance(`its assignment could not be stored: ${error.message}`, nowMs);
        return;
      }
      this.#state = 'Stable';
      this.#assignmentBytes = 0;
      for (const member of this.#members.all()) {
        member.assignment = assignments.get(member.memberId) ?? NO_BYTES;
        this.#assignmentBytes += member.assignment.length;
        const { answerSync } = member;
        if (answerSync === undefined) continue;
        member.answerSync = undefined;
        this.#touch(member, nowMs);
        answerSync(this.#assigned(member));
      }
    });
  }

  #failSyncs(error: BurrowError, nowMs: number): void {
    for (const member of this.#members.all()) {
      member.assignment = NO_BYTES;
      const { answerSync } = member;
      if (answerSync === undefined) continue;
      member.answerSync = undefined;
      this.#touch(member, nowMs);
      answerSync(error);
    }
  }

  // Signs of life

  /** Per heartbeat: takes the same time however many members there are. */
  heartbeat(identity: MemberIdentity, nowMs: number): void {
    const member = this.#checkMember(identity);
    this.#touch(member, nowMs);
    if (this.#state === 'PreparingRebalance') throw new BurrowError('REBALANCE_IN_PROGRESS');
  }

  /** Throws unless such a member may commit offsets now. Per commit. */
  checkCommit(identity: MemberIdentity, nowMs: number): void {
    if (this.#state === 'Dead') throw this.#dead();
    const { memberId, generationId, groupInstanceId } = identity;
    // Whoever names no generation uses the group to keep offsets only.
    if (generationId < 0 && this.#state === 'Empty') return;
    if (generationId < 0 && memberId === '' && groupInstanceId === undefined) throw this.#unknown(memberId);
    const member = this.#checkMember(identity);
    this.#touch(member, nowMs);
    // It knows the generation, but what it commits belongs to the one before.
    if (this.#state === 'CompletingRebalance') throw new BurrowError('REBALANCE_IN_PROGRESS');
  }

  leave(leaving: LeaveGroupRequest['members'], nowMs: number): LeftMember[] {
    const before = this.#members.size;
    const left = leaving.map(({ memberId, groupInstanceId }) => {
      const error = this.#state === 'Dead' ? this.#dead() : this.#removeLeaving(memberId, groupInstanceId);
      return { memberId, groupInstanceId, error };
    });
    this.#onRemoved(before - this.#members.size, 'left', nowMs);
    return left;
  }

  #removeLeaving(memberId: string, groupInstanceId: string | undefined): BurrowError | undefined {
    if (this.#pending.delete(memberId)) return undefined;
    // Administrators name the instance only.
    const known = memberId === '' && groupInstanceId !== undefined ? this.#members.instance(groupInstanceId) : memberId;
    const member = this.#find({ memberId: known ?? '', groupInstanceId });
    if (member instanceof BurrowError) return member;
    this.#remove(member);
    return undefined;
  }

  /** Gives up who was not heard of in time and ends what has waited long enough. */
  onTime(nowMs: number): void {
    if (nowMs < this.#deadlineMs) return;
    this.#deadlineMs = NEVER;
    const before = this.#members.size;
    for (const [memberId, dueMs] of this.#pending) if (dueMs <= nowMs) this.#pending.delete(memberId);
    for (const member of [...this.#members.all()]) {
      if (member.sessionDueMs > nowMs) continue;
      // Who waits for an answer cannot be asked for more; the answer starts a new session.
      if (!member.isNew && (member.answerJoin !== undefined || member.answerSync !== undefined)) continue;
      this.#remove(member);
    }
    this.#onRemoved(before - this.#members.size, 'were not heard of in time', nowMs);
    if (this.#wait !== undefined && this.#wait.dueMs <= nowMs) this.#onWaitOver(this.#wait, nowMs);
    this.#findDeadline(nowMs);
  }

  /** Members are gone, or ids that none has come back with: then nobody else is concerned, but a rebalance may be over. */
  #onRemoved(count: number, why: string, nowMs: number): void {
    if (this.#state === 'PreparingRebalance') this.#maybeCompleteJoin(nowMs);
    else if (count > 0) this.#prepareRebalance(`${count} members ${why}`, nowMs);
  }

  #onWaitOver(wait: Wait, nowMs: number): void {
    if (wait.kind === 'joins') {
      this.#completeJoin(nowMs);
      return;
    }
    if (wait.kind === 'first joins') {
      if (!wait.cameMore || wait.remainingMs === 0) {
        this.#completeJoin(nowMs);
        return;
      }
      const delayMs = Math.min(this.#options.initialRebalanceDelayMs, wait.remainingMs);
      wait.cameMore = false;
      wait.dueMs = nowMs + delayMs;
      wait.remainingMs -= delayMs;
      return;
    }
    for (const memberId of wait.memberIds) {
      const member = this.#members.get(memberId);
      if (member !== undefined) this.#remove(member);
    }
    this.#prepareRebalance(`${wait.memberIds.size} members did not ask for their assignment`, nowMs);
  }

  // Ends

  /** Whoever waits is told why the group is gone from this node. Nothing is taken any more. */
  die(reason: BurrowError): void {
    this.#state = 'Dead';
    this.#wait = undefined;
    this.#deadlineMs = NEVER;
    this.#pending.clear();
    for (const member of this.#members.all()) {
      member.answerSync?.(reason);
      member.answerSync = undefined;
      const { answerJoin } = member;
      this.#members.setAnswerJoin(member, undefined);
      answerJoin?.(failedJoin(member.memberId, reason));
    }
  }

  /** It could not be deleted after all. It had no members. */
  revive(): void {
    this.#state = 'Empty';
  }

  /** Whether its members consume the topic; if their subscriptions cannot be read, they might. */
  isSubscribedTo(topic: string): boolean {
    return this.#topics?.has(topic) ?? this.#protocolType === CONSUMER_PROTOCOL_TYPE;
  }

  /** Undefined where unknown. */
  get subscribedTopics(): ReadonlySet<string> | undefined {
    return this.#topics;
  }

  /** As in Kafka, what members say and have is told in `Stable` only. */
  describe(): GroupDescription {
    const stable = this.#state === 'Stable';
    const protocolName = stable ? this.#protocolName : undefined;
    return {
      groupId: this.groupId,
      state: this.#state,
      protocolType: this.#protocolType ?? '',
      protocolName: protocolName ?? '',
      generationId: this.#generationId,
      leader: this.#members.leader,
      members: Array.from(this.#members.all(), (member) => ({
        memberId: member.memberId,
        groupInstanceId: member.groupInstanceId,
        clientId: member.clientId,
        clientHost: member.clientHost,
        metadata: stable ? metadataFor(member, protocolName) : NO_BYTES,
        assignment: stable ? member.assignment : NO_BYTES,
      })),
    };
  }

  #snapshot(assignments: ReadonlyMap<string, Uint8Array> | undefined): Omit<StoredGroup, 'stateTimestampMs'> {
    return {
      protocolType: this.#protocolType ?? '',
      generationId: this.#generationId,
      protocolName: this.#protocolName,
      leader: this.#members.leader,
      members: Array.from(this.#members.all(), (member) => ({
        ...member,
        subscription: metadataFor(member, this.#protocolName),
        assignment: assignments === undefined ? member.assignment : (assignments.get(member.memberId) ?? NO_BYTES),
      })),
    };
  }

  #remove(member: GroupMember): void {
    if (this.#wait?.kind === 'syncs') this.#wait.memberIds.delete(member.memberId);
    this.#members.remove(member.memberId);
    // A join that is still waiting may be alive: then it is to begin anew.
    const error = this.#unknown(member.memberId);
    member.answerJoin?.(failedJoin('', error));
    member.answerSync?.(error);
  }

  #joined(member: GroupMember, withMembers: boolean): JoinGroupOutcome {
    return {
      error: undefined,
      generationId: this.#generationId,
      protocolType: this.#protocolType,
      protocolName: this.#protocolName,
      leader: this.#members.leader!,
      skipAssignment: false,
      memberId: member.memberId,
      members: withMembers
        ? Array.from(this.#members.all(), (other) => ({
            memberId: other.memberId,
            groupInstanceId: other.groupInstanceId,
            metadata: metadataFor(other, this.#protocolName),
          }))
        : [],
    };
  }

  #assigned({ assignment }: GroupMember): SyncGroupOutcome {
    return { protocolType: this.#protocolType ?? '', protocolName: this.#protocolName ?? '', assignment };
  }

  #subscribedTopics(): ReadonlySet<string> | undefined {
    if (this.#protocolType !== CONSUMER_PROTOCOL_TYPE) return undefined;
    const all = new Set<string>();
    for (const member of this.#members.all()) {
      const topics = topicsOf(metadataFor(member, this.#protocolName));
      if (topics === undefined) return undefined;
      for (const topic of topics) all.add(topic);
    }
    return all;
  }

  // Time

  #touch(member: GroupMember, nowMs: number): void {
    if (member.isNew) return;
    member.sessionDueMs = nowMs + member.sessionTimeoutMs;
    this.#dueBy(member.sessionDueMs);
  }

  #startWait(wait: Wait): void {
    this.#wait = wait;
    this.#dueBy(wait.dueMs);
  }

  /** The deadline only comes nearer; when it has passed, the next is looked for. */
  #dueBy(dueMs: number): void {
    if (dueMs < this.#deadlineMs) this.#deadlineMs = dueMs;
  }

  #findDeadline(nowMs: number): void {
    for (const dueMs of this.#pending.values()) this.#dueBy(dueMs);
    if (this.#wait !== undefined) this.#dueBy(this.#wait.dueMs);
    // What is past waits for an answer, which will say when to look again.
    for (const { sessionDueMs } of this.#members.all()) if (sessionDueMs > nowMs) this.#dueBy(sessionDueMs);
  }

  // Refusals

  #checkMember(identity: MemberIdentity): GroupMember {
    if (this.#state === 'Dead') throw this.#dead();
    const member = this.#find(identity);
    if (member instanceof BurrowError) throw member;
    if (identity.generationId !== this.#generationId) throw this.#illegalGeneration(identity);
    return member;
  }

  #find({
    memberId,
    groupInstanceId,
  }: Pick<MemberIdentity, 'memberId' | 'groupInstanceId'>): GroupMember | BurrowError {
    if (groupInstanceId !== undefined) {
      const current = this.#members.instance(groupInstanceId);
      if (current !== undefined && current !== memberId) return this.#fenced(this.#members.get(current)!);
      if (current === undefined) return this.#unknown(memberId);
    }
    return this.#members.get(memberId) ?? this.#unknown(memberId);
  }

  #unknown(memberId: string): BurrowError {
    return new BurrowError('UNKNOWN_MEMBER', undefined, { fields: { group: this.groupId, memberId } });
  }

  #fenced({ groupInstanceId = '' }: GroupMember): BurrowError {
    return new BurrowError('FENCED_INSTANCE', undefined, { fields: { group: this.groupId, groupInstanceId } });
  }

  #illegalGeneration({ generationId }: { generationId: number }): BurrowError {
    const fields = { group: this.groupId, generationId, currentGenerationId: this.#generationId };
    return new BurrowError('ILLEGAL_GENERATION', undefined, { fields });
  }

  #inconsistent(): BurrowError {
    return new BurrowError('INCONSISTENT_GROUP_PROTOCOL', undefined, { fields: { group: this.groupId } });
  }

  #full(): BurrowError {
    const fields = { group: this.groupId, membersMax: this.#options.membersMax };
    return new BurrowError('GROUP_MAX_SIZE_REACHED', undefined, { fields });
  }

  #dead(): BurrowError {
    const text = `Group ${this.groupId} is being deleted. Retry after a moment.`;
    return new BurrowError('COORDINATOR_NOT_AVAILABLE', text, { fields: { group: this.groupId } });
  }
}

function topicsOf(metadata: Uint8Array): Set<string> | undefined {
  try {
    return new Set(decodeSubscription(metadata).topics);
  } catch {
    return undefined;
  }
}

export function failedJoin(memberId: string, error: BurrowError): JoinGroupOutcome {
  return {
    error,
    generationId: -1,
    protocolType: undefined,
    protocolName: undefined,
    leader: '',
    skipAssignment: false,
    memberId,
    members: [],
  };
}

function refuse(answer: AnswerJoin, memberId: string, error: BurrowError): void {
  answer(failedJoin(memberId, error));
}
