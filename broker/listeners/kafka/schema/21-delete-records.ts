import { array, int16, int32, int64, message, string } from './field.ts';

export const deleteRecordsRequest = message(
  'DeleteRecordsRequest',
  { versions: [0, 2], flexibleSince: 2 },
  {
    topics: array({ name: string(), partitions: array({ partitionIndex: int32(), offset: int64() }) }),
    timeoutMs: int32(),
  },
);

export const deleteRecordsResponse = message(
  'DeleteRecordsResponse',
  { versions: [0, 2], flexibleSince: 2 },
  {
    throttleTimeMs: int32({ default: 0 }),
    topics: array({
      name: string(),
      partitions: array({ partitionIndex: int32(), lowWatermark: int64(), errorCode: int16() }),
    }),
  },
);
