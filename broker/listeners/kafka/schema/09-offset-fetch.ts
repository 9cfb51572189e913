import { array, bool, int16, int32, int64, list, message, nullableArray, nullableString, string } from './field.ts';

const askedTopic = { name: string(), partitionIndexes: list(int32()) };

export const offsetFetchRequest = message(
  'OffsetFetchRequest',
  { versions: [0, 9], flexibleSince: 6 },
  {
    groupId: string({ until: 7, default: '' }),
    topics: nullableArray(askedTopic, { until: 7, nullableSince: 2, default: null }),
    groups: array(
      {
        groupId: string(),
        memberId: nullableString({ since: 9, default: null }),
        memberEpoch: int32({ since: 9, default: -1 }),
        topics: nullableArray(askedTopic),
      },
      { since: 8, default: [] },
    ),
    requireStable: bool({ since: 7, default: false }),
  },
);

const topic = {
  name: string(),
  partitions: array({
    partitionIndex: int32(),
    committedOffset: int64(),
    committedLeaderEpoch: int32({ since: 5, default: -1 }),
    metadata: nullableString(),
    errorCode: int16(),
  }),
};

export const offsetFetchResponse = message(
  'OffsetFetchResponse',
  { versions: [0, 9], flexibleSince: 6 },
  {
    throttleTimeMs: int32({ since: 3, default: 0 }),
    topics: array(topic, { until: 7, default: [] }),
    errorCode: int16({ since: 2, until: 7, default: 0 }),
    groups: array(
      { groupId: string(), topics: array(topic), errorCode: int16({ default: 0 }) },
      { since: 8, default: [] },
    ),
  },
);
