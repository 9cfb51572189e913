/**
 * One saga in two styles, killed at random: `npm run example saga [-- --kills 5 --seed N]`. See README.md beside this file.
 *
 * Customers order; four services with a database each complete the order, or undo what was done of it. Each service and the broker
 * are killed with kill -9 while they work. In the end the books of all four must balance.
 */
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, jsonSerializer, stringSerializer } from '../../client/index.ts';
import { type ExampleRun, runExample } from '../support/example-run.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import { audit, gatherFacts } from './audit.ts';
import {
  CHECKOUT_TOPIC,
  COMMAND_TOPICS,
  ENDINGS_TOPIC,
  EVENT_TOPICS,
  type Order,
  OUTCOMES_TOPIC,
  type SagaMessage,
} from './messages.ts';
import { COUNTRIES, PRICES_CENTS, STARTING_CENTS, STARTING_STOCK } from './world.ts';

const SERVICES = ['order', 'payment', 'inventory', 'shipping'];
const ORDERS_BETWEEN_KILLS = 8;
const PARTITIONS = 3;

await runExample('saga', { kills: 5 }, async (run) => [
  ...(await runStyle(run, 'choreography', Object.values(EVENT_TOPICS))),
  ...(await runStyle(run, 'orchestration', [...Object.values(COMMAND_TOPICS), OUTCOMES_TOPIC])),
]);

/** Resolves with what is wrong in the end. */
async function runStyle(
  run: ExampleRun,
  style: 'choreography' | 'orchestration',
  topics: readonly string[],
): Promise<string[]> {
  const { client, supervisor, random, tell } = run;
  tell(`— ${style} —`);
  const names = [CHECKOUT_TOPIC, ENDINGS_TOPIC, ...topics];
  await run.createTopics(names.map((name) => ({ name, partitions: PARTITIONS })));
  const folder = path.join(run.folder, style);
  for (const name of SERVICES) {
    supervisor.startService(name, new URL(`./${name}/${style}.js`, import.meta.url), folder);
  }

  const victims = shuffled([...SERVICES, ...(supervisor.hasBroker ? ['broker'] : [])], random);
  const checkout = client.producer({ keySerializer: stringSerializer, valueSerializer: jsonSerializer<SagaMessage>() });
  const requested: Order[] = [];
  for (let kill = 0; kill <= run.kills; kill++) {
    const orders = Array.from({ length: ORDERS_BETWEEN_KILLS }, (_, index) =>
      randomOrder(`order-${requested.length + index + 1}`, random),
    );
    requested.push(...orders);
    // Once this resolves, the orders are promised: they are on stable storage.
    await run.waitFor('the checkout', checkout.sendMany(orders.map(requestFor)));
    if (kill === run.kills) break;
    await run.waitFor('the pause', sleep(random.integer(10, 400)));
    await supervisor.kill(victims[kill % victims.length]!);
  }
  await checkout.close();
  const endings = await run.waitFor('the end of all orders', waitForEndings(client, requested));
  await run.waitFor('the services', supervisor.stop(...SERVICES));
  await run.deleteTopics(names);

  const complaints = audit(gatherFacts(folder, requested));
  tell(`${requested.length} orders: ${endings.completed} completed, ${endings.cancelled} cancelled`);
  if (complaints.length === 0) tell('The books balance: money, stock and shipments fit the orders.');
  return complaints.map((complaint) => `${style}: ${complaint}`);
}

function randomOrder(orderId: string, random: SeededRandom): Order {
  const product = random.pick([...STARTING_STOCK.keys()]);
  const quantity = random.integer(1, 3);
  return {
    orderId,
    customer: random.pick([...STARTING_CENTS.keys()]),
    product,
    quantity,
    cents: quantity * PRICES_CENTS.get(product)!,
    country: random.pick(COUNTRIES),
  };
}

function requestFor(order: Order): { topic: string; key: string; value: SagaMessage } {
  const id = `request-${order.orderId}`;
  return { topic: CHECKOUT_TOPIC, key: order.orderId, value: { id, type: 'OrderRequested', order } };
}

function shuffled<T>(items: readonly T[], random: SeededRandom): T[] {
  return items
    .map((item) => ({ item, place: random.next() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item);
}

/** Resolves when each order has ended one way or the other. */
async function waitForEndings(
  client: Client,
  requested: readonly Order[],
): Promise<{ completed: number; cancelled: number }> {
  const consumer = client.consumer({
    assignment: [{ topic: ENDINGS_TOPIC }],
    from: 'earliest',
    valueDeserializer: jsonSerializer<SagaMessage>(),
  });
  const endings = new Map<string, SagaMessage['type']>();
  while (!requested.every(({ orderId }) => endings.has(orderId))) {
    for (const { value } of await consumer.poll()) endings.set(value!.order.orderId, value!.type);
  }
  await consumer.close();
  const completed = [...endings.values()].filter((type) => type === 'OrderCompleted').length;
  return { completed, cancelled: endings.size - completed };
}
