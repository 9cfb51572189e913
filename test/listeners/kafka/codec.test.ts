import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileMessage } from '../../../broker/listeners/kafka/codec.ts';
import { MessageReader } from '../../../broker/listeners/kafka/message-reader.ts';
import { MessageWriter } from '../../../broker/listeners/kafka/message-writer.ts';
import {
  array,
  type Fields,
  int8,
  int32,
  list,
  type MessageTable,
  message,
  nullableString,
  recordSlices,
  string,
} from '../../../broker/listeners/kafka/schema/field.ts';
import { requestHeader, responseHeader } from '../../../broker/listeners/kafka/schema/headers.ts';
import { ALL_KAFKA_APIS } from '../../support/kafka-apis.ts';
import { messageArbitrary } from './message-arbitrary.ts';

const TABLES: ReadonlyArray<MessageTable<Fields>> = [
  requestHeader,
  responseHeader,
  ...ALL_KAFKA_APIS.flatMap((api) => [api.request, api.response]),
];

function encode<F extends Fields>(table: MessageTable<F>, version: number, value: unknown): Buffer {
  const writer = new MessageWriter();
  writer.reserve(4);
  compileMessage(table).encode(writer, version, value as never);
  return Buffer.concat(writer.finishFrame()).subarray(4);
}

function decode<F extends Fields>(table: MessageTable<F>, version: number, bytes: Buffer, elementsMax = 100_000) {
  const reader = new MessageReader(bytes, 0, elementsMax);
  const value = compileMessage(table).decode(reader, version);
  return { value, ok: reader.ok, remaining: reader.remaining };
}

describe.each(TABLES.map((table) => ({ table, name: table.name })))('$name', ({ table }) => {
  const { min, max } = table.versions;
  it.each(Array.from({ length: max - min + 1 }, (_, index) => min + index))(
    'in version %i reads back what it writes, and refuses every cut of it',
    (version) => {
      fc.assert(
        fc.property(messageArbitrary(table.fields, version), fc.double({ min: 0, max: 0.999 }), (value, fraction) => {
          const bytes = encode(table, version, value);
          expect(decode(table, version, bytes)).toEqual({ value, ok: true, remaining: 0 });
          if (bytes.length > 0) {
            expect(decode(table, version, bytes.subarray(0, Math.floor(bytes.length * fraction))).ok).toBe(false);
          }
        }),
        { numRuns: 30 },
      );
    },
  );
});

describe('what the compiled codecs guarantee', () => {
  const sample = message(
    'Sample',
    { versions: [0, 2], flexibleSince: 1 },
    {
      items: array({ name: string(), value: nullableString({ since: 1, default: null }) }),
      numbers: list(int32(), { default: [] }),
      note: nullableString({ since: 1, tag: 0, default: null }),
      level: int8({ since: 1, tag: 5, default: -1 }),
    },
  );

  it('gives all messages of a table one shape, with absent fields at their defaults', () => {
    const { value } = decode(sample, 0, encode(sample, 0, { items: [{ name: 'a' }] }));
    expect(value).toEqual({ items: [{ name: 'a', value: null }], numbers: [], note: null, level: -1 });
    expect(Object.keys(value)).toEqual(['items', 'numbers', 'note', 'level']);
  });

  it('leaves tagged fields out that have their default', () => {
    expect([...encode(sample, 1, { items: [], note: null, level: -1 })]).toEqual([1, 1, 0]);
    // one tagged field: tag 5, one byte, 7
    expect([...encode(sample, 1, { items: [], level: 7 })]).toEqual([1, 1, 1, 5, 1, 7]);
  });

  it('skips unknown tagged fields', () => {
    const bytes = Buffer.from([1, 1, 2, 3, 4, 0xde, 0xad, 0xbe, 0xef, 5, 1, 9]);
    expect(decode(sample, 1, bytes)).toMatchObject({ ok: true, remaining: 0, value: { level: 9 } });
  });

  it('refuses a tagged field whose size is not that of its value', () => {
    expect(decode(sample, 1, Buffer.from([1, 1, 1, 5, 2, 9, 9])).ok).toBe(false);
    expect(decode(sample, 1, Buffer.from([1, 1, 1, 5, 0, 9])).ok).toBe(false);
  });

  it('refuses null where the version does not allow it', () => {
    expect(decode(sample, 0, Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])).ok).toBe(false);
    expect(decode(sample, 1, Buffer.from([0, 1, 0])).ok).toBe(false);
    expect(() => encode(sample, 0, { items: null })).toThrow(TypeError);
    expect(() => encode(sample, 0, { items: [{ name: null }] })).toThrow(TypeError);
  });

  it('refuses versions that the table does not have', () => {
    expect(() => encode(sample, 3, { items: [] })).toThrow(RangeError);
    expect(() => decode(sample, -1, Buffer.alloc(8))).toThrow(RangeError);
  });

  it('allocates nothing for counts that the bytes do not back', () => {
    const before = process.memoryUsage().heapUsed;
    for (let round = 0; round < 1000; round++) {
      expect(decode(sample, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0])).ok).toBe(false);
      expect(decode(sample, 1, Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f, 1, 1, 1])).ok).toBe(false);
      // a tag count of 2^32 - 1, and one that the bytes could hold only if a tagged field took one byte
      expect(decode(sample, 1, Buffer.from([1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f])).ok).toBe(false);
      expect(decode(sample, 1, Buffer.from([1, 1, 3, 9, 0, 10, 0])).ok).toBe(false);
    }
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 * 1024 * 1024);
  });

  it('bounds the elements and tagged fields of a message, however small they are', () => {
    const items = (count: number) => encode(sample, 1, { items: Array.from({ length: count }, () => ({ name: '' })) });
    expect(decode(sample, 1, items(100), 100).ok).toBe(true);
    expect(decode(sample, 1, items(101), 100).ok).toBe(false);
    const tags = (count: number) => {
      const fields = Array.from({ length: count }, (_, index) => [index + 10, 0]).flat();
      return Buffer.from([1, 1, count, ...fields]);
    };
    expect(decode(sample, 1, tags(50), 50).ok).toBe(true);
    expect(decode(sample, 1, tags(51), 50).ok).toBe(false);
  });

  it('takes names of Object.prototype as plain values', () => {
    const items = Object.getOwnPropertyNames(Object.prototype).map((name) => ({ name, value: name }));
    expect(decode(sample, 2, encode(sample, 2, { items })).value.items).toEqual(items);
  });

  it.each([0, 1])('writes record batches without copying them (version %i)', (version) => {
    const table = message(
      'Batches',
      { versions: [0, 1], flexibleSince: 1 },
      { parts: array({ id: int32(), records: recordSlices() }), after: int8() },
    );
    const slices = [Buffer.from('first'), Buffer.from('second'), Buffer.from('third')];
    const writer = new MessageWriter();
    writer.reserve(4);
    const parts = [
      { id: 1, records: slices.slice(0, 2) },
      { id: 2, records: [] },
      { id: 3, records: null },
      { id: 4, records: slices.slice(2) },
    ];
    compileMessage(table).encode(writer, version, { parts, after: 7 });
    const frame = writer.finishFrame();
    for (const slice of slices) expect(frame).toContain(slice);
    const bytes = Buffer.concat(frame);
    expect(bytes.readInt32BE(0)).toBe(bytes.length - 4);
    expect(decode(table, version, bytes.subarray(4)).value).toEqual({
      parts: [
        { id: 1, records: [Buffer.from('firstsecond')] },
        { id: 2, records: [Buffer.alloc(0)] },
        { id: 3, records: null },
        { id: 4, records: [Buffer.from('third')] },
      ],
      after: 7,
    });
  });

  it('reads records as a view of the frame', () => {
    const table = message('Views', { versions: [0, 0] }, { records: recordSlices() });
    const bytes = encode(table, 0, { records: [Buffer.from('batch')] });
    const { value } = decode(table, 0, bytes);
    expect(value.records![0]!.buffer).toBe(bytes.buffer);
  });
});
