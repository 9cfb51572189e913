/** Time, as the broker's core sees it. Real: `systemClock` in `system-clock.ts`. Tests move a fake one by hand. */
export interface Clock {
  /** Milliseconds since the Unix epoch, for timestamps in records. May jump. */
  now(): number;
  /** Milliseconds from an arbitrary start, for measuring and deadlines. Never goes back. */
  monotonic(): number;
  /** Calls `callback` once after `delayMs`. Does not keep the process alive. */
  schedule(delayMs: number, callback: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}
