import { describe, expect, it } from 'vitest';
import { testBatch } from '../../support/batches.ts';
import { KAFKA } from '../../support/kafka-apis.ts';
import { NO_ID, produceRequest, start, UNKNOWN_ID, versions } from './api-test-bed.ts';

describe('CreateTopics, CreatePartitions and DeleteTopics', () => {
  const topic = (name: string, more: object = {}) => ({
    name,
    numPartitions: 2,
    replicationFactor: 1,
    assignments: [],
    configs: [],
    ...more,
  });

  it.each(versions(KAFKA.createTopics))('creates in version %i', async (version) => {
    const { client, service } = await start();
    const configs = [{ name: 'retention.ms', value: '5000' }];
    const { topics } = await client.call(KAFKA.createTopics, version, { topics: [topic('t', { configs })] });
    expect(topics).toMatchObject([{ name: 't', errorCode: 0, errorMessage: null }]);
    if (version >= 5) {
      expect(topics[0]).toMatchObject({ numPartitions: 2, replicationFactor: 1 });
      expect(topics[0]!.configs).toContainEqual({
        name: 'retention.ms',
        value: '5000',
        readOnly: false,
        configSource: 1,
        isSensitive: false,
      });
    }
    if (version >= 7) expect(topics[0]!.topicId).toEqual(service.describeTopic('t')!.topicId);
    expect(service.describeTopic('t')!.partitions).toHaveLength(2);
  });

  it.each([
    ['a name that exists', topic('there'), 36],
    ['a bad name', topic('a/b'), 17],
    ['no partitions', topic('t', { numPartitions: 0 }), 37],
    ['too many partitions', topic('t', { numPartitions: 1_000_000 }), 37],
    ['too many replicas', topic('t', { replicationFactor: 3 }), 38],
    ['an unknown setting', topic('t', { configs: [{ name: 'nope', value: '1' }] }), 40],
    ['a setting without value', topic('t', { configs: [{ name: 'retention.ms', value: null }] }), 40],
    ['a bad value', topic('t', { configs: [{ name: 'retention.ms', value: 'soon' }] }), 40],
    ['numbers beside assignments', topic('t', { assignments: [{ partitionIndex: 0, brokerIds: [1] }] }), 42],
    [
      'a hole in the assignments',
      topic('t', { numPartitions: -1, replicationFactor: -1, assignments: [{ partitionIndex: 1, brokerIds: [1] }] }),
      42,
    ],
  ])('refuses %s with a text', async (_, asked, errorCode) => {
    const { client, createTopic, service } = await start();
    await createTopic('there');
    const { topics } = await client.call(KAFKA.createTopics, 7, { topics: [asked] });
    expect(topics).toMatchObject([{ errorCode, configs: null, topicId: NO_ID }]);
    expect(topics[0]!.errorMessage).toBeTruthy();
    expect(service.topicNames()).toEqual(['there']);
  });

  it('takes defaults, assignments, repeated names and validation for what they are', async () => {
    const { client, service } = await start({ defaultPartitions: 6 });
    const assignments = [1, 0].map((partitionIndex) => ({ partitionIndex, brokerIds: [1] }));
    const topics = [
      topic('defaults', { numPartitions: -1, replicationFactor: -1 }),
      topic('assigned', { numPartitions: -1, replicationFactor: -1, assignments }),
      topic('twice'),
      topic('twice'),
    ];
    const checked = await client.call(KAFKA.createTopics, 7, { topics, validateOnly: true });
    expect(checked.topics.map(({ errorCode }) => errorCode)).toEqual([0, 0, 42, 42]);
    expect(service.topicNames()).toEqual([]);
    const created = await client.call(KAFKA.createTopics, 7, { topics });
    expect(created.topics.map(({ numPartitions }) => numPartitions)).toEqual([6, 2, -1, -1]);
    expect(service.topicNames()).toEqual(['assigned', 'defaults']);
  });

  it.each(versions(KAFKA.createPartitions))('raises the number of partitions in version %i', async (version) => {
    const { client, createTopic, service } = await start();
    await createTopic('t');
    const raise = async (count: number, more: object = {}) => {
      const topics = [{ name: 't', count, assignments: null, ...more }];
      return (await client.call(KAFKA.createPartitions, version, { topics, timeoutMs: 1, validateOnly: false }))
        .results;
    };
    expect(await raise(3)).toMatchObject([{ name: 't', errorCode: 0, errorMessage: null }]);
    expect(service.describeTopic('t')!.partitions).toHaveLength(3);
    expect(await raise(2)).toMatchObject([{ errorCode: 37 }]);
    expect(await raise(5, { assignments: [{ brokerIds: [1] }] })).toMatchObject([{ errorCode: 42 }]);
    expect(await raise(5, { name: 'nope' })).toMatchObject([{ errorCode: 3 }]);
    expect(service.describeTopic('t')!.partitions).toHaveLength(3);
  });

  it.each(versions(KAFKA.deleteTopics))('deletes in version %i', async (version) => {
    const { client, createTopic, service } = await start();
    const { topicId } = await createTopic('t');
    await createTopic('u');
    const remove = async (name: string) => {
      const named = version >= 6 ? { topics: [{ name, topicId: NO_ID }] } : { topicNames: [name] };
      return (await client.call(KAFKA.deleteTopics, version, { timeoutMs: 1, ...named })).responses;
    };
    expect(await remove('u')).toMatchObject([{ name: 'u', errorCode: 0 }]);
    expect(await remove('u')).toMatchObject([{ name: 'u', errorCode: 3 }]);
    if (version >= 6) {
      const byId = (id: Buffer, name: string | null = null) =>
        client.call(KAFKA.deleteTopics, version, { topics: [{ name, topicId: id }], timeoutMs: 1 });
      expect((await byId(UNKNOWN_ID)).responses).toMatchObject([{ name: null, errorCode: 100 }]);
      expect((await byId(topicId, 't')).responses).toMatchObject([{ errorCode: 42 }]);
      expect((await byId(topicId)).responses).toMatchObject([{ name: 't', topicId, errorCode: 0 }]);
      expect(service.topicNames()).toEqual([]);
    }
  });
});

describe('settings', () => {
  const TOPIC = 2;
  const BROKER = 4;

  it.each(versions(KAFKA.describeConfigs))('describes them in version %i', async (version) => {
    const { client, createTopic } = await start();
    await createTopic('t', 1, new Map([['retention.ms', '7']]));
    const describeIt = async (resourceType: number, resourceName: string, configurationKeys: string[] | null) => {
      const resources = [{ resourceType, resourceName, configurationKeys }];
      const asked = { resources, includeSynonyms: true, includeDocumentation: true };
      return (await client.call(KAFKA.describeConfigs, version, asked)).results[0]!;
    };
    const { errorCode, configs } = await describeIt(TOPIC, 't', ['retention.ms', 'cleanup.policy', 'nope']);
    expect(errorCode).toBe(0);
    const byName = new Map(configs.map((config) => [config.name, config]));
    expect([...byName.keys()].sort()).toEqual(['cleanup.policy', 'retention.ms']);
    const changed = byName.get('retention.ms')!;
    expect(changed).toMatchObject({ value: '7', readOnly: false, isSensitive: false, isDefault: false });
    if (version >= 1) {
      expect([changed.configSource, byName.get('cleanup.policy')!.configSource]).toEqual([1, 5]);
      expect(changed.synonyms).toEqual([{ name: 'retention.ms', value: '7', source: 1 }]);
    } else expect(byName.get('cleanup.policy')!.isDefault).toBe(true);
    if (version >= 3) {
      expect([changed.configType, byName.get('cleanup.policy')!.configType]).toEqual([5, 7]);
      expect(changed.documentation).toContain('retention.ms');
    }
    expect((await describeIt(TOPIC, 't', null)).configs.length).toBeGreaterThan(5);
    expect((await describeIt(BROKER, '1', null)).configs).toMatchObject([{ name: 'num.partitions', readOnly: true }]);
    expect(await describeIt(BROKER, '2', null)).toMatchObject({ errorCode: 42, configs: [] });
    expect(await describeIt(TOPIC, 'nope', null)).toMatchObject({ errorCode: 3 });
    expect(await describeIt(99, 't', null)).toMatchObject({ errorCode: 42 });
  });

  it.each(versions(KAFKA.alterConfigs))('replaces all of a topic’s with AlterConfigs %i', async (version) => {
    const { client, createTopic, service } = await start();
    await createTopic(
      't',
      1,
      new Map([
        ['retention.ms', '7'],
        ['segment.bytes', '99'],
      ]),
    );
    const alter = async (resourceType: number, value: string) => {
      const resources = [{ resourceType, resourceName: 't', configs: [{ name: 'retention.ms', value }] }];
      return (await client.call(KAFKA.alterConfigs, version, { resources, validateOnly: false })).responses[0];
    };
    expect(await alter(TOPIC, '8')).toMatchObject({ errorCode: 0, errorMessage: null, resourceName: 't' });
    const changed = service.describeTopicConfigs('t').filter(({ isDefault }) => !isDefault);
    expect(changed).toMatchObject([{ key: 'retention.ms', value: '8' }]);
    expect(await alter(TOPIC, 'soon')).toMatchObject({ errorCode: 40 });
    expect(await alter(BROKER, '8')).toMatchObject({ errorCode: 42 });
  });

  it.each(versions(KAFKA.incrementalAlterConfigs))(
    'changes single ones with IncrementalAlterConfigs %i',
    async (version) => {
      const { client, createTopic, service } = await start();
      await createTopic(
        't',
        1,
        new Map([
          ['retention.ms', '7'],
          ['segment.bytes', '99'],
        ]),
      );
      const value = (key: string) => service.describeTopicConfigs('t').find((entry) => entry.key === key)!.value;
      const alter = async (
        ...changes: Array<readonly [name: string, configOperation: number, value: string | null]>
      ) => {
        const configs = changes.map(([name, configOperation, to]) => ({ name, configOperation, value: to }));
        const resources = [{ resourceType: TOPIC, resourceName: 't', configs }];
        return (await client.call(KAFKA.incrementalAlterConfigs, version, { resources, validateOnly: false }))
          .responses[0]!.errorCode;
      };
      expect(await alter(['retention.ms', 0, '8'], ['segment.bytes', 1, null], ['cleanup.policy', 2, 'compact'])).toBe(
        0,
      );
      expect([value('retention.ms'), value('segment.bytes')]).toEqual(['8', '1073741824']);
      expect(value('cleanup.policy')).toBe('delete,compact');
      expect(await alter(['cleanup.policy', 3, 'delete'])).toBe(0);
      expect(value('cleanup.policy')).toBe('compact');
      expect(await alter(['retention.ms', 2, '8'])).toBe(40);
      expect(await alter(['retention.ms', 0, null])).toBe(40);
      expect(await alter(['cleanup.policy', 9, 'x'])).toBe(42);
      expect(await alter(['retention.ms', 0, '1'], ['retention.ms', 0, '2'])).toBe(42);
      expect(value('retention.ms')).toBe('8');
    },
  );
});

describe('DeleteRecords, OffsetForLeaderEpoch and DescribeCluster', () => {
  it.each(versions(KAFKA.deleteRecords))('raises the log start offset in version %i', async (version) => {
    const { client, createTopic, service } = await start();
    await createTopic('t');
    await client.call(KAFKA.produce, 9, produceRequest('t', testBatch(['a', 'b', 'c'])));
    const remove = async (offset: number, partitionIndex = 0) => {
      const topics = [{ name: 't', partitions: [{ partitionIndex, offset }] }];
      return (await client.call(KAFKA.deleteRecords, version, { topics, timeoutMs: 1 })).topics[0]!.partitions[0];
    };
    expect(await remove(2)).toEqual({ partitionIndex: 0, lowWatermark: 2, errorCode: 0 });
    expect(await remove(-1)).toMatchObject({ lowWatermark: 3 });
    expect(await remove(9)).toMatchObject({ lowWatermark: -1, errorCode: 1 });
    expect(await remove(0, 5)).toMatchObject({ errorCode: 3 });
    expect(service.partitionStatus('t')[0]!.logStartOffset).toBe(3);
  });

  it.each(versions(KAFKA.offsetForLeaderEpoch))('tells where an epoch ended in version %i', async (version) => {
    const { client, createTopic } = await start();
    await createTopic('t');
    await client.call(KAFKA.produce, 9, produceRequest('t', testBatch(['a', 'b', 'c'])));
    const ask = async (partition: number, currentLeaderEpoch: number) => {
      const topics = [{ topic: 't', partitions: [{ partition, currentLeaderEpoch, leaderEpoch: 0 }] }];
      return (await client.call(KAFKA.offsetForLeaderEpoch, version, { topics })).topics[0]!.partitions[0];
    };
    expect(await ask(0, -1)).toEqual({ errorCode: 0, partition: 0, leaderEpoch: 0, endOffset: 3 });
    expect(await ask(0, 5)).toMatchObject({ errorCode: 75, endOffset: -1 });
    expect(await ask(4, -1)).toMatchObject({ errorCode: 3, partition: 4 });
  });

  it.each(versions(KAFKA.describeCluster))('describes the cluster in version %i', async (version) => {
    const { client, port } = await start();
    const ask = (endpointType: number) =>
      client.call(KAFKA.describeCluster, version, { includeClusterAuthorizedOperations: true, endpointType });
    const brokers = [{ brokerId: 1, host: '127.0.0.1', port, rack: null }];
    const cluster = { errorCode: 0, clusterId: 'fake-cluster-000000000', controllerId: 1, brokers };
    expect(await ask(1)).toMatchObject(cluster);
    if (version >= 1) expect(await ask(2)).toMatchObject({ errorCode: 42, brokers: [] });
  });
});
