import { OPERATIONS_NOT_ASKED } from './03-metadata.ts';
import { array, bool, bytes, int16, int32, list, message, nullableString, string } from './field.ts';

export const describeGroupsRequest = message(
  'DescribeGroupsRequest',
  { versions: [0, 5], flexibleSince: 5 },
  { groups: list(string()), includeAuthorizedOperations: bool({ since: 3, default: false }) },
);

export const describeGroupsResponse = message(
  'DescribeGroupsResponse',
  { versions: [0, 5], flexibleSince: 5 },
  {
    throttleTimeMs: int32({ since: 1, default: 0 }),
    groups: array({
      errorCode: int16(),
      groupId: string(),
      groupState: string(),
      protocolType: string(),
      protocolData: string(),
      members: array({
        memberId: string(),
        groupInstanceId: nullableString({ since: 4, default: null }),
        clientId: string(),
        clientHost: string(),
        memberMetadata: bytes(),
        memberAssignment: bytes(),
      }),
      authorizedOperations: int32({ since: 3, default: OPERATIONS_NOT_ASKED }),
    }),
  },
);
