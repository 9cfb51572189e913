/**
 * Sends that cannot be added to a batch yet, because their topic is not known or the buffer is full: one line per topic, first
 * come, first served, so that records of a topic keep their order. Not on the fast path.
 */
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import type { RecordMetadata } from './producer-batch.ts';
import type { ProducerRecord } from './producer-options.ts';
import type { SendManyWatcher } from './watchers.ts';

/** A send(), or what one sendMany() has for one topic, or (without records) the mark of a flush(). */
export interface WaitingSend<K, V> {
  readonly records: readonly ProducerRecord<K, V>[];
  /** The first record that was not added yet. */
  index: number;
  /** Of a sendMany(). */
  readonly watcher: SendManyWatcher | undefined;
  /** Of a send(). */
  readonly resolve: ((metadata: Promise<RecordMetadata>) => void) | undefined;
  /** Called once when nothing of it waits any more; with an error if not all records were added. */
  readonly onEnd: (error: BurrowError | undefined) => void;
  /** Monotonic milliseconds. */
  readonly sinceMs: number;
  next: WaitingSend<K, V> | undefined;
}

/** A linked list: an array's shift() would cost more the longer the line is. */
export class WaitingLine<K, V> {
  head: WaitingSend<K, V> | undefined;
  #tail: WaitingSend<K, V> | undefined;
  /** When a record of this line was last added to a batch, in monotonic milliseconds. */
  lastProgressMs = 0;

  push(waiting: WaitingSend<K, V>): void {
    if (this.#tail === undefined) this.head = waiting;
    else this.#tail.next = waiting;
    this.#tail = waiting;
  }

  removeHead(): void {
    this.head = this.head?.next;
    if (this.head === undefined) this.#tail = undefined;
  }

  /** When the head has waited for `blockMaxMs` without progress. */
  giveUpAtMs(blockMaxMs: number): number {
    if (this.head === undefined) return Number.POSITIVE_INFINITY;
    return Math.max(this.lastProgressMs, this.head.sinceMs) + blockMaxMs;
  }
}
