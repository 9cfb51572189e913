/**
 * InitProducerId, versions 0–4: a producer id for an idempotent producer (KIP-98).
 *
 * - v2 is flexible; v3 lets a producer name its id and epoch (KIP-360), which counts for transactions only: without a
 *   transactional id a new one is given, as in Kafka. v4 knows PRODUCER_FENCED.
 */
import { BurrowError } from '../../../../src/errors/burrow-error.ts';
import { defineApi } from '../api.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { initProducerIdRequest, initProducerIdResponse } from '../schema/22-init-producer-id.ts';

export const initProducerId = defineApi({
  key: 22,
  name: 'InitProducerId',
  request: initProducerIdRequest,
  response: initProducerIdResponse,
  async handle({ transactionalId }, { service, logger }) {
    try {
      if (transactionalId !== null) {
        throw new BurrowError('NOT_IMPLEMENTED', 'Transactions are not supported: leave out the transactional id.');
      }
      return { errorCode: NO_ERROR, producerId: await service.allocateProducerId(), producerEpoch: 0 };
    } catch (error) {
      return { errorCode: toKafkaError(error, logger).errorCode, producerId: -1, producerEpoch: -1 };
    }
  },
});
