import { expect, test } from 'vitest';
import { parseStartPosition } from '../../src/cli/start-position.ts';

test('says earliest, latest, an offset or a time', () => {
  expect(parseStartPosition('earliest')).toBe('earliest');
  expect(parseStartPosition('latest')).toBe('latest');
  expect(parseStartPosition('42')).toEqual({ offset: 42 });
  expect(parseStartPosition('timestamp:42')).toEqual({ timestamp: 42 });
  expect(parseStartPosition('2026-11-23')).toEqual({ timestamp: Date.UTC(2026, 10, 23) });
  expect(parseStartPosition('2026-11-23T10:00:00.5Z')).toEqual({ timestamp: Date.UTC(2026, 10, 23, 10, 0, 0, 500) });
  expect(parseStartPosition('2026-11-23T10:00+01:00')).toEqual({ timestamp: Date.UTC(2026, 10, 23, 9) });
});

test.each(['', '-1', '1.5', 'may', 'timestamp:', 'timestamp:x', '2026-13-01', '99999999999999999999', 'earliset'])(
  'refuses %o',
  (text) => {
    expect(() => parseStartPosition(text)).toThrow(`--from is "${text}"; allowed: earliest, latest, an offset`);
  },
);
