import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isBurrowError } from '../../src/errors/burrow-error.ts';
import { checkClientId, checkTopicName, topicCollisionKey, topicNamesCollide } from '../../src/names.ts';

function problem(check: () => void): string {
  try {
    check();
    return 'none';
  } catch (error) {
    if (!isBurrowError(error, 'INVALID_NAME')) throw error;
    return error.message;
  }
}

describe('topic names', () => {
  test.each(['a', 'orders', 'orders.eu-west_1', '...', '-', '_', '0', '.hidden', '..a', 'x'.repeat(249)])(
    '%j is valid',
    (name) => checkTopicName(name),
  );

  test('members of Object.prototype are valid names and work as keys', () => {
    const names = [...Object.getOwnPropertyNames(Object.prototype), 'prototype', 'then', 'hasOwn'];
    const topics = new Map<string, number>();
    for (const [index, name] of names.entries()) {
      checkTopicName(name);
      expect(topics.get(name)).toBeUndefined();
      topics.set(name, index);
    }
    expect(names).toContain('__proto__');
    expect(topics.size).toBe(names.length);
  });

  test.each([
    ['', 'is empty'],
    ['.', 'folder'],
    ['..', 'folder'],
    ['a/b', 'contains "/"'],
    ['../../etc/passwd', 'contains "/"'],
    ['a\\b', 'contains "\\"'],
    ['a b', 'contains the character U+0020'],
    [' ', 'U+0020'],
    ['a\0b', 'U+0000'],
    ['a\n', 'U+000A'],
    ['a\r\nSet-Cookie: x', 'U+000D'],
    ['t\u043epic', 'U+043E'],
    ['\uff54opic', 'U+FF54'],
    ['caf\u00e9', 'U+00E9'],
    ['a\u200bb', 'U+200B'],
    ['a\u202eb', 'U+202E'],
    ['\ud83d\ude80', 'U+1F680'],
    ['\ud83d', 'U+D83D'],
    ['a:b', 'contains ":"'],
    ['a*', 'contains "*"'],
    ['<script>', 'contains "<"'],
    ['x'.repeat(250), 'has 250 characters'],
  ])('%j is refused', (name, expected) => {
    const text = problem(() => checkTopicName(name));
    expect(text).toContain(expected);
    expect(text).toContain('a-z A-Z 0-9 . _ -');
    expect(text).toMatch(/^[\x20-\x7e…]+$/);
    expect(text.length).toBeLessThan(600);
  });

  test('a name of any length is refused with a short text', () => {
    const text = problem(() => checkTopicName('x'.repeat(1_000_000)));
    expect(text).toContain('has 1000000 characters');
    expect(text.length).toBeLessThan(300);
  });

  test('exactly Kafka’s rule, whatever the text', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ maxLength: 300 }),
          fc.string({ unit: 'binary', maxLength: 5 }),
          fc.stringMatching(/^[a-z._]{0,300}$/),
        ),
        (name) => {
          const valid = /^[a-zA-Z0-9._-]{1,249}$/.test(name) && !name.includes('\n') && name !== '.' && name !== '..';
          expect(problem(() => checkTopicName(name)) === 'none').toBe(valid);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('names that differ only in dots and underscores collide', () => {
    expect(topicNamesCollide('a.b', 'a_b')).toBe(true);
    expect(topicNamesCollide('a.b_c', 'a_b.c')).toBe(true);
    expect(topicNamesCollide('a.b', 'a.b')).toBe(false);
    expect(topicNamesCollide('a.b', 'a-b')).toBe(false);
    expect(topicCollisionKey('__proto__')).toBe('__proto__');
  });
});

describe('client ids', () => {
  test.each(['', 'rdkafka', 'kafkajs', 'order service (eu) #1', 'Grüße', '注文', '__proto__', 'x'.repeat(255)])(
    '%j is valid',
    (id) => checkClientId(id),
  );

  test.each([
    ['a\nb', 'U+000A'],
    ['\u001b[31mred', 'U+001B'],
    ['a\0', 'U+0000'],
    ['\u202eevil', 'U+202E'],
    ['\u2028', 'U+2028'],
    ['\udc00', 'U+DC00'],
    ['x'.repeat(256), '256 characters'],
  ])('%j is refused', (id, expected) => {
    const text = problem(() => checkClientId(id));
    expect(text).toContain(expected);
    expect(text).toMatch(/^[\x20-\x7e…]+$/);
  });
});
