import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { writeInt16, writeInt32, writeInt64 } from '../../src/bytes/big-endian.ts';
import { ByteWriter } from '../../src/bytes/writer.ts';
import { isBurrowError } from '../../src/errors/burrow-error.ts';
import type { ErrorName } from '../../src/errors/table.ts';
import { BatchBuilder } from '../../src/records/batch-builder.ts';
import {
  ATTRIBUTES_POSITION,
  BASE_SEQUENCE_POSITION,
  BATCH_HEADER_BYTES,
  BATCH_LENGTH_POSITION,
  CONTROL_FLAG,
  CRC_POSITION,
  DELETE_HORIZON_FLAG,
  LAST_OFFSET_DELTA_POSITION,
  LOG_APPEND_TIME_FLAG,
  MAGIC_POSITION,
  MAX_TIMESTAMP_POSITION,
  PRODUCER_EPOCH_POSITION,
  PRODUCER_ID_POSITION,
  RECORDS_COUNT_POSITION,
  resealBatch,
  TRANSACTIONAL_FLAG,
  writeBatchHeader,
} from '../../src/records/batch-header.ts';
import { type BatchLimits, checkBatch, checkRecords, scanBatch } from '../../src/records/check-batch.ts';
import { compressSync } from '../../src/records/compression.ts';

const LIMITS: BatchLimits = { batchBytesMax: 100_000 };

function batch(records = 3): Buffer {
  const builder = new BatchBuilder();
  for (let index = 0; index < records; index++) {
    builder.append(1000 + index, Buffer.from(`key-${index}`), Buffer.from('value'), [{ key: 'h', value: null }]);
  }
  return Buffer.from(builder.finish());
}

/** A sound batch, changed and given a right CRC again. */
function changed(change: (bytes: Buffer) => void): Buffer {
  const bytes = batch();
  change(bytes);
  resealBatch(bytes, 0);
  return bytes;
}

/** A batch around hand-made records. */
function batchOf(records: Uint8Array, recordsCount: number, lastOffsetDelta = recordsCount - 1): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(BATCH_HEADER_BYTES), records]);
  writeBatchHeader(bytes, 0, bytes.length, {
    baseOffset: 0,
    partitionLeaderEpoch: -1,
    attributes: 0,
    lastOffsetDelta,
    baseTimestamp: 0,
    maxTimestamp: 0,
    producerId: -1,
    producerEpoch: -1,
    baseSequence: -1,
    recordsCount,
  });
  return bytes;
}

/** One record, of which any part can lie. */
function record(
  parts: Partial<{
    length: number;
    timestampDelta: number;
    offsetDelta: number;
    keyLength: number;
    valueLength: number;
    headersCount: number;
    rest: Uint8Array;
  }>,
): Uint8Array {
  const body = new ByteWriter()
    .int8(0)
    .varlong(parts.timestampDelta ?? 0)
    .varint(parts.offsetDelta ?? 0)
    .varint(parts.keyLength ?? -1)
    .varint(parts.valueLength ?? -1)
    .varint(parts.headersCount ?? 0)
    .bytes(parts.rest ?? new Uint8Array(0))
    .finish();
  return new ByteWriter()
    .varint(parts.length ?? body.length)
    .bytes(body)
    .finish();
}

function expectRefused(bytes: Uint8Array, code: ErrorName, limits: BatchLimits = LIMITS, end = bytes.length): void {
  expect(() => checkBatch(bytes, 0, end, limits)).toThrow(expect.objectContaining({ code }));
}

describe('scanBatch', () => {
  test('finds a whole batch wherever it stands, and reads nothing behind its end', () => {
    const bytes = Buffer.concat([Buffer.alloc(7, 0xff), batch(), Buffer.alloc(9, 0xff)]);
    const end = 7 + batch().length;
    expect(scanBatch(bytes, 7, end)).toBe(batch().length);
    expect(scanBatch(bytes, 7, bytes.length)).toBe(batch().length);
    expect(scanBatch(bytes, 7, end - 1)).toBe('short');
    expect(scanBatch(bytes, 7, 7)).toBe('short');
  });

  test('calls every cut short, until the length is known to lie', () => {
    const bytes = batch();
    for (let end = 0; end < bytes.length; end++) expect(scanBatch(bytes, 0, end)).toBe('short');
  });

  test('tells what is wrong', () => {
    const zeros = new Uint8Array(200);
    expect(scanBatch(zeros, 0, zeros.length)).toBe('bad-length');
    const cases: Array<[string, (bytes: Buffer) => void]> = [
      ['bad-length', (bytes) => writeInt32(bytes, BATCH_LENGTH_POSITION, -1)],
      ['bad-length', (bytes) => writeInt32(bytes, BATCH_LENGTH_POSITION, BATCH_HEADER_BYTES - 13)],
      ['short', (bytes) => writeInt32(bytes, BATCH_LENGTH_POSITION, bytes.length - 11)],
      ['too-large', (bytes) => writeInt32(bytes, BATCH_LENGTH_POSITION, 100_000)],
      ['old-magic', (bytes) => bytes.writeInt8(1, MAGIC_POSITION)],
      ['old-magic', (bytes) => bytes.writeInt8(0, MAGIC_POSITION)],
      ['bad-magic', (bytes) => bytes.writeInt8(3, MAGIC_POSITION)],
      ['bad-magic', (bytes) => bytes.writeInt8(-2, MAGIC_POSITION)],
      ['bad-crc', (bytes) => bytes.writeInt8(9, CRC_POSITION)],
      ['bad-crc', (bytes) => bytes.writeInt8(9, bytes.length - 1)],
    ];
    for (const [failure, change] of cases) {
      const bytes = batch();
      change(bytes);
      expect(scanBatch(bytes, 0, bytes.length, 100_000)).toBe(failure);
    }
  });

  test('sees any single changed bit, except in offset and leader epoch, which lie before the checksum', () => {
    const original = batch();
    for (let position = 8; position < original.length; position++) {
      if (position >= 12 && position < 16) continue;
      for (let bit = 0; bit < 8; bit++) {
        const bytes = Buffer.from(original);
        bytes[position]! ^= 1 << bit;
        expect(typeof scanBatch(bytes, 0, bytes.length), `byte ${position} bit ${bit}`).toBe('string');
      }
    }
  });

  test('refuses headers that contradict themselves under a right checksum', () => {
    const unsafe = Buffer.of(0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
    const changes: Array<(bytes: Buffer) => void> = [
      (bytes) => writeInt32(bytes, LAST_OFFSET_DELTA_POSITION, -1),
      (bytes) => writeInt32(bytes, RECORDS_COUNT_POSITION, -1),
      (bytes) => writeInt32(bytes, RECORDS_COUNT_POSITION, 4),
      (bytes) => writeInt32(bytes, RECORDS_COUNT_POSITION, 0x7fff_ffff),
      (bytes) => unsafe.copy(bytes, 0),
      (bytes) => unsafe.copy(bytes, MAX_TIMESTAMP_POSITION),
      (bytes) => unsafe.copy(bytes, PRODUCER_ID_POSITION),
      (bytes) => writeInt64(bytes, 0, Number.MAX_SAFE_INTEGER - 1),
      // As many records as offsets, but more than the bytes can hold.
      (bytes) => {
        writeInt32(bytes, RECORDS_COUNT_POSITION, 1000);
        writeInt32(bytes, LAST_OFFSET_DELTA_POSITION, 999);
      },
    ];
    for (const change of changes) {
      const bytes = changed(change);
      expect(scanBatch(bytes, 0, bytes.length)).toBe('bad-header');
      expectRefused(bytes, 'INVALID_RECORD');
    }
  });
});

describe('checkBatch', () => {
  test('gives the size of a sound batch', () => {
    expect(checkBatch(batch(), 0, batch().length, LIMITS)).toBe(batch().length);
    expect(checkBatch(batch(), 0, batch().length, { batchBytesMax: batch().length })).toBe(batch().length);
  });

  test('names what is wrong with a damaged, cut, old or large batch', () => {
    expectRefused(batch(), 'CORRUPT_BATCH', LIMITS, batch().length - 1);
    expectRefused(Buffer.alloc(100), 'CORRUPT_BATCH');
    expectRefused(batch(), 'RECORD_TOO_LARGE', { batchBytesMax: batch().length - 1 });
    const damaged = batch();
    damaged[70]! ^= 1;
    expectRefused(damaged, 'CORRUPT_BATCH');
    // Message set v1: offset, size, crc, magic 1, … one byte shorter than the header of a batch.
    const old = Buffer.alloc(60);
    old.writeInt32BE(48, 8);
    old.writeInt8(1, MAGIC_POSITION);
    expectRefused(old, 'UNSUPPORTED_FORMAT');
    const unknown = batch();
    unknown.writeInt8(3, MAGIC_POSITION);
    expectRefused(unknown, 'CORRUPT_BATCH');
  });

  test('refuses codecs that do not exist', () => {
    for (const number of [5, 6, 7]) {
      expectRefused(
        changed((bytes) => writeInt16(bytes, ATTRIBUTES_POSITION, number)),
        'UNSUPPORTED_COMPRESSION',
      );
    }
  });

  test('refuses from clients what only brokers write, and takes it from a log', () => {
    const cases: Array<[ErrorName, (bytes: Buffer) => void]> = [
      ['INVALID_RECORD', (bytes) => writeInt32(bytes, LAST_OFFSET_DELTA_POSITION, 5)],
      ['INVALID_RECORD', (bytes) => writeInt16(bytes, ATTRIBUTES_POSITION, CONTROL_FLAG)],
      ['INVALID_RECORD', (bytes) => writeInt16(bytes, ATTRIBUTES_POSITION, DELETE_HORIZON_FLAG)],
      ['INVALID_TIMESTAMP', (bytes) => writeInt16(bytes, ATTRIBUTES_POSITION, LOG_APPEND_TIME_FLAG)],
    ];
    for (const [code, change] of cases) {
      const bytes = changed(change);
      expectRefused(bytes, code);
      expect(checkBatch(bytes, 0, bytes.length, { ...LIMITS, stored: true })).toBe(bytes.length);
    }
    const empty = batchOf(new Uint8Array(0), 0, 4);
    expectRefused(empty, 'INVALID_RECORD');
    expect(checkBatch(empty, 0, empty.length, { ...LIMITS, stored: true })).toBe(BATCH_HEADER_BYTES);
  });

  test('refuses producers without epoch or sequence, and transactions without a producer', () => {
    const producer = (id: number, epoch: number, sequence: number, attributes = 0) =>
      changed((bytes) => {
        writeInt64(bytes, PRODUCER_ID_POSITION, id);
        writeInt16(bytes, PRODUCER_EPOCH_POSITION, epoch);
        writeInt32(bytes, BASE_SEQUENCE_POSITION, sequence);
        writeInt16(bytes, ATTRIBUTES_POSITION, attributes);
      });
    expectRefused(producer(7, 0, -1), 'INVALID_RECORD');
    expectRefused(producer(7, -1, 0), 'INVALID_RECORD');
    expectRefused(producer(-2, 0, 0), 'INVALID_RECORD');
    expectRefused(producer(-1, -1, -1, TRANSACTIONAL_FLAG), 'INVALID_RECORD');
    for (const sound of [
      producer(7, 0, 0),
      producer(7, 0, 0, TRANSACTIONAL_FLAG),
      // kafkajs leaves epoch and sequence at 0 where it has no producer id.
      producer(-1, 0, 0),
    ]) {
      expect(checkBatch(sound, 0, sound.length, LIMITS)).toBe(sound.length);
    }
  });

  test('demands keys where the topic is compacted', () => {
    const limits = { ...LIMITS, keysRequired: true };
    expect(checkBatch(batch(), 0, batch().length, limits)).toBe(batch().length);
    const keyless = batchOf(record({}), 1);
    expect(checkBatch(keyless, 0, keyless.length, LIMITS)).toBe(keyless.length);
    expectRefused(keyless, 'INVALID_RECORD', limits);
  });

  const malformed: Array<[string, Uint8Array, number]> = [
    ['fewer records than it says', record({ valueLength: 20, rest: Buffer.alloc(20) }), 2],
    ['more records than it says', Buffer.concat([record({}), record({ offsetDelta: 1 })]), 1],
    ['an offset twice', Buffer.concat([record({}), record({})]), 2],
    ['an offset outside', record({ offsetDelta: 1 }), 1],
    ['a negative offset', record({ offsetDelta: -1 }), 1],
    ['a record longer than the batch', record({ length: 100 }), 1],
    ['a record shorter than its parts', record({ keyLength: 2, rest: Buffer.from('kkv'), length: 7 }), 1],
    ['a record longer than its parts', record({ rest: Buffer.from('more') }), 1],
    ['a record of no length', Buffer.concat([record({ length: 0 }), record({})]), 1],
    ['a record of negative length', record({ length: -5 }), 1],
    ['a key longer than its record', record({ keyLength: 1000 }), 1],
    ['a key of length -2', record({ keyLength: -2 }), 1],
    ['a value longer than its record', record({ valueLength: 1000 }), 1],
    ['a value of length -2', record({ valueLength: -2 }), 1],
    ['more headers than fit', record({ headersCount: 0x7fff_ffff }), 1],
    ['fewer than no headers', record({ headersCount: -1 }), 1],
    ['a header without key', record({ headersCount: 1, rest: Buffer.of(1, 1) }), 1],
    ['a header value longer than its record', record({ headersCount: 1, rest: Buffer.of(0, 40) }), 1],
    ['a header count that is one too low', record({ headersCount: 1, rest: Buffer.of(0, 0, 0, 0) }), 1],
    ['an endless length', Buffer.alloc(20, 0xff), 1],
  ];
  test.each(malformed)('refuses a batch with %s', (name, records, recordsCount) => {
    const bytes = batchOf(records, recordsCount);
    expectRefused(bytes, 'INVALID_RECORD');
    if (name.startsWith('fewer records'))
      expect(() => checkBatch(bytes, 0, bytes.length, LIMITS)).toThrow(/says that it holds/);
    expect(checkBatch(bytes, 0, bytes.length, { ...LIMITS, walkRecords: false })).toBe(bytes.length);
  });

  test('leaves compressed records to whoever decompresses them', () => {
    const records = Buffer.alloc(500, 'no records at all');
    const bytes = batchOf(compressSync('gzip', records), 3);
    writeInt16(bytes, ATTRIBUTES_POSITION, 1);
    resealBatch(bytes, 0);
    expect(checkBatch(bytes, 0, bytes.length, LIMITS)).toBe(bytes.length);
    const expected = { recordsCount: 3, lastOffsetDelta: 2, keysRequired: false };
    expect(() => checkRecords(records, 0, records.length, expected)).toThrow(
      expect.objectContaining({ code: 'INVALID_RECORD' }),
    );
  });

  test('takes and refuses with typed errors alone, whatever the bytes are', () => {
    const codes = new Set<string>();
    const run = (bytes: Uint8Array, limits: BatchLimits) => {
      try {
        expect(checkBatch(bytes, 0, bytes.length, limits)).toBeLessThanOrEqual(bytes.length);
        codes.add('ok');
      } catch (error) {
        if (!isBurrowError(error)) throw error;
        codes.add(error.code);
      }
    };
    const sound = batch();
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(sound.length - 1), fc.nat(255)), { maxLength: 3 }),
        fc.boolean(),
        fc.boolean(),
        (changes, resealed, stored) => {
          const bytes = Buffer.from(sound);
          for (const [position, value] of changes) bytes[position] = value;
          if (resealed && bytes.readInt32BE(BATCH_LENGTH_POSITION) === bytes.length - 12) resealBatch(bytes, 0);
          run(bytes, { ...LIMITS, stored });
        },
      ),
      { numRuns: 20_000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), fc.nat(20), (records, recordsCount) => {
        run(batchOf(records, recordsCount), { ...LIMITS, stored: true });
        run(records, LIMITS);
      }),
      { numRuns: 5000 },
    );
    // Which of the rarer refusals come up is chance; that nothing else does is not.
    for (const rare of ['INVALID_TIMESTAMP', 'RECORD_TOO_LARGE', 'UNSUPPORTED_COMPRESSION', 'UNSUPPORTED_FORMAT']) {
      codes.delete(rare);
    }
    expect([...codes].sort()).toEqual(['CORRUPT_BATCH', 'INVALID_RECORD', 'ok']);
  });
});
