/**
 * From a line of input to a record: plain lines with an optional key taken from somewhere, or one JSON object a line
 * (NDJSON) in the form that `burrow consume --format json` prints.
 */
import { Buffer } from 'node:buffer';
import { didYouMean } from '../closest-name.ts';
import { BurrowError } from '../errors/burrow-error.ts';

export interface InputRecord {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: ReadonlyArray<readonly [string, Uint8Array | null]>;
  readonly partition: number | undefined;
  /** Milliseconds since the Unix epoch. */
  readonly timestampMs: number | undefined;
}

/** Where the key of a plain line comes from. */
export type KeySource =
  | { readonly kind: 'none' }
  | { readonly kind: 'file-name' }
  /** The line is a JSON object, and a field of it the key; the value is the whole line. */
  | { readonly kind: 'field'; readonly name: string }
  /** The key stands before the first separator, the value behind it. */
  | { readonly kind: 'separator'; readonly separator: Uint8Array };

const KEY_SOURCES = 'file-name, field:NAME or separator:TEXT';

export function parseKeySource(text: string | undefined): KeySource {
  if (text === undefined) return { kind: 'none' };
  if (text === 'file-name') return { kind: 'file-name' };
  const [, kind, argument = ''] = /^(field|separator):(.+)$/s.exec(text) ?? [];
  if (kind === 'field') return { kind, name: argument };
  if (kind === 'separator') {
    // A shell has no easy way to pass a tab.
    return { kind, separator: Buffer.from(argument.replaceAll('\\t', '\t')) };
  }
  const hint = didYouMean(text, ['file-name']);
  throw new BurrowError('INVALID_ARGUMENT', `--key-from is "${text}"; allowed: ${KEY_SOURCES}.${hint}`);
}

/** Turns the lines of one source into records. `where` of a line is only built for an error text. */
export type LineReader = (line: Uint8Array, lineNumber: number) => InputRecord;

export function plainLineReader(keySource: KeySource, source: { label: string; fileName: string }): LineReader {
  const fileKey = Buffer.from(source.fileName);
  return (line, lineNumber) => {
    switch (keySource.kind) {
      case 'none':
        return plainRecord(null, line);
      case 'file-name':
        return plainRecord(fileKey, line);
      case 'field':
        return plainRecord(fieldOf(line, keySource.name, `line ${lineNumber} of ${source.label}`), line);
      case 'separator': {
        const bytes = Buffer.from(line.buffer, line.byteOffset, line.byteLength);
        const position = bytes.indexOf(keySource.separator);
        // As kcat: a line without the separator has no key.
        if (position === -1) return plainRecord(null, line);
        return plainRecord(line.subarray(0, position), line.subarray(position + keySource.separator.length));
      }
    }
  };
}

export function ndjsonLineReader(source: { label: string }): LineReader {
  return (line, lineNumber) => parseJsonRecord(line, `line ${lineNumber} of ${source.label}`);
}

function plainRecord(key: Uint8Array | null, value: Uint8Array): InputRecord {
  return { key, value, headers: [], partition: undefined, timestampMs: undefined };
}

function fieldOf(line: Uint8Array, name: string, where: string): Uint8Array | null {
  const value = parseJsonObject(line, where).get(name);
  if (value === undefined) throw new BurrowError('INVALID_ARGUMENT', `No field "${name}" in ${where}.`);
  return jsonBytes(value);
}

function parseJsonObject(line: Uint8Array, where: string): Map<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(line));
  } catch (cause) {
    throw new BurrowError('INVALID_ARGUMENT', `Not JSON in UTF-8: ${where}.`, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new BurrowError('INVALID_ARGUMENT', `Not a JSON object: ${where}.`);
  }
  return new Map(Object.entries(value));
}

/** A string is its text, null is null, anything else its JSON. */
function jsonBytes(value: unknown): Uint8Array | null {
  if (value === null) return null;
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
}

const FIELDS = new Set(['key', 'keyBase64', 'value', 'valueBase64', 'headers', 'partition', 'timestamp']);
/** Printed by `burrow consume`, and decided by the broker or the command here. */
const IGNORED_FIELDS = new Set(['topic', 'offset']);

function parseJsonRecord(line: Uint8Array, where: string): InputRecord {
  const fields = parseJsonObject(line, where);
  for (const name of fields.keys()) {
    if (FIELDS.has(name) || IGNORED_FIELDS.has(name)) continue;
    throw new BurrowError('INVALID_ARGUMENT', `Unknown field "${name}" in ${where}.${didYouMean(name, FIELDS)}`);
  }
  const value = bytesField(fields, 'value', where);
  if (value === undefined) {
    throw new BurrowError('INVALID_ARGUMENT', `No field "value" in ${where}; null writes a tombstone.`);
  }
  return {
    key: bytesField(fields, 'key', where) ?? null,
    value,
    headers: parseHeaders(fields.get('headers'), where),
    partition: parsePartition(fields.get('partition'), where),
    timestampMs: parseTimestamp(fields.get('timestamp'), where),
  };
}

function bytesField(fields: Map<string, unknown>, name: string, where: string): Uint8Array | null | undefined {
  const text = fields.get(name);
  const encoded = fields.get(`${name}Base64`);
  if (encoded === undefined) return text === undefined ? undefined : jsonBytes(text);
  if (text !== undefined) {
    throw new BurrowError('INVALID_ARGUMENT', `Both "${name}" and "${name}Base64" in ${where}.`);
  }
  return base64Bytes(encoded, `"${name}Base64" in ${where}`);
}

function base64Bytes(encoded: unknown, where: string): Uint8Array {
  // Buffer.from skips what is not base64 without a word.
  if (
    typeof encoded !== 'string' ||
    !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(encoded)
  ) {
    throw new BurrowError('INVALID_ARGUMENT', `Not base64: ${where}.`);
  }
  return Buffer.from(encoded, 'base64');
}

/** `{"name": "text"}`, or `[["name", "text"], …]` where order or repetition matters. */
function parseHeaders(headers: unknown, where: string): InputRecord['headers'] {
  if (headers === undefined || headers === null) return [];
  const pairs: unknown = Array.isArray(headers) || typeof headers !== 'object' ? headers : Object.entries(headers);
  if (!Array.isArray(pairs)) throw headersError(where);
  return pairs.map((pair: unknown) => {
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== 'string') throw headersError(where);
    return [pair[0], headerBytes(pair[1], where)];
  });
}

function headerBytes(value: unknown, where: string): Uint8Array | null {
  if (value === null) return null;
  if (typeof value === 'string') return Buffer.from(value);
  if (typeof value === 'object' && 'base64' in value) return base64Bytes(value.base64, `a header in ${where}`);
  throw headersError(where);
}

function headersError(where: string): BurrowError {
  return new BurrowError(
    'INVALID_ARGUMENT',
    `Field "headers" in ${where} must be {"name": "text"} or [["name", "text"]]; a text may be null or {"base64": "…"}.`,
  );
}

function parsePartition(partition: unknown, where: string): number | undefined {
  if (partition === undefined || partition === null) return undefined;
  if (typeof partition === 'number' && Number.isInteger(partition) && partition >= 0) return partition;
  throw new BurrowError('INVALID_ARGUMENT', `Field "partition" in ${where} must be an integer from 0.`);
}

function parseTimestamp(timestamp: unknown, where: string): number | undefined {
  if (timestamp === undefined || timestamp === null) return undefined;
  const milliseconds = typeof timestamp === 'string' ? Date.parse(timestamp) : timestamp;
  if (typeof milliseconds === 'number' && Number.isSafeInteger(milliseconds) && milliseconds >= 0) return milliseconds;
  throw new BurrowError('INVALID_ARGUMENT', `Field "timestamp" in ${where} must be milliseconds or an ISO 8601 date.`);
}
