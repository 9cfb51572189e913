/** Consumers of one group on one clock: records and the coordinator are fakes. */
import { onTestFinished } from 'vitest';
import { Consumer } from '../../../client/consumer/consumer.ts';
import type { ConsumerOptions } from '../../../client/consumer/consumer-options.ts';
import type { ConsumerRecord } from '../../../client/consumer/consumer-record.ts';
import { stringSerializer } from '../../../client/serializers.ts';
import { FakeClientClock } from '../../support/fake-client-clock.ts';
import { FakeFetchHost } from '../../support/fake-fetch-host.ts';
import { FakeGroupCoordinator, FakeGroupHost } from '../../support/fake-group-coordinator.ts';

export type TextConsumer = Consumer<string, string>;

export const HEARTBEAT_MS = 100;
export const COMMIT_MS = 1000;

export function setUp(partitions = 2) {
  const clock = new FakeClientClock();
  const coordinator = new FakeGroupCoordinator(clock);
  coordinator.topics.set('t', partitions);
  const logs = new FakeFetchHost(clock).logs;
  const hosts: FakeFetchHost[] = [];
  const consumers: TextConsumer[] = [];
  onTestFinished(async () => {
    for (const consumer of consumers) void consumer.close({ timeoutMs: 0 });
    await clock.advance(60_000);
  });
  const start = (options: ConsumerOptions<string, string> = {}) => {
    const groups = new FakeGroupHost(coordinator);
    const host = new FakeFetchHost(clock, groups);
    host.logs = logs;
    for (let partition = 0; partition < partitions; partition += 1) host.log('t', partition);
    hosts.push(host);
    const consumer: TextConsumer = new Consumer(
      host,
      {
        group: 'g',
        topics: ['t'],
        from: 'earliest',
        heartbeatIntervalMs: HEARTBEAT_MS,
        autoCommitIntervalMs: COMMIT_MS,
        valueDeserializer: stringSerializer,
        keyDeserializer: stringSerializer,
        ...options,
      },
      () => {},
    );
    consumers.push(consumer);
    return { consumer, host, groups };
  };
  const append = async (partition: number, ...values: string[]) => {
    for (const value of values) await hosts[0]!.log('t', partition).append([value]);
    for (const host of hosts) host.wake();
  };
  /** Time for rebalances and fetches, not for a commit. */
  const rest = () => clock.advance(4 * HEARTBEAT_MS);
  /** Reads while time goes on. */
  const poll = async (consumer: TextConsumer, maxRecords = 100) => {
    const records = consumer.poll({ maxRecords, timeoutMs: HEARTBEAT_MS });
    // In small steps: a join takes many turns of the event loop, and no time.
    for (let waitedMs = 0; waitedMs < HEARTBEAT_MS; waitedMs += 10) await clock.advance(10);
    return (await records).map(shown);
  };
  const committed = (partition: number) => coordinator.committed.get(`t-${partition}`)?.offset;
  return { clock, coordinator, start, append, rest, poll, committed };
}

export function shown({ partition, offset, value }: ConsumerRecord<string, string>): string {
  return `${partition}/${offset}=${value}`;
}
