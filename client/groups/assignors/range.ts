/**
 * Kafka's range assignor: each topic by itself is cut into ranges, so that equal partitions of topics with as many partitions
 * come to the same member. The first members get one more where it does not divide evenly: in each topic, which adds up.
 */
import { type Assignor, compareMembers, emptyAssignment, subscribersByTopic } from './assignor.ts';

export const rangeAssignor: Assignor = {
  name: 'range',
  cooperative: false,
  assign(partitionCounts, members) {
    const assignment = emptyAssignment(members);
    const sorted = [...members].sort(compareMembers);
    for (const { topic, partitions, subscribers } of subscribersByTopic(partitionCounts, sorted)) {
      const share = Math.floor(partitions / subscribers.length);
      const withOneMore = partitions % subscribers.length;
      let partition = 0;
      subscribers.forEach(({ memberId }, index) => {
        const end = partition + share + (index < withOneMore ? 1 : 0);
        for (; partition < end; partition += 1) assignment.get(memberId)!.push({ topic, partition });
      });
    }
    return assignment;
  },
  userData: () => undefined,
};
