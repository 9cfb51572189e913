import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatDuration, formatSize, parseDuration, parseSize } from '../src/duration-and-size.ts';

test('durations are read with and without a unit', () => {
  expect(['250', '250ms', '1.5s', '2m', '12h', '7d', ' 7 d '].map(parseDuration)).toEqual([
    250, 250, 1500, 120_000, 43_200_000, 604_800_000, 604_800_000,
  ]);
});

test('sizes tell powers of two from powers of ten', () => {
  expect(['1', '1B', '1kB', '1KiB', '1.5MiB', '2gib', '1GB'].map(parseSize)).toEqual([
    1,
    1,
    1000,
    1024,
    1_572_864,
    2 * 1024 ** 3,
    1e9,
  ]);
});

test.each(['', 'x', '-1', '1.5', '1e3', '0x10', '1 KB B', '0.0001KiB', '99999999999999999', '1 parsec'])(
  '%o is neither a size nor a duration',
  (text) => {
    expect(() => parseSize(text)).toThrow('is not a size such as');
    expect(() => parseDuration(text)).toThrow('is not a duration such as');
  },
);

test('what is formatted reads back as the same number', () => {
  fc.assert(
    fc.property(fc.nat({ max: Number.MAX_SAFE_INTEGER }), (number) => {
      expect(parseSize(formatSize(number))).toBe(number);
      expect(parseDuration(formatDuration(number))).toBe(number);
    }),
  );
  expect([formatSize(0), formatSize(65_536), formatDuration(604_800_000)]).toEqual(['0B', '64KiB', '7d']);
});
