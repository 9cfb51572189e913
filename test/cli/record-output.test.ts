import { Buffer } from 'node:buffer';
import { expect, test } from 'vitest';
import { formatRecord, isoTime, type OutputRecord } from '../../src/cli/record-output.ts';

const RECORD: OutputRecord = {
  topic: 't',
  partition: 1,
  offset: 42,
  timestampMs: Date.UTC(2026, 10, 23, 10, 0, 0, 5),
  key: Buffer.from('k'),
  value: Buffer.from('a\tb\\\r\n'),
  headers: [
    { key: 'h', value: Buffer.from('1') },
    { key: 'h', value: null },
  ],
};

test('value prints the bytes as they are, and nothing for a tombstone', () => {
  expect(formatRecord.value(RECORD)).toBe(RECORD.value);
  expect(formatRecord.value({ ...RECORD, value: null })).toBe('');
});

test('json prints one object a line, with headers in order', () => {
  expect(formatRecord.json(RECORD)).toBe(
    '{"topic":"t","partition":1,"offset":42,"timestamp":1795428000005,"key":"k","value":"a\\tb\\\\\\r\\n","headers":[["h","1"],["h",null]]}',
  );
  const binary = formatRecord.json({ ...RECORD, key: null, value: Buffer.from([0xff]), headers: [] });
  expect(binary).toBe(
    '{"topic":"t","partition":1,"offset":42,"timestamp":1795428000005,"key":null,"valueBase64":"/w==","headers":[]}',
  );
});

test('tsv keeps one record on one line of six fields', () => {
  expect(formatRecord.tsv(RECORD)).toBe('1\t42\t2026-11-23T10:00:00.005Z\tk\ta\\tb\\\\\\r\\n\t[["h","1"],["h",null]]');
  const bare = formatRecord.tsv({ ...RECORD, key: null, value: Buffer.from([0xff]), headers: [], timestampMs: -1 });
  expect(bare).toBe('1\t42\t-\t\\N\tbase64:/w==\t[]');
});

test('times that no calendar has stay numbers', () => {
  expect(isoTime(0)).toBe('1970-01-01T00:00:00.000Z');
  expect(isoTime(9e15)).toBe('9000000000000000');
});
