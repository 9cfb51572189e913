/**
 * The outbox pattern, killed at random: `npm run example outbox [-- --kills 12 --seed N]`. See README.md beside this file.
 *
 * A shop stores orders together with the events that tell of them, a relay publishes the events, billing enters them. All three and
 * the broker are killed with kill -9 again and again; in the end the three must tell the same story.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '../../client/index.ts';
import { type ExampleRun, runExample } from '../support/example-run.ts';
import { audit, gatherFacts } from './audit.ts';
import { ORDERS_TOPIC, PARTITIONS } from './events.ts';

const MORE_EVENTS = 30;
const PARTS = ['shop', 'relay', 'billing', 'broker'];

await runExample('outbox', { kills: 12 }, async (run) => {
  const { supervisor, client, folder, random, tell } = run;
  await run.createTopics([{ name: ORDERS_TOPIC, partitions: PARTITIONS }]);
  supervisor.startService('shop', new URL('./shop/shop.js', import.meta.url));
  supervisor.startService('relay', new URL('./shop/relay.js', import.meta.url));
  supervisor.startService('billing', new URL('./billing/billing.js', import.meta.url));

  const victims = PARTS.filter((name) => name !== 'broker' || supervisor.hasBroker);
  await run.waitFor('the first orders', moreEvents(client));
  for (let kill = 0; kill < run.kills; kill++) {
    // Long enough for the part to be at work again, too.
    await run.waitFor('the pause', sleep(random.integer(150, 700)));
    await supervisor.kill(random.pick(victims));
  }
  await run.waitFor('the last orders', moreEvents(client));
  await run.waitFor('the shop', supervisor.stop('shop'));
  await run.waitFor('the relay', supervisor.stop('relay'));
  await run.waitFor('billing', billingHasReadAll(run));
  await run.waitFor('billing', supervisor.stop('billing'));

  const facts = await gatherFacts(folder, client);
  const { orders, events, entries } = facts;
  tell(
    `${orders.length} orders; ${events.length} events, ${events.length - orders.length} of them again after a kill;`,
  );
  tell(`${entries.length} entries in the books`);
  const complaints = audit(facts);
  if (complaints.length === 0) tell('Each order has its event, each event its order, each is entered once, in order.');
  return complaints;
});

/** Resolves when there are some more events than now: shop, relay and broker work. */
async function moreEvents(client: Client): Promise<void> {
  const count = async () => {
    const ends = await client.admin().offsets(ORDERS_TOPIC, 'latest');
    return ends.reduce((sum, { offset }) => sum + offset, 0);
  };
  const wanted = (await count()) + MORE_EVENTS;
  while ((await count()) < wanted) await sleep(50);
}

/** Resolves when billing's group has committed everything that is in the topic. */
async function billingHasReadAll({ client }: ExampleRun): Promise<void> {
  for (;;) {
    const { partitions } = await client.admin().describeGroup('billing');
    if (partitions.length === PARTITIONS && partitions.every(({ lag }) => lag === 0)) return;
    await sleep(100);
  }
}
