/** The record batch codec and its checksum. */
import { crc32c as tableCrc32c } from '../../src/bytes/crc32c.browser.ts';
import { crc32c } from '../../src/bytes/crc32c.ts';
import { BatchBuilder } from '../../src/records/batch-builder.ts';
import { BATCH_HEADER_BYTES } from '../../src/records/batch-header.ts';
import { decodeRecords, recordsSection } from '../../src/records/batch-iterator.ts';
import { checkBatch, scanBatch } from '../../src/records/check-batch.ts';
import { RecordCursor } from '../../src/records/record-cursor.ts';
import type { MicroTask } from './micro-task.ts';

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

export function recordTasks(): MicroTask[] {
  const perRecord = (name: string, run: () => number): MicroTask => ({ name, unit: 'record', units: RECORDS, run });
  const perMegabyte = (name: string, run: () => number): MicroTask => ({
    name,
    unit: 'MB',
    units: plain.length / 1e6,
    run,
  });
  return [
    perRecord('encode 100-byte values', () => encode(null).length),
    perRecord('encode with key and header', () => encode(key, headers).length),
    perRecord('decode to views', () => decodeRecords(plain, 0, recordsSection(plain, 0)).length),
    perRecord('decode to views, value read', () => {
      let bytes = 0;
      for (const record of decodeRecords(plain, 0, recordsSection(plain, 0))) bytes += record.value!.length;
      return bytes;
    }),
    perRecord('decode to views, all read, key and header', () => {
      let bytes = 0;
      for (const record of decodeRecords(keyed, 0, recordsSection(keyed, 0))) {
        bytes += record.key!.length + record.value!.length + record.headers.length;
      }
      return bytes;
    }),
    perRecord('walk with cursor', () => {
      const cursor = new RecordCursor(plain, BATCH_HEADER_BYTES);
      let bytes = 0;
      while (cursor.next()) bytes += cursor.valueBytes;
      return bytes;
    }),
    perRecord('scan (CRC alone)', () => scanBatch(plain, 0, plain.length) as number),
    perRecord('check without walk', () => checkBatch(plain, 0, plain.length, unwalked)),
    perRecord('check with walk', () => checkBatch(plain, 0, plain.length, limits)),
    perRecord('check with walk, key and header', () => checkBatch(keyed, 0, keyed.length, limits)),
    perMegabyte('crc32c native', () => crc32c(plain)),
    perMegabyte('crc32c by tables', () => tableCrc32c(plain)),
  ];
}
