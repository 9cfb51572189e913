/** The shop's database: its orders. The outbox lies beside them, in the same file, which is what makes one transaction of the two. */
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { ServiceDatabase } from '../../support/database.ts';
import { addToOutbox, OUTBOX_SCHEMA } from '../../support/outbox.ts';
import { ORDERS_TOPIC } from '../events.ts';

const ORDERS_SCHEMA = `
  create table if not exists orders (
    number integer primary key autoincrement,
    order_id text not null unique,
    customer text not null,
    cents integer not null
  ) strict`;

export function openShopDatabase(folder: string): ServiceDatabase {
  return new ServiceDatabase(path.join(folder, 'shop', 'shop.db'), [ORDERS_SCHEMA, OUTBOX_SCHEMA]);
}

/** What a customer's card says; the order is then not placed. */
export class CardDeclined extends Error {}

/** Stores an order and, in the same transaction, the event that tells of it. `charge` may throw: then there is neither. */
export function placeOrder(database: ServiceDatabase, customer: string, cents: number, charge: () => void): void {
  const orderId = randomUUID();
  database.transaction(() => {
    database.run('insert into orders (order_id, customer, cents) values (?, ?, ?)', orderId, customer, cents);
    addToOutbox(database, ORDERS_TOPIC, customer, { type: 'OrderPlaced', orderId, customer, cents } as {
      type: string;
    });
    charge();
  });
}
