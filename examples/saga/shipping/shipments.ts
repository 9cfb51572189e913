/** The shipping service's database and what it can do: send. It is the last step, so nothing ever has to undo it. */
import type { ServiceDatabase } from '../../support/database.ts';
import type { Order } from '../messages.ts';
import { NOT_SERVED } from '../world.ts';

export const SHIPMENTS_SCHEMA = `
  create table if not exists shipments (
    number integer primary key autoincrement,
    order_id text not null,
    product text not null,
    quantity integer not null,
    country text not null
  ) strict`;

/** False if no parcel gets there. */
export function ship(database: ServiceDatabase, { orderId, product, quantity, country }: Order): boolean {
  if (country === NOT_SERVED) return false;
  const sql = 'insert into shipments (order_id, product, quantity, country) values (?, ?, ?, ?)';
  database.run(sql, orderId, product, quantity, country);
  return true;
}
