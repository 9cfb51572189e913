import { int16, int32, message, nullableString, string } from './field.ts';

export const heartbeatRequest = message(
  'HeartbeatRequest',
  { versions: [0, 4], flexibleSince: 4 },
  {
    groupId: string(),
    generationId: int32(),
    memberId: string(),
    groupInstanceId: nullableString({ since: 3, default: null }),
  },
);

export const heartbeatResponse = message(
  'HeartbeatResponse',
  { versions: [0, 4], flexibleSince: 4 },
  { throttleTimeMs: int32({ since: 1, default: 0 }), errorCode: int16() },
);
