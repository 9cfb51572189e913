import { array, bool, int8, int16, int32, message, nullableString, string } from './field.ts';

export const alterConfigsRequest = message(
  'AlterConfigsRequest',
  { versions: [0, 2], flexibleSince: 2 },
  {
    resources: array({
      resourceType: int8(),
      resourceName: string(),
      configs: array({ name: string(), value: nullableString() }),
    }),
    validateOnly: bool(),
  },
);

export const alterConfigsResponse = message(
  'AlterConfigsResponse',
  { versions: [0, 2], flexibleSince: 2 },
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
