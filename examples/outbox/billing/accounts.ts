/** Billing's database: the entries of all accounts, and what each customer owes. */
import type { ServiceDatabase } from '../../support/database.ts';
import type { OrderPlaced } from '../events.ts';

export const ACCOUNTS_SCHEMA = `
  create table if not exists entries (
    number integer primary key autoincrement,
    order_id text not null,
    customer text not null,
    cents integer not null
  ) strict;
  create table if not exists accounts (
    customer text primary key,
    owed_cents integer not null
  ) strict`;

/** Not idempotent by itself: it is the inbox that keeps an event from being entered twice. */
export function enter(database: ServiceDatabase, { orderId, customer, cents }: OrderPlaced): void {
  database.run('insert into entries (order_id, customer, cents) values (?, ?, ?)', orderId, customer, cents);
  database.run(
    'insert into accounts (customer, owed_cents) values (?, ?) on conflict do update set owed_cents = owed_cents + ?',
    customer,
    cents,
    cents,
  );
}
