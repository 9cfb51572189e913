/**
 * When a record is tried again, and in which retry topic it waits. Pure.
 *
 * Each delay has a retry topic of its own (a step): a partition hands out its records in their order, so one that waits long
 * would hold up all behind it that are due earlier. Within a step all wait equally long but for the jitter: a record waits
 * at most for one that was put before it and drew a longer delay, so never more than twice the jitter longer than its own.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { ResolvedRetryOptions } from './retry-options.ts';

/** Each step costs a topic. */
export const RETRY_STEPS_MAX = 16;

/** How long to wait after attempt number `attempt` (from 1) has failed, before jitter, in milliseconds. */
export function nominalDelayMs(retry: ResolvedRetryOptions, attempt: number): number {
  // 2 ** attempt overflows to Infinity for large attempts, which min() bounds again; no delay stays none.
  if (retry.backoff === 'fixed' || retry.delayMs === 0) return retry.delayMs;
  return Math.min(retry.delayMsMax, retry.delayMs * 2 ** (attempt - 1));
}

/** The same with jitter, in whole milliseconds; `fraction` is a random number in [0, 1). */
export function retryDelayMs(retry: ResolvedRetryOptions, attempt: number, fraction: number): number {
  const jittered = nominalDelayMs(retry, attempt) * (1 - retry.jitter + 2 * retry.jitter * fraction);
  return Math.min(retry.delayMsMax, Math.round(jittered));
}

/** How many retry topics there are: one for each delay that differs. */
export function retryStepCount(retry: ResolvedRetryOptions): number {
  if (retry.mode !== 'topic' || retry.attempts === 1) return 0;
  let steps = 1;
  while (steps < retry.attempts - 1 && nominalDelayMs(retry, steps + 1) > nominalDelayMs(retry, steps)) steps += 1;
  return steps;
}

/** The retry topic (from 1) for a record whose attempt number `attempt` has failed. */
export function retryStep(retry: ResolvedRetryOptions, attempt: number): number {
  return Math.min(attempt, retryStepCount(retry));
}

/** Throws INVALID_ARGUMENT where the delays would need too many topics. */
export function checkRetrySteps(retry: ResolvedRetryOptions): void {
  const steps = retryStepCount(retry);
  if (steps <= RETRY_STEPS_MAX) return;
  throw new BurrowError(
    'INVALID_ARGUMENT',
    `These retries have ${steps} different delays, each with a topic of its own; at most ${RETRY_STEPS_MAX} are allowed. Raise retry.delayMs, lower retry.delayMsMax or retry.attempts.`,
    { fields: { option: 'retry.delayMs' } },
  );
}

/** What the failed attempt number `attempt` (from 1) leads to. A record that cannot be deserialized gets no second one. */
export function nextStepOf(
  retry: ResolvedRetryOptions,
  attempt: number,
  isPoison: boolean,
): 'retryInPlace' | 'retryTopic' | 'giveUp' {
  if (isPoison || attempt >= retry.attempts) return 'giveUp';
  return retry.mode === 'topic' ? 'retryTopic' : 'retryInPlace';
}
