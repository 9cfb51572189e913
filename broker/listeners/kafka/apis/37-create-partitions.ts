/**
 * CreatePartitions, versions 0–3 (KIP-195): raises the number of partitions of topics. v2 is flexible, v3 knows
 * THROTTLING_QUOTA_EXCEEDED. Assigned replicas are held against the number asked for; the broker places them itself.
 */
import { BurrowError } from '../../../../src/errors/burrow-error.ts';
import { defineApi, type RequestContext } from '../api.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { createPartitionsRequest, createPartitionsResponse } from '../schema/37-create-partitions.ts';
import type { Decoded } from '../schema/field.ts';

export const createPartitions = defineApi({
  key: 37,
  name: 'CreatePartitions',
  request: createPartitionsRequest,
  response: createPartitionsResponse,
  async handle({ topics, validateOnly }, context) {
    return { results: await Promise.all(topics.map((topic) => raise(topic, validateOnly, context))) };
  },
});

type AskedTopic = Decoded<typeof createPartitionsRequest.fields>['topics'][number];

async function raise(topic: AskedTopic, validateOnly: boolean, { service, logger }: RequestContext) {
  const { name, count, assignments } = topic;
  try {
    const present = service.describeTopic(name)?.partitions.length ?? 0;
    if (assignments !== null && assignments.length > 0 && assignments.length !== count - present) {
      throw new BurrowError(
        'INVALID_ARGUMENT',
        `Replicas are assigned to ${assignments.length} of ${count - present} new partitions.`,
      );
    }
    await service.createPartitions(name, count, { validateOnly });
    return { name, errorCode: NO_ERROR };
  } catch (error) {
    return { name, ...toKafkaError(error, logger) };
  }
}
