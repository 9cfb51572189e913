/**
 * The one error class that crosses module, process and protocol boundaries.
 * What each code means and how each protocol spells it stands in `table.ts`.
 */
import { type ErrorName, type ErrorRow, errorRow } from './table.ts';

export interface BurrowErrorOptions {
  cause?: unknown;
  /** Facts for programs and logs: topic, partition, file, position, limit. Never secrets. */
  fields?: Readonly<Record<string, string | number | boolean>>;
}

/**
 * A typed error. `code` names a row of the error table; `message` says what happened, where, and what to do.
 * `retriable` tells whether the same request may succeed later without a change by the user.
 */
export class BurrowError extends Error {
  readonly code: ErrorName;
  readonly number: number;
  readonly retriable: boolean;
  readonly fields: Readonly<Record<string, string | number | boolean>>;

  constructor(code: ErrorName, message?: string, options: BurrowErrorOptions = {}) {
    const row: ErrorRow = errorRow(code);
    super(
      message ?? `${row.sentence} ${row.remedy}`,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.name = 'BurrowError';
    this.code = code;
    this.number = row.number;
    this.retriable = row.retriable;
    this.fields = options.fields ?? {};
  }
}

/** True if `error` is a {@link BurrowError}, of the given code if one is named. */
export function isBurrowError(error: unknown, code?: ErrorName): error is BurrowError {
  return error instanceof BurrowError && (code === undefined || error.code === code);
}

/** Any thrown value as a {@link BurrowError}; what is not one becomes INTERNAL_ERROR with the original as its cause. */
export function toBurrowError(error: unknown): BurrowError {
  if (error instanceof BurrowError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new BurrowError('INTERNAL_ERROR', `Unexpected failure: ${text}`, { cause: error });
}
