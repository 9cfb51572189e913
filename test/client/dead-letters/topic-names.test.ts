import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  checkDeadLetterTopicLength,
  deadLetterTopicName,
  isSetAsideTopic,
  parseSetAsideTopic,
  replayGroupOf,
  retryTopicName,
} from '../../../client/dead-letters/topic-names.ts';
import { checkTopicName } from '../../../src/names.ts';

const topicName = fc.stringMatching(/^[a-zA-Z0-9._-]{1,40}$/).filter((name) => name !== '.' && name !== '..');
const groupId = fc.oneof(
  fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' }),
  fc.stringMatching(/^[._0-9a-f-]{1,12}$/),
);

test('plain groups stand in the name as they are; dots and what topics may not have are escaped', () => {
  expect(deadLetterTopicName('orders', 'billing-service_1')).toBe('orders.billing-service_1.dlq');
  expect(deadLetterTopicName('a.b', 'com.acme')).toBe('a.b.com_2eacme.dlq');
  expect(deadLetterTopicName('t', 'Zürich/1 _2e')).toBe('t.Z_c3_bcrich_2f1_20_5f2e.dlq');
  expect(retryTopicName('orders', 'g', 3)).toBe('orders.g.retry.3');
});

test('names are allowed, tell topic and group, and no two pairs share one', () => {
  const seen = new Map<string, string>();
  fc.assert(
    fc.property(topicName, groupId, fc.integer({ min: 1, max: 16 }), (topic, group, step) => {
      const deadLetters = deadLetterTopicName(topic, group);
      const retry = retryTopicName(topic, group, step);
      checkTopicName(deadLetters);
      checkTopicName(retry);
      expect(parseSetAsideTopic(deadLetters)).toEqual({ kind: 'deadLetters', topic, group, step: undefined });
      expect(parseSetAsideTopic(retry)).toEqual({ kind: 'retry', topic, group, step });
      const pair = JSON.stringify([topic, group]);
      expect(seen.get(deadLetters) ?? pair).toBe(pair);
      seen.set(deadLetters, pair);
    }),
    { numRuns: 1000 },
  );
  expect(deadLetterTopicName('a.b', 'c')).not.toBe(deadLetterTopicName('a', 'b.c'));
});

test.each(['orders', 'orders.dlq', '.g.dlq', 'orders.g.retry', 'orders.g.retry.0', 'orders.g_zz.dlqs', 'a.b_ff.dlq'])(
  '%s tells no topic and group',
  (name) => expect(parseSetAsideTopic(name)).toBeUndefined(),
);

test('whoever subscribes to a pattern can leave out retry and dead-letter topics', () => {
  for (const name of ['orders.g.dlq', 'orders.g.retry.1', 'failed.dlq']) expect(isSetAsideTopic(name), name).toBe(true);
  for (const name of ['orders', '.dlq', 'retry.1', 'orders.retry']) expect(isSetAsideTopic(name), name).toBe(false);
});

test('a name that is too long is refused with what to do', () => {
  const topic = 'x'.repeat(234);
  expect(replayGroupOf(deadLetterTopicName(topic, 'abc'))).toHaveLength(249);
  expect(() => deadLetterTopicName(topic, 'abcd')).toThrow(/243 characters.*deadLetter: \{ topic \}/);
  expect(retryTopicName(topic, 'abcdef', 1)).toHaveLength(249);
  expect(() => retryTopicName(topic, 'abcdefg', 1)).toThrow(/250 characters.*shorter group id/);
  // Escaped, each of these takes three characters.
  expect(() => deadLetterTopicName('t', '.'.repeat(90))).toThrow(expect.objectContaining({ code: 'INVALID_NAME' }));
  expect(() => checkDeadLetterTopicLength('x'.repeat(243))).toThrow(expect.objectContaining({ code: 'INVALID_NAME' }));
});
