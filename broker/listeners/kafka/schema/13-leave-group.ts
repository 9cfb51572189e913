import { array, int16, int32, message, nullableString, string } from './field.ts';

export const leaveGroupRequest = message(
  'LeaveGroupRequest',
  { versions: [0, 5], flexibleSince: 4 },
  {
    groupId: string(),
    memberId: string({ until: 2, default: '' }),
    members: array(
      {
        memberId: string(),
        groupInstanceId: nullableString({ default: null }),
        reason: nullableString({ since: 5, default: null }),
      },
      { since: 3, default: [] },
    ),
  },
);

export const leaveGroupResponse = message(
  'LeaveGroupResponse',
  { versions: [0, 5], flexibleSince: 4 },
  {
    throttleTimeMs: int32({ since: 1, default: 0 }),
    errorCode: int16(),
    members: array(
      { memberId: string(), groupInstanceId: nullableString(), errorCode: int16() },
      { since: 3, default: [] },
    ),
  },
);
