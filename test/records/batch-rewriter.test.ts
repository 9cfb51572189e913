import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { BatchBuilder } from '../../src/records/batch-builder.ts';
import {
  CODECS,
  getBaseTimestamp,
  getLastSequence,
  getMaxTimestamp,
  getNextOffset,
  getProducerEpoch,
  getProducerId,
  hasDeleteHorizon,
  setBaseOffset,
  setLogAppendTime,
} from '../../src/records/batch-header.ts';
import { decodeRecords, openRecordsSync, recordsSection } from '../../src/records/batch-iterator.ts';
import { BatchRewriter } from '../../src/records/batch-rewriter.ts';
import { checkBatch } from '../../src/records/check-batch.ts';
import { loadCodecs } from '../../src/records/compression.ts';
import { RecordCursor } from '../../src/records/record-cursor.ts';
import { plainRecord, recordsArbitrary } from './sample-records.ts';

beforeAll(loadCodecs);

function rewrite(
  bytes: Uint8Array,
  keep: (index: number) => boolean,
  options: { deleteHorizonMs?: number | undefined; codec?: (typeof CODECS)[number] } = {},
): Uint8Array {
  const section = openRecordsSync(bytes, 0, 1_000_000);
  const rewriter = new BatchRewriter(bytes, 0, section.length, options.deleteHorizonMs);
  const cursor = new RecordCursor(section);
  for (let index = 0; cursor.next(); index++) if (keep(index)) rewriter.keep(cursor);
  return rewriter.finish(options.codec);
}

function plain(bytes: Uint8Array) {
  return decodeRecords(bytes, 0, openRecordsSync(bytes, 0, 1_000_000)).map(plainRecord);
}

describe('BatchRewriter', () => {
  test('keeps what is kept as it was, and of the batch what readers rely on', async () => {
    await fc.assert(
      fc.asyncProperty(
        recordsArbitrary,
        fc.constantFrom(...CODECS),
        fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }),
        fc.option(fc.integer({ min: 0, max: 2 ** 43 }), { nil: undefined }),
        async (records, codec, kept, deleteHorizonMs) => {
          const builder = new BatchBuilder();
          for (const { timestampMs, key, value, headers } of records) builder.append(timestampMs, key, value, headers);
          const fields = { producerId: 5, producerEpoch: 1, baseSequence: 70 };
          const original = await builder.finishCompressed(codec, fields);
          setBaseOffset(original, 0, 2 ** 35);

          const bytes = rewrite(original, (index) => kept[index]!, { codec, deleteHorizonMs });

          const limits = { batchBytesMax: 100_000, stored: true };
          expect(checkBatch(bytes, 0, bytes.length, limits)).toBe(bytes.length);
          const expected = plain(original).filter((_, index) => kept[index]);
          expect(plain(bytes)).toEqual(expected);
          for (const get of [getNextOffset, getProducerId, getProducerEpoch, getLastSequence]) {
            expect(get(bytes, 0), get.name).toBe(get(original, 0));
          }
          if (expected.length === 0) expect(getMaxTimestamp(bytes, 0)).toBe(getMaxTimestamp(original, 0));
          else expect(getMaxTimestamp(bytes, 0)).toBe(Math.max(...expected.map(({ timestampMs }) => timestampMs)));
          expect(hasDeleteHorizon(bytes, 0)).toBe(deleteHorizonMs !== undefined && expected.length > 0);
          if (hasDeleteHorizon(bytes, 0)) expect(getBaseTimestamp(bytes, 0)).toBe(deleteHorizonMs);
        },
      ),
      { numRuns: 400 },
    );
  });

  test('keeps the horizon and the times of a batch that has one already', () => {
    const builder = new BatchBuilder();
    for (let index = 0; index < 4; index++) builder.append(1000 + index, null, null);
    const original = builder.finish();
    const first = rewrite(original, () => true, { deleteHorizonMs: 9_000_000 });
    const second = rewrite(first, (index) => index > 1);
    expect([hasDeleteHorizon(second, 0), getBaseTimestamp(second, 0)]).toEqual([true, 9_000_000]);
    expect(plain(second)).toEqual(plain(original).slice(2));
    const empty = rewrite(second, () => false);
    expect([hasDeleteHorizon(empty, 0), getNextOffset(empty, 0)]).toEqual([false, 4]);
  });

  test('keeps the time of append', () => {
    const builder = new BatchBuilder();
    for (let index = 0; index < 4; index++) builder.append(1000 + index, null, null);
    const original = builder.finish();
    setLogAppendTime(original, 0, 50_000);
    const bytes = rewrite(original, (index) => index === 0);
    expect(decodeRecords(bytes, 0, recordsSection(bytes, 0)).map(({ timestampMs }) => timestampMs)).toEqual([50_000]);
  });
});
