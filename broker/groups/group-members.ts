/**
 * The members of one group and what follows from them: which protocols all share, who leads, who is waited for, what they
 * subscribe to. Decides nothing about rebalances; that is classic-group-state.ts.
 */
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import { decodeSubscription } from '../../src/groups/consumer-protocol.ts';
import { fencedInstance, unknownMember } from './group-errors.ts';
import type { StoredMember } from './group-records.ts';
import type {
  GroupDescription,
  GroupProtocol,
  JoinGroupOutcome,
  JoinGroupRequest,
  MemberIdentity,
  SyncGroupOutcome,
} from './group-service.ts';

export const NO_BYTES = new Uint8Array(0);
/** About what a member takes in memory besides what it sends. */
const MEMBER_BYTES = 1000;

export type AnswerJoin = (outcome: JoinGroupOutcome) => void;
export type AnswerSync = (outcome: SyncGroupOutcome | BurrowError) => void;

export interface GroupMember {
  readonly memberId: string;
  readonly groupInstanceId: string | undefined;
  readonly clientId: string;
  readonly clientHost: string;
  /** In order of preference, each name once. */
  protocols: readonly GroupProtocol[];
  sessionTimeoutMs: number;
  rebalanceTimeoutMs: number;
  assignment: Uint8Array;
  /** Set while it waits for the end of the rebalance, by {@link GroupMembers.setAnswerJoin}, which counts. */
  readonly answerJoin: AnswerJoin | undefined;
  /** Set while it waits for its assignment. */
  answerSync: AnswerSync | undefined;
  /** Until its first join is answered: it may not even know its member id, and nobody expects heartbeats. */
  isNew: boolean;
  /** False from when it was read from the log until it asks for something under its id. */
  isHeardOf: boolean;
  /** When it is given up, by monotonic time, unless it is heard of. Moved by every sign of life. */
  sessionDueMs: number;
}

export class GroupMembers {
  readonly #groupId: string;
  /** In the order in which they came. */
  readonly #members = new Map<string, GroupMember>();
  /** Member ids of static members, by instance id (KIP-345). */
  readonly #instances = new Map<string, string>();
  /** Ids given to new members that have not come back with them yet (KIP-394), and when they are given up. */
  readonly pending = new Map<string, number>();
  /** How many members support a protocol. */
  readonly #supporters = new Map<string, number>();
  #awaitingJoin = 0;
  #protocolBytes = 0;
  /** Member id; the first to join, until it leaves. */
  #leader: string | undefined;

  constructor(groupId: string) {
    this.#groupId = groupId;
  }

  get size(): number {
    return this.#members.size;
  }

  /** About what they take in memory, assignments aside. */
  get bytes(): number {
    return (this.#members.size + this.pending.size) * MEMBER_BYTES + this.#protocolBytes;
  }

  get awaitingJoin(): number {
    return this.#awaitingJoin;
  }

  get allHaveJoined(): boolean {
    return this.#awaitingJoin === this.#members.size && this.pending.size === 0;
  }

  get leader(): string | undefined {
    return this.#leader;
  }

  get(memberId: string): GroupMember | undefined {
    return this.#members.get(memberId);
  }

  /**
   * @throws BurrowError UNKNOWN_MEMBER, FENCED_INSTANCE if another member has taken over the instance id. After a start nobody
   * knows that before the other was heard of: its id may have been replaced in a generation that was never stored. Whoever is
   * unknown then joins anew, whoever is fenced would end for good.
   */
  find({ memberId, groupInstanceId }: Pick<MemberIdentity, 'memberId' | 'groupInstanceId'>): GroupMember {
    const current = groupInstanceId === undefined ? memberId : this.#instances.get(groupInstanceId);
    if (groupInstanceId !== undefined && current !== undefined && current !== memberId) {
      if (this.#members.get(current)?.isHeardOf === false) throw unknownMember(this.#groupId, memberId);
      throw fencedInstance(this.#groupId, groupInstanceId);
    }
    const member = current === undefined ? undefined : this.#members.get(current);
    if (member === undefined) throw unknownMember(this.#groupId, memberId);
    return member;
  }

  /** The member id that a group instance has. */
  instance(groupInstanceId: string): string | undefined {
    return this.#instances.get(groupInstanceId);
  }

  [Symbol.iterator](): IterableIterator<GroupMember> {
    return this.#members.values();
  }

  addNew(memberId: string, request: JoinGroupRequest, answerJoin: AnswerJoin, sessionDueMs: number): void {
    const { groupInstanceId, clientId, clientHost, protocols, sessionTimeoutMs, rebalanceTimeoutMs } = request;
    this.#add({
      memberId,
      groupInstanceId,
      clientId,
      clientHost,
      protocols,
      sessionTimeoutMs,
      rebalanceTimeoutMs,
      assignment: NO_BYTES,
      answerJoin,
      answerSync: undefined,
      isNew: true,
      isHeardOf: true,
      sessionDueMs,
    });
  }

  addStored(member: StoredMember, protocolName: string, sessionDueMs: number): void {
    const { subscription, ...rest } = member;
    const protocols = [{ name: protocolName, metadata: subscription }];
    const fresh = { answerJoin: undefined, answerSync: undefined, isNew: false, isHeardOf: false };
    this.#add({ ...rest, ...fresh, protocols, sessionDueMs });
  }

  #add(member: GroupMember): void {
    this.#members.set(member.memberId, member);
    if (member.groupInstanceId !== undefined) this.#instances.set(member.groupInstanceId, member.memberId);
    this.#leader ??= member.memberId;
    if (member.answerJoin !== undefined) this.#awaitingJoin++;
    this.#count(member.protocols, 1);
  }

  remove(memberId: string): void {
    const member = this.#members.get(memberId);
    if (member === undefined) return;
    this.#members.delete(memberId);
    if (member.groupInstanceId !== undefined) this.#instances.delete(member.groupInstanceId);
    if (member.answerJoin !== undefined) this.#awaitingJoin--;
    this.#count(member.protocols, -1);
    if (this.#leader === memberId) this.#leader = this.#members.keys().next().value;
  }

  /** Gives a static member a new member id; all else stays, also its lead. */
  rename(old: GroupMember, memberId: string): GroupMember {
    const leads = this.#leader === old.memberId;
    this.remove(old.memberId);
    const member: GroupMember = { ...old, memberId, answerJoin: undefined, answerSync: undefined };
    this.#add(member);
    if (leads) this.#leader = memberId;
    return member;
  }

  /** Takes what a join says anew. */
  update(member: GroupMember, request: JoinGroupRequest): void {
    this.#count(member.protocols, -1);
    member.protocols = request.protocols;
    member.isHeardOf = true;
    this.#count(member.protocols, 1);
    member.sessionTimeoutMs = request.sessionTimeoutMs;
    member.rebalanceTimeoutMs = request.rebalanceTimeoutMs;
  }

  /** A sign of life: a new session begins, whose end is returned. */
  touch(member: GroupMember, nowMs: number): number {
    member.isHeardOf = true;
    member.sessionDueMs = nowMs + member.sessionTimeoutMs;
    return member.sessionDueMs;
  }

  setAnswerJoin(member: GroupMember, answerJoin: AnswerJoin | undefined): void {
    if (member.answerJoin !== undefined) this.#awaitingJoin--;
    if (answerJoin !== undefined) this.#awaitingJoin++;
    (member as { answerJoin: AnswerJoin | undefined }).answerJoin = answerJoin;
  }

  lead(memberId: string): void {
    if (this.#members.has(memberId)) this.#leader = memberId;
  }

  /** Sees to it that the leader is one who has joined. False if nobody has. */
  electJoinedLeader(): boolean {
    if (this.#leader !== undefined && this.#members.get(this.#leader)?.answerJoin !== undefined) return true;
    for (const member of this.#members.values()) {
      if (member.answerJoin === undefined) continue;
      this.#leader = member.memberId;
      return true;
    }
    return false;
  }

  rebalanceTimeoutMs(): number {
    let timeoutMs = 0;
    for (const member of this.#members.values()) timeoutMs = Math.max(timeoutMs, member.rebalanceTimeoutMs);
    return timeoutMs;
  }

  // Protocols

  /** Whether one of the protocols is supported by all members. */
  shareOneOf(protocols: readonly GroupProtocol[]): boolean {
    return this.size === 0 || protocols.some(({ name }) => this.#isShared(name));
  }

  /** Each member votes for the first of its protocols that all support; most votes win, the first named among equals. */
  selectProtocol(): string | undefined {
    const votes = new Map<string, number>();
    for (const { protocols } of this.#members.values()) {
      const vote = protocols.find(({ name }) => this.#isShared(name))?.name;
      if (vote !== undefined) votes.set(vote, (votes.get(vote) ?? 0) + 1);
    }
    let selected: string | undefined;
    let most = 0;
    for (const [name, count] of votes) {
      if (count <= most) continue;
      selected = name;
      most = count;
    }
    return selected;
  }

  /** What a `consumer` group subscribes to; undefined if a member's bytes cannot be read. */
  subscribedTopics(protocolName: string | undefined): ReadonlySet<string> | undefined {
    const all = new Set<string>();
    for (const member of this.#members.values()) {
      const topics = topicsOf(metadataFor(member.protocols, protocolName));
      if (topics === undefined) return undefined;
      for (const topic of topics) all.add(topic);
    }
    return all;
  }

  /** As the leader gets to know them. */
  forLeader(protocolName: string | undefined): JoinGroupOutcome['members'] {
    return Array.from(this.#members.values(), ({ memberId, groupInstanceId, protocols }) => ({
      memberId,
      groupInstanceId,
      metadata: metadataFor(protocols, protocolName),
    }));
  }

  describe(withBytes: boolean, protocolName: string | undefined): GroupDescription['members'] {
    return Array.from(this.#members.values(), (member) => ({
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      metadata: withBytes ? metadataFor(member.protocols, protocolName) : NO_BYTES,
      assignment: withBytes ? member.assignment : NO_BYTES,
    }));
  }

  /** As they are stored, with other assignments than they have where those are given. */
  toStore(
    protocolName: string | undefined,
    assignments: ReadonlyMap<string, Uint8Array> | undefined,
  ): readonly StoredMember[] {
    return Array.from(this.#members.values(), (member) => ({
      ...member,
      subscription: metadataFor(member.protocols, protocolName),
      assignment: assignments === undefined ? member.assignment : (assignments.get(member.memberId) ?? NO_BYTES),
    }));
  }

  #isShared(name: string): boolean {
    return this.#supporters.get(name) === this.#members.size;
  }

  #count(protocols: readonly GroupProtocol[], change: 1 | -1): void {
    for (const { name, metadata } of protocols) {
      this.#protocolBytes += change * (name.length + metadata.length);
      const count = (this.#supporters.get(name) ?? 0) + change;
      if (count === 0) this.#supporters.delete(name);
      else this.#supporters.set(name, count);
    }
  }
}

function metadataFor(protocols: readonly GroupProtocol[], protocolName: string | undefined): Uint8Array {
  return protocols.find(({ name }) => name === protocolName)?.metadata ?? NO_BYTES;
}

/** Whether a member says the same as before: the same protocols in the same order, with the same bytes. */
export function sameProtocols(left: readonly GroupProtocol[], right: readonly GroupProtocol[]): boolean {
  return (
    left.length === right.length &&
    left.every(({ name, metadata }, index) => {
      const other = right[index]!;
      return other.name === name && sameBytes(metadata, other.metadata);
    })
  );
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}

/** Whether two subscriptions name the same topics; if one cannot be read, they may not. */
export function sameTopics(
  left: readonly GroupProtocol[],
  right: readonly GroupProtocol[],
  protocolName: string | undefined,
): boolean {
  const before = topicsOf(metadataFor(left, protocolName));
  const after = topicsOf(metadataFor(right, protocolName));
  if (before === undefined || after === undefined || before.size !== after.size) return false;
  return [...after].every((topic) => before.has(topic));
}

function topicsOf(metadata: Uint8Array): Set<string> | undefined {
  try {
    return new Set(decodeSubscription(metadata).topics);
  } catch {
    return undefined;
  }
}
