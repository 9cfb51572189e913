/**
 * When two values of field tables are the same. As in RabbitMQ, the type they were sent with does not count (Erlang's
 * `==` on the bare value): 1 of eight bits is 1 of sixty-four and 1.0, a timestamp is its seconds, bytes are the string
 * they spell.
 */
import { decodeUtf8 } from '../bytes/utf8.ts';
import type { FieldTable, FieldValue } from './field-value.ts';

/** In front of the text of what is no string. No string that a client sends by chance begins like this. */
const NOT_A_STRING = '\u0000\u0001field:';

/**
 * A form of `value` that is `===` and finds itself in a Map for equal values: numbers, booleans and strings are
 * themselves, lists, tables and the rest become text. Null stays null.
 */
export function comparableValue(value: FieldValue): string | number | bigint | boolean | null {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (typeof value !== 'object' || value === null) return value;
  if (isTimestamp(value)) return value.seconds;
  if (value instanceof Uint8Array) {
    const text = decodeUtf8(value, 0, value.length);
    // What cannot be decoded is no string.
    if (!text.includes('\ufffd')) return text;
  }
  return NOT_A_STRING + canonicalText(value);
}

/** The same text for equal values, and only for them. Entries of tables are sorted. */
export function canonicalText(value: FieldValue): string {
  if (value === null) return 'null';
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value);
    case 'number':
      return String(Object.is(value, -0) ? 0 : value);
    case 'bigint':
    case 'boolean':
      return String(value);
  }
  if (value instanceof Uint8Array) {
    const text = decodeUtf8(value, 0, value.length);
    return text.includes('\ufffd') ? `bytes:${value.join(',')}` : JSON.stringify(text);
  }
  if (isList(value)) return `[${value.map(canonicalText).join(',')}]`;
  if (isTable(value)) return canonicalTable(value);
  return value.type === 'timestamp' ? String(value.seconds) : `decimal:${value.value}e-${value.scale}`;
}

export function canonicalTable(table: FieldTable): string {
  const names = [...table.keys()].sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonicalText(table.get(name)!)}`).join(',')}}`;
}

/** `Array.isArray` does not tell readonly lists from the rest. */
function isList(value: FieldValue): value is readonly FieldValue[] {
  return Array.isArray(value);
}

function isTable(value: FieldValue): value is FieldTable {
  return value instanceof Map;
}

function isTimestamp(value: object): value is { readonly type: 'timestamp'; readonly seconds: number } {
  return 'type' in value && value.type === 'timestamp';
}
