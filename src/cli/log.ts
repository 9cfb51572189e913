/** `burrow log dump|verify`: reads a partition folder that no broker has open. */
import fs from 'node:fs/promises';
import path from 'node:path';
import type { Command } from 'commander';
import {
  getBaseOffset,
  getBaseSequence,
  getBatchBytes,
  getCodec,
  getMaxTimestamp,
  getNextOffset,
  getPartitionLeaderEpoch,
  getProducerEpoch,
  getProducerId,
  getRecordsCount,
  isControl,
  isTransactional,
} from '../records/batch-header.ts';
import { decodeRecords, openRecords } from '../records/batch-iterator.ts';
import { EXIT_FAILED } from './exit-codes.ts';
import { LineWriter } from './line-writer.ts';
import { formatRecord, isoTime } from './record-output.ts';
import { readBatches, type StoredBatch } from './segment-reader.ts';
import { count } from './totals.ts';
import { type Damage, listSegments, type SegmentReport, verifyPartition } from './verify-log.ts';

/** What one batch may decompress to. */
const DECOMPRESSED_BYTES_MAX = 256 * 1024 * 1024;

export function addLogCommand(program: Command): void {
  const log = program
    .command('log')
    .description('Look into a partition folder (DATA-DIR/topics/NAME-PARTITION) while no broker uses it');
  log
    .command('verify')
    .description('Check every batch, offset and index; exit code 1 if anything is damaged')
    .argument('<folder>', 'folder of a partition')
    .option('--json', 'Print one JSON object')
    .action(verify);
  log
    .command('dump')
    .description('Print the record batches, one a line')
    .argument('<folder>', 'folder of a partition')
    .option('--records', 'Print the records of each batch below it')
    .option('--json', 'Print one JSON object a batch, or record')
    .action(dump);
}

async function verify(folder: string, { json }: { json?: boolean }): Promise<void> {
  const segments = await verifyPartition(folder);
  const damage = segments.flatMap((segment) => segment.damage);
  if (json) process.stdout.write(`${JSON.stringify({ ok: damage.length === 0, damage, segments })}\n`);
  else process.stdout.write(describeReports(segments));
  if (damage.length > 0) process.exitCode = EXIT_FAILED;
}

export function describeReports(segments: readonly SegmentReport[]): string {
  const lines = segments.flatMap((segment) => {
    const offsets =
      segment.nextOffset === undefined ? 'empty' : `offsets ${segment.firstOffset} to ${segment.nextOffset - 1}`;
    return [
      `${path.basename(segment.file)}  ${offsets}, ${count(segment.batches, 'batch', 'batches')}, ${count(segment.records, 'record')}, ${count(segment.bytes, 'byte')}`,
      ...segment.notes.map((note) => `  note: ${note}`),
    ];
  });
  const damage = segments.flatMap((segment) => segment.damage);
  for (const each of damage) lines.push(damageLine(each));
  if (damage.length === 0) lines.push(`ok: ${count(segments.length, 'segment')} without damage`);
  const newest = segments.at(-1);
  if (damage.some(({ file, position }) => file === newest?.file && position > 0)) {
    lines.push('A torn end of the newest segment is mended from the journal when the broker starts.');
  }
  return `${lines.join('\n')}\n`;
}

interface DumpFlags {
  readonly json?: boolean;
  readonly records?: boolean;
}

async function dump(folder: string, { json = false, records = false }: DumpFlags): Promise<void> {
  const writer = new LineWriter(process.stdout);
  for (const file of await listSegments(folder)) {
    const handle = await fs.open(file, 'r');
    try {
      const batches = readBatches(handle, (await handle.stat()).size);
      let step = await batches.next();
      for (; step.done !== true && !writer.closed; step = await batches.next()) {
        for (const batch of step.value) {
          writer.add(json ? JSON.stringify(batchFields(file, batch)) : batchLine(file, batch));
          if (records) await addRecords(writer, batch, json);
        }
        await writer.flush();
      }
      if (step.done === true && step.value !== undefined) {
        const { position, problem } = step.value;
        writer.add(json ? JSON.stringify({ file, position, problem }) : damageLine({ file, position, problem }));
        process.exitCode = EXIT_FAILED;
      }
    } finally {
      await handle.close();
    }
  }
  await writer.flush();
}

async function addRecords(writer: LineWriter, { bytes, at }: StoredBatch, json: boolean): Promise<void> {
  const opened = await openRecords(bytes, at, DECOMPRESSED_BYTES_MAX);
  for (const { offset, timestampMs, key, value, headers } of decodeRecords(bytes, at, opened)) {
    const record = { topic: undefined, partition: undefined, offset, timestampMs, key, value, headers };
    writer.add(json ? formatRecord.json(record) : `  ${String(formatRecord.tsv(record))}`);
  }
}

function damageLine({ file, position, problem }: Damage): string {
  return `DAMAGED ${file} at position ${position}: ${problem}`;
}

function batchFields(file: string, { bytes, at, position }: StoredBatch) {
  return {
    file,
    position,
    bytes: getBatchBytes(bytes, at),
    baseOffset: getBaseOffset(bytes, at),
    lastOffset: getNextOffset(bytes, at) - 1,
    records: getRecordsCount(bytes, at),
    codec: getCodec(bytes, at) ?? 'unknown',
    maxTimestamp: getMaxTimestamp(bytes, at),
    leaderEpoch: getPartitionLeaderEpoch(bytes, at),
    producerId: getProducerId(bytes, at),
    producerEpoch: getProducerEpoch(bytes, at),
    baseSequence: getBaseSequence(bytes, at),
    transactional: isTransactional(bytes, at),
    control: isControl(bytes, at),
  };
}

function batchLine(file: string, batch: StoredBatch): string {
  const fields = batchFields(file, batch);
  const producer =
    fields.producerId === -1
      ? ''
      : ` producer ${fields.producerId}/${fields.producerEpoch} sequence ${fields.baseSequence}`;
  const flags = `${fields.transactional ? ' transactional' : ''}${fields.control ? ' control' : ''}`;
  return `${path.basename(file)}:${fields.position} offsets ${fields.baseOffset}-${fields.lastOffset} records ${fields.records} bytes ${fields.bytes} ${fields.codec} ${isoTime(fields.maxTimestamp)} epoch ${fields.leaderEpoch}${producer}${flags}`;
}
