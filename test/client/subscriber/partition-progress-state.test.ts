import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PartitionProgress, TakenBatch } from '../../../client/subscriber/partition-progress-state.ts';

/** Batches with gaps, as compaction leaves them: offsets of the records, and where the batch ends. */
const batches = fc
  .array(
    fc.record({
      gaps: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 6 }),
      rest: fc.integer({ min: 0, max: 3 }),
    }),
    { minLength: 1, maxLength: 8 },
  )
  .map((shapes) => {
    let offset = 10;
    return shapes.map(({ gaps, rest }, index) => {
      const records = gaps.map((gap) => {
        offset += gap;
        return { offset: offset - 1 };
      });
      offset += rest;
      return new TakenBatch(records, offset, index);
    });
  });

test('never passes a record that is not finished, and is not behind where it may be', () => {
  fc.assert(
    fc.property(batches, fc.infiniteStream(fc.nat()), fc.boolean(), (all, chance, whole) => {
      const progress = new PartitionProgress();
      for (const batch of all) progress.take(batch);
      const left = whole
        ? all.map((batch) => ({ batch, index: -1 }))
        : all.flatMap((batch) => batch.records.map((_, index) => ({ batch, index })));
      const finished = new Set<number>();
      while (left.length > 0) {
        const [{ batch, index }] = left.splice(chance.next().value! % left.length, 1) as [(typeof left)[0]];
        if (index === -1) {
          progress.finishAll(batch);
          for (const { offset } of batch.records) finished.add(offset);
        } else {
          progress.finish(batch, index);
          finished.add(batch.records[index]!.offset);
        }
        // Plainly: over all records in order.
        let expected: number | undefined;
        let epoch = -1;
        outer: for (const each of all) {
          for (const { offset } of each.records) {
            if (!finished.has(offset)) break outer;
            expected = offset + 1;
            epoch = each.leaderEpoch;
          }
          expected = each.nextOffset;
        }
        expect(progress.finished).toBe(expected);
        expect(progress.leaderEpoch).toBe(epoch);
        expect(progress.isIdle).toBe(left.length === 0);
      }
    }),
  );
});
