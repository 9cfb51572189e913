/**
 * FindCoordinator, versions 0–4: which broker coordinates a group or a transactional id. With one broker: this one.
 *
 * - v1 adds transactional ids; v3 is flexible; v4 asks for many keys at once (KIP-699).
 * - Version 0 must stay: librdkafka takes it for a sign that the broker knows lz4.
 */
import { BurrowError } from '../../../../src/errors/burrow-error.ts';
import { defineApi, type RequestContext } from '../api.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { findCoordinatorRequest, findCoordinatorResponse } from '../schema/10-find-coordinator.ts';

const KEY_TYPE_MAX = 1;

export const findCoordinator = defineApi({
  key: 10,
  name: 'FindCoordinator',
  request: findCoordinatorRequest,
  response: findCoordinatorResponse,
  handle(request, context) {
    const answer = find(request.keyType, context);
    return { ...answer, coordinators: request.coordinatorKeys.map((key) => ({ key, ...answer })) };
  },
});

function find(keyType: number, context: RequestContext) {
  try {
    if (keyType < 0 || keyType > KEY_TYPE_MAX) {
      throw new BurrowError('INVALID_ARGUMENT', `There is no coordinator of type ${keyType}.`);
    }
    const broker = context.brokers().find(({ nodeId }) => nodeId === context.service.nodeId);
    if (broker === undefined) throw new BurrowError('COORDINATOR_NOT_AVAILABLE');
    const { nodeId, host, port } = broker;
    return { errorCode: NO_ERROR, errorMessage: null, nodeId, host, port };
  } catch (error) {
    return { ...toKafkaError(error, context.logger), nodeId: -1, host: '', port: -1 };
  }
}
