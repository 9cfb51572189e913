import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Death, isDeathCycle, recordDeath } from '../../broker/queues/dead-letter-headers.ts';
import type { DeadLetterReason } from '../../broker/queues/queue.ts';
import type { FieldTable, FieldValue } from '../../src/messages/field-value.ts';

function death(fields: Partial<Death> = {}): Death {
  return {
    queue: 'orders',
    reason: 'expired',
    timeSeconds: 1000,
    exchange: 'shop',
    routingKey: 'order.new',
    expiration: undefined,
    isDeadLetter: false,
    isRenamed: false,
    ...fields,
  };
}

function plain(value: FieldValue | undefined): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, each]) => [key, plain(each)]));
  return Array.isArray(value) ? value.map((each: FieldValue) => plain(each)) : value;
}

describe('the headers of a dead letter', () => {
  test('tell where, why and when it died, and how it had come there', () => {
    const headers = recordDeath(new Map([['tenant', 'a']]), death({ expiration: '500' }));
    expect(plain(headers)).toEqual({
      tenant: 'a',
      'x-death': [
        {
          count: 1n,
          reason: 'expired',
          queue: 'orders',
          time: { type: 'timestamp', seconds: 1000 },
          exchange: 'shop',
          'routing-keys': ['order.new'],
          'original-expiration': '500',
        },
      ],
      'x-first-death-reason': 'expired',
      'x-first-death-queue': 'orders',
      'x-first-death-exchange': 'shop',
      'x-last-death-reason': 'expired',
      'x-last-death-queue': 'orders',
      'x-last-death-exchange': 'shop',
    });
  });

  test('count in 64 bits, also what was read back from a message', () => {
    const earlier: FieldTable = new Map<string, FieldValue>([
      ['count', 3],
      ['reason', 'rejected'],
      ['queue', 'other'],
    ]);
    const headers = recordDeath(new Map([['x-death', [earlier]]]), death({ isDeadLetter: true }));
    expect(plain(headers.get('x-death'))).toMatchObject([{ count: 1n }, { count: 3n, queue: 'other' }]);
  });

  test('name the keys of CC, and not those of BCC', () => {
    const headers = recordDeath(
      new Map<string, FieldValue>([
        ['CC', ['copy', 7, 'other']],
        ['BCC', ['secret']],
      ]),
      death(),
    );
    expect(plain(headers.get('x-death'))).toMatchObject([{ 'routing-keys': ['order.new', 'copy', 'other'] }]);
  });

  test('keep CC unless the dead letter gets another routing key', () => {
    const before: FieldTable = new Map([['CC', ['copy']]]);
    expect(recordDeath(before, death()).get('CC')).toEqual(['copy']);
    expect(recordDeath(before, death({ isRenamed: true })).has('CC')).toBe(false);
    expect(before.has('CC')).toBe(true);
  });

  test('list deaths newest first; one that repeats is counted, moves to the front and keeps its first story', () => {
    let headers = recordDeath(undefined, death({ expiration: '500' }));
    headers = recordDeath(headers, death({ queue: 'retry', exchange: 'dlx', isDeadLetter: true, timeSeconds: 1001 }));
    headers = recordDeath(headers, death({ exchange: 'back', routingKey: 'x', isDeadLetter: true, timeSeconds: 1002 }));
    expect(plain(headers.get('x-death'))).toEqual([
      {
        count: 2n,
        reason: 'expired',
        queue: 'orders',
        time: { type: 'timestamp', seconds: 1000 },
        exchange: 'shop',
        'routing-keys': ['order.new'],
        'original-expiration': '500',
      },
      {
        count: 1n,
        reason: 'expired',
        queue: 'retry',
        time: { type: 'timestamp', seconds: 1001 },
        exchange: 'dlx',
        'routing-keys': ['order.new'],
      },
    ]);
    expect(plain(headers)).toMatchObject({
      'x-first-death-queue': 'orders',
      'x-first-death-exchange': 'shop',
      'x-last-death-queue': 'orders',
      'x-last-death-exchange': 'back',
    });
  });

  test('count the reasons of one queue apart', () => {
    const first = recordDeath(undefined, death());
    const headers = recordDeath(first, death({ reason: 'rejected', isDeadLetter: true }));
    expect(plain(headers)).toMatchObject({
      'x-death': [
        { reason: 'rejected', count: 1n },
        { reason: 'expired', count: 1n },
      ],
      'x-first-death-reason': 'expired',
      'x-last-death-reason': 'rejected',
    });
  });

  test('of a client’s own making decide nothing and are replaced', () => {
    const published = recordDeath(undefined, death({ queue: 'forged' }));
    const headers = recordDeath(published, death());
    expect(plain(headers)).toMatchObject({
      'x-death': [{ queue: 'orders', count: 1n }],
      'x-first-death-queue': 'orders',
    });
    expect(headers.get('x-death')).toHaveLength(1);
  });
});

describe('a message that would come back to a queue', () => {
  const died = (...deaths: ReadonlyArray<readonly [string, DeadLetterReason]>): FieldTable =>
    deaths.reduce<FieldTable>(
      (headers, [queue, reason], index) => recordDeath(headers, death({ queue, reason, isDeadLetter: index > 0 })),
      new Map(),
    );

  test('where it died is in a cycle, unless it was rejected there or since', () => {
    expect(isDeathCycle(died(['a', 'expired']), 'a')).toBe(true);
    expect(isDeathCycle(died(['a', 'expired']), 'b')).toBe(false);
    expect(isDeathCycle(died(['a', 'rejected'], ['b', 'expired']), 'a')).toBe(false);
    expect(isDeathCycle(died(['a', 'expired'], ['b', 'rejected'], ['c', 'expired']), 'a')).toBe(false);
    expect(isDeathCycle(died(['a', 'rejected'], ['b', 'expired'], ['c', 'maxlen']), 'b')).toBe(true);
  });

  test('is judged as by a walk over its history, where repetitions have left their old place', () => {
    const reasons = ['expired', 'rejected', 'maxlen', 'delivery_limit'] as const;
    const step = fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.constantFrom(...reasons));
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 12 }),
        fc.constantFrom('a', 'b', 'c', 'd'),
        (steps, target) => {
          const newestFirst = steps.toReversed();
          const distinct = newestFirst.filter(
            ([queue, reason], index) => newestFirst.findIndex(([q, r]) => q === queue && r === reason) === index,
          );
          const home = distinct.findIndex(([queue]) => queue === target);
          const expected = home !== -1 && distinct.slice(0, home + 1).every(([, reason]) => reason !== 'rejected');
          const headers = died(...steps);
          expect(isDeathCycle(headers, target)).toBe(expected);
          const counts = (headers.get('x-death') as FieldTable[]).map((entry) => Number(entry.get('count')));
          expect(counts.reduce((sum, count) => sum + count, 0)).toBe(steps.length);
        },
      ),
    );
  });
});
