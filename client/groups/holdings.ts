/**
 * Since which generation a member has had each of its partitions without a break. Who asked for a commit in that generation or
 * later may still make it: nobody else can have committed there meanwhile. Pure.
 */
import { partitionKey, type TopicPartition } from '../topic-partition.ts';
import type { LastAssignment } from './group-protocol.ts';

export class Holdings {
  /** By partition. Invariant: only what is assigned. */
  #sinceGeneration = new Map<string, number>();

  onLost(): void {
    this.#sinceGeneration.clear();
  }

  /** `kept`: still assigned when it joined. `last`: what it was assigned last, which eager members give up to join. */
  onAssigned(
    next: readonly TopicPartition[],
    generationId: number,
    kept: readonly TopicPartition[],
    last: LastAssignment,
  ): void {
    const before = this.#sinceGeneration;
    const unbroken = new Set(kept.map(partitionKey));
    if (last.generationId >= generationId - 1) for (const each of last.partitions) unbroken.add(partitionKey(each));
    this.#sinceGeneration = new Map();
    for (const partition of next) {
      const key = partitionKey(partition);
      const since = unbroken.has(key) ? before.get(key) : undefined;
      this.#sinceGeneration.set(key, since ?? generationId);
    }
  }

  /** Whether it had the partition in that generation and in all that came after. */
  hasHadSince(partition: TopicPartition, generationId: number): boolean {
    return (this.#sinceGeneration.get(partitionKey(partition)) ?? Number.POSITIVE_INFINITY) <= generationId;
  }
}
