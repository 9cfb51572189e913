/** One subscriber process of the groups benchmark's part about push: takes its task as JSON in argv, prints its result as JSON. */
import { type Client, type ConsumerRecord, connect } from '../../client/index.ts';
import type { ThroughputResult } from '../log/worker.ts';
import { type LatencyResult, newHistogram, record, summary } from '../support/latencies.ts';

export type PushTask =
  /** Of what the topic has; `async`: by handlers that return promises. */
  | {
      readonly role: 'subscribe';
      readonly url: string;
      readonly topic: string;
      readonly records: number;
      readonly handler: 'batch' | 'sync' | 'async';
      readonly concurrency: number;
      /** Undefined: without a group. */
      readonly group?: string;
    }
  | { readonly role: 'handle-at-rate'; readonly url: string; readonly topic: string; readonly records: number };

const task = JSON.parse(process.argv[2]!) as PushTask;
const client = await connect(task.url, { connectWaitMs: 10_000 });
const result = task.role === 'subscribe' ? await subscribe(client, task) : await handleAtRate(client, task);
await client.close();
process.stdout.write(`${JSON.stringify(result)}\n`);

function subscribe(from: Client, work: Extract<PushTask, { role: 'subscribe' }>): Promise<ThroughputResult> {
  const { topic, records, handler, concurrency, group } = work;
  return new Promise((resolve) => {
    let count = 0;
    let bytes = 0;
    const startedMs = performance.now();
    const add = (more: number): void => {
      count += more;
      if (count >= records && count - more < records) {
        resolve({ records: count, bytes, seconds: (performance.now() - startedMs) / 1000 });
      }
    };
    const one = (record: ConsumerRecord): void => {
      bytes += record.valueBytes?.length ?? 0;
      add(1);
    };
    const options = { from: 'earliest', concurrency, ...(group === undefined ? {} : { group }) } as const;
    if (handler === 'batch') {
      from.subscribe(
        topic,
        async (batch) => {
          for (const record of batch.records) bytes += record.valueBytes?.length ?? 0;
          add(batch.records.length);
        },
        { ...options, batch: true },
      );
    } else {
      from.subscribe(topic, handler === 'sync' ? one : async (record) => one(record), options);
    }
  });
}

/** CLOCK_MONOTONIC is the same for all processes of a machine. */
function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** From the moment a record was due, which the producer of the log benchmark writes into it, to the handler's call. */
function handleAtRate(from: Client, work: Extract<PushTask, { role: 'handle-at-rate' }>): Promise<LatencyResult> {
  const histogram = newHistogram();
  return new Promise((resolve) => {
    let count = 0;
    from.subscribe(
      work.topic,
      async ({ valueBytes }) => {
        const dueMs = new DataView(valueBytes!.buffer, valueBytes!.byteOffset).getFloat64(0);
        // The first record only warms the path up and carries no time.
        if (dueMs > 0) record(histogram, nowMs() - dueMs);
        count += 1;
        if (count !== work.records) return;
        resolve(summary(histogram));
      },
      { from: 'earliest' },
    );
  });
}
