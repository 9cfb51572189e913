/** The relay: publishes what the shop has put into its outbox, in order, and marks it. A process of its own beside the shop. */
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../../../client/index.ts';
import { OutboxRelay } from '../../support/outbox.ts';
import { serviceArguments } from '../../support/service.ts';
import { stopRequested } from '../../support/stop-requested.ts';
import { openShopDatabase } from './orders.ts';

const POLL_MS = 10;

const { url, folder } = serviceArguments();
const database = openShopDatabase(folder);
const client = await connect(url, { clientId: 'relay', connectWaitMs: 60_000 });
const relay = new OutboxRelay(database, client);
let isStopping = false;
void stopRequested().then(() => {
  isStopping = true;
});

while (!isStopping) {
  await relay.publishAll();
  await sleep(POLL_MS);
}
await relay.publishAll();
await client.close();
database.close();
