/** How long to wait before trying again: exponential, bounded, with full bounds on the jitter. Pure. */
export interface BackoffOptions {
  /** Delay before the first retry, in milliseconds. Default 100. */
  initialMs?: number;
  /** The delay never grows beyond this, in milliseconds. Default 1000. */
  maxMs?: number;
}

export interface Backoff {
  readonly initialMs: number;
  readonly maxMs: number;
}

/** Kafka's spread (KIP-580): each delay is drawn from ± 20 % around the exponential value, so that clients do not return in step. */
const JITTER = 0.2;

/**
 * The delay before retry number `attempt` (0 for the first), in milliseconds.
 * `fraction` is a random number in [0, 1).
 */
export function backoffDelayMs(backoff: Backoff, attempt: number, fraction: number): number {
  // 2 ** attempt overflows to Infinity for large attempts, which min() bounds again.
  const exponential = Math.min(backoff.maxMs, backoff.initialMs * 2 ** attempt);
  const jittered = exponential * (1 - JITTER + 2 * JITTER * fraction);
  return Math.min(backoff.maxMs, jittered);
}
