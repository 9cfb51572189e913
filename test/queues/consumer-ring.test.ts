import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ConsumerRing, type RingConsumer } from '../../broker/queues/consumer-ring.ts';

interface Consumer extends RingConsumer {
  readonly name: string;
  canTake: boolean;
  isQueued: boolean;
}

/** The same with lists: who has waited longest, among those of the highest priority that can take. */
class Model {
  readonly consumers: Consumer[] = [];
  readonly #singleActive: boolean;
  waiting: Consumer[] = [];
  active: Consumer | undefined;

  constructor(singleActive: boolean) {
    this.#singleActive = singleActive;
  }

  add(consumer: Consumer): void {
    this.consumers.push(consumer);
    if (this.#singleActive) this.active ??= consumer;
    this.credit(consumer);
  }

  credit(consumer: Consumer): void {
    if (!this.consumers.includes(consumer) || !consumer.canTake || this.waiting.includes(consumer)) return;
    if (this.#singleActive && this.active !== consumer) return;
    this.waiting.push(consumer);
  }

  remove(consumer: Consumer): void {
    this.consumers.splice(this.consumers.indexOf(consumer), 1);
    this.waiting = this.waiting.filter((each) => each !== consumer);
    if (this.active !== consumer) return;
    this.active = [...this.consumers].sort((a, b) => b.priority - a.priority)[0];
    if (this.active !== undefined) this.credit(this.active);
  }

  /** Those without credit lose their place when their turn comes. */
  next(): Consumer | undefined {
    const priorities = [...new Set(this.waiting.map(({ priority }) => priority))].sort((a, b) => b - a);
    for (const priority of priorities) {
      for (const consumer of this.waiting.filter((each) => each.priority === priority)) {
        if (consumer.canTake) return consumer;
        this.waiting.splice(this.waiting.indexOf(consumer), 1);
      }
    }
    return undefined;
  }

  served(consumer: Consumer): void {
    const index = this.waiting.indexOf(consumer);
    if (index === -1) return;
    this.waiting.splice(index, 1);
    this.credit(consumer);
  }
}

describe.each([false, true])('with a single active consumer: %s', (singleActive) => {
  test('the ring takes consumers in turn as a list would', () => {
    const step = fc.record({
      kind: fc.constantFrom('add', 'remove', 'serve', 'serve', 'serve', 'full', 'credit', 'credit'),
      pick: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
        const ring = new ConsumerRing<Consumer>(singleActive);
        const model = new Model(singleActive);
        let count = 0;
        for (const { kind, pick } of steps) {
          const consumer = model.consumers[pick % Math.max(1, model.consumers.length)];
          if (kind === 'add') {
            const added = { name: `c${count++}`, priority: pick % 3, canTake: pick % 4 !== 0, isQueued: false };
            ring.add(added);
            model.add(added);
          } else if (consumer === undefined) continue;
          else if (kind === 'remove') {
            ring.remove(consumer);
            model.remove(consumer);
          } else if (kind === 'serve') {
            const expected = model.next();
            expect(ring.next()?.name).toBe(expected?.name);
            if (expected === undefined) continue;
            // Its prefetch may be used up by this one.
            if (pick % 3 === 0) expected.canTake = false;
            if (pick % 11 === 0) {
              ring.remove(expected);
              model.remove(expected);
            }
            ring.served(expected);
            model.served(expected);
          } else {
            consumer.canTake = kind === 'credit';
            ring.onCredit(consumer);
            model.credit(consumer);
          }
          expect(ring.count).toBe(model.consumers.length);
          expect([...ring.consumers]).toEqual(model.consumers);
          expect(ring.active).toBe(model.active);
        }
        expect(ring.next()?.name).toBe(model.next()?.name);
      }),
      { numRuns: 1000 },
    );
  });
});

test('consumers that have gone keep no place', () => {
  const ring = new ConsumerRing<Consumer>(false);
  const one = { name: 'one', priority: 0, canTake: true, isQueued: false };
  ring.add(one);
  expect(ring.remove(one)).toBeUndefined();
  expect(ring.next()).toBeUndefined();
  ring.onCredit(one);
  expect(ring.next()).toBeUndefined();
});
