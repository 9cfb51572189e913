import { expect, it } from 'vitest';
import { kafkajsAdapter, kafkajsClient } from './clients/kafkajs.ts';
import { runScenarios } from './run-scenarios.ts';

runScenarios(
  'kafkajs',
  undefined,
  () => kafkajsAdapter,
  (target) => {
    it('administers topics, partitions, settings and records', async () => {
      const admin = kafkajsClient(target()).admin();
      await admin.connect();
      try {
        const topic = 'administered';
        const retention = [{ name: 'retention.ms', value: '1000' }];
        expect(await admin.createTopics({ topics: [{ topic, numPartitions: 2, configEntries: retention }] })).toBe(
          true,
        );
        expect(await admin.createTopics({ topics: [{ topic }] })).toBe(false);
        await admin.createPartitions({ topicPartitions: [{ topic, count: 5 }] });
        const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
        expect(topics[0]!.partitions.map(({ partitionId }) => partitionId).sort()).toEqual([0, 1, 2, 3, 4]);
        const describe = async () => {
          const described = await admin.describeConfigs({
            includeSynonyms: false,
            resources: [{ type: 2, name: topic }],
          });
          return described.resources[0]!.configEntries.find(({ configName }) => configName === 'retention.ms');
        };
        expect(await describe()).toMatchObject({ configValue: '1000', isDefault: false });
        await admin.alterConfigs({ validateOnly: false, resources: [{ type: 2, name: topic, configEntries: [] }] });
        expect(await describe()).toMatchObject({ isDefault: true });
        const messages = Array.from({ length: 3 }, (_, index) => ({ key: null, value: `v${index}`, headers: [] }));
        await kafkajsAdapter.produce(target(), { topic, partition: 0, messages });
        await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '3' }] });
        const offsets = await admin.fetchTopicOffsets(topic);
        expect(offsets.find(({ partition }) => partition === 0)).toMatchObject({ low: '3', high: '3' });
        await admin.deleteTopics({ topics: [topic] });
        expect(await admin.listTopics()).not.toContain(topic);
        expect(await admin.describeCluster()).toMatchObject({
          brokers: [{ nodeId: 1, port: target().port }],
          controller: 1,
        });
      } finally {
        await admin.disconnect();
      }
    });
  },
);
