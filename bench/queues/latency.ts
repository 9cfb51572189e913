/**
 * From publish to delivery and to the confirm, while one process publishes and another consumes: at fixed rates, from the moment a
 * message was due; and flat out, from the call of publish.
 */
import { built } from '../support/built.ts';
import { median, say, spread, thousands } from '../support/figures.ts';
import type { LatencyResult } from '../support/latencies.ts';
import { withBroker } from '../support/with-broker.ts';
import { WorkerProcess } from '../support/worker-process.ts';
import type { QueuesBenchmarkOptions } from './options.ts';
import type { QueueReport, QueueTask } from './worker.ts';

/** Of deliveries, flat out and at any rate. */
const P99_AIM_MS = 20;
const RATE_AIM = 60_000;
const WARM_UP_SECONDS = 1;
const QUEUE = 'latency';

interface Sample {
  readonly perSecond: number;
  readonly confirms: LatencyResult;
  readonly deliveries: LatencyResult;
}

export async function measureLatency(options: QueuesBenchmarkOptions) {
  const { rounds, ratesPerSecond, latencySeconds, messages, bodyBytes, confirmsOutstanding, prefetch } = options;
  const loads: ReadonlyArray<{ name: string; publisher: PublisherTask }> = [
    ...ratesPerSecond.map((perSecond) => ({
      name: `${thousands(perSecond)} a second`,
      publisher: {
        role: 'publish-at-rate' as const,
        perSecond,
        warmUpMessages: perSecond * WARM_UP_SECONDS,
        messages: perSecond * latencySeconds,
        bodyBytes,
      },
    })),
    {
      name: 'flat out',
      publisher: { role: 'publish-flat-out', warmUpMessages: messages, messages, confirmsOutstanding, bodyBytes },
    },
  ];
  const rows = loads.map((load) => ({ ...load, samples: [] as Sample[] }));
  await withBroker(async ({ broker, client }) => {
    await client.queue(QUEUE).declare();
    for (let round = 0; round < rounds; round++) {
      for (const { name, publisher, samples } of rows) {
        const sample = await measure(broker.nativeUrl, publisher, prefetch);
        samples.push(sample);
        const { deliveries, perSecond } = sample;
        say(`${name}: ${thousands(perSecond)} messages/s, p99 of deliveries ${deliveries.p99Ms.toFixed(2)} ms`);
      }
    }
  });
  const lines = [
    '## Publishing and consuming at once',
    '',
    'One process publishes, one consumes. At a rate, time counts from the moment a message was due; flat out, from the call.',
    '',
    '| load | messages/s | until | p50 | p99 | p99.9 | max |',
    '|---|---:|---|---:|---:|---:|---:|',
    ...rows.flatMap(({ name, samples }) => {
      const rate = spread(samples.map(({ perSecond }) => perSecond));
      return [
        `| ${name} | ${rate} | delivered | ${times(samples.map(({ deliveries }) => deliveries))} |`,
        `| | | confirmed | ${times(samples.map(({ confirms }) => confirms))} |`,
      ];
    }),
    '',
    `Aims: ${thousands(RATE_AIM)} messages/s through both, p99 of deliveries below ${P99_AIM_MS} ms.`,
    '',
  ];
  return { lines, data: { latency: rows.map(({ name, samples }) => ({ name, samples })) } };
}

type PublisherTask = DistributiveOmit<Exclude<QueueTask, { role: 'receive' }>, 'url' | 'queue'>;
type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

async function measure(url: string, publisher: PublisherTask, prefetch: number): Promise<Sample> {
  const { messages, warmUpMessages } = publisher;
  const target = { url, queue: QUEUE };
  const receiver = worker({ ...target, role: 'receive', messages, warmUpMessages, prefetch });
  let sender: ReturnType<typeof worker> | undefined;
  try {
    await receiver.report('receiving');
    sender = worker({ ...target, ...publisher });
    const [{ perSecond, confirms }, { deliveries }] = await Promise.all([
      sender.report('published'),
      receiver.report('received'),
    ]);
    return { perSecond, confirms, deliveries };
  } finally {
    await Promise.all([receiver.kill(), sender?.kill()]);
  }
}

function worker(task: QueueTask): WorkerProcess<never, QueueReport> {
  return new WorkerProcess(built('bench/queues/worker.js'), task);
}

function times(results: readonly LatencyResult[]): string {
  const ms = (of: (result: LatencyResult) => number): string => `${median(results.map(of)).toFixed(2)} ms`;
  return [
    ms(({ p50Ms }) => p50Ms),
    ms(({ p99Ms }) => p99Ms),
    ms(({ p999Ms }) => p999Ms),
    ms(({ maxMs }) => maxMs),
  ].join(' | ');
}
