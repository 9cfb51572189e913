/**
 * What may be asked of the store of a coordinator, as a value: so that it can be written to a log, and decided by
 * everybody who reads it there; and the rules that hold for all coordinators.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { CoordinatorTransaction, TransactionOutcome } from './coordinator.ts';

export type StoreOperation =
  | { readonly kind: 'transaction'; readonly transaction: CoordinatorTransaction }
  | { readonly kind: 'grant'; readonly leaseId: string; readonly ttlMs: number }
  | { readonly kind: 'renew'; readonly leaseId: string }
  | { readonly kind: 'revoke'; readonly leaseId: string }
  /** Ends a lease unless it was renewed more often than `renewals` times. */
  | { readonly kind: 'expire'; readonly leaseId: string; readonly renewals: number };

/** A lease that an operation needs and that is not there means that nothing was changed. */
export type OperationOutcome = TransactionOutcome | { readonly missingLeaseId: string };

export interface TransactionLimits {
  /** Keys and values of one transaction, in UTF-16 code units. Default 1.5 Mi, as etcd's request limit in bytes. */
  readonly transactionCharactersMax?: number;
  /** Conditions, and changes, of one transaction. Default 128, as etcd's --max-txn-ops. */
  readonly transactionOperationsMax?: number;
  /** Length of a key. Default 1024. */
  readonly keyCharactersMax?: number;
}

const TRANSACTION_CHARACTERS_MAX = 1.5 * 2 ** 20;
const TRANSACTION_OPERATIONS_MAX = 128;
const KEY_CHARACTERS_MAX = 1024;
/** About 24 days, the longest delay of a timer. */
const TTL_MS_MAX = 2 ** 31 - 1;

/** UTF-8 has no form for a lone surrogate: it would come back from disk as another key. */
const LONE_SURROGATE = /\p{Cs}/u;

/** Throws INVALID_ARGUMENT unless the transaction is within the rules and limits. Returns its size in characters. */
export function checkTransaction(transaction: CoordinatorTransaction, limits: TransactionLimits): number {
  const keyCharactersMax = limits.keyCharactersMax ?? KEY_CHARACTERS_MAX;
  const charactersMax = limits.transactionCharactersMax ?? TRANSACTION_CHARACTERS_MAX;
  const operationsMax = limits.transactionOperationsMax ?? TRANSACTION_OPERATIONS_MAX;
  const changed = new Set<string>();
  let characters = 0;
  const checkKey = (key: string): void => {
    characters += key.length;
    if (key === '') throw invalid('A key is empty.');
    if (key.length > keyCharactersMax) throw invalid(`A key is longer than ${keyCharactersMax} characters.`);
    if (LONE_SURROGATE.test(key)) throw invalid('A key is not well-formed Unicode.');
  };
  const checkChanged = (key: string): void => {
    checkKey(key);
    if (changed.has(key)) throw invalid(`Key ${JSON.stringify(key)} is changed twice in one transaction.`);
    changed.add(key);
  };
  const conditions = transaction.if ?? [];
  for (const condition of conditions) {
    checkKey(condition.key);
    const revision = 'revision' in condition ? condition.revision : condition.createRevision;
    if (!Number.isSafeInteger(revision) || revision < 0) throw invalid(`Revision ${revision} is not valid.`);
  }
  for (const { key, value } of transaction.set ?? []) {
    checkChanged(key);
    characters += value.length;
    if (LONE_SURROGATE.test(value)) throw invalid(`The value of ${JSON.stringify(key)} is not well-formed Unicode.`);
  }
  for (const key of transaction.remove ?? []) checkChanged(key);
  const operations = Math.max(conditions.length, changed.size);
  if (operations > operationsMax) {
    throw invalid(`The transaction has ${operations} conditions or changes; the limit is ${operationsMax}.`);
  }
  if (characters > charactersMax) {
    throw invalid(`The transaction has ${characters} characters; the limit is ${charactersMax}.`);
  }
  return characters;
}

/** Throws INVALID_ARGUMENT unless it may be the time to live of a lease. */
export function checkTtl(ttlMs: number): void {
  if (!Number.isSafeInteger(ttlMs) || ttlMs < 1 || ttlMs > TTL_MS_MAX) {
    throw invalid(`A lease of ${ttlMs} ms is not possible; 1 to ${TTL_MS_MAX} is.`);
  }
}

/** The outcome, or LEASE_EXPIRED if the lease that was needed is not there. */
export function outcomeOrThrow(outcome: OperationOutcome): TransactionOutcome {
  if ('missingLeaseId' in outcome) throw leaseExpired(outcome.missingLeaseId);
  return outcome;
}

export function leaseExpired(leaseId: string): BurrowError {
  return new BurrowError('LEASE_EXPIRED', `Lease ${JSON.stringify(leaseId)} has ended or never was.`, {
    fields: { leaseId },
  });
}

function invalid(text: string): BurrowError {
  return new BurrowError('INVALID_ARGUMENT', text);
}
