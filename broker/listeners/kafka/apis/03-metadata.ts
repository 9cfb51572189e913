/**
 * Metadata, versions 0–12: brokers, controller, and the partitions of topics with their leaders.
 *
 * - v0: an empty list of topics asks for all; from v1 null does, and an empty list asks for none.
 * - v1 adds the controller, racks and internal topics; v2 the cluster id; v3 throttle time; v5 offline replicas.
 * - v4 lets the client forbid that asking creates a topic (KIP-204); older ones always allow it.
 * - v7 adds leader epochs (KIP-320); v8–10 authorized operations (KIP-430); v9 is flexible.
 * - v10 gives topic ids, v12 takes them (KIP-516). In v10–11 a topic is asked for by name only.
 */
import { BurrowError } from '../../../../src/errors/burrow-error.ts';
import type { BrokerService, TopicDescription } from '../../../partitions/broker-service.ts';
import { defineApi, type RequestContext } from '../api.ts';
import { ALL_CLUSTER_OPERATIONS, ALL_TOPIC_OPERATIONS } from '../authorized-operations.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { metadataRequest, metadataResponse, OPERATIONS_NOT_ASKED } from '../schema/03-metadata.ts';
import { type Decoded, ZERO_UUID } from '../schema/field.ts';

const TOPIC_IDS_SINCE = 12;

export const metadata = defineApi({
  key: 3,
  name: 'Metadata',
  request: metadataRequest,
  response: metadataResponse,
  async handle(request, context) {
    const { service } = context;
    const operations = request.includeTopicAuthorizedOperations ? ALL_TOPIC_OPERATIONS : OPERATIONS_NOT_ASKED;
    const topics = await Promise.all(
      asksForAll(request, context.version)
        ? allTopics(service).map((topic) => describe(topic, operations))
        : request.topics!.map((asked) => describeAsked(asked, request.allowAutoTopicCreation, operations, context)),
    );
    return {
      brokers: context.brokers(),
      clusterId: service.clusterId,
      controllerId: service.controllerId,
      topics,
      clusterAuthorizedOperations: request.includeClusterAuthorizedOperations
        ? ALL_CLUSTER_OPERATIONS
        : OPERATIONS_NOT_ASKED,
    };
  },
});

type MetadataRequest = Decoded<typeof metadataRequest.fields>;
type AskedTopic = NonNullable<MetadataRequest['topics']>[number];

function asksForAll(request: MetadataRequest, version: number): boolean {
  return request.topics === null || (version === 0 && request.topics.length === 0);
}

function allTopics(service: BrokerService): TopicDescription[] {
  const described = service.topicNames().map((name) => service.describeTopic(name));
  return described.filter((topic) => topic !== undefined);
}

function describe(topic: TopicDescription, topicAuthorizedOperations: number) {
  return {
    errorCode: NO_ERROR,
    name: topic.name,
    topicId: topic.topicId,
    isInternal: topic.internal,
    partitions: topic.partitions.map((partition) => ({
      errorCode: NO_ERROR,
      partitionIndex: partition.partition,
      leaderId: partition.leader,
      leaderEpoch: partition.leaderEpoch,
      replicaNodes: partition.replicas,
      isrNodes: partition.inSyncReplicas,
    })),
    topicAuthorizedOperations,
  };
}

async function describeAsked(asked: AskedTopic, mayCreate: boolean, operations: number, context: RequestContext) {
  try {
    return describe(await findOrCreate(asked, mayCreate, context), operations);
  } catch (error) {
    const { errorCode } = toKafkaError(error, context.logger);
    return { errorCode, name: asked.name, topicId: asked.topicId, partitions: [] };
  }
}

async function findOrCreate(asked: AskedTopic, mayCreate: boolean, context: RequestContext): Promise<TopicDescription> {
  const { service, version } = context;
  const { name, topicId } = asked;
  if (name === null || !topicId.equals(ZERO_UUID)) {
    if (version < TOPIC_IDS_SINCE) {
      throw new BurrowError('INVALID_ARGUMENT', 'Metadata takes topic ids from version 12 on.');
    }
    const topic = service.describeTopicById(topicId);
    if (topic === undefined) throw new BurrowError('UNKNOWN_TOPIC_ID');
    return topic;
  }
  const topic = service.describeTopic(name);
  if (topic !== undefined) return topic;
  if (!mayCreate || !service.autoCreateTopics) throw new BurrowError('UNKNOWN_TOPIC_OR_PARTITION');
  return createOnDemand(name, service);
}

async function createOnDemand(name: string, service: BrokerService): Promise<TopicDescription> {
  try {
    return await service.createTopic(
      { name, partitions: -1, replicationFactor: -1, configs: new Map() },
      { validateOnly: false },
    );
  } catch (error) {
    // Another request may have been first, or asked for the same name twice.
    const topic = service.describeTopic(name);
    if (topic !== undefined) return topic;
    throw error;
  }
}
