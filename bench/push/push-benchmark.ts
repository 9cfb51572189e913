/**
 * `npm run bench -- push`: what subscribers do on this machine, beside the pull consumer. One broker process, one producer process, one
 * subscriber process, all at work at once; rounds in turn, medians. Prints its figures and writes nothing.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect } from '../../client/index.ts';
import type { ThroughputResult, WorkerTask } from '../log/worker.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import type { LatencyResult } from '../support/latencies.ts';
import type { PushTask } from './worker.ts';

const PUSH_WORKER = fileURLToPath(new URL('./worker.js', import.meta.url));
const LOG_WORKER = fileURLToPath(new URL('../log/worker.js', import.meta.url));
const TOPIC = 'bench';
const PARTITIONS = 4;

export interface PushBenchmarkOptions {
  readonly rounds: number;
  readonly records: number;
  readonly latencySeconds: number;
}

export const PUSH_FULL: PushBenchmarkOptions = { rounds: 3, records: 2_000_000, latencySeconds: 15 };
export const PUSH_QUICK: PushBenchmarkOptions = { rounds: 1, records: 500_000, latencySeconds: 4 };

const SUBSCRIBERS = [
  { name: 'pull, batches', handler: undefined, concurrency: 1, group: undefined },
  { name: 'push, batch handler', handler: 'batch', concurrency: 4, group: undefined },
  { name: 'push, batch handler, group', handler: 'batch', concurrency: 4, group: 'bench' },
  { name: 'push, handler without promise', handler: 'sync', concurrency: 1, group: undefined },
  { name: 'push, async handler, 1 at once', handler: 'async', concurrency: 1, group: undefined },
  { name: 'push, async handler, 16 at once, group', handler: 'async', concurrency: 16, group: 'bench' },
] as const;

export async function runPushBenchmark(options: PushBenchmarkOptions): Promise<void> {
  const { rounds, records } = options;
  const stored = new Map<string, number[]>();
  const live = new Map<string, number[]>();
  for (let round = 0; round < rounds; round++) {
    for (const subscriber of SUBSCRIBERS) {
      await withBroker(async (url) => {
        await produce(url, records);
        add(stored, subscriber.name, await consume(url, subscriber, records));
      });
      await withBroker(async (url) => {
        const [, perSecond] = await Promise.all([produce(url, records), consume(url, subscriber, records)]);
        add(live, subscriber.name, perSecond);
      });
    }
  }
  for (const [title, figures] of [
    ['stored records of 100 B, records/s', stored],
    ['while they are produced, records/s', live],
  ] as const) {
    say(title);
    for (const [name, values] of figures)
      say(`  ${name.padEnd(42)} ${Math.round(median(values)).toLocaleString('en-US')}`);
  }
  say('end to end at 10,000/s of 100 B, flush=always, from when a record was due');
  for (let round = 0; round < rounds; round++) {
    for (const kind of ['pull', 'push'] as const) {
      say(`  ${kind} ${JSON.stringify(await latencyRound(options.latencySeconds, kind))}`);
    }
  }
}

type Subscribing = (typeof SUBSCRIBERS)[number];

async function consume(url: string, { handler, concurrency, group }: Subscribing, records: number): Promise<number> {
  const task: WorkerTask | PushTask =
    handler === undefined
      ? { role: 'consume', url, topic: TOPIC, records }
      : {
          role: 'subscribe',
          url,
          topic: TOPIC,
          records,
          handler,
          concurrency,
          ...(group === undefined ? {} : { group }),
        };
  const done = await work<ThroughputResult>(handler === undefined ? LOG_WORKER : PUSH_WORKER, task);
  return done.records / done.seconds;
}

function produce(url: string, records: number): Promise<ThroughputResult> {
  const task: WorkerTask = { role: 'produce', url, topic: TOPIC, partitions: PARTITIONS, records, recordBytes: 100 };
  return work(LOG_WORKER, task);
}

async function latencyRound(seconds: number, kind: 'pull' | 'push'): Promise<LatencyResult> {
  const perSecond = 10_000;
  return withBroker(async (url) => {
    const send: WorkerTask = { role: 'send-at-rate', url, topic: TOPIC, perSecond, seconds, recordBytes: 100 };
    const asked = { url, topic: TOPIC, records: perSecond * seconds };
    const [handled] = await Promise.all([
      kind === 'push'
        ? work<LatencyResult>(PUSH_WORKER, { role: 'handle-at-rate', ...asked })
        : work<LatencyResult>(LOG_WORKER, { role: 'receive-at-rate', ...asked }),
      work(LOG_WORKER, send),
    ]);
    return handled;
  });
}

async function withBroker<T>(run: (url: string) => Promise<T>): Promise<T> {
  const dataDir = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-bench-'));
  const broker = await BrokerProcess.start({ dataDir, flags: ['--log-level', 'warn'] });
  try {
    const client = await connect(broker.nativeUrl);
    await client.admin().createTopic({ name: TOPIC, partitions: PARTITIONS });
    await client.close();
    return await run(broker.nativeUrl);
  } finally {
    await broker.stop();
    fs.rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Runs a worker process to its end. */
function work<T = ThroughputResult>(worker: string, task: WorkerTask | PushTask): Promise<T> {
  return new Promise((resolve, reject) => {
    const words = (process.env['BENCH_NODE_OPTIONS'] ?? '').split(' ').filter((word) => word !== '');
    const child = spawn(process.execPath, [...words, worker, JSON.stringify(task)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.on('close', (code) => {
      if (code === 0) resolve(JSON.parse(output) as T);
      else reject(new Error(`the ${task.role} worker ended with code ${code}`));
    });
  });
}

function add(figures: Map<string, number[]>, name: string, value: number): void {
  figures.set(name, [...(figures.get(name) ?? []), value]);
  say(`${name}: ${Math.round(value).toLocaleString('en-US')}`);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
