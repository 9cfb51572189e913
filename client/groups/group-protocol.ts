/** What members of a consumer group write for each other, with the group protocol as the envelope. Pure. */
import {
  type ConsumerSubscription,
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
} from '../../src/groups/consumer-protocol.ts';
import { comparePartitions, groupByTopic, partitionKey, type TopicPartition, ungroup } from '../topic-partition.ts';
import type { Assignor, AssignorMember } from './assignors/assignor.ts';
import type { JoinAnswer } from './group-host.ts';

/** What a member has been assigned last, also after it gave that up to join again. */
export interface LastAssignment {
  readonly partitions: readonly TopicPartition[];
  readonly generationId: number;
}

/** The protocols of a join: one per assignor, each with the subscription that it asks for. */
export function joinProtocols(
  assignors: readonly Assignor[],
  topics: readonly string[],
  owned: readonly TopicPartition[],
  generationId: number,
  last: LastAssignment,
): Array<{ readonly name: string; readonly metadata: Uint8Array }> {
  const ownedPartitions = groupByTopic(owned);
  return assignors.map((assignor) => {
    // Of an eager assignor: as of which generation it was assigned. Of a cooperative one: the last that the member took part in.
    const userData = assignor.cooperative
      ? assignor.userData(owned, generationId)
      : assignor.userData(last.partitions, last.generationId);
    const subscription = { topics, userData, ownedPartitions, generationId, rackId: undefined };
    return { name: assignor.name, metadata: encodeSubscription(subscription) };
  });
}

export function groupMembers(members: JoinAnswer['members']): AssignorMember[] {
  return members.map(({ memberId, groupInstanceId, metadata }) => {
    const { topics, ownedPartitions, generationId, userData } = readSubscription(metadata);
    return { memberId, groupInstanceId, topics, ownedPartitions: ungroup(ownedPartitions), generationId, userData };
  });
}

const NO_SUBSCRIPTION: ConsumerSubscription = {
  topics: [],
  userData: undefined,
  ownedPartitions: [],
  generationId: -1,
  rackId: undefined,
};

/** A member whose subscription cannot be read gets nothing; the others should not suffer for it. */
function readSubscription(metadata: Uint8Array): ConsumerSubscription {
  try {
    return decodeSubscription(metadata);
  } catch {
    return NO_SUBSCRIPTION;
  }
}

export function writeAssignments(
  assignment: ReadonlyMap<string, readonly TopicPartition[]>,
): Array<{ readonly memberId: string; readonly assignment: Uint8Array }> {
  return [...assignment].map(([memberId, partitions]) => ({
    memberId,
    assignment: encodeAssignment({ assignedPartitions: groupByTopic(partitions), userData: undefined }),
  }));
}

/** Throws INVALID_ARGUMENT if the leader sent what is no assignment. */
export function readAssignment(bytes: Uint8Array): TopicPartition[] {
  const partitions = ungroup(decodeAssignment(bytes).assignedPartitions);
  return partitions.sort(comparePartitions);
}

/** Those of `partitions` that are not in `others`. */
export function without(partitions: readonly TopicPartition[], others: readonly TopicPartition[]): TopicPartition[] {
  const keys = new Set(others.map(partitionKey));
  return partitions.filter((partition) => !keys.has(partitionKey(partition)));
}
