/** A queue with message groups beside one without: many keys, many consumers, the same messages. */
import type { Queue } from '../../client/index.ts';
import { median, say, spread, thousands } from '../support/figures.ts';
import { withBroker } from '../support/with-broker.ts';
import { consumeAll, publishAll } from './load.ts';
import { bodyWith, numberIn, type QueuesBenchmarkOptions } from './options.ts';

const KEYS = 10_000;
const CONSUMERS = 20;
const KEY_HEADER = 'key';
/** How many times as fast a queue without groups may be. */
const RATIO_AIM = 2;

export async function measureMessageGroups(options: QueuesBenchmarkOptions) {
  const { groupMessages: messages, rounds } = options;
  const plain = { name: 'without groups', rates: [] as number[], overtakings: 0 };
  const grouped = { name: 'with groups', rates: [] as number[], overtakings: 0 };
  const rows = [plain, grouped];
  await withBroker(async ({ client }) => {
    await client.queue(plain.name).declare();
    await client.queue(grouped.name).declare({ groupKeyHeader: KEY_HEADER });
    for (let round = 0; round < rounds; round++) {
      for (const row of rows) {
        const queue = client.queue(row.name);
        await fill(queue, options);
        const { rate, overtakings } = await consume(queue, options);
        row.rates.push(rate);
        row.overtakings += overtakings;
        say(`${row.name}: ${thousands(rate)} messages/s`);
      }
    }
  });
  if (grouped.overtakings > 0) throw new Error(`${grouped.overtakings} messages overtook others of their group`);
  const lines = [
    '## Message groups',
    '',
    `${thousands(messages)} messages of ${thousands(KEYS)} keys in random order, ${CONSUMERS} consumers in one client process.`,
    '',
    '| queue | consumed and acknowledged, messages/s |',
    '|---|---:|',
    ...rows.map(({ name, rates }) => `| ${name} | ${spread(rates)} |`),
    '',
    `Without groups ${(median(plain.rates) / median(grouped.rates)).toFixed(2)} times as fast; aim: at most ${RATIO_AIM} times.`,
    '',
  ];
  return { lines, data: { messageGroups: rows } };
}

async function fill(queue: Queue, options: QueuesBenchmarkOptions): Promise<void> {
  const { groupMessages, confirmsOutstanding, bodyBytes } = options;
  await publishAll(groupMessages, confirmsOutstanding, (index) =>
    queue.publish(bodyWith(index, bodyBytes), { persistent: true, headers: { [KEY_HEADER]: `key-${keyOf(index)}` } }),
  );
}

/** Also tells how many messages were delivered after a later one of their key. */
async function consume(queue: Queue, options: QueuesBenchmarkOptions): Promise<{ rate: number; overtakings: number }> {
  const { groupMessages: messages, prefetch } = options;
  const last = new Int32Array(KEYS).fill(-1);
  let overtakings = 0;
  const rate = await consumeAll([queue], {
    messages,
    prefetch,
    consumers: CONSUMERS,
    onMessage: ({ body }) => {
      const index = numberIn(body);
      const key = keyOf(index);
      if (index < last[key]!) overtakings++;
      else last[key] = index;
    },
  });
  return { rate, overtakings };
}

/** The same for the same message, and random enough. */
function keyOf(index: number): number {
  return (Math.imul(index ^ (index >>> 16), 0x9e37_79b1) >>> 0) % KEYS;
}
