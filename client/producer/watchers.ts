/** What waits for several batches: the promise of a sendMany(), and that of a flush(). */
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import type { BatchOutcome, BatchWatcher, ProducerBatch } from './producer-batch.ts';

/** Where consecutive records of one sendMany() were stored. */
export interface StoredRange {
  readonly topic: string;
  readonly partition: number;
  /** Offset of the first record; the others follow it. -1 with `acks: 0`. */
  readonly firstOffset: number;
  readonly count: number;
}

export interface SendManyResult {
  readonly recordCount: number;
  /** In the order of acknowledgment. */
  readonly ranges: readonly StoredRange[];
}

/** One sendMany(). Settles its promise when every batch that holds one of its records is settled. */
export class SendManyWatcher implements BatchWatcher {
  readonly done: Promise<SendManyResult>;
  #resolve!: (result: SendManyResult) => void;
  #reject!: (error: BurrowError) => void;
  #runsOutstanding = 0;
  /** Places from which more records may come: the call itself, and the lines in which its records wait. */
  #sources = 1;
  #recordCount = 0;
  #error: BurrowError | undefined;
  readonly #ranges: StoredRange[] = [];

  constructor() {
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** A record was added to `batch`. Per record. */
  onAppended(batch: ProducerBatch): void {
    this.#recordCount += 1;
    if (batch.watchLastRecord(this)) this.#runsOutstanding += 1;
  }

  addSource(): void {
    this.#sources += 1;
  }

  /** No more records come from one source; `error` if not all of them could be added. */
  sourceEnded(error: BurrowError | undefined): void {
    this.#sources -= 1;
    this.#error ??= error;
    this.#maybeSettle();
  }

  onBatchSettled(
    batch: ProducerBatch,
    firstIndex: number,
    count: number,
    outcome: BatchOutcome | undefined,
    error: BurrowError | undefined,
  ): void {
    this.#runsOutstanding -= 1;
    if (outcome === undefined) {
      this.#error ??= error;
    } else {
      const firstOffset = outcome.baseOffset < 0 ? -1 : outcome.baseOffset + firstIndex;
      this.#ranges.push({ topic: batch.topic, partition: batch.partition, firstOffset, count });
    }
    this.#maybeSettle();
  }

  #maybeSettle(): void {
    if (this.#sources > 0 || this.#runsOutstanding > 0) return;
    if (this.#error !== undefined) this.#reject(this.#error);
    else this.#resolve({ recordCount: this.#recordCount, ranges: this.#ranges });
  }
}

/** One flush(): resolves when all batches it was given are settled, well or not. */
export class FlushWatcher implements BatchWatcher {
  readonly done: Promise<void>;
  #resolve!: () => void;
  #outstanding = 0;

  constructor(batches: Iterable<ProducerBatch>) {
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    for (const batch of batches) {
      if (batch.settled) continue;
      batch.watch(this);
      this.#outstanding += 1;
    }
    if (this.#outstanding === 0) this.#resolve();
  }

  onBatchSettled(): void {
    this.#outstanding -= 1;
    if (this.#outstanding === 0) this.#resolve();
  }
}
