import { expect, test } from 'vitest';
import { type FailureOptions, resolveFailureOptions } from '../../../client/subscriber/retry-options.ts';

test('defaults', () => {
  expect(resolveFailureOptions({}, 'g')).toEqual({
    retry: { attempts: 5, backoff: 'exponential', delayMs: 200, delayMsMax: 30_000, jitter: 0.2, mode: 'in-place' },
    deadLetter: undefined,
  });
  expect(resolveFailureOptions({ deadLetter: true }, 'g').deadLetter).toEqual({
    topic: undefined,
    retentionMs: -1,
    errorMessageBytesMax: 1024,
    errorStackBytesMax: 4096,
  });
  expect(resolveFailureOptions({ retry: { mode: 'topic' } }, 'g').retry).toMatchObject({
    delayMs: 5000,
    delayMsMax: 600_000,
  });
  // A longer delay raises its bound; a lower bound the default delay.
  expect(resolveFailureOptions({ retry: { delayMs: 60_000 } }, 'g').retry.delayMsMax).toBe(60_000);
  expect(resolveFailureOptions({ retry: { delayMsMax: 50 } }, 'g').retry.delayMs).toBe(50);
});

test('there is a dead-letter topic only if it is asked for, and without a group only if it is named', () => {
  expect(resolveFailureOptions({}, undefined).deadLetter).toBeUndefined();
  expect(resolveFailureOptions({ deadLetter: { topic: 'failed.dlq' } }, undefined).deadLetter?.topic).toBe(
    'failed.dlq',
  );
  expect(resolveFailureOptions({ deadLetter: false }, 'g').deadLetter).toBeUndefined();
  expect(resolveFailureOptions({ deadLetter: true }, 'g').deadLetter).toBeDefined();
  expect(resolveFailureOptions({ deadLetter: {} }, 'g').deadLetter).toBeDefined();
});

test.each<[unknown, string | undefined, RegExp]>([
  [{ retry: { attempts: 0 } }, 'g', /retry\.attempts must be an integer from 1 to 1000, not 0/],
  [{ retry: { attempts: 1001 } }, 'g', /retry\.attempts/],
  [{ retry: { attempts: 1.5 } }, 'g', /retry\.attempts/],
  [{ retry: { backoff: 'linear' } }, 'g', /retry\.backoff must be one of fixed, exponential, not linear/],
  [{ retry: { mode: 'queue' } }, 'g', /retry\.mode must be one of in-place, topic/],
  [{ retry: { delayMs: -1 } }, 'g', /retry\.delayMs/],
  [{ retry: { delayMs: 2 ** 31 } }, 'g', /retry\.delayMs/],
  [{ retry: { mode: 'topic', delayMs: 366 * 86_400_000 } }, 'g', /retry\.delayMs/],
  [{ retry: { delayMs: 100, delayMsMax: 99 } }, 'g', /retry\.delayMsMax must be an integer from 100/],
  [{ retry: { delayMsMax: -5 } }, 'g', /retry\.delayMsMax/],
  [{ retry: { delayMsMax: Number.NaN } }, 'g', /retry\.delayMsMax/],
  [{ retry: { jitter: 1.1 } }, 'g', /retry\.jitter must be a number from 0 to 1, not 1\.1/],
  [{ retry: { jitter: Number.NaN } }, 'g', /retry\.jitter/],
  [{ retry: { jitter: '0' } }, 'g', /retry\.jitter/],
  [{ retry: { mode: 'topic' } }, undefined, /needs a group/],
  [{ deadLetter: true }, undefined, /needs the name of a topic/],
  [{ deadLetter: 'failed' }, 'g', /deadLetter must be true, false or an object/],
  [{ deadLetter: null }, undefined, /deadLetter must be true, false or an object/],
  [{ deadLetter: { retentionMs: -2 } }, 'g', /deadLetter\.retentionMs/],
  [{ deadLetter: { errorMessageBytesMax: 65_537 } }, 'g', /deadLetter\.errorMessageBytesMax/],
  [{ deadLetter: { errorStackBytesMax: -1 } }, 'g', /deadLetter\.errorStackBytesMax/],
])('%j in group %s is refused', (options, group, text) => {
  const resolve = () => resolveFailureOptions(options as FailureOptions, group);
  expect(resolve).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringMatching(text) }));
});

test('names of dead-letter topics are checked at once', () => {
  for (const topic of ['a/b', '', 'x'.repeat(243)]) {
    expect(() => resolveFailureOptions({ deadLetter: { topic } }, 'g')).toThrow(
      expect.objectContaining({ code: 'INVALID_NAME' }),
    );
  }
});
