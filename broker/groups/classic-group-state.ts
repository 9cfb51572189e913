/**
 * One classic consumer group: who is a member, when it rebalances, in which generation it is. The rules and the error of
 * every case are those of Kafka's coordinator (ClassicGroup and the classic parts of GroupMetadataManager in Kafka 4).
 * Knows no offsets, no log and no clock: it is told the time (monotonic, in ms), hands what must last to `store`, and
 * answers joins and syncs through the functions that came with them.
 *
 *     Empty ── first join ──> PreparingRebalance ── all have joined, or time is up ──> CompletingRebalance
 *       ^                      │   ^                                                        │
 *       └── nobody is left ────┘   └── join, leave, death of a member ── Stable <── the leader's assignment is stored
 *
 * Where it differs from Kafka: a static member that comes back to a full group is let in; one that comes back with other topics
 * causes a rebalance; a leader's second assignment of a generation is not stored while the first is on its way; a repeated join
 * or sync ends the first one; ids promised to new members are limited, and giving one back leaves the members in peace; after
 * a start a static id may be unknown rather than fenced (group-members.ts).
 */
import { BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import { CONSUMER_PROTOCOL_TYPE } from '../../src/groups/consumer-protocol.ts';
import type { Logger } from '../ports/logger.ts';
import {
  failedJoin,
  fencedInstance,
  groupBeingDeleted,
  groupFull,
  illegalGeneration,
  inconsistentProtocol,
  rebalanceInProgress,
  unknownMember,
} from './group-errors.ts';
import {
  type AnswerJoin,
  type AnswerSync,
  type GroupMember,
  GroupMembers,
  NO_BYTES,
  sameProtocols,
  sameTopics,
} from './group-members.ts';
import type { GroupToStore, StoredGroup } from './group-records.ts';
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
const NEVER = Number.POSITIVE_INFINITY;

export type OnStored = (error: BurrowError | undefined, nowMs: number) => void;

export interface ClassicGroupOptions {
  readonly groupId: string;
  /** How long the first members of a group wait for others; starts again while others come, up to the rebalance timeout. */
  readonly initialRebalanceDelayMs: number;
  readonly membersMax: number;
  /** Makes it durable and calls back, later. */
  readonly store: (group: GroupToStore, onStored: OnStored) => void;
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
  readonly #members: GroupMembers;
  #state: GroupState = 'Empty';
  /** Invariant: never goes back. Moved at the end of each rebalance. */
  #generationId = 0;
  #protocolType: string | undefined;
  #protocolName: string | undefined;
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
    this.#members = new GroupMembers(options.groupId);
    this.#options = options;
  }

  get state(): GroupState {
    return this.#state;
  }

  get protocolType(): string | undefined {
    return this.#protocolType;
  }

  /** About what it takes in memory. */
  get bytes(): number {
    return this.#members.bytes + this.#assignmentBytes;
  }

  /** No members, and no ids promised to any. */
  get isDeserted(): boolean {
    return this.#state === 'Empty' && this.#members.pending.size === 0;
  }

  /** Deserted, and nothing about it was ever stored. */
  get isUnused(): boolean {
    return this.isDeserted && this.#generationId === 0;
  }

  /** Nothing happens by itself before; may be too early, never too late. */
  get deadlineMs(): number {
    return this.#deadlineMs;
  }

  /** Takes what the log says about it. */
  restore(stored: StoredGroup, nowMs: number): void {
    const { protocolType, protocolName, members, leader } = stored;
    this.#generationId = stored.generationId;
    this.#protocolType = protocolType === '' ? undefined : protocolType;
    this.#protocolName = protocolName;
    for (const member of members) {
      this.#assignmentBytes += member.assignment.length;
      // Whoever lives has a whole session to say so.
      this.#members.addStored(member, protocolName ?? '', nowMs + member.sessionTimeoutMs);
      this.#dueBy(nowMs + member.sessionTimeoutMs);
    }
    if (leader !== undefined) this.#members.lead(leader);
    this.#findTopics();
    if (members.length === 0) return;
    this.#state = 'Stable';
    if (members.length > this.#options.membersMax) this.#prepareRebalance('more members than allowed', nowMs);
  }

  // Joining

  /** `newMemberId` is used if the group takes in someone new. */
  join(request: JoinGroupRequest, newMemberId: string, nowMs: number, answer: AnswerJoin): void {
    try {
      this.#join(request, newMemberId, nowMs, answer);
    } catch (thrown) {
      const error = toBurrowError(thrown);
      const promised = error.code === 'MEMBER_ID_REQUIRED' ? newMemberId : request.memberId;
      answer(failedJoin(error.code === 'GROUP_MAX_SIZE_REACHED' ? '' : promised, error));
    }
  }

  #join(request: JoinGroupRequest, newMemberId: string, nowMs: number, answer: AnswerJoin): void {
    const { memberId, groupInstanceId, protocols, protocolType, sessionTimeoutMs } = request;
    const { membersMax } = this.#options;
    const { pending } = this.#members;
    if (this.#state === 'Dead') throw groupBeingDeleted(this.groupId);
    const instance = groupInstanceId === undefined ? undefined : this.#members.instance(groupInstanceId);
    const comesBack = memberId === '' && instance !== undefined;
    if (!comesBack && !this.#hasRoomFor(memberId)) {
      this.#members.remove(memberId);
      pending.delete(memberId);
      this.#onRemoved(0, '', nowMs);
      throw groupFull(this.groupId, membersMax);
    }
    const fits = protocolType === this.#protocolType && this.#members.shareOneOf(protocols);
    if (protocolType === '' || protocols.length === 0 || (this.#state !== 'Empty' && !fits)) {
      throw inconsistentProtocol(this.groupId);
    }
    if (comesBack) {
      this.#replaceStatic(request, this.#members.get(instance)!, newMemberId, nowMs, answer);
    } else if (memberId !== '' && !(groupInstanceId === undefined && pending.has(memberId))) {
      this.#joinAgain(request, nowMs, answer);
    } else if (memberId === '' && groupInstanceId === undefined && request.requiresKnownMemberId) {
      // Only who proves that it got the answer becomes a member: retries of lost joins leave no dead members behind.
      if (pending.size >= membersMax) throw groupFull(this.groupId, membersMax);
      pending.set(newMemberId, nowMs + sessionTimeoutMs);
      this.#dueBy(nowMs + sessionTimeoutMs);
      throw new BurrowError('MEMBER_ID_REQUIRED');
    } else {
      pending.delete(memberId);
      this.#addMember(request, memberId === '' ? newMemberId : memberId, nowMs, answer);
    }
  }

  #addMember(request: JoinGroupRequest, memberId: string, nowMs: number, answer: AnswerJoin): void {
    if (this.#members.size === 0) this.#protocolType = request.protocolType;
    const dueMs = nowMs + NEW_MEMBER_JOIN_TIMEOUT_MS;
    this.#members.addNew(memberId, request, answer, dueMs);
    this.#dueBy(dueMs);
    if (this.#wait?.kind === 'first joins') this.#wait.cameMore = true;
    this.#rebalance(`new member ${memberId}: ${request.reason ?? 'no reason given'}`, nowMs);
  }

  #joinAgain(request: JoinGroupRequest, nowMs: number, answer: AnswerJoin): void {
    const member = this.#members.find(request);
    const { memberId } = member;
    const changed = !sameProtocols(member.protocols, request.protocols);
    const leads = this.#members.leader === memberId;
    // A leader that joins wants a new assignment: what it assigns may have changed.
    if (this.#state === 'PreparingRebalance' || changed || (this.#state === 'Stable' && leads)) {
      this.#members.update(member, request);
      this.#awaitJoin(member, answer);
      this.#rebalance(`member ${memberId} joins again: ${request.reason ?? 'no reason given'}`, nowMs);
      return;
    }
    // It missed the answer of this generation, which it gets again.
    this.#touch(member, nowMs);
    answer(this.#joined(member, leads));
  }

  /** A static member is back without its member id (KIP-345): it takes its place over, and whoever had it is fenced. */
  #replaceStatic(
    request: JoinGroupRequest,
    old: GroupMember,
    newMemberId: string,
    nowMs: number,
    answer: AnswerJoin,
  ): void {
    const fenced = fencedInstance(this.groupId, request.groupInstanceId!);
    old.answerJoin?.(failedJoin(old.memberId, fenced));
    old.answerSync?.(fenced);
    const oldLeader = this.#members.leader!;
    // The assignment must follow its topics. Nothing else counts: what it owned is different after every restart.
    const changed =
      this.#protocolType === CONSUMER_PROTOCOL_TYPE &&
      !sameTopics(old.protocols, request.protocols, this.#protocolName);
    if (this.#wait?.kind === 'syncs') this.#wait.memberIds.delete(old.memberId);
    const member = this.#members.rename(old, newMemberId);
    this.#members.update(member, request);
    this.#touch(member, nowMs);
    this.#awaitJoin(member, answer);
    const reason = `static member ${request.groupInstanceId} is back: ${request.reason ?? 'no reason given'}`;
    if (this.#state !== 'Stable' || changed || this.#members.selectProtocol() !== this.#protocolName) {
      // Also while the leader assigns: it knows the old member id, for which nobody will ask.
      this.#rebalance(reason, nowMs);
      return;
    }
    const generationId = this.#generationId;
    this.#options.logger.info({ group: this.groupId, reason }, 'a static member takes its place over');
    this.#options.store(this.#toStore(undefined), (error, storedMs) => {
      // If a rebalance has begun meanwhile, it answers.
      const waits = this.#state === 'Stable' && this.#generationId === generationId && member.answerJoin === answer;
      if (!waits) return;
      this.#members.setAnswerJoin(member, undefined);
      this.#touch(member, storedMs);
      if (error !== undefined) {
        // The new member id stays: who had the old one is fenced. A join without a member id takes the place over again.
        answer(failedJoin('', error));
        return;
      }
      const leads = this.#members.leader === newMemberId;
      const skipAssignment = leads && request.supportsSkippingAssignment;
      // Clients that cannot skip it must not believe that they lead: their assignment would reach nobody (KIP-814).
      const leader = leads && !skipAssignment ? oldLeader : this.#members.leader!;
      answer({ ...this.#joined(member, skipAssignment), leader, skipAssignment });
    });
  }

  #hasRoomFor(memberId: string): boolean {
    const { membersMax } = this.#options;
    const member = this.#members.get(memberId);
    if (this.#state === 'Empty') return true;
    if (this.#state !== 'PreparingRebalance') return member !== undefined || this.#members.size < membersMax;
    // Those who wait count, not the members: so a group that is too large loses who joins again last.
    return member?.answerJoin !== undefined || this.#members.awaitingJoin < membersMax;
  }

  #awaitJoin(member: GroupMember, answer: AnswerJoin): void {
    member.answerJoin?.(failedJoin(member.memberId, rebalanceInProgress(this.groupId)));
    this.#members.setAnswerJoin(member, answer);
  }

  // Rebalancing

  /** Something has changed: begins a rebalance, or ends the one that goes on if this was what it waited for. */
  #rebalance(reason: string, nowMs: number): void {
    if (this.#state === 'PreparingRebalance') this.#maybeCompleteJoin(nowMs);
    else this.#prepareRebalance(reason, nowMs);
  }

  #prepareRebalance(reason: string, nowMs: number): void {
    if (this.#state === 'CompletingRebalance') this.#failSyncs(rebalanceInProgress(this.groupId), nowMs);
    const isFirst = this.#state === 'Empty';
    this.#state = 'PreparingRebalance';
    const { logger, initialRebalanceDelayMs: delayMs } = this.#options;
    const facts = { group: this.groupId, generationId: this.#generationId, members: this.#members.size, reason };
    logger.info(facts, 'group rebalances');
    const timeoutMs = this.#members.rebalanceTimeoutMs();
    if (isFirst) {
      const remainingMs = Math.max(timeoutMs - delayMs, 0);
      this.#startWait({ kind: 'first joins', dueMs: nowMs + delayMs, remainingMs, cameMore: false });
      return;
    }
    this.#startWait({ kind: 'joins', dueMs: nowMs + timeoutMs });
    this.#maybeCompleteJoin(nowMs);
  }

  #maybeCompleteJoin(nowMs: number): void {
    if (!this.#members.allHaveJoined) return;
    if (this.#wait?.kind === 'first joins' && this.#members.size > 0) return;
    this.#completeJoin(nowMs);
  }

  /** The next generation begins, with those who have joined. */
  #completeJoin(nowMs: number): void {
    for (const { memberId, answerJoin, groupInstanceId } of [...this.#members]) {
      // Static members have until the end of their session to come back.
      if (answerJoin === undefined && groupInstanceId === undefined) this.#members.remove(memberId);
    }
    if (this.#members.size > 0 && !this.#members.electJoinedLeader()) {
      this.#startWait({ kind: 'joins', dueMs: nowMs + this.#members.rebalanceTimeoutMs() });
      return;
    }
    this.#generationId++;
    this.#wait = undefined;
    this.#protocolName = this.#members.selectProtocol();
    this.#findTopics();
    const facts = { group: this.groupId, generationId: this.#generationId, members: this.#members.size };
    this.#options.logger.info(facts, 'group has a new generation');
    if (this.#members.size === 0) {
      this.#state = 'Empty';
      this.#assignmentBytes = 0;
      // Should it not be stored, the last members come back at the next start and are given up one session later.
      this.#options.store(this.#toStore(undefined), () => {});
      return;
    }
    this.#state = 'CompletingRebalance';
    const memberIds = new Set<string>();
    for (const member of this.#members) {
      const { memberId, answerJoin } = member;
      memberIds.add(memberId);
      member.isNew = false;
      this.#touch(member, nowMs);
      this.#members.setAnswerJoin(member, undefined);
      answerJoin?.(this.#joined(member, memberId === this.#members.leader));
    }
    this.#startWait({ kind: 'syncs', dueMs: nowMs + this.#members.rebalanceTimeoutMs(), memberIds });
  }

  // Assigning

  sync(request: SyncGroupRequest, nowMs: number, answer: AnswerSync): void {
    const member = this.#checkMember(request);
    const { protocolType = this.#protocolType, protocolName = this.#protocolName } = request;
    if (protocolType !== this.#protocolType || protocolName !== this.#protocolName) {
      throw inconsistentProtocol(this.groupId);
    }
    if (this.#state === 'PreparingRebalance') throw rebalanceInProgress(this.groupId);
    if (this.#wait?.kind === 'syncs') {
      this.#wait.memberIds.delete(member.memberId);
      if (this.#wait.memberIds.size === 0) this.#wait = undefined;
    }
    member.answerSync?.(rebalanceInProgress(this.groupId));
    member.answerSync = answer;
    if (this.#state === 'Stable') this.#endSync(member, this.#assigned(member), nowMs);
    else if (this.#members.leader === member.memberId) this.#storeAssignments(request);
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
    this.#options.store(this.#toStore(assignments), (error, nowMs) => {
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
      for (const member of this.#members) {
        member.assignment = assignments.get(member.memberId) ?? NO_BYTES;
        this.#assignmentBytes += member.assignment.length;
        this.#endSync(member, this.#assigned(member), nowMs);
      }
    });
  }

  #failSyncs(error: BurrowError, nowMs: number): void {
    for (const member of this.#members) {
      member.assignment = NO_BYTES;
      this.#endSync(member, error, nowMs);
    }
  }

  #endSync(member: GroupMember, outcome: SyncGroupOutcome | BurrowError, nowMs: number): void {
    const { answerSync } = member;
    if (answerSync === undefined) return;
    member.answerSync = undefined;
    this.#touch(member, nowMs);
    answerSync(outcome);
  }

  // Signs of life

  /** Per heartbeat: takes the same time however many members there are. */
  heartbeat(identity: MemberIdentity, nowMs: number): void {
    this.#touch(this.#checkMember(identity), nowMs);
    if (this.#state === 'PreparingRebalance') throw rebalanceInProgress(this.groupId);
  }

  /** Throws unless such a member may commit offsets now. Per commit. */
  checkCommit(identity: MemberIdentity, nowMs: number): void {
    if (this.#state === 'Dead') throw groupBeingDeleted(this.groupId);
    // Whoever names no generation uses the group to keep offsets only.
    if (identity.generationId < 0 && this.#state === 'Empty') return;
    this.#touch(this.#checkMember(identity), nowMs);
    // It knows the generation, but what it commits belongs to the one before.
    if (this.#state === 'CompletingRebalance') throw rebalanceInProgress(this.groupId);
  }

  leave(leaving: LeaveGroupRequest['members'], nowMs: number): LeftMember[] {
    const before = this.#members.size;
    const left = leaving.map(({ memberId, groupInstanceId }): LeftMember => {
      try {
        this.#removeLeaving(memberId, groupInstanceId);
        return { memberId, groupInstanceId, error: undefined };
      } catch (error) {
        return { memberId, groupInstanceId, error: toBurrowError(error) };
      }
    });
    this.#onRemoved(before - this.#members.size, 'left', nowMs);
    return left;
  }

  #removeLeaving(memberId: string, groupInstanceId: string | undefined): void {
    if (this.#state === 'Dead') throw groupBeingDeleted(this.groupId);
    if (this.#members.pending.delete(memberId)) return;
    // Administrators name the instance only.
    const instance = groupInstanceId === undefined ? undefined : this.#members.instance(groupInstanceId);
    this.#remove(this.#members.find({ memberId: memberId === '' ? (instance ?? '') : memberId, groupInstanceId }));
  }

  /** Gives up who was not heard of in time and ends what has waited long enough. */
  onTime(nowMs: number): void {
    if (nowMs < this.#deadlineMs) return;
    this.#deadlineMs = NEVER;
    const before = this.#members.size;
    const { pending } = this.#members;
    for (const [memberId, dueMs] of pending) if (dueMs <= nowMs) pending.delete(memberId);
    for (const member of [...this.#members]) {
      if (member.sessionDueMs > nowMs) continue;
      // Who waits for an answer cannot be asked for more; the answer starts a new session.
      if (!member.isNew && (member.answerJoin !== undefined || member.answerSync !== undefined)) continue;
      this.#remove(member);
    }
    this.#onRemoved(before - this.#members.size, 'were not heard of in time', nowMs);
    if (this.#wait !== undefined && this.#wait.dueMs <= nowMs) this.#onWaitOver(this.#wait, nowMs);
    this.#findDeadline(nowMs);
  }

  #onWaitOver(wait: Wait, nowMs: number): void {
    if (wait.kind === 'syncs') {
      for (const memberId of wait.memberIds) this.#members.remove(memberId);
      this.#prepareRebalance(`${wait.memberIds.size} members did not ask for their assignment`, nowMs);
    } else if (wait.kind === 'first joins' && wait.cameMore && wait.remainingMs > 0) {
      const delayMs = Math.min(this.#options.initialRebalanceDelayMs, wait.remainingMs);
      wait.cameMore = false;
      wait.dueMs = nowMs + delayMs;
      wait.remainingMs -= delayMs;
    } else this.#completeJoin(nowMs);
  }

  #remove(member: GroupMember): void {
    if (this.#wait?.kind === 'syncs') this.#wait.memberIds.delete(member.memberId);
    this.#members.remove(member.memberId);
    // A join that is still waiting may be alive: then it is to begin anew.
    const error = unknownMember(this.groupId, member.memberId);
    member.answerJoin?.(failedJoin('', error));
    member.answerSync?.(error);
  }

  /** Members are gone, or ids that none has come back with: then nobody else is concerned, but a rebalance may be over. */
  #onRemoved(count: number, why: string, nowMs: number): void {
    if (this.#state === 'PreparingRebalance') this.#maybeCompleteJoin(nowMs);
    else if (count > 0) this.#prepareRebalance(`${count} members ${why}`, nowMs);
  }

  // Ends

  /** Whoever waits is told why the group is gone from this node. Nothing is taken any more. */
  die(reason: BurrowError): void {
    this.#state = 'Dead';
    this.#wait = undefined;
    this.#deadlineMs = NEVER;
    this.#members.pending.clear();
    for (const member of this.#members) {
      const { answerJoin, answerSync } = member;
      member.answerSync = undefined;
      this.#members.setAnswerJoin(member, undefined);
      answerSync?.(reason);
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

  /** As in Kafka, what members say and have is told in `Stable` only. */
  describe(): GroupDescription {
    const stable = this.#state === 'Stable';
    return {
      groupId: this.groupId,
      state: this.#state,
      protocolType: this.#protocolType ?? '',
      protocolName: (stable ? this.#protocolName : undefined) ?? '',
      generationId: this.#generationId,
      leader: this.#members.leader,
      members: this.#members.describe(stable, this.#protocolName),
    };
  }

  #toStore(assignments: ReadonlyMap<string, Uint8Array> | undefined): GroupToStore {
    return {
      protocolType: this.#protocolType ?? '',
      generationId: this.#generationId,
      protocolName: this.#protocolName,
      leader: this.#members.leader,
      members: this.#members.toStore(this.#protocolName, assignments),
    };
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
      members: withMembers ? this.#members.forLeader(this.#protocolName) : [],
    };
  }

  #assigned({ assignment }: GroupMember): SyncGroupOutcome {
    return { protocolType: this.#protocolType ?? '', protocolName: this.#protocolName ?? '', assignment };
  }

  #findTopics(): void {
    const isKnown = this.#protocolType === CONSUMER_PROTOCOL_TYPE;
    this.#topics = isKnown ? this.#members.subscribedTopics(this.#protocolName) : undefined;
  }

  #checkMember(identity: MemberIdentity | SyncGroupRequest): GroupMember {
    if (this.#state === 'Dead') throw groupBeingDeleted(this.groupId);
    const member = this.#members.find(identity);
    const { generationId } = identity;
    if (generationId === this.#generationId) return member;
    throw illegalGeneration(this.groupId, generationId, this.#generationId);
  }

  // Time

  #touch(member: GroupMember, nowMs: number): void {
    if (!member.isNew) this.#dueBy(this.#members.touch(member, nowMs));
  }

  #startWait(wait: Wait): void {
    this.#wait = wait;
    this.#dueBy(wait.dueMs);
  }

  /** The deadline only comes nearer; when it has passed, the next is looked for. So a sign of life costs nothing here. */
  #dueBy(dueMs: number): void {
    if (dueMs < this.#deadlineMs) this.#deadlineMs = dueMs;
  }

  #findDeadline(nowMs: number): void {
    for (const dueMs of this.#members.pending.values()) this.#dueBy(dueMs);
    if (this.#wait !== undefined) this.#dueBy(this.#wait.dueMs);
    // What is past waits for an answer, which will say when to look again.
    for (const { sessionDueMs } of this.#members) if (sessionDueMs > nowMs) this.#dueBy(sessionDueMs);
  }
}
