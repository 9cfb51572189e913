/**
 * Micro benchmark of the record batch codec. `node dist/bench/micro/records.js [milliseconds per task]` after a build.
 * Figures are per record or per MB where the name says so; machine and load decide, so compare within one run only.
 */
import { Bench } from 'tinybench';
import { crc32c as tableCrc32c } from '../../src/bytes/crc32c.browser.ts';
import { crc32c } from '../../src/bytes/crc32c.ts';
import { BatchBuilder } from '../../src/records/batch-builder.ts';
import { BATCH_HEADER_BYTES } from '../../src/records/batch-header.ts';
import { decodeRecords, recordsSection } from '../../src/records/batch-iterator.ts';
import { checkBatch, scanBatch } from '../../src/records/check-batch.ts';
import { RecordCursor } from '../../src/records/record-cursor.ts';

const RECORDS = 1000;
const value = Buffer.alloc(100, 'x');
const key = Buffer.from('key-0123456789');
const headers = [{ key: 'trace-id', value: Buffer.from('0123456789abcdef') }];

const builder = new BatchBuilder();

function encode(recordKey: Buffer | null, recordHeaders?: typeof headers): Uint8Array {
  for (let index = 0; index < RECORDS; index++) {
    builder.append(1_700_000_000_000 + index, recordKey, value, recordHeaders);
  }
  return builder.finish();
}

const plain = encode(null);
const keyed = encode(key, headers);
const limits = { batchBytesMax: 10_000_000 };
const unwalked = { ...limits, walkRecords: false };
/** What the tasks compute, so that none of it can be left out. */
let sink = 0;

const bench = new Bench({ time: Number(process.argv[2] ?? 500), warmupTime: 100 });
const unitsOf = new Map<string, [number, string]>();

function task(name: string, units: number, unit: string, run: () => number): void {
  unitsOf.set(name, [units, unit]);
  bench.add(name, () => {
    sink += run();
  });
}

const perRecord = (name: string, run: () => number) => task(name, RECORDS, 'record', run);

perRecord('encode 100-byte values', () => encode(null).length);
perRecord('encode with key and header', () => encode(key, headers).length);
perRecord('decode to views', () => decodeRecords(plain, 0, recordsSection(plain, 0)).length);
perRecord('decode to views, value read', () => {
  let bytes = 0;
  for (const record of decodeRecords(plain, 0, recordsSection(plain, 0))) bytes += record.value!.length;
  return bytes;
});
perRecord('decode to views, all read, key and header', () => {
  let bytes = 0;
  for (const record of decodeRecords(keyed, 0, recordsSection(keyed, 0))) {
    bytes += record.key!.length + record.value!.length + record.headers.length;
  }
  return bytes;
});
perRecord('walk with cursor', () => {
  const cursor = new RecordCursor(plain, BATCH_HEADER_BYTES);
  let bytes = 0;
  while (cursor.next()) bytes += cursor.valueBytes;
  return bytes;
});
perRecord('scan (CRC alone)', () => scanBatch(plain, 0, plain.length) as number);
perRecord('check without walk', () => checkBatch(plain, 0, plain.length, unwalked));
perRecord('check with walk', () => checkBatch(plain, 0, plain.length, limits));
perRecord('check with walk, key and header', () => checkBatch(keyed, 0, keyed.length, limits));
task('crc32c native', plain.length / 1e6, 'MB', () => crc32c(plain));
task('crc32c by tables', plain.length / 1e6, 'MB', () => tableCrc32c(plain));

await bench.run();
for (const { name, result } of bench.tasks) {
  if (result.state !== 'completed') continue;
  const [units, unit] = unitsOf.get(name)!;
  const perSecond = (units * 1000) / result.latency.p50;
  const nanoseconds = (result.latency.p50 * 1e6) / units;
  const rate = unit === 'MB' ? perSecond.toFixed(0) : `${(perSecond / 1e6).toFixed(1)} M`;
  console.log(`${name.padEnd(44)} ${rate.padStart(8)} ${unit}/s  ${nanoseconds.toFixed(1).padStart(10)} ns/${unit}`);
}
if (sink === 0) throw new Error('nothing was computed');
