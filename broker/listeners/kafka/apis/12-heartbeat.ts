/** Heartbeat, versions 0–4: a member lives; the answer tells it to join again. v3 knows static members; v4 is flexible. */
import { defineApi } from '../api.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { heartbeatRequest, heartbeatResponse } from '../schema/12-heartbeat.ts';

export const heartbeat = defineApi({
  key: 12,
  name: 'Heartbeat',
  request: heartbeatRequest,
  response: heartbeatResponse,
  handle({ groupId, generationId, memberId, groupInstanceId }, { groups, logger }) {
    try {
      groups.heartbeat({ groupId, generationId, memberId, groupInstanceId: groupInstanceId ?? undefined });
      return { errorCode: NO_ERROR };
    } catch (error) {
      return { errorCode: toKafkaError(error, logger).errorCode };
    }
  },
});
