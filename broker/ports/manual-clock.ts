/** A clock that stands still until a test or simulation moves it. */
import type { Clock, Timer } from './clock.ts';

interface Alarm {
  readonly dueMs: number;
  readonly callback: () => void;
}

/** Starts at `startMs` since the epoch, not at 0, so that a forgotten timestamp shows. */
export class ManualClock implements Clock {
  #monotonicMs = 0;
  #epochMs: number;
  /** By due time; among equals in the order of scheduling. */
  readonly #alarms: Alarm[] = [];

  constructor(startMs = 1_700_000_000_000) {
    this.#epochMs = startMs;
  }

  now(): number {
    return this.#epochMs + this.#monotonicMs;
  }

  monotonic(): number {
    return this.#monotonicMs;
  }

  schedule(delayMs: number, callback: () => void): Timer {
    const alarm: Alarm = { dueMs: this.#monotonicMs + Math.max(0, delayMs), callback };
    let low = 0;
    let high = this.#alarms.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#alarms[middle]!.dueMs <= alarm.dueMs) low = middle + 1;
      else high = middle;
    }
    this.#alarms.splice(low, 0, alarm);
    return {
      cancel: () => {
        const index = this.#alarms.indexOf(alarm);
        if (index >= 0) this.#alarms.splice(index, 1);
      },
    };
  }

  /** How long until the next timer fires, or undefined if none is set. */
  nextDelayMs(): number | undefined {
    const next = this.#alarms[0];
    return next === undefined ? undefined : next.dueMs - this.#monotonicMs;
  }

  get timers(): number {
    return this.#alarms.length;
  }

  /** Moves time on and fires what falls due on the way, in order, each at its own time; also timers set meanwhile. */
  advance(ms: number): void {
    const untilMs = this.#monotonicMs + ms;
    for (;;) {
      const next = this.#alarms[0];
      if (next === undefined || next.dueMs > untilMs) break;
      this.#alarms.shift();
      this.#monotonicMs = next.dueMs;
      next.callback();
    }
    this.#monotonicMs = untilMs;
  }

  /** Lets the wall clock jump, as NTP or an operator does; monotonic time and timers do not notice. */
  jump(ms: number): void {
    this.#epochMs += ms;
  }
}
