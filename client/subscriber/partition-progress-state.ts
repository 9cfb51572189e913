/**
 * How far a partition is finished while its records are finished in any order: up to the first that is not. Pure. Per record a
 * byte, and no more work than once over the records.
 *
 *     finished: 0 1 2 . 4 5 . 7        committed may be: 3
 */

/** A batch in work. */
export class TakenBatch {
  readonly records: ReadonlyArray<{ readonly offset: number }>;
  /** Behind the batch, which may be more than one behind its last record. */
  readonly nextOffset: number;
  readonly leaderEpoch: number;
  readonly done: Uint8Array;
  /** The first record that is not done. */
  prefix = 0;

  constructor(records: ReadonlyArray<{ readonly offset: number }>, nextOffset: number, leaderEpoch: number) {
    this.records = records;
    this.nextOffset = nextOffset;
    this.leaderEpoch = leaderEpoch;
    this.done = new Uint8Array(records.length);
  }
}

export class PartitionProgress {
  /** In the order of their offsets. */
  readonly #batches: TakenBatch[] = [];
  /** Behind the finished prefix; undefined as long as nothing is finished. */
  finished: number | undefined;
  /** Of the batch that its last record is in. */
  leaderEpoch = -1;

  /** Whether all that was taken is finished. */
  get isIdle(): boolean {
    return this.#batches.length === 0;
  }

  /** It begins behind all that were taken before. */
  take(batch: TakenBatch): void {
    this.#batches.push(batch);
  }

  finish(batch: TakenBatch, index: number): void {
    batch.done[index] = 1;
    if (batch === this.#batches[0]) this.#advance();
  }

  finishAll(batch: TakenBatch): void {
    batch.done.fill(1);
    if (batch === this.#batches[0]) this.#advance();
  }

  #advance(): void {
    for (let batch = this.#batches[0]; batch !== undefined; batch = this.#batches[0]) {
      const { records, done } = batch;
      let { prefix } = batch;
      while (prefix < records.length && done[prefix] === 1) prefix += 1;
      if (prefix > batch.prefix) this.leaderEpoch = batch.leaderEpoch;
      batch.prefix = prefix;
      if (prefix < records.length) {
        if (prefix > 0) this.finished = records[prefix - 1]!.offset + 1;
        return;
      }
      this.finished = batch.nextOffset;
      this.#batches.shift();
    }
  }
}
