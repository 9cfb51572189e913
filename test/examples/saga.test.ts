/** The example saga: killed at random and around every kind of commit, its rule of orchestration, and its audit. */
import { describe, expect, test } from 'vitest';
import { audit, type SagaFacts } from '../../examples/saga/audit.ts';
import type { Command, Order, Outcome } from '../../examples/saga/messages.ts';
import { decide } from '../../examples/saga/order/saga-steps.ts';
import { STARTING_CENTS, STARTING_STOCK } from '../../examples/saga/world.ts';
import type { CrashPoint } from '../support/crash-at-commit.ts';
import { runExample } from '../support/example-process.ts';

const STYLES = ['choreography', 'orchestration'];
const SERVICES = ['order', 'payment', 'inventory', 'shipping'];
const ALL_IS_WELL = /The books balance/g;

test('as a user runs it: each service and the broker are killed, and the books balance', {
  timeout: 240_000,
}, async () => {
  const { code, output } = await runExample(['saga', '--kills', '5', '--seed', '11']);
  expect(output.match(ALL_IS_WELL)).toHaveLength(2);
  for (const name of [...SERVICES, 'broker']) {
    expect(output.match(new RegExp(`${name} was killed by SIGKILL`, 'g')), name).toHaveLength(2);
  }
  expect(code).toBe(0);
});

test('each service is killed right before and after it commits what it handled, and what it published', {
  timeout: 240_000,
}, async () => {
  const crashPoints = STYLES.flatMap((style) =>
    SERVICES.flatMap((service): CrashPoint[] => {
      const program = `${service}/${style}.js`;
      return [
        // Commits are in turn that of a message and that of the outbox.
        { program, when: 'before', commit: 1 },
        { program, when: 'after', commit: 1 },
        { program, when: 'before', commit: 2 },
        { program, when: 'after', commit: 2 },
      ];
    }),
  );
  const { code, output, struck } = await runExample(['saga', '--kills', '0', '--seed', '12'], { crashPoints });
  expect(output.match(ALL_IS_WELL)).toHaveLength(2);
  expect(struck).toEqual(crashPoints);
  expect(code).toBe(0);
});

test('without their inboxes services act twice, and the audit says so', { timeout: 240_000 }, async () => {
  // Payment dies when it has said that it charged, and before it noted that it said so: it says so again.
  const crashPoints = STYLES.map(
    (style): CrashPoint => ({ program: `payment/${style}.js`, when: 'before', commit: 2 }),
  );
  const words = ['saga', '--kills', '0', '--seed', '13'];
  const { code, output } = await runExample(words, { crashPoints, forgetsInbox: true });
  for (const style of STYLES) expect(output).toMatch(new RegExp(`WRONG: ${style}: order \\S+ is \\w+, but`));
  expect(code).toBe(1);
});

describe('orchestration', () => {
  /** Runs a saga in which `refused` is refused; the commands in their order, and the ending. */
  function commandsOf(refused: Command | undefined): (Command | string)[] {
    const outcomes: Record<Command, { done: Outcome; refused?: Outcome }> = {
      ChargePayment: { done: 'PaymentCharged', refused: 'PaymentDeclined' },
      ReserveStock: { done: 'StockReserved', refused: 'StockRejected' },
      ShipOrder: { done: 'ShipmentSent', refused: 'ShipmentRefused' },
      ReleaseStock: { done: 'StockReleased' },
      RefundPayment: { done: 'PaymentRefunded' },
    };
    const commands: (Command | string)[] = [];
    let decision = decide('OrderPlaced');
    while (typeof decision !== 'string') {
      const { command } = decision;
      commands.push(command);
      decision = decide(command === refused ? outcomes[command].refused! : outcomes[command].done);
    }
    return [...commands, decision];
  }

  test('one step follows the other', () => {
    expect(commandsOf(undefined)).toEqual(['ChargePayment', 'ReserveStock', 'ShipOrder', 'complete']);
  });

  test('what is refused has the steps before it undone, the last one first', () => {
    expect(commandsOf('ChargePayment')).toEqual(['ChargePayment', 'cancel']);
    expect(commandsOf('ReserveStock')).toEqual(['ChargePayment', 'ReserveStock', 'RefundPayment', 'cancel']);
    expect(commandsOf('ShipOrder')).toEqual([
      'ChargePayment',
      'ReserveStock',
      'ShipOrder',
      'ReleaseStock',
      'RefundPayment',
      'cancel',
    ]);
  });
});

describe('the audit', () => {
  const order = (id: number): Order => ({
    orderId: `o${id}`,
    customer: 'ada',
    product: 'teapot',
    quantity: 2,
    cents: 3000,
    country: 'Japan',
  });
  const requested = [order(1), order(2), order(3), order(4)];
  const paid = (id: number, amount: number, cause: string) => ({ orderId: `o${id}`, name: 'ada', amount, cause });
  const taken = (id: number, amount: number, cause: string) => ({ orderId: `o${id}`, name: 'teapot', amount, cause });
  /** One completed, one declined, one without stock, one that could not be shipped. */
  const fine: SagaFacts = {
    requested,
    orders: requested.map((each, index) => ({ ...each, state: index === 0 ? 'completed' : 'cancelled' })),
    payments: [
      paid(1, -3000, 'OrderPlaced'),
      paid(3, -3000, 'OrderPlaced'),
      paid(4, -3000, 'OrderPlaced'),
      paid(3, 3000, 'StockRejected'),
      paid(4, 3000, 'StockReleased'),
    ],
    balances: new Map(STARTING_CENTS).set('ada', STARTING_CENTS.get('ada')! - 3000),
    stock: [taken(1, -2, 'PaymentCharged'), taken(4, -2, 'PaymentCharged'), taken(4, 2, 'ShipmentRefused')],
    onHand: new Map(STARTING_STOCK).set('teapot', STARTING_STOCK.get('teapot')! - 2),
    shipments: [{ orderId: 'o1', product: 'teapot', quantity: 2 }],
    unpublished: 0,
  };

  test('is content with orders that are completed or undone in reverse', () => {
    expect(audit(fine)).toEqual([]);
  });

  const without = <T>(list: readonly T[], index: number): T[] => list.filter((_, each) => each !== index);
  const changed = <T>(list: readonly T[], index: number, change: Partial<T>): T[] =>
    list.map((each, at) => (at === index ? { ...each, ...change } : each));

  test.each<[string, Partial<SagaFacts>, string]>([
    ['a lost order', { orders: fine.orders.slice(1) }, 'order o1 was lost'],
    [
      'an order that nobody asked for',
      { orders: [...fine.orders, { ...order(9), state: 'cancelled' }] },
      '5 orders for 4',
    ],
    ['an order without an end', { orders: changed(fine.orders, 1, { state: 'pending' }) }, 'it should have ended'],
    ['a completed order that was not paid', { payments: without(fine.payments, 0) }, 'its payments are []'],
    ['one that was paid twice', { payments: [...fine.payments, paid(1, -3000, 'OrderPlaced')] }, '[-3000,-3000]'],
    ['one that was not reserved', { stock: without(fine.stock, 0) }, 'its stock movements are []'],
    ['one that was not shipped', { shipments: [] }, 'it was shipped 0 times'],
    ['one that was shipped twice', { shipments: [...fine.shipments, ...fine.shipments] }, 'it was shipped 2 times'],
    ['a cancelled order that was not refunded', { payments: without(fine.payments, 3) }, 'its payments are [-3000]'],
    [
      'one that was refunded twice',
      { payments: [...fine.payments, paid(3, 3000, 'StockRejected')] },
      'its payments are [-3000,3000,3000]',
    ],
    ['one whose stock was kept', { stock: without(fine.stock, 2) }, 'its stock movements are [-2]'],
    [
      'one that was shipped all the same',
      { shipments: [...fine.shipments, { orderId: 'o4', product: 'teapot', quantity: 2 }] },
      'it was shipped',
    ],
    [
      'a refund before the release',
      { payments: changed(fine.payments, 4, { cause: 'ShipmentRefused' }) },
      'it was refunded at ShipmentRefused',
    ],
    [
      'a release before the shipment was refused',
      { stock: changed(fine.stock, 2, { cause: 'StockReserved' }) },
      'stock was released at StockReserved',
    ],
    ['money from nowhere', { balances: STARTING_CENTS }, 'money of ada is 60000; its movements make 57000'],
    ['stock from nowhere', { onHand: STARTING_STOCK }, 'stock of teapot is 60; its movements make 58'],
    ['messages that stayed behind', { unpublished: 1 }, '1 messages were never published'],
  ])('notices %s', (_, change, complaint) => {
    expect(audit({ ...fine, ...change }).join('\n')).toContain(complaint);
  });
});
