import { array, bool, bytes, int16, int32, message, nullableString, string } from './field.ts';

export const joinGroupRequest = message(
  'JoinGroupRequest',
  { versions: [0, 9], flexibleSince: 6 },
  {
    groupId: string(),
    sessionTimeoutMs: int32(),
    rebalanceTimeoutMs: int32({ since: 1, default: -1 }),
    memberId: string(),
    groupInstanceId: nullableString({ since: 5, default: null }),
    protocolType: string(),
    protocols: array({ name: string(), metadata: bytes() }),
    reason: nullableString({ since: 8, default: null }),
  },
);

export const joinGroupResponse = message(
  'JoinGroupResponse',
  { versions: [0, 9], flexibleSince: 6 },
  {
    throttleTimeMs: int32({ since: 2, default: 0 }),
    errorCode: int16(),
    generationId: int32({ default: -1 }),
    protocolType: nullableString({ since: 7, default: null }),
    protocolName: nullableString({ nullableSince: 7 }),
    leader: string(),
    skipAssignment: bool({ since: 9, default: false }),
    memberId: string(),
    members: array({
      memberId: string(),
      groupInstanceId: nullableString({ since: 5, default: null }),
      metadata: bytes(),
    }),
  },
);
