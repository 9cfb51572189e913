import { expect, test } from 'vitest';
import { getBaseSequence, isControl, isTransactional } from '../../src/records/batch-header.ts';
import { decodeRecords, recordsSection } from '../../src/records/batch-iterator.ts';
import { checkBatch } from '../../src/records/check-batch.ts';
import { decodeControlRecord, encodeControlBatch } from '../../src/records/control-record.ts';

const FIELDS = { coordinatorEpoch: 3, producerId: 9, producerEpoch: 2, timestampMs: 1000 };

test.each(['commit', 'abort'] as const)(
  'a %s marker is a control batch of its producer that only a log may hold',
  (type) => {
    const bytes = encodeControlBatch({ type, ...FIELDS });
    expect([isControl(bytes, 0), isTransactional(bytes, 0), getBaseSequence(bytes, 0)]).toEqual([true, true, -1]);
    expect(checkBatch(bytes, 0, bytes.length, { batchBytesMax: 1000, stored: true })).toBe(bytes.length);
    expect(() => checkBatch(bytes, 0, bytes.length, { batchBytesMax: 1000 })).toThrow(
      expect.objectContaining({ code: 'INVALID_RECORD' }),
    );
    const [record] = decodeRecords(bytes, 0, recordsSection(bytes, 0));
    expect(decodeControlRecord(record!.key, record!.value)).toEqual({ type, coordinatorEpoch: 3 });
  },
);

test('markers of a later version may be longer, and types that are not known are left out', () => {
  const value = Buffer.from('00010000000b0000', 'hex');
  expect(decodeControlRecord(Buffer.from('0001000100', 'hex'), value)).toEqual({
    type: 'commit',
    coordinatorEpoch: 11,
  });
  expect(decodeControlRecord(Buffer.from('00000002', 'hex'), null)).toBeUndefined();
});

test('keys and values that are too short, missing or of a negative version are refused', () => {
  const key = Buffer.from('00000001', 'hex');
  const value = Buffer.from('00000000000b', 'hex');
  const cases: Array<[Uint8Array | null, Uint8Array | null]> = [
    [null, value],
    [key, null],
    [key.subarray(0, 3), value],
    [key, value.subarray(0, 5)],
    [Buffer.from('ffff0001', 'hex'), value],
    [key, Buffer.from('ffff0000000b', 'hex')],
  ];
  for (const [badKey, badValue] of cases) {
    expect(() => decodeControlRecord(badKey, badValue)).toThrow(expect.objectContaining({ code: 'INVALID_RECORD' }));
  }
});
