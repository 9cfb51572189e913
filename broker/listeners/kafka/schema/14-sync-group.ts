import { array, bytes, int16, int32, message, nullableString, string } from './field.ts';

export const syncGroupRequest = message(
  'SyncGroupRequest',
  { versions: [0, 5], flexibleSince: 4 },
  {
    groupId: string(),
    generationId: int32(),
    memberId: string(),
    groupInstanceId: nullableString({ since: 3, default: null }),
    protocolType: nullableString({ since: 5, default: null }),
    protocolName: nullableString({ since: 5, default: null }),
    assignments: array({ memberId: string(), assignment: bytes() }),
  },
);

export const syncGroupResponse = message(
  'SyncGroupResponse',
  { versions: [0, 5], flexibleSince: 4 },
  {
    throttleTimeMs: int32({ since: 1, default: 0 }),
    errorCode: int16(),
    protocolType: nullableString({ since: 5, default: null }),
    protocolName: nullableString({ since: 5, default: null }),
    assignment: bytes(),
  },
);
