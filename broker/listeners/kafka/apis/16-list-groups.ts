/**
 * ListGroups, versions 0–5: the groups that this broker coordinates. v3 is flexible; v4 filters by state (KIP-518), v5 by
 * type (KIP-848): all groups are classic ones. Names of states and types are compared without regard to case, as in Kafka.
 */
import { defineApi } from '../api.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { listGroupsRequest, listGroupsResponse } from '../schema/16-list-groups.ts';

const GROUP_TYPE = 'classic';

export const listGroups = defineApi({
  key: 16,
  name: 'ListGroups',
  request: listGroupsRequest,
  response: listGroupsResponse,
  serial: true,
  handle({ statesFilter, typesFilter }, { groups, logger }) {
    const states = lowerCase(statesFilter);
    const types = lowerCase(typesFilter);
    if (types.size > 0 && !types.has(GROUP_TYPE)) return { errorCode: NO_ERROR, groups: [] };
    try {
      const listed = groups.listGroups().filter(({ state }) => states.size === 0 || states.has(state.toLowerCase()));
      return {
        errorCode: NO_ERROR,
        groups: listed.map(({ groupId, protocolType, state }) => ({
          groupId,
          protocolType,
          groupState: state,
          groupType: GROUP_TYPE,
        })),
      };
    } catch (error) {
      return { errorCode: toKafkaError(error, logger).errorCode, groups: [] };
    }
  },
});

function lowerCase(names: readonly string[]): ReadonlySet<string> {
  return new Set(names.map((name) => name.toLowerCase()));
}
