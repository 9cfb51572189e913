import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isBurrowError } from '../../src/errors/burrow-error.ts';
import { BatchBuilder } from '../../src/records/batch-builder.ts';
import {
  ATTRIBUTES_POSITION,
  BATCH_HEADER_BYTES,
  getBaseOffset,
  getBatchBytes,
  RECORDS_COUNT_POSITION,
  setBaseOffset,
} from '../../src/records/batch-header.ts';
import { batchPositions, decodeRecords, openRecords, recordsSection } from '../../src/records/batch-iterator.ts';
import type { LogRecord } from '../../src/records/log-record.ts';
import { RecordCursor } from '../../src/records/record-cursor.ts';
import { recordsArbitrary, text } from './sample-records.ts';

/** Batches of 3 records each, one behind the other, at offsets 10, 13, 16 … */
function log(batches: number): Buffer {
  const builder = new BatchBuilder();
  const parts: Uint8Array[] = [];
  for (let index = 0; index < batches; index++) {
    for (let record = 0; record < 3; record++) builder.append(5000, null, Buffer.from(`value ${index}.${record}`));
    const bytes = builder.finish();
    setBaseOffset(bytes, 0, 10 + 3 * index);
    parts.push(bytes);
  }
  return Buffer.concat(parts);
}

describe('batchPositions', () => {
  test('finds every whole batch and leaves out one that is cut off, wherever the cut is', () => {
    const bytes = log(3);
    const batchBytes = bytes.length / 3;
    for (let end = 0; end <= bytes.length; end++) {
      const positions = [...batchPositions(bytes, 0, end)];
      expect(positions).toEqual([0, batchBytes, 2 * batchBytes].slice(0, Math.floor(end / batchBytes)));
    }
    expect([...batchPositions(bytes, batchBytes)].map((position) => getBaseOffset(bytes, position))).toEqual([13, 16]);
  });

  test('throws where a batch is damaged', () => {
    const bytes = log(3);
    bytes[bytes.length / 3 + 70]! ^= 1;
    const positions = batchPositions(bytes);
    expect(positions.next().value).toBe(0);
    expect(() => positions.next()).toThrow(expect.objectContaining({ code: 'CORRUPT_BATCH' }));
  });
});

describe('decodeRecords', () => {
  test('leaves out what lies before the offset asked for, and appends to what is there', () => {
    const bytes = log(2);
    const into: LogRecord[] = [];
    for (const position of batchPositions(bytes)) {
      decodeRecords(bytes, position, recordsSection(bytes, position), 12, into);
    }
    expect(into.map(({ offset }) => offset)).toEqual([12, 13, 14, 15]);
    expect(text(into[0]!.value)).toBe('value 0.2');
  });

  test('gives views of the bytes, not copies', () => {
    const bytes = log(1);
    const [record] = decodeRecords(bytes, 0, recordsSection(bytes, 0));
    expect(record!.value!.buffer).toBe(bytes.buffer);
  });

  test('throws if the records are not as many as the header says', () => {
    const bytes = log(1);
    for (const count of [0, 2, 4]) {
      bytes.writeInt32BE(count, RECORDS_COUNT_POSITION);
      expect(() => decodeRecords(bytes, 0, recordsSection(bytes, 0))).toThrow(
        expect.objectContaining({ code: 'CORRUPT_BATCH' }),
      );
    }
  });

  test('refuses a codec that does not exist', async () => {
    const bytes = log(1);
    bytes.writeInt16BE(7, ATTRIBUTES_POSITION);
    await expect(openRecords(bytes, 0, 1000)).rejects.toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED_COMPRESSION' }),
    );
  });

  test('holds the decompression limit', async () => {
    const builder = new BatchBuilder();
    builder.append(1, null, Buffer.alloc(50_000));
    const bytes = await builder.finishCompressed('gzip');
    await expect(openRecords(bytes, 0, 50_000)).rejects.toThrow(
      expect.objectContaining({ code: 'DECOMPRESSION_LIMIT' }),
    );
    expect((await openRecords(bytes, 0, 50_020)).length).toBeGreaterThan(50_000);
  });

  test('gives records or typed errors for whatever bytes, and no part of a record lies outside them', () => {
    let decoded = 0;
    let refused = 0;
    const run = (section: Uint8Array, header: Uint8Array) => {
      try {
        for (const record of decodeRecords(header, 0, section)) {
          let bytes = (record.key?.length ?? 0) + (record.value?.length ?? 0);
          for (const { key, value } of record.headers) bytes += key.length + (value?.length ?? 0);
          expect(bytes).toBeLessThanOrEqual(section.length);
        }
        decoded++;
      } catch (error) {
        if (!isBurrowError(error, 'CORRUPT_BATCH')) throw error;
        refused++;
      }
    };
    fc.assert(
      fc.property(recordsArbitrary, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 2 }), (records, changes) => {
        const builder = new BatchBuilder();
        for (const { timestampMs, key, value, headers } of records) builder.append(timestampMs, key, value, headers);
        const bytes = builder.finish();
        const section = Buffer.from(recordsSection(bytes, 0));
        for (const [position, value] of changes) section[position % section.length] = value;
        // Bytes behind the section must never be read: there they would be noticed as ones.
        const padded = Buffer.concat([section, Buffer.alloc(64, 1)]);
        run(padded.subarray(0, section.length), bytes);
      }),
      { numRuns: 5000 },
    );
    expect(decoded).toBeGreaterThan(500);
    expect(refused).toBeGreaterThan(500);
  });
});

describe('RecordCursor', () => {
  test('walks to the end of any bytes without reading beyond them, and stops for good at what is malformed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const padded = new Uint8Array(bytes.length + 20).fill(2);
        padded.set(bytes, 10);
        const cursor = new RecordCursor(padded, 10, 10 + bytes.length);
        let last = 10;
        while (cursor.next()) {
          expect(cursor.recordPosition).toBe(last);
          last = cursor.recordEnd;
          for (const [position, count] of [
            [cursor.keyPosition, cursor.keyBytes],
            [cursor.valuePosition, cursor.valueBytes],
          ] as const) {
            expect(position).toBeGreaterThan(cursor.recordPosition);
            expect(position + Math.max(0, count)).toBeLessThanOrEqual(cursor.recordEnd);
          }
          expect(cursor.headersPosition).toBeLessThanOrEqual(cursor.recordEnd);
        }
        expect(last).toBeLessThanOrEqual(10 + bytes.length);
        expect(cursor.ok).toBe(last === 10 + bytes.length);
        expect(cursor.next()).toBe(false);
      }),
      { numRuns: 20_000 },
    );
  });

  test('gives the same as the record views', () => {
    fc.assert(
      fc.property(recordsArbitrary, (records) => {
        const builder = new BatchBuilder();
        for (const { timestampMs, key, value, headers } of records) builder.append(timestampMs, key, value, headers);
        const bytes = builder.finish();
        const views = decodeRecords(bytes, 0, recordsSection(bytes, 0));
        const cursor = new RecordCursor(bytes, BATCH_HEADER_BYTES, getBatchBytes(bytes, 0));
        for (const view of views) {
          expect(cursor.next()).toBe(true);
          expect(cursor.offsetDelta).toBe(view.offset);
          expect(cursor.key()).toEqual(view.key);
          expect(cursor.value()).toEqual(view.value);
          expect(cursor.headersCount).toBe(view.headers.length);
        }
        expect(cursor.next()).toBe(false);
        expect(cursor.ok).toBe(true);
      }),
    );
  });
});
