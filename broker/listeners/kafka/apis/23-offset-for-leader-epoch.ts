/**
 * OffsetForLeaderEpoch, versions 2–4: where an epoch of leadership ended, so that a client notices a truncated log.
 *
 * - v2 is the first for consumers (KIP-320); v3 names the replica that asks; v4 is flexible.
 */
import { defineApi, type RequestContext } from '../api.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { offsetForLeaderEpochRequest, offsetForLeaderEpochResponse } from '../schema/23-offset-for-leader-epoch.ts';
import type { Decoded } from '../schema/field.ts';

export const offsetForLeaderEpoch = defineApi({
  key: 23,
  name: 'OffsetForLeaderEpoch',
  request: offsetForLeaderEpochRequest,
  response: offsetForLeaderEpochResponse,
  handle: (request, context) => ({
    topics: request.topics.map(({ topic, partitions }) => ({
      topic,
      partitions: partitions.map((asked) => endOfEpoch(topic, asked, context)),
    })),
  }),
});

type AskedPartition = Decoded<typeof offsetForLeaderEpochRequest.fields>['topics'][number]['partitions'][number];

function endOfEpoch(topic: string, asked: AskedPartition, { service, logger }: RequestContext) {
  const { partition, currentLeaderEpoch, leaderEpoch } = asked;
  try {
    const end = service.endOffsetForEpoch({ topic, partition, currentLeaderEpoch, leaderEpoch });
    return { errorCode: NO_ERROR, partition, ...end };
  } catch (error) {
    return { errorCode: toKafkaError(error, logger).errorCode, partition };
  }
}
