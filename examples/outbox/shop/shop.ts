/** The shop: takes orders, one after the other, until it is asked to stop. It talks to its database only; a broker may be away. */
import { setTimeout as sleep } from 'node:timers/promises';
import { serviceArguments } from '../../support/service.ts';
import { stopRequested } from '../../support/stop-requested.ts';
import { CardDeclined, openShopDatabase, placeOrder } from './orders.ts';

const CUSTOMERS = ['ada', 'ben', 'cleo', 'dov', 'eve', 'finn', 'gus', 'hana'];
const PAUSE_MS = 3;

const database = openShopDatabase(serviceArguments().folder);
let isStopping = false;
void stopRequested().then(() => {
  isStopping = true;
});

while (!isStopping) {
  const customer = CUSTOMERS[Math.floor(Math.random() * CUSTOMERS.length)]!;
  try {
    placeOrder(database, customer, 100 + Math.floor(Math.random() * 9900), () => {
      if (Math.random() < 0.1) throw new CardDeclined();
    });
  } catch (error) {
    if (!(error instanceof CardDeclined)) throw error;
  }
  await sleep(PAUSE_MS);
}
database.close();
