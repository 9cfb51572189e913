/** Where a consumer of a stream begins: the consumer argument `x-stream-offset`, as RabbitMQ has it. Pure. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { FieldTable, FieldValue } from '../../src/messages/field-value.ts';
import { parseAge } from '../definitions/queue-arguments.ts';

export type StreamStart =
  /** The oldest record there is; the newest; the next one to come. */
  | { readonly kind: 'first' | 'last' | 'next' }
  | { readonly kind: 'offset'; readonly offset: number }
  /** The first record that is not older. */
  | { readonly kind: 'timestamp'; readonly timestampMs: number };

/**
 * A name ("first", "last", "next"), an offset, a timestamp, or a time back from now such as "1h". Default "next".
 * @throws BurrowError INVALID_ARGUMENT
 */
export function parseStreamOffset(table: FieldTable, nowMs: number): StreamStart {
  const value = table.get('x-stream-offset');
  if (value === undefined) return { kind: 'next' };
  if (value === 'first' || value === 'last' || value === 'next') return { kind: value };
  if (typeof value === 'string') {
    const age = parseAge(value);
    if (age !== undefined) return { kind: 'timestamp', timestampMs: Math.max(0, nowMs - age) };
  }
  if (isTimestamp(value)) return { kind: 'timestamp', timestampMs: value.seconds * 1000 };
  if (isCount(value)) return { kind: 'offset', offset: value };
  throw new BurrowError(
    'INVALID_ARGUMENT',
    'The consumer argument x-stream-offset must be first, last, next, an offset, a timestamp or a time such as 1h.',
    { fields: { argument: 'x-stream-offset' } },
  );
}

/**
 * The one partition to consume, if the consumer argument `x-stream-partition` names one.
 * @throws BurrowError INVALID_ARGUMENT
 */
export function parseStreamPartition(table: FieldTable, partitionCount: number): number | undefined {
  const value = table.get('x-stream-partition');
  if (value === undefined) return undefined;
  if (isCount(value) && value < partitionCount) return value;
  throw new BurrowError(
    'INVALID_ARGUMENT',
    `The consumer argument x-stream-partition must be a partition of the topic, which has ${partitionCount}.`,
    { fields: { argument: 'x-stream-partition' } },
  );
}

function isCount(value: FieldValue): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isTimestamp(value: FieldValue): value is Extract<FieldValue, { readonly type: 'timestamp' }> {
  return typeof value === 'object' && value !== null && 'type' in value && value.type === 'timestamp';
}
