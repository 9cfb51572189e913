/** A fanout exchange with several queues, each consumed: what a message costs that goes to all of them. */
import { say, spread, thousands } from '../support/figures.ts';
import { withBroker } from '../support/with-broker.ts';
import { consumeAll, publishAll } from './load.ts';
import { bodyWith, type QueuesBenchmarkOptions } from './options.ts';

const QUEUES = 10;

export async function measureFanout(options: QueuesBenchmarkOptions) {
  const { fanoutMessages: messages, rounds, confirmsOutstanding, prefetch, bodyBytes } = options;
  const published: number[] = [];
  const delivered: number[] = [];
  const left = await withBroker(async ({ client }) => {
    const exchange = await client.exchange('fanout').declare({ type: 'fanout' });
    const queues = Array.from({ length: QUEUES }, (_, index) => client.queue(`fanout-${index}`));
    for (const queue of queues) {
      await queue.declare();
      await queue.bind(exchange);
    }
    const body = bodyWith(0, bodyBytes);
    for (let round = 0; round < rounds; round++) {
      const [publishes, deliveries] = await Promise.all([
        publishAll(messages, confirmsOutstanding, () => exchange.publish(body, { persistent: true, mandatory: true })),
        consumeAll(queues, { messages: messages * QUEUES, prefetch }),
      ]);
      published.push(publishes);
      delivered.push(deliveries);
      say(`fanout: ${thousands(publishes)} messages/s published, ${thousands(deliveries)} delivered`);
    }
    const counts = await Promise.all(queues.map((queue) => queue.check()));
    return counts.reduce((sum, { messageCount }) => sum + messageCount, 0);
  });
  if (left !== 0) throw new Error(`${left} messages were delivered twice or not at all`);
  const lines = [
    '## Fanout',
    '',
    `${thousands(messages)} messages to an exchange with ${QUEUES} durable queues, each with a consumer; one client process. All are confirmed by all queues, and acknowledged.`,
    '',
    '| published, messages/s | delivered and acknowledged, messages/s |',
    '|---:|---:|',
    `| ${spread(published)} | ${spread(delivered)} |`,
    '',
  ];
  return { lines, data: { fanout: { queues: QUEUES, published, delivered } } };
}
