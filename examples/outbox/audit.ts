/** Do shop, topic and billing tell the same story? Facts are gathered from all three; the comparison is a pure function. */
import path from 'node:path';
import { type Client, jsonSerializer } from '../../client/index.ts';
import { ServiceDatabase } from '../support/database.ts';
import { ORDERS_TOPIC, type OrderPlaced } from './events.ts';
import { openShopDatabase } from './shop/orders.ts';

interface Order {
  readonly orderId: string;
  readonly customer: string;
  readonly cents: number;
}

export interface OutboxFacts {
  /** As the shop placed them. */
  readonly orders: readonly Order[];
  /** In the topic; of each customer in their order. An event may be there twice. */
  readonly events: readonly Order[];
  /** In billing's books, in the order in which they were entered. */
  readonly entries: readonly Order[];
  readonly owedCents: ReadonlyMap<string, number>;
}

/** To be called when shop, relay and billing have stopped. */
export async function gatherFacts(folder: string, client: Client): Promise<OutboxFacts> {
  const shop = openShopDatabase(folder);
  const billing = new ServiceDatabase(path.join(folder, 'billing', 'billing.db'));
  const orders = shop.all<Order>('select order_id as orderId, customer, cents from orders order by number');
  const entries = billing.all<Order>('select order_id as orderId, customer, cents from entries order by number');
  const accounts = billing.all<{ customer: string; owed: number }>('select customer, owed_cents as owed from accounts');
  shop.close();
  billing.close();
  const owedCents = new Map(accounts.map(({ customer, owed }) => [customer, owed]));
  return { orders, events: await readTopic(client), entries, owedCents };
}

async function readTopic(client: Client): Promise<OrderPlaced[]> {
  const ends = await client.admin().offsets(ORDERS_TOPIC, 'latest');
  const total = ends.reduce((sum, { offset }) => sum + offset, 0);
  const consumer = client.consumer({
    assignment: [{ topic: ORDERS_TOPIC }],
    from: 'earliest',
    valueDeserializer: jsonSerializer<OrderPlaced>(),
  });
  const events: OrderPlaced[] = [];
  while (events.length < total) for (const record of await consumer.poll()) events.push(record.value!);
  await consumer.close();
  return events;
}

/** What is wrong, one line each; empty if all is well. */
export function audit({ orders, events, entries, owedCents }: OutboxFacts): string[] {
  const complaints: string[] = [];
  const placed = new Set(orders.map(({ orderId }) => orderId));
  const told = new Set(events.map(({ orderId }) => orderId));
  for (const orderId of placed) if (!told.has(orderId)) complaints.push(`order ${orderId} has no event`);
  for (const orderId of told)
    if (!placed.has(orderId)) complaints.push(`an event tells of order ${orderId}, which is none`);

  const entered = new Map<string, number>();
  for (const { orderId } of entries) entered.set(orderId, (entered.get(orderId) ?? 0) + 1);
  for (const orderId of placed) {
    const times = entered.get(orderId) ?? 0;
    if (times !== 1) complaints.push(`order ${orderId} was entered ${times} times`);
  }
  for (const orderId of entered.keys()) if (!placed.has(orderId)) complaints.push(`entry ${orderId} has no order`);

  for (const [customer, ofCustomer] of byCustomer(orders)) {
    const enteredInOrder = byCustomer(entries).get(customer) ?? [];
    const wanted = ofCustomer.map(({ orderId }) => orderId).join();
    if (enteredInOrder.map(({ orderId }) => orderId).join() !== wanted) {
      complaints.push(`the orders of ${customer} were not entered in the order in which they were placed`);
    }
    const sum = ofCustomer.reduce((total, { cents }) => total + cents, 0);
    const owed = owedCents.get(customer) ?? 0;
    if (owed !== sum) complaints.push(`${customer} owes ${owed} cents; the orders make ${sum}`);
  }
  return complaints;
}

function byCustomer(orders: readonly Order[]): Map<string, Order[]> {
  const groups = new Map<string, Order[]>();
  for (const order of orders) {
    const group = groups.get(order.customer);
    if (group === undefined) groups.set(order.customer, [order]);
    else group.push(order);
  }
  return groups;
}
