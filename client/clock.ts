/** Time and chance as the client sees them, so that tests can move the one and fix the other. */
export interface ClientClock {
  /** Milliseconds since the Unix epoch, for record timestamps. May jump. */
  now(): number;
  /** Milliseconds from an arbitrary start, for deadlines. Never goes back. */
  monotonic(): number;
  /** Calls `callback` once after `delayMs`. */
  schedule(delayMs: number, callback: () => void): ClientTimer;
  /** Calls `callback` once this turn of the event loop is over: after everything that was sent in it. */
  afterTurn(callback: () => void): void;
  /** A number in [0, 1), for jitter. */
  random(): number;
}

export interface ClientTimer {
  cancel(): void;
}

/** `setTimeout` fires at once for larger delays. */
const DELAY_MAX_MS = 2 ** 31 - 1;

// Browsers have no setImmediate; a timer of 0 ms is the nearest that works in pages and workers alike.
const afterTurn: (callback: () => void) => void =
  typeof globalThis.setImmediate === 'function'
    ? (callback) => void globalThis.setImmediate(callback)
    : (callback) => void setTimeout(callback, 0);

export const systemClientClock: ClientClock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  schedule(delayMs, callback) {
    const handle = setTimeout(callback, Math.min(Math.max(delayMs, 0), DELAY_MAX_MS));
    return { cancel: () => clearTimeout(handle) };
  },
  afterTurn,
  random: () => Math.random(),
};

/** Resolves after `delayMs`. */
export function sleep(clock: ClientClock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.schedule(delayMs, resolve);
  });
}
