import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Queue } from '../../broker/queues/queue.ts';
import type { QueueConsumer } from '../../broker/queues/queue-consumer.ts';
import { UnsettledDeliveries } from '../../broker/queues/unsettled-deliveries.ts';

const QUEUES = ['a', 'b'].map((name) => ({ name }) as Queue);
const CONSUMERS = [undefined, { tag: 'c' } as QueueConsumer];

test('deliveries are found by their tags as in a map', () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('add' as const), count: fc.integer({ min: 1, max: 400 }) }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('skip' as const), count: fc.integer({ min: 1, max: 2500 }) }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('take' as const), from: fc.nat(), share: fc.nat(100) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('take first' as const), count: fc.nat(500) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const unsettled = new UnsettledDeliveries();
      const model = new Map<number, readonly [Queue, QueueConsumer | undefined, number, number, number]>();
      let next = 1;
      const take = (tag: number): void => {
        const expected = model.get(tag);
        const has = unsettled.has(tag);
        const taken = unsettled.take(tag);
        const { queue, consumer, offset, bytes } = unsettled;
        const is = [queue, consumer, offset, bytes];
        // Without `expect`, which is slow in such numbers.
        const wrong = expected === undefined ? taken : !taken || is.some((each, index) => each !== expected[index]);
        if (wrong || has !== taken) throw new Error(`tag ${tag} is ${is.join()}, taken ${taken}`);
        model.delete(tag);
      };
      for (const each of steps) {
        switch (each.kind) {
          case 'add':
            for (let count = each.count; count > 0; count--) {
              const delivery = [
                QUEUES[next % 2]!,
                CONSUMERS[next % 3 === 0 ? 0 : 1],
                next * 7,
                next % 11,
                next,
              ] as const;
              expect(unsettled.add(...delivery)).toBe(next);
              model.set(next++, delivery);
            }
            break;
          case 'skip':
            for (let count = each.count; count > 0; count--)
              if (unsettled.skip() !== next++) throw new Error('wrong tag');
            break;
          case 'take':
            for (let tag = each.from % next; tag < next; tag += 1 + (each.share % 7)) take(tag);
            break;
          case 'take first':
            for (let count = Math.min(each.count, model.size); count > 0; count--) take(unsettled.firstTag);
        }
        const [first] = model;
        expect(unsettled.count).toBe(model.size);
        expect(unsettled.nextTag).toBe(next);
        expect(unsettled.firstTag).toBe(first?.[0] ?? next);
        expect(unsettled.oldestMs).toBe(first?.[1][4] ?? Number.POSITIVE_INFINITY);
        expect(unsettled.take(next)).toBe(false);
        expect(unsettled.take(0)).toBe(false);
      }
    }),
    { numRuns: 100 },
  );
});

test('one delivery that stays does not keep room for all that come after it', () => {
  const unsettled = new UnsettledDeliveries();
  unsettled.add(QUEUES[0]!, undefined, 5, 1, 0);
  for (let round = 0; round < 100_000; round++) unsettled.take(unsettled.add(QUEUES[1]!, undefined, round, 1, 1));
  expect(unsettled.capacity).toBeLessThanOrEqual(2048);
  expect(unsettled.firstTag).toBe(1);
  expect(unsettled.take(1)).toBe(true);
  expect(unsettled.offset).toBe(5);
  expect(unsettled.firstTag).toBe(unsettled.nextTag);
});
