/**
 * One record batch on its way to one partition: open while records are added, then closed, sent (perhaps several times) and
 * settled once. Knows the promises that wait for it; not when or where it is sent.
 */

import { writeInt16, writeInt32, writeInt64 } from '../../src/bytes/big-endian.ts';
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import type { BatchBuilder } from '../../src/records/batch-builder.ts';
import {
  BASE_SEQUENCE_POSITION,
  type Codec,
  CRC_POSITION,
  computeCrc,
  getBaseSequence,
  getProducerEpoch,
  getProducerId,
  PRODUCER_EPOCH_POSITION,
  PRODUCER_ID_POSITION,
} from '../../src/records/batch-header.ts';
import type { SequencedBatch } from './idempotence-state.ts';
import type { PartitionQueue } from './partition-queue.ts';

/** Where a record was stored. */
export interface RecordMetadata {
  readonly topic: string;
  readonly partition: number;
  /** -1 with `acks: 0`: the broker does not say. */
  readonly offset: number;
  /** Milliseconds: the record's own timestamp, or the broker's clock where the topic says so. */
  readonly timestampMs: number;
}

/** What the broker answered for a batch. */
export interface BatchOutcome {
  /** -1 if the broker does not say. */
  readonly baseOffset: number;
  /** -1 where the topic keeps the producer's timestamps. */
  readonly logAppendTimeMs: number;
}

/** Waits for several batches at once: a sendMany() or a flush(). Told once per run of records, never per record. */
export interface BatchWatcher {
  /** Records `firstIndex` to `firstIndex + count` of the batch were watched. One of `outcome` and `error` is set. */
  onBatchSettled(
    batch: ProducerBatch,
    firstIndex: number,
    count: number,
    outcome: BatchOutcome | undefined,
    error: BurrowError | undefined,
  ): void;
}

type Resolve = (metadata: RecordMetadata) => void;
type Reject = (error: BurrowError) => void;

export class ProducerBatch implements SequencedBatch {
  readonly queue: PartitionQueue;
  readonly topic: string;
  readonly partition: number;
  /** Counts the batches of this queue, from 0. */
  readonly ordinal: number;
  /** Monotonic milliseconds. */
  readonly createdAtMs: number;
  /** Monotonic milliseconds; given up if not acknowledged by then. */
  readonly deadlineMs: number;
  /** Set while open, and then until the bytes are made. */
  builder: BatchBuilder | undefined;
  /** Set once made. Never written to after the first attempt, since a socket may still hold them (CVE-2026-35554). */
  bytes: Uint8Array | undefined;
  /** Closed and, if it must be, compressed. */
  isReady: boolean = false;
  recordCount = 0;
  /** What it counts against the producer's bufferBytes, from creation to settlement. */
  accountedBytes = 0;
  /** Times it was handed to a connection. */
  attempts = 0;
  settled: boolean = false;
  /** Why the last attempt failed. */
  lastError: BurrowError | undefined;

  producerId = -1;
  producerEpoch = -1;
  baseSequence = -1;
  place = -1;
  outcomeUnknown: boolean = false;
  afterGap: boolean = false;

  // Promises of send(), index by index. One executor serves them all, so that a record costs no closure of ours.
  readonly #recordIndexes: number[] = [];
  readonly #timestamps: number[] = [];
  readonly #resolves: Resolve[] = [];
  readonly #rejects: Reject[] = [];
  readonly #executor = (resolve: Resolve, reject: Reject): void => {
    this.#resolves.push(resolve);
    this.#rejects.push(reject);
  };
  // Watchers, and the run of records each watches, index by index.
  readonly #watchers: BatchWatcher[] = [];
  readonly #watchedFirst: number[] = [];
  readonly #watchedCount: number[] = [];

  constructor(
    queue: PartitionQueue,
    ordinal: number,
    times: { createdAtMs: number; deadlineMs: number },
    builder: BatchBuilder,
  ) {
    this.queue = queue;
    this.topic = queue.topic;
    this.partition = queue.partition;
    this.ordinal = ordinal;
    this.createdAtMs = times.createdAtMs;
    this.deadlineMs = times.deadlineMs;
    this.builder = builder;
  }

  /** No more records. Resolves when the batch {@link isReady}; at once, without a promise, if nothing must be compressed. */
  close(codec: Codec): Promise<void> | undefined {
    if (codec === 'none') {
      this.isReady = true;
      return undefined;
    }
    const builder = this.builder!;
    this.builder = undefined;
    return builder.finishCompressed(codec).then((bytes) => {
      this.bytes = bytes;
      this.isReady = true;
    });
  }

  /** Makes {@link bytes} carry producer id, epoch and sequence as they are now. */
  finishBytes(): void {
    const { producerId, producerEpoch, baseSequence } = this;
    if (this.builder !== undefined) {
      this.bytes = this.builder.finish({ producerId, producerEpoch, baseSequence });
      this.builder = undefined;
      return;
    }
    const bytes = this.bytes!;
    const isStamped =
      getProducerId(bytes, 0) === producerId &&
      getProducerEpoch(bytes, 0) === producerEpoch &&
      getBaseSequence(bytes, 0) === baseSequence;
    if (isStamped) return;
    this.bytes = this.attempts === 0 ? bytes : new Uint8Array(bytes);
    stampProducer(this.bytes, producerId, producerEpoch, baseSequence);
  }

  /** The promise of the record that was added last. */
  promiseOfLastRecord(timestampMs: number): Promise<RecordMetadata> {
    this.#recordIndexes.push(this.recordCount - 1);
    this.#timestamps.push(timestampMs);
    return new Promise(this.#executor);
  }

  /**
   * Tells `watcher` when the record that was added last is settled. True if that will be a call of its own,
   * false if it is part of the run that is watched already. Per record.
   */
  watchLastRecord(watcher: BatchWatcher): boolean {
    const last = this.#watchers.length - 1;
    if (
      last >= 0 &&
      this.#watchers[last] === watcher &&
      this.#watchedFirst[last]! + this.#watchedCount[last]! === this.recordCount - 1
    ) {
      this.#watchedCount[last]! += 1;
      return false;
    }
    this.#watchers.push(watcher);
    this.#watchedFirst.push(this.recordCount - 1);
    this.#watchedCount.push(1);
    return true;
  }

  /** Tells `watcher` when the batch is settled. */
  watch(watcher: BatchWatcher): void {
    this.#watchers.push(watcher);
    this.#watchedFirst.push(0);
    this.#watchedCount.push(0);
  }

  /** Acknowledged. */
  resolve(outcome: BatchOutcome): void {
    if (this.settled) return;
    this.settled = true;
    const { topic, partition } = this;
    for (let index = 0; index < this.#resolves.length; index += 1) {
      this.#resolves[index]!({
        topic,
        partition,
        offset: outcome.baseOffset < 0 ? -1 : outcome.baseOffset + this.#recordIndexes[index]!,
        timestampMs: outcome.logAppendTimeMs >= 0 ? outcome.logAppendTimeMs : this.#timestamps[index]!,
      });
    }
    this.#tellWatchers(outcome, undefined);
    this.#release();
  }

  /** Given up. */
  reject(error: BurrowError): void {
    if (this.settled) return;
    this.settled = true;
    for (const reject of this.#rejects) reject(error);
    this.#tellWatchers(undefined, error);
    this.#release();
  }

  #tellWatchers(outcome: BatchOutcome | undefined, error: BurrowError | undefined): void {
    for (let index = 0; index < this.#watchers.length; index += 1) {
      const watcher = this.#watchers[index]!;
      watcher.onBatchSettled(this, this.#watchedFirst[index]!, this.#watchedCount[index]!, outcome, error);
    }
  }

  #release(): void {
    // The bytes stay: a socket may still hold them. Everything that would keep users' objects alive goes.
    this.builder = undefined;
    this.#recordIndexes.length = 0;
    this.#timestamps.length = 0;
    this.#resolves.length = 0;
    this.#rejects.length = 0;
    this.#watchers.length = 0;
    this.#watchedFirst.length = 0;
    this.#watchedCount.length = 0;
  }
}

/** Per batch. */
function stampProducer(bytes: Uint8Array, producerId: number, producerEpoch: number, baseSequence: number): void {
  writeInt64(bytes, PRODUCER_ID_POSITION, producerId);
  writeInt16(bytes, PRODUCER_EPOCH_POSITION, producerEpoch);
  writeInt32(bytes, BASE_SEQUENCE_POSITION, baseSequence);
  writeInt32(bytes, CRC_POSITION, computeCrc(bytes, 0));
}
