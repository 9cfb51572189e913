/**
 * Consumer groups of clients that nobody here wrote, and kafkajs' admin of groups. What they must keep: every record is seen, a
 * member that was killed is replaced from the last commit, and groups outlive the broker's restart. Groups of mixed
 * members stand in `mixed-group.test.ts`.
 */
import { Kafka, logLevel } from 'kafkajs';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { startBroker } from '../../../broker/index.ts';
import { FOREIGN_MEMBERS } from '../../support/foreign-members.ts';
import { SESSION_TIMEOUT_MS, startBedToKill, startGroupBed } from '../../support/group-bed.ts';

const RECORDS = 600;

describe.each(FOREIGN_MEMBERS)('$name', { timeout: 60_000 }, (kind) => {
  const assignor = kind.assignors[0]!;

  test.skipIf('missing' in kind.client)('shares a topic among members that come and go, and commits', async () => {
    const bed = await startGroupBed();
    const first = bed.startForeign(kind, assignor);
    await bed.shares({ [kind.clientId]: [6] });
    bed.startForeign(kind, assignor);
    bed.startForeign(kind, assignor);
    await bed.shares({ [kind.clientId]: [2, 2, 2] });
    await bed.produce(RECORDS);
    await bed.allSeen();
    first.kill('SIGTERM');
    await bed.shares({ [kind.clientId]: [3, 3] });
    await bed.produce(RECORDS);
    await bed.allSeen();
    await bed.allCommitted();
  });

  test.skipIf('missing' in kind.client)('killed with -9, leaves its partitions to another in time', async () => {
    const bed = await startGroupBed();
    bed.startForeign(kind, assignor);
    await bed.shares({ [kind.clientId]: [6] });
    const doomed = bed.startForeign(kind, assignor);
    await bed.shares({ [kind.clientId]: [3, 3] });
    await bed.produce(RECORDS);
    await bed.allSeen();
    await bed.allCommitted();
    const killedMs = performance.now();
    doomed.kill('SIGKILL');
    await bed.produce(RECORDS);
    await bed.allSeen();
    // The session timeout, and a rebalance of whoever is left; far below any default timeout.
    expect(performance.now() - killedMs).toBeLessThan(SESSION_TIMEOUT_MS + 8000);
    await bed.shares({ [kind.clientId]: [6] });
    expect(new Set(bed.seen.values())).toEqual(new Set([1]));
  });

  test.skipIf('missing' in kind.client)('goes on where it was when the broker was killed', async () => {
    const { bed, kill, startAgain } = await startBedToKill();
    const first = bed.startForeign(kind, assignor);
    await bed.shares({ [kind.clientId]: [6] });
    await bed.produce(RECORDS);
    await bed.allSeen();
    await bed.allCommitted();
    await kill();
    if (!kind.outlivesBroker) await new Promise((resolve) => first.once('exit', resolve));
    await startAgain();
    if (!kind.outlivesBroker) bed.startForeign(kind, assignor);
    await bed.produce(RECORDS);
    await bed.allSeen();
    await bed.allCommitted();
    expect(new Set(bed.seen.values())).toEqual(new Set([1]));
  });
});

describe("kafkajs' admin", { timeout: 60_000 }, () => {
  const PARTITIONS = 4;
  const WAIT = { timeout: 30_000, interval: 50 };

  async function setUp() {
    const broker = await startBroker({ storage: 'memory', groupInitialRebalanceDelayMs: 0 });
    onTestFinished(() => broker.close());
    // It also repeats what no repetition mends.
    const retry = { initialRetryTime: 10, maxRetryTime: 200, retries: 8 };
    const kafka = new Kafka({ brokers: [broker.addresses.kafka!], logLevel: logLevel.NOTHING, retry });
    const admin = kafka.admin();
    await admin.connect();
    onTestFinished(() => admin.disconnect());
    await admin.createTopics({ topics: [{ topic: 't', numPartitions: PARTITIONS }] });
    const producer = kafka.producer();
    await producer.connect();
    onTestFinished(() => producer.disconnect());
    const messages = Array.from({ length: 40 }, (_, index) => ({
      value: String(index),
      partition: index % PARTITIONS,
      timestamp: String(1_000_000 + index),
    }));
    await producer.send({ topic: 't', messages });
    const seen = new Set<string>();
    const startConsumer = async () => {
      const consumer = kafka.consumer({ groupId: 'g', heartbeatInterval: 200, maxWaitTimeInMs: 200 });
      await consumer.connect();
      onTestFinished(() => consumer.disconnect().catch(() => {}));
      await consumer.subscribe({ topic: 't', fromBeginning: true });
      await consumer.run({
        autoCommitInterval: 100,
        eachMessage: async ({ message }) => void seen.add(message.value!.toString()),
      });
      return consumer;
    };
    const committed = async (groupId = 'g'): Promise<number[]> => {
      const [topic] = await admin.fetchOffsets({ groupId, topics: ['t'] });
      return topic!.partitions.sort((a, b) => a.partition - b.partition).map(({ offset }) => Number(offset));
    };
    return { admin, seen, startConsumer, committed };
  }

  test('lists, describes, resets and deletes groups, which an active group refuses', async () => {
    const { admin, seen, startConsumer, committed } = await setUp();
    const consumer = await startConsumer();
    await vi.waitFor(async () => expect(await committed()).toEqual([10, 10, 10, 10]), WAIT);
    expect((await admin.listGroups()).groups).toEqual([{ groupId: 'g', protocolType: 'consumer' }]);
    const { groups } = await admin.describeGroups(['g']);
    expect(groups[0]).toMatchObject({ groupId: 'g', state: 'Stable', protocolType: 'consumer' });
    expect(groups[0]!.members[0]).toMatchObject({ clientId: 'kafkajs', clientHost: '/127.0.0.1' });
    await expect(admin.resetOffsets({ groupId: 'g', topic: 't', earliest: true })).rejects.toThrow();
    await expect(
      admin.setOffsets({ groupId: 'g', topic: 't', partitions: [{ partition: 0, offset: '1' }] }),
    ).rejects.toThrow();
    await expect(admin.deleteGroups(['g'])).rejects.toThrow();
    expect(await committed()).toEqual([10, 10, 10, 10]);

    await consumer.disconnect();
    await admin.setOffsets({ groupId: 'g', topic: 't', partitions: [{ partition: 2, offset: '3' }] });
    expect(await committed()).toEqual([10, 10, 3, 10]);
    await admin.resetOffsets({ groupId: 'g', topic: 't', earliest: true });
    seen.clear();
    const again = await startConsumer();
    await vi.waitFor(() => expect(seen.size).toBe(40), WAIT);
    await again.disconnect();
    await admin.deleteGroups(['g']);
    expect((await admin.listGroups()).groups).toEqual([]);
    expect(await committed()).toEqual([-1, -1, -1, -1]);
  });

  test('resets a group to the end, and to a time', async () => {
    const { admin, seen, startConsumer, committed } = await setUp();
    // kafkajs commits -1: consumers begin behind the last record.
    await admin.resetOffsets({ groupId: 'g', topic: 't', earliest: false });
    expect(await committed()).toEqual([-1, -1, -1, -1]);
    expect((await admin.fetchOffsets({ groupId: 'g', topics: ['t'], resolveOffsets: true }))[0]!.partitions).toEqual(
      expect.arrayContaining([expect.objectContaining({ partition: 0, offset: '10' })]),
    );
    const partitions = await admin.fetchTopicOffsetsByTimestamp('t', 1_000_036);
    await admin.setOffsets({ groupId: 'g', topic: 't', partitions });
    expect(await committed()).toEqual([9, 9, 9, 9]);
    await startConsumer();
    await vi.waitFor(async () => expect(await committed()).toEqual([10, 10, 10, 10]), WAIT);
    expect([...seen].sort()).toEqual(['36', '37', '38', '39']);
  });

  test('describes and deletes several groups at once, and says which there are not', async () => {
    const { admin, committed } = await setUp();
    const partitions = [{ partition: 1, offset: '5' }];
    for (const groupId of ['a', 'b']) await admin.setOffsets({ groupId, topic: 't', partitions });
    const { groups } = await admin.describeGroups(['a', 'b', 'none']);
    expect(groups.map(({ groupId, state }) => [groupId, state])).toEqual([
      ['a', 'Empty'],
      ['b', 'Empty'],
      ['none', 'Dead'],
    ]);
    const error = await admin.deleteGroups(['a', 'none']).catch((thrown: { groups: unknown }) => thrown);
    expect(error).toMatchObject({ groups: [{ groupId: 'none', error: { type: 'GROUP_ID_NOT_FOUND' } }] });
    expect((await admin.listGroups()).groups.map(({ groupId }) => groupId)).toEqual(['b']);
    expect(await committed('b')).toEqual([-1, 5, -1, -1]);
  });
});
