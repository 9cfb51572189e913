/** Many deadlines on one timer, compared with the obvious way: one timer each. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Deadline, DeadlineQueue } from '../../broker/partitions/deadline-queue.ts';
import { ManualClock } from '../../broker/ports/manual-clock.ts';

type Step =
  | { readonly kind: 'add'; readonly delayMs: number }
  | { readonly kind: 'remove'; readonly which: number }
  | { readonly kind: 'advance'; readonly ms: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('add' as const), delayMs: fc.nat(100) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), which: fc.nat(1000) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('advance' as const), ms: fc.nat(40) }) },
  ),
  { maxLength: 200 },
);

test('each is met at its time, once, unless it was removed; and there is never more than one timer', () => {
  fc.assert(
    fc.property(steps, (todo) => {
      const clock = new ManualClock();
      const queue = new DeadlineQueue(clock);
      const deadlines: Deadline[] = [];
      const expected = new Map<number, number>();
      const met: Array<[number, number]> = [];
      for (const step of todo) {
        if (step.kind === 'add') {
          const number = deadlines.length;
          expected.set(number, clock.monotonic() + step.delayMs);
          deadlines.push(queue.add(step.delayMs, () => met.push([number, clock.monotonic()])));
        } else if (step.kind === 'remove' && deadlines.length > 0) {
          const number = step.which % deadlines.length;
          if (!met.some(([each]) => each === number)) expected.delete(number);
          queue.remove(deadlines[number]!);
        } else if (step.kind === 'advance') {
          clock.advance(step.ms);
        }
        expect(clock.timers).toBeLessThanOrEqual(1);
      }
      clock.advance(1_000);
      expect(new Map(met)).toEqual(expected);
      expect(met).toHaveLength(expected.size);
      expect(clock.timers).toBe(0);
    }),
    { numRuns: 300 },
  );
});

test('nothing happens after it is closed', () => {
  const clock = new ManualClock();
  const queue = new DeadlineQueue(clock);
  const deadline = queue.add(10, () => expect.unreachable());
  queue.close();
  queue.remove(deadline);
  expect(clock.timers).toBe(0);
  clock.advance(20);
});
