import { expect, onTestFinished, test, vi } from 'vitest';
import { connect } from '../../../client/index.ts';
import { FakeNativeServer } from '../../support/fake-native-server.ts';

const REQUEST_TIMEOUT_MS = 100;

/** A coordinator that never answers a join. `isDead`: nor anything else that comes over the same connection. */
async function startJoining(isDead: () => boolean) {
  const server = await FakeNativeServer.start();
  const asked = { joins: 0, coordinators: 0 };
  server.onRequest = (request) => {
    if (request.name === 'joinGroup') asked.joins += 1;
    if (isDead() && asked.joins > 0 && server.helloCount === 1) return;
    if (request.name === 'findCoordinator') {
      asked.coordinators += 1;
      request.answer('findCoordinator', { nodeId: 1 });
    }
    if (request.name === 'metadata') {
      const brokers = [{ nodeId: 1, host: '127.0.0.1', port: server.port, rack: null }];
      const partition = { partition: 0, leader: 1, leaderEpoch: 0, replicas: [1], inSyncReplicas: [1] };
      const topic = { errorNumber: 0, name: 't', topicId: null, internal: false, partitions: [partition] };
      request.answer('metadata', { clusterId: 'fake-cluster', controllerId: 1, brokers, topics: [topic] });
    }
  };
  const client = await connect(server.url, {
    requestTimeoutMs: REQUEST_TIMEOUT_MS,
    reconnectBackoff: { initialMs: 5, maxMs: 20 },
  });
  onTestFinished(() => client.close({ timeoutMs: 0 }));
  client.consumer({ group: 'g', topics: ['t'], maxPollIntervalMs: 300_000 });
  return { server, asked };
}

test('a join whose coordinator is gone without a word is repeated long before the rebalance timeout', async () => {
  const { server, asked } = await startJoining(() => true);
  await vi.waitFor(() => expect(asked.joins).toBe(2), { timeout: 10_000 });
  expect(server.helloCount).toBe(2);
});

test('a join whose coordinator answers all else goes on waiting', async () => {
  const { server, asked } = await startJoining(() => false);
  await vi.waitFor(() => expect(asked.joins).toBe(1), { timeout: 10_000 });
  const before = asked.coordinators;
  await vi.waitFor(() => expect(asked.coordinators).toBeGreaterThanOrEqual(before + 3), { timeout: 10_000 });
  expect([asked.joins, server.helloCount]).toEqual([1, 1]);
});
