import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Failure,
  failureOf,
  parseFailureHeaders,
  withFailureHeaders,
  withoutFailureHeaders,
} from '../../../client/dead-letters/failure-headers.ts';
import { encodeHeaders } from '../../../client/producer/headers.ts';
import type { RecordHeader } from '../../../src/records/record-header.ts';

const FAILURE: Failure = {
  origin: { topic: 'orders', partition: 3, offset: 42, timestampMs: 1_700_000_000_000 },
  group: 'billing',
  attempts: 5,
  error: { name: 'TypeError', message: 'x is not a function', stack: 'TypeError: x …\n  at f' },
  failedAtMs: 1_700_000_001_000,
  dueAtMs: undefined,
};

const bytes = (text: string) => new TextEncoder().encode(text);
const textOf = ({ key, value }: RecordHeader) => [key, value && new TextDecoder().decode(value)];

test('the headers of a dead letter, by name', () => {
  expect(encodeHeaders(withFailureHeaders([{ key: 'trace', value: bytes('7') }], FAILURE)).map(textOf)).toEqual([
    ['trace', '7'],
    ['burrow-dlq-original-topic', 'orders'],
    ['burrow-dlq-original-partition', '3'],
    ['burrow-dlq-original-offset', '42'],
    ['burrow-dlq-original-timestamp', '1700000000000'],
    ['burrow-dlq-group', 'billing'],
    ['burrow-dlq-attempts', '5'],
    ['burrow-dlq-error-name', 'TypeError'],
    ['burrow-dlq-error-message', 'x is not a function'],
    ['burrow-dlq-error-stack', 'TypeError: x …\n  at f'],
    ['burrow-dlq-failed-at', '1700000001000'],
  ]);
});

const header = fc.record({
  key: fc.string({ unit: 'grapheme', maxLength: 12 }),
  value: fc.option(fc.uint8Array({ maxLength: 20 })),
});

test('own headers come back as they were: order, repetitions, nulls, any bytes; those of the failure are read again', () => {
  fc.assert(
    fc.property(fc.array(header), fc.option(fc.nat(), { nil: undefined }), (headers, dueAtMs) => {
      const stored = encodeHeaders(withFailureHeaders(headers, { ...FAILURE, dueAtMs }));
      expect(withoutFailureHeaders(stored)).toEqual(headers);
      expect(parseFailureHeaders(stored)).toEqual({
        origin: FAILURE.origin,
        group: 'billing',
        attempts: 5,
        errorName: 'TypeError',
        errorMessage: 'x is not a function',
        errorStack: 'TypeError: x …\n  at f',
        failedAtMs: 1_700_000_001_000,
        dueAtMs,
      });
    }),
  );
});

test('headers of a failure before are replaced, not piled up', () => {
  const first = encodeHeaders(withFailureHeaders([{ key: 'a', value: null }], { ...FAILURE, attempts: 1, dueAtMs: 9 }));
  const second = encodeHeaders(withFailureHeaders(first, FAILURE));
  expect(second).toEqual(encodeHeaders(withFailureHeaders([{ key: 'a', value: null }], FAILURE)));
});

test('what others wrote into these headers is not believed unless it makes sense', () => {
  const name = fc.constantFrom(
    ...['original-topic', 'original-partition', 'original-offset', 'original-timestamp', 'attempts', 'due-at'].map(
      (rest) => `burrow-dlq-${rest}`,
    ),
  );
  const value = fc.oneof(
    fc.constantFrom('-1', '1e3', '0x10', '99999999999999999', '', ' 1', '7').map(bytes),
    fc.uint8Array({ maxLength: 8 }),
    fc.constant(null),
  );
  fc.assert(
    fc.property(fc.array(fc.record({ key: name, value })), (headers) => {
      const { origin, attempts, dueAtMs } = parseFailureHeaders(headers);
      for (const number of [origin?.partition, origin?.offset, attempts, dueAtMs]) {
        if (number !== undefined) expect(Number.isSafeInteger(number) && number >= 0).toBe(true);
      }
      if (origin !== undefined) expect(origin.topic).not.toBe('');
    }),
  );
  expect(parseFailureHeaders([])).toMatchObject({ origin: undefined, attempts: undefined, dueAtMs: undefined });
});

test('are told of records of retry and dead-letter topics only: elsewhere anybody could have written them', () => {
  const headers = encodeHeaders(withFailureHeaders([], FAILURE));
  for (const topic of ['orders.billing.retry.1', 'orders.billing.dlq', 'failed.dlq']) {
    expect(failureOf({ topic, headers })).toMatchObject({
      origin: FAILURE.origin,
      attempts: 5,
      errorName: 'TypeError',
    });
  }
  expect(failureOf({ topic: 'orders', headers })).toBeUndefined();
});
