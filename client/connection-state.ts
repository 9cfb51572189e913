/**
 * The life of one connection that re-opens itself: which address is tried, how often, and how long to wait in between.
 * Pure: the owner opens sockets and arms timers as it is told.
 *
 *     idle ──> connecting ──> handshaking ──> ready
 *                  ^   \            /           |
 *                  |    v          v            |
 *                  └── waiting <────────────────┘         any ──> closed
 */
import { type Backoff, backoffDelayMs } from './backoff.ts';

export type ConnectionPhase =
  /** Nobody has asked for the connection yet. */
  | 'idle'
  /** The socket is being opened. */
  | 'connecting'
  /** The socket is open, the answer to hello is awaited. */
  | 'handshaking'
  /** Requests flow. */
  | 'ready'
  /** The last attempt failed or the connection broke; the next attempt follows after a delay. */
  | 'waiting'
  /** For good. */
  | 'closed';

export class ConnectionState {
  phase: ConnectionPhase = 'idle';
  readonly #addresses: readonly string[];
  readonly #backoff: Backoff;
  #addressIndex = 0;
  /** Failed attempts since the connection was last ready. */
  failures = 0;

  constructor(addresses: readonly string[], backoff: Backoff) {
    this.#addresses = addresses;
    this.#backoff = backoff;
  }

  /** The address of the current or next attempt. */
  get address(): string {
    return this.#addresses[this.#addressIndex]!;
  }

  becomeConnecting(): void {
    this.phase = 'connecting';
  }

  becomeHandshaking(): void {
    this.phase = 'handshaking';
  }

  becomeReady(): void {
    this.phase = 'ready';
    this.failures = 0;
  }

  /**
   * The socket failed or closed. Returns the delay before the next attempt, in milliseconds.
   * The first pass over several addresses does not wait between them: one of them being down is no reason to be slow.
   */
  becomeWaiting(fraction: number): number {
    const attempt = this.failures;
    this.failures += 1;
    this.phase = 'waiting';
    const pass = Math.floor(attempt / this.#addresses.length);
    this.#addressIndex = (this.#addressIndex + 1) % this.#addresses.length;
    const passIsOver = this.failures % this.#addresses.length === 0;
    return passIsOver ? backoffDelayMs(this.#backoff, pass, fraction) : 0;
  }

  becomeClosed(): void {
    this.phase = 'closed';
  }
}
