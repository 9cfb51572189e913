/**
 * Many deadlines on one timer: a binary heap whose entries know their place, so that one can be taken out again.
 * Adding and removing cost O(log n). The timer is armed for the earliest deadline only; when that one is removed it is left
 * as it is and finds nothing to do, which is cheaper than arming a new one for every fetch that got its data in time.
 */
import type { Clock, Timer } from '../ports/clock.ts';

export class Deadline {
  /** By the clock's monotonic time. */
  readonly dueMs: number;
  readonly onDue: () => void;
  /** In the heap; -1 while it is not in it. Moved by the queue only. */
  index = -1;

  constructor(dueMs: number, onDue: () => void) {
    this.dueMs = dueMs;
    this.onDue = onDue;
  }
}

export class DeadlineQueue {
  readonly #clock: Clock;
  readonly #heap: Deadline[] = [];
  #timer: Timer | undefined;
  #timerDueMs = Number.POSITIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `onDue` once after `delayMs`, unless it is removed before. */
  add(delayMs: number, onDue: () => void): Deadline {
    const deadline = new Deadline(this.#clock.monotonic() + delayMs, onDue);
    this.#heap.push(deadline);
    this.#siftUp(deadline, this.#heap.length - 1);
    if (deadline.dueMs < this.#timerDueMs) this.#arm();
    return deadline;
  }

  /** Nothing happens if it is due already or was removed before. */
  remove(deadline: Deadline): void {
    const { index } = deadline;
    if (index < 0) return;
    deadline.index = -1;
    const last = this.#heap.pop()!;
    if (last === deadline) return;
    this.#siftUp(last, index);
    this.#siftDown(last, last.index);
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerDueMs = Number.POSITIVE_INFINITY;
    for (const deadline of this.#heap) deadline.index = -1;
    this.#heap.length = 0;
  }

  #arm(): void {
    this.#timer?.cancel();
    this.#timerDueMs = this.#heap[0]!.dueMs;
    this.#timer = this.#clock.schedule(this.#timerDueMs - this.#clock.monotonic(), () => this.#onTimer());
  }

  #onTimer(): void {
    this.#timer = undefined;
    // Until it is armed again no deadline that is added below may arm it.
    this.#timerDueMs = Number.NEGATIVE_INFINITY;
    const nowMs = this.#clock.monotonic();
    try {
      for (let first = this.#heap[0]; first !== undefined && first.dueMs <= nowMs; first = this.#heap[0]) {
        this.remove(first);
        first.onDue();
      }
    } finally {
      this.#timerDueMs = Number.POSITIVE_INFINITY;
      if (this.#heap.length > 0) this.#arm();
    }
  }

  #siftUp(deadline: Deadline, index: number): void {
    while (index > 0) {
      const parent = (index - 1) >>> 1;
      const above = this.#heap[parent]!;
      if (above.dueMs <= deadline.dueMs) break;
      this.#put(above, index);
      index = parent;
    }
    this.#put(deadline, index);
  }

  #siftDown(deadline: Deadline, index: number): void {
    const { length } = this.#heap;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= length) break;
      if (child + 1 < length && this.#heap[child + 1]!.dueMs < this.#heap[child]!.dueMs) child++;
      if (this.#heap[child]!.dueMs >= deadline.dueMs) break;
      this.#put(this.#heap[child]!, index);
      index = child;
    }
    this.#put(deadline, index);
  }

  #put(deadline: Deadline, index: number): void {
    this.#heap[index] = deadline;
    deadline.index = index;
  }
}
