import fc from 'fast-check';
import { Packr, Unpackr } from 'msgpackr';
import { expect, test } from 'vitest';
import { encodeValue, encodeValueParts } from '../../src/protocol/encode-value.ts';
import { decodeRequestFrame } from '../../src/protocol/frame.ts';
import { scanValue } from '../../src/protocol/scan-value.ts';
import { Pieces } from '../../src/protocol/schema.ts';

const packr = new Packr({ useRecords: false, mapsAsObjects: false, int64AsType: 'number', largeBigIntToFloat: true });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: false, int64AsType: 'number' });

const wellFormed = fc.string({ unit: 'binary', maxLength: 300 }).filter((value) => !value.startsWith('\uFEFF'));
const scalar = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.maxSafeInteger(),
  fc.integer({ min: -40, max: 300 }),
  fc.double(),
  wellFormed,
  fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
);
const value = fc.letrec<{ tree: unknown }>((tie) => ({
  tree: fc.oneof({ maxDepth: 5 }, scalar, fc.array(tie('tree'), { maxLength: 20 })),
})).tree;

test('msgpackr reads what it writes', () => {
  fc.assert(
    fc.property(value, (sent) => {
      const bytes = encodeValue(sent);
      scanValue(bytes);
      expect(unpackr.unpack(bytes)).toEqual(withoutNegativeZero(sent));
    }),
    { numRuns: 1000 },
  );
});

test('what msgpackr writes passes the scan and means the same', () => {
  fc.assert(
    fc.property(value, (sent) => {
      const bytes = packr.pack([1, 2, sent]);
      expect(withoutNegativeZero(decodeRequestFrame(bytes).body)).toEqual(withoutNegativeZero(sent));
    }),
    { numRuns: 1000 },
  );
});

test.each([31, 32, 255, 256, 65_535, 65_536, 100_000])('lengths around a change of the head: %i', (length) => {
  for (const text of [
    'x'.repeat(length),
    'ü'.repeat(length),
    '€'.repeat(Math.ceil(length / 3)),
    '😀'.repeat(length / 2),
  ]) {
    expect(unpackr.unpack(encodeValue(text))).toBe(text);
  }
  const bytes = Buffer.alloc(length, 7);
  expect(unpackr.unpack(encodeValue(bytes))).toEqual(bytes);
  const pieces = new Pieces([bytes.subarray(0, 9), bytes.subarray(9, 9), bytes.subarray(9)]);
  expect(unpackr.unpack(encodeValue(pieces))).toEqual(bytes);
  const array = new Array<number>(length).fill(1);
  expect(unpackr.unpack(encodeValue(array))).toEqual(array);
});

test('in parts it is the same, and large pieces are not copied', () => {
  const size = fc.oneof(fc.nat(50), fc.integer({ min: 4090, max: 4100 }), fc.constant(20_000));
  const pieces = fc
    .array(size, { maxLength: 4 })
    .map((sizes) => new Pieces(sizes.map((bytes) => Buffer.alloc(bytes, bytes))));
  fc.assert(
    fc.property(fc.array(fc.oneof(pieces, scalar), { maxLength: 6 }), (sent) => {
      const parts = encodeValueParts([1, sent, 2]);
      expect(Buffer.concat(parts).equals(encodeValue([1, sent, 2]))).toBe(true);
      expect(parts.every(({ length }) => length > 0)).toBe(true);
      const large = sent.flatMap((item) =>
        item instanceof Pieces ? item.list.filter(({ length }) => length >= 4096) : [],
      );
      for (const piece of large) expect(parts).toContain(piece);
    }),
  );
});

test.each<[number, string]>([
  [0, '00'],
  [-0, '00'],
  [127, '7f'],
  [128, 'ce00000080'],
  [-1, 'ff'],
  [-32, 'e0'],
  [-33, 'd2ffffffdf'],
  [2 ** 32 - 1, 'ceffffffff'],
  [2 ** 32, 'cf0000000100000000'],
  [-(2 ** 31), 'd280000000'],
  [-(2 ** 31) - 1, 'd3ffffffff7fffffff'],
  [Number.MAX_SAFE_INTEGER, 'cf001fffffffffffff'],
  [Number.MIN_SAFE_INTEGER, 'd3ffe0000000000001'],
  [2 ** 53, 'cb4340000000000000'],
  [0.5, 'cb3fe0000000000000'],
  [Number.NaN, 'cb7ff8000000000000'],
  [Number.NEGATIVE_INFINITY, 'cbfff0000000000000'],
])('%d is written as %s', (number, hex) => {
  expect(Buffer.from(encodeValue(number)).toString('hex')).toBe(hex);
});

test('a lone surrogate becomes the replacement character, as UTF-8 has no place for it', () => {
  for (const text of ['\uD800', 'a\uDC00b', '\uD800'.repeat(100)]) {
    expect(unpackr.unpack(encodeValue(text))).toBe(Buffer.from(text).toString());
  }
});

test('what has no place in a message is a mistake of ours', () => {
  for (const foreign of [{}, new Map(), 1n, Symbol('s'), () => 1]) {
    expect(() => encodeValue([foreign])).toThrow(TypeError);
  }
});

function withoutNegativeZero(sent: unknown): unknown {
  if (sent instanceof Uint8Array) return Buffer.from(sent);
  if (Array.isArray(sent)) return sent.map(withoutNegativeZero);
  return typeof sent === 'number' ? sent + 0 : sent;
}
