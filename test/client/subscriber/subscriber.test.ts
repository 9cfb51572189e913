/** client.subscribe against a broker in this process. */
import { describe, expect, test } from 'vitest';
import type { ConsumerBatch, ConsumerRecord } from '../../../client/index.ts';
import { connectTo, eventually, Gate, quick, startBed, TestPolicy, text } from './subscriber-bed.ts';

const decoder = new TextDecoder();

async function committedOf(client: Awaited<ReturnType<typeof connectTo>>, group: string, topic: string) {
  const [description] = await client.admin().describeGroups([group]);
  return description;
}

test('records come to the handler and are committed when it is done', async () => {
  const { client, produce } = await startBed();
  await client.admin().createTopic({ name: 'orders', partitions: 3 });
  const seen: string[] = [];
  const subscriber = client.subscribe<string, string>(
    'orders',
    async (record) => {
      seen.push(`${record.key}=${record.value}`);
    },
    { ...text, ...quick, group: 'g', from: 'earliest' },
  );
  const records = Array.from({ length: 100 }, (_, index) => ({ key: `k${index % 7}`, value: `${index}` }));
  await produce('orders', records);
  await eventually(() => seen.length === 100);
  expect(new Set(seen)).toEqual(new Set(records.map(({ key, value }) => `${key}=${value}`)));
  await subscriber.close();
  await subscriber.closed;
});
