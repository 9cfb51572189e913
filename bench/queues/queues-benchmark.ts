/** `npm run bench -- queues`: what queues do on this machine, part by part. Writes a dated report. */
import { thousands } from '../support/figures.ts';
import { type Part, type RunOptions, runParts } from '../support/parts.ts';
import { measureBacklog } from './backlog.ts';
import { measureFanout } from './fanout.ts';
import { measureLatency } from './latency.ts';
import { measureMessageGroups } from './message-groups.ts';
import type { QueuesBenchmarkOptions } from './options.ts';
import { measureThroughput } from './throughput.ts';

export const FULL_QUEUES: QueuesBenchmarkOptions = {
  rounds: 5,
  messages: 500_000,
  bodyBytes: 100,
  confirmsOutstanding: 1000,
  prefetch: 500,
  ratesPerSecond: [10_000, 60_000],
  latencySeconds: 10,
  fanoutMessages: 100_000,
  backlogMessages: 10_000_000,
  groupMessages: 500_000,
};

/** Small enough to see in a minute that everything runs. */
export const QUICK_QUEUES: QueuesBenchmarkOptions = {
  ...FULL_QUEUES,
  rounds: 1,
  messages: 20_000,
  latencySeconds: 1,
  fanoutMessages: 5_000,
  backlogMessages: 200_000,
  groupMessages: 20_000,
};

/** By name. */
const PARTS = new Map<string, Part<QueuesBenchmarkOptions>>([
  ['throughput', measureThroughput],
  ['latency', measureLatency],
  ['fanout', measureFanout],
  ['backlog', measureBacklog],
  ['message-groups', measureMessageGroups],
]);

export async function runQueuesBenchmark(options: QueuesBenchmarkOptions, run: RunOptions): Promise<void> {
  const { bodyBytes, confirmsOutstanding, prefetch, rounds } = options;
  const setting =
    'One broker process on a real disk with flush=always, and clients on the same cores, native SDK. Persistent messages of ' +
    `${bodyBytes} bytes, ${thousands(confirmsOutstanding)} confirms outstanding, prefetch ${prefetch}. ` +
    `Medians over ${rounds} rounds, lowest and highest in brackets.`;
  await runParts({ name: 'queues', title: 'Queues benchmark', setting, parts: PARTS }, options, run);
}
