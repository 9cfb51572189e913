/** A client clock that tests move by hand. Chance is fixed at 0.5: no jitter. */
import type { ClientClock, ClientTimer } from '../../client/clock.ts';

interface Scheduled {
  readonly dueMs: number;
  readonly callback: () => void;
}

export class FakeClientClock implements ClientClock {
  #nowMs = 1_700_000_000_000;
  readonly #timers = new Set<Scheduled>();
  randomFraction = 0.5;

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#nowMs;
  }

  schedule(delayMs: number, callback: () => void): ClientTimer {
    const timer: Scheduled = { dueMs: this.#nowMs + delayMs, callback };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  afterTurn(callback: () => void): void {
    setImmediate(callback);
  }

  random(): number {
    return this.randomFraction;
  }

  get pendingTimers(): number {
    return this.#timers.size;
  }

  /** Moves time forward, firing due timers in order and letting what they started settle in between. */
  async advance(milliseconds: number): Promise<void> {
    const endMs = this.#nowMs + milliseconds;
    await settle();
    for (;;) {
      let next: Scheduled | undefined;
      for (const timer of this.#timers) {
        if (timer.dueMs <= endMs && (next === undefined || timer.dueMs < next.dueMs)) next = timer;
      }
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.callback();
      await settle();
    }
    this.#nowMs = endMs;
    await settle();
  }
}

/** A few turns of the event loop: enough for chains of promises and afterTurn callbacks, not for sockets. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
