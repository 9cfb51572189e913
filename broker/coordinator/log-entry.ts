/**
 * What the frames of the file coordinator's log say.
 *
 *     {"format":2,"kind":"log"}                                 first frame of each log
 *     [session, number, synced frames, synced bytes, operations]
 *     [session, number, synced frames, synced bytes, "file"]    last entry that counts: the log goes on in that file
 *
 * An entry is told apart by who wrote it and his number for it. "Synced" is how much of this log its writer knew to be
 * durable: whoever finds fewer frames in that part looks at damage, not at what a crash tore.
 *
 *     operation   [0, conditions, sets, removals]   condition [key, revision] or [key, create revision, 1]
 *                 [1, lease id, ttl in ms]          set [key, value] or [key, value, lease id]
 *                 [2, lease id]                     renewed
 *                 [3, lease id]                     revoked
 *                 [4, lease id, renewals]           expired
 */
import type { CoordinatorCondition } from './coordinator.ts';
import { encodeFrame } from './frames.ts';
import type { StoreOperation } from './store-operation.ts';

export const LOG_FORMAT = 2;

/** Part of a log, from its start. */
export interface LogExtent {
  readonly frames: number;
  readonly bytes: number;
}

export interface LogEntry {
  readonly session: string;
  readonly number: number;
  readonly synced: LogExtent;
  /** What is asked for, or the file in which the log goes on. */
  readonly content: readonly StoreOperation[] | string;
}

export function encodeLogHeader(): Buffer {
  return encodeFrame({ format: LOG_FORMAT, kind: 'log' });
}

export function encodeLogEntry({ session, number, synced, content }: LogEntry): Buffer {
  const rows = typeof content === 'string' ? content : content.map(toRow);
  return encodeFrame([session, number, synced.frames, synced.bytes, rows]);
}

/** Undefined if it is no entry. */
export function decodeLogEntry(value: unknown): LogEntry | undefined {
  if (!Array.isArray(value) || value.length !== 5) return undefined;
  const [session, number, frames, bytes, content] = value as unknown[];
  if (typeof session !== 'string' || !isCount(number) || !isCount(frames) || !isCount(bytes)) return undefined;
  const entry = { session, number, synced: { frames, bytes } };
  if (typeof content === 'string') return { ...entry, content };
  if (!Array.isArray(content)) return undefined;
  const operations: StoreOperation[] = [];
  for (const row of content as unknown[]) {
    const operation = fromRow(row);
    if (operation === undefined) return undefined;
    operations.push(operation);
  }
  return { ...entry, content: operations };
}

function toRow(operation: StoreOperation): unknown[] {
  switch (operation.kind) {
    case 'transaction': {
      const { if: conditions = [], set = [], remove = [] } = operation.transaction;
      return [
        0,
        conditions.map((each) => ('revision' in each ? [each.key, each.revision] : [each.key, each.createRevision, 1])),
        set.map(({ key, value, leaseId }) => (leaseId === undefined ? [key, value] : [key, value, leaseId])),
        remove,
      ];
    }
    case 'grant':
      return [1, operation.leaseId, operation.ttlMs];
    case 'renew':
      return [2, operation.leaseId];
    case 'revoke':
      return [3, operation.leaseId];
    case 'expire':
      return [4, operation.leaseId, operation.renewals];
  }
}

function fromRow(row: unknown): StoreOperation | undefined {
  if (!Array.isArray(row)) return undefined;
  const [kind, first, second, third] = row as unknown[];
  if (kind === 0) return transactionFrom(first, second, third);
  if (typeof first !== 'string') return undefined;
  if (kind === 1 && isCount(second)) return { kind: 'grant', leaseId: first, ttlMs: second };
  if (kind === 2) return { kind: 'renew', leaseId: first };
  if (kind === 3) return { kind: 'revoke', leaseId: first };
  if (kind === 4 && isCount(second)) return { kind: 'expire', leaseId: first, renewals: second };
  return undefined;
}

function transactionFrom(conditions: unknown, sets: unknown, removals: unknown): StoreOperation | undefined {
  if (!isListOf(conditions, isConditionRow) || !isListOf(sets, isSetRow) || !isListOf(removals, isText)) {
    return undefined;
  }
  return {
    kind: 'transaction',
    transaction: {
      if: conditions.map(
        ([key, revision, ofCreation]): CoordinatorCondition =>
          ofCreation === 1 ? { key, createRevision: revision } : { key, revision },
      ),
      set: sets.map(([key, value, leaseId]) => ({ key, value, ...(leaseId === undefined ? {} : { leaseId }) })),
      remove: removals,
    },
  };
}

type ConditionRow = readonly [key: string, revision: number, ofCreation?: unknown];
type SetRow = readonly [key: string, value: string, leaseId?: string];

function isConditionRow(row: unknown): row is ConditionRow {
  return Array.isArray(row) && typeof row[0] === 'string' && isCount(row[1]);
}

function isSetRow(row: unknown): row is SetRow {
  if (!Array.isArray(row)) return false;
  return typeof row[0] === 'string' && typeof row[1] === 'string' && (row.length < 3 || typeof row[2] === 'string');
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isListOf<T>(value: unknown, isItem: (item: unknown) => item is T): value is readonly T[] {
  return Array.isArray(value) && value.every(isItem);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
