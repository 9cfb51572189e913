import { array, int16, int32, list, message, string } from './field.ts';

export const deleteGroupsRequest = message(
  'DeleteGroupsRequest',
  { versions: [0, 2], flexibleSince: 2 },
  { groupsNames: list(string()) },
);

export const deleteGroupsResponse = message(
  'DeleteGroupsResponse',
  { versions: [0, 2], flexibleSince: 2 },
  { throttleTimeMs: int32({ default: 0 }), results: array({ groupId: string(), errorCode: int16() }) },
);
