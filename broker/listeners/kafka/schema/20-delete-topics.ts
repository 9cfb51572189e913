import { array, int16, int32, list, message, nullableString, string, uuid } from './field.ts';

export const deleteTopicsRequest = message(
  'DeleteTopicsRequest',
  { versions: [0, 6], flexibleSince: 4 },
  {
    topics: array({ name: nullableString({ default: null }), topicId: uuid() }, { since: 6, default: [] }),
    topicNames: list(string(), { until: 5, default: [] }),
    timeoutMs: int32(),
  },
);

export const deleteTopicsResponse = message(
  'DeleteTopicsResponse',
  { versions: [0, 6], flexibleSince: 4 },
  {
    throttleTimeMs: int32({ since: 1, default: 0 }),
    responses: array({
      name: nullableString({ nullableSince: 6 }),
      topicId: uuid({ since: 6 }),
      errorCode: int16(),
      errorMessage: nullableString({ since: 5, default: null }),
    }),
  },
);
