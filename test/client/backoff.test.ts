import fc from 'fast-check';
import { expect, test } from 'vitest';
import { backoffDelayMs } from '../../client/backoff.ts';

const backoff = { initialMs: 100, maxMs: 1000 };

test('the delay doubles with each attempt until the bound', () => {
  expect([0, 1, 2, 3, 4, 5].map((attempt) => backoffDelayMs(backoff, attempt, 0.5))).toEqual([
    100, 200, 400, 800, 1000, 1000,
  ]);
});

test('the jitter spreads the delay by a fifth to both sides', () => {
  expect(backoffDelayMs(backoff, 0, 0)).toBeCloseTo(80);
  expect(backoffDelayMs(backoff, 0, 0.999999)).toBeCloseTo(120, 2);
});

test('no attempt number and no chance leads beyond the bound', () => {
  fc.assert(
    fc.property(fc.nat(), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (attempt, fraction) => {
      const delay = backoffDelayMs(backoff, attempt, fraction);
      expect(delay).toBeGreaterThan(0);
      expect(delay).toBeLessThanOrEqual(1000);
    }),
  );
});
