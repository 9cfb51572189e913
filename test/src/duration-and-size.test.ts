import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatBytes, formatDuration, parseBytes, parseDurationMs } from '../../src/duration-and-size.ts';
import { isBurrowError } from '../../src/errors/burrow-error.ts';

function problem(parse: () => number): string {
  try {
    return `parsed as ${parse()}`;
  } catch (error) {
    if (!isBurrowError(error, 'INVALID_CONFIG')) throw error;
    return error.message;
  }
}

describe('durations', () => {
  test.each([
    ['0', 0],
    ['250', 250],
    ['500ms', 500],
    ['30s', 30_000],
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['1h 30m', undefined],
    ['7d', 604_800_000],
    ['2w', 1_209_600_000],
    ['1d2h3m4s5ms', 93_784_005],
    ['1.5h', 5_400_000],
    ['0.1s', 100],
    ['1.005s', 1005],
    ['7D', 604_800_000],
    [' 10s ', 10_000],
  ])('%j is %s', (text, expected) => {
    if (expected === undefined) expect(problem(() => parseDurationMs(text, 'o'))).toContain('is not a duration');
    else expect(parseDurationMs(text, 'o')).toBe(expected);
  });

  test.each([
    ['', 'is not a duration'],
    ['abc', 'is not a duration'],
    ['-1', 'is not a duration'],
    ['1y', 'is not a duration'],
    ['1.ms', 'is not a duration'],
    ['.5s', 'is not a duration'],
    ['1e3', 'is not a duration'],
    ['0x10', 'is not a duration'],
    ['Infinity', 'is not a duration'],
    ['30m1h', 'the largest first'],
    ['1s1s', 'each unit may stand once'],
    ['0.5ms', 'not a whole number of milliseconds'],
    ['99999999999999999', 'too large'],
    ['999999999999w', 'too large'],
    [`${'1'.repeat(65)}x`, 'is not a duration'],
  ])('%j is refused, naming the option', (text, expected) => {
    const message = problem(() => parseDurationMs(text, 'retention.ms'));
    expect(message).toContain(expected);
    expect(message).toMatch(/^retention\.ms: /);
    expect(message.length).toBeLessThan(300);
  });

  test('every duration is formatted so that it is read back', () => {
    expect([0, 1, 999, 1000, 5_400_000, 604_800_000, 93_784_005].map(formatDuration)).toEqual([
      '0ms',
      '1ms',
      '999ms',
      '1s',
      '1h30m',
      '7d',
      '1d2h3m4s5ms',
    ]);
    fc.assert(fc.property(fc.maxSafeNat(), (ms) => parseDurationMs(formatDuration(ms), 'o') === ms));
    expect(() => formatDuration(-1)).toThrow(RangeError);
    expect(() => formatDuration(0.5)).toThrow(RangeError);
  });
});

describe('sizes', () => {
  test.each([
    ['0', 0],
    ['1048576', 1_048_576],
    ['512B', 512],
    ['64KiB', 65_536],
    ['1GiB', 1_073_741_824],
    ['1.5 GiB', 1_610_612_736],
    ['100MB', 100_000_000],
    ['10kb', 10_000],
    ['10KB', 10_000],
    ['2TiB', 2_199_023_255_552],
    ['1TB', 1_000_000_000_000],
    ['0.1MB', 100_000],
  ])('%j is %s bytes', (text, expected) => expect(parseBytes(text, 'o')).toBe(expected));

  test.each([
    ['', 'is not a size'],
    ['1', 'parsed as 1'],
    ['1K', 'is not a size'],
    ['1iB', 'is not a size'],
    ['-1', 'is not a size'],
    ['1GiBs', 'is not a size'],
    ['1GiB1MiB', 'is not a size'],
    ['0.3KiB', 'not a whole number of bytes'],
    ['9999999TiB', 'too large'],
  ])('%j: %s', (text, expected) => {
    expect(problem(() => parseBytes(text, 'segment.bytes'))).toContain(expected);
  });

  test('every size is formatted so that it is read back', () => {
    expect([0, 1, 1000, 1024, 1536, 65_536, 100_000_000, 2 ** 30].map(formatBytes)).toEqual([
      '0B',
      '1B',
      '1KB',
      '1KiB',
      '1536B',
      '64KiB',
      '100MB',
      '1GiB',
    ]);
    fc.assert(fc.property(fc.maxSafeNat(), (bytes) => parseBytes(formatBytes(bytes), 'o') === bytes));
    for (const [, unit] of [
      ['', 2 ** 40],
      ['', 1e12],
    ] as const)
      expect(parseBytes(formatBytes(3 * unit), 'o')).toBe(3 * unit);
  });
});
