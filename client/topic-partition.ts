/** Naming a partition, and using it as a key. */
export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** Unambiguous: a partition is digits, so the last hyphen divides. */
export function partitionKey(of: TopicPartition): string {
  return `${of.topic}-${of.partition}`;
}

/** By topic (code units, as Java compares) and number. */
export function comparePartitions(a: TopicPartition, b: TopicPartition): number {
  if (a.topic !== b.topic) return a.topic < b.topic ? -1 : 1;
  return a.partition - b.partition;
}

/** As group members write partitions down: by topic. */
export function groupByTopic(
  partitions: readonly TopicPartition[],
): Array<{ readonly topic: string; readonly partitions: readonly number[] }> {
  const byTopic = new Map<string, number[]>();
  for (const { topic, partition } of partitions) {
    const numbers = byTopic.get(topic);
    if (numbers === undefined) byTopic.set(topic, [partition]);
    else numbers.push(partition);
  }
  return [...byTopic].map(([topic, numbers]) => ({ topic, partitions: numbers }));
}

export function ungroup(
  topics: ReadonlyArray<{ readonly topic: string; readonly partitions: readonly number[] }>,
): TopicPartition[] {
  return topics.flatMap(({ topic, partitions }) => partitions.map((partition) => ({ topic, partition })));
}
