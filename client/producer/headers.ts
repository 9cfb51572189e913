/** Record headers as users write them, turned into what the record codec takes. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { RecordHeader } from '../../src/records/record-header.ts';
import type { HeaderValue, RecordHeaders } from './producer-options.ts';

const encoder = new TextEncoder();

export function encodeHeaders(headers: RecordHeaders): RecordHeader[] {
  const pairs = Array.isArray(headers)
    ? (headers as ReadonlyArray<readonly [string, HeaderValue]>)
    : Object.entries(headers as Readonly<Record<string, HeaderValue>>);
  return pairs.map(([key, value]) => {
    if (typeof key !== 'string') throw invalid(`A header's name must be a string, not ${typeof key}.`);
    if (typeof value === 'string') return { key, value: encoder.encode(value) };
    if (value === null || value instanceof Uint8Array) return { key, value };
    throw invalid(`The value of header ${key} must be a string, a Uint8Array or null, not ${typeof value}.`);
  });
}

function invalid(text: string): BurrowError {
  return new BurrowError('INVALID_ARGUMENT', text);
}
