import { describe, expect, test } from 'vitest';
import { BurrowError, isBurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import { ERROR_TABLE, errorNameByNumber } from '../../src/errors/table.ts';
import { readTableRows } from '../support/markdown-table.ts';

describe('the error table', () => {
  test('and docs/errors.md say the same', () => {
    const expected = Array.from(ERROR_TABLE, ([name, row]) => [
      `\`${name}\``,
      String(row.number),
      row.retriable ? 'yes' : 'no',
      row.kafka === undefined ? 'closes' : String(row.kafka),
      row.sentence,
      row.remedy,
    ]);
    expect(readTableRows('errors.md')).toEqual(expected);
  });

  test('gives each error its own number, never 0, which is success', () => {
    const numbers = Array.from(ERROR_TABLE.values(), (row) => row.number);
    expect(new Set(numbers).size).toBe(numbers.length);
    expect(Math.min(...numbers)).toBeGreaterThan(0);
    for (const [name, row] of ERROR_TABLE) expect(errorNameByNumber(row.number)).toBe(name);
  });

  test('answers a number of a newer version with INTERNAL_ERROR', () => {
    expect(errorNameByNumber(9999)).toBe('INTERNAL_ERROR');
  });

  test('is written in whole sentences', () => {
    for (const [name, row] of ERROR_TABLE) {
      expect(row.sentence, name).toMatch(/^[A-Z].*\.$/);
      expect(row.remedy, name).toMatch(/^[A-Z].*[.)]$/);
    }
  });
});

describe('a BurrowError', () => {
  test('without a text of its own says what its row says', () => {
    const error = new BurrowError('STORAGE_FULL');
    expect(error.message).toBe('The disk of the broker is full. Free space or shorten retention.');
    expect([error.number, error.retriable, error.name]).toEqual([81, true, 'BurrowError']);
  });

  test('is told from others by its code', () => {
    const error = new BurrowError('CONFLICT');
    expect(isBurrowError(error)).toBe(true);
    expect(isBurrowError(error, 'CONFLICT')).toBe(true);
    expect(isBurrowError(error, 'STORAGE_FULL')).toBe(false);
    expect(isBurrowError(new Error('CONFLICT'))).toBe(false);
  });

  test('is made of anything that was thrown, keeping the cause', () => {
    const cause = new TypeError('x is undefined');
    expect(toBurrowError(cause)).toMatchObject({ code: 'INTERNAL_ERROR', cause });
    expect(toBurrowError('text').message).toBe('Unexpected failure: text');
    const own = new BurrowError('CONFLICT');
    expect(toBurrowError(own)).toBe(own);
  });
});
