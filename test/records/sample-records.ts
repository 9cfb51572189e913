/** The records that the golden batches hold (test/golden/README.md), and shapes that tests compare. */
import fc from 'fast-check';
import type { LogRecord } from '../../src/records/log-record.ts';
import type { RecordHeader } from '../../src/records/record-header.ts';

export interface PlainRecord {
  offset: number;
  timestampMs: number;
  key: string | null;
  value: string | null;
  headers: Array<[string, string | null]>;
}

export const SAMPLE_TIMESTAMP = 1_700_000_000_000;
const RECORDS_COUNT = 300;

export function sampleRecords(baseOffset = 0): PlainRecord[] {
  const first: Array<Omit<PlainRecord, 'offset'>> = [
    { timestampMs: 0, key: 'k', value: 'v', headers: [] },
    { timestampMs: 1, key: null, value: 'only a value', headers: [] },
    { timestampMs: 1000, key: 'tombstone', value: null, headers: [] },
    {
      timestampMs: 70_000,
      key: '',
      value: '',
      headers: [
        ['h', 'x'],
        ['h', null],
        ['é', 'ü'],
      ],
    },
    { timestampMs: -5, key: 'earlier', value: 'a'.repeat(300), headers: [] },
    { timestampMs: 5_000_000_000, key: 'much later', value: 'b'.repeat(70), headers: [] },
  ];
  for (let index = first.length; index < RECORDS_COUNT; index++) {
    first.push({ ...lineRecord(index), timestampMs: index * 10 });
  }
  return first.map((record, index) => ({
    ...record,
    offset: baseOffset + index,
    timestampMs: SAMPLE_TIMESTAMP + record.timestampMs,
  }));
}

/** What kcat was given, line by line; timestamps are whatever the clock said. */
export function librdkafkaRecords(): Array<Omit<PlainRecord, 'timestampMs'>> {
  return Array.from({ length: RECORDS_COUNT }, (_, offset) => {
    const { key, value } = lineRecord(offset);
    return { offset, key, value, headers: [['h', 'x']] };
  });
}

function lineRecord(index: number): Omit<PlainRecord, 'offset' | 'timestampMs'> {
  return {
    key: index % 3 === 0 ? null : `key-${index % 10}`,
    value: `line ${index} of some text that repeats itself`,
    headers: [],
  };
}

export function utf8(text: string | null): Uint8Array | null {
  return text === null ? null : Buffer.from(text);
}

export function text(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString();
}

export function recordHeaders(headers: PlainRecord['headers']): RecordHeader[] {
  return headers.map(([key, value]) => ({ key, value: utf8(value) }));
}

export function plainRecord(record: LogRecord): PlainRecord {
  return {
    offset: record.offset,
    timestampMs: record.timestampMs,
    key: text(record.key),
    value: text(record.value),
    headers: record.headers.map(({ key, value }) => [key, text(value)]),
  };
}

const bytes = fc.option(fc.uint8Array({ maxLength: 80 }), { nil: null, freq: 6 });

/** Records with anything in them, as a producer may append. */
export const recordsArbitrary = fc.array(
  fc.record({
    timestampMs: fc.oneof(fc.integer({ min: 0, max: 2 ** 42 }), fc.constantFrom(-1, 0, 2 ** 52)),
    key: bytes,
    value: bytes,
    headers: fc.array(fc.record({ key: fc.string({ unit: 'binary', maxLength: 12 }), value: bytes }), { maxLength: 3 }),
  }),
  { minLength: 1, maxLength: 12 },
);
