/** Do the books balance? What four databases say is gathered; the comparison is a pure function. */
import path from 'node:path';
import { ServiceDatabase } from '../support/database.ts';
import type { Order } from './messages.ts';
import { STARTING_CENTS, STARTING_STOCK } from './world.ts';

interface StoredOrder extends Order {
  readonly state: 'pending' | 'completed' | 'cancelled';
}

/** Of money or of stock; negative: away from the customer, or from the shelf. */
interface Movement {
  readonly orderId: string;
  readonly name: string;
  readonly amount: number;
  readonly cause: string;
}

export interface SagaFacts {
  /** What customers asked for and were promised. */
  readonly requested: readonly Order[];
  readonly orders: readonly StoredOrder[];
  readonly payments: readonly Movement[];
  readonly balances: ReadonlyMap<string, number>;
  readonly stock: readonly Movement[];
  readonly onHand: ReadonlyMap<string, number>;
  readonly shipments: readonly { readonly orderId: string; readonly product: string; readonly quantity: number }[];
  /** Messages that no relay has published. */
  readonly unpublished: number;
}

/** To be called when the services have stopped. */
export function gatherFacts(folder: string, requested: readonly Order[]): SagaFacts {
  const names = ['order', 'payment', 'inventory', 'shipping'] as const;
  const open = (name: string) => new ServiceDatabase(path.join(folder, name, `${name}.db`));
  const databases = names.map(open);
  const [order, payment, inventory, shipping] = databases as [
    ServiceDatabase,
    ServiceDatabase,
    ServiceDatabase,
    ServiceDatabase,
  ];
  const amounts = (database: ServiceDatabase, sql: string) =>
    new Map(database.all<{ name: string; amount: number }>(sql).map(({ name, amount }) => [name, amount]));
  const unpublished = databases.map(
    (each) => each.get<{ count: number }>('select count(*) as count from outbox where published_at is null')!.count,
  );
  const facts: SagaFacts = {
    requested,
    orders: order.all('select order_id as orderId, customer, product, quantity, cents, country, state from orders'),
    payments: payment.all(
      'select order_id as orderId, customer as name, cents as amount, cause from movements order by number',
    ),
    balances: amounts(payment, 'select customer as name, cents as amount from accounts'),
    stock: inventory.all(
      'select order_id as orderId, product as name, quantity as amount, cause from movements order by number',
    ),
    onHand: amounts(inventory, 'select product as name, on_hand as amount from products'),
    shipments: shipping.all('select order_id as orderId, product, quantity from shipments'),
    unpublished: unpublished.reduce((sum, count) => sum + count, 0),
  };
  for (const database of databases) database.close();
  return facts;
}

/** What is wrong, one line each; empty if all is well. */
export function audit(facts: SagaFacts): string[] {
  const { requested, orders, payments, stock, shipments, unpublished } = facts;
  const complaints: string[] = [];
  const stored = new Map(orders.map((order) => [order.orderId, order]));
  for (const { orderId } of requested) if (!stored.has(orderId)) complaints.push(`order ${orderId} was lost`);
  if (orders.length !== requested.length) {
    complaints.push(`${orders.length} orders for ${requested.length} requests`);
  }
  for (const order of orders) {
    const { orderId } = order;
    const found = {
      payments: payments.filter((movement) => movement.orderId === orderId),
      stock: stock.filter((movement) => movement.orderId === orderId),
      shipments: shipments.filter((shipment) => shipment.orderId === orderId).length,
    };
    const problem = problemOf(order, found);
    if (problem !== undefined) complaints.push(`order ${orderId} is ${order.state}, but ${problem}`);
  }
  complaints.push(
    ...unbalanced('money', STARTING_CENTS, payments, facts.balances),
    ...unbalanced('stock', STARTING_STOCK, stock, facts.onHand),
  );
  if (unpublished > 0) complaints.push(`${unpublished} messages were never published`);
  return complaints;
}

interface OfOrder {
  readonly payments: readonly Movement[];
  readonly stock: readonly Movement[];
  readonly shipments: number;
}

/** Completed means all of it, once. Cancelled means none of it, or done and undone in reverse. */
function problemOf(
  { state, cents, quantity }: StoredOrder,
  { payments, stock, shipments }: OfOrder,
): string | undefined {
  const paid = payments.map(({ amount }) => amount).join();
  const taken = stock.map(({ amount }) => amount).join();
  switch (state) {
    case 'pending':
      return 'it should have ended';
    case 'completed':
      if (paid !== `${-cents}`) return `its payments are [${paid}]`;
      if (taken !== `${-quantity}`) return `its stock movements are [${taken}]`;
      return shipments === 1 ? undefined : `it was shipped ${shipments} times`;
    case 'cancelled':
      if (paid !== '' && paid !== `${-cents},${cents}`) return `its payments are [${paid}]`;
      if (taken !== '' && taken !== `${-quantity},${quantity}`) return `its stock movements are [${taken}]`;
      if (shipments !== 0) return 'it was shipped';
      return undoneOutOfOrder(payments[1], stock[1]);
  }
}

/** The last that was done is undone first: stock after the shipment was refused, money after the stock. */
function undoneOutOfOrder(refund: Movement | undefined, release: Movement | undefined): string | undefined {
  if (release !== undefined && release.cause !== 'ShipmentRefused') return `stock was released at ${release.cause}`;
  if (release !== undefined && refund === undefined) return 'its stock was released and its payment kept';
  const wanted = release === undefined ? 'StockRejected' : 'StockReleased';
  return refund === undefined || refund.cause === wanted ? undefined : `it was refunded at ${refund.cause}`;
}

function unbalanced(
  what: string,
  starting: ReadonlyMap<string, number>,
  movements: readonly Movement[],
  now: ReadonlyMap<string, number>,
): string[] {
  return Array.from(starting, ([name, amount]) => {
    const moved = movements.filter((movement) => movement.name === name).reduce((sum, each) => sum + each.amount, 0);
    return { name, wanted: amount + moved, found: now.get(name) };
  })
    .filter(({ wanted, found }) => wanted !== found)
    .map(({ name, wanted, found }) => `${what} of ${name} is ${found}; its movements make ${wanted}`);
}
