/** One queue and one client: publish with confirms, consume with acknowledgments, and both at once. */
import { say, spread, thousands } from '../support/figures.ts';
import { withBroker } from '../support/with-broker.ts';
import { consumeAll, publishAll } from './load.ts';
import { bodyWith, type QueuesBenchmarkOptions } from './options.ts';

/** Messages a second that a quiet machine of two cores is to reach. */
const WAYS = [
  { name: 'publish', aim: 100_000 },
  { name: 'consume and acknowledge', aim: 150_000 },
  { name: 'both at once (of each)', aim: 60_000 },
] as const;

export async function measureThroughput(options: QueuesBenchmarkOptions) {
  const { messages, rounds, confirmsOutstanding, prefetch, bodyBytes } = options;
  const rates: number[][] = WAYS.map(() => []);
  const memory = await withBroker(async ({ broker, client }) => {
    const queue = client.queue('throughput');
    await queue.declare();
    const body = bodyWith(0, bodyBytes);
    const publish = () => publishAll(messages, confirmsOutstanding, () => queue.publish(body, { persistent: true }));
    const consume = () => consumeAll([queue], { messages, prefetch });
    const both = async () => Math.min(...(await Promise.all([publish(), consume()])));
    for (let round = 0; round < rounds; round++) {
      for (const [index, way] of [publish, consume, both].entries()) {
        rates[index]!.push(await way());
        say(`${WAYS[index]!.name}: ${thousands(rates[index]!.at(-1)!)} messages/s`);
      }
    }
    return broker.memory();
  });
  const lines = [
    '## Throughput',
    '',
    `${thousands(messages)} messages to one durable queue by one client process, acknowledged automatically.`,
    '',
    '| what | messages/s | aim |',
    '|---|---:|---:|',
    ...WAYS.map(({ name, aim }, index) => `| ${name} | ${spread(rates[index]!)} | ${thousands(aim)} |`),
    '',
    `Highest memory of the broker: ${thousands((memory?.peakBytes ?? Number.NaN) / 2 ** 20)} MiB.`,
    '',
  ];
  return { lines, data: { throughput: WAYS.map(({ name }, index) => ({ name, rates: rates[index]! })), memory } };
}
