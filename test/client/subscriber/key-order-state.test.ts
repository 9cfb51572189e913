import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KeyOrderState, NO_KEY, type OrderedItem } from '../../../client/subscriber/key-order-state.ts';

interface Item extends OrderedItem<Item> {
  readonly id: number;
}

function newItem(id: number, key: number): Item {
  return { id, key, sequence: 0, next: undefined };
}

/** The rule itself: of all that are not running, those with no older one of their key before them; the oldest of those. */
class Model {
  readonly #items: Array<{ id: number; key: number; running: boolean }> = [];

  add(id: number, key: number): void {
    this.#items.push({ id, key, running: false });
  }

  next(): number | undefined {
    const found = this.#items.find(
      ({ id, key, running }) =>
        !running && (key === NO_KEY || this.#items.find((other) => other.key === key)!.id === id),
    );
    if (found !== undefined) found.running = true;
    return found?.id;
  }

  release(id: number): void {
    this.#items.find((item) => item.id === id)!.running = false;
  }

  finish(id: number): void {
    this.#items.splice(
      this.#items.findIndex((item) => item.id === id),
      1,
    );
  }

  get count(): number {
    return this.#items.length;
  }
}

test('does what the rule says, whatever is added, taken, released and finished', () => {
  const step = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant('add' as const), key: fc.integer({ min: NO_KEY, max: 3 }) }),
    },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('next' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('release' as const), which: fc.nat() }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('finish' as const), which: fc.nat() }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const order = new KeyOrderState<Item>();
      const model = new Model();
      const running: Item[] = [];
      let nextId = 0;
      for (const action of steps) {
        if (action.kind === 'add') {
          order.add(newItem(nextId, action.key));
          model.add(nextId, action.key);
          nextId += 1;
        } else if (action.kind === 'next') {
          const item = order.next();
          expect(item?.id).toBe(model.next());
          if (item !== undefined) running.push(item);
        } else if (running.length > 0) {
          const [item] = running.splice(action.which % running.length, 1);
          order[action.kind](item!);
          model[action.kind](item!.id);
        }
        expect(order.count).toBe(model.count);
      }
    }),
    { numRuns: 500 },
  );
});

test('ten thousand of one key run in their order, one at a time', () => {
  const order = new KeyOrderState<Item>();
  for (let id = 0; id < 10_000; id += 1) order.add(newItem(id, 7));
  for (let id = 0; id < 10_000; id += 1) {
    const item = order.next()!;
    expect(item.id).toBe(id);
    expect(order.next()).toBeUndefined();
    order.finish(item);
  }
  expect(order.count).toBe(0);
});
