/**
 * When leases are over, as one observer sees it: their time counts from when he learned of the last renewal, which is
 * after it was sent. So nobody who counts like this ends a lease before its holder, who counts from sending it, stops.
 */
import type { Clock, Timer } from '../ports/clock.ts';
import type { StoredLease } from './key-values.ts';
import type { StoreOperation } from './store-operation.ts';

/** If a lease that is over could not be ended, it is tried again after this time. */
const RETRY_MS = 1_000;

export interface LeaseExpiryOptions {
  readonly clock: Clock;
  /** The lease was not renewed since its `renewals`-th renewal, for the whole of its time. Called until it is forgotten. */
  readonly onOver: (leaseId: string, renewals: number) => void;
}

export class LeaseExpiry {
  readonly #options: LeaseExpiryOptions;
  readonly #timers = new Map<string, Timer>();

  constructor(options: LeaseExpiryOptions) {
    this.#options = options;
  }

  /** An operation was executed, and this is its lease now. */
  executed(operation: StoreOperation, lease: StoredLease | undefined): void {
    if (operation.kind === 'transaction') return;
    if (lease === undefined) this.#forget(operation.leaseId);
    else if (operation.kind === 'grant' || operation.kind === 'renew') this.#count(lease);
  }

  /** These are all that there are. */
  restart(leases: readonly StoredLease[]): void {
    this.stop();
    for (const lease of leases) this.#count(lease);
  }

  stop(): void {
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
  }

  #count({ id, ttlMs, renewals }: StoredLease): void {
    const { clock, onOver } = this.#options;
    const overMs = clock.monotonic() + ttlMs;
    const look = (): void => {
      // Timers may be a little early.
      const leftMs = overMs - clock.monotonic();
      this.#timers.set(id, clock.schedule(leftMs > 0 ? leftMs : RETRY_MS, look));
      if (leftMs <= 0) onOver(id, renewals);
    };
    this.#timers.get(id)?.cancel();
    this.#timers.set(id, clock.schedule(ttlMs, look));
  }

  #forget(leaseId: string): void {
    this.#timers.get(leaseId)?.cancel();
    this.#timers.delete(leaseId);
  }
}
