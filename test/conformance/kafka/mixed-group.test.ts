/** Members of the native SDK and of librdkafka in one group: each leads once, with every assignor that both have. */
import type { ChildProcess } from 'node:child_process';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startBroker } from '../../../broker/index.ts';
import { type AssignorName, type Consumer, connect } from '../../../client/index.ts';
import { ensureKcat } from '../../support/foreign-clients.ts';
import { startKcatMember } from '../../support/kcat-member.ts';

const kcat = await ensureKcat();

const PARTITIONS = 6;
const RECORDS = 600;

async function setUp(assignor: AssignorName) {
  const broker = await startBroker({ storage: 'memory', groupInitialRebalanceDelayMs: 0 });
  onTestFinished(() => broker.close());
  const client = await connect(broker.addresses.native!);
  onTestFinished(() => client.close({ timeoutMs: 1000 }));
  const admin = client.admin();
  await admin.createTopic({ name: 't', partitions: PARTITIONS });

  const seen = new Set<string>();
  const startNative = (): Consumer => {
    const options = { assignors: [assignor], from: 'earliest', heartbeatIntervalMs: 100 } as const;
    const consumer = client.consumer({ group: 'g', topics: ['t'], ...options });
    void (async () => {
      for await (const { partition, offset } of consumer) seen.add(`${partition}/${offset}`);
    })();
    return consumer;
  };
  const startForeign = (): ChildProcess => {
    const settings = [
      `partition.assignment.strategy=${assignor}`,
      'heartbeat.interval.ms=100',
      'auto.offset.reset=earliest',
    ];
    const { program } = kcat as { program: string };
    const address = broker.addresses.kafka!;
    const options = { program, address, group: 'g', topic: 't', format: '%p/%o', settings };
    return startKcatMember(options, (line) => seen.add(line));
  };
  /** By client id, how many partitions each has, once the group has settled on that. */
  const shares = async (expected: Readonly<Record<string, number>>) => {
    let found: Record<string, number> = {};
    for (const giveUpAtMs = performance.now() + 20_000; performance.now() < giveUpAtMs; ) {
      const group = await admin.describeGroup('g').catch(() => undefined);
      const members = group?.state === 'Stable' ? group.members : [];
      found = Object.fromEntries(members.map(({ clientId, assignment }) => [clientId, assignment.length]));
      const isSo = Object.entries(expected).every(([id, count]) => found[id] === count);
      if (isSo && members.length === Object.keys(expected).length) return;
      await pause();
    }
    expect(found).toEqual(expected);
  };
  const produceAndSeeAll = async () => {
    const producer = client.producer();
    const before = seen.size;
    await producer.sendMany(
      Array.from({ length: RECORDS }, (_, index) => ({
        topic: 't',
        partition: index % PARTITIONS,
        value: new Uint8Array(3),
      })),
    );
    for (const giveUpAtMs = performance.now() + 20_000; seen.size < before + RECORDS; await pause()) {
      if (performance.now() > giveUpAtMs) break;
    }
    expect(seen.size - before).toBe(RECORDS);
  };
  return { startNative, startForeign, shares, produceAndSeeAll };
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}

describe.skipIf('missing' in kcat)('in one group with librdkafka', () => {
  test.each(['range', 'roundrobin', 'cooperative-sticky'] as const)('%s: native members lead', async (assignor) => {
    const { startNative, startForeign, shares, produceAndSeeAll } = await setUp(assignor);
    startNative();
    await shares({ burrowmq: 6 });
    const foreign = startForeign();
    await shares({ burrowmq: 3, rdkafka: 3 });
    await produceAndSeeAll();
    foreign.kill('SIGTERM');
    await shares({ burrowmq: 6 });
    await produceAndSeeAll();
  });

  test.each(['range', 'roundrobin', 'cooperative-sticky'] as const)('%s: librdkafka leads', async (assignor) => {
    const { startNative, startForeign, shares, produceAndSeeAll } = await setUp(assignor);
    startForeign();
    await shares({ rdkafka: 6 });
    const native = startNative();
    await shares({ burrowmq: 3, rdkafka: 3 });
    await produceAndSeeAll();
    await native.close();
    await shares({ rdkafka: 6 });
    await produceAndSeeAll();
  });
});
