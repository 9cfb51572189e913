import { describe, expect, test } from 'vitest';
import {
  alternateExchangeOf,
  checkPolicy,
  decodePolicy,
  encodePolicy,
  type PolicyDefinition,
  PolicySet,
} from '../../../broker/definitions/policy-definition.ts';
import { isBurrowError } from '../../../src/errors/burrow-error.ts';
import { table } from '../exchanges/bindings-bed.ts';

function policy(name: string, more: Partial<PolicyDefinition> = {}): PolicyDefinition {
  return { name, pattern: '.*', applyTo: 'all', priority: 0, definition: table({ 'max-length': 1 }), ...more };
}

describe('a policy', () => {
  test.each<[Partial<PolicyDefinition>, RegExp]>([
    [{ name: '' }, /needs a name/],
    [{ pattern: '(' }, /pattern/],
    [{ applyTo: 'topics' as 'all' }, /apply-to 'topics' unrecognised/],
    [{ priority: 1.5 }, /whole number/],
    [{ definition: table() }, /at least one setting/],
    [{ definition: table({ 'max-lenght': 1 }) }, /not a recognised policy setting. Did you mean "max-length"/],
    [{ definition: table({ 'x-max-length': 1 }) }, /not a recognised/],
    [{ definition: table({ 'max-priority': 1 }) }, /not a recognised/],
    [{ definition: table({ 'max-length': -1 }) }, /'max-length': -1 is less than 0/],
    [{ definition: table({ 'alternate-exchange': 5 }) }, /name of an exchange/],
  ])('with %o is refused', (more, text) => {
    expect(() => checkPolicy(policy('p', more))).toThrow(text);
  });

  test('may have every setting that can change while a queue lives, and an alternate exchange', () => {
    const definition = table({
      'message-ttl': 1,
      expires: 1,
      'dead-letter-routing-key': 'k',
      overflow: 'reject-publish',
      'queue-mode': 'lazy',
      'alternate-exchange': 'alt',
    });
    expect(() => checkPolicy(policy('p', { definition }))).not.toThrow();
  });

  test('comes back from storage as it was', () => {
    const stored = policy('p', { pattern: '^a\\.', applyTo: 'queues', priority: -3 });
    expect(decodePolicy('amqp/policies/1/p', 'p', encodePolicy(stored))).toEqual(stored);
    const broken = encodePolicy(stored).replace('queues', 'topics');
    expect(() => decodePolicy('k', 'p', broken)).toThrow(
      expect.toSatisfy((error: unknown) => isBurrowError(error, 'STORAGE_CORRUPT')),
    );
  });
});

describe('the policy of a queue or exchange', () => {
  function setOf(...policies: PolicyDefinition[]): PolicySet {
    const set = new PolicySet();
    for (const each of policies) set.set(each);
    return set;
  }

  test('is the one with the highest priority that matches; of equals the first by name', () => {
    const set = setOf(
      policy('low'),
      policy('b', { priority: 5, pattern: '^orders' }),
      policy('a', { priority: 5, pattern: '^orders\\.' }),
      policy('other', { priority: 9, pattern: '^x' }),
    );
    expect(set.forQueue('orders.eu', table())?.name).toBe('a');
    expect(set.forQueue('orders', table())?.name).toBe('b');
    expect(set.forQueue('q', table())?.name).toBe('low');
    set.delete('low');
    expect(set.forQueue('q', table())).toBeUndefined();
    set.set(policy('late', { priority: 100 }));
    expect(set.forQueue('orders', table())?.name).toBe('late');
  });

  test('is for what it says it is for', () => {
    const set = setOf(
      policy('classic', { applyTo: 'classic_queues', priority: 3 }),
      policy('quorum', { applyTo: 'quorum_queues', priority: 2 }),
      policy('stream', { applyTo: 'streams', priority: 1, definition: table({ 'max-age': '1D' }) }),
      policy('exchange', { applyTo: 'exchanges', priority: 9 }),
    );
    expect(set.forQueue('q', table())?.name).toBe('classic');
    expect(set.forQueue('q', table({ 'x-queue-type': 'quorum' }))?.name).toBe('quorum');
    expect(set.forQueue('q', table({ 'x-queue-type': 'stream' }))?.name).toBe('stream');
    expect(set.forExchange('e')?.name).toBe('exchange');
    set.set(policy('queues', { applyTo: 'queues', priority: 20 }));
    expect(set.forQueue('q', table())?.name).toBe('queues');
    expect(set.forExchange('e')?.name).toBe('exchange');
  });

  test('does not apply to a queue whose type lacks one of its settings', () => {
    const set = setOf(policy('aged', { definition: table({ 'max-age': '1D', 'max-length-bytes': 5 }) }));
    expect(set.forQueue('q', table())).toBeUndefined();
    expect(set.forQueue('q', table({ 'x-queue-type': 'stream' }))?.name).toBe('aged');
  });

  test('gives an exchange an alternate exchange, unless its arguments do', () => {
    const alternate = policy('alt', { definition: table({ 'alternate-exchange': 'from policy' }) });
    expect(alternateExchangeOf(table(), alternate)).toBe('from policy');
    expect(alternateExchangeOf(table({ 'alternate-exchange': 'own' }), alternate)).toBe('own');
    expect(alternateExchangeOf(table(), undefined)).toBeUndefined();
  });
});
