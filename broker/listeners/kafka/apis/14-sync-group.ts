/**
 * SyncGroup, versions 0–5: the leader brings the assignment, everybody gets theirs; answered when the leader has come.
 * v3 knows static members (KIP-345); v4 is flexible; v5 names the protocol (KIP-559).
 */
import { asBuffer } from '../../../../src/bytes/as-buffer.ts';
import { defineApi } from '../api.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { syncGroupRequest, syncGroupResponse } from '../schema/14-sync-group.ts';
import { unlessCancelled } from './waiting-member.ts';

const NO_ASSIGNMENT = Buffer.alloc(0);

export const syncGroup = defineApi({
  key: 14,
  name: 'SyncGroup',
  request: syncGroupRequest,
  response: syncGroupResponse,
  async handle(request, context) {
    const { groups, logger } = context;
    try {
      const synced = groups.sync({
        groupId: request.groupId,
        generationId: request.generationId,
        memberId: request.memberId,
        groupInstanceId: request.groupInstanceId ?? undefined,
        protocolType: request.protocolType ?? undefined,
        protocolName: request.protocolName ?? undefined,
        assignments: request.assignments,
      });
      const { protocolType, protocolName, assignment } = await unlessCancelled(synced, context);
      return { errorCode: NO_ERROR, protocolType, protocolName, assignment: asBuffer(assignment) };
    } catch (error) {
      return { errorCode: toKafkaError(error, logger).errorCode, assignment: NO_ASSIGNMENT };
    }
  },
});
