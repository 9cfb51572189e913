/**
 * What one producer has under way to one partition, in order: closed batches that wait (those to be sent again in front),
 * then the open batch. Decides which batch may be sent next; knows no network.
 */
import { IdempotenceState, type ProducerIdentity } from './idempotence-state.ts';
import type { ProducerBatch } from './producer-batch.ts';

export class PartitionQueue {
  readonly topic: string;
  readonly partition: number;
  /** Records are added to it. */
  open: ProducerBatch | undefined;
  /**
   * Closed, not in flight, unsettled. Invariant: those that were sent before come first, by sequence; then by creation.
   */
  readonly waiting: ProducerBatch[] = [];
  /** Handed to a connection, unsettled or not: counts answers that are outstanding. */
  readonly inFlight = new Set<ProducerBatch>();
  /** Nothing is sent before this, in monotonic milliseconds: the delay after a failure. */
  mutedUntilMs = 0;
  /** Undefined if the producer is not idempotent. */
  readonly idempotence: IdempotenceState | undefined;
  /** A new producer id was asked for and has not come. */
  awaitingIdentity: boolean = false;
  /** Failed requests for a producer id since the last that worked. */
  identityFailures = 0;
  /** Size of the last closed batch: what the next one will need. */
  lastBatchBytes = 1024;
  /** Ordinal of the next batch. */
  nextOrdinal = 0;

  constructor(topic: string, partition: number, idempotent: boolean, identity: ProducerIdentity | undefined) {
    this.topic = topic;
    this.partition = partition;
    this.idempotence = idempotent ? new IdempotenceState(identity) : undefined;
  }

  get isEmpty(): boolean {
    return this.open === undefined && this.waiting.length === 0 && this.inFlight.size === 0;
  }

  /** Puts a batch that was sent back in its place: in front of all that come after it. */
  returnToWaiting(batch: ProducerBatch): void {
    let index = 0;
    // Creation order is the order of sequences, too, and unlike them it does not wrap.
    while (index < this.waiting.length && this.waiting[index]!.ordinal < batch.ordinal) index += 1;
    this.waiting.splice(index, 0, batch);
  }

  takeWaiting(): ProducerBatch[] {
    return this.waiting.splice(0);
  }

  oldestUnsettled(): ProducerBatch | undefined {
    let oldest: ProducerBatch | undefined;
    for (const batch of this.inFlight) {
      if (!batch.settled && (oldest === undefined || batch.ordinal < oldest.ordinal)) oldest = batch;
    }
    const waiting = this.waiting[0];
    if (waiting !== undefined && (oldest === undefined || waiting.ordinal < oldest.ordinal)) oldest = waiting;
    return oldest ?? this.open;
  }

  /** The closed batch to send next, or undefined if none may go now. Does not take it. */
  nextWaiting(): ProducerBatch | undefined {
    const { idempotence } = this;
    if (idempotence === undefined) return this.waiting[0];
    for (const batch of this.waiting) {
      if (batch.baseSequence < 0) return idempotence.canAssign() ? batch : undefined;
      if (idempotence.canResend(batch)) return batch;
    }
    return undefined;
  }
}
