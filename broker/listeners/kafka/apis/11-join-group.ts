/**
 * JoinGroup, versions 0–9: becomes a member of a classic group; answered when the rebalance has all its members.
 *
 * - v1 separates the rebalance timeout from the session timeout (KIP-62). v4 gives new members an id with which to join again
 *   (KIP-394). v5 knows static members (KIP-345). v6 is flexible. v7 names the protocol type (KIP-559). v8 brings a reason
 *   for the log (KIP-800), v9 lets a returning static leader skip the assignment (KIP-814).
 */
import { asBuffer } from '../../../../src/bytes/as-buffer.ts';
import { toBurrowError } from '../../../../src/errors/burrow-error.ts';
import { failedJoin } from '../../../groups/group-errors.ts';
import type { JoinGroupOutcome } from '../../../groups/group-service.ts';
import { defineApi, type RequestContext } from '../api.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { joinGroupRequest, joinGroupResponse } from '../schema/11-join-group.ts';
import { unlessCancelled } from './waiting-member.ts';

const KNOWN_MEMBER_ID_SINCE = 4;
const NULLABLE_PROTOCOL_SINCE = 7;
const SKIP_ASSIGNMENT_SINCE = 9;

export const joinGroup = defineApi({
  key: 11,
  name: 'JoinGroup',
  request: joinGroupRequest,
  response: joinGroupResponse,
  async handle(request, context) {
    const { groups, version, clientId, clientHost } = context;
    const joined = groups.join({
      groupId: request.groupId,
      memberId: request.memberId,
      groupInstanceId: request.groupInstanceId ?? undefined,
      clientId: clientId ?? '',
      clientHost,
      protocolType: request.protocolType,
      protocols: request.protocols,
      sessionTimeoutMs: request.sessionTimeoutMs,
      // Version 0 has one timeout for both.
      rebalanceTimeoutMs: version === 0 ? request.sessionTimeoutMs : request.rebalanceTimeoutMs,
      requiresKnownMemberId: version >= KNOWN_MEMBER_ID_SINCE,
      supportsSkippingAssignment: version >= SKIP_ASSIGNMENT_SINCE,
      reason: request.reason ?? undefined,
    });
    const outcome = await unlessCancelled(joined, context).catch((error: unknown) =>
      failedJoin(request.memberId, toBurrowError(error)),
    );
    return answer(outcome, context);
  },
});

function answer(outcome: JoinGroupOutcome, { version, logger }: RequestContext) {
  const { error, protocolType, protocolName, members, ...rest } = outcome;
  return {
    ...rest,
    errorCode: error === undefined ? NO_ERROR : toKafkaError(error, logger).errorCode,
    protocolType: protocolType ?? null,
    protocolName: protocolName ?? (version >= NULLABLE_PROTOCOL_SINCE ? null : ''),
    members: members.map(({ memberId, groupInstanceId, metadata }) => ({
      memberId,
      groupInstanceId: groupInstanceId ?? null,
      metadata: asBuffer(metadata),
    })),
  };
}
