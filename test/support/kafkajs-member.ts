/** kafkajs as a member of a group: prints `partition/offset` of each record; SIGTERM makes it leave. */
import { Kafka, logLevel } from 'kafkajs';

export interface KafkajsMemberOptions {
  readonly address: string;
  readonly group: string;
  readonly topic: string;
  readonly sessionTimeoutMs: number;
  readonly heartbeatIntervalMs: number;
  readonly commitIntervalMs: number;
}

const { address, group, topic, sessionTimeoutMs, heartbeatIntervalMs, commitIntervalMs } = JSON.parse(
  process.argv[2]!,
) as KafkajsMemberOptions;

const kafka = new Kafka({
  brokers: [address],
  logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 100 },
});
const consumer = kafka.consumer({
  groupId: group,
  sessionTimeout: sessionTimeoutMs,
  heartbeatInterval: heartbeatIntervalMs,
  // It takes part in a rebalance only between its fetches.
  maxWaitTimeInMs: 100,
});
await consumer.connect();
await consumer.subscribe({ topic, fromBeginning: true });
await consumer.run({
  autoCommitInterval: commitIntervalMs,
  eachMessage: async ({ partition, message }) => void process.stdout.write(`${partition}/${message.offset}\n`),
});
process.once('SIGTERM', () => {
  consumer.disconnect().then(
    () => process.exit(0),
    () => process.exit(1),
  );
});
