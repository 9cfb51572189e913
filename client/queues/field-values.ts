/** What users write as headers and arguments, and the field tables that it becomes. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { FieldTable, FieldValue } from '../../src/messages/field-value.ts';

/** A value of a header or argument. Dates become AMQP timestamps (whole seconds), objects become tables. */
export type HeaderInput =
  | FieldValue
  | Date
  | undefined
  | readonly HeaderInput[]
  | { readonly [name: string]: HeaderInput };

/** Headers or arguments by name. Entries that are undefined are left out. */
export type HeadersInput = FieldTable | { readonly [name: string]: HeaderInput };

/** @throws BurrowError INVALID_ARGUMENT for values that AMQP has no form for */
export function toFieldTable(input: HeadersInput): FieldTable {
  if (isFieldTable(input)) return input;
  const table = new Map<string, FieldValue>();
  for (const [name, value] of Object.entries(input))
    if (value !== undefined) table.set(name, toFieldValue(name, value));
  return table;
}

function toFieldValue(name: string, value: Exclude<HeaderInput, undefined>): FieldValue {
  switch (typeof value) {
    case 'string':
    case 'boolean':
    case 'number':
    case 'bigint':
      return value;
    case 'object':
      break;
    default:
      throw new BurrowError('INVALID_ARGUMENT', `${JSON.stringify(name)} cannot be a ${typeof value}.`);
  }
  if (value === null || value instanceof Uint8Array) return value;
  if (value instanceof Date) return { type: 'timestamp', seconds: Math.floor(value.getTime() / 1000) };
  if (isList(value)) return value.map((each) => (each === undefined ? null : toFieldValue(name, each)));
  if (isTypedValue(value)) return value;
  return toFieldTable(value as HeadersInput);
}

function isFieldTable(value: object): value is FieldTable {
  return value instanceof Map;
}

function isList(value: unknown): value is readonly HeaderInput[] {
  return Array.isArray(value);
}

function isTypedValue(value: object): value is Extract<FieldValue, { readonly type: string }> {
  if (!('type' in value)) return false;
  return (value.type === 'timestamp' && 'seconds' in value) || (value.type === 'decimal' && 'scale' in value);
}
