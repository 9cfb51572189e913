/** Record headers as users write them, turned into what the record codec takes. */
import type { RecordHeader } from '../../src/records/record-header.ts';
import type { HeaderValue, RecordHeaders } from './producer-options.ts';

const encoder = new TextEncoder();

function encodeValue(value: HeaderValue): Uint8Array | null {
  return typeof value === 'string' ? encoder.encode(value) : value;
}

export function encodeHeaders(headers: RecordHeaders): RecordHeader[] {
  const pairs = Array.isArray(headers)
    ? (headers as ReadonlyArray<readonly [string, HeaderValue]>)
    : Object.entries(headers as Readonly<Record<string, HeaderValue>>);
  return pairs.map(([key, value]) => ({ key, value: encodeValue(value) }));
}
