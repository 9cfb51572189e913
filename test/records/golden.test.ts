import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { BatchBuilder } from '../../src/records/batch-builder.ts';
import {
  CODECS,
  getBaseSequence,
  getCodec,
  getLastSequence,
  getMaxTimestamp,
  getNextOffset,
  getProducerEpoch,
  getProducerId,
  getRecordsCount,
  hasDeleteHorizon,
  isControl,
  isLogAppendTime,
  isTransactional,
  setBaseOffset,
} from '../../src/records/batch-header.ts';
import { decodeRecords, openRecords, openRecordsSync, recordsSection } from '../../src/records/batch-iterator.ts';
import { BatchRewriter } from '../../src/records/batch-rewriter.ts';
import { checkBatch, checkRecords, scanBatch } from '../../src/records/check-batch.ts';
import { loadCodecs } from '../../src/records/compression.ts';
import { decodeControlRecord, encodeControlBatch } from '../../src/records/control-record.ts';
import { RecordCursor } from '../../src/records/record-cursor.ts';
import {
  librdkafkaRecords,
  plainRecord,
  recordHeaders,
  SAMPLE_TIMESTAMP,
  sampleRecords,
  utf8,
} from './sample-records.ts';

const FOLDER = join(import.meta.dirname, '../golden');
const LIMITS = { batchBytesMax: 1_000_000 };
const BYTES_MAX = 1_000_000;

function golden(name: string): Buffer {
  return readFileSync(join(FOLDER, `${name}.batch`));
}

function sampleBuilder(): BatchBuilder {
  const builder = new BatchBuilder();
  for (const record of sampleRecords()) {
    builder.append(record.timestampMs, utf8(record.key), utf8(record.value), recordHeaders(record.headers));
  }
  return builder;
}

describe('batches of other encoders', () => {
  test('all pass the gate', () => {
    const names = readdirSync(FOLDER).filter((name) => name.endsWith('.batch'));
    expect(names.length).toBeGreaterThan(20);
    for (const name of names) {
      const bytes = readFileSync(join(FOLDER, name));
      expect(scanBatch(bytes, 0, bytes.length), name).toBe(bytes.length);
      expect(checkBatch(bytes, 0, bytes.length, { ...LIMITS, stored: true }), name).toBe(bytes.length);
    }
  });

  for (const encoder of ['java', 'kafka-python', 'librdkafka']) {
    test.each(CODECS)(`${encoder}’s batch with codec %s holds the records that were given`, async (codec) => {
      const bytes = golden(`${encoder}-${codec}`);
      expect(checkBatch(bytes, 0, bytes.length, LIMITS)).toBe(bytes.length);
      expect(getCodec(bytes, 0)).toBe(codec);
      const section = await openRecords(bytes, 0, BYTES_MAX);
      await loadCodecs();
      expect(Buffer.compare(openRecordsSync(bytes, 0, BYTES_MAX), section)).toBe(0);
      checkRecords(section, 0, section.length, { recordsCount: 300, lastOffsetDelta: 299, keysRequired: false });
      const records = decodeRecords(bytes, 0, section).map(plainRecord);
      if (encoder === 'librdkafka') {
        expect(records.map(({ timestampMs: _, ...record }) => record)).toEqual(librdkafkaRecords());
      } else expect(records).toEqual(sampleRecords());
    });
  }

  test('librdkafka’s idempotent batch carries its producer and sequence', () => {
    const bytes = golden('librdkafka-idempotent');
    expect(checkBatch(bytes, 0, bytes.length, LIMITS)).toBe(bytes.length);
    expect([getProducerId(bytes, 0), getProducerEpoch(bytes, 0), getBaseSequence(bytes, 0)]).toEqual([4242, 3, 0]);
    expect(getLastSequence(bytes, 0)).toBe(299);
  });

  test('Java’s batch with log append time gives that time to each record', () => {
    const bytes = golden('java-log-append-time');
    expect(isLogAppendTime(bytes, 0)).toBe(true);
    const timestampMs = SAMPLE_TIMESTAMP + 123_456;
    expect(decodeRecords(bytes, 0, recordsSection(bytes, 0)).map(plainRecord)).toEqual(
      sampleRecords().map((record) => ({ ...record, timestampMs })),
    );
  });
});

describe('our encoder writes the same bytes as Kafka’s', () => {
  test('for a plain batch', () => {
    expect(Buffer.compare(sampleBuilder().finish(), golden('java-none'))).toBe(0);
  });

  test('for a transactional batch of an idempotent producer, whose sequence runs over 2^31', () => {
    const expected = golden('java-producer');
    const bytes = sampleBuilder().finish({
      producerId: 4_294_967_299,
      producerEpoch: 7,
      baseSequence: 2_147_483_600,
      transactional: true,
      baseOffset: 5_000_000_000,
    });
    expect(Buffer.compare(bytes, expected)).toBe(0);
    expect(isTransactional(expected, 0)).toBe(true);
    expect(getProducerId(expected, 0)).toBe(4_294_967_299);
    expect(getNextOffset(expected, 0)).toBe(5_000_000_300);
    // 2147483600 + 299 - 2^31
    expect(getLastSequence(expected, 0)).toBe(251);
    expect(decodeRecords(expected, 0, recordsSection(expected, 0)).map(plainRecord)).toEqual(
      sampleRecords(5_000_000_000),
    );
  });

  test.each(['commit', 'abort'] as const)('for a %s marker', (type) => {
    const expected = golden(`java-${type}`);
    const marker = { type, coordinatorEpoch: 11 };
    const bytes = encodeControlBatch({
      ...marker,
      producerId: 4_294_967_299,
      producerEpoch: 7,
      timestampMs: SAMPLE_TIMESTAMP,
    });
    expect(Buffer.compare(bytes, expected)).toBe(0);
    expect(isControl(expected, 0)).toBe(true);
    const [record] = decodeRecords(expected, 0, recordsSection(expected, 0));
    expect(decodeControlRecord(record!.key, record!.value)).toEqual(marker);
  });

  const rewrites: Array<[string, (offset: number) => boolean, number | undefined]> = [
    ['java-compacted-none-left', () => false, undefined],
    ['java-compacted-horizon', (offset) => offset % 7 === 3, SAMPLE_TIMESTAMP + 86_400_000],
  ];
  test.each(rewrites)('for a compacted batch: %s', (name, keep, deleteHorizonMs) => {
    const bytes = rewritten(keep, deleteHorizonMs);
    expect(Buffer.compare(bytes, golden(name))).toBe(0);
    expect(hasDeleteHorizon(bytes, 0)).toBe(deleteHorizonMs !== undefined);
  });

  test('for the records of a compacted batch, which Kafka counts from the first that is left', () => {
    const expected = golden('java-compacted-some');
    const bytes = rewritten((offset) => offset % 7 === 3);
    const records = decodeRecords(bytes, 0, recordsSection(bytes, 0)).map(plainRecord);
    expect(records).toEqual(decodeRecords(expected, 0, recordsSection(expected, 0)).map(plainRecord));
    expect(records).toEqual(sampleRecords(40).filter(({ offset }) => offset % 7 === 3));
    for (const get of [getNextOffset, getMaxTimestamp, getProducerId, getLastSequence, getRecordsCount]) {
      expect(get(bytes, 0), get.name).toBe(get(expected, 0));
    }
  });

  function rewritten(keep: (offset: number) => boolean, deleteHorizonMs?: number): Uint8Array {
    const original = sampleBuilder().finish({ producerId: 99, producerEpoch: 1, baseSequence: 1000 });
    setBaseOffset(original, 0, 40);
    const section = recordsSection(original, 0);
    const rewriter = new BatchRewriter(original, 0, section.length, deleteHorizonMs);
    const cursor = new RecordCursor(section);
    while (cursor.next()) if (keep(40 + cursor.offsetDelta)) rewriter.keep(cursor);
    return rewriter.finish();
  }
});
