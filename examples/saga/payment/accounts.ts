/** The payment service's database and what it can do: charge, and undo that. Nothing in here knows how the saga is led. */
import type { ServiceDatabase } from '../../support/database.ts';
import type { Order } from '../messages.ts';
import { STARTING_CENTS, sqlRows } from '../world.ts';

export const ACCOUNTS_SCHEMA = `
  create table if not exists accounts (
    customer text primary key,
    cents integer not null check (cents >= 0)
  ) strict;
  create table if not exists movements (
    number integer primary key autoincrement,
    order_id text not null,
    customer text not null,
    cents integer not null,
    cause text not null
  ) strict;
  insert into accounts (customer, cents) values ${sqlRows(STARTING_CENTS)} on conflict do nothing`;

/** False if the customer has not enough; then nothing has changed. */
export function charge(database: ServiceDatabase, order: Order, cause: string): boolean {
  const { customer, cents } = order;
  const sql = 'update accounts set cents = cents - ? where customer = ? and cents >= ?';
  if (database.run(sql, cents, customer, cents) === 0) return false;
  noteMovement(database, order, -cents, cause);
  return true;
}

/** The compensation of {@link charge}. */
export function refund(database: ServiceDatabase, order: Order, cause: string): void {
  const { customer, cents } = order;
  database.run('update accounts set cents = cents + ? where customer = ?', cents, customer);
  noteMovement(database, order, cents, cause);
}

function noteMovement(database: ServiceDatabase, { orderId, customer }: Order, cents: number, cause: string): void {
  const sql = 'insert into movements (order_id, customer, cents, cause) values (?, ?, ?, ?)';
  database.run(sql, orderId, customer, cents, cause);
}
