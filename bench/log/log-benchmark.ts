/**
 * `npm run bench -- log`: what the log does on this machine. One broker process, one producer process, one consumer
 * process; flush=none and flush=always in turn within each round, medians over the rounds. Writes a dated report.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect } from '../../client/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { median, say, spread, thousands } from '../support/figures.ts';
import type { LatencyResult } from '../support/latencies.ts';
import { machineFacts } from '../support/machine.ts';
import { machineLine, writeReport } from '../support/report.ts';
import type { ThroughputResult, WorkerTask } from './worker.ts';

const WORKER = fileURLToPath(new URL('./worker.js', import.meta.url));
const FLUSHES = ['none', 'always'] as const;
const TOPIC = 'bench';

export interface LogBenchmarkOptions {
  readonly rounds: number;
  readonly recordsOf100Bytes: number;
  readonly latencySeconds: number;
  /** Size of the large log whose head is consumed; 0 leaves that part out. */
  readonly largeLogBytes: number;
  /** Where data folders are made. */
  readonly folder: string;
}

export const FULL: LogBenchmarkOptions = {
  rounds: 5,
  recordsOf100Bytes: 5_000_000,
  latencySeconds: 15,
  largeLogBytes: 10 * 1024 ** 3,
  folder: os.tmpdir(),
};

/** Small enough to see in a minute that everything runs. */
export const QUICK: LogBenchmarkOptions = {
  rounds: 1,
  recordsOf100Bytes: 500_000,
  latencySeconds: 3,
  largeLogBytes: 0,
  folder: os.tmpdir(),
};

/** Rounds that compare numbers of partitions write this many times the records of the others. */
const SCALING_FACTOR = 3;

interface Row {
  readonly name: string;
  readonly flush: string;
  readonly recordsPerSecond: number[];
  readonly megabytesPerSecond: number[];
  readonly peakMemoryMiB: number[];
  readonly brokerCpuSecondsPerMillion: number[];
}

interface LatencyRow extends LatencyResult {
  readonly name: string;
  readonly flush: string;
}

export async function runLogBenchmark(options: LogBenchmarkOptions): Promise<void> {
  const throughput = new Map<string, Row>();
  const latencies: LatencyRow[] = [];
  for (let round = 1; round <= options.rounds; round++) {
    for (const flush of FLUSHES) {
      for (const recordBytes of [100, 1024]) await throughputRound(options, flush, recordBytes, throughput);
      for (const partitions of [1, 8, 64, 512]) await scalingRound(options, flush, partitions, throughput);
    }
    say(`round ${round} of ${options.rounds} done`);
  }
  for (const flush of FLUSHES) latencies.push(...(await latencyRound(options, flush)));
  if (options.largeLogBytes > 0) await largeLogRound(options, throughput);
  report(options, [...throughput.values()], latencies);
}

/** Produce alone, consume alone, both at once. */
async function throughputRound(
  options: LogBenchmarkOptions,
  flush: string,
  recordBytes: number,
  rows: Map<string, Row>,
): Promise<void> {
  const records = recordBytes === 100 ? options.recordsOf100Bytes : Math.ceil(options.recordsOf100Bytes / 5);
  await withBroker(options, flush, 1, async (broker) => {
    const produce: WorkerTask = {
      role: 'produce',
      url: broker.nativeUrl,
      topic: TOPIC,
      partitions: 1,
      records,
      recordBytes,
    };
    const consume: WorkerTask = { role: 'consume', url: broker.nativeUrl, topic: TOPIC, records };
    await measure(rows, broker, `produce ${recordBytes} B`, flush, () => work<ThroughputResult>(produce));
    await measure(rows, broker, `consume ${recordBytes} B`, flush, () => work<ThroughputResult>(consume));
  });
  await withBroker(options, flush, 1, async (broker) => {
    const produce: WorkerTask = {
      role: 'produce',
      url: broker.nativeUrl,
      topic: TOPIC,
      partitions: 1,
      records,
      recordBytes,
    };
    const consume: WorkerTask = { role: 'consume', url: broker.nativeUrl, topic: TOPIC, records };
    await measure(rows, broker, `produce and consume ${recordBytes} B (of each)`, flush, async () => {
      const [produced, consumed] = await Promise.all([
        work<ThroughputResult>(produce),
        work<ThroughputResult>(consume),
      ]);
      return produced.seconds > consumed.seconds ? produced : consumed;
    });
  });
}

async function scalingRound(
  options: LogBenchmarkOptions,
  flush: string,
  partitions: number,
  rows: Map<string, Row>,
): Promise<void> {
  // Long enough that opening hundreds of files at the beginning is no large part of it.
  const records = options.recordsOf100Bytes * SCALING_FACTOR;
  await withBroker(options, flush, partitions, (broker) =>
    measure(rows, broker, `produce 100 B to ${partitions} partition(s)`, flush, () =>
      work({ role: 'produce', url: broker.nativeUrl, topic: TOPIC, partitions, records, recordBytes: 100 }),
    ),
  );
}

async function latencyRound(options: LogBenchmarkOptions, flush: string): Promise<LatencyRow[]> {
  const perSecond = 10_000;
  const seconds = options.latencySeconds;
  return withBroker(options, flush, 1, async (broker) => {
    const url = broker.nativeUrl;
    const [received, sent] = await Promise.all([
      work<LatencyResult>({ role: 'receive-at-rate', url, topic: TOPIC, records: perSecond * seconds }),
      work<LatencyResult>({ role: 'send-at-rate', url, topic: TOPIC, perSecond, seconds, recordBytes: 100 }),
    ]);
    return [
      { name: 'acknowledgment, 10,000/s of 100 B', flush, ...sent },
      { name: 'end to end, 10,000/s of 100 B', flush, ...received },
    ];
  });
}

/** The head of a large log must be as fast to consume as that of a small one. */
async function largeLogRound(options: LogBenchmarkOptions, rows: Map<string, Row>): Promise<void> {
  const small = 10 * 1024 ** 2;
  for (const [label, bytes] of [
    ['10 MB', small],
    [`${Math.round(options.largeLogBytes / 1024 ** 3)} GB`, options.largeLogBytes],
  ] as const) {
    await withBroker(options, 'none', 1, async (broker) => {
      const url = broker.nativeUrl;
      const head = Math.floor(small / 1024);
      await work({
        role: 'produce',
        url,
        topic: TOPIC,
        partitions: 1,
        records: Math.ceil(bytes / 1024),
        recordBytes: 1024,
      });
      for (let round = 0; round < options.rounds; round++) {
        await measure(rows, broker, `consume the head of a ${label} log, 1024 B`, 'none', () =>
          work({ role: 'consume', url, topic: TOPIC, records: head, fromEnd: head }),
        );
      }
      const records = Math.min(Math.ceil(bytes / 1024), 2_000_000);
      await measure(rows, broker, `consume a ${label} log from its start, 1024 B`, 'none', () =>
        work({ role: 'consume', url, topic: TOPIC, records }),
      );
    });
  }
}

async function withBroker<T>(
  options: LogBenchmarkOptions,
  flush: string,
  partitions: number,
  run: (broker: BrokerProcess) => Promise<T>,
): Promise<T> {
  const dataDir = fs.mkdtempSync(path.join(options.folder, 'burrow-bench-'));
  const broker = await BrokerProcess.start({ dataDir, flags: ['--flush', flush, '--log-level', 'warn'] });
  try {
    const client = await connect(broker.nativeUrl);
    await client.admin().createTopic({ name: TOPIC, partitions });
    await client.close();
    return await run(broker);
  } finally {
    await broker.stop();
    fs.rmSync(dataDir, { recursive: true, force: true });
  }
}

async function measure(
  rows: Map<string, Row>,
  broker: BrokerProcess,
  name: string,
  flush: string,
  run: () => Promise<ThroughputResult>,
): Promise<void> {
  const cpuBefore = broker.cpuSeconds() ?? 0;
  const { records, bytes, seconds } = await run();
  const cpuSeconds = (broker.cpuSeconds() ?? 0) - cpuBefore;
  const key = `${name} ${flush}`;
  let row = rows.get(key);
  if (row === undefined) {
    row = {
      name,
      flush,
      recordsPerSecond: [],
      megabytesPerSecond: [],
      peakMemoryMiB: [],
      brokerCpuSecondsPerMillion: [],
    };
    rows.set(key, row);
  }
  row.recordsPerSecond.push(records / seconds);
  row.megabytesPerSecond.push(bytes / seconds / 1e6);
  row.peakMemoryMiB.push((broker.memory()?.peakBytes ?? 0) / 1024 ** 2);
  row.brokerCpuSecondsPerMillion.push((cpuSeconds / records) * 1e6);
  say(`${name}, flush=${flush}: ${thousands(records / seconds)} records/s`);
}

/** Runs a worker process to its end. */
function work<T = ThroughputResult>(task: WorkerTask): Promise<T> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [WORKER, JSON.stringify(task)], { stdio: ['ignore', 'pipe', 'inherit'] });
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

function report(options: LogBenchmarkOptions, rows: readonly Row[], latencies: readonly LatencyRow[]): void {
  const facts = machineFacts(options.folder);
  const day = new Date().toISOString().slice(0, 10);
  const lines = [
    `# Log benchmark, ${day}`,
    '',
    machineLine(facts),
    '',
    `One broker process, one producer and one consumer process on the same cores, native SDK, uncompressed. Medians over ${options.rounds} rounds, lowest and highest in brackets.`,
    '',
    '| what | flush | records/s | MB/s | peak memory of the broker | broker CPU s per million |',
    '|---|---|---:|---:|---:|---:|',
    ...rows.map(
      (row) =>
        `| ${row.name} | ${row.flush} | ${spread(row.recordsPerSecond)} | ${median(row.megabytesPerSecond).toFixed(0)} | ` +
        `${Math.max(...row.peakMemoryMiB).toFixed(0)} MiB | ${median(row.brokerCpuSecondsPerMillion).toFixed(2)} |`,
    ),
    '',
    'Latency counts from the moment a record was due, not from when it was sent.',
    '',
    '| what | flush | p50 | p99 | p99.9 | max |',
    '|---|---|---:|---:|---:|---:|',
    ...latencies.map(
      ({ name, flush, p50Ms, p99Ms, p999Ms, maxMs }) =>
        `| ${name} | ${flush} | ${[p50Ms, p99Ms, p999Ms, maxMs].map((ms) => `${ms.toFixed(2)} ms`).join(' | ')} |`,
    ),
    '',
  ];
  const data = { options: { ...options, folder: undefined }, rows, latencies };
  writeReport({ bench: 'log', day, facts, lines, data });
}
