import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeGroupValue,
  decodeKey,
  decodeOffsetValue,
  encodeGroupKey,
  encodeGroupValue,
  offsetRecordBytes,
  type StoredOffset,
  writeOffsetKey,
  writeOffsetValue,
} from '../../broker/groups/group-records.ts';

const text = fc.string({ maxLength: 30, unit: 'grapheme' });
const int32 = fc.integer({ min: -1, max: 2 ** 31 - 1 });
const bytes = fc.uint8Array({ maxLength: 40 }).map((value) => Buffer.from(value));

function encodeOffset(group: string, topic: string, partition: number, value: StoredOffset): [Buffer, Buffer] {
  const memory = Buffer.alloc(offsetRecordBytes(group, topic, value.metadata));
  const keyEnd = writeOffsetKey(memory, 0, group, topic, partition);
  const end = writeOffsetValue(memory, keyEnd, value);
  expect(end).toBe(memory.length);
  return [memory.subarray(0, keyEnd), memory.subarray(keyEnd, end)];
}

describe('records of an offset', () => {
  test('have the bytes of Kafka’s OffsetCommitKey 1 and OffsetCommitValue 3', () => {
    const value = { offset: 5_000_000_000, leaderEpoch: 7, metadata: 'm', commitTimestampMs: 1_700_000_000_000 };
    const [keyBytes, valueBytes] = encodeOffset('gr', 't', 3, value);
    expect(keyBytes.toString('hex')).toBe('0001' + '00026772' + '000174' + '00000003');
    expect(valueBytes.toString('hex')).toBe('0003' + '000000012a05f200' + '00000007' + '00016d' + '0000018bcfe56800');
  });

  test('come back as they were', () => {
    const values = fc.record({
      offset: fc.maxSafeNat(),
      leaderEpoch: int32,
      metadata: text,
      commitTimestampMs: fc.maxSafeNat(),
    });
    fc.assert(
      fc.property(text, text, int32, values, (groupId, topic, partition, value) => {
        const [keyBytes, valueBytes] = encodeOffset(groupId, topic, partition, value);
        expect(decodeKey(keyBytes)).toEqual({ kind: 'offset', groupId, topic, partition });
        expect(decodeOffsetValue(valueBytes)).toEqual(value);
      }),
    );
  });

  test.each([
    ['0', '0000' + '0000000000000005' + '00016d' + '0000000000000009'],
    [
      '1, which had its own time to live',
      '0001' + '0000000000000005' + '00016d' + '0000000000000009' + '000000000000000a',
    ],
    ['2', '0002' + '0000000000000005' + '00016d' + '0000000000000009'],
  ])('of version %s are read', (_, hex) => {
    expect(decodeOffsetValue(Buffer.from(hex, 'hex'))).toEqual({
      offset: 5,
      leaderEpoch: -1,
      metadata: 'm',
      commitTimestampMs: 9,
    });
  });
});

describe('records of a group', () => {
  const member = {
    memberId: 'm',
    groupInstanceId: 'i',
    clientId: 'c',
    clientHost: 'h',
    rebalanceTimeoutMs: 2,
    sessionTimeoutMs: 1,
    subscription: Buffer.from('s'),
    assignment: Buffer.alloc(0),
  };

  test('have the bytes of Kafka’s GroupMetadataKey 2 and GroupMetadataValue 3', () => {
    expect(Buffer.from(encodeGroupKey('gr')).toString('hex')).toBe('0002' + '00026772');
    const value = encodeGroupValue({
      protocolType: 'p',
      generationId: 4,
      protocolName: 'r',
      leader: undefined,
      stateTimestampMs: 9,
      members: [member, { ...member, groupInstanceId: undefined }],
    });
    const rest = '000163' + '000168' + '00000002' + '00000001' + '0000000173' + '00000000';
    expect(Buffer.from(value).toString('hex')).toBe(
      '0003' +
        '000170' +
        '00000004' +
        '000172' +
        'ffff' +
        '0000000000000009' +
        '00000002' +
        '00016d' +
        '000169' +
        rest +
        '00016d' +
        'ffff' +
        rest,
    );
  });

  test('come back as they were', () => {
    const members = fc.record({
      memberId: text,
      groupInstanceId: fc.option(text, { nil: undefined }),
      clientId: text,
      clientHost: text,
      rebalanceTimeoutMs: fc.nat(),
      sessionTimeoutMs: fc.nat(),
      subscription: bytes,
      assignment: bytes,
    });
    const groups = fc.record({
      protocolType: text,
      generationId: int32,
      protocolName: fc.option(text, { nil: undefined }),
      leader: fc.option(text, { nil: undefined }),
      stateTimestampMs: fc.maxSafeNat(),
      members: fc.array(members, { maxLength: 4 }),
    });
    fc.assert(
      fc.property(groups, (group) => {
        expect(decodeGroupValue(encodeGroupValue(group))).toEqual(group);
      }),
    );
  });

  test('of version 0 have one timeout, and no time', () => {
    const hex =
      '0000' +
      '000170' +
      '00000004' +
      '000172' +
      '00016d' +
      '00000001' +
      '00016d' +
      '000163' +
      '000168' +
      '00000005' +
      '0000000173' +
      '00000000';
    expect(decodeGroupValue(Buffer.from(hex, 'hex'))).toMatchObject({
      generationId: 4,
      stateTimestampMs: -1,
      members: [{ memberId: 'm', groupInstanceId: undefined, rebalanceTimeoutMs: 5, sessionTimeoutMs: 5 }],
    });
  });
});

describe('what is not understood', () => {
  test('is no key: other kinds, such as those of Kafka’s newer groups', () => {
    for (const hex of ['000300026772', '000f00026772', 'ffff00026772', '0002', '', '000100026772000174']) {
      expect(decodeKey(Buffer.from(hex, 'hex'))).toBeUndefined();
    }
  });

  test('is no value: newer versions, null where something must be, counts that nothing backs', () => {
    expect(decodeOffsetValue(Buffer.from('000400000000000000050000000000016d0000000000000009', 'hex'))).toBeUndefined();
    expect(decodeGroupValue(Buffer.from('0004', 'hex'))).toBeUndefined();
    expect(decodeGroupValue(Buffer.from('0003ffff', 'hex'))).toBeUndefined();
    const lie = '0003' + '000170' + '00000004' + '000172' + 'ffff' + '0000000000000009' + '7fffffff';
    expect(decodeGroupValue(Buffer.from(lie, 'hex'))).toBeUndefined();
  });

  test('never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.integer({ min: 0, max: 4 }), (body, version) => {
        const input = Buffer.concat([Buffer.of(0, version), body]);
        for (const decode of [decodeKey, decodeOffsetValue, decodeGroupValue]) decode(input);
      }),
      { numRuns: 2000 },
    );
  });
});
