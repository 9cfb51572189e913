/**
 * What an assignor is: the leader of a group gives it all subscriptions, and it says who consumes what. These have the
 * names, the rules and the bytes of Kafka's (and kafkajs' name for one), so that members of any client may share a group. Pure.
 */
import type { TopicPartition } from '../../topic-partition.ts';

/** As Kafka clients spell them; `RoundRobinAssigner` is what kafkajs calls its round robin, the one assignor that it has. */
export type AssignorName = 'range' | 'roundrobin' | 'RoundRobinAssigner' | 'sticky' | 'cooperative-sticky';

/** A member as its subscription describes it. */
export interface AssignorMember {
  readonly memberId: string;
  readonly groupInstanceId: string | undefined;
  readonly topics: readonly string[];
  /** What it still holds, and did not give up in order to join. */
  readonly ownedPartitions: readonly TopicPartition[];
  /** The generation as of which it holds that; -1 where its client does not tell. */
  readonly generationId: number;
  readonly userData: Uint8Array | undefined;
}

/** By member id; one entry per member. */
export type GroupAssignment = Map<string, TopicPartition[]>;

export interface Assignor {
  readonly name: AssignorName;
  /** Whether members keep what they hold while they join, and give up only what the next assignment lacks (KIP-429). */
  readonly cooperative: boolean;
  /** `partitionCounts` has the topics that exist; others are left out. */
  assign(partitionCounts: ReadonlyMap<string, number>, members: readonly AssignorMember[]): GroupAssignment;
  /** What a member tells the leader beside its subscription, given what it was assigned last and as of which generation. */
  userData(lastAssignment: readonly TopicPartition[], generationId: number): Uint8Array | undefined;
}

/** The order in which Kafka's range and round-robin assignors look at members: static ones first, so that they keep their share. */
export function compareMembers(a: AssignorMember, b: AssignorMember): number {
  if (a.groupInstanceId !== undefined && b.groupInstanceId !== undefined) {
    return compareText(a.groupInstanceId, b.groupInstanceId);
  }
  if (a.groupInstanceId !== undefined) return -1;
  if (b.groupInstanceId !== undefined) return 1;
  return compareText(a.memberId, b.memberId);
}

/** By code units, as Java's String.compareTo: every leader must come to the same order. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function emptyAssignment(members: readonly AssignorMember[]): GroupAssignment {
  return new Map(members.map(({ memberId }) => [memberId, []]));
}

/** Topics that exist and that somebody subscribes to, sorted, with their subscribers in the order of `members`. */
export function subscribersByTopic<M extends AssignorMember>(
  partitionCounts: ReadonlyMap<string, number>,
  members: readonly M[],
): Array<{ readonly topic: string; readonly partitions: number; readonly subscribers: readonly M[] }> {
  const byTopic = new Map<string, M[]>();
  for (const member of members) {
    for (const topic of new Set(member.topics)) {
      const subscribers = byTopic.get(topic);
      if (subscribers === undefined) byTopic.set(topic, [member]);
      else subscribers.push(member);
    }
  }
  return [...byTopic]
    .map(([topic, subscribers]) => ({ topic, partitions: partitionCounts.get(topic) ?? 0, subscribers }))
    .filter(({ partitions }) => partitions > 0)
    .sort((a, b) => compareText(a.topic, b.topic));
}
