/** Kafka's round-robin assignor: all partitions of all topics in their order go to the members in turn. */
import { type Assignor, compareMembers, emptyAssignment, subscribersByTopic } from './assignor.ts';

export const roundRobinAssignor: Assignor = {
  name: 'roundrobin',
  cooperative: false,
  assign(partitionCounts, members) {
    const assignment = emptyAssignment(members);
    const sorted = [...members].sort(compareMembers);
    let turn = 0;
    for (const { topic, partitions, subscribers } of subscribersByTopic(partitionCounts, sorted)) {
      const subscribed = new Set(subscribers);
      for (let partition = 0; partition < partitions; partition += 1) {
        while (!subscribed.has(sorted[turn % sorted.length]!)) turn += 1;
        assignment.get(sorted[turn % sorted.length]!.memberId)!.push({ topic, partition });
        turn += 1;
      }
    }
    return assignment;
  },
  userData: () => undefined,
};

/** For groups with members of kafkajs. */
export const kafkajsRoundRobinAssignor: Assignor = { ...roundRobinAssignor, name: 'RoundRobinAssigner' };
