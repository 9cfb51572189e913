/**
 * DescribeGroups, versions 0–5: members and their assignments. v3 tells operations allowed (KIP-430), v4 static members; v5 is
 * flexible. A group that does not exist is `Dead`, and no error, as in Kafka.
 */
import { asBuffer } from '../../../../src/bytes/as-buffer.ts';
import { defineApi, type RequestContext } from '../api.ts';
import { ALL_GROUP_OPERATIONS } from '../authorized-operations.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { describeGroupsRequest, describeGroupsResponse } from '../schema/15-describe-groups.ts';

export const describeGroups = defineApi({
  key: 15,
  name: 'DescribeGroups',
  request: describeGroupsRequest,
  response: describeGroupsResponse,
  // Its answer may be thousands of times as large as what asks for it.
  serial: true,
  handle(request, context) {
    const operations = request.includeAuthorizedOperations ? { authorizedOperations: ALL_GROUP_OPERATIONS } : {};
    return {
      groups: [...new Set(request.groups)].map((groupId) => ({ ...describe(groupId, context), ...operations })),
    };
  },
});

function describe(groupId: string, { groups, logger }: RequestContext) {
  try {
    const { state, protocolType, protocolName, members } = groups.describeGroup(groupId);
    return {
      errorCode: NO_ERROR,
      groupId,
      groupState: state,
      protocolType,
      protocolData: protocolName,
      members: members.map(({ groupInstanceId, metadata, assignment, ...member }) => ({
        ...member,
        groupInstanceId: groupInstanceId ?? null,
        memberMetadata: asBuffer(metadata),
        memberAssignment: asBuffer(assignment),
      })),
    };
  } catch (error) {
    const { errorCode } = toKafkaError(error, logger);
    return { errorCode, groupId, groupState: '', protocolType: '', protocolData: '', members: [] };
  }
}
