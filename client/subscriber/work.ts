/** What a subscriber has in work: partitions, batches taken from them, and the items that handlers get, one at a time. */
import type { ConsumerBatch, ConsumerRecord } from '../consumer/consumer-record.ts';
import type { ChunkOrigin, PartitionCursor } from '../consumer/partition-cursor.ts';
import { NO_KEY, type OrderedItem } from './key-order-state.ts';
import { PartitionProgress, TakenBatch } from './partition-progress-state.ts';

/** Spreads small numbers over 32 bits. */
const SPREAD = 0x9e37_79b1;

/** A partition, from when its first batch is taken until it is given up. */
export class PartitionWork<K, V> {
  readonly cursor: PartitionCursor<K, V>;
  readonly progress = new PartitionProgress();
  /** Of a key's hash: the same key in two partitions is two keys. */
  readonly salt: number;
  /** Of a retry topic: its records were tried before. */
  readonly isRetry: boolean;
  /** Items that somebody works on. */
  running = 0;
  /** Nothing more of it is begun; others may have it. */
  revoked: boolean = false;

  constructor(cursor: PartitionCursor<K, V>, id: number, isRetry: boolean) {
    this.cursor = cursor;
    this.isRetry = isRetry;
    this.salt = Math.imul(id, SPREAD);
  }

  /** Tells the cursor how far the partition may be committed. */
  noteProgress(): void {
    const { cursor, progress } = this;
    // Behind what was taken there may be batches without records for anybody.
    if (progress.isIdle) {
      cursor.finishHandedOut();
    } else if (progress.finished !== undefined) {
      cursor.finished = progress.finished;
      cursor.finishedLeaderEpoch = progress.leaderEpoch;
    }
  }
}

export class BatchWork<K, V> {
  readonly partition: PartitionWork<K, V>;
  readonly records: readonly ConsumerRecord<K, V>[];
  readonly taken: TakenBatch;
  readonly #origin: ChunkOrigin | undefined;
  readonly #bytes: number;
  /** Records that somebody may still work on. */
  #left: number;

  constructor(
    partition: PartitionWork<K, V>,
    records: readonly ConsumerRecord<K, V>[],
    place: { readonly nextOffset: number; readonly leaderEpoch: number },
    credit: { readonly origin: ChunkOrigin | undefined; readonly bytes: number },
  ) {
    this.partition = partition;
    this.records = records;
    this.taken = new TakenBatch(records, place.nextOffset, place.leaderEpoch);
    this.#origin = credit.origin;
    this.#bytes = credit.bytes;
    this.#left = records.length;
    partition.progress.take(this.taken);
  }

  /** So many of its records are finished or dropped: their broker may send others. Per record. */
  release(records: number): void {
    this.#left -= records;
    this.#origin?.release(records, this.#left === 0 ? this.#bytes : 0);
  }
}

/** A record, or a whole batch, on its way through a handler. Used again for others after that. */
export class WorkItem<K, V> implements OrderedItem<WorkItem<K, V>> {
  batch: BatchWork<K, V>;
  /** The record's place in the batch; {@link WHOLE_BATCH} for all of them. */
  index: number;
  key = NO_KEY;
  sequence = 0;
  next: WorkItem<K, V> | undefined = undefined;
  /** How often the handler was called with it. */
  attempts = 0;

  constructor(batch: BatchWork<K, V>, index: number) {
    this.batch = batch;
    this.index = index;
  }
}

export const WHOLE_BATCH = -1;

/** What a batch handler gets: those of its records that were not set aside. */
export function handedBatch<K, V>({ partition, records, taken }: BatchWork<K, V>): ConsumerBatch<K, V> {
  const { topic, partition: number, highWatermark } = partition.cursor;
  const left = taken.done.includes(1) ? records.filter((_, index) => taken.done[index] === 0) : records;
  return { topic, partition: number, records: left, nextOffset: taken.nextOffset, highWatermark };
}
