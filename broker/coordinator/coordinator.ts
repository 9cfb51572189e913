/**
 * Where brokers keep what they must agree on: definitions, membership, leadership. A small key-value store with
 * revisions, watches and leases. A `Coordinator` is one broker's session with it.
 *
 * Linearizable: a read sees every transaction that was answered before the read began, to whichever session, and nothing
 * that could still be lost. Every transaction that changes something gets a revision of its own, higher than all before;
 * revisions need not be consecutive (an etcd may serve others, too).
 *
 * A lease says that its holder is probably alive, and is no lock: a process that was stopped may go on after its lease
 * has ended. So who acts for others does two things. It makes its changes conditional on the key that it holds (the
 * condition is judged where the change is made), and it stops acting, all by itself, at the lease's `deadlineMs`.
 *
 * Implementations: `memory.ts` (tests, simulations, `storage: 'memory'`), `file.ts` (a folder, for one broker or several
 * on one machine) and `etcd.ts`. All pass one contract test.
 */
import type { BurrowError } from '../../src/errors/burrow-error.ts';

export interface CoordinatorEntry {
  readonly key: string;
  readonly value: string;
  /** Revision of the transaction that created the key (again). */
  readonly createRevision: number;
  /** Revision of the transaction that last set it. */
  readonly modRevision: number;
  /** The lease whose end removes the key. Absent: it stays. */
  readonly leaseId?: string;
}

export type CoordinatorCondition =
  /** The entry's `modRevision` must be this; 0: the key must not exist. */
  | { readonly key: string; readonly revision: number }
  /** The entry's `createRevision` must be this, whatever was set since; 0: the key must not exist. */
  | { readonly key: string; readonly createRevision: number };

/** No key may be set or removed twice in one transaction. At most 128 conditions and 128 changes, as etcd allows. */
export interface CoordinatorTransaction {
  readonly if?: readonly CoordinatorCondition[];
  /** A key that is set without a lease leaves the one it had. */
  readonly set?: ReadonlyArray<{ readonly key: string; readonly value: string; readonly leaseId?: string }>;
  /** Keys; one that does not exist is no change. */
  readonly remove?: readonly string[];
}

export interface TransactionOutcome {
  /** Whether all conditions held, and so all changes were made. Otherwise none was. */
  readonly committed: boolean;
  /** Whether there was something to change: false if it only removes, and none of the keys was there. */
  readonly changed: boolean;
  /** Of this transaction if it changed something, else of the store when it was decided. */
  readonly revision: number;
}

export type CoordinatorEvent =
  /**
   * One transaction, or the end of one lease, as far as it touches the prefix. Those that do not touch it are not told.
   */
  | {
      readonly kind: 'changed';
      readonly revision: number;
      readonly set: readonly CoordinatorEntry[];
      readonly removed: readonly string[];
    }
  /**
   * Changes from the wanted revision on are no longer known. Last event of this watch: list the prefix again, and
   * watch from the revision after that list's.
   */
  | { readonly kind: 'compacted' }
  /** The coordinator failed for good. Last event of this watch. */
  | { readonly kind: 'failed'; readonly error: BurrowError };

export interface CoordinatorWatch {
  /** No event is delivered afterwards. */
  cancel(): void;
}

export interface CoordinatorLease {
  /** For the keys that are to end with it. */
  readonly id: string;
  /** Milliseconds from a renewal to the end, as granted: at least what was asked for. */
  readonly ttlMs: number;
  /**
   * By `Clock.monotonic()`. Before it the lease cannot have ended, unless revoked: it is counted from before the last
   * renewal that succeeded was sent. From then on the lease may have ended, and the holder must not act on it. After
   * `revoke` was called: -Infinity.
   */
  readonly deadlineMs: number;
  /**
   * Renews the lease and moves `deadlineMs`. Nothing else does so: its holder calls it, several times within a ttl.
   * @throws BurrowError LEASE_EXPIRED: it has ended, and its keys are gone. COORDINATION_UNAVAILABLE or STORAGE_FULL:
   * unknown; try again before the deadline. STORAGE_ERROR or SHUTTING_DOWN: this session is over.
   */
  keepAlive(): Promise<void>;
  /** Ends the lease and removes its keys. One that has ended already is no error. @throws BurrowError as `keepAlive` */
  revoke(): Promise<void>;
}

export interface Coordinator {
  /**
   * `revision` is that of the store when it was read.
   * @throws BurrowError COORDINATION_UNAVAILABLE: try again. STORAGE_ERROR or SHUTTING_DOWN: this session is over
   */
  get(key: string): Promise<{ readonly entry: CoordinatorEntry | undefined; readonly revision: number }>;
  /** All entries whose key starts with `prefix`, sorted by key (in UTF-16 code units). @throws BurrowError as `get` */
  list(prefix: string): Promise<{ readonly entries: readonly CoordinatorEntry[]; readonly revision: number }>;
  /**
   * Makes all changes at one revision if all conditions hold. When it resolves, they are durable.
   * @throws BurrowError COORDINATION_UNAVAILABLE: the outcome is unknown. It may show in the next read or still be made
   * later; it can no longer be made once another change has made one of its conditions false. STORAGE_FULL: nothing was
   * changed. LEASE_EXPIRED: a lease that it names does not exist; nothing was changed. STORAGE_ERROR or SHUTTING_DOWN: the
   * outcome is unknown and this session is over. INVALID_ARGUMENT: a limit or rule is broken.
   */
  transaction(transaction: CoordinatorTransaction): Promise<TransactionOutcome>;
  /**
   * Tells of every change to keys with `prefix` from `fromRevision` (included) on, in order, each once, never before
   * this call returns. No revision is skipped in silence: see the events. How late they come has no bound: while the
   * coordinator cannot be reached nothing is told, and afterwards it goes on where it stopped. `onEvent` must not throw.
   */
  watch(prefix: string, fromRevision: number, onEvent: (event: CoordinatorEvent) => void): CoordinatorWatch;
  /**
   * A lease that ends `ttlMs` after its last renewal, or somewhat later. Its end removes the keys that were set with it,
   * at one revision. It outlives this session; so revoke it to end it early.
   * @param ttlMs - at least 1; an etcd rounds up to whole seconds and has a smallest ttl of its own (2 s by default)
   * @throws BurrowError as `transaction`
   */
  grantLease(ttlMs: number): Promise<CoordinatorLease>;
  /** Waits for transactions in flight. Ends all watches. Leases stay until they expire. A second close is nothing. */
  close(): Promise<void>;
}
