/** The project's own SDK, over its own protocol: beside the foreign clients on the same topics. */
import { type Client, connect } from '../../../../client/index.ts';
import type { KafkaTarget } from '../../../support/kafka-target.ts';
import type { ClientAdapter, ConsumedMessage } from '../client-adapter.ts';

async function withClient<T>(target: KafkaTarget, use: (client: Client) => Promise<T>): Promise<T> {
  const client = await connect(target.nativeUrl);
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

function text(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString('utf8');
}

export const nativeSdkAdapter: ClientAdapter = {
  timestamps: true,

  produce: (target, { topic, partition, codec = 'none', idempotent = true, messages }) =>
    withClient(target, async (client) => {
      const producer = client.producer({ compression: codec, idempotent });
      const records = messages.map(({ key, value, headers, timestampMs }) => ({
        topic,
        partition,
        key: key === null ? null : Buffer.from(key),
        value: value === null ? null : Buffer.from(value),
        headers,
        timestampMs,
      }));
      await producer.sendMany(records);
      await producer.close();
    }),

  consume: (target, topic, partition, fromOffset) =>
    withClient(target, async (client) => {
      const statuses = await client.admin().partitionStatus(topic);
      const end = statuses.find((status) => status.partition === partition)!.highWatermark;
      const consumer = client.consumer({ assignment: [{ topic, partition, from: { offset: fromOffset } }] });
      const found: ConsumedMessage[] = [];
      while ((found.at(-1)?.offset ?? fromOffset - 1) < end - 1) {
        for (const record of await consumer.poll({ timeoutMs: 10_000 })) {
          found.push({
            partition,
            offset: record.offset,
            key: text(record.keyBytes),
            value: text(record.valueBytes),
            headers: record.headers.map(({ key, value }) => [key, text(value) ?? '']),
            timestampMs: record.timestampMs,
          });
        }
      }
      await consumer.close();
      return found;
    }),

  offsetForTime: (target, topic, partition, timestampMs) =>
    withClient(target, async (client) => {
      const offsets = await client.admin().offsets(topic, { timestampMs });
      return offsets.find((found) => found.partition === partition)!.offset;
    }),
};
