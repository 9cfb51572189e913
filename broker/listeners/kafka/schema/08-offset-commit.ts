import { array, int16, int32, int64, message, nullableString, string } from './field.ts';

export const offsetCommitRequest = message(
  'OffsetCommitRequest',
  { versions: [0, 9], flexibleSince: 8 },
  {
    groupId: string(),
    generationIdOrMemberEpoch: int32({ since: 1, default: -1 }),
    memberId: string({ since: 1, default: '' }),
    groupInstanceId: nullableString({ since: 7, default: null }),
    retentionTimeMs: int64({ since: 2, until: 4, default: -1 }),
    topics: array({
      name: string(),
      partitions: array({
        partitionIndex: int32(),
        committedOffset: int64(),
        committedLeaderEpoch: int32({ since: 6, default: -1 }),
        commitTimestamp: int64({ since: 1, until: 1, default: -1 }),
        committedMetadata: nullableString(),
      }),
    }),
  },
);

export const offsetCommitResponse = message(
  'OffsetCommitResponse',
  { versions: [0, 9], flexibleSince: 8 },
  {
    throttleTimeMs: int32({ since: 3, default: 0 }),
    topics: array({ name: string(), partitions: array({ partitionIndex: int32(), errorCode: int16() }) }),
  },
);
