/**
 * Produce, versions 3–11: appends record batches as they came. Per batch.
 *
 * Announced from version 0: librdkafka before 2.12 looks for the exact version that brought a feature, and would send
 * gzip and snappy batches uncompressed (librdkafka #4956, KIP-896's exception). Versions 0–2 carry message sets of formats
 * 0 and 1 and are answered with UNSUPPORTED_VERSION.
 *
 * - v3 brings the transactional id and batches of format 2 (KIP-98); v5 the log start offset in answers.
 * - v7 allows zstd (KIP-110); v8 names bad records (KIP-467); v9 is flexible; v10 tells a moved leader (KIP-951);
 *   v11 knows TRANSACTION_ABORTABLE (KIP-890).
 * - acks=0 gets no response; if it fails, the connection is closed, which is all a client can notice (as in Kafka).
 */
import { BurrowError } from '../../../../src/errors/burrow-error.ts';
import { defineApi, type RequestContext } from '../api.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { produceRequest, produceResponse } from '../schema/00-produce.ts';
import type { Decoded } from '../schema/field.ts';

const RECORD_BATCHES_SINCE = 3;

export const produce = defineApi({
  key: 0,
  name: 'Produce',
  request: produceRequest,
  response: produceResponse,
  async handle(request, context) {
    const refusal = refuse(request, context);
    if (request.acks === 0) {
      if (refusal !== undefined) throw refusal;
      await Promise.all(
        request.topicData.flatMap(({ name, partitionData }) =>
          partitionData.map(({ index, records }) => append(context, name, index, records, 0)),
        ),
      );
      return undefined;
    }
    const responses = await Promise.all(
      request.topicData.map(async ({ name, partitionData }) => ({
        name,
        partitionResponses: await Promise.all(
          partitionData.map((data) => answerPartition(context, name, data, request.acks, refusal)),
        ),
      })),
    );
    return { responses };
  },
});

type ProduceRequest = Decoded<typeof produceRequest.fields>;
type PartitionData = ProduceRequest['topicData'][number]['partitionData'][number];

/** Why nothing of the request may be appended. */
function refuse({ acks, transactionalId }: ProduceRequest, { version }: RequestContext): BurrowError | undefined {
  if (version < RECORD_BATCHES_SINCE)
    return new BurrowError('UNSUPPORTED_VERSION', 'Produce needs version 3 or later.');
  if (acks !== 0 && acks !== 1 && acks !== -1) {
    return new BurrowError('INVALID_ARGUMENT', `acks must be 0, 1 or -1, not ${acks}.`);
  }
  if (transactionalId !== null) return new BurrowError('NOT_IMPLEMENTED', 'Transactions are not supported.');
  return undefined;
}

function append(context: RequestContext, topic: string, partition: number, records: Buffer | null, acks: number) {
  if (records === null || records.length === 0) {
    return Promise.reject(new BurrowError('INVALID_RECORD', 'The request holds no record batch for the partition.'));
  }
  return context.service.produce({ topic, partition, records, acks: acks as 0 | 1 | -1 });
}

async function answerPartition(
  context: RequestContext,
  topic: string,
  { index, records }: PartitionData,
  acks: number,
  refusal: BurrowError | undefined,
) {
  try {
    if (refusal !== undefined) throw refusal;
    const { baseOffset, logAppendTimeMs, logStartOffset } = await append(context, topic, index, records, acks);
    return { index, errorCode: NO_ERROR, baseOffset, logAppendTimeMs, logStartOffset };
  } catch (error) {
    return { index, ...toKafkaError(error, context.logger), baseOffset: -1 };
  }
}
