/**
 * Chooses the partition of a record of one topic. In this order: the partition that the record names, the user's
 * function, the key's hash, and without a key the sticky partition, which stays the same until a batch is complete so
 * that records without keys fill batches instead of spreading over many small ones (KIP-480).
 */
import { BurrowError } from './errors/burrow-error.ts';
import { keyPartition } from './murmur2.ts';

/** A user's choice; `key` is serialized. Must return an integer from 0 to partitionCount - 1. */
export type PartitionFunction = (choice: {
  readonly topic: string;
  readonly key: Uint8Array | null;
  readonly partitionCount: number;
}) => number;

interface PartitionerOptions {
  readonly topic?: string;
  readonly partitionFunction?: PartitionFunction | undefined;
  /** A number in [0, 1). Default Math.random. */
  readonly random?: () => number;
}

export class Partitioner {
  readonly #topic: string;
  readonly #partitionFunction: PartitionFunction | undefined;
  readonly #random: () => number;
  /** -1 until a record without a key comes. */
  #sticky = -1;
  /** The sticky partition before a batch was completed; the next is another. */
  #last = -1;

  constructor(options: PartitionerOptions = {}) {
    this.#topic = options.topic ?? '';
    this.#partitionFunction = options.partitionFunction;
    this.#random = options.random ?? Math.random;
  }

  /** The partition of a record. INVALID_ARGUMENT if what it names, or the user's function returns, is none. Per record. */
  choose(key: Uint8Array | null, partitionCount: number, partition?: number): number {
    if (partition !== undefined) return this.#checked(partition, partitionCount);
    if (this.#partitionFunction !== undefined) {
      return this.#checked(this.#partitionFunction({ topic: this.#topic, key, partitionCount }), partitionCount);
    }
    if (key !== null) return keyPartition(key, partitionCount);
    if (this.#sticky < 0 || this.#sticky >= partitionCount) this.#sticky = this.#pick(partitionCount);
    return this.#sticky;
  }

  /** A batch of `partition` is complete: records without keys go to another from here. Per batch. */
  onBatchComplete(partition: number): void {
    if (partition !== this.#sticky) return;
    this.#last = partition;
    this.#sticky = -1;
  }

  /** Any partition but the last one, each as likely as the others. */
  #pick(partitionCount: number): number {
    const last = this.#last;
    if (last < 0 || last >= partitionCount || partitionCount === 1) return Math.floor(this.#random() * partitionCount);
    const picked = Math.floor(this.#random() * (partitionCount - 1));
    return picked < last ? picked : picked + 1;
  }

  #checked(partition: number, partitionCount: number): number {
    if (Number.isInteger(partition) && partition >= 0 && partition < partitionCount) return partition;
    throw new BurrowError(
      'INVALID_ARGUMENT',
      `Partition ${String(partition)} is not one of the ${partitionCount} of topic ${this.#topic}.`,
    );
  }
}
