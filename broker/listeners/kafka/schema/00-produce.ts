import { array, int16, int32, int64, message, nullableString, records, string } from './field.ts';
import { currentLeader, nodeEndpoints } from './node-endpoints.ts';

export const produceRequest = message(
  'ProduceRequest',
  { versions: [0, 11], flexibleSince: 9 },
  {
    transactionalId: nullableString({ since: 3, default: null }),
    acks: int16(),
    timeoutMs: int32(),
    topicData: array({
      name: string(),
      partitionData: array({ index: int32(), records: records() }),
    }),
  },
);

export const produceResponse = message(
  'ProduceResponse',
  { versions: [0, 11], flexibleSince: 9 },
  {
    responses: array({
      name: string(),
      partitionResponses: array({
        index: int32(),
        errorCode: int16(),
        baseOffset: int64(),
        logAppendTimeMs: int64({ since: 2, default: -1 }),
        logStartOffset: int64({ since: 5, default: -1 }),
        recordErrors: array(
          { batchIndex: int32(), batchIndexErrorMessage: nullableString({ default: null }) },
          { since: 8, default: [] },
        ),
        errorMessage: nullableString({ since: 8, default: null }),
        currentLeader: currentLeader(10, 0),
      }),
    }),
    throttleTimeMs: int32({ since: 1, default: 0 }),
    nodeEndpoints: nodeEndpoints(10),
  },
);
