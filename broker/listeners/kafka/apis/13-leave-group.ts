/**
 * LeaveGroup, versions 0–5. Up to v2 for one member, whose error is that of the answer; v3 takes several, static ones by
 * their instance id (KIP-345); v4 is flexible; v5 brings a reason for the log (KIP-800).
 */
import { defineApi } from '../api.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { leaveGroupRequest, leaveGroupResponse } from '../schema/13-leave-group.ts';

const SEVERAL_MEMBERS_SINCE = 3;

export const leaveGroup = defineApi({
  key: 13,
  name: 'LeaveGroup',
  request: leaveGroupRequest,
  response: leaveGroupResponse,
  async handle(request, { groups, version, logger }) {
    const single = { memberId: request.memberId, groupInstanceId: null, reason: null };
    const leaving = version < SEVERAL_MEMBERS_SINCE ? [single] : request.members;
    try {
      const left = await groups.leave({
        groupId: request.groupId,
        members: leaving.map(({ memberId, groupInstanceId, reason }) => ({
          memberId,
          groupInstanceId: groupInstanceId ?? undefined,
          reason: reason ?? undefined,
        })),
      });
      const members = left.map(({ memberId, groupInstanceId, error }) => ({
        memberId,
        groupInstanceId: groupInstanceId ?? null,
        errorCode: error === undefined ? NO_ERROR : toKafkaError(error, logger).errorCode,
      }));
      return { errorCode: version < SEVERAL_MEMBERS_SINCE ? members[0]!.errorCode : NO_ERROR, members };
    } catch (error) {
      return { errorCode: toKafkaError(error, logger).errorCode, members: [] };
    }
  },
});
