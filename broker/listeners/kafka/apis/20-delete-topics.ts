/**
 * DeleteTopics, versions 0–6.
 *
 * - v1 adds throttle time; v4 is flexible; v5 adds error texts (KIP-599); v6 also takes topic ids (KIP-516).
 */
import { BurrowError } from '../../../../src/errors/burrow-error.ts';
import type { BrokerService } from '../../../partitions/broker-service.ts';
import { defineApi, type RequestContext } from '../api.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { deleteTopicsRequest, deleteTopicsResponse } from '../schema/20-delete-topics.ts';
import { ZERO_UUID } from '../schema/field.ts';

export const deleteTopics = defineApi({
  key: 20,
  name: 'DeleteTopics',
  request: deleteTopicsRequest,
  response: deleteTopicsResponse,
  async handle(request, context) {
    const named = request.topicNames.map((name) => deleteOne({ name, topicId: ZERO_UUID }, context));
    const states = request.topics.map((state) => deleteOne(state, context));
    return { responses: await Promise.all([...named, ...states]) };
  },
});

interface DeleteTopicState {
  readonly name: string | null;
  readonly topicId: Buffer;
}

async function deleteOne(state: DeleteTopicState, { service, logger }: RequestContext) {
  let { name, topicId } = state;
  try {
    const topic = find(state, service);
    ({ name, topicId } = topic);
    await service.deleteTopic(topic.name);
    return { name, topicId, errorCode: NO_ERROR };
  } catch (error) {
    return { name, topicId, ...toKafkaError(error, logger) };
  }
}

function find({ name, topicId }: DeleteTopicState, service: BrokerService) {
  if (name !== null && !topicId.equals(ZERO_UUID)) {
    throw new BurrowError('INVALID_ARGUMENT', 'A topic to delete is named by its name or its id, not by both.');
  }
  const topic = name === null ? service.describeTopicById(topicId) : service.describeTopic(name);
  if (topic === undefined) throw new BurrowError(name === null ? 'UNKNOWN_TOPIC_ID' : 'UNKNOWN_TOPIC_OR_PARTITION');
  return topic;
}
