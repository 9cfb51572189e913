/** Commits of one offset each, the next when the last is acknowledged: of one member, of several, of several groups. */
import { median, say, spread, thousands } from '../support/figures.ts';
import type { PartResult } from '../support/parts.ts';
import { type Bench, withBroker } from '../support/with-broker.ts';
import { settled } from './group-view.ts';
import type { GroupsBenchmarkOptions } from './options.ts';
import type { CommitResult } from './worker.ts';
import { GroupWorker } from './worker-process.ts';

const TOPIC = 'commits';
const PARTITIONS = 16;
const CASES = [
  { groups: 1, membersPerGroup: 1 },
  { groups: 1, membersPerGroup: 16 },
  { groups: 16, membersPerGroup: 1 },
  { groups: 256, membersPerGroup: 1 },
] as const;

interface Row {
  readonly groups: number;
  readonly membersPerGroup: number;
  readonly results: CommitResult[];
}

export async function measureCommits(options: GroupsBenchmarkOptions): Promise<PartResult> {
  const rows = CASES.map((each): Row => ({ ...each, results: [] }));
  await withBroker(async (bench) => {
    await bench.client.admin().createTopic({ name: TOPIC, partitions: PARTITIONS });
    for (let round = 1; round <= options.rounds; round++) {
      for (const row of rows) await commit(bench, row, round, options.commitSeconds);
    }
  });
  const lines = [
    '## Commits',
    '',
    'One process with all members, each with a connection of its own, flush=always. A member commits one offset and waits for the acknowledgment before the next.',
    '',
    '| groups | members of each | commits/s | p50 | p99 |',
    '|---:|---:|---:|---:|---:|',
    ...rows.map(({ groups, membersPerGroup, results }) => {
      const ms = (of: (result: CommitResult) => number): string => `${median(results.map(of)).toFixed(2)} ms`;
      const perSecond = spread(results.map(({ count, seconds }) => count / seconds));
      return `| ${groups} | ${membersPerGroup} | ${perSecond} | ${ms(({ p50Ms }) => p50Ms)} | ${ms(({ p99Ms }) => p99Ms)} |`;
    }),
    '',
  ];
  return { lines, data: { commits: rows } };
}

async function commit({ broker, client }: Bench, row: Row, round: number, seconds: number): Promise<void> {
  const { groups, membersPerGroup } = row;
  const names = Array.from({ length: groups }, (_, index) => `round-${round}-${membersPerGroup}-${groups}-${index}`);
  const members = names.flatMap((name) => Array.from({ length: membersPerGroup }, () => name));
  const worker = new GroupWorker({ role: 'commit', url: broker.nativeUrl, topic: TOPIC, groups: members, seconds });
  try {
    await worker.report('ready');
    for (const name of names) await settled(client, name, membersPerGroup, PARTITIONS);
    worker.send('go');
    const { result } = await worker.report('committed');
    row.results.push(result);
    say(`${groups} groups of ${membersPerGroup}: ${thousands(result.count / result.seconds)} commits/s`);
  } finally {
    await worker.kill();
  }
}
