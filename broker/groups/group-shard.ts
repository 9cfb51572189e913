/**
 * The groups that one partition of `__consumer_offsets` keeps: all that is known of them in memory, all that must last in
 * the log. Who leads the partition coordinates them; so whatever happens to one group happens here, in order.
 *
 * Memory shows what is durable: offsets count when their record is synced, an assignment is handed out when it is stored.
 */
import { BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import { CONSUMER_PROTOCOL_TYPE } from '../../src/groups/consumer-protocol.ts';
import type { Deadline, DeadlineQueue } from '../partitions/deadline-queue.ts';
import type { DiskSpace } from '../partitions/disk-space.ts';
import type { Clock } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import { ClassicGroupState, type OnStored } from './classic-group-state.ts';
import { CommittedOffsets } from './committed-offsets.ts';
import {
  cannotWrite,
  failedJoin,
  groupBeingDeleted,
  groupNotEmpty,
  groupTooLarge,
  illegalGeneration,
  noSuchGroup,
  subscribedToTopic,
  unknownMember,
} from './group-errors.ts';
import { type GroupBudget, type GroupLimits, offsetProblem } from './group-limits.ts';
import {
  decodeGroupValue,
  decodeKey,
  decodeOffsetValue,
  encodeGroupValue,
  type GroupToStore,
  type StoredOffset,
} from './group-records.ts';
import type {
  CommitOffsetsRequest,
  CommittedOffset,
  GroupDescription,
  GroupListing,
  JoinGroupOutcome,
  JoinGroupRequest,
  LeaveGroupRequest,
  LeftMember,
  MemberIdentity,
  OffsetToCommit,
  PartitionResult,
  SyncGroupOutcome,
  SyncGroupRequest,
} from './group-service.ts';
import type { OffsetsLog } from './offsets-log.ts';

export interface GroupShardOptions {
  readonly log: OffsetsLog;
  /** Of the partition, for log lines. */
  readonly name: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly deadlines: DeadlineQueue;
  readonly diskSpace: DiskSpace;
  readonly limits: GroupLimits;
  readonly budget: GroupBudget;
  readonly newMemberId: (request: JoinGroupRequest) => string;
  readonly partitionExists: (topic: string, partition: number) => boolean;
}

interface Group {
  readonly state: ClassicGroupState;
  readonly offsets: CommittedOffsets;
  /** Writes about it whose outcome is not known. */
  writing: number;
  /** Since when it is empty, by the wall clock; undefined where unknown or never had members. */
  emptySinceMs: number | undefined;
  deadline: Deadline | undefined;
  /** What the budget counts for it. */
  bytes: number;
}

/** About what a group takes in memory besides members and offsets. */
const GROUP_BYTES = 2000;
const NOTHING_COMMITTED = { offset: -1, leaderEpoch: -1, metadata: '' };

type Status =
  | { readonly kind: 'loading' }
  | { readonly kind: 'ready' }
  /** The log could not be read, or the node shuts down. */
  | { readonly kind: 'over'; readonly reason: BurrowError };

export class GroupShard {
  readonly #options: GroupShardOptions;
  readonly #groups = new Map<string, Group>();
  #status: Status = { kind: 'loading' };

  constructor(options: GroupShardOptions) {
    this.#options = options;
  }

  get isLoading(): boolean {
    return this.#status.kind === 'loading';
  }

  // Loading

  /** Reads the log. Never rejects: what cannot be read is not coordinated. */
  async load(): Promise<void> {
    const { name, logger, log, clock } = this.#options;
    const startMs = clock.monotonic();
    /** The latest of each group, as bytes of its own: only what is left at the end is worth decoding. */
    const stored = new Map<string, Uint8Array>();
    let skipped = 0;
    try {
      await log.load(
        (key, value) => {
          if (!this.#onLoaded(key, value, stored)) skipped++;
        },
        () => this.#status.kind !== 'loading',
      );
      if (this.#status.kind !== 'loading') return;
      for (const [groupId, value] of stored) skipped += this.#restore(groupId, value) ? 0 : 1;
    } catch (error) {
      const { message } = toBurrowError(error);
      logger.error({ partition: name, error: message }, 'the groups of a partition cannot be loaded');
      this.#end(new BurrowError('COORDINATOR_NOT_AVAILABLE', `${name} cannot be read: ${message}`, { cause: error }));
      return;
    }
    this.#status = { kind: 'ready' };
    for (const group of this.#groups.values()) this.#after(group);
    if (skipped > 0) logger.warn({ partition: name, skipped }, 'records of unknown kinds or versions were skipped');
    if (this.#groups.size > 0) {
      const ms = clock.monotonic() - startMs;
      logger.info({ partition: name, groups: this.#groups.size, ms }, 'groups loaded');
    }
    // Of topics that were deleted when nobody could note it.
    const { partitionExists } = this.#options;
    await this.#removeOffsets((offsets) => offsets.list().filter((at) => !partitionExists(at.topic, at.partition)));
  }

  #onLoaded(keyBytes: Uint8Array, value: Uint8Array | null, stored: Map<string, Uint8Array>): boolean {
    const key = decodeKey(keyBytes);
    if (key === undefined) return false;
    if (key.kind === 'group') {
      if (value === null) stored.delete(key.groupId);
      else stored.set(key.groupId, new Uint8Array(value));
      return true;
    }
    const { groupId, topic, partition } = key;
    if (value === null) {
      this.#groups.get(groupId)?.offsets.delete(topic, partition);
      return true;
    }
    const offset = decodeOffsetValue(value);
    if (offset === undefined) return false;
    (this.#groups.get(groupId) ?? this.#addGroup(groupId)).offsets.set(topic, partition, offset);
    return true;
  }

  #restore(groupId: string, value: Uint8Array): boolean {
    const stored = decodeGroupValue(value);
    if (stored === undefined) return false;
    const group = this.#groups.get(groupId) ?? this.#addGroup(groupId);
    group.state.restore(stored, this.#options.clock.monotonic());
    group.emptySinceMs =
      stored.members.length === 0 && stored.stateTimestampMs >= 0 ? stored.stateTimestampMs : undefined;
    return true;
  }

  /** Whoever waits is told; nothing is taken any more. */
  close(): void {
    this.#end(new BurrowError('NOT_COORDINATOR', 'The broker is shutting down.'));
  }

  /** Resolves when the outcome of everything that was taken is known. */
  settled(): Promise<void> {
    return this.#options.log.settled();
  }

  #end(reason: BurrowError): void {
    if (this.#status.kind === 'over') return;
    this.#status = { kind: 'over', reason };
    for (const group of this.#groups.values()) {
      if (group.deadline !== undefined) this.#options.deadlines.remove(group.deadline);
      group.state.die(reason);
      this.#forget(group);
    }
  }

  // Members

  join(request: JoinGroupRequest): Promise<JoinGroupOutcome> {
    const { groupId, memberId } = request;
    return new Promise((resolve) => {
      try {
        this.#checkReady();
        const { budget, clock, newMemberId } = this.#options;
        const found = this.#groups.get(groupId);
        if (found === undefined && memberId !== '') throw unknownMember(groupId, memberId);
        if (memberId === '') budget.checkBytes();
        const group = found ?? this.#newGroup(groupId);
        group.state.join(request, newMemberId(request), clock.monotonic(), resolve);
        this.#after(group);
      } catch (error) {
        resolve(failedJoin(memberId, toBurrowError(error)));
      }
    });
  }

  sync(request: SyncGroupRequest): Promise<SyncGroupOutcome> {
    // A rebalance that was going on is lost with the last start. Old clients do not expect COORDINATOR_LOADING here.
    if (this.isLoading) return Promise.reject(new BurrowError('REBALANCE_IN_PROGRESS'));
    return new Promise((resolve, reject) => {
      const group = this.#require(request.groupId, request.memberId);
      group.state.sync(request, this.#options.clock.monotonic(), (outcome) => {
        if (outcome instanceof BurrowError) reject(outcome);
        else resolve(outcome);
      });
      this.#after(group);
    });
  }

  /** Per heartbeat. */
  heartbeat(identity: MemberIdentity): void {
    // As in Kafka: whether it is a member will be known soon, and clients do not expect to be told so here.
    if (this.isLoading) return;
    const group = this.#require(identity.groupId, identity.memberId);
    group.state.heartbeat(identity, this.#options.clock.monotonic());
  }

  leave({ groupId, members }: LeaveGroupRequest): LeftMember[] {
    this.#checkReady();
    const group = this.#groups.get(groupId);
    if (group === undefined) {
      return members.map(({ memberId, groupInstanceId }) => ({
        memberId,
        groupInstanceId,
        error: unknownMember(groupId, memberId),
      }));
    }
    const left = group.state.leave(members, this.#options.clock.monotonic());
    this.#after(group);
    return left;
  }

  // Offsets

  async commitOffsets(request: CommitOffsetsRequest): Promise<PartitionResult[]> {
    this.#checkReady();
    const { clock, diskSpace, log } = this.#options;
    const group = this.#groupForCommit(request);
    try {
      group.state.checkCommit(request, clock.monotonic());
      // Rebalances and deletions are stored even now: consumers are to go on, and deletions make room.
      if (diskSpace.full !== undefined) throw cannotWrite(this.#options.name, diskSpace.full);
    } catch (error) {
      this.#after(group);
      throw error;
    }
    const commitTimestampMs = clock.now();
    const accepted: Array<StoredOffset | undefined> = [];
    const results: PartitionResult[] = [];
    for (const wanted of request.offsets) {
      const { topic, partition, offset, leaderEpoch, metadata } = wanted;
      const error = this.#commitProblem(group, wanted);
      results.push({ topic, partition, error });
      const stored = error === undefined ? { offset, leaderEpoch, metadata, commitTimestampMs } : undefined;
      accepted.push(stored);
      if (stored !== undefined) log.writeOffset(request.groupId, topic, partition, stored);
    }
    await this.#written(group, () => {
      for (const [index, stored] of accepted.entries()) {
        const { topic, partition } = results[index]!;
        if (stored !== undefined) group.offsets.set(topic, partition, stored);
      }
    });
    return results;
  }

  #groupForCommit({ groupId, generationId }: CommitOffsetsRequest): Group {
    const group = this.#groups.get(groupId);
    if (group !== undefined) return group;
    if (generationId < 0) return this.#newGroup(groupId);
    throw illegalGeneration(groupId, generationId, -1);
  }

  #commitProblem(group: Group, wanted: OffsetToCommit): BurrowError | undefined {
    const { limits, budget, partitionExists } = this.#options;
    const { topic, partition } = wanted;
    const problem = offsetProblem(wanted, limits.offsetMetadataBytesMax);
    if (problem !== undefined) return problem;
    if (!partitionExists(topic, partition)) return unknownTopic(topic, partition);
    if (budget.bytes < limits.groupsBytesMax || group.offsets.get(topic, partition) !== undefined) return undefined;
    try {
      budget.checkBytes();
      return undefined;
    } catch (error) {
      return toBurrowError(error);
    }
  }

  fetchOffsets(
    groupId: string,
    partitions: ReadonlyArray<{ readonly topic: string; readonly partition: number }> | undefined,
  ): CommittedOffset[] {
    this.#checkReady();
    const offsets = this.#groups.get(groupId)?.offsets;
    if (partitions === undefined) return offsets?.list() ?? [];
    return partitions.map(({ topic, partition }) => {
      const { offset, leaderEpoch, metadata } = offsets?.get(topic, partition) ?? NOTHING_COMMITTED;
      return { topic, partition, offset, leaderEpoch, metadata };
    });
  }

  async deleteOffsets(
    groupId: string,
    partitions: ReadonlyArray<{ readonly topic: string; readonly partition: number }>,
  ): Promise<PartitionResult[]> {
    this.#checkReady();
    const { log, partitionExists } = this.#options;
    const group = this.#groups.get(groupId);
    if (group === undefined || group.state.state === 'Dead') throw noSuchGroup(groupId);
    if (group.state.state !== 'Empty' && group.state.protocolType !== CONSUMER_PROTOCOL_TYPE)
      throw groupNotEmpty(groupId);
    const results = partitions.map(({ topic, partition }): PartitionResult => {
      if (!partitionExists(topic, partition)) return { topic, partition, error: unknownTopic(topic, partition) };
      if (group.state.isSubscribedTo(topic)) {
        return { topic, partition, error: subscribedToTopic(groupId, topic) };
      }
      // Also if it is not there yet: its commit may be on its way.
      log.writeOffset(groupId, topic, partition, undefined);
      return { topic, partition, error: undefined };
    });
    await this.#written(group, () => {
      for (const { topic, partition, error } of results) {
        if (error === undefined) group.offsets.delete(topic, partition);
      }
    });
    return results;
  }

  // Groups

  /** None if the log cannot be read: as in Kafka, that does not keep the groups of others from being listed. */
  list(): GroupListing[] {
    if (this.#status.kind === 'over') return [];
    this.#checkReady();
    return Array.from(this.#groups.values(), ({ state }) => ({
      groupId: state.groupId,
      protocolType: state.protocolType ?? '',
      state: state.state,
    }));
  }

  describe(groupId: string): GroupDescription | undefined {
    this.#checkReady();
    return this.#groups.get(groupId)?.state.describe();
  }

  async deleteGroup(groupId: string): Promise<void> {
    this.#checkReady();
    const group = this.#groups.get(groupId);
    if (group === undefined || group.state.state === 'Dead') throw noSuchGroup(groupId);
    if (group.state.state !== 'Empty') throw groupNotEmpty(groupId);
    await this.#bury(group);
  }

  /** Nothing is taken for the group from here on; then all that the log has of it is deleted. */
  async #bury(group: Group): Promise<void> {
    const { log } = this.#options;
    const { groupId } = group.state;
    group.state.die(groupBeingDeleted(groupId));
    // What is on its way must be known to be deleted too.
    while (group.writing > 0) await log.settled();
    this.#checkReady();
    for (const { topic, partition } of group.offsets.list()) log.writeOffset(groupId, topic, partition, undefined);
    log.writeGroup(groupId, null);
    try {
      await this.#written(group, () => this.#forget(group));
    } catch (error) {
      if (this.#status.kind === 'ready') group.state.revive();
      throw error;
    }
  }

  // What happens by itself

  /** The topic is gone: nobody is to find offsets of it, least of all for a topic that is created under its name later. */
  async onTopicRemoved(topic: string): Promise<void> {
    if (this.#status.kind !== 'ready') return;
    await this.#options.log.settled();
    await this.#removeOffsets((offsets) => offsets.list(topic));
  }

  async #removeOffsets(goneOf: (offsets: CommittedOffsets) => readonly CommittedOffset[]): Promise<void> {
    const removals = Array.from(this.#groups.values(), (group) => this.#deleteAll(group, goneOf(group.offsets)));
    await Promise.all(removals).catch((error: unknown) => {
      const facts = { partition: this.#options.name, error: String(error) };
      this.#options.logger.warn(facts, 'offsets of deleted topics could not be removed');
    });
  }

  async #deleteAll(
    group: Group,
    offsets: ReadonlyArray<{ readonly topic: string; readonly partition: number }>,
  ): Promise<void> {
    if (offsets.length === 0) return;
    const { log } = this.#options;
    for (const { topic, partition } of offsets) log.writeOffset(group.state.groupId, topic, partition, undefined);
    await this.#written(group, () => {
      for (const { topic, partition } of offsets) group.offsets.delete(topic, partition);
    });
  }

  /** Offsets whose time is over go, and groups that have nothing left. */
  async expire(retentionMs: number): Promise<void> {
    if (this.#status.kind !== 'ready') return;
    const beforeMs = this.#options.clock.now() - retentionMs;
    for (const group of [...this.#groups.values()]) {
      // A commit that is on its way renews what looks old here.
      if (group.writing > 0) continue;
      await this.#deleteAll(group, expiredOffsets(group, beforeMs));
      const { state, offsets } = group;
      if (this.#groups.get(state.groupId) !== group) continue;
      if (state.isDeserted && offsets.size === 0 && group.writing === 0) {
        await this.#bury(group);
      }
    }
  }

  #onTime(group: Group): void {
    group.deadline = undefined;
    group.state.onTime(this.#options.clock.monotonic());
    this.#after(group);
  }

  // Bookkeeping

  #newGroup(groupId: string): Group {
    this.#options.budget.checkGroup();
    return this.#addGroup(groupId);
  }

  #addGroup(groupId: string): Group {
    const { limits, logger, budget } = this.#options;
    const group: Group = {
      state: new ClassicGroupState({
        groupId,
        initialRebalanceDelayMs: limits.groupInitialRebalanceDelayMs,
        membersMax: limits.groupMembersMax,
        store: (stored, onStored) => this.#store(group, stored, onStored),
        logger,
      }),
      offsets: new CommittedOffsets(),
      writing: 0,
      emptySinceMs: undefined,
      deadline: undefined,
      bytes: 0,
    };
    this.#groups.set(groupId, group);
    budget.groups++;
    return group;
  }

  #forget(group: Group): void {
    const { groupId } = group.state;
    if (this.#groups.get(groupId) !== group) return;
    const { budget } = this.#options;
    this.#groups.delete(groupId);
    budget.groups--;
    budget.bytes -= group.bytes;
    group.bytes = 0;
  }

  #store(group: Group, stored: GroupToStore, onStored: OnStored): void {
    const { clock, log } = this.#options;
    const stateTimestampMs = clock.now();
    group.emptySinceMs = stored.members.length === 0 ? stateTimestampMs : undefined;
    const value = encodeGroupValue({ ...stored, stateTimestampMs });
    const done =
      value.length > log.groupBytesMax
        ? Promise.reject(groupTooLarge(group.state.groupId, value.length, log.groupBytesMax))
        : this.#written(group, () => {}, value);
    const finish = (error: BurrowError | undefined): void => {
      onStored(error, clock.monotonic());
      this.#after(group);
    };
    done.then(
      () => finish(undefined),
      (error: unknown) => finish(toBurrowError(error)),
    );
  }

  /** Waits until what was written for the group is durable, then takes it over into memory. */
  async #written(group: Group, takeOver: () => void, value?: Uint8Array): Promise<void> {
    const { log } = this.#options;
    if (value !== undefined) log.writeGroup(group.state.groupId, value);
    group.writing++;
    try {
      await log.synced();
      takeOver();
    } finally {
      group.writing--;
      this.#after(group);
    }
  }

  /** After everything that happens to a group: sets its alarm, counts what it takes, drops it if it is nothing. */
  #after(group: Group): void {
    if (this.#status.kind !== 'ready') return;
    const { state, offsets } = group;
    const { deadlines, clock, budget } = this.#options;
    if (this.#groups.get(state.groupId) !== group) return;
    if (state.isUnused && offsets.size === 0 && group.writing === 0) {
      this.#forget(group);
      return;
    }
    const bytes = GROUP_BYTES + state.bytes + offsets.bytes;
    budget.bytes += bytes - group.bytes;
    group.bytes = bytes;
    const { deadlineMs } = state;
    if (deadlineMs >= (group.deadline?.dueMs ?? Number.POSITIVE_INFINITY)) return;
    if (group.deadline !== undefined) deadlines.remove(group.deadline);
    group.deadline = deadlines.add(deadlineMs - clock.monotonic(), () => this.#onTime(group));
  }

  #require(groupId: string, memberId: string): Group {
    this.#checkReady();
    const group = this.#groups.get(groupId);
    if (group === undefined) throw unknownMember(groupId, memberId);
    return group;
  }

  #checkReady(): void {
    if (this.#status.kind === 'ready') return;
    throw this.#status.kind === 'over' ? this.#status.reason : new BurrowError('COORDINATOR_LOADING');
  }
}

/** KIP-211: from when the group became empty, or from the commit where nothing is known of members. */
function expiredOffsets({ state, offsets, emptySinceMs }: Group, beforeMs: number) {
  const isConsumed = (topic: string): boolean => state.isSubscribedTo(topic);
  if (state.protocolType === undefined)
    return offsets.expired({ beforeMs, sinceMs: undefined, isConsumed: () => false });
  if (state.state === 'Empty') return offsets.expired({ beforeMs, sinceMs: emptySinceMs, isConsumed: () => false });
  if (state.state === 'Stable') return offsets.expired({ beforeMs, sinceMs: undefined, isConsumed });
  return [];
}

function unknownTopic(topic: string, partition: number): BurrowError {
  return new BurrowError('UNKNOWN_TOPIC_OR_PARTITION', undefined, { fields: { topic, partition } });
}
