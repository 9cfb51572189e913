/** Something happened: wakes all who wait for it. */
import type { ClientClock } from '../clock.ts';

export class Signal {
  #waiters: Array<() => void> = [];

  notify(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }

  /** Resolves at the next notification; with a clock, also when `timeoutMs` is over. */
  wait(clock?: ClientClock, timeoutMs = 0): Promise<undefined> {
    return new Promise((resolve) => {
      const timer = clock?.schedule(timeoutMs, () => resolve(undefined));
      this.#waiters.push(() => {
        timer?.cancel();
        resolve(undefined);
      });
    });
  }
}
