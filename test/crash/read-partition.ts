/** Reads one partition to an end that is known beforehand. */
import type { Client, ConsumerRecord } from '../../client/index.ts';

const STALLED_MS = 15_000;

export interface PartitionRange {
  readonly topic: string;
  readonly partition: number;
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

/** Calls `onRecord` for each record from `from` to `to`; rejects if they do not come. */
export async function readPartition(
  client: Client,
  { topic, partition, from, to }: PartitionRange,
  onRecord: (record: ConsumerRecord) => void,
): Promise<void> {
  const consumer = client.consumer({
    assignment: [{ topic, partition, from: { offset: from } }],
    // Where records are removed meanwhile; whether they may be is for the caller to say.
    onOutOfRange: 'earliest',
  });
  for (let next = from; next < to; ) {
    const records = await consumer.poll({ timeoutMs: STALLED_MS });
    if (records.length === 0) throw new Error(`${topic}-${partition}: nothing comes from ${next} on, up to ${to}`);
    for (const record of records) onRecord(record);
    next = records.at(-1)!.offset + 1;
  }
  await consumer.close();
}
