import fc from 'fast-check';
import { Packr } from 'msgpackr';
import { expect, test } from 'vitest';
import {
  bytesSerializer,
  deserializeField,
  jsonSerializer,
  messagePackSerializer,
  type Serializer,
  serializeField,
  stringSerializer,
} from '../../client/serializers.ts';
import { isBurrowError } from '../../src/errors/burrow-error.ts';

test('text, JSON and MessagePack come back as they were', () => {
  const json = jsonSerializer();
  const pack = messagePackSerializer();
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.jsonValue({ noUnicodeString: false }), (text, value) => {
      expect(stringSerializer.deserialize(stringSerializer.serialize(text))).toBe(text);
      expect(JSON.stringify(json.deserialize(json.serialize(value)))).toEqual(JSON.stringify(value));
    }),
  );
  const values = [null, true, -1, 2 ** 40, 1.5, 'ä', [1, [2]], { a: { b: [] } }, new Date(1_700_000_000_123)];
  for (const value of values) expect(pack.deserialize(pack.serialize(value))).toEqual(value);
});

test('values that a serializer has no form for are refused with topic and field', () => {
  const cases: Array<[Serializer<never>, unknown]> = [
    [stringSerializer as Serializer<never>, 7],
    [bytesSerializer as Serializer<never>, 'text'],
    [jsonSerializer() as Serializer<never>, undefined],
    [jsonSerializer() as Serializer<never>, () => 1],
    [messagePackSerializer() as Serializer<never>, undefined],
    [{ serialize: () => 'text' as unknown as Uint8Array, deserialize: () => 1 as never }, 1],
  ];
  for (const [serializer, value] of cases) {
    const attempt = () => serializeField(serializer, value as never, 'value', 'events');
    expect(attempt).toThrow(/Cannot serialize the value \(topic events\)/);
  }
});

test('bytes that are no UTF-8 are refused, not mended', () => {
  expect(() => stringSerializer.deserialize(Uint8Array.from([0x66, 0xff]))).toThrow();
});

test('the bytes of one value do not change when the next is serialized', () => {
  const pack = messagePackSerializer<string>();
  const first = pack.serialize('first');
  const copy = [...first];
  for (let count = 0; count < 1000; count += 1) pack.serialize('x'.repeat(100));
  expect([...first]).toEqual(copy);
});

test('MessagePack that defines records, nests too deep, lies about lengths or trails bytes is refused', () => {
  const pack = messagePackSerializer();
  const records = new Packr({ useRecords: true }).pack({ evil: 1 });
  const bad: Uint8Array[] = [
    records,
    new Uint8Array(200).fill(0x91),
    Uint8Array.from([0xdd, 0xff, 0xff, 0xff, 0xff]),
    Uint8Array.from([0xdf, 0xff, 0xff, 0xff, 0xff, 1]),
    Uint8Array.from([0xc6, 0x7f, 0xff, 0xff, 0xff]),
    Uint8Array.from([0x92, 1]),
    Uint8Array.from([1, 2]),
    Uint8Array.from([]),
    Uint8Array.from([0xc1]),
    Uint8Array.from([0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 1]),
    Uint8Array.from([0xd4, 0x00, 0x00]),
  ];
  for (const bytes of bad) {
    const attempt = () => deserializeField(pack, bytes, 'value', 'events', 3, 42);
    expect(attempt).toThrow(/topic events, partition 3, offset 42/);
  }
});

test('a key named __proto__ stays a key', () => {
  const pack = messagePackSerializer<Record<string, unknown>>();
  const bytes = Uint8Array.from([0x81, 0xa9, ...new TextEncoder().encode('__proto__'), 0x81, 0xa1, 0x78, 0x01]);
  const value = pack.deserialize(bytes);
  expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
  expect((value as { x?: number }).x).toBeUndefined();
});

test('no bytes make it fail in any other way than with a typed error', () => {
  const pack = messagePackSerializer();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        deserializeField(pack, bytes, 'key', 'events', 0, 0);
      } catch (error) {
        expect(isBurrowError(error, 'SERIALIZATION_FAILED')).toBe(true);
      }
    }),
    { numRuns: 5000 },
  );
});
