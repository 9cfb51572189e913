/**
 * What the sticky assignors have in common: a balanced assignment in which members keep as much as they can of what they hold.
 * With equal subscriptions loads differ by one at most, and nobody loses a partition below that; `balance-shares.ts` does it
 * where subscriptions differ.
 */
import { comparePartitions, partitionKey, type TopicPartition } from '../../topic-partition.ts';
import {
  type AssignorMember,
  compareMembers,
  compareText,
  emptyAssignment,
  type GroupAssignment,
  subscribersByTopic,
} from './assignor.ts';
import { balanceShares } from './balance-shares.ts';

/** A member, what it held last, and as of which generation; -1 if unknown. */
export interface StickyMember extends AssignorMember {
  readonly heldPartitions: readonly TopicPartition[];
  readonly heldGenerationId: number;
}

type Topics = ReturnType<typeof subscribersByTopic<StickyMember>>;

export function assignSticky(
  partitionCounts: ReadonlyMap<string, number>,
  members: readonly StickyMember[],
): GroupAssignment {
  const sorted = [...members].sort(compareMembers);
  const topics = subscribersByTopic(partitionCounts, sorted);
  const assignment = emptyAssignment(sorted);
  const held = holdings(topics, sorted);
  if (topics.every(({ subscribers }) => subscribers.length === sorted.length)) {
    assignEqually(topics, sorted, held, assignment);
  } else {
    assignByShares(topics, sorted, held, assignment);
  }
  for (const partitions of assignment.values()) partitions.sort(comparePartitions);
  return assignment;
}

/** What each member may keep: still subscribed to, still there, and claimed by nobody with a newer or equal claim. */
function holdings(topics: Topics, members: readonly StickyMember[]): Map<string, TopicPartition[]> {
  const byTopic = new Map(topics.map((topic) => [topic.topic, topic]));
  const claims = new Map<string, { readonly generationId: number; readonly memberId: string | undefined }>();
  for (const { memberId, heldPartitions, heldGenerationId: generationId } of members) {
    for (const partition of heldPartitions) {
      const key = partitionKey(partition);
      const other = claims.get(key);
      if (other === undefined || generationId > other.generationId) claims.set(key, { generationId, memberId });
      // Two that claim the same as of the same generation: one of them is wrong, and nobody knows which.
      else if (generationId === other.generationId && memberId !== other.memberId) {
        claims.set(key, { generationId, memberId: undefined });
      }
    }
  }
  const held = new Map<string, TopicPartition[]>();
  for (const member of members) {
    const { memberId } = member;
    const subscribed = new Set(member.topics);
    const kept = new Map<string, TopicPartition>();
    for (const { topic, partition } of member.heldPartitions) {
      const key = partitionKey({ topic, partition });
      const exists = partition >= 0 && partition < (byTopic.get(topic)?.partitions ?? 0);
      if (!exists || claims.get(key)!.memberId !== memberId || !subscribed.has(topic)) continue;
      kept.set(key, { topic, partition });
    }
    held.set(memberId, [...kept.values()].sort(compareAcrossTopics));
  }
  return held;
}

function assignEqually(
  topics: Topics,
  members: readonly StickyMember[],
  held: ReadonlyMap<string, readonly TopicPartition[]>,
  assignment: GroupAssignment,
): void {
  const total = topics.reduce((sum, { partitions }) => sum + partitions, 0);
  const least = Math.floor(total / members.length);
  let withOneMore = total % members.length;
  // Whoever holds more than the least has first claim on one more: each of them loses one partition less.
  const heldCount = ({ memberId }: StickyMember) => held.get(memberId)!.length;
  const quotas = new Map<string, number>();
  for (const member of [...members].sort((a, b) => heldCount(b) - heldCount(a))) {
    quotas.set(member.memberId, withOneMore > 0 ? least + 1 : least);
    withOneMore -= 1;
  }
  const taken = new Set<string>();
  for (const { memberId } of members) {
    for (const partition of held.get(memberId)!.slice(0, quotas.get(memberId)!)) {
      assignment.get(memberId)!.push(partition);
      taken.add(partitionKey(partition));
    }
  }
  const free = allPartitions(topics).filter((partition) => !taken.has(partitionKey(partition)));
  free.sort(compareAcrossTopics);
  let turn = 0;
  for (const partition of free) {
    for (;;) {
      const { memberId } = members[turn % members.length]!;
      turn += 1;
      const share = assignment.get(memberId)!;
      if (share.length < quotas.get(memberId)!) {
        share.push(partition);
        break;
      }
    }
  }
}

function assignByShares(
  topics: Topics,
  members: readonly StickyMember[],
  held: ReadonlyMap<string, readonly TopicPartition[]>,
  assignment: GroupAssignment,
): void {
  const places = new Map(members.map((member, place) => [member, place]));
  const heldOf = topics.map(({ topic, subscribers }) =>
    subscribers.map(({ memberId }) => held.get(memberId)!.filter((partition) => partition.topic === topic)),
  );
  const shares = balanceShares(
    topics.map(({ partitions, subscribers }, index) => ({
      partitions,
      subscribers: subscribers.map((member) => places.get(member)!),
      held: heldOf[index]!.map((partitions) => partitions.length),
    })),
    members.length,
  );
  topics.forEach(({ topic, partitions, subscribers }, index) => {
    const free = new Set(Array.from({ length: partitions }, (_, partition) => partition));
    subscribers.forEach(({ memberId }, place) => {
      for (const kept of heldOf[index]![place]!.slice(0, shares[index]![place]!)) {
        assignment.get(memberId)!.push(kept);
        free.delete(kept.partition);
      }
    });
    const rest = free.values();
    subscribers.forEach(({ memberId }, place) => {
      const missing = shares[index]![place]! - heldOf[index]![place]!.length;
      for (let count = 0; count < missing; count += 1) {
        assignment.get(memberId)!.push({ topic, partition: rest.next().value! });
      }
    });
  });
}

function allPartitions(topics: Topics): TopicPartition[] {
  return topics.flatMap(({ topic, partitions }) =>
    Array.from({ length: partitions }, (_, partition) => ({ topic, partition })),
  );
}

/** Topics take turns: who gets or gives up some gets or gives up some of each topic. */
function compareAcrossTopics(a: TopicPartition, b: TopicPartition): number {
  return a.partition - b.partition || compareText(a.topic, b.topic);
}
