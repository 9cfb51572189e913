/** From a consumed record to the line that `burrow consume` prints. */
import { Buffer } from 'node:buffer';

export interface OutputRecord {
  /** Undefined where all records are of one topic or partition and it is not to be printed. */
  readonly topic: string | undefined;
  readonly partition: number | undefined;
  readonly offset: number;
  readonly timestampMs: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: ReadonlyArray<{ readonly key: string; readonly value: Uint8Array | null }>;
}

export const OUTPUT_FORMATS = ['value', 'json', 'tsv'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** Formats without their LF. Per record. */
export const formatRecord: Readonly<Record<OutputFormat, (record: OutputRecord) => Uint8Array | string>> = {
  value: (record) => record.value ?? '',
  json: formatJson,
  tsv: formatTsv,
};

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text of UTF-8 bytes, or undefined if they are not UTF-8. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

/** Bytes that are not UTF-8 stand in keyBase64 and valueBase64. `burrow produce --format ndjson` reads all of it back. */
function formatJson(record: OutputRecord): string {
  const { topic, partition, offset, timestampMs } = record;
  return JSON.stringify({
    topic,
    partition,
    offset,
    timestamp: timestampMs,
    ...contentAsJson(record),
  });
}

/** Key, value and headers of a record; bytes that are not UTF-8 stand in keyBase64, valueBase64 and { base64 }. */
export function contentAsJson({ key, value, headers }: Pick<OutputRecord, 'key' | 'value' | 'headers'>): object {
  return {
    ...jsonField('key', key),
    ...jsonField('value', value),
    headers: headers.map((each) => [each.key, each.value && (textOf(each.value) ?? { base64: base64Of(each.value) })]),
  };
}

function jsonField(name: string, bytes: Uint8Array | null): Record<string, string | null> {
  const text = bytes && textOf(bytes);
  return text === undefined && bytes !== null ? { [`${name}Base64`]: base64Of(bytes) } : { [name]: text ?? null };
}

/**
 * Partition, offset, timestamp (ISO 8601), key, value, headers (JSON). Escapes as in PostgreSQL's COPY: `\N` is null,
 * `\t` a tab, `\n` a line end, `\r` a carriage return, `\\` a backslash.
 */
function formatTsv(record: OutputRecord): string {
  const headers = record.headers.map(({ key, value }) => [key, value && textForTsv(value)]);
  return [
    ...(record.partition === undefined ? [] : [record.partition]),
    record.offset,
    isoTime(record.timestampMs),
    tsvField(record.key && textForTsv(record.key)),
    tsvField(record.value && textForTsv(record.value)),
    tsvField(JSON.stringify(headers)),
  ].join('\t');
}

const TSV_ESCAPES: ReadonlyMap<string, string> = new Map([
  ['\\', '\\\\'],
  ['\t', '\\t'],
  ['\n', '\\n'],
  ['\r', '\\r'],
]);

function tsvField(text: string | null): string {
  return text === null ? '\\N' : text.replace(/[\\\t\n\r]/g, (character) => TSV_ESCAPES.get(character)!);
}

function textForTsv(bytes: Uint8Array): string {
  return textOf(bytes) ?? `base64:${base64Of(bytes)}`;
}

/** A record's time in words; `-` for none, the number itself where no calendar reaches. */
export function isoTime(timestamp: number): string {
  if (timestamp === -1) return '-';
  const date = new Date(timestamp);
  return Number.isNaN(date.getTime()) ? String(timestamp) : date.toISOString();
}
