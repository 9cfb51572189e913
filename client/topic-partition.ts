/** Naming a partition, and using it as a key. */
export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** Unambiguous: a partition is digits, so the last hyphen divides. */
export function partitionKey(of: TopicPartition): string {
  return `${of.topic}-${of.partition}`;
}
