/** The committed offsets of one group, as far as they are durable. Knows what has expired (KIP-211), but not what time it is. */
import type { StoredOffset } from './group-records.ts';
import type { CommittedOffset } from './group-service.ts';

/** About what an offset takes in memory besides its metadata. */
const OFFSET_BYTES = 200;

export class CommittedOffsets {
  /** By topic and partition: clients name both, so both are keys of a Map. */
  readonly #topics = new Map<string, Map<number, StoredOffset>>();
  #size = 0;
  #bytes = 0;

  get size(): number {
    return this.#size;
  }

  /** About what all take in memory. */
  get bytes(): number {
    return this.#bytes;
  }

  get(topic: string, partition: number): StoredOffset | undefined {
    return this.#topics.get(topic)?.get(partition);
  }

  set(topic: string, partition: number, offset: StoredOffset): void {
    const partitions = this.#topics.get(topic) ?? new Map<number, StoredOffset>();
    if (partitions.size === 0) this.#topics.set(topic, partitions);
    const before = partitions.get(partition);
    partitions.set(partition, offset);
    if (before === undefined) this.#size++;
    this.#bytes += offsetBytes(offset) - offsetBytes(before);
  }

  delete(topic: string, partition: number): void {
    const partitions = this.#topics.get(topic);
    const before = partitions?.get(partition);
    if (partitions === undefined || before === undefined) return;
    partitions.delete(partition);
    if (partitions.size === 0) this.#topics.delete(topic);
    this.#size--;
    this.#bytes -= offsetBytes(before);
  }

  /** Of one topic, or of all. */
  list(topic?: string): CommittedOffset[] {
    const found: CommittedOffset[] = [];
    for (const name of topic === undefined ? this.#topics.keys() : [topic]) {
      for (const [partition, { offset, leaderEpoch, metadata }] of this.#topics.get(name) ?? []) {
        found.push({ topic: name, partition, offset, leaderEpoch, metadata });
      }
    }
    return found;
  }

  /**
   * Those whose time is over: what counts is `sinceMs`, or where it is undefined the time of the commit. Offsets of topics
   * that are consumed do not expire.
   */
  expired(options: {
    readonly beforeMs: number;
    readonly sinceMs: number | undefined;
    readonly isConsumed: (topic: string) => boolean;
  }): Array<{ readonly topic: string; readonly partition: number }> {
    const { beforeMs, sinceMs, isConsumed } = options;
    const found: Array<{ topic: string; partition: number }> = [];
    for (const [topic, partitions] of this.#topics) {
      if (isConsumed(topic)) continue;
      for (const [partition, { commitTimestampMs }] of partitions) {
        if ((sinceMs ?? commitTimestampMs) <= beforeMs) found.push({ topic, partition });
      }
    }
    return found;
  }
}

function offsetBytes(offset: StoredOffset | undefined): number {
  return offset === undefined ? 0 : OFFSET_BYTES + offset.metadata.length * 2;
}
