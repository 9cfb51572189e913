/**
 * Where brokers keep what they must agree on: definitions, and later leadership. A small key-value store with revisions.
 *
 * Linearizable: a read sees every transaction that was answered before the read began, and nothing that could still be
 * lost. Every transaction that changes something gets the next revision; there are no gaps.
 *
 * Implementations: `memory.ts` (tests, `storage: 'memory'`) and `file.ts` (one process, on the Disk port). Both pass
 * one contract test, and so must those that follow for several processes, which will add leases to this contract.
 */
import type { BurrowError } from '../../src/errors/burrow-error.ts';

export interface CoordinatorEntry {
  readonly key: string;
  readonly value: string;
  /** Revision of the transaction that created the key (again). */
  readonly createRevision: number;
  /** Revision of the transaction that last set it. */
  readonly modRevision: number;
}

export interface CoordinatorCondition {
  readonly key: string;
  /** The entry's `modRevision` must be this; 0: the key must not exist. */
  readonly revision: number;
}

/** No key may be set or removed twice in one transaction. */
export interface CoordinatorTransaction {
  readonly if?: readonly CoordinatorCondition[];
  readonly set?: ReadonlyArray<{ readonly key: string; readonly value: string }>;
  /** Keys; one that does not exist is no change. */
  readonly remove?: readonly string[];
}

export interface TransactionOutcome {
  /** Whether all conditions held, and so all changes were made. Otherwise none was. */
  readonly committed: boolean;
  /** Of this transaction if it changed something, else of the last one that did before it was decided. */
  readonly revision: number;
}

export type CoordinatorEvent =
  /** One transaction, as far as it touches the prefix. Transactions that do not touch it are not told. */
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

export interface Coordinator {
  /** `revision` is that of the store when it was read. */
  get(key: string): Promise<{ readonly entry: CoordinatorEntry | undefined; readonly revision: number }>;
  /** All entries whose key starts with `prefix`, sorted by key (in UTF-16 code units). */
  list(prefix: string): Promise<{ readonly entries: readonly CoordinatorEntry[]; readonly revision: number }>;
  /**
   * Makes all changes at one revision if all conditions hold. When it resolves, they are durable.
   * @throws BurrowError STORAGE_FULL: nothing was changed. STORAGE_ERROR or SHUTTING_DOWN: the outcome is unknown until
   * the coordinator is opened again. INVALID_ARGUMENT: a limit or rule is broken.
   */
  transaction(transaction: CoordinatorTransaction): Promise<TransactionOutcome>;
  /**
   * Tells of every change to keys with `prefix` from `fromRevision` (included) on, in order, each once, never before
   * this call returns. No revision is skipped in silence: see the events. `onEvent` must not throw.
   */
  watch(prefix: string, fromRevision: number, onEvent: (event: CoordinatorEvent) => void): CoordinatorWatch;
  /** Waits for transactions in flight. Ends all watches. A second close is nothing. */
  close(): Promise<void>;
}
