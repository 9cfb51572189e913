import { expect, test } from 'vitest';
import { parseStreamOffset, parseStreamPartition } from '../../broker/queues/stream-offset.ts';
import type { FieldValue } from '../../src/messages/field-value.ts';

const NOW_MS = 1_700_000_000_000;

test.each<[FieldValue | undefined, object]>([
  [undefined, { kind: 'next' }],
  ['first', { kind: 'first' }],
  ['last', { kind: 'last' }],
  ['next', { kind: 'next' }],
  [0, { kind: 'offset', offset: 0 }],
  [5_000_000_000, { kind: 'offset', offset: 5_000_000_000 }],
  [
    { type: 'timestamp', seconds: 1_600_000_000 },
    { kind: 'timestamp', timestampMs: 1_600_000_000_000 },
  ],
  ['1h', { kind: 'timestamp', timestampMs: NOW_MS - 3_600_000 }],
  ['7D', { kind: 'timestamp', timestampMs: NOW_MS - 7 * 86_400_000 }],
  ['100Y', { kind: 'timestamp', timestampMs: 0 }],
])('a consumer may begin at %j', (value, start) => {
  expect(parseStreamOffset(value === undefined ? new Map() : new Map([['x-stream-offset', value]]), NOW_MS)).toEqual(
    start,
  );
});

test.each<[FieldValue]>([
  ['oldest'],
  [''],
  ['1'],
  ['0h'],
  ['1 h'],
  [-1],
  [1.5],
  [2n ** 63n],
  [null],
  [true],
  [['first']],
])('but not at %o', (value) => {
  expect(() => parseStreamOffset(new Map([['x-stream-offset', value]]), NOW_MS)).toThrow(/x-stream-offset must be/);
});

test('but not at an offset that is too large to be one', () => {
  expect(() => parseStreamOffset(new Map([['x-stream-offset', 2n ** 63n]]), NOW_MS)).toThrow(/must be/);
});

test('a consumer may have one partition, if the topic has it', () => {
  expect(parseStreamPartition(new Map(), 3)).toBeUndefined();
  expect(parseStreamPartition(new Map([['x-stream-partition', 2]]), 3)).toBe(2);
  for (const value of [3, -1, '1', 0.5]) {
    expect(() => parseStreamPartition(new Map<string, FieldValue>([['x-stream-partition', value]]), 3)).toThrow(
      /has 3/,
    );
  }
});
