/** Batches of keyed records for tests of compaction, and what a log holds, record by record. */
import type { PartitionLog } from '../../broker/log/partition-log.ts';
import { BatchBuilder } from '../../src/records/batch-builder.ts';
import { type Codec, getBatchBytes, getProducerId, setProducer } from '../../src/records/batch-header.ts';
import { batchPositions, decodeRecords, openRecordsSync } from '../../src/records/batch-iterator.ts';

export interface KeyedRecord {
  readonly key: string | null;
  /** Null is a tombstone. */
  readonly value: string | null;
  readonly timestampMs: number;
}

export interface StoredRecord extends KeyedRecord {
  readonly offset: number;
}

export interface KeyedBatchOptions {
  readonly codec?: Codec;
  readonly producerId?: number;
  readonly baseSequence?: number;
}

export async function keyedBatch(records: readonly KeyedRecord[], options: KeyedBatchOptions = {}): Promise<Buffer> {
  const builder = new BatchBuilder();
  for (const { key, value, timestampMs } of records) {
    builder.append(timestampMs, key === null ? null : Buffer.from(key), value === null ? null : Buffer.from(value));
  }
  const bytes = Buffer.from(await builder.finishCompressed(options.codec ?? 'none'));
  const { producerId, baseSequence = 0 } = options;
  if (producerId !== undefined) setProducer(bytes, 0, { producerId, producerEpoch: 0, baseSequence });
  return bytes;
}

/** All records from the log's start to its end. Throws if a batch is damaged or offsets go back. */
export async function storedRecords(log: PartitionLog): Promise<StoredRecord[]> {
  const records: StoredRecord[] = [];
  for (const { bytes, at } of await storedBatches(log)) {
    for (const record of decodeRecords(bytes, at, openRecordsSync(bytes, at, 10_000_000))) {
      const { offset, timestampMs, key, value } = record;
      if (offset < log.logStartOffset) continue;
      if (offset <= (records.at(-1)?.offset ?? -1)) throw new Error(`offset ${offset} goes back`);
      records.push({ offset, timestampMs, key: text(key), value: text(value) });
    }
  }
  return records;
}

export async function storedBatches(log: PartitionLog): Promise<Array<{ bytes: Buffer; at: number }>> {
  const batches: Array<{ bytes: Buffer; at: number }> = [];
  for (let offset = log.logStartOffset; offset < log.logEndOffset; ) {
    const found = await log.read(offset, { bytesMax: 4096, endOffset: log.logEndOffset, wholeFirstBatch: true });
    const bytes = Buffer.concat(found);
    if (bytes.length === 0) throw new Error(`nothing at offset ${offset} below the end ${log.logEndOffset}`);
    for (const at of batchPositions(bytes)) {
      batches.push({ bytes, at });
      offset = Number(bytes.readBigInt64BE(at)) + bytes.readInt32BE(at + 23) + 1;
    }
    const last = batches.at(-1)!;
    if (last.at + getBatchBytes(bytes, last.at) !== bytes.length) throw new Error('a batch is cut off');
  }
  return batches;
}

/** Producer ids of all batches, with or without records. */
export async function producersOf(log: PartitionLog): Promise<number[]> {
  return (await storedBatches(log)).map(({ bytes, at }) => getProducerId(bytes, at));
}

function text(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString();
}
