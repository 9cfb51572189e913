/**
 * The members of one group and what follows from them: which protocols all share, who leads, who is waited for. Decides
 * nothing about rebalances; that is classic-group-state.ts.
 */

import type { BurrowError } from '../../src/errors/burrow-error.ts';
import type { GroupProtocol, JoinGroupOutcome, JoinGroupRequest, SyncGroupOutcome } from './group-service.ts';

const NO_BYTES = new Uint8Array(0);

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
  /** Set while it waits for the end of the rebalance. Set by {@link GroupMembers} only, which counts them. */
  answerJoin: AnswerJoin | undefined;
  /** Set while it waits for its assignment. */
  answerSync: AnswerSync | undefined;
  /** Until its first join is answered it knows no member id, and cannot send heartbeats. */
  isNew: boolean;
  /** When it is given up, by monotonic time, unless it is heard of. Moved by every sign of life. */
  sessionDueMs: number;
}

export function newMember(memberId: string, request: JoinGroupRequest): GroupMember {
  return {
    memberId,
    groupInstanceId: request.groupInstanceId,
    clientId: request.clientId,
    clientHost: request.clientHost,
    protocols: request.protocols,
    sessionTimeoutMs: request.sessionTimeoutMs,
    rebalanceTimeoutMs: request.rebalanceTimeoutMs,
    assignment: NO_BYTES,
    answerJoin: undefined,
    answerSync: undefined,
    isNew: false,
    sessionDueMs: Number.POSITIVE_INFINITY,
  };
}

export class GroupMembers {
  /** In the order in which they came. */
  readonly #members = new Map<string, GroupMember>();
  /** Member ids of static members, by instance id (KIP-345). */
  readonly #instances = new Map<string, string>();
  /** How many members support a protocol. */
  readonly #supporters = new Map<string, number>();
  #awaitingJoin = 0;
  #protocolBytes = 0;
  /** Member id; the first to join, until it leaves. */
  #leader: string | undefined;

  get size(): number {
    return this.#members.size;
  }

  /** What the protocols of all members take, as they sent them. */
  get protocolBytes(): number {
    return this.#protocolBytes;
  }

  get awaitingJoin(): number {
    return this.#awaitingJoin;
  }

  get leader(): string | undefined {
    return this.#leader;
  }

  get(memberId: string): GroupMember | undefined {
    return this.#members.get(memberId);
  }

  /** The member id that a group instance has. */
  instance(groupInstanceId: string): string | undefined {
    return this.#instances.get(groupInstanceId);
  }

  all(): IterableIterator<GroupMember> {
    return this.#members.values();
  }

  add(member: GroupMember): void {
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
  rename(oldMemberId: string, newMemberId: string): GroupMember {
    const leads = this.#leader === oldMemberId;
    const old = this.#members.get(oldMemberId)!;
    this.remove(oldMemberId);
    const member: GroupMember = { ...old, memberId: newMemberId, answerJoin: undefined, answerSync: undefined };
    this.add(member);
    if (leads) this.#leader = newMemberId;
    return member;
  }

  restoreLeader(memberId: string | undefined): void {
    if (memberId !== undefined && this.#members.has(memberId)) this.#leader = memberId;
  }

  /** Takes what a join says anew. */
  update(member: GroupMember, request: JoinGroupRequest): void {
    this.#count(member.protocols, -1);
    member.protocols = request.protocols;
    this.#count(member.protocols, 1);
    member.sessionTimeoutMs = request.sessionTimeoutMs;
    member.rebalanceTimeoutMs = request.rebalanceTimeoutMs;
  }

  setAnswerJoin(member: GroupMember, answerJoin: AnswerJoin | undefined): void {
    if (member.answerJoin !== undefined) this.#awaitingJoin--;
    if (answerJoin !== undefined) this.#awaitingJoin++;
    member.answerJoin = answerJoin;
  }

  /** Sees to it that the leader is one who has joined. False if nobody has. */
  electJoinedLeader(): boolean {
    const leader = this.#leader === undefined ? undefined : this.#members.get(this.#leader);
    if (leader?.answerJoin !== undefined) return true;
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
    for (const [name, count] of votes) {
      if (selected === undefined || count > votes.get(selected)!) selected = name;
    }
    return selected;
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

export function metadataFor({ protocols }: GroupMember, protocolName: string | undefined): Uint8Array {
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
