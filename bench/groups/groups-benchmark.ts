/** `npm run bench -- groups`: what consumer groups do on this machine, part by part. Writes a dated report. */
import { type Part, type RunOptions, runParts } from '../support/parts.ts';
import { measureCommits } from './commits.ts';
import type { GroupsBenchmarkOptions } from './options.ts';
import { measurePush } from './push.ts';
import { measureRebalances } from './rebalances.ts';
import { measureThroughput } from './throughput.ts';

export const FULL_GROUPS: GroupsBenchmarkOptions = {
  rounds: 5,
  records: 4_000_000,
  commitSeconds: 5,
  joins: 5,
  pushRecords: 2_000_000,
  latencySeconds: 15,
};

/** Small enough to see in a minute or two that everything runs. */
export const QUICK_GROUPS: GroupsBenchmarkOptions = {
  rounds: 1,
  records: 400_000,
  commitSeconds: 1,
  joins: 1,
  pushRecords: 500_000,
  latencySeconds: 4,
};

/** By name. */
const PARTS: ReadonlyMap<string, Part<GroupsBenchmarkOptions>> = new Map([
  ['throughput', measureThroughput],
  ['commits', measureCommits],
  ['rebalances', measureRebalances],
  ['push', measurePush],
]);

export async function runGroupsBenchmark(options: GroupsBenchmarkOptions, run: RunOptions): Promise<void> {
  const setting =
    "One broker process and the members' processes on the same cores, native SDK. " +
    `Medians over ${options.rounds} rounds, lowest and highest in brackets.`;
  await runParts({ name: 'groups', title: 'Groups benchmark', setting, parts: PARTS }, options, run);
}
