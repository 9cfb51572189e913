import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type OffsetRange, ReplayedOffsets } from '../../../client/dead-letters/replayed-offsets-state.ts';

const range = fc.tuple(fc.nat(60), fc.nat(8)).map(([from, count]): OffsetRange => ({ from, end: from + count }));
const OFFSETS = Array.from({ length: 80 }, (_, offset) => offset);

test('ranges are as a set of offsets, and come back from what is stored', () => {
  fc.assert(
    fc.property(fc.nat(20), fc.array(fc.array(range)), fc.nat(80), fc.nat(80), (start, additions, from, count) => {
      const expected = new Set(OFFSETS.filter((offset) => offset < start));
      let replayed = new ReplayedOffsets(start);
      for (const added of additions) {
        replayed = replayed.with(added);
        for (const { from: first, end } of added) for (let each = first; each < end; each += 1) expected.add(each);
      }
      const again = ReplayedOffsets.decode(replayed.nextOffset, replayed.metadata);
      expect(again).toEqual(replayed);
      expect(OFFSETS.filter((offset) => again.has(offset))).toEqual(OFFSETS.filter((offset) => expected.has(offset)));
      // All below nextOffset is done, and it is not.
      expect(expected.has(replayed.nextOffset)).toBe(false);
      const within = OFFSETS.filter((offset) => offset >= from && offset < from + count && expected.has(offset));
      expect(replayed.countIn(from, from + count)).toBe(within.length);
    }),
  );
});

test('what has been removed from the log is done; what is noted behind its end is of another log', () => {
  const replayed = new ReplayedOffsets(2, [
    { from: 5, end: 7 },
    { from: 9, end: 10 },
  ]);
  expect(replayed.forLog(0, 12)).toEqual(replayed);
  expect(replayed.forLog(4, 12)).toEqual(new ReplayedOffsets(4, replayed.ranges));
  expect(replayed.forLog(6, 12)).toEqual(new ReplayedOffsets(7, [{ from: 9, end: 10 }]));
  expect(replayed.forLog(0, 8)).toEqual(new ReplayedOffsets(2, [{ from: 5, end: 7 }]));
  expect(replayed.forLog(0, 1)).toEqual(new ReplayedOffsets(0));
});

test('what somebody else has committed counts as nothing noted', () => {
  for (const metadata of ['', 'note', '1:', '1:0-1', '1:1-0', '1:1', '1:1-1,', '1:zzzzzzzzzzz-1', '2:1-1']) {
    expect(ReplayedOffsets.decode(4, metadata), metadata).toEqual(new ReplayedOffsets(4));
  }
  expect(ReplayedOffsets.decode(undefined, '')).toEqual(new ReplayedOffsets(0));
  fc.assert(fc.property(fc.string(), (metadata) => ReplayedOffsets.decode(0, metadata).has(-1)));
});
