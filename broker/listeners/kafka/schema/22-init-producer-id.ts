import { int16, int32, int64, message, nullableString } from './field.ts';

export const initProducerIdRequest = message(
  'InitProducerIdRequest',
  { versions: [0, 4], flexibleSince: 2 },
  {
    transactionalId: nullableString(),
    transactionTimeoutMs: int32(),
    producerId: int64({ since: 3, default: -1 }),
    producerEpoch: int16({ since: 3, default: -1 }),
  },
);

export const initProducerIdResponse = message(
  'InitProducerIdResponse',
  { versions: [0, 4], flexibleSince: 2 },
  {
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16(),
    producerId: int64({ default: -1 }),
    producerEpoch: int16(),
  },
);
