import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { AssignerProtocol } from 'kafkajs';
import { describe, expect, test } from 'vitest';
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import {
  type ConsumerAssignment,
  type ConsumerSubscription,
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
} from '../../src/groups/consumer-protocol.ts';

const topicPartitions = fc.array(
  fc.record({ topic: fc.string({ maxLength: 20 }), partitions: fc.array(fc.nat(), { maxLength: 5 }) }),
  { maxLength: 4 },
);
const userData = fc.option(
  fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes)),
  { nil: undefined },
);
const subscriptions = fc.record({
  topics: fc.array(fc.string({ maxLength: 20, unit: 'grapheme' }), { maxLength: 5 }),
  userData,
  ownedPartitions: topicPartitions,
  generationId: fc.integer({ min: -1, max: 2 ** 31 - 1 }),
  rackId: fc.option(fc.string({ maxLength: 8 }), { nil: undefined }),
});

describe('subscription', () => {
  test('comes back as it was in version 3, and without what older versions lack', () => {
    fc.assert(
      fc.property(subscriptions, (subscription) => {
        const { topics, userData } = subscription;
        const none = { ownedPartitions: [], generationId: -1, rackId: undefined };
        expect(decodeSubscription(encodeSubscription(subscription))).toEqual(subscription);
        expect(decodeSubscription(encodeSubscription(subscription, 2))).toEqual({ ...subscription, rackId: undefined });
        expect(decodeSubscription(encodeSubscription(subscription, 1))).toEqual({
          ...none,
          topics,
          userData,
          ownedPartitions: subscription.ownedPartitions,
        });
        expect(decodeSubscription(encodeSubscription(subscription, 0))).toEqual({ ...none, topics, userData });
      }),
    );
  });

  test('has the bytes of Kafka’s schema', () => {
    const bytes = encodeSubscription({
      topics: ['t'],
      userData: undefined,
      ownedPartitions: [{ topic: 't', partitions: [7] }],
      generationId: 5,
      rackId: 'r',
    });
    expect(Buffer.from(bytes).toString('hex')).toBe(
      '0003' + '00000001000174' + 'ffffffff' + '00000001000174' + '0000000100000007' + '00000005' + '000172',
    );
  });

  test('of kafkajs is read, and ours by kafkajs', () => {
    const theirs = AssignerProtocol.MemberMetadata.encode({
      version: 1,
      topics: ['a', 'b'],
      userData: Buffer.from('xy'),
    });
    expect(decodeSubscription(theirs)).toMatchObject({ topics: ['a', 'b'], userData: Buffer.from('xy') });
    const ours = encodeSubscription({ ...EMPTY, topics: ['a', 'b'], userData: Buffer.from('xy') });
    expect(AssignerProtocol.MemberMetadata.decode(Buffer.from(ours))).toMatchObject({ topics: ['a', 'b'] });
  });

  test('of a version that is newer than known is read as the newest known', () => {
    const bytes = Buffer.concat([encodeSubscription({ ...EMPTY, topics: ['a'], rackId: 'r' }), Buffer.from('future')]);
    bytes.writeInt16BE(9, 0);
    expect(decodeSubscription(bytes)).toEqual({ ...EMPTY, topics: ['a'], rackId: 'r' });
  });

  test('that ends before the fields of its version has their defaults', () => {
    const bytes = Buffer.from(encodeSubscription({ ...EMPTY, topics: ['a'] }, 0));
    bytes.writeInt16BE(1, 0);
    expect(decodeSubscription(bytes)).toEqual({ ...EMPTY, topics: ['a'] });
  });
});

describe('assignment', () => {
  test('comes back as it was', () => {
    fc.assert(
      fc.property(fc.record({ assignedPartitions: topicPartitions, userData }), (assignment) => {
        expect(decodeAssignment(encodeAssignment(assignment))).toEqual(assignment);
      }),
    );
  });

  test('of kafkajs is read, and ours by kafkajs', () => {
    const theirs = AssignerProtocol.MemberAssignment.encode({
      version: 1,
      assignment: { a: [0, 2] },
      userData: Buffer.alloc(0),
    });
    expect(decodeAssignment(theirs).assignedPartitions).toEqual([{ topic: 'a', partitions: [0, 2] }]);
    const ours = encodeAssignment({ assignedPartitions: [{ topic: 'a', partitions: [0, 2] }], userData: undefined });
    expect(AssignerProtocol.MemberAssignment.decode(Buffer.from(ours))).toMatchObject({ assignment: { a: [0, 2] } });
  });

  test('of no bytes assigns nothing', () => {
    expect(decodeAssignment(new Uint8Array(0))).toEqual({ assignedPartitions: [], userData: undefined });
  });
});

describe('hostile bytes', () => {
  const decoders = [decodeSubscription, decodeAssignment];

  test('give a result or INVALID_ARGUMENT', () => {
    const whole: ConsumerSubscription = {
      ...EMPTY,
      topics: ['abc'],
      ownedPartitions: [{ topic: 'abc', partitions: [1] }],
    };
    const mutated = fc
      .tuple(fc.constantFrom(encodeSubscription(whole), encodeAssignment(ASSIGNMENT)), fc.nat(), fc.nat(255))
      .map(([bytes, at, value]) => {
        const copy = Uint8Array.from(bytes);
        copy[at % copy.length] = value;
        return copy;
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), mutated), (bytes) => {
        for (const decode of decoders) {
          try {
            decode(bytes);
          } catch (error) {
            expect((error as BurrowError).code).toBe('INVALID_ARGUMENT');
          }
        }
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    ['a negative version', 'ffff' + '00000000' + 'ffffffff'],
    ['a null array', '0000' + 'ffffffff' + 'ffffffff'],
    ['a count that the bytes do not back', '0000' + '7fffffff' + 'ffffffff'],
    ['one byte', '00'],
  ])('with %s are refused', (_, hex) => {
    for (const decode of decoders) {
      expect(() => decode(Buffer.from(hex, 'hex'))).toThrowError(
        expect.objectContaining({ code: 'INVALID_ARGUMENT' }) as BurrowError,
      );
    }
  });
});

const EMPTY: ConsumerSubscription = {
  topics: [],
  userData: undefined,
  ownedPartitions: [],
  generationId: -1,
  rackId: undefined,
};
const ASSIGNMENT: ConsumerAssignment = {
  assignedPartitions: [{ topic: 'abc', partitions: [1, 2] }],
  userData: undefined,
};
