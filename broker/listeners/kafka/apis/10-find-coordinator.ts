/**
 * FindCoordinator, versions 0–4: which broker coordinates a group, or a transactional id (nobody does yet).
 *
 * - v1 adds transactional ids; v3 is flexible; v4 asks for many keys at once (KIP-699).
 * - Version 0 must stay: librdkafka takes it for a sign that the broker knows lz4.
 */
import { BurrowError } from '../../../../src/errors/burrow-error.ts';
import { defineApi, type RequestContext } from '../api.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { findCoordinatorRequest, findCoordinatorResponse } from '../schema/10-find-coordinator.ts';

const GROUP = 0;
const TRANSACTION = 1;
const SEVERAL_KEYS_SINCE = 4;

export const findCoordinator = defineApi({
  key: 10,
  name: 'FindCoordinator',
  request: findCoordinatorRequest,
  response: findCoordinatorResponse,
  async handle({ key, keyType, coordinatorKeys }, context) {
    if (context.version < SEVERAL_KEYS_SINCE) return find(key, keyType, context);
    const coordinators = [...new Set(coordinatorKeys)].map(async (each) => ({
      key: each,
      ...(await find(each, keyType, context)),
    }));
    return { coordinators: await Promise.all(coordinators) };
  },
});

async function find(key: string, keyType: number, context: RequestContext) {
  try {
    const coordinator = await coordinatorOf(key, keyType, context);
    const broker = context.brokers().find(({ nodeId }) => nodeId === coordinator);
    if (broker === undefined) throw new BurrowError('COORDINATOR_NOT_AVAILABLE');
    const { nodeId, host, port } = broker;
    return { errorCode: NO_ERROR, errorMessage: null, nodeId, host, port };
  } catch (error) {
    return { ...toKafkaError(error, context.logger), nodeId: -1, host: '', port: -1 };
  }
}

async function coordinatorOf(key: string, keyType: number, { groups }: RequestContext): Promise<number> {
  if (keyType === GROUP) return groups.coordinatorOf(key);
  if (keyType === TRANSACTION) throw new BurrowError('COORDINATOR_NOT_AVAILABLE', 'Transactions are not supported.');
  throw new BurrowError('INVALID_ARGUMENT', `There is no coordinator of type ${keyType}.`);
}
