/** The example outbox: killed at random and at every kind of point, and its audit, which must notice what is wrong. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { audit, type OutboxFacts } from '../../examples/outbox/audit.ts';
import { outboxFigures } from '../soak/outbox-kills.ts';
import type { CrashPoint } from '../support/crash-at-commit.ts';
import { runExample } from '../support/example-process.ts';

const ALL_IS_WELL = 'Each order has its event, each event its order, each is entered once, in order.';

test('as a user runs it: eight kills at random, and the books fit', { timeout: 240_000 }, async () => {
  const { code, output } = await runExample(['outbox', '--kills', '8', '--seed', '5']);
  expect(output).toContain(ALL_IS_WELL);
  const { orders, events, repeated, entries, deaths } = outboxFigures(output)!;
  expect(Object.values(deaths).reduce((sum, times) => sum + times, 0)).toBe(8);
  expect(orders).toBeGreaterThan(0);
  expect(entries).toBe(orders);
  expect(events).toBe(orders + repeated);
  expect(code).toBe(0);
});

test('killed right before and right after a commit, in each program', { timeout: 240_000 }, async () => {
  const crashPoints = ['shop/shop.js', 'shop/relay.js', 'billing/billing.js'].flatMap((program): CrashPoint[] => [
    { program, when: 'before', commit: 2 },
    { program, when: 'after', commit: 1 },
  ]);
  const { code, output, struck } = await runExample(['outbox', '--kills', '3', '--seed', '6'], { crashPoints });
  expect(output).toContain(ALL_IS_WELL);
  expect(code).toBe(0);
  // Of each program at least one, or this test would prove nothing.
  expect(new Set(struck.map(({ program }) => program)).size).toBe(3);
});

test('without its inbox billing enters an event twice, and the audit says so', { timeout: 240_000 }, async () => {
  // The relay dies when it has published and not marked: so it publishes again.
  const crashPoints: CrashPoint[] = [{ program: 'shop/relay.js', when: 'before', commit: 1 }];
  const words = ['outbox', '--kills', '0', '--seed', '1'];
  const { code, output, struck } = await runExample(words, { crashPoints, forgetsInbox: true });
  expect(struck).toHaveLength(1);
  expect(output).toMatch(/WRONG: order \S+ was entered 2 times/);
  expect(output).not.toContain(ALL_IS_WELL);
  expect(code).toBe(1);
});

describe('the audit', () => {
  const order = (id: number, customer: string) => ({ orderId: `o${id}`, customer, cents: 100 * id });
  const orders = [order(1, 'ada'), order(2, 'ben'), order(3, 'ada'), order(4, 'ada')];
  const fine: OutboxFacts = {
    orders,
    // Once again after a kill.
    events: [...orders, orders[3]!],
    entries: [orders[1]!, orders[0]!, orders[2]!, orders[3]!],
    owedCents: new Map([
      ['ada', 800],
      ['ben', 200],
    ]),
  };

  test('is content with events that come twice, and with any order between customers', () => {
    expect(audit(fine)).toEqual([]);
  });

  test.each<[string, Partial<OutboxFacts>, string]>([
    ['an order without its event', { events: orders.slice(1) }, 'order o1 has no event'],
    [
      'an event without its order',
      { events: [...orders, order(9, 'ada')] },
      'an event tells of order o9, which is none',
    ],
    ['an order that was not entered', { entries: fine.entries.slice(1) }, 'order o2 was entered 0 times'],
    ['an order that was entered twice', { entries: [...fine.entries, orders[1]!] }, 'order o2 was entered 2 times'],
    ['an entry without an order', { entries: [...fine.entries, order(9, 'ada')] }, 'entry o9 has no order'],
    [
      'orders of one customer in another order',
      { entries: [orders[1]!, orders[2]!, orders[0]!, orders[3]!] },
      'the orders of ada were not entered in the order in which they were placed',
    ],
    ['a sum that is wrong', { owedCents: new Map([['ada', 800]]) }, 'ben owes 0 cents; the orders make 200'],
  ])('notices %s', (_, change, complaint) => {
    expect(audit({ ...fine, ...change })).toContain(complaint);
  });

  test('any change of the entries is noticed, but for one that keeps the order of each customer', () => {
    const entriesOf = (entries: readonly { orderId: string; customer: string }[], customer: string) =>
      entries.filter((entry) => entry.customer === customer).map(({ orderId }) => orderId);
    const anyEntries = fc.array(fc.constantFrom(...orders), { maxLength: 6 });
    fc.assert(
      fc.property(anyEntries, (entries) => {
        const isFine = ['ada', 'ben'].every(
          (customer) => entriesOf(entries, customer).join() === entriesOf(orders, customer).join(),
        );
        expect(audit({ ...fine, entries }).length === 0).toBe(isFine);
      }),
    );
  });
});
