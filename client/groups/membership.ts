/**
 * Membership in a consumer group, for whoever consumes: joins, takes its part in rebalances, sends heartbeats, commits. One loop
 * goes from rebalance to rebalance; everything else only tells it that another one is due.
 *
 *     ┌──> due? ──> give up what must be ──> join ──> (leader: assign) ──> sync ──> tell what changed ──┐
 *     └─────────────────────────────────────────────────────────────────────────────────────────────────┘
 *
 * With eager assignors a member gives up everything before it joins; with cooperative ones (KIP-429) it keeps what it has, gives
 * up what the new assignment lacks, and then joins once more so that others may get it.
 * It fetches no records and decides nothing about offsets.
 */
import { BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import type { ErrorName } from '../../src/errors/table.ts';
import { backoffDelayMs } from '../backoff.ts';
import { partitionKey, type TopicPartition } from '../topic-partition.ts';
import type { Assignor, AssignorName } from './assignors/assignor.ts';
import { assignorByName } from './assignors/assignors.ts';
import { CoordinatorLink } from './coordinator-link.ts';
import type { CommittedOffset, GroupHost, JoinAnswer, MemberIdentity, OffsetToCommit } from './group-host.ts';
import {
  groupMembers,
  joinProtocols,
  type LastAssignment,
  readAssignment,
  without,
  writeAssignments,
} from './group-protocol.ts';
import { Heartbeats } from './heartbeats.ts';
import { Holdings } from './holdings.ts';
import { OffsetCommitter } from './offset-committer.ts';
import { Signal } from './signal.ts';
import { type Subscription, TopicWatch } from './topic-watch.ts';

/** One at a time, never two at once; the rebalance waits for them. What they throw goes to `onError`. */
export interface MembershipCallbacks {
  /** These are given up, and may still be committed. Nothing else happens until it is done. */
  onRevoked(partitions: readonly TopicPartition[]): Promise<void> | void;
  /** These are new; those that stay are not named. Called at the end of every rebalance, also with an empty list. */
  onAssigned(partitions: readonly TopicPartition[]): Promise<void> | void;
  /** These may be with others already: nothing can be committed. */
  onLost(partitions: readonly TopicPartition[]): Promise<void> | void;
  /** Something to tell the user. After a `fatal` one the membership is over; its partitions are lost. */
  onError(error: BurrowError, fatal: boolean): void;
}

export interface MembershipOptions {
  readonly groupId: string;
  readonly subscription: Subscription;
  /** In the order of preference, at least one; the group uses one that all its members know. */
  readonly assignors: readonly AssignorName[];
  /** Without a heartbeat for this long, the member is taken for dead. */
  readonly sessionTimeoutMs: number;
  /** How long members may take to give up what they have when a rebalance begins. */
  readonly rebalanceTimeoutMs: number;
  readonly heartbeatIntervalMs: number;
  /** How often topics are looked at for new partitions and new names. */
  readonly topicRefreshMs: number;
  /** Static membership: a member that comes back under this name takes its old place without a rebalance (KIP-345). */
  readonly groupInstanceId?: string | undefined;
  readonly callbacks: MembershipCallbacks;
}

/** After these the member has to join again, and may have lost what it had. */
const MEMBERSHIP_LOST: ReadonlySet<ErrorName> = new Set<ErrorName>(['UNKNOWN_MEMBER', 'ILLEGAL_GENERATION']);

/** `askedIn`: the generation in which the user asked for it. */
interface AskedOffset extends OffsetToCommit {
  readonly askedIn: number;
}

const NOTHING: LastAssignment = { partitions: [], generationId: -1 };

export class GroupMembership {
  readonly #host: GroupHost;
  readonly #options: MembershipOptions;
  readonly #assignors: readonly Assignor[];
  readonly #cooperative: boolean;
  readonly #coordinator: CoordinatorLink;
  readonly #committer: OffsetCommitter<AskedOffset>;
  readonly #topics: TopicWatch;
  #memberId = '';
  #generationId = -1;
  #assignment: readonly TopicPartition[] = [];
  #last: LastAssignment = NOTHING;
  readonly #holdings = new Holdings();
  #heartbeats: Heartbeats | undefined;
  /** Since when there are no heartbeats, in monotonic milliseconds. */
  #silentSinceMs = 0;
  /** Why a rebalance is due; undefined if none is. */
  #due: string | undefined = 'a new member';
  /** The coordinator no longer counts on this member: what is assigned is lost once the loop comes around. */
  #isLost: boolean = false;
  #inCallback: boolean = false;
  #suspended: boolean = false;
  #leaving: boolean = false;
  #fatalError: BurrowError | undefined;
  /** The loop; resolves when it has ended, never rejects. */
  #running: Promise<void> | undefined;
  #left: Promise<void> | undefined;
  /** Something is due: for the loop, which may wait for an answer that takes minutes. */
  readonly #changed = new Signal();
  /** A rebalance is over, or the membership: for commits that wait for that. */
  readonly #settled = new Signal();

  constructor(host: GroupHost, options: MembershipOptions) {
    this.#host = host;
    this.#options = options;
    this.#assignors = options.assignors.map((name) => assignorByName(name)!);
    // Only if all are: a group that goes from one kind to the other has both for a while, and eager is what all can do.
    this.#cooperative = this.#assignors.every(({ cooperative }) => cooperative);
    this.#coordinator = new CoordinatorLink(host, options.groupId);
    this.#committer = new OffsetCommitter((offsets) => this.#sendCommit(offsets));
    this.#topics = new TopicWatch(host, {
      subscription: options.subscription,
      refreshMs: options.topicRefreshMs,
      onChanged: (reason) => this.#requestRebalance(reason),
      onMissing: (error) => options.callbacks.onError(error, false),
    });
  }

  /** What is consumed now, by topic and partition. */
  get assignment(): readonly TopicPartition[] {
    return this.#assignment;
  }

  /** -1 while not a member. */
  get generationId(): number {
    return this.#generationId;
  }

  /** Empty while not a member. */
  get memberId(): string {
    return this.#memberId;
  }

  /** Joins, and goes on by itself until {@link GroupMembership.leave}. */
  start(): void {
    this.#running ??= this.#run();
  }

  /**
   * Resolves when stored. Repeats what may pass, also over a rebalance after which the partitions are still this member's.
   * Rejects with ILLEGAL_GENERATION or UNKNOWN_MEMBER where they are not, or others may have had them meanwhile.
   */
  commit(offsets: readonly OffsetToCommit[]): Promise<void> {
    const askedIn = this.#generationId;
    return this.#committer.commit(offsets.map((offset) => ({ ...offset, askedIn })));
  }

  /** In the order asked. */
  async committed(partitions: readonly TopicPartition[]): Promise<readonly CommittedOffset[]> {
    if (partitions.length === 0) return [];
    const { groupId } = this.#options;
    return this.#coordinator.retrying(this.#host.requestTimeoutMs, (nodeId) =>
      this.#host.fetchOffsets(nodeId, groupId, partitions),
    );
  }

  /** Out of the group until {@link GroupMembership.resume}, with `onLost` for all: for a consumer that stopped reading. */
  suspend(): void {
    if (this.#suspended) return;
    this.#suspended = true;
    this.#changed.notify();
  }

  resume(): void {
    if (!this.#suspended) return;
    this.#suspended = false;
    this.#requestRebalance('reading again');
  }

  /**
   * `onRevoked` for all, then leaves; static members stay in the group until their session times out, so that they may come
   * back. Idempotent, never rejects. Do not await it in a callback, for which it waits.
   */
  leave(): Promise<void> {
    this.#left ??= this.#leave();
    return this.#left;
  }

  async #leave(): Promise<void> {
    this.#leaving = true;
    this.#changed.notify();
    await this.#running;
    if (this.#isLost) await this.#loseAll();
    else await this.#revoke(this.#assignment);
    await this.#leaveGroup('the consumer was closed');
    this.#settled.notify();
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#isOver) {
      try {
        if (this.#isLost) await this.#loseAll();
        if (this.#suspended) await this.#stayOut();
        else if (this.#due === undefined) await this.#changed.wait();
        else await this.#rebalance();
        failures = 0;
      } catch (thrown) {
        const error = toBurrowError(thrown);
        this.#settled.notify();
        if (!this.#isOver && this.#onRebalanceFailed(error)) {
          // Not after the delay: what is lost may not be consumed any longer.
          if (this.#isLost) await this.#loseAll();
          const delayMs = backoffDelayMs(this.#host.backoff, failures, this.#host.clock.random());
          failures += 1;
          await this.#changed.wait(this.#host.clock, delayMs);
        }
      }
    }
    this.#topics.stop();
    if (this.#fatalError !== undefined) await this.#loseAll();
  }

  get #isOver(): boolean {
    return this.#leaving || this.#fatalError !== undefined;
  }

  #requestRebalance(reason: string): void {
    this.#due ??= reason;
    this.#changed.notify();
  }

  async #rebalance(): Promise<void> {
    const reason = this.#due!;
    const topics = await this.#orInterrupted(this.#topics.subscribe());
    await this.#giveUpBefore(topics);
    // Whatever asks for another one from here on gets another one.
    this.#due = undefined;
    // The join is awaited by the coordinator itself; a heartbeat meanwhile would name a generation that is going.
    this.#stopHeartbeats();
    try {
      const before = this.#generationId;
      const joined = await this.#join(topics, reason);
      this.#startHeartbeats();
      // A static member stays in the group while it cannot join; others may have had what it kept.
      if (joined.generationId > before + 1) await this.#loseAll();
      const next = await this.#sync(joined);
      this.#settled.notify();
      this.#topics.watch();
      await this.#apply(next);
    } catch (error) {
      this.#due ??= reason;
      throw error;
    }
  }

  /** Eager: everything. Cooperative: what is not subscribed to any more. */
  async #giveUpBefore(topics: readonly string[]): Promise<void> {
    const subscribed = new Set(topics);
    const kept = this.#cooperative ? this.#assignment.filter(({ topic }) => subscribed.has(topic)) : [];
    await this.#revoke(without(this.#assignment, kept));
    // The coordinator may have lost patience with what the callback took.
    if (this.#isLost) throw lost();
  }

  async #join(topics: readonly string[], reason: string): Promise<JoinAnswer> {
    const { groupId, groupInstanceId, sessionTimeoutMs, rebalanceTimeoutMs } = this.#options;
    for (;;) {
      const nodeId = await this.#orInterrupted(this.#coordinator.find());
      const protocols = joinProtocols(this.#assignors, topics, this.#assignment, this.#generationId, this.#last);
      const request = {
        groupId,
        memberId: this.#memberId,
        groupInstanceId,
        protocols,
        sessionTimeoutMs,
        rebalanceTimeoutMs,
        reason,
      };
      const answer = await this.#orInterrupted(this.#host.join(nodeId, request));
      if (answer.error?.code === 'MEMBER_ID_REQUIRED') {
        this.#memberId = answer.memberId;
        continue;
      }
      if (answer.error !== undefined) throw answer.error;
      this.#memberId = answer.memberId;
      this.#generationId = answer.generationId;
      return answer;
    }
  }

  /** What this member is assigned; as the leader, after having assigned to all. */
  async #sync(joined: JoinAnswer): Promise<TopicPartition[]> {
    const { protocolName, leader } = joined;
    const isLeader = leader === this.#memberId;
    const assignments = isLeader ? await this.#orInterrupted(this.#assignAll(joined)) : [];
    if (!isLeader) this.#topics.leadNot();
    const nodeId = await this.#orInterrupted(this.#coordinator.find());
    const { rebalanceTimeoutMs } = this.#options;
    const bytes = await this.#orInterrupted(
      this.#host.sync(nodeId, this.#identity(), protocolName, assignments, rebalanceTimeoutMs),
    );
    // A heartbeat may have been told meanwhile that the member is out.
    if (this.#isLost) throw lost();
    return readAssignment(bytes);
  }

  async #assignAll({ members, protocolName, skipAssignment }: JoinAnswer) {
    const described = groupMembers(members);
    const topics = new Set(described.flatMap((member) => member.topics));
    const partitionCounts = await this.#topics.lead([...topics]);
    if (skipAssignment) return [];
    const assignor = this.#assignors.find(({ name }) => name === protocolName);
    if (assignor === undefined) {
      throw new BurrowError('INCONSISTENT_GROUP_PROTOCOL', `The group chose ${protocolName}, which was not offered.`);
    }
    return writeAssignments(assignor.assign(partitionCounts, described));
  }

  async #apply(next: readonly TopicPartition[]): Promise<void> {
    const before = this.#assignment;
    this.#holdings.onAssigned(next, this.#generationId, before, this.#last);
    this.#last = { partitions: next, generationId: this.#generationId };
    const revoked = without(before, next);
    if (revoked.length > 0) {
      await this.#revoke(revoked);
      this.#due ??= 'gave up partitions for others';
      if (this.#isLost) return;
    }
    this.#assignment = next;
    await this.#call(() => this.#options.callbacks.onAssigned(without(next, before)));
  }

  async #revoke(partitions: readonly TopicPartition[]): Promise<void> {
    if (partitions.length === 0) return;
    await this.#call(() => this.#options.callbacks.onRevoked(partitions));
    this.#assignment = without(this.#assignment, partitions);
  }

  async #loseAll(): Promise<void> {
    this.#isLost = false;
    this.#holdings.onLost();
    const partitions = this.#assignment;
    this.#assignment = [];
    if (partitions.length > 0) await this.#call(() => this.#options.callbacks.onLost(partitions));
  }

  async #call(callback: () => Promise<void> | void): Promise<void> {
    this.#inCallback = true;
    try {
      await callback();
    } catch (error) {
      this.#options.callbacks.onError(toBurrowError(error), false);
    } finally {
      this.#inCallback = false;
    }
  }

  async #stayOut(): Promise<void> {
    await this.#loseAll();
    await this.#leaveGroup('the consumer stopped reading');
    while (this.#suspended && !this.#isOver) await this.#changed.wait();
  }

  /** Never rejects. */
  async #leaveGroup(reason: string): Promise<void> {
    this.#stopHeartbeats();
    const member = this.#identity();
    this.#forgetMembership({ keepId: false });
    if (member.memberId === '' || member.groupInstanceId !== undefined) return;
    // If it cannot be told, the session times out: nobody should wait long for that.
    await this.#coordinator
      .retrying(LEAVE_TIMEOUT_MS, (nodeId) => this.#host.leave(nodeId, member, reason))
      .catch(ignore);
  }

  #startHeartbeats(): void {
    const { clock, backoff } = this.#host;
    const { heartbeatIntervalMs: intervalMs, sessionTimeoutMs } = this.#options;
    const member = this.#identity();
    this.#heartbeats = new Heartbeats({
      clock,
      backoff,
      intervalMs,
      sessionTimeoutMs,
      send: async () => this.#host.heartbeat(await this.#coordinator.find(), member),
      onFailure: (error) => this.#coordinator.onFailed(error),
      onRefused: (error) => {
        if (error.code === 'REBALANCE_IN_PROGRESS') this.#requestRebalance('the group rebalances');
        else this.#onRefused(error);
      },
    });
  }

  #stopHeartbeats(): void {
    if (this.#heartbeats === undefined) return;
    this.#silentSinceMs = this.#host.clock.monotonic();
    this.#heartbeats.stop();
    this.#heartbeats = undefined;
  }

  /** Heartbeat or commit were refused: out of the group, or out for good. */
  #onRefused(error: BurrowError): void {
    this.#stopHeartbeats();
    if (MEMBERSHIP_LOST.has(error.code)) {
      this.#forgetMembership({ keepId: error.code === 'ILLEGAL_GENERATION' });
      this.#isLost = true;
      this.#requestRebalance(`${error.code} from the coordinator`);
    } else {
      this.#fail(error);
    }
  }

  #forgetMembership({ keepId }: { keepId: boolean }): void {
    this.#generationId = -1;
    if (!keepId) this.#memberId = '';
  }

  #fail(error: BurrowError): void {
    if (this.#isOver) return;
    this.#fatalError = error;
    this.#stopHeartbeats();
    this.#forgetMembership({ keepId: false });
    this.#changed.notify();
    this.#settled.notify();
    this.#options.callbacks.onError(error, true);
  }

  /** Whether to try again after a delay, rather than at once or not at all. */
  #onRebalanceFailed(error: BurrowError): boolean {
    if (error === INTERRUPTED) return false;
    if (error.retriable) {
      this.#coordinator.onFailed(error);
      const silentMs = this.#host.clock.monotonic() - this.#silentSinceMs;
      // As in a session without heartbeats: others may have the partitions by now.
      if (this.#heartbeats === undefined && silentMs >= this.#options.sessionTimeoutMs) {
        this.#forgetMembership({ keepId: true });
        this.#isLost = true;
      }
      return true;
    }
    if (error.code === 'REBALANCE_IN_PROGRESS') return false;
    this.#onRefused(error);
    return MEMBERSHIP_LOST.has(error.code);
  }

  #identity(): MemberIdentity {
    const { groupId, groupInstanceId } = this.#options;
    return { groupId, groupInstanceId, memberId: this.#memberId, generationId: this.#generationId };
  }

  async #sendCommit(offsets: readonly AskedOffset[]): Promise<ReadonlyArray<BurrowError | undefined>> {
    const { clock, requestTimeoutMs } = this.#host;
    const startMs = clock.monotonic();
    let refusal: BurrowError | undefined;
    for (;;) {
      const member = this.#identity();
      if (this.#fatalError !== undefined) throw this.#fatalError;
      if (member.generationId < 0) throw lost();
      const isFirst = refusal === undefined;
      const moved = offsets.filter((offset) => !this.#mayCommit(offset, isFirst));
      if (moved.length > 0) return this.#commitWhatStayed(offsets, moved, refusal ?? outrun());
      try {
        return await this.#coordinator.retrying(startMs + requestTimeoutMs - clock.monotonic(), (nodeId) =>
          this.#host.commitOffsets(nodeId, member, offsets),
        );
      } catch (thrown) {
        const error = toBurrowError(thrown);
        // If the loop waits for this commit or has ended, only the others can end the rebalance, which they do soon or late.
        const isAlone = this.#isOver || this.#inCallback;
        const leftMs =
          startMs + (isAlone ? Math.min(LAST_COMMIT_MS, requestTimeoutMs) : requestTimeoutMs) - clock.monotonic();
        if (error.code === 'REBALANCE_IN_PROGRESS' && leftMs > 0) {
          // Joined again and not assigned yet: the partitions may well stay here.
          const waitMs = isAlone ? Math.min(leftMs, this.#host.backoff.initialMs) : leftMs;
          if (member.generationId === this.#generationId) await this.#settled.wait(clock, waitMs);
        } else if (!MEMBERSHIP_LOST.has(error.code)) {
          throw error;
        } else if (member.generationId === this.#generationId) {
          this.#onRefused(error);
          throw error;
        }
        // The group has gone on since it was sent, and so has this member.
        refusal = error;
      }
    }
  }

  /** Not what has moved: who has it now, or had it in between, knows better how far it is consumed. */
  #mayCommit(offset: AskedOffset, isFirst: boolean): boolean {
    const isOfNow = offset.askedIn === this.#generationId;
    if (isFirst && isOfNow) return true;
    const key = partitionKey(offset);
    const isAssigned = this.#assignment.some((partition) => partitionKey(partition) === key);
    return isAssigned && (isOfNow || this.#holdings.hasHadSince(offset, offset.askedIn));
  }

  async #commitWhatStayed(
    offsets: readonly AskedOffset[],
    moved: readonly TopicPartition[],
    error: BurrowError,
  ): Promise<ReadonlyArray<BurrowError | undefined>> {
    const movedKeys = new Set(moved.map(partitionKey));
    const stayed = offsets.filter((offset) => !movedKeys.has(partitionKey(offset)));
    const results = stayed.length === 0 ? [] : await this.#sendCommit(stayed);
    const byKey = new Map(stayed.map((offset, index) => [partitionKey(offset), results[index]]));
    return offsets.map((offset) => {
      const key = partitionKey(offset);
      return movedKeys.has(key) ? error : byKey.get(key);
    });
  }

  /** An answer that may take minutes; or INTERRUPTED, if the member is to leave or was told that it is out. */
  async #orInterrupted<T>(answer: Promise<T>): Promise<T> {
    for (;;) {
      if (this.#isOver || this.#suspended || this.#isLost) {
        answer.catch(ignore);
        throw INTERRUPTED;
      }
      const changed = this.#changed.wait();
      const first = await Promise.race([answer.then((value) => ({ value })), changed]);
      if (first !== undefined) return first.value;
    }
  }
}

/** How long a commit waits for a rebalance to end that does not go on without this member, or does not need it any more. */
const LAST_COMMIT_MS = 1000;

/** Leaving is told for this long; then the others wait for the session timeout. */
const LEAVE_TIMEOUT_MS = 5000;

/** Not an error of anybody: the loop looks again at what is due. */
const INTERRUPTED = new BurrowError('REBALANCE_IN_PROGRESS', 'Interrupted.');

function lost(): BurrowError {
  return new BurrowError(
    'UNKNOWN_MEMBER',
    'The consumer is not a member of its group at the moment; it joins again by itself.',
  );
}

function outrun(): BurrowError {
  return new BurrowError(
    'ILLEGAL_GENERATION',
    'The group has gone on since the commit was asked for, and others may have had the partition meanwhile.',
  );
}

function ignore(): void {}
