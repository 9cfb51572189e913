import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BatchBuilder } from '../../src/records/batch-builder.ts';
import { CODECS, type Codec, codecNumber } from '../../src/records/batch-header.ts';
import { decodeRecords, openRecords } from '../../src/records/batch-iterator.ts';
import { checkBatch } from '../../src/records/check-batch.ts';
import { decodeWithKafkajs, encodeWithKafkajs } from './kafkajs.ts';

const bytes = fc.option(
  fc.uint8Array({ maxLength: 300 }).map((value) => Buffer.from(value)),
  { nil: null, freq: 6 },
);
/** kafkajs keeps headers in an object and cannot write a null in one. */
const headers = fc.dictionary(
  fc.stringMatching(/^[a-z][a-z0-9é]{0,8}$/),
  fc.uint8Array({ maxLength: 40 }).map((value) => Buffer.from(value)),
  { maxKeys: 3 },
);
const records = fc.array(
  fc.record({ timestampDelta: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }), key: bytes, value: bytes, headers }),
  { minLength: 1, maxLength: 30 },
);
const batch = fc.record({
  records,
  firstTimestamp: fc.integer({ min: 2 ** 40, max: 2 ** 41 }),
  producer: fc.option(
    fc.record({
      producerId: fc.oneof(fc.nat(1000), fc.integer({ min: 2 ** 32, max: Number.MAX_SAFE_INTEGER })),
      producerEpoch: fc.nat(32767),
      firstSequence: fc.nat(2 ** 31 - 1),
      transactional: fc.boolean(),
    }),
    { nil: { producerId: -1, producerEpoch: -1, firstSequence: -1, transactional: false } },
  ),
});

type GeneratedBatch = typeof batch extends fc.Arbitrary<infer T> ? T : never;

function timestampsOf({ records, firstTimestamp }: GeneratedBatch): number[] {
  return records.map(({ timestampDelta }, index) => firstTimestamp + (index === 0 ? 0 : timestampDelta));
}

function encodeOurs(generated: GeneratedBatch, codec: Codec): Promise<Uint8Array> {
  const timestamps = timestampsOf(generated);
  const builder = new BatchBuilder();
  generated.records.forEach(({ key, value, headers }, index) => {
    const pairs = Object.entries(headers).map(([name, header]) => ({ key: name, value: header }));
    builder.append(timestamps[index]!, key, value, pairs);
  });
  const { producerId, producerEpoch, firstSequence, transactional } = generated.producer;
  return builder.finishCompressed(codec, { producerId, producerEpoch, baseSequence: firstSequence, transactional });
}

function encodeTheirs(generated: GeneratedBatch, codec: Codec): Promise<Buffer> {
  const timestamps = timestampsOf(generated);
  return encodeWithKafkajs(
    {
      ...generated.producer,
      compression: codecNumber(codec),
      firstOffset: 0,
      firstTimestamp: generated.firstTimestamp,
      maxTimestamp: Math.max(...timestamps),
      partitionLeaderEpoch: -1,
      lastOffsetDelta: timestamps.length - 1,
    },
    generated.records.map((record, offsetDelta) => ({
      ...record,
      offsetDelta,
      timestampDelta: timestamps[offsetDelta]! - generated.firstTimestamp,
    })),
  );
}

function expectedRecords(generated: GeneratedBatch) {
  const timestamps = timestampsOf(generated);
  return generated.records.map(({ key, value, headers }, offset) => ({
    offset,
    timestampMs: timestamps[offset]!,
    key,
    value,
    headers: Object.entries(headers),
  }));
}

async function decodeOurs(bytes: Uint8Array) {
  checkBatch(bytes, 0, bytes.length, { batchBytesMax: 1_000_000 });
  return decodeRecords(bytes, 0, await openRecords(bytes, 0, 1_000_000)).map((record) => ({
    offset: record.offset,
    timestampMs: record.timestampMs,
    key: record.key,
    value: record.value,
    headers: record.headers.map(({ key, value }) => [key, value]),
  }));
}

describe('against kafkajs', () => {
  test('our uncompressed batches are the same bytes', async () => {
    await fc.assert(
      fc.asyncProperty(batch, async (generated) => {
        expect(Buffer.compare(await encodeOurs(generated, 'none'), await encodeTheirs(generated, 'none'))).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  test.each(['none', 'gzip', 'snappy'] as const)('we decode what it encodes with codec %s', async (codec) => {
    await fc.assert(
      fc.asyncProperty(batch, async (generated) => {
        expect(await decodeOurs(await encodeTheirs(generated, codec))).toEqual(expectedRecords(generated));
      }),
    );
  });

  test.each(['none', 'gzip', 'snappy'] as const)('it decodes what we encode with codec %s', async (codec) => {
    await fc.assert(
      fc.asyncProperty(batch, async (generated) => {
        const decoded = await decodeWithKafkajs(await encodeOurs(generated, codec));
        expect(decoded.producerId).toBe(String(generated.producer.producerId));
        expect(
          decoded.records.map(({ offset, timestamp, key, value, headers }) => ({
            offset: Number(offset),
            timestampMs: Number(timestamp),
            key,
            value,
            headers: Object.entries(headers),
          })),
        ).toEqual(expectedRecords(generated));
      }),
    );
  });

  test.each(CODECS)('we decode what we encode with codec %s', async (codec) => {
    await fc.assert(
      fc.asyncProperty(batch, async (generated) => {
        expect(await decodeOurs(await encodeOurs(generated, codec))).toEqual(expectedRecords(generated));
      }),
    );
  });
});
