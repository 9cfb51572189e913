/**
 * Fetch, versions 4–17: record batches as stored, as slices that are never copied; waits for data if asked to.
 * Per partition.
 *
 * - v4 brings isolation levels and batches of format 2 (KIP-98); v5 log start offsets; v9 leader epochs (KIP-320);
 *   v10 allows zstd (KIP-110); v11 racks (KIP-392: we never redirect); v12 is flexible.
 * - v7 brings incremental sessions (KIP-227). We give none: session id 0 tells the client to go on with full fetches.
 *   A client that names a session has it from another broker at this address and is told so, and starts over.
 * - v13 names topics by id (KIP-516); v15–17 are for followers and moved leaders.
 */
import { BurrowError } from '../../../../src/errors/burrow-error.ts';
import type { FetchedPartition, FetchPartition } from '../../../partitions/broker-service.ts';
import { defineApi, type RequestContext } from '../api.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { fetchRequest, fetchResponse } from '../schema/01-fetch.ts';
import type { Decoded } from '../schema/field.ts';

const TOPIC_IDS_SINCE = 13;
const READ_COMMITTED = 1;

export const fetch = defineApi({
  key: 1,
  name: 'Fetch',
  request: fetchRequest,
  response: fetchResponse,
  serial: true,
  async handle(request, context) {
    if (request.sessionId !== 0) {
      return { ...toKafkaError(new BurrowError('FETCH_SESSION_NOT_FOUND'), context.logger), responses: [] };
    }
    const topics = request.topics.map((topic) => ({ topic, name: topicName(topic, context) }));
    const partitions: FetchPartition[] = [];
    for (const { topic, name } of topics) {
      if (name === undefined) continue;
      for (const asked of topic.partitions) partitions.push(toFetchPartition(name, asked));
    }
    const fetched = await fetchAll(
      request,
      partitions,
      topics.some(({ name }) => name === undefined),
      context,
    );
    const readCommitted = request.isolationLevel === READ_COMMITTED;
    let next = 0;
    return {
      responses: topics.map(({ topic, name }) => ({
        topic: topic.topic,
        topicId: topic.topicId,
        partitions: topic.partitions.map(({ partition }) =>
          name === undefined
            ? unknownTopicId(partition, context)
            : answerPartition(fetched[next++]!, readCommitted, context),
        ),
      })),
    };
  },
});

type FetchRequest = Decoded<typeof fetchRequest.fields>;
type AskedTopic = FetchRequest['topics'][number];

/** Undefined for an unknown topic id. */
function topicName(topic: AskedTopic, { service, version }: RequestContext): string | undefined {
  return version < TOPIC_IDS_SINCE ? topic.topic : service.describeTopicById(topic.topicId)?.name;
}

function toFetchPartition(topic: string, asked: AskedTopic['partitions'][number]): FetchPartition {
  return {
    topic,
    partition: asked.partition,
    offset: asked.fetchOffset,
    bytesMax: Math.max(0, asked.partitionMaxBytes),
    currentLeaderEpoch: asked.currentLeaderEpoch,
  };
}

/** With an error to tell there is nothing to wait for. */
function fetchAll(request: FetchRequest, partitions: FetchPartition[], hasErrors: boolean, context: RequestContext) {
  const bytesMax = Math.min(Math.max(0, request.maxBytes), context.limits.fetchBytesMax);
  const pending = context.service.fetch({
    partitions,
    bytesMin: Math.min(Math.max(0, request.minBytes), bytesMax),
    bytesMax,
    waitMs: hasErrors ? 0 : Math.max(0, request.maxWaitMs),
    isolation: request.isolationLevel === READ_COMMITTED ? 'read_committed' : 'read_uncommitted',
  });
  context.onCancel(() => pending.cancel());
  return pending.done;
}

const NOTHING = { highWatermark: -1, records: [], abortedTransactions: null };

function unknownTopicId(partitionIndex: number, { logger }: RequestContext) {
  const { errorCode } = toKafkaError(new BurrowError('UNKNOWN_TOPIC_ID'), logger);
  return { ...NOTHING, partitionIndex, errorCode };
}

function answerPartition(fetched: FetchedPartition, readCommitted: boolean, { logger }: RequestContext) {
  const { partition, error, highWatermark, lastStableOffset, logStartOffset, records } = fetched;
  return {
    partitionIndex: partition,
    errorCode: error === undefined ? NO_ERROR : toKafkaError(error, logger).errorCode,
    highWatermark,
    lastStableOffset,
    logStartOffset,
    abortedTransactions: readCommitted ? [] : null,
    records,
  };
}
