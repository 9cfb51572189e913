/**
 * ListOffsets, versions 1–7: first, last, and by timestamp.
 *
 * - v1 gives one offset with its timestamp (KIP-79); v2 brings isolation levels; v4 leader epochs (KIP-320);
 *   v6 is flexible; v7 asks for the record with the largest timestamp, -3 (KIP-734).
 */
import type { BrokerService } from '../../../partitions/broker-service.ts';
import { defineApi, type RequestContext } from '../api.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { listOffsetsRequest, listOffsetsResponse } from '../schema/02-list-offsets.ts';

const READ_COMMITTED = 1;

export const listOffsets = defineApi({
  key: 2,
  name: 'ListOffsets',
  request: listOffsetsRequest,
  response: listOffsetsResponse,
  async handle(request, context) {
    const isolation = request.isolationLevel === READ_COMMITTED ? 'read_committed' : 'read_uncommitted';
    const topics = request.topics.map(async ({ name, partitions }) => ({
      name,
      partitions: await Promise.all(
        partitions.map(({ partitionIndex, timestamp, currentLeaderEpoch }) =>
          listPartition(context, {
            topic: name,
            partition: partitionIndex,
            timestampMs: timestamp,
            currentLeaderEpoch,
            isolation,
          }),
        ),
      ),
    }));
    return { topics: await Promise.all(topics) };
  },
});

async function listPartition(context: RequestContext, asked: Parameters<BrokerService['listOffset']>[0]) {
  const partitionIndex = asked.partition;
  try {
    const { offset, timestampMs, leaderEpoch } = await context.service.listOffset(asked);
    return { partitionIndex, errorCode: NO_ERROR, timestamp: timestampMs, offset, leaderEpoch };
  } catch (error) {
    return { partitionIndex, errorCode: toKafkaError(error, context.logger).errorCode };
  }
}
