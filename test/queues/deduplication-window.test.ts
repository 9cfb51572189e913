import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DeduplicationWindow } from '../../broker/queues/deduplication-window.ts';

test('an id is known while its message is among the last, and not too old', () => {
  const window = new DeduplicationWindow({ windowMs: 100, count: 3 });
  window.add('a', 10, 1000);
  expect(window.has('a', 1099, 11)).toBe(true);
  expect(window.has('b', 1099, 11)).toBe(false);
  expect(window.has('a', 1099, 13)).toBe(true);
  expect(window.has('a', 1099, 14)).toBe(false);
  window.add('a', 14, 1000);
  expect(window.has('a', 1100, 15)).toBe(false);
  expect(window.idCount).toBe(0);
});

test('it agrees with a list of all messages, tells what must stay in the log, and forgets the rest', () => {
  const step = fc.record({
    id: fc.option(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { nil: undefined }),
    pauseMs: fc.nat(30),
  });
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      fc.integer({ min: 1, max: 10 }),
      fc.integer({ min: 1, max: 100 }),
      (steps, count, windowMs) => {
        const window = new DeduplicationWindow({ windowMs, count });
        const stored: Array<{ id: string | undefined; timestampMs: number }> = [];
        let nowMs = 1000;
        for (const { id, pauseMs } of steps) {
          nowMs += pauseMs;
          const last = stored.slice(-count).filter(({ timestampMs }) => timestampMs > nowMs - windowMs);
          const isKnown = id !== undefined && last.some((message) => message.id === id);
          if (id !== undefined) expect(window.has(id, nowMs, stored.length)).toBe(isKnown);
          if (!isKnown) {
            if (id !== undefined) window.add(id, stored.length, nowMs);
            stored.push({ id, timestampMs: nowMs });
          }
          const needed = stored.findIndex(
            (message, offset) =>
              message.id !== undefined && offset >= stored.length - count && message.timestampMs > nowMs - windowMs,
          );
          expect(window.oldestOffset(nowMs, stored.length)).toBe(needed === -1 ? stored.length : needed);
          expect(window.idCount).toBeLessThanOrEqual(count);
        }
      },
    ),
  );
});
