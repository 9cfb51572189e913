import {
  array,
  int8,
  int16,
  int32,
  int64,
  list,
  message,
  nullableArray,
  nullableString,
  recordSlices,
  string,
  struct,
  uuid,
} from './field.ts';
import { currentLeader, nodeEndpoints } from './node-endpoints.ts';

export const fetchRequest = message(
  'FetchRequest',
  { versions: [4, 17], flexibleSince: 12 },
  {
    clusterId: nullableString({ since: 12, tag: 0, default: null }),
    replicaId: int32({ until: 14, default: -1 }),
    replicaState: struct(
      { replicaId: int32({ default: -1 }), replicaEpoch: int64({ default: -1 }) },
      { since: 15, tag: 1, default: { replicaId: -1, replicaEpoch: -1 } },
    ),
    maxWaitMs: int32(),
    minBytes: int32(),
    maxBytes: int32({ default: 0x7fff_ffff }),
    isolationLevel: int8({ default: 0 }),
    sessionId: int32({ since: 7, default: 0 }),
    sessionEpoch: int32({ since: 7, default: -1 }),
    topics: array({
      topic: string({ until: 12, default: '' }),
      topicId: uuid({ since: 13 }),
      partitions: array({
        partition: int32(),
        currentLeaderEpoch: int32({ since: 9, default: -1 }),
        fetchOffset: int64(),
        lastFetchedEpoch: int32({ since: 12, default: -1 }),
        logStartOffset: int64({ since: 5, default: -1 }),
        partitionMaxBytes: int32(),
        replicaDirectoryId: uuid({ since: 17, tag: 0 }),
      }),
    }),
    forgottenTopicsData: array(
      {
        topic: string({ since: 7, until: 12, default: '' }),
        topicId: uuid({ since: 13 }),
        partitions: list(int32()),
      },
      { since: 7, default: [] },
    ),
    rackId: string({ since: 11, default: '' }),
  },
);

export const fetchResponse = message(
  'FetchResponse',
  { versions: [4, 17], flexibleSince: 12 },
  {
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16({ since: 7, default: 0 }),
    sessionId: int32({ since: 7, default: 0 }),
    responses: array({
      topic: string({ until: 12, default: '' }),
      topicId: uuid({ since: 13 }),
      partitions: array({
        partitionIndex: int32(),
        errorCode: int16(),
        highWatermark: int64(),
        lastStableOffset: int64({ default: -1 }),
        logStartOffset: int64({ since: 5, default: -1 }),
        divergingEpoch: struct(
          { epoch: int32({ default: -1 }), endOffset: int64({ default: -1 }) },
          { since: 12, tag: 0, default: { epoch: -1, endOffset: -1 } },
        ),
        currentLeader: currentLeader(12, 1),
        snapshotId: struct(
          { endOffset: int64({ default: -1 }), epoch: int32({ default: -1 }) },
          { since: 12, tag: 2, default: { endOffset: -1, epoch: -1 } },
        ),
        abortedTransactions: nullableArray({ producerId: int64(), firstOffset: int64() }),
        preferredReadReplica: int32({ since: 11, default: -1 }),
        records: recordSlices(),
      }),
    }),
    nodeEndpoints: nodeEndpoints(16),
  },
);
