/**
 * One client process of the groups benchmark: takes its task as JSON in argv, tells its parent when it has joined, begins at
 * `go`, and tells what it found. Members are processes of their own, as in life.
 */
import { type Client, type Consumer, type ConsumerOptions, connect } from '../../client/index.ts';
import { type LatencyResult, newHistogram, record, summary } from '../support/latencies.ts';

interface Group {
  readonly url: string;
  readonly group: string;
  readonly topic: string;
}

export type GroupTask =
  /** One member; consumes all that its partitions have. */
  | (Group & { readonly role: 'consume'; readonly recordsPerPartition: number })
  /** One member per entry of `groups`, each with a connection of its own; each commits one offset after the other. */
  | {
      readonly role: 'commit';
      readonly url: string;
      readonly topic: string;
      readonly groups: readonly string[];
      readonly seconds: number;
    }
  /** Members that only take part in rebalances, each with a connection of its own. One more joins and leaves on demand. */
  | (Group & {
      readonly role: 'take-part';
      readonly members: number;
      readonly options: Pick<ConsumerOptions, 'assignors' | 'heartbeatIntervalMs'>;
    });

export type GroupCommand = 'go' | 'join' | 'leave';

export interface CommitResult extends LatencyResult {
  readonly seconds: number;
}

export type GroupReport =
  | { readonly kind: 'ready' }
  | { readonly kind: 'consumed'; readonly records: number }
  | { readonly kind: 'committed'; readonly result: CommitResult }
  | { readonly kind: 'joins' | 'left' };

const CONNECT = { connectWaitMs: 10_000 };

const task = JSON.parse(process.argv[2]!) as GroupTask;
switch (task.role) {
  case 'consume':
    await consume(task);
    break;
  case 'commit':
    await commit(task);
    break;
  case 'take-part':
    await takePart(task);
}

function tell(report: GroupReport): void {
  process.send!(report);
}

function told(command: GroupCommand): Promise<void> {
  return new Promise((resolve) => {
    const onMessage = (message: unknown): void => {
      if (message !== command) return;
      process.off('message', onMessage);
      resolve();
    };
    process.on('message', onMessage);
  });
}

async function consume({ url, group, topic, recordsPerPartition }: GroupTask & { role: 'consume' }): Promise<void> {
  const client = await connect(url, CONNECT);
  const consumer = client.consumer({ group, topics: [topic], from: 'earliest' });
  tell({ kind: 'ready' });
  await told('go');
  const wanted = consumer.assignment.length * recordsPerPartition;
  let records = 0;
  for await (const batch of consumer.batches()) {
    records += batch.records.length;
    if (records >= wanted) break;
  }
  tell({ kind: 'consumed', records });
  await client.close();
  process.disconnect();
}

async function commit({ url, topic, groups, seconds }: GroupTask & { role: 'commit' }): Promise<void> {
  const clients = await Promise.all(groups.map(() => connect(url, CONNECT)));
  const consumers = await Promise.all(groups.map((group, index) => joined(clients[index]!, group, topic)));
  tell({ kind: 'ready' });
  await told('go');
  const histogram = newHistogram();
  const startMs = performance.now();
  const endMs = startMs + seconds * 1000;
  const lane = async (consumer: Consumer): Promise<void> => {
    const { topic: name, partition } = consumer.assignment[0]!;
    for (let offset = 0, nowMs = startMs; nowMs < endMs; offset += 1) {
      await consumer.commit([{ topic: name, partition, offset }]);
      const doneMs = performance.now();
      record(histogram, doneMs - nowMs);
      nowMs = doneMs;
    }
  };
  await Promise.all(consumers.map(lane));
  const took = (performance.now() - startMs) / 1000;
  tell({ kind: 'committed', result: { ...summary(histogram), seconds: took } });
  await Promise.all(clients.map((client) => client.close()));
  process.disconnect();
}

/** Resolves when it has partitions: members of one group come at once, in one generation. */
function joined(client: Client, group: string, topic: string): Promise<Consumer> {
  return new Promise((resolve) => {
    const consumer: Consumer = client.consumer({
      group,
      topics: [topic],
      autoCommit: false,
      onAssigned: () => resolve(consumer),
    });
  });
}

async function takePart({ url, group, topic, members, options }: GroupTask & { role: 'take-part' }): Promise<void> {
  const start = (client: Client) => client.consumer({ group, topics: [topic], autoCommit: false, ...options });
  const clients = await Promise.all(Array.from({ length: members + 1 }, () => connect(url, CONNECT)));
  const spare = clients.pop()!;
  tell({ kind: 'ready' });
  await told('go');
  for (const client of clients) start(client);
  for (;;) {
    await told('join');
    const consumer = start(spare);
    tell({ kind: 'joins' });
    await told('leave');
    await consumer.close();
    tell({ kind: 'left' });
  }
}
