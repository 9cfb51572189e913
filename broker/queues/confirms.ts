/**
 * The confirms of one channel that publishes: numbers its messages from 1, routes each, and tells when every queue that a
 * message went to has stored it. Per message: nothing is kept for those that go to one queue.
 */
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import type { StoredTarget } from './message-log.ts';

export interface ConfirmSink {
  /**
   * With `multiple`, everything up to `number` is confirmed, else this one alone. Numbers may be told again as part of a
   * multiple.
   */
  onConfirmed(number: number, multiple: boolean): void;
  /** The message is not stored everywhere that it should be: a queue was full, or storage failed. */
  onRefused(number: number, error: BurrowError | undefined): void;
}

export class Confirms implements StoredTarget {
  readonly #sink: ConfirmSink;
  #next = 1;
  /** Everything below is confirmed or refused. */
  #floor = 1;
  /** Confirmed or refused above the floor. */
  readonly #above = new Set<number>();
  /** Places that have not answered yet, of messages that went to several; negative once one has refused. */
  readonly #waiting = new Map<number, number>();

  constructor(sink: ConfirmSink) {
    this.#sink = sink;
  }

  /** Messages that are neither confirmed nor refused. */
  get outstanding(): number {
    return this.#next - this.#floor - this.#above.size;
  }

  /** The number of the next message, which goes to so many places. */
  begin(places: number): number {
    const number = this.#next++;
    if (places > 1) this.#waiting.set(number, places);
    return number;
  }

  /** A message that goes nowhere is confirmed at once (RabbitMQ: "unroutable"). */
  confirmUnrouted(number: number): void {
    this.#confirm(number, number);
  }

  /** One of its places has not taken the message. */
  refuse(number: number, error?: BurrowError): void {
    const places = this.#waiting.get(number);
    if (places !== undefined) {
      const left = Math.abs(places) - 1;
      if (left === 0) this.#waiting.delete(number);
      else this.#waiting.set(number, -left);
      if (places < 0) return;
    }
    this.#settled(number);
    this.#sink.onRefused(number, error);
  }

  onStored(first: number, last: number): void {
    let from = first;
    for (let number = first; number <= last && this.#waiting.size > 0; number++) {
      const places = this.#waiting.get(number);
      if (places === undefined) continue;
      if (from < number) this.#confirm(from, number - 1);
      from = number + 1;
      if (Math.abs(places) > 1) this.#waiting.set(number, places > 0 ? places - 1 : places + 1);
      else {
        this.#waiting.delete(number);
        if (places > 0) this.#confirm(number, number);
      }
    }
    if (from <= last) this.#confirm(from, last);
  }

  onNotStored(first: number, last: number, error: BurrowError): void {
    for (let number = first; number <= last; number++) this.refuse(number, error);
  }

  #confirm(first: number, last: number): void {
    if (first === this.#floor) {
      this.#raise(last);
      this.#sink.onConfirmed(last, true);
      return;
    }
    // Out of order: another queue is faster. Not held back, since the slow one may be slow for long.
    for (let number = first; number <= last; number++) {
      this.#settled(number);
      this.#sink.onConfirmed(number, false);
    }
  }

  #settled(number: number): void {
    if (number === this.#floor) this.#raise(number);
    else this.#above.add(number);
  }

  #raise(last: number): void {
    this.#floor = last + 1;
    while (this.#above.delete(this.#floor)) this.#floor++;
  }
}
