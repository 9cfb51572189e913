import { array, int16, int32, list, message, string } from './field.ts';

export const listGroupsRequest = message(
  'ListGroupsRequest',
  { versions: [0, 5], flexibleSince: 3 },
  {
    statesFilter: list(string(), { since: 4, default: [] }),
    typesFilter: list(string(), { since: 5, default: [] }),
  },
);

export const listGroupsResponse = message(
  'ListGroupsResponse',
  { versions: [0, 5], flexibleSince: 3 },
  {
    throttleTimeMs: int32({ since: 1, default: 0 }),
    errorCode: int16(),
    groups: array({
      groupId: string(),
      protocolType: string(),
      groupState: string({ since: 4, default: '' }),
      groupType: string({ since: 5, default: '' }),
    }),
  },
);
