import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { keyPartition, murmur2 } from '../src/murmur2.ts';
import { Partitioner } from '../src/partitioner.ts';
import { kafkajsMurmur2 } from './records/kafkajs.ts';

const utf8 = (text: string) => new TextEncoder().encode(text);

describe('murmur2', () => {
  const vectors = readFileSync(join(import.meta.dirname, 'golden/java-murmur2.tsv'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t') as [string, string]);

  test('gives what Kafka’s Utils.murmur2 gives', () => {
    expect(vectors.length).toBe(12);
    for (const [key, hash] of vectors) expect(murmur2(utf8(key)), key).toBe(Number(hash));
  });

  test('gives what kafkajs’s gives for any key', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70 }), (key) => {
        expect(murmur2(key)).toBe(kafkajsMurmur2(Buffer.from(key)));
      }),
      { numRuns: 2000 },
    );
  });

  test('clears the sign bit of the hash before the modulo, as Utils.toPositive does', () => {
    // murmur2("a") = -1563381124, without its sign bit 584102524
    expect(keyPartition(utf8('a'), 1000)).toBe(584_102_524 % 1000);
    expect(keyPartition(utf8('abc'), 7)).toBe(479_470_107 % 7);
  });
});

describe('Partitioner', () => {
  const key = utf8('foobar');

  test('prefers the record’s partition, then the user’s function, then the key', () => {
    const partitioner = new Partitioner({
      topic: 'orders',
      partitionFunction: ({ topic, key, partitionCount }) => topic.length + (key === null ? 0 : 1) - partitionCount,
    });
    expect(partitioner.choose(key, 6, 5)).toBe(5);
    expect(partitioner.choose(key, 6)).toBe(1);
    expect(partitioner.choose(null, 6)).toBe(0);
    expect(new Partitioner().choose(key, 6)).toBe(keyPartition(key, 6));
    expect(new Partitioner().choose(new Uint8Array(0), 6)).toBe(keyPartition(new Uint8Array(0), 6));
  });

  test('refuses partitions that the topic does not have', () => {
    for (const partition of [-1, 3, 1.5, Number.NaN]) {
      expect(() => new Partitioner().choose(null, 3, partition)).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
      );
      expect(() => new Partitioner({ partitionFunction: () => partition }).choose(key, 3)).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
      );
    }
  });

  test('keeps records without keys together until their batch is complete, then goes to another partition', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 20 }),
        fc.array(fc.double({ min: 0, max: 0.999_999, noNaN: true }), { minLength: 30 }),
        (partitionCount, values) => {
          let draws = 0;
          const partitioner = new Partitioner({ random: () => values[draws++ % values.length]! });
          let last = -1;
          for (let batch = 0; batch < 10; batch++) {
            const partition = partitioner.choose(null, partitionCount);
            expect(partition).toBeGreaterThanOrEqual(0);
            expect(partition).toBeLessThan(partitionCount);
            expect(partition).not.toBe(last);
            expect(partitioner.choose(null, partitionCount)).toBe(partition);
            partitioner.onBatchComplete((partition + 1) % partitionCount);
            expect(partitioner.choose(null, partitionCount)).toBe(partition);
            partitioner.onBatchComplete(partition);
            last = partition;
          }
        },
      ),
    );
  });

  test('spreads batches evenly', () => {
    const partitioner = new Partitioner();
    const counts = [0, 0, 0, 0];
    for (let batch = 0; batch < 4000; batch++) {
      const partition = partitioner.choose(null, 4);
      counts[partition]!++;
      partitioner.onBatchComplete(partition);
    }
    for (const count of counts) expect(count).toBeGreaterThan(800);
  });

  test('has only one partition to go to where there is only one, and follows a topic that shrinks or grows', () => {
    const partitioner = new Partitioner({ random: () => 0.99 });
    expect(partitioner.choose(null, 1)).toBe(0);
    partitioner.onBatchComplete(0);
    expect(partitioner.choose(null, 1)).toBe(0);
    partitioner.onBatchComplete(0);
    expect(partitioner.choose(null, 8)).toBe(7);
    expect(partitioner.choose(null, 2)).toBe(1);
  });
});
