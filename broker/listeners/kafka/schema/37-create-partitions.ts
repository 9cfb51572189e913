import { array, bool, int16, int32, list, message, nullableArray, nullableString, string } from './field.ts';

export const createPartitionsRequest = message(
  'CreatePartitionsRequest',
  { versions: [0, 3], flexibleSince: 2 },
  {
    topics: array({
      name: string(),
      count: int32(),
      assignments: nullableArray({ brokerIds: list(int32()) }),
    }),
    timeoutMs: int32(),
    validateOnly: bool(),
  },
);

export const createPartitionsResponse = message(
  'CreatePartitionsResponse',
  { versions: [0, 3], flexibleSince: 2 },
  {
    throttleTimeMs: int32({ default: 0 }),
    results: array({ name: string(), errorCode: int16(), errorMessage: nullableString({ default: null }) }),
  },
);
