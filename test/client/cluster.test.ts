import { expect, onTestFinished, test } from 'vitest';
import { type Client, connect, stringSerializer } from '../../client/index.ts';
import { errorRow } from '../../src/errors/table.ts';
import type { ResponseOf } from '../../src/protocol/messages.ts';
import { FakeNativeServer } from '../support/fake-native-server.ts';

/** Two brokers: `events` has one partition, led by the node that `leader` says. */
async function twoNodes() {
  const state = { leader: 1, metadataRequests: 0, known: true };
  const servers = [await FakeNativeServer.start({ nodeId: 1 }), await FakeNativeServer.start({ nodeId: 2 })];
  const metadata = (): ResponseOf<'metadata'> => ({
    clusterId: 'fake-cluster',
    controllerId: 2,
    brokers: servers.map(({ port }, index) => ({ nodeId: index + 1, host: '127.0.0.1', port, rack: null })),
    topics: [
      {
        errorNumber: state.known ? 0 : errorRow('UNKNOWN_TOPIC_OR_PARTITION').number,
        name: 'events',
        topicId: new Uint8Array(16),
        internal: false,
        partitions: [{ partition: 0, leader: state.leader, leaderEpoch: 7, replicas: [1, 2], inSyncReplicas: [1, 2] }],
      },
    ],
  });
  const produced: number[] = [];
  servers.forEach((server, index) => {
    server.onRequest = (request) => {
      if (request.name === 'metadata') {
        state.metadataRequests += 1;
        request.answer('metadata', metadata());
      } else if (request.name === 'initProducerId') {
        request.answer('initProducerId', { producerId: 5, producerEpoch: 0 });
      } else if (request.name === 'produce') {
        const nodeId = index + 1;
        const isLeader = nodeId === state.leader;
        if (isLeader) produced.push(nodeId);
        const partitions = request.as('produce').partitions.map(({ topic, partition }) => ({
          topic,
          partition,
          errorNumber: isLeader ? 0 : errorRow('NOT_LEADER').number,
          message: null,
          baseOffset: isLeader ? produced.length - 1 : -1,
          logAppendTimeMs: -1,
          logStartOffset: 0,
        }));
        request.answer('produce', { partitions });
      }
    };
  });
  const client = await connect(servers[0]!.url, { reconnectBackoff: { initialMs: 5, maxMs: 20 } });
  onTestFinished(() => client.close({ timeoutMs: 0 }));
  return { state, servers, produced, client };
}

function textProducer(client: Client) {
  return client.producer({ valueSerializer: stringSerializer, retryBackoff: { initialMs: 5, maxMs: 20 } });
}

test('records go to the node that leads, and follow it when it changes', async () => {
  const { state, servers, produced, client } = await twoNodes();
  const producer = textProducer(client);
  await producer.send({ topic: 'events', value: 'a' });
  state.leader = 2;
  await producer.send({ topic: 'events', value: 'b' });
  expect(produced).toEqual([1, 2]);
  expect(servers[1]!.helloCount).toBe(1);
  state.leader = 1;
  await producer.send({ topic: 'events', value: 'c' });
  expect(produced).toEqual([1, 2, 1]);
});

test('while nobody leads, records wait, and go on as soon as somebody does', async () => {
  const { state, produced, client } = await twoNodes();
  state.leader = -1;
  const sent = textProducer(client).send({ topic: 'events', value: 'a' });
  while (state.metadataRequests < 3) await new Promise((resolve) => setTimeout(resolve, 1));
  state.leader = 2;
  expect((await sent).offset).toBe(0);
  expect(produced).toEqual([2]);
});

test('what is asked in one turn is asked of the broker once', async () => {
  const { state, client } = await twoNodes();
  const producers = [textProducer(client), textProducer(client), textProducer(client)];
  await Promise.all(producers.map((producer) => producer.send({ topic: 'events', value: 'a' })));
  expect(state.metadataRequests).toBe(1);
});

test('an unknown topic is asked for a few times and then named in the error', async () => {
  const { state, client } = await twoNodes();
  state.known = false;
  await expect(textProducer(client).send({ topic: 'events', value: 'a' })).rejects.toMatchObject({
    code: 'UNKNOWN_TOPIC_OR_PARTITION',
    fields: { topic: 'events' },
  });
  expect(state.metadataRequests).toBeGreaterThan(1);
  expect(state.metadataRequests).toBeLessThan(8);
});

test('when a node dies, its partition goes on at the other one', async () => {
  const { state, servers, produced, client } = await twoNodes();
  const producer = textProducer(client);
  state.leader = 2;
  await producer.send({ topic: 'events', value: 'a' });
  await servers[1]!.close();
  state.leader = 1;
  await producer.send({ topic: 'events', value: 'b' });
  expect(produced).toEqual([2, 1]);
});

test('when the only address given is down, the nodes known from it are asked', async () => {
  const { state, servers, produced, client } = await twoNodes();
  state.leader = 2;
  const producer = textProducer(client);
  await producer.send({ topic: 'events', value: 'a' });
  await servers[0]!.close();
  while (client.connected) await new Promise((resolve) => setTimeout(resolve, 1));
  await textProducer(client).send({ topic: 'events', value: 'b' });
  expect(await client.admin().listTopics()).toEqual(['events']);
  expect(produced).toEqual([2, 2]);
});
