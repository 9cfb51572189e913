/** DeleteGroups, versions 0–2 (KIP-229): forgets groups without members, and their offsets. v2 is flexible. */
import { defineApi } from '../api.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { deleteGroupsRequest, deleteGroupsResponse } from '../schema/42-delete-groups.ts';

export const deleteGroups = defineApi({
  key: 42,
  name: 'DeleteGroups',
  request: deleteGroupsRequest,
  response: deleteGroupsResponse,
  async handle({ groupsNames }, { groups, logger }) {
    const results = groupsNames.map(async (groupId) => {
      try {
        await groups.deleteGroup(groupId);
        return { groupId, errorCode: NO_ERROR };
      } catch (error) {
        return { groupId, errorCode: toKafkaError(error, logger).errorCode };
      }
    });
    return { results: await Promise.all(results) };
  },
});
