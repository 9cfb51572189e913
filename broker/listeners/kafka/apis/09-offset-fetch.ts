/**
 * OffsetFetch, versions 0–9: committed offsets of groups; -1 where nothing is committed.
 *
 * - v2 asks for all partitions with null, and has an error for the whole; before, it stands in every partition.
 * - v5 brings leader epochs; v6 is flexible; v7 can wait for open transactions (there are none yet); v8 asks for several
 *   groups (KIP-709); v9 names member and epoch (KIP-848), which Kafka does not check in classic groups either.
 */
import type { CommittedOffset } from '../../../groups/group-service.ts';
import { defineApi, type RequestContext } from '../api.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { offsetFetchRequest, offsetFetchResponse } from '../schema/09-offset-fetch.ts';

const ERROR_OF_WHOLE_SINCE = 2;
const SEVERAL_GROUPS_SINCE = 8;

export const offsetFetch = defineApi({
  key: 9,
  name: 'OffsetFetch',
  request: offsetFetchRequest,
  response: offsetFetchResponse,
  handle(request, context) {
    if (context.version < SEVERAL_GROUPS_SINCE) return fetchGroup(request.groupId, request.topics, context);
    return {
      groups: request.groups.map(({ groupId, topics }) => ({ groupId, ...fetchGroup(groupId, topics, context) })),
    };
  },
});

type AskedTopics = ReadonlyArray<{ readonly name: string; readonly partitionIndexes: readonly number[] }>;

function fetchGroup(groupId: string, topics: AskedTopics | null, { groups, logger, version }: RequestContext) {
  const asked = topics?.flatMap(({ name, partitionIndexes }) =>
    partitionIndexes.map((partition) => ({ topic: name, partition })),
  );
  try {
    return { errorCode: NO_ERROR, topics: byTopic(groups.fetchOffsets(groupId, asked)) };
  } catch (error) {
    const { errorCode } = toKafkaError(error, logger);
    if (version >= ERROR_OF_WHOLE_SINCE) return { errorCode, topics: [] };
    const failed = (asked ?? []).map((place) => ({ ...place, offset: -1, leaderEpoch: -1, metadata: '' }));
    return { topics: byTopic(failed, errorCode) };
  }
}

function byTopic(offsets: readonly CommittedOffset[], errorCode = NO_ERROR) {
  const topics = new Map<string, ReturnType<typeof partitionAnswer>[]>();
  for (const committed of offsets) {
    const partitions = topics.get(committed.topic);
    if (partitions === undefined) topics.set(committed.topic, [partitionAnswer(committed, errorCode)]);
    else partitions.push(partitionAnswer(committed, errorCode));
  }
  return Array.from(topics, ([name, partitions]) => ({ name, partitions }));
}

function partitionAnswer({ partition, offset, leaderEpoch, metadata }: CommittedOffset, errorCode: number) {
  return {
    partitionIndex: partition,
    committedOffset: offset,
    committedLeaderEpoch: leaderEpoch,
    metadata,
    errorCode,
  };
}
