/**
 * The outbox pattern, killed at random: `npm run example outbox [-- --kills 12 --seed N]`. See README.md beside this file.
 *
 * A shop stores orders together with the events that tell of them, a relay publishes the events, billing enters them. All three and
 * the broker are killed with kill -9 again and again; in the end the three must tell the same story.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type ExampleRun, runExample } from '../support/example-run.ts';
import { audit, gatherFacts } from './audit.ts';
import { ORDERS_TOPIC, PARTITIONS } from './events.ts';

const PARTS = ['shop', 'relay', 'billing', 'broker'];

await runExample('outbox', { kills: 12 }, async (run) => {
  const { supervisor, client, folder, random, tell } = run;
  await run.createTopics([{ name: ORDERS_TOPIC, partitions: PARTITIONS }]);
  supervisor.startService('shop', new URL('./shop/shop.js', import.meta.url));
  supervisor.startService('relay', new URL('./shop/relay.js', import.meta.url));
  supervisor.startService('billing', new URL('./billing/billing.js', import.meta.url));

  const victims = PARTS.filter((name) => name !== 'broker' || supervisor.hasBroker);
  for (let kill = 0; kill < run.kills; kill++) {
    // Long enough for the part to be at work again, too.
    await run.waitFor('the pause', sleep(random.integer(150, 700)));
    await supervisor.kill(random.pick(victims));
  }

  await run.waitFor('the last orders', sleep(500));
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

/** Resolves when billing's group has committed everything that is in the topic. */
async function billingHasReadAll({ client }: ExampleRun): Promise<void> {
  for (;;) {
    const { partitions } = await client.admin().describeGroup('billing');
    if (partitions.length === PARTITIONS && partitions.every(({ lag }) => lag === 0)) return;
    await sleep(100);
  }
}
