import { describe, expect, it, vi } from 'vitest';
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import { ERROR_TABLE } from '../../../src/errors/table.ts';
import { testBatch } from '../../support/batches.ts';
import { KAFKA } from '../../support/kafka-apis.ts';
import { NO_ID, produceRequest, start, UNKNOWN_ID, versions } from './api-test-bed.ts';

const ALL_OPERATIONS_OF_TOPIC = 0b1101_1111_1000;

describe('ApiVersions', () => {
  it.each(versions(KAFKA.apiVersions))('announces in version %i what the listener has', async (version) => {
    const { client } = await start();
    const response = await client.call(KAFKA.apiVersions, version, {
      clientSoftwareName: 'a',
      clientSoftwareVersion: '1',
    });
    const announced = new Map(response.apiKeys.map((api) => [api.apiKey, api]));
    expect(announced.size).toBe(Object.keys(KAFKA).length);
    // What librdkafka looks for before it uses lz4, zstd, format 2, idempotence; see docs of the handlers.
    expect(announced.get(0)).toMatchObject({ minVersion: 0 });
    expect(announced.get(10)).toMatchObject({ minVersion: 0 });
    expect(announced.get(22)).toMatchObject({ minVersion: 0 });
    expect(announced.get(1)!.minVersion).toBeLessThanOrEqual(4);
    expect(announced.get(1)!.maxVersion).toBeGreaterThanOrEqual(10);
    for (const groupApi of [8, 9, 11, 12, 13, 14]) expect(announced.get(groupApi)).toMatchObject({ minVersion: 0 });
  });
});

describe('Metadata', () => {
  it.each(versions(KAFKA.metadata))('describes brokers and topics in version %i', async (version) => {
    const { client, createTopic, port } = await start();
    const { topicId } = await createTopic('one', 2);
    await createTopic('two');
    const response = await client.call(KAFKA.metadata, version, { topics: [{ name: 'one', topicId: NO_ID }] });
    expect(response.brokers).toEqual([{ nodeId: 1, host: '127.0.0.1', port, rack: null }]);
    if (version >= 1) expect(response.controllerId).toBe(1);
    if (version >= 2) expect(response.clusterId).toBe('fake-cluster-000000000');
    expect(response.topics).toHaveLength(1);
    const [topic] = response.topics;
    expect(topic).toMatchObject({ errorCode: 0, name: 'one', topicId: version >= 10 ? topicId : NO_ID });
    const partition = { errorCode: 0, leaderId: 1, replicaNodes: [1], isrNodes: [1], offlineReplicas: [] };
    expect(topic!.partitions).toMatchObject([
      { ...partition, partitionIndex: 0 },
      { ...partition, partitionIndex: 1 },
    ]);
    expect(topic!.partitions[0]!.leaderEpoch).toBe(version >= 7 ? 0 : -1);
  });

  it('takes null for all topics, and an empty list for all in version 0 and for none later', async () => {
    const { client, createTopic } = await start();
    await createTopic('one');
    await createTopic('two');
    const names = async (version: number, topics: null | []) =>
      (await client.call(KAFKA.metadata, version, { topics })).topics.map(({ name }) => name);
    expect(await names(0, [])).toEqual(['one', 'two']);
    for (const version of versions(KAFKA.metadata, 1)) {
      expect(await names(version, null)).toEqual(['one', 'two']);
      expect(await names(version, [])).toEqual([]);
    }
  });

  it('creates a topic that is asked for, if broker and client allow it', async () => {
    const { client, service } = await start({ defaultPartitions: 3 });
    const ask = (version: number, name: string, allowAutoTopicCreation: boolean) =>
      client.call(KAFKA.metadata, version, { topics: [{ name, topicId: NO_ID }], allowAutoTopicCreation });
    expect((await ask(9, 'refused', false)).topics).toMatchObject([{ errorCode: 3, partitions: [] }]);
    expect(service.topicNames()).toEqual([]);
    expect((await ask(9, 'wanted', true)).topics[0]!.partitions).toHaveLength(3);
    expect((await ask(1, 'always', false)).topics[0]!.partitions).toHaveLength(3);
    const twice = {
      topics: ['twice', 'twice'].map((name) => ({ name, topicId: NO_ID })),
      allowAutoTopicCreation: true,
    };
    expect((await client.call(KAFKA.metadata, 9, twice)).topics.map(({ errorCode }) => errorCode)).toEqual([0, 0]);
    const other = await start({ autoCreateTopics: false });
    const answer = await other.client.call(KAFKA.metadata, 9, { topics: [{ name: 'x', topicId: NO_ID }] });
    expect(answer.topics).toMatchObject([{ errorCode: 3, name: 'x' }]);
  });

  it.each([
    '',
    '.',
    '..',
    '../../etc/passwd',
    'a/b',
    'nul\0',
    'x'.repeat(250),
    'x'.repeat(30_000),
    'tоpic with a Cyrillic о',
    'two words',
    '<script>',
  ])('refuses the topic name %j with its own error', async (name) => {
    const { client, service } = await start();
    const response = await client.call(KAFKA.metadata, 12, { topics: [{ name, topicId: NO_ID }] });
    expect(response.topics).toMatchObject([{ errorCode: 17, name }]);
    expect(service.topicNames()).toEqual([]);
  });

  it('takes names of Object.prototype for what they are: names', async () => {
    const { client, service } = await start();
    const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf'];
    const asked = names.map((name) => ({ name, topicId: NO_ID }));
    const forbidden = await client.call(KAFKA.metadata, 9, { topics: asked, allowAutoTopicCreation: false });
    expect(forbidden.topics.map(({ errorCode }) => errorCode)).toEqual(names.map(() => 3));
    const allowed = await client.call(KAFKA.metadata, 9, { topics: asked });
    expect(allowed.topics.map(({ errorCode }) => errorCode)).toEqual(names.map(() => 0));
    expect([...service.topicNames()].sort()).toEqual([...names].sort());
    const { responses } = await client.call(KAFKA.produce, 9, produceRequest('__proto__', testBatch(['v'])));
    expect(responses[0]!.partitionResponses[0]!.errorCode).toBe(0);
  });

  it('finds topics by id from version 12 on', async () => {
    const { client, createTopic } = await start();
    const { topicId } = await createTopic('one');
    const ask = (version: number, id: Buffer) =>
      client.call(KAFKA.metadata, version, { topics: [{ name: null, topicId: id }] });
    expect((await ask(12, topicId)).topics).toMatchObject([{ errorCode: 0, name: 'one' }]);
    expect((await ask(12, UNKNOWN_ID)).topics).toMatchObject([{ errorCode: 100, name: null, topicId: UNKNOWN_ID }]);
  });

  it('tells authorized operations if asked', async () => {
    const { client, createTopic } = await start();
    await createTopic('one');
    const ask = (included: boolean) =>
      client.call(KAFKA.metadata, 8, {
        topics: null,
        includeTopicAuthorizedOperations: included,
        includeClusterAuthorizedOperations: included,
      });
    expect((await ask(true)).topics[0]!.topicAuthorizedOperations).toBe(ALL_OPERATIONS_OF_TOPIC);
    expect((await ask(false)).topics[0]!.topicAuthorizedOperations).toBe(-0x8000_0000);
    expect((await ask(false)).clusterAuthorizedOperations).toBe(-0x8000_0000);
    expect((await ask(true)).clusterAuthorizedOperations).toBeGreaterThan(0);
  });
});

describe('InitProducerId and FindCoordinator', () => {
  it.each(versions(KAFKA.initProducerId))('gives each producer an id of its own in version %i', async (version) => {
    const { client } = await start();
    const init = (transactionalId: string | null) =>
      client.call(KAFKA.initProducerId, version, { transactionalId, transactionTimeoutMs: 1, producerEpoch: -1 });
    const [first, second] = [await init(null), await init(null)];
    expect(first).toMatchObject({ errorCode: 0, producerEpoch: 0 });
    expect(second.producerId).not.toBe(first.producerId);
    expect(await init('tx')).toMatchObject({ errorCode: 35, producerId: -1 });
  });

  it.each(versions(KAFKA.findCoordinator))('names this broker as the coordinator in version %i', async (version) => {
    const { client, port } = await start();
    const found = { errorCode: 0, nodeId: 1, host: '127.0.0.1', port };
    const response = await client.call(KAFKA.findCoordinator, version, { key: 'g', coordinatorKeys: ['g', 'h'] });
    if (version < 4) expect(response).toMatchObject(found);
    else
      expect(response.coordinators).toMatchObject([
        { key: 'g', ...found },
        { key: 'h', ...found },
      ]);
    if (version >= 1) {
      const unknown = await client.call(KAFKA.findCoordinator, version, {
        key: 'g',
        keyType: 9,
        coordinatorKeys: ['g'],
      });
      expect(version < 4 ? unknown : unknown.coordinators[0]).toMatchObject({ errorCode: 42, nodeId: -1 });
    }
  });
});

describe('errors', () => {
  it.each([...ERROR_TABLE].map(([code, { kafka }]) => ({ code, kafka })))(
    '$code is $kafka to a Kafka client, or closes the connection',
    async ({ code, kafka }) => {
      const { client, createTopic, service } = await start();
      await createTopic('t');
      vi.spyOn(service, 'allocateProducerId').mockRejectedValue(new BurrowError(code));
      const answer = client.call(KAFKA.initProducerId, 1, { transactionalId: null, transactionTimeoutMs: 0 });
      if (kafka === undefined) await expect(answer).rejects.toThrow('closed');
      else expect((await answer).errorCode).toBe(kafka);
    },
  );
});
