import { array, int8, int16, int32, list, message, nullableString, string } from './field.ts';

export const findCoordinatorRequest = message(
  'FindCoordinatorRequest',
  { versions: [0, 4], flexibleSince: 3 },
  {
    key: string({ until: 3, default: '' }),
    keyType: int8({ since: 1, default: 0 }),
    coordinatorKeys: list(string(), { since: 4, default: [] }),
  },
);

export const findCoordinatorResponse = message(
  'FindCoordinatorResponse',
  { versions: [0, 4], flexibleSince: 3 },
  {
    throttleTimeMs: int32({ since: 1, default: 0 }),
    errorCode: int16({ until: 3, default: 0 }),
    errorMessage: nullableString({ since: 1, until: 3, default: null }),
    nodeId: int32({ until: 3, default: -1 }),
    host: string({ until: 3, default: '' }),
    port: int32({ until: 3, default: -1 }),
    coordinators: array(
      {
        key: string(),
        nodeId: int32(),
        host: string(),
        port: int32(),
        errorCode: int16(),
        errorMessage: nullableString({ default: null }),
      },
      { since: 4, default: [] },
    ),
  },
);
