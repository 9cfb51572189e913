import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ACKNOWLEDGE, type Outcome, REJECT, REQUEUE, Settlements } from '../../../client/queues/settlements.ts';

test('what was settled in order makes one range', () => {
  const settlements = new Settlements();
  expect(settlements.isEmpty).toBe(true);
  for (let tag = 7; tag < 1000; tag++) settlements.add(tag, ACKNOWLEDGE);
  expect(settlements.isEmpty).toBe(false);
  expect(settlements.take()).toEqual([{ start: 7, end: 1000, outcome: ACKNOWLEDGE }]);
  expect([settlements.isEmpty, settlements.take()]).toEqual([true, []]);
});

test('in any order and with any outcomes it makes the fewest ranges that say the same', () => {
  const outcomes = fc.array(
    fc.constantFrom<Outcome | undefined>(ACKNOWLEDGE, ACKNOWLEDGE, REQUEUE, REJECT, undefined),
    {
      maxLength: 40,
    },
  );
  fc.assert(
    fc.property(outcomes, fc.infiniteStream(fc.nat()), (byTag, draws) => {
      const settlements = new Settlements();
      const left = byTag.flatMap((outcome, tag) => (outcome === undefined ? [] : [{ tag: tag + 1, outcome }]));
      while (left.length > 0) {
        const [settled] = left.splice(draws.next().value % left.length, 1);
        settlements.add(settled!.tag, settled!.outcome);
      }
      const ranges = settlements.take();
      const told: Array<Outcome | undefined> = byTag.map(() => undefined);
      for (const { start, end, outcome } of ranges) {
        for (let tag = start; tag < end; tag++) told[tag - 1] = outcome as Outcome;
      }
      expect(told).toEqual(byTag);
      const fewest = byTag.filter((outcome, index) => outcome !== undefined && outcome !== byTag[index - 1]).length;
      expect(ranges).toHaveLength(fewest);
    }),
  );
});
