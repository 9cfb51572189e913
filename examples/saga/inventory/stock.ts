/** The inventory service's database and what it can do: reserve, and undo that. */
import type { ServiceDatabase } from '../../support/database.ts';
import type { Order } from '../messages.ts';
import { STARTING_STOCK, sqlRows } from '../world.ts';

export const STOCK_SCHEMA = `
  create table if not exists products (
    product text primary key,
    on_hand integer not null check (on_hand >= 0)
  ) strict;
  create table if not exists movements (
    number integer primary key autoincrement,
    order_id text not null,
    product text not null,
    quantity integer not null,
    cause text not null
  ) strict;
  insert into products (product, on_hand) values ${sqlRows(STARTING_STOCK)} on conflict do nothing`;

/** False if there is not enough; then nothing has changed. */
export function reserve(database: ServiceDatabase, order: Order, cause: string): boolean {
  const { product, quantity } = order;
  const sql = 'update products set on_hand = on_hand - ? where product = ? and on_hand >= ?';
  if (database.run(sql, quantity, product, quantity) === 0) return false;
  noteMovement(database, order, -quantity, cause);
  return true;
}

/** The compensation of {@link reserve}. */
export function release(database: ServiceDatabase, order: Order, cause: string): void {
  const { product, quantity } = order;
  database.run('update products set on_hand = on_hand + ? where product = ?', quantity, product);
  noteMovement(database, order, quantity, cause);
}

function noteMovement(database: ServiceDatabase, { orderId, product }: Order, quantity: number, cause: string): void {
  const sql = 'insert into movements (order_id, product, quantity, cause) values (?, ?, ?, ?)';
  database.run(sql, orderId, product, quantity, cause);
}
