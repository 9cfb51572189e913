import { describe, expect, test } from 'vitest';
import { BurrowError, isBurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import { ERROR_TABLE, errorNameByNumber, errorRow } from '../../src/errors/table.ts';
import { readTableRows } from '../support/markdown-table.ts';

describe('the error table', () => {
  test('and docs/errors.md say the same', () => {
    const expected = Array.from(ERROR_TABLE, ([name, row]) => [
      `\`${name}\``,
      String(row.number),
      row.retriable ? 'yes' : 'no',
      row.kafka === undefined ? 'closes' : String(row.kafka),
      row.amqp === undefined ? '-' : `${row.amqp.code} ${row.amqp.scope}`,
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

  test('closes an AMQP channel for soft errors of the specification and the connection for hard ones', () => {
    const soft = new Set([403, 404, 405, 406]);
    const hard = new Set([320, 402, 501, 502, 503, 504, 505, 506, 530, 540, 541]);
    for (const [name, { amqp }] of ERROR_TABLE) {
      if (amqp !== undefined) expect((amqp.scope === 'channel' ? soft : hard).has(amqp.code), name).toBe(true);
    }
  });

  test.each([
    ['EXCHANGE_NOT_FOUND', 404, 'channel'],
    ['QUEUE_NOT_FOUND', 404, 'channel'],
    ['DECLARED_DIFFERENTLY', 406, 'channel'],
    ['RESOURCE_LOCKED', 405, 'channel'],
    ['IN_USE', 406, 'channel'],
    ['NOT_EMPTY', 406, 'channel'],
    ['ACCESS_REFUSED', 403, 'channel'],
    ['VHOST_NOT_FOUND', 530, 'connection'],
    ['COMMAND_INVALID', 503, 'connection'],
    ['UNKNOWN_DELIVERY_TAG', 406, 'channel'],
    ['CONSUMER_TAG_IN_USE', 530, 'connection'],
    ['CONSUMER_EXCLUSIVE', 403, 'channel'],
    ['INVALID_ARGUMENT', 406, 'channel'],
    ['INVALID_NAME', 406, 'channel'],
    ['NOT_IMPLEMENTED', 540, 'connection'],
    ['UNKNOWN_TOPIC_OR_PARTITION', 404, 'channel'],
    ['RECORD_TOO_LARGE', 406, 'channel'],
    ['SHUTTING_DOWN', 320, 'connection'],
    ['INTERNAL_ERROR', 541, 'connection'],
  ] as const)('%s is %i for AMQP clients and closes the %s, as in RabbitMQ', (name, code, scope) => {
    expect(errorRow(name).amqp).toEqual({ code, scope });
  });

  test.each(['QUEUE_FULL', 'NOT_ENOUGH_REPLICAS', 'REQUEST_TIMED_OUT'] as const)(
    '%s is a nack for AMQP publishers and closes nothing',
    (name) => {
      expect(errorRow(name).amqp).toBeUndefined();
    },
  );

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
