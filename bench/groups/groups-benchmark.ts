/** `npm run bench -- groups`: what consumer groups do on this machine, part by part. Writes a dated report. */
import os from 'node:os';
import { machineFacts } from '../support/machine.ts';
import { machineLine, writeReport } from '../support/report.ts';
import { measureCommits } from './commits.ts';
import type { GroupsBenchmarkOptions, Part } from './part.ts';
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
const PARTS: ReadonlyMap<string, Part> = new Map([
  ['throughput', measureThroughput],
  ['commits', measureCommits],
  ['rebalances', measureRebalances],
  ['push', measurePush],
]);

/**
 * `note` goes into the report: what else this machine was doing, say. With `only` it is a report of that part alone, under a name of
 * its own.
 */
export async function runGroupsBenchmark(
  options: GroupsBenchmarkOptions,
  { note, only }: { note?: string | undefined; only?: string | undefined },
): Promise<void> {
  const parts = [...PARTS].filter(([name]) => only === undefined || name === only);
  if (parts.length === 0) throw new Error(`there is no part ${only}: choose ${[...PARTS.keys()].join(', ')}`);
  const facts = machineFacts(os.tmpdir());
  const day = new Date().toISOString().slice(0, 10);
  const lines = [
    `# Groups benchmark, ${day}`,
    '',
    machineLine(facts),
    '',
    `One broker process and the members' processes on the same cores, native SDK. Medians over ${options.rounds} rounds, lowest and highest in brackets.`,
    '',
    ...(note === undefined ? [] : [note, '']),
  ];
  let data = {};
  for (const [, part] of parts) {
    const result = await part(options);
    lines.push(...result.lines);
    data = { ...data, ...result.data };
  }
  writeReport({
    bench: only === undefined ? 'groups' : `groups-${only}`,
    day,
    facts,
    lines,
    data: { options, note, ...data },
  });
}
