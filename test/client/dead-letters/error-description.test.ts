import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cutUtf8, describeError, ERROR_NAME_BYTES_MAX } from '../../../client/dead-letters/error-description.ts';
import { BurrowError } from '../../../src/errors/burrow-error.ts';

const LIMITS = { messageBytesMax: 100, stackBytesMax: 300 };
const bytesOf = (text: string) => new TextEncoder().encode(text).length;

test('errors are told by name, message and stack; those of this project by their code', () => {
  class PaymentError extends Error {
    override name = 'PaymentError';
  }
  const error = new PaymentError('card refused');
  expect(describeError(error, { messageBytesMax: 100, stackBytesMax: 10_000 })).toEqual({
    name: 'PaymentError',
    message: 'card refused',
    stack: error.stack,
  });
  expect(describeError(new BurrowError('SERIALIZATION_FAILED', 'no'), LIMITS)).toMatchObject({
    name: 'SERIALIZATION_FAILED',
    message: 'no',
  });
});

test('causes are told as well, though not for ever', () => {
  const cause = new Error('disk');
  const error = new Error('cannot save', { cause });
  const { stack } = describeError(error, { messageBytesMax: 0, stackBytesMax: 100_000 });
  expect(stack).toBe(`${error.stack}\nCaused by: ${cause.stack}`);
  const circular = new Error('round');
  circular.cause = circular;
  expect(describeError(circular, { messageBytesMax: 9, stackBytesMax: 100_000 }).stack.split('Caused by')).toHaveLength(
    6,
  );
});

test('handlers may throw anything', () => {
  const hostile = {
    get name() {
      throw new Error('name');
    },
    get message() {
      throw new Error('message');
    },
    get stack() {
      throw new Error('stack');
    },
    toString() {
      throw new Error('toString');
    },
  };
  expect(describeError(hostile, LIMITS)).toEqual({ name: 'Error', message: '', stack: '' });
  expect(describeError('text', LIMITS)).toEqual({ name: 'string', message: 'text', stack: '' });
  expect(describeError(undefined, LIMITS)).toEqual({ name: 'undefined', message: 'undefined', stack: '' });
  expect(describeError(Symbol('s'), LIMITS).message).toBe('Symbol(s)');
  expect(describeError(Object.create(null), LIMITS)).toEqual({ name: 'Error', message: '', stack: '' });
  expect(describeError({ name: 7, message: 8, stack: 9 }, LIMITS).name).toBe('Error');
  fc.assert(
    fc.property(fc.anything(), (thrown) => {
      const { name, message, stack } = describeError(thrown, LIMITS);
      expect(bytesOf(name)).toBeLessThanOrEqual(ERROR_NAME_BYTES_MAX);
      expect(bytesOf(message)).toBeLessThanOrEqual(100);
      expect(bytesOf(stack)).toBeLessThanOrEqual(300);
    }),
  );
});

test('a cut text is the longest beginning that fits, in whole characters', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 30 }), fc.nat(60), (text, bytesMax) => {
      let expected = '';
      for (const character of text) {
        if (bytesOf(expected + character) > bytesMax) break;
        expected += character;
      }
      expect(cutUtf8(text, bytesMax)).toBe(expected);
    }),
  );
  expect(cutUtf8('a😀', 2)).toBe('a');
  expect(cutUtf8('😀'.repeat(1_000_000), 8)).toBe('😀😀');
});
