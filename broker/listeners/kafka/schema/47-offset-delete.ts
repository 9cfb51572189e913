import { array, int16, int32, message, string } from './field.ts';

export const offsetDeleteRequest = message(
  'OffsetDeleteRequest',
  { versions: [0, 0] },
  {
    groupId: string(),
    topics: array({ name: string(), partitions: array({ partitionIndex: int32() }) }),
  },
);

export const offsetDeleteResponse = message(
  'OffsetDeleteResponse',
  { versions: [0, 0] },
  {
    errorCode: int16({ default: 0 }),
    throttleTimeMs: int32({ default: 0 }),
    topics: array({ name: string(), partitions: array({ partitionIndex: int32(), errorCode: int16() }) }),
  },
);
