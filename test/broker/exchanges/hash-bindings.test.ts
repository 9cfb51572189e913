import { describe, expect, test } from 'vitest';
import type { RoutableMessage } from '../../../broker/exchanges/binding-matcher.ts';
import { HashBindings } from '../../../broker/exchanges/hash-bindings.ts';
import { binding, destination, matches, message, table } from './bindings-bed.ts';

const KEYS = Array.from({ length: 3000 }, (_, index) => `key-${index}`);

function hashing(args: Readonly<Record<string, string>> = {}, weights = ['10', '10', '10']): HashBindings {
  const bindings = new HashBindings(table(args));
  for (const [index, weight] of weights.entries()) bindings.add(binding(destination(`q${index}`), weight));
  return bindings;
}

function spread(bindings: HashBindings, messageOf: (key: string) => RoutableMessage): Map<string, number> {
  const counts = new Map<string, number>();
  for (const key of KEYS) {
    const names = matches(bindings, messageOf(key));
    expect(names).toHaveLength(1);
    counts.set(names[0]!, (counts.get(names[0]!) ?? 0) + 1);
  }
  return counts;
}

describe('consistent-hash bindings', () => {
  test('send each message to one destination, by its routing key and the weights', () => {
    const counts = spread(hashing({}, ['10', '10', '20']), (key) => message(key));
    expect(counts.get('q2')! / counts.get('q0')!).toBeGreaterThan(1.5);
    expect(counts.get('q2')! / counts.get('q1')!).toBeLessThan(2.7);
  });

  test('the same key goes to the same destination', () => {
    const bindings = hashing();
    for (const key of KEYS.slice(0, 50)) {
      expect(matches(bindings, message(key))).toEqual(matches(bindings, message(key)));
    }
  });

  test.each<[Record<string, string>, (key: string) => RoutableMessage]>([
    [{ 'hash-header': 'user' }, (key) => message('same', { headers: table({ user: key }) })],
    [{ 'hash-property': 'message_id' }, (key) => message('same', { messageId: key })],
    [{ 'hash-property': 'correlation_id' }, (key) => message('same', { correlationId: key })],
    [{ 'hash-property': 'timestamp' }, (key) => message('same', { timestampSeconds: Number(key.slice(4)) })],
  ])('%j is hashed instead of the routing key', (args, messageOf) => {
    expect(spread(hashing(args), messageOf).size).toBe(3);
    // Without it all go one way.
    const bindings = hashing(args);
    expect(new Set(KEYS.map((key) => matches(bindings, message(key))[0])).size).toBe(1);
  });

  test('a destination that goes gives its keys to the others, which keep theirs', () => {
    const bindings = new HashBindings(table());
    const queues = ['a', 'b', 'c'].map((name) => binding(destination(name), '5'));
    for (const queue of queues) bindings.add(queue);
    const before = KEYS.map((key) => matches(bindings, message(key))[0]);
    bindings.remove(queues[1]!);
    for (const [index, key] of KEYS.entries()) {
      const now = matches(bindings, message(key))[0];
      if (before[index] === 'b') expect(now).not.toBe('b');
      else expect(now).toBe(before[index]);
    }
    expect(bindings.totalWeight).toBe(10);
  });

  test('two bindings of one destination add up, and one of them may go', () => {
    const bindings = new HashBindings(table());
    const queue = destination('q');
    const first = binding(queue, '3');
    bindings.add(first);
    bindings.add(binding(queue, '4'));
    expect(bindings.totalWeight).toBe(7);
    bindings.remove(first);
    expect(bindings.totalWeight).toBe(4);
    expect(matches(bindings, message('x'))).toEqual(['q']);
  });

  test('without bindings lead nowhere', () => {
    expect(matches(hashing({}, []), message('x'))).toEqual([]);
  });
});
