/**
 * Kafka's sticky assignors. `sticky` is eager: members give up everything before they join, so what each held travels as user data.
 * `cooperative-sticky` (KIP-429): members keep what they hold, and the subscription itself says so. The leader never gives
 * a partition to a new owner while its old one still holds it: it goes to nobody, the old owner gives it up and joins
 * again, and the next assignment gives it away.
 *
 *     user data of sticky               previous_assignment [topic STRING, partitions [int32]], generation int32 (since version 1)
 *     user data of cooperative-sticky   generation int32
 */
import { ByteReader } from '../../../src/bytes/reader.ts';
import { ByteWriter } from '../../../src/bytes/writer.ts';
import { groupByTopic, partitionKey, type TopicPartition } from '../../topic-partition.ts';
import type { Assignor, AssignorMember, GroupAssignment } from './assignor.ts';
import { assignSticky, type StickyMember } from './sticky-assignment.ts';

export const stickyAssignor: Assignor = {
  name: 'sticky',
  cooperative: false,
  assign: (partitionCounts, members) => assignSticky(partitionCounts, members.map(withStickyUserData)),
  userData(lastAssignment, generationId) {
    if (generationId < 0) return undefined;
    const topics = groupByTopic(lastAssignment);
    const writer = new ByteWriter().arrayLength(topics.length);
    for (const { topic, partitions } of topics) {
      writer.sizedString(topic).arrayLength(partitions.length);
      for (const partition of partitions) writer.int32(partition);
    }
    return writer.int32(generationId).finish();
  },
};

export const cooperativeStickyAssignor: Assignor = {
  name: 'cooperative-sticky',
  cooperative: true,
  assign(partitionCounts, members) {
    const assignment = assignSticky(partitionCounts, members.map(withOwnedPartitions));
    withholdWhatMoves(assignment, members);
    return assignment;
  },
  userData: (_, generationId) => new ByteWriter().int32(generationId).finish(),
};

/** Members of other clients may send what they like: what cannot be read counts as nothing held. */
function withStickyUserData(member: AssignorMember): StickyMember {
  const nothing = { ...member, heldPartitions: [], heldGenerationId: -1 };
  if (member.userData === undefined || member.userData.length === 0) return nothing;
  const reader = new ByteReader(member.userData);
  const heldPartitions: TopicPartition[] = [];
  for (let topics = reader.arrayLength(6); topics > 0 && reader.ok; topics -= 1) {
    const topic = reader.sizedString();
    for (let partitions = reader.arrayLength(4); partitions > 0 && reader.ok; partitions -= 1) {
      heldPartitions.push({ topic, partition: reader.int32() });
    }
  }
  if (!reader.ok) return nothing;
  const heldGenerationId = reader.remaining >= 4 ? reader.int32() : -1;
  return { ...member, heldPartitions, heldGenerationId };
}

function withOwnedPartitions(member: AssignorMember): StickyMember {
  const { ownedPartitions: heldPartitions, generationId, userData } = member;
  if (generationId >= 0 || userData?.length !== 4) return { ...member, heldPartitions, heldGenerationId: generationId };
  // Clients of before KIP-792 tell the generation here.
  return { ...member, heldPartitions, heldGenerationId: new ByteReader(userData).int32() };
}

function withholdWhatMoves(assignment: GroupAssignment, members: readonly AssignorMember[]): void {
  const owners = new Map<string, Set<string>>();
  for (const { memberId, ownedPartitions } of members) {
    for (const partition of ownedPartitions) {
      const key = partitionKey(partition);
      const known = owners.get(key);
      if (known === undefined) owners.set(key, new Set([memberId]));
      else known.add(memberId);
    }
  }
  for (const [memberId, partitions] of assignment) {
    const isFree = (partition: TopicPartition): boolean => {
      const holders = owners.get(partitionKey(partition));
      // Where two claim it, the one that keeps it is no new owner.
      return holders === undefined || holders.has(memberId);
    };
    assignment.set(memberId, partitions.filter(isFree));
  }
}
