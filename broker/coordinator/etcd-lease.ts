/** A lease in etcd. Its end is decided there; here is what its holder may rely on. */
import { isBurrowError } from '../../src/errors/burrow-error.ts';
import type { Clock } from '../ports/clock.ts';
import type { CoordinatorLease } from './coordinator.ts';
import { leaseExpired } from './store-operation.ts';

export interface EtcdLeaseOptions {
  readonly id: string;
  readonly ttlMs: number;
  /** When it was asked for, by `Clock.monotonic()`. */
  readonly sentMs: number;
  readonly clock: Clock;
  /** Resolves with the seconds that it lives from now on; 0 or less: it has ended. */
  readonly keepAlive: (id: string) => Promise<number>;
  readonly revoke: (id: string) => Promise<void>;
}

export class EtcdLease implements CoordinatorLease {
  readonly id: string;
  readonly ttlMs: number;
  readonly #options: EtcdLeaseOptions;
  #deadlineMs: number;

  constructor(options: EtcdLeaseOptions) {
    this.#options = options;
    this.id = options.id;
    this.ttlMs = options.ttlMs;
    this.#deadlineMs = options.sentMs + options.ttlMs;
  }

  get deadlineMs(): number {
    return this.#deadlineMs;
  }

  async keepAlive(): Promise<void> {
    const sentMs = this.#options.clock.monotonic();
    const seconds = await this.#options.keepAlive(this.id);
    if (seconds <= 0) throw leaseExpired(this.id);
    if (this.#deadlineMs !== Number.NEGATIVE_INFINITY) {
      this.#deadlineMs = Math.max(this.#deadlineMs, sentMs + seconds * 1000);
    }
  }

  async revoke(): Promise<void> {
    this.#deadlineMs = Number.NEGATIVE_INFINITY;
    try {
      await this.#options.revoke(this.id);
    } catch (error) {
      if (!isBurrowError(error, 'LEASE_EXPIRED')) throw error;
    }
  }
}
