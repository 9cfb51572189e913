import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type ResolvedRetryOptions,
  type RetryOptions,
  resolveFailureOptions,
} from '../../../client/subscriber/retry-options.ts';
import {
  checkRetrySteps,
  nextStepOf,
  nominalDelayMs,
  RETRY_STEPS_MAX,
  retryDelayMs,
  retryStep,
  retryStepCount,
} from '../../../client/subscriber/retry-schedule.ts';

const resolve = (retry: RetryOptions): ResolvedRetryOptions => resolveFailureOptions({ retry }, 'g').retry;

const anyRetry = fc
  .record({
    attempts: fc.integer({ min: 1, max: 60 }),
    backoff: fc.constantFrom('fixed' as const, 'exponential' as const),
    delayMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 100_000 })),
    extraMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 10_000_000 })),
    jitter: fc.double({ min: 0, max: 1, noNaN: true }),
    mode: fc.constantFrom('in-place' as const, 'topic' as const),
  })
  .map(({ extraMs, ...retry }) => resolve({ ...retry, delayMsMax: retry.delayMs + extraMs }));
const anyAttempt = fc.integer({ min: 1, max: 2000 });
const anyFraction = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe('delays', () => {
  test('double up to the bound, or stay', () => {
    const exponential = resolve({ delayMs: 100, delayMsMax: 1000 });
    expect([1, 2, 3, 4, 5, 6].map((attempt) => nominalDelayMs(exponential, attempt))).toEqual([
      100, 200, 400, 800, 1000, 1000,
    ]);
    const fixed = resolve({ backoff: 'fixed', delayMs: 100 });
    expect([1, 2, 900].map((attempt) => nominalDelayMs(fixed, attempt))).toEqual([100, 100, 100]);
  });

  test('never leave their bounds: jitter around the nominal delay, and delayMsMax', () => {
    fc.assert(
      fc.property(anyRetry, anyAttempt, anyFraction, (retry, attempt, fraction) => {
        const nominal = nominalDelayMs(retry, attempt);
        const delayMs = retryDelayMs(retry, attempt, fraction);
        expect(Number.isSafeInteger(delayMs)).toBe(true);
        expect(delayMs).toBeGreaterThanOrEqual(Math.floor(nominal * (1 - retry.jitter)));
        expect(delayMs).toBeLessThanOrEqual(Math.ceil(nominal * (1 + retry.jitter)));
        expect(delayMs).toBeLessThanOrEqual(retry.delayMsMax);
        expect(nominalDelayMs(retry, attempt + 1)).toBeGreaterThanOrEqual(nominal);
      }),
    );
  });

  test('are spread by the random fraction, evenly to both sides', () => {
    const retry = resolve({ delayMs: 1000, jitter: 0.5 });
    expect([0, 0.5, 0.75].map((fraction) => retryDelayMs(retry, 1, fraction))).toEqual([500, 1000, 1250]);
  });
});

describe('retry topics', () => {
  test('there is one for each delay that differs, and none in place or without retries', () => {
    const topic = { mode: 'topic' } as const;
    expect(retryStepCount(resolve({ ...topic, backoff: 'fixed', attempts: 9 }))).toBe(1);
    expect(retryStepCount(resolve({ ...topic, attempts: 2 }))).toBe(1);
    expect(retryStepCount(resolve({ ...topic, attempts: 4 }))).toBe(3);
    expect(retryStepCount(resolve({ ...topic, attempts: 100, delayMs: 1000, delayMsMax: 8000 }))).toBe(4);
    expect(retryStepCount(resolve({ ...topic, attempts: 100, delayMs: 0, delayMsMax: 8000 }))).toBe(1);
    expect(retryStepCount(resolve({ ...topic, attempts: 1 }))).toBe(0);
    expect(retryStepCount(resolve({ attempts: 9 }))).toBe(0);
  });

  test('all records of one wait equally long, so that none waits for one with a longer delay', () => {
    fc.assert(
      fc.property(anyRetry, (retry) => {
        const delays = new Map<number, number>();
        for (let attempt = 1; attempt < retry.attempts; attempt += 1) {
          if (nextStepOf(retry, attempt, false) !== 'retryTopic') continue;
          const step = retryStep(retry, attempt);
          expect(step).toBeGreaterThanOrEqual(1);
          expect(step).toBeLessThanOrEqual(retryStepCount(retry));
          const nominal = nominalDelayMs(retry, attempt);
          expect(delays.get(step) ?? nominal).toBe(nominal);
          delays.set(step, nominal);
        }
        expect(delays.size).toBe(retryStepCount(retry));
      }),
    );
  });

  test('hand out in their order, and yet hold no record longer than twice the jitter beyond its own delay', () => {
    const arrival = fc.record({
      afterMs: fc.nat(20_000),
      attempt: fc.integer({ min: 1, max: 12 }),
      fraction: anyFraction,
    });
    const retry = fc
      .record({ delayMs: fc.integer({ min: 1, max: 5000 }), jitter: fc.double({ min: 0, max: 1, noNaN: true }) })
      .map((options) => resolve({ ...options, mode: 'topic', attempts: 13, delayMsMax: 600_000 }));
    fc.assert(
      fc.property(retry, fc.array(arrival, { maxLength: 60 }), (options, arrivals) => {
        let nowMs = 0;
        const freeAtMs = new Map<number, number>();
        for (const { afterMs, attempt, fraction } of arrivals) {
          nowMs += afterMs;
          const step = retryStep(options, attempt);
          const dueAtMs = nowMs + retryDelayMs(options, attempt, fraction);
          const handedOutAtMs = Math.max(dueAtMs, freeAtMs.get(step) ?? 0);
          freeAtMs.set(step, handedOutAtMs);
          const slackMs = 2 * options.jitter * nominalDelayMs(options, attempt);
          expect(handedOutAtMs - dueAtMs).toBeLessThanOrEqual(Math.ceil(slackMs) + 1);
        }
      }),
    );
  });

  test('are not too many', () => {
    const retry = { mode: 'topic', attempts: 100, delayMs: 1 } as const;
    checkRetrySteps(resolve({ ...retry, delayMsMax: 2 ** (RETRY_STEPS_MAX - 1) }));
    expect(() => checkRetrySteps(resolve({ ...retry, delayMsMax: 2 ** RETRY_STEPS_MAX }))).toThrow(
      /17 different delays.*Raise retry.delayMs/,
    );
  });
});

test('a record gets exactly the attempts that were asked for, and a poison record one', () => {
  fc.assert(
    fc.property(anyRetry, (retry) => {
      let attempts = 1;
      while (nextStepOf(retry, attempts, false) !== 'giveUp') attempts += 1;
      expect(attempts).toBe(retry.attempts);
      expect(nextStepOf(retry, 1, true)).toBe('giveUp');
    }),
  );
});
