/**
 * CreateTopics, versions 0–7.
 *
 * - v1 adds error texts and validate-only (KIP-4); v4 lets -1 stand for the broker's defaults (KIP-464): we take it in all.
 * - v5 is flexible and gives back what was created (KIP-525); v6 knows THROTTLING_QUOTA_EXCEEDED (KIP-599);
 *   v7 gives the topic id (KIP-516).
 * - Replicas assigned by hand give the number of partitions and replicas; the broker places them itself.
 */
import { BurrowError } from '../../../../src/errors/burrow-error.ts';
import type { TopicSpecification } from '../../../partitions/broker-service.ts';
import { defineApi, type RequestContext } from '../api.ts';
import { configSource } from '../configs.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { createTopicsRequest, createTopicsResponse } from '../schema/19-create-topics.ts';
import { type Decoded, ZERO_UUID } from '../schema/field.ts';

export const createTopics = defineApi({
  key: 19,
  name: 'CreateTopics',
  request: createTopicsRequest,
  response: createTopicsResponse,
  async handle(request, context) {
    const repeated = repeatedNames(request.topics);
    const topics = request.topics.map((topic) => create(topic, repeated, request.validateOnly, context));
    return { topics: await Promise.all(topics) };
  },
});

type CreatableTopic = Decoded<typeof createTopicsRequest.fields>['topics'][number];

async function create(topic: CreatableTopic, repeated: Set<string>, validateOnly: boolean, context: RequestContext) {
  const { name } = topic;
  const { service } = context;
  try {
    if (repeated.has(name))
      throw new BurrowError('INVALID_ARGUMENT', `The request names topic ${name} more than once.`);
    const created = await service.createTopic(toSpecification(topic), { validateOnly });
    return {
      name,
      topicId: validateOnly ? ZERO_UUID : created.topicId,
      errorCode: NO_ERROR,
      numPartitions: created.partitions.length,
      replicationFactor: created.partitions[0]?.replicas.length ?? -1,
      configs: validateOnly ? [] : createdConfigs(name, context),
    };
  } catch (error) {
    return { name, topicId: ZERO_UUID, ...toKafkaError(error, context.logger), configs: null };
  }
}

function createdConfigs(name: string, { service }: RequestContext) {
  return service.describeTopicConfigs(name).map((entry) => ({
    name: entry.key,
    value: entry.value,
    readOnly: false,
    configSource: configSource(entry),
    isSensitive: false,
  }));
}

function repeatedNames(topics: readonly CreatableTopic[]): Set<string> {
  const seen = new Set<string>();
  const repeated = new Set<string>();
  for (const { name } of topics) {
    if (seen.has(name)) repeated.add(name);
    seen.add(name);
  }
  return repeated;
}

function toSpecification(topic: CreatableTopic): TopicSpecification {
  const { name, assignments, numPartitions, replicationFactor } = topic;
  const configs = new Map<string, string>();
  for (const { name: key, value } of topic.configs) {
    if (value === null) throw new BurrowError('INVALID_CONFIG', `The setting ${key} has no value.`);
    configs.set(key, value);
  }
  if (assignments.length === 0) return { name, partitions: numPartitions, replicationFactor, configs };
  if (numPartitions !== -1 || replicationFactor !== -1) {
    throw new BurrowError(
      'INVALID_ARGUMENT',
      'Assigned replicas and numbers of partitions or replicas exclude each other.',
    );
  }
  const partitions = assignments.map(({ partitionIndex }) => partitionIndex).sort((one, other) => one - other);
  const replicas = assignments[0]!.brokerIds.length;
  const regular = partitions.every((partition, index) => partition === index);
  if (!regular || assignments.some(({ brokerIds }) => brokerIds.length !== replicas)) {
    throw new BurrowError('INVALID_ARGUMENT', 'Replicas must be assigned to partitions 0, 1, …, as many to each.');
  }
  return { name, partitions: partitions.length, replicationFactor: replicas, configs };
}
