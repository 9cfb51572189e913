import { expect, test } from 'vitest';
import { binaryMessageHead } from '../../../broker/listeners/native/outgoing.ts';

test.each([
  [0, '8200'],
  [125, '827d'],
  [126, '827e007e'],
  [256, '827e0100'],
  [65_535, '827effff'],
  [65_536, '827f0000000000010000'],
  [2 ** 32 + 5, '827f0000000100000005'],
])('the head of a message of %i bytes is that of RFC 6455 section 5.2', (bytes, hex) => {
  expect(binaryMessageHead(bytes).toString('hex')).toBe(hex);
});
