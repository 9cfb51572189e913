/** How long a rebalance takes: from the moment when a member joins, or leaves, until all are stable with what they are to have. */
import type { AssignorName } from '../../client/index.ts';
import { median, say } from '../support/figures.ts';
import type { PartResult } from '../support/parts.ts';
import { type Bench, withBroker } from '../support/with-broker.ts';
import { settled } from './group-view.ts';
import type { GroupsBenchmarkOptions } from './options.ts';
import { GroupWorker } from './worker-process.ts';

const PROCESSES = 4;
const PARTITIONS_PER_MEMBER = 2;
const MEMBERS = [10, 200] as const;
const ASSIGNORS: readonly AssignorName[] = ['cooperative-sticky', 'range'];
/** Members hear of a rebalance with a heartbeat: the default, and one that shows what is left without that wait. */
const HEARTBEATS_MS = [3000, 100] as const;

interface Row {
  readonly members: number;
  readonly assignor: AssignorName;
  readonly heartbeatIntervalMs: number;
  /** All at once, in a group that was empty. */
  readonly formMs: number[];
  readonly joinMs: number[];
  readonly leaveMs: number[];
}

export async function measureRebalances(options: GroupsBenchmarkOptions): Promise<PartResult> {
  const rows: Row[] = [];
  for (const members of MEMBERS) {
    for (const heartbeatIntervalMs of HEARTBEATS_MS) {
      for (const assignor of ASSIGNORS) {
        const row: Row = { members, assignor, heartbeatIntervalMs, formMs: [], joinMs: [], leaveMs: [] };
        rows.push(row);
        await withBroker((bench) => rebalance(bench, row, options.joins));
      }
    }
  }
  const lines = [
    '## Rebalances',
    '',
    `Members in ${PROCESSES} processes, each with a connection of its own, ${PARTITIONS_PER_MEMBER} partitions per member. Times until the group is stable, ` +
      'every member has partitions and none is unassigned; median and highest. Forming a group includes what the broker waits for more members (`group-initial-rebalance-delay-ms`).',
    '',
    '| members | assignor | heartbeat interval | forming | one more joins | one leaves |',
    '|---:|---|---:|---:|---:|---:|',
    ...rows.map(({ members, assignor, heartbeatIntervalMs, formMs, joinMs, leaveMs }) => {
      const times = [formMs, joinMs, leaveMs].map(shown).join(' | ');
      return `| ${members} | ${assignor} | ${heartbeatIntervalMs} ms | ${times} |`;
    }),
    '',
  ];
  return { lines, data: { rebalances: rows } };
}

async function rebalance({ broker, client }: Bench, row: Row, joins: number): Promise<void> {
  const { members, assignor, heartbeatIntervalMs } = row;
  const group = 'rebalances';
  const topic = 'rebalances';
  const partitions = members * PARTITIONS_PER_MEMBER;
  await client.admin().createTopic({ name: topic, partitions });
  const workers = Array.from({ length: PROCESSES }, (_, index) => {
    const share = Math.floor(members / PROCESSES) + (index < members % PROCESSES ? 1 : 0);
    const options = { assignors: [assignor], heartbeatIntervalMs };
    return new GroupWorker({ role: 'take-part', url: broker.nativeUrl, group, topic, members: share, options });
  });
  try {
    await Promise.all(workers.map((worker) => worker.report('ready')));
    const time = async (into: number[], size: number, begin: () => Promise<unknown>): Promise<void> => {
      const startMs = performance.now();
      await begin();
      await settled(client, group, size, partitions);
      into.push(performance.now() - startMs);
    };
    await time(row.formMs, members, async () => {
      for (const worker of workers) worker.send('go');
    });
    for (let join = 0; join < joins; join++) {
      const worker = workers[join % PROCESSES]!;
      await time(row.joinMs, members + 1, () => {
        worker.send('join');
        return worker.report('joins');
      });
      await time(row.leaveMs, members, () => {
        worker.send('leave');
        return worker.report('left');
      });
    }
    say(
      `${members} members, ${assignor}, heartbeats every ${heartbeatIntervalMs} ms: a join takes ${shown(row.joinMs)}`,
    );
  } finally {
    await Promise.all(workers.map((worker) => worker.kill()));
  }
}

function shown(timesMs: readonly number[]): string {
  return `${median(timesMs).toFixed(0)} ms (${Math.max(...timesMs).toFixed(0)})`;
}
