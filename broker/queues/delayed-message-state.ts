/**
 * Which messages of an exchange that delays are waiting, and which is due next: pure, no bodies, no I/O. 16 bytes a message. Each is
 *
 *     waiting    until its time, which is a time of day since it outlives the broker
 *     in flight  on its way to where it is routed
 *     settled    there, or nowhere to go
 *
 * The earliest is due first; of those with one time, the one that was published first.
 */
import { DueHeap } from './offset-heap.ts';
import type { QueueSnapshot } from './queue-state.ts';
import { SettledOffsets } from './settled-offsets.ts';

const NO_RETURNS: ReadonlyMap<number, number> = new Map();

export class DelayedMessageState {
  readonly #settled: SettledOffsets;
  readonly #waiting = new DueHeap();
  #endOffset: number;
  #inFlight = 0;

  constructor(floor: number) {
    this.#settled = new SettledOffsets(floor);
    this.#endOffset = floor;
  }

  /** Everything below is settled. */
  get floor(): number {
    return this.#settled.floor;
  }

  get settledAboveFloor(): number {
    return this.#settled.aboveFloor;
  }

  /** Behind the last message. */
  get endOffset(): number {
    return this.#endOffset;
  }

  get waitingCount(): number {
    return this.#waiting.count;
  }

  get inFlightCount(): number {
    return this.#inFlight;
  }

  /** When the next is due; Infinity if none is waiting. */
  get nextDueMs(): number {
    return this.#waiting.firstDueMs;
  }

  isSettled(offset: number): boolean {
    return this.#settled.has(offset);
  }

  /** Takes over what the log of settlements says, before messages are added. */
  restoreSettled(start: number, end: number): void {
    this.#settled.addRange(start, end);
    this.#endOffset = Math.max(this.#endOffset, end);
  }

  /** A message is stored. */
  add(offset: number, dueMs: number): void {
    this.#endOffset = Math.max(this.#endOffset, offset + 1);
    this.#waiting.push(dueMs, offset);
  }

  /** The message that is due first, from here on in flight; -1 if the time of none has come. */
  takeDue(nowMs: number): number {
    if (this.#waiting.firstDueMs > nowMs) return -1;
    this.#inFlight++;
    return this.#waiting.pop();
  }

  /** A message that is in flight has not arrived, and is due again at `dueMs`. */
  retry(offset: number, dueMs: number): void {
    this.#inFlight--;
    this.#waiting.push(dueMs, offset);
  }

  /** A message that is in flight has arrived. */
  settle(offset: number): void {
    this.#inFlight--;
    this.#settled.add(offset);
  }

  snapshot(): QueueSnapshot {
    return {
      floor: this.floor,
      endOffset: this.#endOffset,
      settled: [...this.#settled.ranges(this.#endOffset)],
      returns: NO_RETURNS,
    };
  }
}
