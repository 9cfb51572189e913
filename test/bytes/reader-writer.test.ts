import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteReader } from '../../src/bytes/reader.ts';
import { utf8Bytes } from '../../src/bytes/utf8.ts';
import { varlongBytes } from '../../src/bytes/varint.ts';
import { ByteWriter } from '../../src/bytes/writer.ts';

const int8 = fc.integer({ min: -128, max: 127 });
const int16 = fc.integer({ min: -32768, max: 32767 });
const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const safe = fc.oneof(
  fc.maxSafeInteger(),
  fc.constantFrom(Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, -1, 0, 63, 64, -64, -65, 2 ** 31, -(2 ** 31) - 1),
);
const text = fc.string({ unit: 'binary', maxLength: 60 });
const blob = fc.uint8Array({ maxLength: 60 });

/** One arbitrary per primitive, tagged with the method that writes and reads it. */
const field = fc.oneof(
  ...(['int8'] as const).map((name) => fc.tuple(fc.constant(name), int8)),
  fc.tuple(fc.constant('uint8' as const), fc.nat(255)),
  fc.tuple(fc.constant('int16' as const), int16),
  fc.tuple(fc.constant('uint16' as const), fc.nat(65535)),
  ...(['int32', 'varint'] as const).map((name) => fc.tuple(fc.constant(name), int32)),
  ...(['uint32', 'uvarint'] as const).map((name) => fc.tuple(fc.constant(name), uint32)),
  ...(['int64', 'varlong'] as const).map((name) => fc.tuple(fc.constant(name), safe)),
  fc.tuple(fc.constant('float64' as const), fc.double()),
  fc.tuple(fc.constant('bool' as const), fc.boolean()),
  ...(['sizedString', 'compactString'] as const).map((name) => fc.tuple(fc.constant(name), text)),
  ...(['nullableString', 'compactNullableString'] as const).map((name) =>
    fc.tuple(fc.constant(name), fc.option(text, { nil: null })),
  ),
  ...(['sizedBytes', 'compactBytes'] as const).map((name) => fc.tuple(fc.constant(name), blob)),
  ...(['nullableBytes', 'compactNullableBytes'] as const).map((name) =>
    fc.tuple(fc.constant(name), fc.option(blob, { nil: null })),
  ),
);

type Field = [string, unknown];

function write(writer: ByteWriter, fields: readonly Field[]): Uint8Array {
  for (const [name, value] of fields) {
    (writer as unknown as Record<string, (value: unknown) => unknown>)[name]!(value);
  }
  return writer.finish();
}

function read(reader: ByteReader, name: string): unknown {
  return (reader as unknown as Record<string, () => unknown>)[name]!();
}

describe('ByteWriter and ByteReader', () => {
  test('give back every primitive that was written', () => {
    fc.assert(
      fc.property(fc.array(field, { maxLength: 20 }), fc.nat(40), (fields, bytesInitial) => {
        const bytes = write(new ByteWriter(bytesInitial), fields);
        const reader = new ByteReader(bytes);
        for (const [name, value] of fields) {
          const back = read(reader, name);
          expect(back instanceof Uint8Array ? Uint8Array.from(back) : back).toEqual(value);
        }
        expect(reader.ok).toBe(true);
        expect(reader.remaining).toBe(0);
      }),
    );
  });

  test('turn bad and stay so when the bytes are cut anywhere', () => {
    fc.assert(
      fc.property(fc.array(field, { minLength: 1, maxLength: 10 }), fc.nat(1_000_000), (fields, seed) => {
        const bytes = write(new ByteWriter(), fields);
        const reader = new ByteReader(bytes, 0, seed % bytes.length);
        for (const [name] of fields) read(reader, name);
        expect(reader.ok).toBe(false);
        expect(reader.int64()).toBe(0);
        expect(reader.string(1)).toBe('');
        expect(reader.bytes(1).length).toBe(0);
        expect(reader.uvarint()).toBe(0);
        expect(reader.varlong()).toBe(0);
        expect(reader.ok).toBe(false);
      }),
    );
  });

  test('never read beyond their end whatever the bytes are', () => {
    const names = fc.array(field, { maxLength: 12 });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), names, (bytes, fields) => {
        const padded = new Uint8Array(bytes.length + 64).fill(1);
        padded.set(bytes, 32);
        const reader = new ByteReader(padded, 32, 32 + bytes.length);
        for (const [name] of fields) {
          read(reader, name);
          expect(reader.position).toBeLessThanOrEqual(32 + bytes.length);
          expect(reader.remaining).toBeGreaterThanOrEqual(0);
        }
      }),
    );
  });
});

describe('ByteReader', () => {
  test('refuses an int64 and a varlong outside the safe integers', () => {
    const tooLarge = Uint8Array.of(0x00, 0x20, 0, 0, 0, 0, 0, 0);
    const smallest = Uint8Array.of(0xff, 0xe0, 0, 0, 0, 0, 0, 0);
    const largest = Uint8Array.of(0x00, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
    for (const bytes of [tooLarge, smallest]) {
      const reader = new ByteReader(bytes);
      expect(reader.int64()).toBe(0);
      expect(reader.ok).toBe(false);
    }
    expect(new ByteReader(largest).int64()).toBe(Number.MAX_SAFE_INTEGER);
    // zigzag(2^53) = 2^54: seven groups of zeros and 2^5 in the eighth
    const varlong = Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20);
    const reader = new ByteReader(varlong);
    expect(reader.varlong()).toBe(0);
    expect(reader.ok).toBe(false);
  });

  test('refuses varints that are longer than their type', () => {
    const endless = new Uint8Array(20).fill(0x80);
    for (const name of ['uvarint', 'varint', 'varlong']) {
      const reader = new ByteReader(endless);
      expect(read(reader, name)).toBe(0);
      expect(reader.ok).toBe(false);
    }
    const overflow = new ByteReader(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x1f));
    expect(overflow.uvarint()).toBe(0);
    expect(overflow.ok).toBe(false);
    expect(new ByteReader(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f)).uvarint()).toBe(2 ** 32 - 1);
  });

  test('refuses counts that the remaining bytes cannot hold', () => {
    const bytes = new ByteWriter().int32(3).bytes(new Uint8Array(11)).finish();
    expect(new ByteReader(bytes).arrayLength(3)).toBe(3);
    const reader = new ByteReader(bytes);
    expect(reader.arrayLength(4)).toBe(0);
    expect(reader.ok).toBe(false);
    const compact = new ByteReader(new ByteWriter().compactArrayLength(2 ** 31).finish());
    expect(compact.compactArrayLength()).toBe(0);
    expect(compact.ok).toBe(false);
    expect(new ByteReader(Uint8Array.of(0)).compactArrayLength()).toBe(-1);
    expect(new ByteReader(new ByteWriter().int32(-1).finish()).arrayLength()).toBe(-1);
    const negative = new ByteReader(new ByteWriter().int32(-2).finish());
    expect(negative.arrayLength()).toBe(0);
    expect(negative.ok).toBe(false);
  });

  test('refuses null where the type has none, and a short read is not null', () => {
    const refused: Field[] = [
      ['sizedString', [0xff, 0xff]],
      ['compactString', [0]],
      ['sizedBytes', [0xff, 0xff, 0xff, 0xff]],
      ['compactBytes', [0]],
      ['nullableString', [0xff, 0xfe]],
    ];
    for (const [name, bytes] of refused) {
      const reader = new ByteReader(Uint8Array.from(bytes as number[]));
      read(reader, name);
      expect(reader.ok, name).toBe(false);
    }
    const short = new ByteReader(new Uint8Array(0));
    expect(short.compactNullableString()).toBe('');
    expect(short.ok).toBe(false);
  });

  test('keeps a leading byte order mark and replaces malformed UTF-8', () => {
    expect(new ByteReader(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)).string(4)).toBe('\ufeffa');
    expect(new ByteReader(Uint8Array.of(0x61, 0xff)).string(2)).toBe('a\ufffd');
  });

  test('gives views, not copies', () => {
    const bytes = Uint8Array.of(1, 2, 3);
    expect(new ByteReader(bytes).bytes(3).buffer).toBe(bytes.buffer);
  });
});

describe('ByteWriter', () => {
  test('never hands out the same memory twice', () => {
    const writer = new ByteWriter();
    const first = writer.string('first').finish();
    const second = writer.string('secnd').finish();
    expect(second.buffer).not.toBe(first.buffer);
    expect(Buffer.from(first).toString()).toBe('first');
  });

  test('reserves zeros and patches them', () => {
    const writer = new ByteWriter(16);
    writer.int8(1);
    const position = writer.reserve(4);
    writer.int8(2);
    writer.patchInt32(position, -2);
    expect([...writer.finish()]).toEqual([1, 255, 255, 255, 254, 2]);
    expect(() => writer.patchInt32(0, 1)).toThrow(RangeError);
    writer.reserve(64);
    expect(writer.finish().every((byte) => byte === 0)).toBe(true);
  });

  test('refuses strings longer than their length field and uuids of another size', () => {
    expect(() => new ByteWriter().sizedString('x'.repeat(32768))).toThrow(RangeError);
    expect(() => new ByteWriter().uuid(new Uint8Array(15))).toThrow(RangeError);
  });

  test('measures UTF-8 and varlongs as it writes them', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)) }),
        (value) => {
          expect(utf8Bytes(value)).toBe(Buffer.byteLength(value));
          expect(Buffer.from(new ByteWriter().string(value).finish())).toEqual(Buffer.from(value));
        },
      ),
    );
    fc.assert(
      fc.property(safe, (value) => {
        expect(new ByteWriter().varlong(value).finish().length).toBe(varlongBytes(value));
      }),
    );
  });
});
