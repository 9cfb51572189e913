/**
 * Queues through the SDK: a broker in a process of its own on a real disk, flush=always, and one client. Publishes with so many confirms
 * outstanding, consumption with acknowledgments, and both at once; so many rounds of each, of which the medians are printed.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Client, connect, type Queue } from '../../client/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { machineFacts } from '../support/machine.ts';

export interface QueueBenchmarkOptions {
  /** Of each part, in each round. */
  readonly messages: number;
  readonly rounds: number;
  readonly bodyBytes: number;
  readonly confirmsOutstanding: number;
  readonly prefetch: number;
}

export const FULL_QUEUES: QueueBenchmarkOptions = {
  messages: 500_000,
  rounds: 5,
  bodyBytes: 100,
  confirmsOutstanding: 1000,
  prefetch: 500,
};
export const QUICK_QUEUES: QueueBenchmarkOptions = { ...FULL_QUEUES, messages: 20_000, rounds: 1 };

export async function runQueueBenchmark(options: QueueBenchmarkOptions): Promise<void> {
  const dataDir = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-queues-'));
  const facts = machineFacts(dataDir);
  const broker = await BrokerProcess.start({ dataDir, flags: ['--disk-free-bytes-min', '0'] });
  try {
    const client = await connect(broker.nativeUrl);
    const queue = client.queue('bench');
    await queue.declare();
    const rates = { publish: [] as number[], consume: [] as number[], both: [] as number[] };
    for (let round = 0; round < options.rounds; round++) {
      rates.publish.push(await publish(queue, options));
      rates.consume.push(await consume(queue, options));
      rates.both.push(await both(client, queue, options));
    }
    await client.close();
    const medians = Object.fromEntries(Object.entries(rates).map(([part, all]) => [part, Math.round(median(all))]));
    const memory = broker.memory();
    process.stdout.write(`${JSON.stringify({ ...facts, ...options, ...medians, rates, ...memory })}\n`);
  } finally {
    await broker.stop();
    fs.rmSync(dataDir, { recursive: true });
  }
}

/** Messages a second, from the first call to the last confirm. */
async function publish(queue: Queue, options: QueueBenchmarkOptions): Promise<number> {
  const { messages, confirmsOutstanding, bodyBytes } = options;
  const body = new Uint8Array(bodyBytes).fill(0x61);
  const startMs = performance.now();
  let sent = 0;
  const worker = async (): Promise<void> => {
    while (sent < messages) {
      sent++;
      await queue.publish(body);
    }
  };
  await Promise.all(Array.from({ length: confirmsOutstanding }, worker));
  return (messages * 1000) / (performance.now() - startMs);
}

/** Messages a second, until the last acknowledgment is durable. */
async function consume(queue: Queue, { messages, prefetch }: QueueBenchmarkOptions): Promise<number> {
  const startMs = performance.now();
  let done: () => void = () => {};
  const all = new Promise<void>((resolve) => {
    done = resolve;
  });
  let count = 0;
  const consumer = await queue.consume(
    () => {
      if (++count === messages) done();
    },
    { prefetch },
  );
  await all;
  await consumer.close();
  return (messages * 1000) / (performance.now() - startMs);
}

async function both(client: Client, queue: Queue, options: QueueBenchmarkOptions): Promise<number> {
  const startMs = performance.now();
  await Promise.all([publish(client.queue(queue.name), options), consume(queue, options)]);
  return (options.messages * 1000) / (performance.now() - startMs);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}
