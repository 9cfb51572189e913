/**
 * A member of the native SDK in a process of its own, to be killed: prints `partition/offset` of each record, and commits as
 * it goes, but nothing beyond `commitMax`.
 */
import { type AssignorName, connect } from '../../client/index.ts';

export interface NativeMemberOptions {
  readonly url: string;
  readonly group: string;
  readonly topic: string;
  readonly assignor: AssignorName;
  readonly sessionTimeoutMs: number;
  readonly heartbeatIntervalMs: number;
  readonly commitMax: number;
}

const options = JSON.parse(process.argv[2]!) as NativeMemberOptions;
const { url, group, topic, assignor, sessionTimeoutMs, heartbeatIntervalMs, commitMax } = options;
const client = await connect(url);
const consumer = client.consumer({
  group,
  topics: [topic],
  assignors: [assignor],
  from: 'earliest',
  autoCommit: false,
  sessionTimeoutMs,
  heartbeatIntervalMs,
});
for await (const { partition, offset } of consumer) {
  process.stdout.write(`${partition}/${offset}\n`);
  if (offset < commitMax) await consumer.commit([{ topic, partition, offset: offset + 1 }]);
}
