/** A member's process is killed: what it had goes on at another, from the last commit, within the session timeout. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { ForeignMemberKind } from '../support/foreign-members.ts';
import { SESSION_TIMEOUT_MS, startGroupBed } from '../support/group-bed.ts';
import type { NativeMemberOptions } from '../support/native-member.ts';

const COMMITTED = 40;
const RECORDS_PER_PARTITION = 100;
/** For a rebalance and for reading, on a busy machine. */
const SLACK_MS = 5000;

const member: ForeignMemberKind = {
  name: 'the SDK in a process of its own',
  clientId: 'burrowmq',
  client: { program: process.execPath },
  assignors: ['range', 'cooperative-sticky'],
  outlivesBroker: true,
  command({ nativeUrl, group, topic, assignor, sessionTimeoutMs }) {
    const heartbeatIntervalMs = 100;
    const options = { url: nativeUrl, group, topic, assignor, sessionTimeoutMs, heartbeatIntervalMs };
    const script = fileURLToPath(new URL('../../dist/test/support/native-member.js', import.meta.url));
    return [script, JSON.stringify({ ...options, commitMax: COMMITTED } satisfies NativeMemberOptions)];
  },
};

test.each(member.assignors)('%s', { timeout: 60_000 }, async (assignor) => {
  const bed = await startGroupBed();
  bed.startNative(assignor);
  const killed = bed.startForeign(member, assignor);
  await bed.shares({ burrowmq: [3, 3] });
  await bed.produce(6 * RECORDS_PER_PARTITION);
  await bed.allSeen();
  // The survivor commits all of its own, the other no more than it may.
  await bed.committedAre([COMMITTED, COMMITTED, COMMITTED, ...Array(3).fill(RECORDS_PER_PARTITION)]);
  const killedMs = performance.now();
  killed.kill('SIGKILL');
  await bed.allCommitted();
  expect(performance.now() - killedMs).toBeLessThan(SESSION_TIMEOUT_MS + SLACK_MS);
  await bed.shares({ burrowmq: [6] });
  const again = [...bed.seen].filter(([, times]) => times > 1);
  expect(new Set(again.map(([, times]) => times))).toEqual(new Set([2]));
  const offsets = again.map(([place]) => Number(place.split('/')[1]));
  expect([again.length, Math.min(...offsets)]).toEqual([3 * (RECORDS_PER_PARTITION - COMMITTED), COMMITTED]);
});
