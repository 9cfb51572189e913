/** A topic as this node serves it: its definition, what that means, and the partitions that are here. */
import type { TopicConfig } from '../definitions/topic-configs.ts';
import type { TopicDefinition } from '../definitions/topic-definition.ts';
import type { PartitionDescription, PartitionStatus, TopicDescription } from './broker-service.ts';
import type { Partition } from './partition.ts';

/** Written by the broker itself; the names are Kafka's, so that Kafka's tools hide them too. */
const INTERNAL_TOPICS: ReadonlySet<string> = new Set(['__consumer_offsets', '__transaction_state']);

/** Of queues: their messages and settlements. */
export const QUEUE_TOPIC_PREFIX = '__queue.';

export function isInternalTopic(name: string): boolean {
  return INTERNAL_TOPICS.has(name) || name.startsWith(QUEUE_TOPIC_PREFIX);
}

export class NodeTopic {
  readonly definition: TopicDefinition;
  readonly config: TopicConfig;
  readonly internal: boolean;
  /** By number; undefined where this node has no replica, or could not open it. */
  readonly partitions: ReadonlyArray<Partition | undefined>;
  #description: TopicDescription | undefined;

  constructor(definition: TopicDefinition, config: TopicConfig, partitions: ReadonlyArray<Partition | undefined>) {
    this.definition = definition;
    this.config = config;
    this.internal = isInternalTopic(definition.name);
    this.partitions = partitions;
  }

  /** Made once: metadata requests come often, and definitions change seldom (then this object is replaced). */
  describe(): TopicDescription {
    this.#description ??= {
      name: this.definition.name,
      topicId: this.definition.topicId,
      internal: this.internal,
      partitions: this.definition.partitions.map((assignment, partition): PartitionDescription => {
        const { leader, leaderEpoch, replicas } = assignment;
        const inSyncReplicas = this.partitions[partition]?.inSyncReplicas ?? replicas;
        return { partition, leader, leaderEpoch, replicas, inSyncReplicas };
      }),
    };
    return this.#description;
  }

  status(): PartitionStatus[] {
    const found: PartitionStatus[] = [];
    for (const partition of this.partitions) {
      if (partition === undefined) continue;
      const { log } = partition;
      found.push({
        partition: partition.partition,
        logStartOffset: log.logStartOffset,
        highWatermark: log.highWatermark,
        lastStableOffset: log.lastStableOffset,
        logEndOffset: log.logEndOffset,
        bytes: log.bytes,
        segments: log.segmentCount,
        failure: log.failure,
      });
    }
    return found;
  }
}
