/**
 * Administration of consumer groups: what there is, how far each has come, and moving them when nobody is in them. `admin.ts`
 * hands these on.
 */
import { BurrowError, isBurrowError } from '../../src/errors/burrow-error.ts';
import type { ErrorName } from '../../src/errors/table.ts';
import { CONSUMER_PROTOCOL_TYPE, decodeAssignment, decodeSubscription } from '../../src/groups/consumer-protocol.ts';
import type { ResponseOf } from '../../src/protocol/messages.ts';
import type { Cluster } from '../cluster.ts';
import { GroupTransport } from '../cluster-transport.ts';
import { checkNonNegativeInteger, checkTopicName } from '../options.ts';
import { EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, listOffsetsRequest } from '../requests.ts';
import { comparePartitions, groupByTopic, partitionKey, type TopicPartition, ungroup } from '../topic-partition.ts';
import { CoordinatorLink } from './coordinator-link.ts';
import type { CommittedOffset } from './group-host.ts';
import {
  deleteGroupRequest,
  deleteOffsetsRequest,
  describeGroupRequest,
  fetchAllOffsetsRequest,
  listGroupsRequest,
} from './group-requests.ts';

/** As Kafka names them. Only an `Empty` group can be moved or deleted. */
export type GroupState = 'Empty' | 'PreparingRebalance' | 'CompletingRebalance' | 'Stable' | 'Dead';

export interface GroupListing {
  readonly groupId: string;
  readonly state: GroupState;
  /** 'consumer', or empty for a group that has offsets only. */
  readonly protocolType: string;
}

export interface GroupMemberDescription {
  readonly memberId: string;
  /** Of a static member. */
  readonly groupInstanceId: string | undefined;
  readonly clientId: string;
  /** Its address. */
  readonly clientHost: string;
  /** What it subscribes to. */
  readonly topics: readonly string[];
  readonly assignment: readonly TopicPartition[];
}

export interface GroupPartition extends TopicPartition {
  /** Offset of the next record to consume; undefined if nothing is committed. */
  readonly committedOffset: number | undefined;
  /** The note beside it. */
  readonly metadata: string;
  /** Behind the last record that consumers may read; undefined if the partition is no longer there. */
  readonly endOffset: number | undefined;
  /** Records between the two; undefined where one is unknown. */
  readonly lag: number | undefined;
  /** The member that consumes it. */
  readonly memberId: string | undefined;
}

export interface GroupDescription extends GroupListing {
  /** The assignor in use; empty while there is none. */
  readonly protocolName: string;
  readonly generationId: number;
  /** The broker that looks after it. */
  readonly coordinatorId: number;
  readonly members: readonly GroupMemberDescription[];
  /** All that are assigned or have something committed, by topic and partition. */
  readonly partitions: readonly GroupPartition[];
}

/** Where to go. A time means the first record of then or later. What lies outside the log becomes its nearest end. */
export type ResetTarget =
  | 'earliest'
  | 'latest'
  | { readonly offset: number }
  | { readonly shiftBy: number }
  | { readonly timestampMs: number };

export interface ResetOptions {
  readonly to: ResetTarget;
  /** Default: all that the group has committed. A topic stands for all of its partitions. */
  readonly partitions?: ReadonlyArray<{ readonly topic: string; readonly partition?: number | undefined }> | undefined;
  /** Only tells what would be done. Default false. */
  readonly dryRun?: boolean | undefined;
}

export interface OffsetReset extends TopicPartition {
  /** What was committed before. */
  readonly from: number | undefined;
  readonly to: number;
}

/** After these a group was certainly not deleted. */
const NOT_DONE: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'CONNECTION_FAILED',
  'NOT_COORDINATOR',
  'COORDINATOR_NOT_AVAILABLE',
  'COORDINATOR_LOADING',
]);

const NOBODY = { memberId: '', generationId: -1, groupInstanceId: undefined };

export class GroupAdmin {
  readonly #cluster: Cluster;
  readonly #transport: GroupTransport;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#transport = new GroupTransport(cluster);
  }

  async list(timeoutMs: number): Promise<GroupListing[]> {
    const all = await this.#cluster.retrying(timeoutMs, async () => {
      // Each broker knows those that it coordinates.
      await this.#transport.partitionCounts([]);
      const nodeIds = this.#cluster.metadata.nodeIds;
      return Promise.all(nodeIds.map((nodeId) => listGroupsRequest(this.#cluster.node(nodeId), timeoutMs)));
    });
    return all
      .flat()
      .map(({ groupId, state, protocolType }) => ({ groupId, state: state as GroupState, protocolType }))
      .sort((a, b) => (a.groupId < b.groupId ? -1 : 1));
  }

  async describe(groupId: string, timeoutMs: number): Promise<GroupDescription> {
    const { coordinatorId, group, committed } = await this.#link(groupId).retrying(timeoutMs, async (nodeId) => {
      const connection = this.#cluster.node(nodeId);
      const [described, offsets] = await Promise.all([
        describeGroupRequest(connection, groupId, timeoutMs),
        fetchAllOffsetsRequest(connection, groupId, timeoutMs),
      ]);
      return { coordinatorId: nodeId, group: described, committed: offsets };
    });
    if (group.state === 'Dead' && committed.length === 0) throw unknownGroup(groupId);
    const members = group.members.map((member) => memberDescription(member, group.protocolType));
    return {
      groupId,
      state: group.state as GroupState,
      protocolType: group.protocolType,
      protocolName: group.protocolName,
      generationId: group.generationId,
      coordinatorId,
      members,
      partitions: await this.#partitions(members, committed, timeoutMs),
    };
  }

  async delete(groupIds: readonly string[], timeoutMs: number): Promise<void> {
    await allTried(
      groupIds.map((groupId) =>
        this.#link(groupId).retrying(
          timeoutMs,
          (nodeId) => deleteGroupRequest(this.#cluster.node(nodeId), groupId, timeoutMs),
          (error) => NOT_DONE.has(error.code),
        ),
      ),
    );
  }

  async deleteOffsets(groupId: string, partitions: readonly TopicPartition[], timeoutMs: number): Promise<void> {
    for (const { topic, partition } of partitions) {
      checkTopicName(topic);
      checkNonNegativeInteger('partition', partition);
    }
    const results = await this.#link(groupId).retrying(timeoutMs, (nodeId) =>
      deleteOffsetsRequest(this.#cluster.node(nodeId), groupId, partitions, timeoutMs),
    );
    throwFirst(results);
  }

  async resetOffsets(groupId: string, options: ResetOptions, timeoutMs: number): Promise<OffsetReset[]> {
    const link = this.#link(groupId);
    const [group, committed] = await link.retrying(timeoutMs, (nodeId) => {
      const connection = this.#cluster.node(nodeId);
      return Promise.all([
        describeGroupRequest(connection, groupId, timeoutMs),
        fetchAllOffsetsRequest(connection, groupId, timeoutMs),
      ]);
    });
    if (group.state !== 'Empty' && group.state !== 'Dead') throw nonEmptyGroup(groupId);
    const partitions = await this.#partitionsToReset(groupId, options, committed, timeoutMs);
    const resets = await this.#targets(partitions, committed, options.to, timeoutMs);
    if (options.dryRun === true || resets.length === 0) return resets;
    const offsets = resets.map(({ topic, partition, to }) => ({ topic, partition, offset: to }));
    const nobody = { ...NOBODY, groupId };
    // To commit the same once more changes nothing: this may be repeated.
    const results = await link
      .retrying(timeoutMs, (nodeId) => this.#transport.commitOffsets(nodeId, nobody, offsets))
      .catch((error: unknown) => {
        // Somebody has joined since.
        throw isBurrowError(error, 'UNKNOWN_MEMBER') ? nonEmptyGroup(groupId) : error;
      });
    throwFirst(results);
    return resets;
  }

  #link(groupId: string): CoordinatorLink {
    if (typeof groupId !== 'string' || groupId === '') {
      throw new BurrowError('INVALID_ARGUMENT', 'A group id must be a string that is not empty.');
    }
    return new CoordinatorLink(this.#transport, groupId);
  }

  async #partitions(
    members: readonly GroupMemberDescription[],
    committed: readonly CommittedOffset[],
    timeoutMs: number,
  ): Promise<GroupPartition[]> {
    const owners = new Map<string, string>();
    const all = new Map<string, TopicPartition>(committed.map((each) => [partitionKey(each), each]));
    for (const { memberId, assignment } of members) {
      for (const partition of assignment) {
        owners.set(partitionKey(partition), memberId);
        all.set(partitionKey(partition), partition);
      }
    }
    const offsets = new Map(committed.map((each) => [partitionKey(each), each]));
    const ends = await this.#offsetsAt([...all.values()], LATEST_TIMESTAMP, timeoutMs);
    return [...all.values()].sort(comparePartitions).map(({ topic, partition }) => {
      const key = partitionKey({ topic, partition });
      const committedOffset = offsets.get(key)?.offset;
      const endOffset = ends.get(key);
      const isKnown = committedOffset !== undefined && endOffset !== undefined;
      return {
        topic,
        partition,
        committedOffset,
        metadata: offsets.get(key)?.metadata ?? '',
        endOffset,
        lag: isKnown ? Math.max(0, endOffset - committedOffset) : undefined,
        memberId: owners.get(key),
      };
    });
  }

  async #partitionsToReset(
    groupId: string,
    { partitions }: ResetOptions,
    committed: readonly CommittedOffset[],
    timeoutMs: number,
  ): Promise<TopicPartition[]> {
    if (partitions === undefined) {
      if (committed.length === 0) throw unknownGroup(groupId);
      return committed.map(({ topic, partition }) => ({ topic, partition }));
    }
    const chosen = new Map<string, TopicPartition>();
    for (const { topic, partition } of partitions) {
      checkTopicName(topic);
      if (partition !== undefined) checkNonNegativeInteger('partition', partition);
      const known = await this.#cluster.topic(topic, timeoutMs);
      const numbers = partition === undefined ? known.partitions.map((each) => each.partition) : [partition];
      for (const number of numbers)
        chosen.set(partitionKey({ topic, partition: number }), { topic, partition: number });
    }
    return [...chosen.values()];
  }

  async #targets(
    partitions: readonly TopicPartition[],
    committed: readonly CommittedOffset[],
    to: ResetTarget,
    timeoutMs: number,
  ): Promise<OffsetReset[]> {
    checkTarget(to);
    const [starts, ends, atTime] = await Promise.all([
      this.#offsetsAt(partitions, EARLIEST_TIMESTAMP, timeoutMs),
      this.#offsetsAt(partitions, LATEST_TIMESTAMP, timeoutMs),
      typeof to === 'object' && 'timestampMs' in to
        ? this.#offsetsAt(partitions, to.timestampMs, timeoutMs)
        : new Map<string, number>(),
    ]);
    const before = new Map(committed.map((each) => [partitionKey(each), each.offset]));
    return [...partitions].sort(comparePartitions).map(({ topic, partition }) => {
      const key = partitionKey({ topic, partition });
      const [from, start, end] = [before.get(key), starts.get(key), ends.get(key)];
      if (start === undefined || end === undefined) throw unknownPartition(key);
      const wanted = wantedOffset(to, { key, from, start, end, atTime: atTime.get(key) });
      return { topic, partition, from, to: Math.min(Math.max(wanted, start), end) };
    });
  }

  /** One request for all partitions of a leader. Those that are no longer there are left out; so are times that no record has. */
  async #offsetsAt(
    partitions: readonly TopicPartition[],
    timestampMs: number,
    timeoutMs: number,
  ): Promise<Map<string, number>> {
    const topics = groupByTopic(partitions).map(({ topic }) => topic);
    return this.#cluster.retrying(timeoutMs, async () => {
      const counts = topics.length === 0 ? new Map() : await this.#transport.partitionCounts(topics);
      const byLeader = new Map<number, TopicPartition[]>();
      for (const { topic, partition } of partitions) {
        if (partition >= (counts.get(topic) ?? 0)) continue;
        const leader = this.#cluster.leaderOf(topic, partition);
        if (leader === undefined) {
          throw new BurrowError('LEADER_NOT_AVAILABLE', `Nobody leads ${topic}-${partition} at the moment.`);
        }
        byLeader.set(leader, [...(byLeader.get(leader) ?? []), { topic, partition }]);
      }
      const found = new Map<string, number>();
      for (const [leader, asked] of byLeader) {
        const offsets = await listOffsetsRequest(this.#cluster.node(leader), asked, timestampMs, timeoutMs);
        asked.forEach((partition, index) => {
          if (offsets[index]! >= 0) found.set(partitionKey(partition), offsets[index]!);
        });
      }
      return found;
    });
  }
}

function memberDescription(
  member: ResponseOf<'describeGroups'>['groups'][number]['members'][number],
  protocolType: string,
): GroupMemberDescription {
  const { memberId, groupInstanceId, clientId, clientHost, metadata, assignment } = member;
  const isConsumer = protocolType === CONSUMER_PROTOCOL_TYPE;
  return {
    memberId,
    groupInstanceId: groupInstanceId ?? undefined,
    clientId,
    clientHost,
    topics: isConsumer && metadata.length > 0 ? readable(() => decodeSubscription(metadata).topics) : [],
    assignment: isConsumer ? readable(() => ungroup(decodeAssignment(assignment).assignedPartitions)) : [],
  };
}

/** Members may send what they like; a description is made of what makes sense. */
function readable<T>(read: () => readonly T[]): readonly T[] {
  try {
    return read();
  } catch {
    return [];
  }
}

function checkTarget(to: ResetTarget): void {
  if (to === 'earliest' || to === 'latest') return;
  if (typeof to === 'object' && 'offset' in to) checkNonNegativeInteger('to.offset', to.offset);
  else if (typeof to === 'object' && 'timestampMs' in to) checkNonNegativeInteger('to.timestampMs', to.timestampMs);
  else if (typeof to !== 'object' || !('shiftBy' in to) || !Number.isSafeInteger(to.shiftBy)) {
    throw new BurrowError(
      'INVALID_ARGUMENT',
      `to must be 'earliest', 'latest', { offset }, { shiftBy } or { timestampMs }, not ${JSON.stringify(to)}.`,
    );
  }
}

function wantedOffset(
  to: ResetTarget,
  at: { key: string; from: number | undefined; start: number; end: number; atTime: number | undefined },
): number {
  if (to === 'earliest') return at.start;
  if (to === 'latest') return at.end;
  if ('offset' in to) return to.offset;
  // No record is that young: what comes next will be.
  if ('timestampMs' in to) return at.atTime ?? at.end;
  if (at.from === undefined) {
    throw new BurrowError('INVALID_ARGUMENT', `Nothing is committed for ${at.key}, so it cannot be shifted.`);
  }
  return at.from + to.shiftBy;
}

function throwFirst(results: ReadonlyArray<BurrowError | undefined>): void {
  const error = results.find((each) => each !== undefined);
  if (error !== undefined) throw error;
}

async function allTried(attempts: ReadonlyArray<Promise<void>>): Promise<void> {
  const results = await Promise.allSettled(attempts);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

function unknownGroup(groupId: string): BurrowError {
  return new BurrowError('GROUP_ID_NOT_FOUND', `There is no group ${groupId}.`, { fields: { groupId } });
}

function nonEmptyGroup(groupId: string): BurrowError {
  const text = `Group ${groupId} has members. Stop them first.`;
  return new BurrowError('NON_EMPTY_GROUP', text, { fields: { groupId } });
}

function unknownPartition(key: string): BurrowError {
  return new BurrowError('UNKNOWN_TOPIC_OR_PARTITION', `There is no partition ${key} (any more).`);
}
