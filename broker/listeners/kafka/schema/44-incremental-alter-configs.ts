import { array, bool, int8, int16, int32, message, nullableString, string } from './field.ts';

export const incrementalAlterConfigsRequest = message(
  'IncrementalAlterConfigsRequest',
  { versions: [0, 1], flexibleSince: 1 },
  {
    resources: array({
      resourceType: int8(),
      resourceName: string(),
      configs: array({ name: string(), configOperation: int8(), value: nullableString() }),
    }),
    validateOnly: bool(),
  },
);

export const incrementalAlterConfigsResponse = message(
  'IncrementalAlterConfigsResponse',
  { versions: [0, 1], flexibleSince: 1 },
  {
    throttleTimeMs: int32({ default: 0 }),
    responses: array({
      errorCode: int16(),
      errorMessage: nullableString(),
      resourceType: int8(),
      resourceName: string(),
    }),
  },
);
