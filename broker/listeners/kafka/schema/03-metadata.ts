import { array, bool, int16, int32, list, message, nullableArray, nullableString, string, uuid } from './field.ts';

/** Authorized operations that were not asked for. */
export const OPERATIONS_NOT_ASKED = -0x8000_0000;

export const metadataRequest = message(
  'MetadataRequest',
  { versions: [0, 12], flexibleSince: 9 },
  {
    topics: nullableArray(
      { topicId: uuid({ since: 10 }), name: nullableString({ nullableSince: 10 }) },
      { nullableSince: 1 },
    ),
    allowAutoTopicCreation: bool({ since: 4, default: true }),
    includeClusterAuthorizedOperations: bool({ since: 8, until: 10, default: false }),
    includeTopicAuthorizedOperations: bool({ since: 8, default: false }),
  },
);

export const metadataResponse = message(
  'MetadataResponse',
  { versions: [0, 12], flexibleSince: 9 },
  {
    throttleTimeMs: int32({ since: 3, default: 0 }),
    brokers: array({
      nodeId: int32(),
      host: string(),
      port: int32(),
      rack: nullableString({ since: 1, default: null }),
    }),
    clusterId: nullableString({ since: 2, default: null }),
    controllerId: int32({ since: 1, default: -1 }),
    topics: array({
      errorCode: int16(),
      name: nullableString({ nullableSince: 12 }),
      topicId: uuid({ since: 10 }),
      isInternal: bool({ since: 1, default: false }),
      partitions: array({
        errorCode: int16(),
        partitionIndex: int32(),
        leaderId: int32(),
        leaderEpoch: int32({ since: 7, default: -1 }),
        replicaNodes: list(int32()),
        isrNodes: list(int32()),
        offlineReplicas: list(int32(), { since: 5, default: [] }),
      }),
      topicAuthorizedOperations: int32({ since: 8, default: OPERATIONS_NOT_ASKED }),
    }),
    clusterAuthorizedOperations: int32({ since: 8, until: 10, default: OPERATIONS_NOT_ASKED }),
  },
);
