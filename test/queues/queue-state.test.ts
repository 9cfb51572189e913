import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DueHeap, OffsetHeap } from '../../broker/queues/offset-heap.ts';
import { QueueState } from '../../broker/queues/queue-state.ts';
import { SettledOffsets } from '../../broker/queues/settled-offsets.ts';

type Place = 'ready' | 'in flight' | 'delayed' | 'parked' | 'settled';

/** The same as {@link QueueState}, with an object a message and no cleverness. */
class Model {
  readonly messages: Array<{ place: Place; readonly level: number; dueMs: number }> = [];

  of(place: Place): number[] {
    return this.messages.flatMap((message, offset) => (message.place === place ? [offset] : []));
  }

  next(): number {
    const ready = this.of('ready');
    const highest = Math.max(...ready.map((offset) => this.messages[offset]!.level));
    return ready.find((offset) => this.messages[offset]!.level === highest) ?? -1;
  }

  get floor(): number {
    const first = this.messages.findIndex(({ place }) => place !== 'settled');
    return first === -1 ? this.messages.length : first;
  }
}

const step = fc.oneof(
  fc.record({ kind: fc.constant('extend' as const), levels: fc.array(fc.nat(4), { maxLength: 6 }) }),
  fc.record({ kind: fc.constantFrom('take' as const, 'take' as const, 'drop' as const, 'park' as const) }),
  fc.record({
    kind: fc.constantFrom('settle' as const, 'requeue' as const, 'delay' as const, 'unpark' as const),
    pick: fc.nat(),
  }),
  fc.record({ kind: fc.constantFrom('purge' as const, 'time' as const) }),
);

test.each([1, 5])('hands out, takes back and settles as a list of messages would, with %i priorities', (levels) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const state = new QueueState(0, levels);
      const model = new Model();
      let nowMs = 0;
      for (const each of steps) {
        switch (each.kind) {
          case 'extend':
            for (const level of each.levels)
              model.messages.push({ place: 'ready', level: Math.min(level, levels - 1), dueMs: 0 });
            state.extend(model.messages.length, (offset) => model.messages[offset]!.level);
            break;
          case 'take':
          case 'drop':
          case 'park': {
            const offset = model.next();
            expect(state.peek()).toBe(offset);
            if (offset === -1) break;
            expect(state[each.kind]()).toBe(offset);
            model.messages[offset]!.place = ({ take: 'in flight', drop: 'settled', park: 'parked' } as const)[
              each.kind
            ];
            break;
          }
          case 'settle':
          case 'requeue':
          case 'delay':
          case 'unpark': {
            const from = model.of(each.kind === 'unpark' ? 'parked' : 'in flight');
            if (from.length === 0) break;
            const offset = from[each.pick % from.length]!;
            const message = model.messages[offset]!;
            if (each.kind === 'delay') {
              message.dueMs = nowMs + (each.pick % 3);
              state.delay(offset, message.dueMs);
              message.place = 'delayed';
            } else {
              state[each.kind](offset);
              message.place = each.kind === 'settle' ? 'settled' : 'ready';
            }
            break;
          }
          case 'purge': {
            const ready = model.of('ready');
            const purged: number[] = [];
            const count = state.purge((start, end) => {
              for (let offset = start; offset < end; offset++) purged.push(offset);
            });
            expect(purged.filter((offset) => ready.includes(offset)).sort((a, b) => a - b)).toEqual(ready);
            expect(purged.every((offset) => ready.includes(offset) || state.isSettled(offset))).toBe(true);
            expect(count).toBe(ready.length);
            for (const offset of ready) model.messages[offset]!.place = 'settled';
            break;
          }
          case 'time':
            nowMs++;
            state.releaseDue(nowMs);
            for (const offset of model.of('delayed'))
              if (model.messages[offset]!.dueMs <= nowMs) model.messages[offset]!.place = 'ready';
        }
        expect(state.floor).toBe(model.floor);
        expect(state.inFlightCount).toBe(model.of('in flight').length);
        expect(state.delayedCount).toBe(model.of('delayed').length);
        expect(state.parkedCount).toBe(model.of('parked').length);
        expect(state.readyCount).toBe(
          model.of('ready').length + model.of('delayed').length + model.of('parked').length,
        );
        const { settled } = state.snapshot();
        const offsets = settled.flatMap(({ start, end }) => Array.from({ length: end - start }, (_, i) => start + i));
        expect(offsets).toEqual(model.of('settled').filter((offset) => offset > model.floor));
      }
      const drained: number[] = [];
      const expected: number[] = [];
      for (let offset = model.next(); offset !== -1; offset = model.next()) {
        expected.push(offset);
        model.messages[offset]!.place = 'in flight';
        state.peek();
        drained.push(state.take());
      }
      expect(drained).toEqual(expected);
      expect(state.peek()).toBe(-1);
    }),
    { numRuns: 1500 },
  );
});

test('settled offsets are those of a set, also in ranges over many pages', () => {
  const offset = fc.nat(300_000);
  const range = fc.tuple(offset, fc.oneof(fc.nat(20), fc.nat(150_000)));
  fc.assert(
    fc.property(fc.array(fc.oneof(range, fc.tuple(offset, fc.constant(1))), { maxLength: 12 }), (ranges) => {
      const settled = new SettledOffsets(0);
      const model = new Uint8Array(450_002);
      for (const [start, count] of ranges) {
        let added = 0;
        for (let at = start; at < start + count; at++) {
          if (model[at] === 0) added++;
          model[at] = 1;
        }
        if (count === 1) expect(settled.add(start)).toBe(added === 1);
        else expect(settled.addRange(start, start + count)).toBe(added);
        const floor = model.indexOf(0);
        expect(settled.floor).toBe(floor);
        let above = 0;
        for (let at = floor; at < model.length; at++) above += model[at]!;
        expect(settled.aboveFloor).toBe(above);
      }
      const listed = new Uint8Array(model.length).fill(1, 0, settled.floor);
      for (const { start, end } of settled.ranges(model.length)) listed.fill(1, start, end);
      expect(Buffer.compare(listed, model)).toBe(0);
      for (const [start] of ranges) expect(settled.has(start)).toBe(model[start] === 1);
    }),
    { numRuns: 60 },
  );
});

test('settled offsets keep no pages behind the floor, also while something above it is always settled', () => {
  const settled = new SettledOffsets(0);
  let pagesMax = 0;
  for (let offset = 1; offset < 500_000; offset += 2) {
    settled.add(offset);
    settled.add(offset + 2);
    settled.add(offset - 1);
    settled.add(offset + 1);
    pagesMax = Math.max(pagesMax, settled.pageCount);
  }
  expect(pagesMax).toBeLessThanOrEqual(2);
});

test('heaps give back what they got in order', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(50), fc.nat(1000))), (pairs) => {
      const offsets = new OffsetHeap();
      const due = new DueHeap();
      for (const [dueMs, offset] of pairs) {
        offsets.push(offset);
        due.push(dueMs, offset);
      }
      const sorted = pairs.map(([, offset]) => offset).sort((a, b) => a - b);
      expect(Array.from(sorted, () => offsets.pop())).toEqual(sorted);
      expect(offsets.pop()).toBe(-1);
      const byTime = [...pairs].sort(([dueA, a], [dueB, b]) => dueA - dueB || a - b);
      expect(byTime.map(() => due.pop())).toEqual(byTime.map(([, offset]) => offset));
      expect(due.firstDueMs).toBe(Number.POSITIVE_INFINITY);
    }),
  );
});
