/**
 * The store of a coordinator: entries and leases, and what each operation makes of them. Operations in the same order
 * have the same outcomes everywhere: it looks at no clock, so a lease ends only by an operation that says so.
 * Does no I/O and keeps no promises about durability: who owns it executes what is durable.
 */
import { ChangeHistory, type HistoryLimits } from './change-history.ts';
import type {
  CoordinatorCondition,
  CoordinatorEntry,
  CoordinatorTransaction,
  TransactionOutcome,
} from './coordinator.ts';
import type { OperationOutcome, StoreOperation, TransactionLimits } from './store-operation.ts';

export type CoordinatorLimits = TransactionLimits & HistoryLimits;

export interface StoredLease {
  readonly id: string;
  readonly ttlMs: number;
  /** How often it was renewed. */
  readonly renewals: number;
}

/** All there is at one revision. */
export interface StoreImage {
  readonly revision: number;
  readonly entries: readonly CoordinatorEntry[];
  readonly leases: readonly StoredLease[];
}

interface Lease extends StoredLease {
  renewals: number;
  readonly keys: Set<string>;
}

export class KeyValues {
  readonly history: ChangeHistory;
  #entries = new Map<string, CoordinatorEntry>();
  #leases = new Map<string, Lease>();
  #revision = 0;
  #storedBytes = 0;

  constructor(limits: HistoryLimits = {}) {
    this.history = new ChangeHistory(limits);
  }

  /** Of the last change. 0: nothing was ever set. */
  get revision(): number {
    return this.#revision;
  }

  /** About what an image of it takes in a file. */
  get storedBytes(): number {
    return this.#storedBytes;
  }

  get(key: string): CoordinatorEntry | undefined {
    return this.#entries.get(key);
  }

  list(prefix: string): CoordinatorEntry[] {
    const found: CoordinatorEntry[] = [];
    for (const entry of this.#entries.values()) if (entry.key.startsWith(prefix)) found.push(entry);
    return found.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  lease(id: string): StoredLease | undefined {
    return this.#leases.get(id);
  }

  /** Entries are never changed in place, so this stays as it is. */
  image(): StoreImage {
    return {
      revision: this.#revision,
      entries: [...this.#entries.values()],
      leases: Array.from(this.#leases.values(), ({ id, ttlMs, renewals }) => ({ id, ttlMs, renewals })),
    };
  }

  /** From now on it is this. Watches that were not told of all before its revision learn that they missed something. */
  load({ revision, entries, leases }: StoreImage): void {
    this.#entries = new Map(entries.map((entry) => [entry.key, entry]));
    this.#leases = new Map(leases.map((lease) => [lease.id, { ...lease, keys: new Set() }]));
    for (const { key, leaseId } of entries) {
      if (leaseId !== undefined) this.#leases.get(leaseId)?.keys.add(key);
    }
    this.#revision = revision;
    this.#storedBytes = entries.reduce((bytes, entry) => bytes + storedBytesOf(entry), 0);
    this.history.restart(revision);
  }

  execute(operation: StoreOperation): OperationOutcome {
    if (operation.kind === 'transaction') return this.#transact(operation.transaction);
    const { leaseId } = operation;
    if (operation.kind === 'grant') {
      this.#leases.set(leaseId, { id: leaseId, ttlMs: operation.ttlMs, renewals: 0, keys: new Set() });
      return this.#unchanged(true);
    }
    const lease = this.#leases.get(leaseId);
    if (lease === undefined) return { missingLeaseId: leaseId };
    switch (operation.kind) {
      case 'renew':
        lease.renewals++;
        return this.#unchanged(true);
      case 'expire':
        return lease.renewals > operation.renewals ? this.#unchanged(false) : this.#end(lease);
      case 'revoke':
        return this.#end(lease);
    }
  }

  #transact(transaction: CoordinatorTransaction): OperationOutcome {
    for (const condition of transaction.if ?? []) if (!this.#holds(condition)) return this.#unchanged(false);
    for (const { leaseId } of transaction.set ?? []) {
      if (leaseId !== undefined && !this.#leases.has(leaseId)) return { missingLeaseId: leaseId };
    }
    const revision = this.#revision + 1;
    const set = (transaction.set ?? []).map(({ key, value, leaseId }): CoordinatorEntry => {
      const createRevision = this.#entries.get(key)?.createRevision ?? revision;
      return { key, value, createRevision, modRevision: revision, ...(leaseId === undefined ? {} : { leaseId }) };
    });
    const removed = (transaction.remove ?? []).filter((key) => this.#entries.has(key));
    return this.#change(set, removed);
  }

  #holds(condition: CoordinatorCondition): boolean {
    const entry = this.#entries.get(condition.key);
    return 'revision' in condition
      ? (entry?.modRevision ?? 0) === condition.revision
      : (entry?.createRevision ?? 0) === condition.createRevision;
  }

  #end(lease: Lease): TransactionOutcome {
    this.#leases.delete(lease.id);
    return this.#change([], [...lease.keys]);
  }

  #change(set: readonly CoordinatorEntry[], removed: readonly string[]): TransactionOutcome {
    if (set.length + removed.length === 0) return this.#unchanged(true);
    this.#revision++;
    for (const key of removed) {
      this.#detach(key);
      this.#entries.delete(key);
    }
    for (const entry of set) {
      this.#detach(entry.key);
      this.#entries.set(entry.key, entry);
      this.#storedBytes += storedBytesOf(entry);
      if (entry.leaseId !== undefined) this.#leases.get(entry.leaseId)?.keys.add(entry.key);
    }
    this.history.record({ revision: this.#revision, set, removed });
    return { committed: true, changed: true, revision: this.#revision };
  }

  /** An entry that goes, or is set anew. */
  #detach(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#storedBytes -= storedBytesOf(entry);
    if (entry.leaseId !== undefined) this.#leases.get(entry.leaseId)?.keys.delete(key);
  }

  #unchanged(committed: boolean): TransactionOutcome {
    return { committed, changed: false, revision: this.#revision };
  }
}

/** In a snapshot: the texts, and some characters around them. */
function storedBytesOf({ key, value }: CoordinatorEntry): number {
  return key.length + value.length + 32;
}
