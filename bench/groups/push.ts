/**
 * Subscribers, to whom brokers push, beside the consumer that pulls: throughput of what is stored and of what is produced meanwhile, and
 * latency. One broker, one producer and one subscriber process, all at work at once; the ways in turn within each round.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ThroughputResult, WorkerTask } from '../log/worker.ts';
import { median, say, spread, thousands } from '../support/figures.ts';
import type { LatencyResult } from '../support/latencies.ts';
import type { PartResult } from '../support/parts.ts';
import { type Bench, withBroker } from '../support/with-broker.ts';
import type { GroupsBenchmarkOptions } from './options.ts';
import type { PushTask } from './push-worker.ts';

const PUSH_WORKER = fileURLToPath(new URL('./push-worker.js', import.meta.url));
const LOG_WORKER = fileURLToPath(new URL('../log/worker.js', import.meta.url));
const TOPIC = 'push';
const PARTITIONS = 4;
const RECORD_BYTES = 100;
const PER_SECOND = 10_000;

/** `aim`: records/s that a quiet machine of two cores is to reach. */
const WAYS = [
  { name: 'pull, batches', handler: undefined, concurrency: 1, group: undefined, aim: undefined },
  { name: 'push, batch handler', handler: 'batch', concurrency: 4, group: undefined, aim: 500_000 },
  { name: 'push, batch handler, in a group', handler: 'batch', concurrency: 4, group: 'push', aim: 500_000 },
  { name: 'push, handler without promise', handler: 'sync', concurrency: 1, group: undefined, aim: 150_000 },
  { name: 'push, async handler, 1 at once', handler: 'async', concurrency: 1, group: undefined, aim: 150_000 },
  {
    name: 'push, async handler, 16 at once, in a group',
    handler: 'async',
    concurrency: 16,
    group: 'push',
    aim: 150_000,
  },
] as const;
const LATENCY_WAYS = ['pull', 'push'] as const;
/** Aimed at for push. */
const P99_AIM_MS = 10;

type Way = (typeof WAYS)[number];

export async function measurePush(options: GroupsBenchmarkOptions): Promise<PartResult> {
  const { rounds, pushRecords: records, latencySeconds } = options;
  const rows = WAYS.map((way) => ({ way, stored: [] as number[], live: [] as number[] }));
  const latencies = LATENCY_WAYS.map((way) => ({ way, results: [] as LatencyResult[] }));
  for (let round = 1; round <= rounds; round++) {
    for (const { way, stored, live } of rows) {
      await withTopic(async (url) => {
        await produce(url, records);
        stored.push(await consume(url, way, records));
      });
      await withTopic(async (url) => {
        const [, perSecond] = await Promise.all([produce(url, records), consume(url, way, records)]);
        live.push(perSecond);
      });
      say(`${way.name}: ${thousands(stored.at(-1)!)} records/s stored, ${thousands(live.at(-1)!)} live`);
    }
    for (const { way, results } of latencies) {
      results.push(await latency(way, latencySeconds));
      say(`${way}: p99 ${results.at(-1)!.p99Ms.toFixed(2)} ms`);
    }
  }
  const lines = [
    '## Push and pull',
    '',
    `${thousands(records)} records of ${RECORD_BYTES} B in ${PARTITIONS} partitions, flush=always: stored before, and while one process produces them on the same cores.`,
    '',
    '| way | stored, records/s | while they are produced, records/s | aim |',
    '|---|---:|---:|---:|',
    ...rows.map(({ way, stored, live }) => {
      const aim = way.aim === undefined ? '' : thousands(way.aim);
      return `| ${way.name} | ${spread(stored)} | ${spread(live)} | ${aim} |`;
    }),
    '',
    `End to end at ${thousands(PER_SECOND)} records/s of ${RECORD_BYTES} B, flush=always, from the moment a record was due to the call of the handler.`,
    '',
    '| way | p50 | p99 | p99.9 | max | aim for p99 |',
    '|---|---:|---:|---:|---:|---:|',
    ...latencies.map(({ way, results }) => {
      const ms = (of: (result: LatencyResult) => number): string => `${median(results.map(of)).toFixed(2)} ms`;
      const figures = [ms(({ p50Ms }) => p50Ms), ms(({ p99Ms }) => p99Ms), ms(({ p999Ms }) => p999Ms)];
      const aim = way === 'push' ? `${P99_AIM_MS} ms` : '';
      return `| ${way} | ${figures.join(' | ')} | ${ms(({ maxMs }) => maxMs)} | ${aim} |`;
    }),
    '',
  ];
  const throughput = rows.map(({ way, stored, live }) => ({ way: way.name, stored, live }));
  return { lines, data: { push: { throughput, latencies } } };
}

async function consume(url: string, way: Way, records: number): Promise<number> {
  const { handler, concurrency, group } = way;
  const asked = { url, topic: TOPIC, records };
  const done = await (handler === undefined
    ? work<ThroughputResult>(LOG_WORKER, { role: 'consume', ...asked })
    : work<ThroughputResult>(PUSH_WORKER, {
        role: 'subscribe',
        ...asked,
        handler,
        concurrency,
        ...(group === undefined ? {} : { group }),
      }));
  return done.records / done.seconds;
}

function produce(url: string, records: number): Promise<ThroughputResult> {
  return work(LOG_WORKER, {
    role: 'produce',
    url,
    topic: TOPIC,
    partitions: PARTITIONS,
    records,
    recordBytes: RECORD_BYTES,
  });
}

function latency(way: 'pull' | 'push', seconds: number): Promise<LatencyResult> {
  const asked = { topic: TOPIC, records: PER_SECOND * seconds };
  return withTopic(async (url) => {
    const [handled] = await Promise.all([
      way === 'push'
        ? work<LatencyResult>(PUSH_WORKER, { role: 'handle-at-rate', url, ...asked })
        : work<LatencyResult>(LOG_WORKER, { role: 'receive-at-rate', url, ...asked }),
      work(LOG_WORKER, {
        role: 'send-at-rate',
        url,
        topic: TOPIC,
        perSecond: PER_SECOND,
        seconds,
        recordBytes: RECORD_BYTES,
      }),
    ]);
    return handled;
  });
}

function withTopic<T>(run: (url: string) => Promise<T>): Promise<T> {
  return withBroker(async ({ broker, client }: Bench) => {
    await client.admin().createTopic({ name: TOPIC, partitions: PARTITIONS });
    return run(broker.nativeUrl);
  });
}

/** Runs a worker process to its end. */
function work<T = ThroughputResult>(worker: string, task: WorkerTask | PushTask): Promise<T> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [worker, JSON.stringify(task)], { stdio: ['ignore', 'pipe', 'inherit'] });
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
