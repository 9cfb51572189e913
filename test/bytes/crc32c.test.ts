import fc from 'fast-check';
import { expect, test } from 'vitest';
import { crc32c as tableCrc32c } from '../../src/bytes/crc32c.browser.ts';
import { crc32c } from '../../src/bytes/crc32c.ts';

// RFC 3720, appendix B.4; its CRCs are printed least significant byte first.
const VECTORS: Array<[string, Uint8Array, number]> = [
  ['32 bytes of zeros', new Uint8Array(32), 0x8a9136aa],
  ['32 bytes of ones', new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ['32 incrementing bytes', Uint8Array.from({ length: 32 }, (_, index) => index), 0x46dd794e],
  ['32 decrementing bytes', Uint8Array.from({ length: 32 }, (_, index) => 31 - index), 0x113fdb5c],
  ['the text 123456789', new TextEncoder().encode('123456789'), 0xe3069283],
  ['nothing', new Uint8Array(0), 0],
];

test.each(VECTORS)('CRC-32C of %s is that of the specification', (_, bytes, expected) => {
  expect(crc32c(bytes)).toBe(expected);
  expect(tableCrc32c(bytes)).toBe(expected);
});

test('the browser’s CRC-32C equals the native one on every range', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), fc.nat(300), (bytes, a, b) => {
      const start = Math.min(a, b, bytes.length);
      const end = Math.min(Math.max(a, b), bytes.length);
      expect(tableCrc32c(bytes, start, end)).toBe(crc32c(bytes, start, end));
      expect(crc32c(bytes, start, end)).toBe(crc32c(bytes.slice(start, end)));
    }),
    { numRuns: 500 },
  );
});
