/** One topic consumed by one member, and by four in processes of their own; in turn within each round. */
import { median, say, spread, thousands } from '../support/figures.ts';
import type { PartResult } from '../support/parts.ts';
import { type Bench, withBroker } from '../support/with-broker.ts';
import { settled } from './group-view.ts';
import type { GroupsBenchmarkOptions } from './options.ts';
import { GroupWorker } from './worker-process.ts';

const TOPIC = 'throughput';
const PARTITIONS = 8;
const MEMBERS = [1, 4] as const;
const RECORD_BYTES = 100;
const CHUNK_RECORDS = 5000;

interface Row {
  readonly members: number;
  readonly recordsPerSecond: number[];
  readonly brokerCpuSecondsPerMillion: number[];
}

export async function measureThroughput(options: GroupsBenchmarkOptions): Promise<PartResult> {
  const rows = MEMBERS.map((members): Row => ({ members, recordsPerSecond: [], brokerCpuSecondsPerMillion: [] }));
  const recordsPerPartition = Math.ceil(options.records / PARTITIONS / CHUNK_RECORDS) * CHUNK_RECORDS;
  await withBroker(async (bench) => {
    await fill(bench, recordsPerPartition);
    for (let round = 1; round <= options.rounds; round++) {
      for (const row of rows) await consume(bench, row, `round-${round}-of-${row.members}`, recordsPerPartition);
    }
  });
  const lines = [
    '## Throughput',
    '',
    `${thousands(recordsPerPartition * PARTITIONS)} records of ${RECORD_BYTES} B in ${PARTITIONS} partitions, offsets committed by themselves.`,
    '',
    '| members, each a process | records/s | MB/s | broker CPU s per million |',
    '|---:|---:|---:|---:|',
    ...rows.map(({ members, recordsPerSecond, brokerCpuSecondsPerMillion }) => {
      const megabytes = (median(recordsPerSecond) * RECORD_BYTES) / 1e6;
      return `| ${members} | ${spread(recordsPerSecond)} | ${megabytes.toFixed(0)} | ${median(brokerCpuSecondsPerMillion).toFixed(2)} |`;
    }),
    '',
  ];
  return { lines, data: { throughput: rows } };
}

async function fill({ client }: Bench, recordsPerPartition: number): Promise<void> {
  await client.admin().createTopic({ name: TOPIC, partitions: PARTITIONS });
  const producer = client.producer();
  const value = new Uint8Array(RECORD_BYTES).fill(0x78);
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const chunk = Array.from({ length: CHUNK_RECORDS }, () => ({ topic: TOPIC, partition, value }));
    for (let sent = 0; sent < recordsPerPartition; sent += CHUNK_RECORDS) await producer.sendMany(chunk);
  }
  await producer.close();
}

async function consume({ broker, client }: Bench, row: Row, group: string, recordsPerPartition: number): Promise<void> {
  const { members } = row;
  const task = { role: 'consume', url: broker.nativeUrl, group, topic: TOPIC, recordsPerPartition } as const;
  const workers = Array.from({ length: members }, () => new GroupWorker(task));
  try {
    await Promise.all(workers.map((worker) => worker.report('ready')));
    await settled(client, group, members, PARTITIONS);
    const cpuBefore = broker.cpuSeconds() ?? 0;
    const startMs = performance.now();
    for (const worker of workers) worker.send('go');
    const reports = await Promise.all(workers.map((worker) => worker.report('consumed')));
    const seconds = (performance.now() - startMs) / 1000;
    const records = reports.reduce((sum, report) => sum + report.records, 0);
    row.recordsPerSecond.push(records / seconds);
    row.brokerCpuSecondsPerMillion.push((((broker.cpuSeconds() ?? 0) - cpuBefore) / records) * 1e6);
    say(`${members} members: ${thousands(records / seconds)} records/s`);
  } finally {
    await Promise.all(workers.map((worker) => worker.kill()));
  }
}
