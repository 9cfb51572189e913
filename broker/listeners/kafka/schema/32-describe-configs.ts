import { array, bool, int8, int16, int32, message, nullableList, nullableString, string } from './field.ts';

export const describeConfigsRequest = message(
  'DescribeConfigsRequest',
  { versions: [0, 4], flexibleSince: 4 },
  {
    resources: array({ resourceType: int8(), resourceName: string(), configurationKeys: nullableList(string()) }),
    includeSynonyms: bool({ since: 1, default: false }),
    includeDocumentation: bool({ since: 3, default: false }),
  },
);

export const describeConfigsResponse = message(
  'DescribeConfigsResponse',
  { versions: [0, 4], flexibleSince: 4 },
  {
    throttleTimeMs: int32({ default: 0 }),
    results: array({
      errorCode: int16(),
      errorMessage: nullableString(),
      resourceType: int8(),
      resourceName: string(),
      configs: array({
        name: string(),
        value: nullableString(),
        readOnly: bool(),
        isDefault: bool({ until: 0, default: false }),
        configSource: int8({ since: 1, default: -1 }),
        isSensitive: bool(),
        synonyms: array({ name: string(), value: nullableString(), source: int8() }, { since: 1, default: [] }),
        configType: int8({ since: 3, default: 0 }),
        documentation: nullableString({ since: 3, default: null }),
      }),
    }),
  },
);
