import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LineSplitter } from '../../src/cli/line-splitter.ts';

function split(chunks: readonly Uint8Array[], lineBytesMax = 1000): string[] {
  const splitter = new LineSplitter({ source: 'input', lineBytesMax });
  const lines = chunks.flatMap((chunk) => splitter.push(chunk));
  const last = splitter.end();
  return (last ? [...lines, last] : lines).map((line) => Buffer.from(line).toString('latin1'));
}

test('carriage returns, empty lines and a last line without LF are kept as they are', () => {
  expect(split([Buffer.from('a\r\n\n\nb\rc\n')])).toEqual(['a\r', '', '', 'b\rc']);
  expect(split([Buffer.from('a\nb')])).toEqual(['a', 'b']);
  expect(split([Buffer.from('\n')])).toEqual(['']);
  expect(split([])).toEqual([]);
  expect(split([Buffer.from([0, 0xff, 0x0a, 0x80])])).toEqual(['\0\xff', '\x80']);
});

test('where the chunks are cut makes no difference', () => {
  const byte = fc.constantFrom(0x0a, 0x0d, 0x61, 0xff);
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 50 }), fc.nat(), (bytes, at) => {
      const whole = Buffer.from(bytes);
      const cut = at % (whole.length + 1);
      const expected = whole.toString('latin1').split('\n');
      if (expected.at(-1) === '') expected.pop();
      expect(split([whole.subarray(0, cut), whole.subarray(cut)])).toEqual(expected);
      expect(split(Array.from(whole, (value) => Buffer.from([value])))).toEqual(expected);
    }),
  );
});

test('a line over the limit is refused with its number, even before it ends', () => {
  expect(split([Buffer.from('12345\n12345')], 5)).toEqual(['12345', '12345']);
  expect(() => split([Buffer.from('1\n123456\n')], 5)).toThrow('Line 2 of input is longer than 5 bytes.');
  expect(() => split([Buffer.from('1\n123'), Buffer.from('456')], 5)).toThrow('Line 2 of input');
  expect(() => split([Buffer.from('123'), Buffer.from('456\n')], 5)).toThrow('Line 1 of input');
});
