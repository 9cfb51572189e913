/**
 * Consumer groups with clients that nobody here wrote: kafkajs and kcat. What
 * they must keep: every record is seen, a member that was killed is replaced from the last commit, and groups outlive the
 * broker's restart. Groups of mixed members stand in `mixed-group.test.ts`.
 */
import type { ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Admin, type Consumer, Kafka, logLevel } from 'kafkajs';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { BrokerProcess } from '../../../bench/support/broker-process.ts';
import { startBroker } from '../../../broker/index.ts';
import { ensureKcat } from '../../support/foreign-clients.ts';
import { startKcatMember } from '../../support/kcat-member.ts';

const kcat = await ensureKcat();

const PARTITIONS = 4;
const TOPIC = 't';
const GROUP = 'g';
/** Short waits: kafkajs takes part in a rebalance only between its fetches. */
const MEMBER = { sessionTimeout: 6000, heartbeatInterval: 200, maxWaitTimeInMs: 200 };
const WAIT = { timeout: 30_000, interval: 50 };

function kafkaAt(address: string): Kafka {
  return new Kafka({ brokers: [address], logLevel: logLevel.NOTHING, retry: { initialRetryTime: 50, retries: 30 } });
}

async function setUp(address: string) {
  const kafka = kafkaAt(address);
  const admin = kafka.admin();
  await admin.connect();
  onTestFinished(() => admin.disconnect());
  await admin.createTopics({ topics: [{ topic: TOPIC, numPartitions: PARTITIONS }] });
  const producer = kafka.producer();
  await producer.connect();
  onTestFinished(() => producer.disconnect());
  let sent = 0;
  const send = async (count: number): Promise<void> => {
    const messages = Array.from({ length: count }, () => ({ value: String(sent), partition: sent++ % PARTITIONS }));
    await producer.send({ topic: TOPIC, messages });
  };
  return { kafka, admin, send };
}

async function startBrokerInMemory() {
  const broker = await startBroker({ storage: 'memory', groupMinSessionTimeoutMs: 500 });
  onTestFinished(() => broker.close());
  return setUp(broker.addresses.kafka!);
}

/** A member that notes what it sees. */
async function startKafkajs(kafka: Kafka, seen: Set<string>): Promise<Consumer> {
  const consumer = kafka.consumer({ groupId: GROUP, ...MEMBER });
  await consumer.connect();
  onTestFinished(() => consumer.disconnect().catch(() => {}));
  await consumer.subscribe({ topic: TOPIC, fromBeginning: true });
  await consumer.run({
    autoCommitInterval: 100,
    eachMessage: async ({ message }) => void seen.add(message.value!.toString()),
  });
  return consumer;
}

function startKcat(address: string, seen: Set<string>): ChildProcess {
  const settings = [
    'auto.offset.reset=earliest',
    'session.timeout.ms=1000',
    'heartbeat.interval.ms=100',
    'auto.commit.interval.ms=100',
  ];
  const { program } = kcat as { program: string };
  const options = { program, address, group: GROUP, topic: TOPIC, format: '%s', settings };
  return startKcatMember(options, (line) => seen.add(line));
}

async function membersOf(admin: Admin): Promise<number> {
  const { groups } = await admin.describeGroups([GROUP]);
  return groups[0]!.state === 'Stable' ? groups[0]!.members.length : -1;
}

async function committed(admin: Admin): Promise<number[]> {
  const [topic] = await admin.fetchOffsets({ groupId: GROUP, topics: [TOPIC] });
  return topic!.partitions.sort((a, b) => a.partition - b.partition).map(({ offset }) => Number(offset));
}

describe('kafkajs', { timeout: 90_000 }, () => {
  test('shares a topic among members that come and go, and commits', async () => {
    const { kafka, admin, send } = await startBrokerInMemory();
    const seen = new Set<string>();
    await send(100);
    const first = await startKafkajs(kafka, seen);
    await vi.waitFor(() => expect(seen.size).toBe(100), WAIT);
    await startKafkajs(kafka, seen);
    await vi.waitFor(async () => expect(await membersOf(admin)).toBe(2), WAIT);
    await send(100);
    await vi.waitFor(() => expect(seen.size).toBe(200), WAIT);
    await first.disconnect();
    await vi.waitFor(async () => expect(await membersOf(admin)).toBe(1), WAIT);
    await send(100);
    await vi.waitFor(() => expect(seen.size).toBe(300), WAIT);
    await vi.waitFor(async () => expect(await committed(admin)).toEqual([75, 75, 75, 75]), WAIT);
  });

  test('lists, describes, resets and deletes groups, which an active group refuses', async () => {
    const { kafka, admin, send } = await startBrokerInMemory();
    const seen = new Set<string>();
    await send(40);
    const consumer = await startKafkajs(kafka, seen);
    await vi.waitFor(async () => expect(await committed(admin)).toEqual([10, 10, 10, 10]), WAIT);
    expect((await admin.listGroups()).groups).toEqual([{ groupId: GROUP, protocolType: 'consumer' }]);
    const { groups } = await admin.describeGroups([GROUP]);
    expect(groups[0]).toMatchObject({ groupId: GROUP, state: 'Stable', protocolType: 'consumer' });
    expect(groups[0]!.members[0]).toMatchObject({ clientId: 'kafkajs', clientHost: '/127.0.0.1' });
    await expect(admin.resetOffsets({ groupId: GROUP, topic: TOPIC, earliest: true })).rejects.toThrow();
    await expect(admin.deleteGroups([GROUP])).rejects.toThrow();

    await consumer.disconnect();
    await admin.setOffsets({ groupId: GROUP, topic: TOPIC, partitions: [{ partition: 2, offset: '3' }] });
    expect(await committed(admin)).toEqual([10, 10, 3, 10]);
    await admin.resetOffsets({ groupId: GROUP, topic: TOPIC, earliest: true });
    seen.clear();
    const again = await startKafkajs(kafka, seen);
    await vi.waitFor(() => expect(seen.size).toBe(40), WAIT);
    await again.disconnect();
    await admin.deleteGroups([GROUP]);
    expect((await admin.listGroups()).groups).toEqual([]);
    expect(await committed(admin)).toEqual([-1, -1, -1, -1]);
  });
});

describe.skipIf('missing' in kcat)('kcat', { timeout: 90_000 }, () => {
  test('killed with -9, leaves its partitions to another within the session timeout', async () => {
    const broker = await startBroker({ storage: 'memory', groupMinSessionTimeoutMs: 500 });
    onTestFinished(() => broker.close());
    const address = broker.addresses.kafka!;
    const { admin, send } = await setUp(address);
    const seen = new Set<string>();
    startKcat(address, seen);
    await vi.waitFor(async () => expect(await membersOf(admin)).toBe(1), WAIT);
    const doomed = startKcat(address, seen);
    await vi.waitFor(async () => expect(await membersOf(admin)).toBe(2), WAIT);
    await send(200);
    await vi.waitFor(() => expect(seen.size).toBe(200), WAIT);
    const killedMs = performance.now();
    doomed.kill('SIGKILL');
    await send(200);
    await vi.waitFor(() => expect(seen.size).toBe(400), WAIT);
    // Session timeout of one second, and a rebalance of whoever is left.
    expect(performance.now() - killedMs).toBeLessThan(10_000);
    expect(await membersOf(admin)).toBe(1);
  });

  test('and kafkajs go on where they were when the broker was killed and started again', async () => {
    const dataDir = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-foreign-groups-'));
    const flags = ['--group-min-session-timeout-ms', '500', '--log-level', 'error'];
    const start = (kafkaPort: number) => BrokerProcess.start({ dataDir, kafkaPort, flags });
    let broker = await start(0);
    onTestFinished(async () => {
      await broker.kill();
      fs.rmSync(dataDir, { recursive: true, force: true });
    });
    const address = broker.kafkaAddress!;
    const { kafka, admin, send } = await setUp(address);
    const byKcat = new Set<string>();
    const first = startKcat(address, byKcat);
    const byKafkajs = new Set<string>();
    const consumer = kafka.consumer({ groupId: 'other', ...MEMBER });
    await consumer.connect();
    onTestFinished(() => consumer.disconnect().catch(() => {}));
    await consumer.subscribe({ topic: TOPIC, fromBeginning: true });
    await consumer.run({ eachMessage: async ({ message }) => void byKafkajs.add(message.value!.toString()) });
    await send(200);
    await vi.waitFor(() => expect([byKcat.size, byKafkajs.size]).toEqual([200, 200]), WAIT);
    await vi.waitFor(async () => expect(await committed(admin)).toEqual([50, 50, 50, 50]), WAIT);
    await broker.kill();
    // kcat gives up when it has lost all brokers; kafkajs waits for one.
    await vi.waitFor(() => expect(first.exitCode).toBe(1), WAIT);
    broker = await start(Number(address.split(':')[1]));
    const byNextKcat = new Set<string>();
    startKcat(address, byNextKcat);
    expect(await committed(admin)).toEqual([50, 50, 50, 50]);
    await send(200);
    await vi.waitFor(() => expect([byNextKcat.size, byKafkajs.size]).toEqual([200, 400]), WAIT);
  });
});
