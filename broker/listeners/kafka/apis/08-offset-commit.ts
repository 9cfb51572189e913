/**
 * OffsetCommit, versions 0–9: stores offsets of a group.
 *
 * - v1 names member and generation, v6 leader epochs (KIP-320), v7 static members (KIP-345); v8 is flexible; v9 is laid out
 *   as v8 and knows errors of KIP-848 besides.
 * - Retention times of v2–4 and commit times of v1 are not heeded, as in Kafka since 2.1 (KIP-211).
 */
import { defineApi } from '../api.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { offsetCommitRequest, offsetCommitResponse } from '../schema/08-offset-commit.ts';
import { perPartition } from './group-results.ts';

export const offsetCommit = defineApi({
  key: 8,
  name: 'OffsetCommit',
  request: offsetCommitRequest,
  response: offsetCommitResponse,
  async handle(request, { groups, logger }) {
    const offsets = request.topics.flatMap(({ name, partitions }) =>
      partitions.map(({ partitionIndex, committedOffset, committedLeaderEpoch, committedMetadata }) => ({
        topic: name,
        partition: partitionIndex,
        offset: committedOffset,
        leaderEpoch: committedLeaderEpoch,
        metadata: committedMetadata ?? '',
      })),
    );
    try {
      const results = await groups.commitOffsets({
        groupId: request.groupId,
        memberId: request.memberId,
        groupInstanceId: request.groupInstanceId ?? undefined,
        generationId: request.generationIdOrMemberEpoch,
        offsets,
      });
      return { topics: perPartition(request.topics, (index) => errorCodeOf(results[index]!.error)) };
    } catch (error) {
      const { errorCode } = toKafkaError(error, logger);
      return { topics: perPartition(request.topics, () => errorCode) };
    }

    function errorCodeOf(error: unknown): number {
      return error === undefined ? NO_ERROR : toKafkaError(error, logger).errorCode;
    }
  },
});
