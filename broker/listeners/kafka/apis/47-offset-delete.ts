/** OffsetDelete, version 0 (KIP-496): forgets committed offsets of topics that the group does not consume any more. */
import { defineApi } from '../api.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { offsetDeleteRequest, offsetDeleteResponse } from '../schema/47-offset-delete.ts';
import { perPartition } from './group-results.ts';

export const offsetDelete = defineApi({
  key: 47,
  name: 'OffsetDelete',
  request: offsetDeleteRequest,
  response: offsetDeleteResponse,
  async handle({ groupId, topics }, { groups, logger }) {
    const asked = topics.flatMap(({ name, partitions }) =>
      partitions.map(({ partitionIndex }) => ({ topic: name, partition: partitionIndex })),
    );
    try {
      const results = await groups.deleteOffsets(groupId, asked);
      const errorCodeAt = (index: number): number => {
        const { error } = results[index]!;
        return error === undefined ? NO_ERROR : toKafkaError(error, logger).errorCode;
      };
      return { topics: perPartition(topics, errorCodeAt) };
    } catch (error) {
      return { errorCode: toKafkaError(error, logger).errorCode, topics: [] };
    }
  },
});
