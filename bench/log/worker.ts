/**
 * One client process of the log benchmark: takes its task as JSON in argv, prints its result as JSON. Producers and
 * consumers are processes of their own, as in life, and so that the broker's share of the machine can be told.
 */
import { connect } from '../../client/index.ts';
import { type LatencyResult, newHistogram, record, summary } from '../support/latencies.ts';

export type WorkerTask =
  | {
      readonly role: 'produce';
      readonly url: string;
      readonly topic: string;
      readonly partitions: number;
      readonly records: number;
      readonly recordBytes: number;
      /** Undefined: the SDK's default. */
      readonly batchBytes?: number;
    }
  | {
      readonly role: 'consume';
      readonly url: string;
      readonly topic: string;
      readonly records: number;
      readonly fromEnd?: number;
    }
  | {
      readonly role: 'send-at-rate';
      readonly url: string;
      readonly topic: string;
      readonly perSecond: number;
      readonly seconds: number;
      readonly recordBytes: number;
    }
  | { readonly role: 'receive-at-rate'; readonly url: string; readonly topic: string; readonly records: number };

export interface ThroughputResult {
  readonly records: number;
  readonly bytes: number;
  readonly seconds: number;
}

const CHUNK_RECORDS = 5000;
/** Chunks under way at once: enough that the broker is never without work. */
const CHUNKS_IN_FLIGHT = 8;

const task = JSON.parse(process.argv[2]!) as WorkerTask;
const client = await connect(task.url, { connectWaitMs: 10_000 });
const result = await run(task);
await client.close();
process.stdout.write(`${JSON.stringify(result)}\n`);

function run(work: WorkerTask): Promise<ThroughputResult | LatencyResult> {
  switch (work.role) {
    case 'produce':
      return produce(work);
    case 'consume':
      return consume(work);
    case 'send-at-rate':
      return sendAtRate(work);
    case 'receive-at-rate':
      return receiveAtRate(work);
  }
}

async function produce(work: Extract<WorkerTask, { role: 'produce' }>): Promise<ThroughputResult> {
  const { topic, partitions, records, recordBytes, batchBytes } = work;
  const producer = client.producer(batchBytes === undefined ? {} : { batchBytes });
  const value = new Uint8Array(recordBytes).fill(0x78);
  // With several partitions, every chunk goes to all of them: many small batches at once.
  const chunk = Array.from({ length: CHUNK_RECORDS }, (_, i) => ({ topic, value, partition: i % partitions }));
  await producer.sendMany(chunk.slice(0, partitions));
  let left = records;
  const startedMs = performance.now();
  const lane = async (): Promise<void> => {
    while (left > 0) {
      const count = Math.min(left, CHUNK_RECORDS);
      left -= count;
      await producer.sendMany(count === CHUNK_RECORDS ? chunk : chunk.slice(0, count));
    }
  };
  await Promise.all(Array.from({ length: CHUNKS_IN_FLIGHT }, lane));
  const seconds = (performance.now() - startedMs) / 1000;
  await producer.close();
  return { records, bytes: records * recordBytes, seconds };
}

async function consume(work: Extract<WorkerTask, { role: 'consume' }>): Promise<ThroughputResult> {
  const { topic, records, fromEnd } = work;
  const consumer = client.consumer({ from: 'earliest' });
  if (fromEnd === undefined) {
    await consumer.assign([{ topic }]);
  } else {
    const [status] = await client.admin().partitionStatus(topic);
    await consumer.assign([{ topic, partition: 0, from: { offset: status!.highWatermark - fromEnd } }]);
  }
  let count = 0;
  let bytes = 0;
  const startedMs = performance.now();
  for await (const batch of consumer.batches()) {
    for (const record of batch.records) bytes += record.valueBytes?.length ?? 0;
    count += batch.records.length;
    if (count >= records) break;
  }
  const seconds = (performance.now() - startedMs) / 1000;
  await consumer.close();
  return { records: count, bytes, seconds };
}

/** CLOCK_MONOTONIC is the same for all processes of a machine. */
function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Latency from the moment a record was due, not from when it was sent: a stall counts for all that it delays. */
async function sendAtRate(work: Extract<WorkerTask, { role: 'send-at-rate' }>): Promise<LatencyResult> {
  const { topic, perSecond, seconds, recordBytes } = work;
  const producer = client.producer();
  const histogram = newHistogram();
  const total = perSecond * seconds;
  const pending: Array<Promise<void>> = [];
  await producer.send({ topic, value: new Uint8Array(recordBytes), partition: 0 });
  const startMs = nowMs() + 50;
  for (let sent = 0; sent < total; ) {
    const dueCount = Math.min(total, Math.floor(((nowMs() - startMs) / 1000) * perSecond));
    for (; sent < dueCount; sent++) {
      const dueMs = startMs + (sent / perSecond) * 1000;
      const value = new Uint8Array(recordBytes);
      new DataView(value.buffer).setFloat64(0, dueMs);
      pending.push(producer.send({ topic, value, partition: 0 }).then(() => record(histogram, nowMs() - dueMs)));
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(pending);
  await producer.close();
  return summary(histogram);
}

async function receiveAtRate(work: Extract<WorkerTask, { role: 'receive-at-rate' }>): Promise<LatencyResult> {
  const { topic, records } = work;
  const consumer = client.consumer({ assignment: [{ topic }], from: 'earliest' });
  const histogram = newHistogram();
  let count = 0;
  for await (const batch of consumer.batches()) {
    const receivedMs = nowMs();
    for (const { valueBytes } of batch.records) {
      if (valueBytes === null) continue;
      const dueMs = new DataView(valueBytes.buffer, valueBytes.byteOffset).getFloat64(0);
      // The first record only warms the path up and carries no time.
      if (dueMs > 0) record(histogram, receivedMs - dueMs);
    }
    count += batch.records.length;
    if (count > records) break;
  }
  await consumer.close();
  return summary(histogram);
}
