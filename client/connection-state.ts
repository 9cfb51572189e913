/**
 * The life of one connection that re-opens itself: which address is tried, how often, and how long to wait in between.
 * Pure: the owner opens sockets and arms timers as it is told.
 *
 *     idle ──> connecting ──> handshaking ──> ready
 *                  ^   \            /           |
 *                  |    v          v            |
 *                  └── waiting <────────────────┘         any ──> closed
 */
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
  #addressIndex = 0;
  /** Failed attempts since the connection was last ready. */
  failures = 0;

  constructor(addresses: readonly string[]) {
    this.#addresses = addresses;
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
   * The socket failed or closed. Returns after how many failed rounds over all addresses the next attempt comes, which tells how
   * long to wait before it; undefined within a round: one address being down is no reason to be slow with the next.
   */
  becomeWaiting(): number | undefined {
    this.failures += 1;
    this.phase = 'waiting';
    this.#addressIndex = (this.#addressIndex + 1) % this.#addresses.length;
    const rounds = this.failures / this.#addresses.length;
    return Number.isInteger(rounds) ? rounds : undefined;
  }

  becomeClosed(): void {
    this.phase = 'closed';
  }
}
