import { expect, onTestFinished, test } from 'vitest';
import { TopicWatch } from '../../../client/groups/topic-watch.ts';
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import { FakeClientClock } from '../../support/fake-client-clock.ts';
import { FakeGroupCoordinator, FakeGroupHost } from '../../support/fake-group-coordinator.ts';

const REFRESH_MS = 1000;

/** Watches all topics that begin with `log-`; `complete` adds a companion to each unless `failure` is set. */
async function watchPattern() {
  const clock = new FakeClientClock();
  const coordinator = new FakeGroupCoordinator(clock);
  coordinator.topics.set('log-a', 1);
  const changes: string[] = [];
  const asked: string[][] = [];
  let failure: BurrowError | undefined;
  const watch = new TopicWatch(new FakeGroupHost(coordinator), {
    subscription: {
      pattern: /^log-/,
      complete: async (topics) => {
        asked.push([...topics]);
        if (failure !== undefined) throw failure;
        return [...topics, ...topics.map((topic) => `retry-${topic}`)];
      },
    },
    refreshMs: REFRESH_MS,
    onChanged: (reason) => changes.push(reason),
    onMissing: () => {},
  });
  onTestFinished(() => watch.stop());
  const subscribing = watch.subscribe();
  await clock.advance(0);
  const subscribed = await subscribing;
  watch.watch();
  const fail = (error: BurrowError | undefined) => {
    failure = error;
  };
  return { clock, coordinator, watch, changes, asked, subscribed, fail };
}

test('what matches is completed at every look, and a rebalance is due only when that changes', async () => {
  const { clock, coordinator, changes, asked, subscribed } = await watchPattern();
  expect(subscribed).toEqual(['log-a', 'retry-log-a']);
  await clock.advance(REFRESH_MS);
  expect(asked).toEqual([['log-a'], ['log-a']]);
  expect(changes).toEqual([]);
  coordinator.topics.set('log-b', 1);
  await clock.advance(REFRESH_MS);
  expect(changes).toEqual(['other topics match the pattern']);
});

test('a look that fails is repeated if it may pass; else a rebalance brings the error out', async () => {
  const { clock, changes, watch, fail } = await watchPattern();
  fail(new BurrowError('CONNECTION_LOST'));
  await clock.advance(3 * REFRESH_MS);
  expect(changes).toEqual([]);
  fail(new BurrowError('INVALID_CONFIG'));
  await clock.advance(REFRESH_MS);
  expect(changes).toEqual(['topics cannot be looked up']);
  const rejected = expect(watch.subscribe()).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
  await clock.advance(0);
  await rejected;
});
