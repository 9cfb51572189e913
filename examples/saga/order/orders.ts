/** The order service's database: orders and what has become of them. */
import type { ServiceDatabase } from '../../support/database.ts';
import { ENDINGS_TOPIC, type Ending, type Order } from '../messages.ts';
import { say } from '../say.ts';

export const ORDERS_SCHEMA = `
  create table if not exists orders (
    order_id text primary key,
    customer text not null,
    product text not null,
    quantity integer not null,
    cents integer not null,
    country text not null,
    state text not null check (state in ('pending', 'completed', 'cancelled')),
    reason text
  ) strict`;

export function addOrder(database: ServiceDatabase, order: Order): void {
  const { orderId, customer, product, quantity, cents, country } = order;
  database.run(
    `insert into orders (order_id, customer, product, quantity, cents, country, state) values (?, ?, ?, ?, ?, ?, 'pending')`,
    orderId,
    customer,
    product,
    quantity,
    cents,
    country,
  );
}

/** `reason`: the outcome that decided it. */
export function endOrder(database: ServiceDatabase, order: Order, ending: Ending, reason: string): void {
  const state = ending === 'OrderCompleted' ? 'completed' : 'cancelled';
  database.run('update orders set state = ?, reason = ? where order_id = ?', state, reason, order.orderId);
  say(database, ENDINGS_TOPIC, { type: ending, order });
}
