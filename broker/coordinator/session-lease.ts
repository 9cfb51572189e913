/** A lease of a coordinator whose store executes operations: what `memory.ts` and `file.ts` give out. */

import { isBurrowError } from '../../src/errors/burrow-error.ts';
import type { Clock } from '../ports/clock.ts';
import type { CoordinatorLease, TransactionOutcome } from './coordinator.ts';
import type { StoreOperation } from './store-operation.ts';

type Execute = (operation: StoreOperation) => Promise<TransactionOutcome>;

export class SessionLease implements CoordinatorLease {
  readonly id: string;
  readonly ttlMs: number;
  readonly #clock: Clock;
  readonly #execute: Execute;
  #deadlineMs: number;

  static async grant(clock: Clock, id: string, ttlMs: number, execute: Execute): Promise<SessionLease> {
    const sentMs = clock.monotonic();
    await execute({ kind: 'grant', leaseId: id, ttlMs });
    return new SessionLease(clock, id, ttlMs, execute, sentMs + ttlMs);
  }

  /** @internal Use {@link SessionLease.grant}. */
  constructor(clock: Clock, id: string, ttlMs: number, execute: Execute, deadlineMs: number) {
    this.#clock = clock;
    this.id = id;
    this.ttlMs = ttlMs;
    this.#execute = execute;
    this.#deadlineMs = deadlineMs;
  }

  get deadlineMs(): number {
    return this.#deadlineMs;
  }

  async keepAlive(): Promise<void> {
    const sentMs = this.#clock.monotonic();
    await this.#execute({ kind: 'renew', leaseId: this.id });
    // Answers may come in another order than they were asked for, and after a revocation.
    if (this.#deadlineMs !== Number.NEGATIVE_INFINITY) {
      this.#deadlineMs = Math.max(this.#deadlineMs, sentMs + this.ttlMs);
    }
  }

  async revoke(): Promise<void> {
    this.#deadlineMs = Number.NEGATIVE_INFINITY;
    try {
      await this.#execute({ kind: 'revoke', leaseId: this.id });
    } catch (error) {
      if (!isBurrowError(error, 'LEASE_EXPIRED')) throw error;
    }
  }
}
