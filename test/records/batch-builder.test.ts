import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BatchBuilder, recordBytesMax } from '../../src/records/batch-builder.ts';
import {
  BATCH_HEADER_BYTES,
  CODECS,
  computeCrc,
  getBaseSequence,
  getBaseTimestamp,
  getCodec,
  getCrc,
  getLastOffsetDelta,
  getMaxTimestamp,
  getPartitionLeaderEpoch,
  getProducerEpoch,
  getProducerId,
  getRecordsCount,
  isLogAppendTime,
  setBaseOffset,
  setLogAppendTime,
  setPartitionLeaderEpoch,
  setProducer,
} from '../../src/records/batch-header.ts';
import { decodeRecords, openRecords, recordsSection } from '../../src/records/batch-iterator.ts';
import { checkBatch } from '../../src/records/check-batch.ts';
import { recordsArbitrary, text } from './sample-records.ts';

const bytes = (count: number) => Buffer.alloc(count, 'v');

describe('BatchBuilder', () => {
  test('encodes any records so that they pass the gate and come back, with every codec', async () => {
    const builder = new BatchBuilder();
    await fc.assert(
      fc.asyncProperty(recordsArbitrary, fc.constantFrom(...CODECS), async (records, codec) => {
        let bytesMax = BATCH_HEADER_BYTES;
        for (const { timestampMs, key, value, headers } of records) {
          const before = builder.estimatedBytes;
          expect(builder.append(timestampMs, key, value, headers)).toBe(true);
          expect(builder.estimatedBytes - before).toBeLessThanOrEqual(recordBytesMax(key, value, headers));
          bytesMax += recordBytesMax(key, value, headers);
        }
        const { estimatedBytes, count } = builder;
        expect(count).toBe(records.length);
        const batch = await builder.finishCompressed(codec);
        expect(checkBatch(batch, 0, batch.length, { batchBytesMax: 100_000 })).toBe(batch.length);
        expect(getCodec(batch, 0)).toBe(codec);
        if (codec === 'none') expect(batch.length).toBe(estimatedBytes);
        const section = await openRecords(batch, 0, bytesMax);
        expect(section.length).toBe(estimatedBytes - BATCH_HEADER_BYTES);
        const decoded = decodeRecords(batch, 0, section);
        expect(decoded.map(({ offset }) => offset)).toEqual(records.map((_, index) => index));
        decoded.forEach((record, index) => {
          const given = records[index]!;
          expect(record.timestampMs).toBe(given.timestampMs);
          expectSame(record.key, given.key);
          expectSame(record.value, given.value);
          expect(record.headers.map(({ key }) => key)).toEqual(given.headers.map(({ key }) => key));
          for (const [header, { value }] of record.headers.entries()) expectSame(value, given.headers[header]!.value);
        });
        expect(getMaxTimestamp(batch, 0)).toBe(Math.max(...records.map(({ timestampMs }) => timestampMs)));
      }),
      { numRuns: 300 },
    );
  });

  test('refuses the record that would make the batch too large, but takes a first one of any size', () => {
    const builder = new BatchBuilder({ batchBytesMax: 200 });
    expect(builder.append(1, null, bytes(500))).toBe(true);
    expect(builder.append(1, null, bytes(1))).toBe(false);
    expect(builder.count).toBe(1);
    const large = builder.finish();
    expect(getRecordsCount(large, 0)).toBe(1);

    let appended = 0;
    while (builder.append(1, null, bytes(10))) appended++;
    const batch = builder.finish();
    expect(appended).toBe(Math.floor((200 - BATCH_HEADER_BYTES) / 17));
    expect(batch.length).toBeLessThanOrEqual(200);
    expect(checkBatch(batch, 0, batch.length, { batchBytesMax: 200 })).toBe(batch.length);
  });

  test('never hands out the same memory twice, and is free while a batch is being compressed', async () => {
    const builder = new BatchBuilder();
    builder.append(1, null, Buffer.from('first'));
    const pending = builder.finishCompressed('gzip');
    expect(builder.count).toBe(0);
    builder.append(2, null, Buffer.from('second'));
    const second = builder.finish();
    builder.append(3, null, Buffer.from('third'));
    const third = builder.finish();
    const first = await pending;
    expect(new Set([first.buffer, second.buffer, third.buffer]).size).toBe(3);
    const values = [];
    for (const batch of [first, second, third]) {
      const [record] = decodeRecords(batch, 0, await openRecords(batch, 0, 1000));
      values.push([record!.timestampMs, text(record!.value)]);
    }
    expect(values).toEqual([
      [1, 'first'],
      [2, 'second'],
      [3, 'third'],
    ]);
  });

  test('copies what it is given', () => {
    const builder = new BatchBuilder();
    for (const count of [5, 100]) {
      const value = bytes(count);
      builder.append(1, null, value);
      value.fill('x');
    }
    const batch = builder.finish();
    const values = decodeRecords(batch, 0, recordsSection(batch, 0)).map((record) => text(record.value));
    expect(values).toEqual(['v'.repeat(5), 'v'.repeat(100)]);
  });

  test('does not make an empty batch', () => {
    expect(() => new BatchBuilder().finish()).toThrow();
  });

  function expectSame(actual: Uint8Array | null, expected: Uint8Array | null): void {
    if (expected === null) expect(actual).toBeNull();
    else expect(actual !== null && Buffer.compare(actual, expected)).toBe(0);
  }
});

describe('a batch in place', () => {
  function batch(): Uint8Array {
    const builder = new BatchBuilder();
    builder.append(1000, null, bytes(10));
    builder.append(1500, null, bytes(10));
    return builder.finish();
  }

  test('takes offset and leader epoch without a new checksum', () => {
    const bytes = batch();
    setBaseOffset(bytes, 0, 2 ** 40 + 5);
    setPartitionLeaderEpoch(bytes, 0, 9);
    expect(checkBatch(bytes, 0, bytes.length, { batchBytesMax: 1000 })).toBe(bytes.length);
    expect(getPartitionLeaderEpoch(bytes, 0)).toBe(9);
    expect(decodeRecords(bytes, 0, recordsSection(bytes, 0)).map(({ offset }) => offset)).toEqual([
      2 ** 40 + 5,
      2 ** 40 + 6,
    ]);
  });

  test('takes the time of append with a new one, which all records then have', () => {
    const bytes = batch();
    setLogAppendTime(bytes, 0, 77_777);
    expect(getCrc(bytes, 0)).toBe(computeCrc(bytes, 0));
    expect([isLogAppendTime(bytes, 0), getBaseTimestamp(bytes, 0), getMaxTimestamp(bytes, 0)]).toEqual([
      true,
      1000,
      77_777,
    ]);
    expect(decodeRecords(bytes, 0, recordsSection(bytes, 0)).map(({ timestampMs }) => timestampMs)).toEqual([
      77_777, 77_777,
    ]);
  });

  test('takes its producer late', () => {
    const bytes = batch();
    setProducer(bytes, 0, { producerId: 2 ** 33 + 1, producerEpoch: 5, baseSequence: 2 ** 31 - 1 });
    expect(checkBatch(bytes, 0, bytes.length, { batchBytesMax: 1000 })).toBe(bytes.length);
    expect([getProducerId(bytes, 0), getProducerEpoch(bytes, 0), getBaseSequence(bytes, 0)]).toEqual([
      2 ** 33 + 1,
      5,
      2 ** 31 - 1,
    ]);
    expect(getLastOffsetDelta(bytes, 0)).toBe(1);
  });
});
