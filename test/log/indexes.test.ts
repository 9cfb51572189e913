import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OffsetIndex } from '../../broker/log/offset-index.ts';
import { TimeIndex } from '../../broker/log/time-index.ts';

/** Ascending positive steps, summed up. */
const ascending = (count: number, stepMax: number) =>
  fc
    .array(fc.integer({ min: 1, max: stepMax }), { minLength: 0, maxLength: count })
    .map((steps) => steps.map((_, i) => steps.slice(0, i + 1).reduce((sum, step) => sum + step, 0)));

/** What damage may do to a file: a flipped bit, a cut end, bytes behind the end. */
const damageArbitrary = fc.record({
  kind: fc.constantFrom('flip' as const, 'cut' as const, 'grow' as const),
  place: fc.nat(100_000),
});

function damage(file: Buffer, { kind, place }: { kind: 'flip' | 'cut' | 'grow'; place: number }): Buffer {
  if (kind === 'cut') return file.subarray(0, place % file.length);
  if (kind === 'grow') return Buffer.concat([file, Buffer.alloc(1 + (place % 24))]);
  const damaged = Buffer.from(file);
  damaged[place % file.length]! ^= 1 << (place % 8);
  return damaged;
}

describe('the offset index', () => {
  const entriesArbitrary = ascending(60, 1000).chain((offsets) =>
    fc
      .array(fc.integer({ min: 1, max: 5000 }), { minLength: offsets.length, maxLength: offsets.length })
      .map((steps) => {
        let position = 0;
        return offsets.map((offset, i) => {
          position += steps[i]!;
          return { offset, position };
        });
      }),
  );

  it('finds what a list finds, also after a round trip and after truncation', () => {
    fc.assert(
      fc.property(entriesArbitrary, fc.array(fc.nat(70_000)), fc.nat(300_000), (entries, offsets, cut) => {
        const built = new OffsetIndex();
        for (const { offset, position } of entries) built.append(offset, position);
        const loaded = OffsetIndex.decode(built.encode(777), 777)!;
        for (const index of [built, loaded]) {
          expect(index.count).toBe(entries.length);
          for (const offset of offsets) {
            expect(index.positionAtOrBefore(offset)).toBe(entries.findLast((e) => e.offset <= offset)?.position ?? 0);
          }
          index.truncate(cut);
          const kept = entries.filter((entry) => entry.position < cut);
          expect(index.count).toBe(kept.length);
          index.append(4_000_000_000, 4_000_000_000);
          for (const offset of [...offsets, 4_294_967_295]) {
            const expected = [...kept, { offset: 4_000_000_000, position: 4_000_000_000 }];
            expect(index.positionAtOrBefore(offset)).toBe(expected.findLast((e) => e.offset <= offset)?.position ?? 0);
          }
        }
      }),
    );
  });

  it('does not believe a file that is damaged or made for another state of the segment', () => {
    fc.assert(
      fc.property(entriesArbitrary, fc.nat(0xffff_ffff), damageArbitrary, (entries, segmentBytes, what) => {
        const index = new OffsetIndex();
        for (const { offset, position } of entries) index.append(offset, position);
        const file = index.encode(segmentBytes);
        expect(OffsetIndex.decode(file, segmentBytes)?.count).toBe(entries.length);
        expect(OffsetIndex.decode(damage(file, what), segmentBytes)).toBeUndefined();
        expect(OffsetIndex.decode(file, (segmentBytes + 1) % 0x1_0000_0000)).toBeUndefined();
      }),
    );
  });
});

describe('the time index', () => {
  const offeredArbitrary = ascending(60, 1000).chain((offsets) =>
    fc
      .array(fc.oneof(fc.integer({ min: -1, max: 50 }), fc.integer({ min: -1, max: 2 ** 45 })), {
        minLength: offsets.length,
        maxLength: offsets.length,
      })
      .map((times) => offsets.map((offset, i) => ({ offset, timestampMs: times[i]! }))),
  );

  /** Only what is newer than everything before has a place. */
  function accepted(offered: ReadonlyArray<{ offset: number; timestampMs: number }>) {
    let newest = -1;
    return offered.filter(({ timestampMs }) => {
      const isNewer = timestampMs > newest;
      newest = Math.max(newest, timestampMs);
      return isNewer;
    });
  }

  it('finds what a list finds, also after a round trip and after truncation', () => {
    fc.assert(
      fc.property(offeredArbitrary, fc.array(fc.nat(60)), fc.array(fc.nat(70_000)), (offered, times, offsets) => {
        const built = new TimeIndex();
        for (const { offset, timestampMs } of offered) built.maybeAppend(timestampMs, offset);
        const loaded = TimeIndex.decode(built.encode(777), 777)!;
        for (const index of [built, loaded]) {
          let entries = accepted(offered);
          for (const cut of [Number.POSITIVE_INFINITY, offsets[0] ?? 0]) {
            index.truncate(cut);
            entries = entries.filter((entry) => entry.offset < cut);
            expect(index.count).toBe(entries.length);
            expect(index.lastTimestampMs).toBe(entries.at(-1)?.timestampMs ?? -1);
            for (const timestampMs of times) {
              const expected = entries.findLast((entry) => entry.timestampMs < timestampMs)?.offset ?? 0;
              expect(index.searchStart(timestampMs)).toBe(expected);
            }
            for (const offset of offsets) {
              const expected = entries.findLast((entry) => entry.offset < offset);
              expect(index.lastBefore(offset)).toEqual(
                expected && { timestampMs: expected.timestampMs, relativeOffset: expected.offset },
              );
            }
          }
        }
      }),
    );
  });

  it('never starts a search behind the first record at or after the timestamp', () => {
    fc.assert(
      fc.property(offeredArbitrary, fc.nat(60), (offered, timestampMs) => {
        const index = new TimeIndex();
        for (const entry of offered) index.maybeAppend(entry.timestampMs, entry.offset);
        const first = offered.find((entry) => entry.timestampMs >= timestampMs);
        if (first !== undefined) expect(index.searchStart(timestampMs)).toBeLessThanOrEqual(first.offset);
      }),
    );
  });

  it('does not believe a file that is damaged or made for another state of the segment', () => {
    fc.assert(
      fc.property(offeredArbitrary, fc.nat(0xffff_ffff), damageArbitrary, (offered, segmentBytes, what) => {
        const index = new TimeIndex();
        for (const { offset, timestampMs } of offered) index.maybeAppend(timestampMs, offset);
        const file = index.encode(segmentBytes);
        expect(TimeIndex.decode(file, segmentBytes)?.count).toBe(index.count);
        expect(TimeIndex.decode(damage(file, what), segmentBytes)).toBeUndefined();
        expect(TimeIndex.decode(file, (segmentBytes + 1) % 0x1_0000_0000)).toBeUndefined();
      }),
    );
  });
});
