/**
 * DeleteRecords, versions 0–2 (KIP-107): raises the log start offset; -1 means the high watermark. v2 is flexible.
 */
import { defineApi, type RequestContext } from '../api.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { deleteRecordsRequest, deleteRecordsResponse } from '../schema/21-delete-records.ts';

export const deleteRecords = defineApi({
  key: 21,
  name: 'DeleteRecords',
  request: deleteRecordsRequest,
  response: deleteRecordsResponse,
  async handle(request, context) {
    const topics = request.topics.map(async ({ name, partitions }) => ({
      name,
      partitions: await Promise.all(
        partitions.map(({ partitionIndex, offset }) => deleteBelow(name, partitionIndex, offset, context)),
      ),
    }));
    return { topics: await Promise.all(topics) };
  },
});

async function deleteBelow(topic: string, partition: number, offset: number, { service, logger }: RequestContext) {
  try {
    const lowWatermark = await service.deleteRecords({ topic, partition, offset });
    return { partitionIndex: partition, lowWatermark, errorCode: NO_ERROR };
  } catch (error) {
    return { partitionIndex: partition, lowWatermark: -1, errorCode: toKafkaError(error, logger).errorCode };
  }
}
