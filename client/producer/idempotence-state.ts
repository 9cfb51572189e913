/**
 * The sequence numbers of one partition of an idempotent producer: which batch carries which, and what a broker's answer
 * about them proves. Pure: no I/O, no time. The rules follow KIP-98, KIP-360 and Kafka's TransactionManager.
 *
 * A batch keeps producer id, epoch and sequence over all its attempts, so the broker recognises one it already has.
 * The broker appends sequence s only directly behind s - 1. Hence OUT_OF_ORDER_SEQUENCE proves that the batch is not in
 * the log, as long as the broker kept its state; and a batch may start over under a new epoch only if that is proven:
 * otherwise it would be stored twice.
 *
 * The epoch is raised here, per partition, without asking the broker (KIP-360): the broker fences the old epoch, so an
 * attempt that is still under way on some half-dead connection cannot slip in behind the new one.
 */
import type { ErrorName } from '../../src/errors/table.ts';

/** Kafka's brokers remember this many batches per producer and partition; more unresolved ones could not be recognised. */
export const UNRESOLVED_BATCHES_MAX = 5;

const EPOCH_MAX = 32_767;
const SEQUENCE_COUNT = 2 ** 31;

export interface ProducerIdentity {
  readonly producerId: number;
  readonly producerEpoch: number;
}

/** What this machine reads and writes on a batch. */
export interface SequencedBatch {
  readonly recordCount: number;
  /** -1 until a sequence is assigned. Likewise the next two. */
  producerId: number;
  producerEpoch: number;
  baseSequence: number;
  /** An attempt ended without an answer (or with one that leaves it open), so the batch may be in the log. */
  outcomeUnknown: boolean;
  /** Counts the batches that got a sequence, without holes. */
  place: number;
  /** The batch directly before this one was given up: the broker may see a gap that is not its fault. */
  afterGap: boolean;
}

/**
 * What to do with a batch that the broker did not accept because of its sequence:
 * `retry` it as it is, or `fail` it, because trying again could store it twice.
 */
export type SequenceVerdict = 'retry' | 'fail';

/** Sequences run from 0 to 2^31 - 1 and start over at 0. */
export function addToSequence(sequence: number, count: number): number {
  return (sequence + count) % SEQUENCE_COUNT;
}

export class IdempotenceState {
  /** Undefined until the broker gave one, and again once its epochs are used up. */
  identity: ProducerIdentity | undefined;
  /** Sequence of the next batch that has none. */
  nextSequence = 0;
  /**
   * Batches that have a sequence and no final outcome, by sequence. Invariant: from the first to the newest batch with a
   * sequence it is at most {@link UNRESOLVED_BATCHES_MAX}, resolved ones in between included: had the broker stored more behind
   * the first, it would no longer recognise it.
   */
  readonly unresolved: SequencedBatch[] = [];
  /** The chain of sequences is broken; all unresolved batches start over once none of them may be in the log. */
  resetting: boolean = false;
  #nextPlace = 0;
  #gapBeforeNext: boolean = false;
  /** The broker fenced this identity: a higher epoch of it would be fenced as well. */
  #identityFenced: boolean = false;

  constructor(identity?: ProducerIdentity) {
    this.identity = identity;
  }

  /** Whether a batch without a sequence may get one now. */
  canAssign(): boolean {
    if (this.resetting || this.identity === undefined) return false;
    const first = this.unresolved[0];
    return first === undefined || this.#nextPlace - first.place < UNRESOLVED_BATCHES_MAX;
  }

  /** Whether a batch that has its sequence may be sent again now. During a reset only those whose outcome is open. */
  canResend(batch: SequencedBatch): boolean {
    return !this.resetting || batch.outcomeUnknown;
  }

  assign(batch: SequencedBatch): void {
    const identity = this.identity!;
    batch.producerId = identity.producerId;
    batch.producerEpoch = identity.producerEpoch;
    batch.baseSequence = this.nextSequence;
    batch.afterGap = this.#gapBeforeNext;
    this.#gapBeforeNext = false;
    batch.place = this.#nextPlace;
    this.#nextPlace += 1;
    this.nextSequence = addToSequence(this.nextSequence, batch.recordCount);
    this.unresolved.push(batch);
  }

  onAcknowledged(batch: SequencedBatch): void {
    const index = this.unresolved.indexOf(batch);
    if (index >= 0) this.unresolved.splice(index, 1);
  }

  /** The batch is given up: it expired, or the broker refused it for good. */
  onGivenUp(batch: SequencedBatch): void {
    const index = this.unresolved.indexOf(batch);
    if (index < 0) return;
    this.unresolved.splice(index, 1);
    const follower = this.unresolved[index];
    if (follower !== undefined) {
      follower.afterGap = true;
    } else if (batch.outcomeUnknown) {
      this.#gapBeforeNext = true;
    } else {
      // Nothing follows it and it is not in the log: its sequence is free again.
      this.nextSequence = batch.baseSequence;
      this.#gapBeforeNext = batch.afterGap;
    }
  }

  /** Judges an answer of OUT_OF_ORDER_SEQUENCE, UNKNOWN_PRODUCER_ID or INVALID_PRODUCER_EPOCH. */
  onSequenceRefused(batch: SequencedBatch, code: ErrorName): SequenceVerdict {
    const isHead = this.unresolved[0] === batch;
    if (code === 'OUT_OF_ORDER_SEQUENCE') {
      if (!isHead || this.resetting) {
        // An earlier batch is missing, so this one cannot have been appended in any attempt.
        batch.outcomeUnknown = false;
        return 'retry';
      }
      // The batch before it was acknowledged and yet the broker sees a gap: it lost state, and its word about this
      // batch proves nothing about an earlier attempt.
      if (batch.outcomeUnknown && !batch.afterGap) return this.#failAndReset();
      batch.outcomeUnknown = false;
      this.resetting = true;
      return 'retry';
    }
    if (code === 'UNKNOWN_PRODUCER_ID') {
      if (!isHead && !this.resetting) return 'retry';
      if (batch.outcomeUnknown) return this.#failAndReset();
      this.resetting = true;
      return 'retry';
    }
    this.#identityFenced = true;
    return this.#failAndReset();
  }

  /**
   * Ends a reset, if one is due and nothing stands in its way: gives every unresolved batch a place under the new epoch.
   * `inFlightCount` is the number of batches of this partition whose answer is outstanding.
   */
  maybeFinishReset(inFlightCount: number): void {
    if (!this.resetting || inFlightCount > 0) return;
    for (const batch of this.unresolved) if (batch.outcomeUnknown) return;
    if (this.identity !== undefined) {
      const { producerId, producerEpoch } = this.identity;
      const usedUp = this.#identityFenced || producerEpoch >= EPOCH_MAX;
      this.identity = usedUp ? undefined : { producerId, producerEpoch: producerEpoch + 1 };
    }
    if (this.identity === undefined) return;
    this.#startOver(this.identity);
  }

  /** A new producer id, asked for because {@link identity} was undefined. */
  onNewIdentity(identity: ProducerIdentity): void {
    this.identity = identity;
    this.#identityFenced = false;
    if (this.resetting) this.#startOver(identity);
  }

  #startOver(identity: ProducerIdentity): void {
    this.resetting = false;
    this.#gapBeforeNext = false;
    this.nextSequence = 0;
    for (const batch of this.unresolved) {
      batch.producerId = identity.producerId;
      batch.producerEpoch = identity.producerEpoch;
      batch.baseSequence = this.nextSequence;
      batch.place = this.#nextPlace;
      this.#nextPlace += 1;
      batch.afterGap = false;
      this.nextSequence = addToSequence(this.nextSequence, batch.recordCount);
    }
  }

  #failAndReset(): SequenceVerdict {
    this.resetting = true;
    return 'fail';
  }
}
