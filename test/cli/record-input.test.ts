import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type InputRecord, ndjsonLineReader, parseKeySource, plainLineReader } from '../../src/cli/record-input.ts';
import { formatRecord } from '../../src/cli/record-output.ts';

const SOURCE = { label: 'logs/app.log', fileName: 'app.log' };

function text(bytes: Uint8Array | null): string | null {
  return bytes && Buffer.from(bytes).toString();
}

function plain(keyFrom: string | undefined, line: string): [string | null, string | null] {
  const record = plainLineReader(parseKeySource(keyFrom), SOURCE)(Buffer.from(line), 7);
  return [text(record.key), text(record.value)];
}

function ndjson(line: string): InputRecord {
  return ndjsonLineReader(SOURCE)(Buffer.from(line), 7);
}

describe('the key of a plain line', () => {
  test('is absent by default', () => {
    expect(plain(undefined, 'a b')).toEqual([null, 'a b']);
  });

  test('can be the name of its file', () => {
    expect(plain('file-name', 'a b')).toEqual(['app.log', 'a b']);
  });

  test('can be a field of the JSON that the line is', () => {
    expect(plain('field:user', '{"user":"ann","n":1}')).toEqual(['ann', '{"user":"ann","n":1}']);
    expect(plain('field:n', '{"n": 1.5}')).toEqual(['1.5', '{"n": 1.5}']);
    expect(plain('field:n', '{"n":null}')).toEqual([null, '{"n":null}']);
    expect(() => plain('field:constructor', '{}')).toThrow('No field "constructor" in line 7 of logs/app.log.');
    expect(() => plain('field:n', 'x')).toThrow('Not JSON in UTF-8: line 7 of logs/app.log.');
    expect(() => plain('field:n', '[1]')).toThrow('Not a JSON object: line 7');
  });

  test('can stand before the first separator', () => {
    expect(plain('separator::', 'k:v:w')).toEqual(['k', 'v:w']);
    expect(plain('separator:\\t', 'k\tv')).toEqual(['k', 'v']);
    expect(plain('separator: => ', 'k => v')).toEqual(['k', 'v']);
    expect(plain('separator::', ':')).toEqual(['', '']);
    expect(plain('separator::', 'no key here')).toEqual([null, 'no key here']);
  });

  test('is refused in other forms', () => {
    for (const keyFrom of ['filename', 'field:', 'separator:', 'field', '']) {
      expect(() => parseKeySource(keyFrom), keyFrom).toThrow('allowed: file-name, field:NAME or separator:TEXT.');
    }
    expect(() => parseKeySource('filename')).toThrow('Did you mean "file-name"?');
  });
});

describe('a line of NDJSON', () => {
  test('may have key, value, headers, partition and timestamp', () => {
    const record = ndjson(
      '{"key":"k","value":{"a":1},"headers":{"h":"1","z":null},"partition":2,"timestamp":"2026-11-23T00:00:00Z"}',
    );
    expect([text(record.key), text(record.value), record.partition, record.timestampMs]).toEqual([
      'k',
      '{"a":1}',
      2,
      Date.UTC(2026, 10, 23),
    ]);
    expect(record.headers.map(([name, value]) => [name, text(value)])).toEqual([
      ['h', '1'],
      ['z', null],
    ]);
  });

  test('tells an empty value, a tombstone and a forgotten value apart', () => {
    expect(ndjson('{"value":""}').value).toHaveLength(0);
    expect(ndjson('{"key":"k","value":null}').value).toBeNull();
    expect(() => ndjson('{"key":"k"}')).toThrow('No field "value" in line 7 of logs/app.log; null writes a tombstone.');
  });

  test.each([
    ['{"value":1,"partiton":1}', 'Unknown field "partiton" in line 7 of logs/app.log. Did you mean "partition"?'],
    ['{"value":1,"__proto__":1}', 'Unknown field "__proto__"'],
    ['{"value":1,"partition":-1}', '"partition" in line 7 of logs/app.log must be an integer from 0'],
    ['{"value":1,"timestamp":"soon"}', '"timestamp" in line 7 of logs/app.log must be milliseconds or'],
    ['{"value":1,"headers":[["a"]]}', 'Field "headers" in line 7'],
    ['{"value":1,"headers":{"a":1}}', 'Field "headers" in line 7'],
    ['{"value":1,"headers":"a"}', 'Field "headers" in line 7'],
    ['{"valueBase64":"?"}', 'Not base64: "valueBase64" in line 7'],
    ['{"value":"a","valueBase64":"YQ=="}', 'Both "value" and "valueBase64" in line 7'],
    ['not json', 'Not JSON in UTF-8: line 7 of logs/app.log.'],
    ['null', 'Not a JSON object'],
  ])('%s is refused: %s', (line, message) => {
    expect(() => ndjson(line)).toThrow(message);
  });

  test('reads back whatever consume --format json prints, bytes that are not text included', () => {
    const bytes = fc.oneof(
      fc.constant(null),
      fc.uint8Array(),
      fc.string({ unit: 'binary' }).map((t) => Buffer.from(t)),
    );
    const header = fc.tuple(fc.string(), bytes);
    fc.assert(
      fc.property(bytes, bytes, fc.array(header), fc.nat(), fc.nat(), (key, value, headers, partition, timestamp) => {
        const named = headers.map(([name, bytes]) => ({ key: name, value: bytes }));
        const printed = formatRecord.json({
          topic: 't',
          partition,
          offset: 1,
          timestampMs: timestamp,
          key,
          value,
          headers: named,
        });
        const read = ndjson(String(printed));
        const plainBytes = (b: Uint8Array | null): number[] | null => b && [...b];
        expect([read.partition, read.timestampMs]).toEqual([partition, timestamp]);
        expect([plainBytes(read.key), plainBytes(read.value)]).toEqual([plainBytes(key), plainBytes(value)]);
        expect(read.headers.map(([n, v]) => [n, plainBytes(v)])).toEqual(headers.map(([n, v]) => [n, plainBytes(v)]));
      }),
    );
  });
});
