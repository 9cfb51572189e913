import { array, int8, int16, int32, int64, message, string } from './field.ts';

export const listOffsetsRequest = message(
  'ListOffsetsRequest',
  { versions: [1, 7], flexibleSince: 6 },
  {
    replicaId: int32(),
    isolationLevel: int8({ since: 2, default: 0 }),
    topics: array({
      name: string(),
      partitions: array({
        partitionIndex: int32(),
        currentLeaderEpoch: int32({ since: 4, default: -1 }),
        timestamp: int64(),
      }),
    }),
  },
);

export const listOffsetsResponse = message(
  'ListOffsetsResponse',
  { versions: [1, 7], flexibleSince: 6 },
  {
    throttleTimeMs: int32({ since: 2, default: 0 }),
    topics: array({
      name: string(),
      partitions: array({
        partitionIndex: int32(),
        errorCode: int16(),
        timestamp: int64({ default: -1 }),
        offset: int64({ default: -1 }),
        leaderEpoch: int32({ since: 4, default: -1 }),
      }),
    }),
  },
);
