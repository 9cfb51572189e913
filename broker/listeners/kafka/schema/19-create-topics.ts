import {
  array,
  bool,
  int8,
  int16,
  int32,
  list,
  message,
  nullableArray,
  nullableString,
  string,
  uuid,
} from './field.ts';

export const createTopicsRequest = message(
  'CreateTopicsRequest',
  { versions: [0, 7], flexibleSince: 5 },
  {
    topics: array({
      name: string(),
      numPartitions: int32(),
      replicationFactor: int16(),
      assignments: array({ partitionIndex: int32(), brokerIds: list(int32()) }),
      configs: array({ name: string(), value: nullableString() }),
    }),
    timeoutMs: int32({ default: 60_000 }),
    validateOnly: bool({ since: 1, default: false }),
  },
);

export const createTopicsResponse = message(
  'CreateTopicsResponse',
  { versions: [0, 7], flexibleSince: 5 },
  {
    throttleTimeMs: int32({ since: 2, default: 0 }),
    topics: array({
      name: string(),
      topicId: uuid({ since: 7 }),
      errorCode: int16(),
      errorMessage: nullableString({ since: 1, default: null }),
      topicConfigErrorCode: int16({ since: 5, tag: 0, default: 0 }),
      numPartitions: int32({ since: 5, default: -1 }),
      replicationFactor: int16({ since: 5, default: -1 }),
      configs: nullableArray(
        {
          name: string(),
          value: nullableString(),
          readOnly: bool(),
          configSource: int8({ default: -1 }),
          isSensitive: bool(),
        },
        { since: 5, default: [] },
      ),
    }),
  },
);
