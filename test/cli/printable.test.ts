import fc from 'fast-check';
import { expect, test } from 'vitest';
import { printable, printableLines } from '../../src/cli/printable.ts';

test('text of strangers stays on one line, is cut, and cannot steer the terminal', () => {
  expect(printable('a\n  b\tc')).toBe('a b c');
  expect(printable('\u001b[2Jx\u0007')).toBe('\\u{1b}[2Jx\\u{7}');
  expect(printable('abc\u202edef')).toBe('abc\\u{202e}def');
  expect(printable('Zürich 😀')).toBe('Zürich 😀');
  expect(printable('😀😀😀😀', 3)).toBe('😀😀…');
  expect(printable('abc', 3)).toBe('abc');
  expect(printableLines('a\r\n\tb\u001b\n')).toEqual(['a', '  b\\u{1b}', '']);
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 1, max: 20 }), (text, max) => {
      const shown = printable(text, max);
      expect([...shown].length).toBeLessThanOrEqual(max);
      for (const line of [shown, ...printableLines(text)])
        expect(line).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
    }),
  );
});
