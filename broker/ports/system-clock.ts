/** The machine's time. */
import type { Clock, Timer } from './clock.ts';

/** Node fires a longer timeout at once (it keeps delays in 31 bits). */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  schedule(delayMs: number, callback: () => void): Timer {
    let timeout: NodeJS.Timeout;
    const arm = (leftMs: number): void => {
      const nowMs = Math.min(leftMs, TIMEOUT_MS_MAX);
      timeout = setTimeout(() => (leftMs > nowMs ? arm(leftMs - nowMs) : callback()), nowMs);
      timeout.unref();
    };
    arm(delayMs);
    return { cancel: () => clearTimeout(timeout) };
  },
};
