import { describe, expect, test } from 'vitest';
import { partitionKey } from '../../../client/topic-partition.ts';
import type { BurrowError } from '../../../src/errors/burrow-error.ts';
import { decodeSubscription } from '../../../src/groups/consumer-protocol.ts';
import { settle } from '../../support/fake-client-clock.ts';
import { expectShared, HEARTBEAT_MS, REBALANCE_MS, REFRESH_MS, SESSION_MS, setUp } from './membership-bed.ts';

const T4 = 't-0 t-1 t-2 t-3';

describe('joining', () => {
  test('the first member leads, and gets everything', async () => {
    const { coordinator, start, rest } = setUp();
    const a = start();
    await rest();
    expect(a.owned()).toBe(T4);
    expect(a.events).toEqual([`assigned ${T4}`]);
    expect(a.membership).toMatchObject({ generationId: 1, memberId: 'm001' });
    expect(coordinator.state).toBe('Stable');
    // The id that it was given at the first join is the one it came back with.
    expect(a.host.joins.map(({ memberId }) => memberId)).toEqual(['', 'm001']);
  });

  test('a second member gets its half, and only that moves', async () => {
    const { start, rest } = setUp();
    const a = start();
    await rest();
    const b = start();
    await rest();
    expect(a.events).toEqual([`assigned ${T4}`, 'revoked t-2 t-3', 'assigned', 'assigned']);
    expect(b.events).toEqual(['assigned', 'assigned t-2 t-3']);
    expectShared([a, b], T4);
  });

  test('what one member is assigned, no other holds, at any time', async () => {
    const { coordinator, start, rest } = setUp({ t: 8 });
    const members = [start()];
    await rest();
    for (let count = 0; count < 3; count += 1) {
      members.push(start());
      await rest();
    }
    for (const { owners } of coordinator.history) {
      const all = [...owners.values()].flat().map(partitionKey);
      expect(new Set(all).size).toBe(all.length);
    }
    expectShared(members, Array.from({ length: 8 }, (_, index) => `t-${index}`).join(' '));
    expect(members.map(({ membership }) => membership.assignment.length)).toEqual([2, 2, 2, 2]);
  });

  test.each(['range', 'roundrobin', 'sticky'] as const)(
    'with %s everything is given up before it is assigned anew',
    async (name) => {
      const { start, rest } = setUp();
      const a = start({ assignors: [name] });
      await rest();
      const b = start({ assignors: [name] });
      await rest();
      const mine = a.owned();
      expect(a.events).toEqual([`assigned ${T4}`, `revoked ${T4}`, `assigned ${mine}`]);
      expectShared([a, b], T4);
    },
  );

  test('one eager assignor among them makes a member eager (KIP-429)', async () => {
    const { start, rest } = setUp();
    const a = start({ assignors: ['cooperative-sticky', 'range'] });
    await rest();
    start({ assignors: ['cooperative-sticky', 'range'] });
    await rest();
    expect(a.events[1]).toBe(`revoked ${T4}`);
  });

  test('the group uses an assignor that all members know', async () => {
    const { coordinator, start, rest } = setUp();
    start({ assignors: ['cooperative-sticky', 'range'] });
    start({ assignors: ['roundrobin', 'range'] });
    await rest();
    expect(coordinator.protocolName).toBe('range');
  });

  test('a sticky member tells what it held although it has given it up', async () => {
    const { start, rest } = setUp();
    const a = start({ assignors: ['sticky'] });
    await rest();
    const b = start({ assignors: ['sticky'] });
    await rest();
    expect(a.owned()).toBe('t-0 t-1');
    const subscription = decodeSubscription(a.host.joins.at(-1)!.protocols[0]!.metadata);
    expect(subscription.ownedPartitions).toEqual([]);
    expect(subscription.userData!.length).toBeGreaterThan(16);
    void b.membership.leave();
    await rest();
    expect(a.owned()).toBe(T4);
  });

  test.each([
    ['NOT_COORDINATOR', 'findCoordinator'],
    ['COORDINATOR_LOADING', undefined],
    ['CONNECTION_LOST', 'findCoordinator'],
    ['REQUEST_TIMED_OUT', 'findCoordinator'],
    ['SHUTTING_DOWN', 'findCoordinator'],
    ['IN_FLIGHT_LIMIT', undefined],
  ] as const)('after %s it tries again', async (code, asksAgain) => {
    const { start, rest } = setUp();
    const a = start();
    a.host.failNext('join', code, code);
    a.host.failNext('sync', code);
    await rest();
    expect(a.owned()).toBe(T4);
    expect(a.errors).toEqual([]);
    const lookUps = a.host.requests.filter((name) => name === 'findCoordinator').length;
    if (asksAgain === undefined) expect(lookUps).toBe(1);
    else expect(lookUps).toBeGreaterThan(1);
  });

  test.each([
    'INCONSISTENT_GROUP_PROTOCOL',
    'INVALID_SESSION_TIMEOUT',
    'GROUP_MAX_SIZE_REACHED',
    'FENCED_INSTANCE',
  ] as const)('%s is the end, and is told', async (code) => {
    const { clock, start, rest } = setUp();
    const a = start();
    a.host.failNext('join', code);
    await rest();
    expect(a.errors).toMatchObject([{ error: { code }, fatal: true }]);
    const requests = a.host.requests.length;
    await clock.advance(REBALANCE_MS);
    expect(a.host.requests).toHaveLength(requests);
    await expect(a.membership.commit([{ topic: 't', partition: 0, offset: 1 }])).rejects.toMatchObject({ code });
  });
});

describe('rebalances', () => {
  test('the partitions of a member that dies go to the others after its session', async () => {
    const { clock, start, rest } = setUp();
    const members = [start(), start()];
    await rest();
    members[1]!.host.cutOff = true;
    await clock.advance(SESSION_MS / 2);
    expect(members[0]!.membership.assignment).toHaveLength(2);
    await clock.advance(SESSION_MS / 2 + 2 * HEARTBEAT_MS);
    expect(members[0]!.owned()).toBe(T4);
    // What stayed was not touched.
    expect(members[0]!.events.filter((event) => event.startsWith('revoked'))).toEqual([]);
  });

  test('a member that cannot reach anybody gives up by itself when its session must be over', async () => {
    const { clock, start, rest } = setUp();
    const a = start();
    await rest();
    a.host.cutOff = true;
    await clock.advance(SESSION_MS + HEARTBEAT_MS);
    expect(a.events.at(-1)).toBe(`lost ${T4}`);
    expect(a.membership.generationId).toBe(-1);
    a.host.cutOff = false;
    await rest();
    expect(a.owned()).toBe(T4);
    expect(a.events.at(-1)).toBe(`assigned ${T4}`);
  });

  test('also if it is cut off while it joins', async () => {
    const { clock, coordinator, start, rest } = setUp();
    const [a, b] = [start(), start()];
    await rest();
    const mine = a.owned();
    // Somebody joins, a comes back to the group and waits for b, which does not come.
    b.during.revoked = () => new Promise(() => {});
    b.host.failNext('heartbeat', ...Array.from({ length: 5 }, () => 'COORDINATOR_LOADING' as const));
    coordinator.rebalance();
    await clock.advance(HEARTBEAT_MS);
    expect(coordinator.state).toBe('Preparing');
    a.host.cutOff = true;
    await clock.advance(SESSION_MS - HEARTBEAT_MS);
    expect(a.owned()).toBe(mine);
    await clock.advance(2 * HEARTBEAT_MS);
    expect(a.events.at(-1)).toBe(`lost ${mine}`);
    a.host.cutOff = false;
    await clock.advance(REBALANCE_MS);
  });

  test('a short loss of the connection changes nothing', async () => {
    const { clock, coordinator, start, rest } = setUp();
    const a = start();
    await rest();
    a.host.cutOff = true;
    await clock.advance(SESSION_MS / 2);
    a.host.cutOff = false;
    await clock.advance(SESSION_MS);
    expect(a.events).toEqual([`assigned ${T4}`]);
    expect(coordinator.generationId).toBe(1);
  });

  test('UNKNOWN_MEMBER: everything is lost, and it joins as somebody new', async () => {
    const { coordinator, start, rest } = setUp();
    const a = start();
    await rest();
    coordinator.forgetMembers();
    await rest();
    expect(a.events).toEqual([`assigned ${T4}`, `lost ${T4}`, `assigned ${T4}`]);
    expect(a.membership.memberId).toBe('m002');
  });

  test('ILLEGAL_GENERATION: everything is lost, and it joins under its id', async () => {
    const { start, rest } = setUp();
    const a = start();
    await rest();
    a.host.failNext('heartbeat', 'ILLEGAL_GENERATION');
    await rest();
    expect(a.events).toEqual([`assigned ${T4}`, `lost ${T4}`, `assigned ${T4}`]);
    expect(a.membership.memberId).toBe('m001');
  });

  test('FENCED_INSTANCE: somebody else took the place; it ends', async () => {
    const { start, rest } = setUp();
    const a = start({ groupInstanceId: 'one' });
    await rest();
    a.host.failNext('heartbeat', 'FENCED_INSTANCE');
    await rest();
    expect(a.events.at(-1)).toBe(`lost ${T4}`);
    expect(a.errors).toMatchObject([{ error: { code: 'FENCED_INSTANCE' }, fatal: true }]);
  });

  test('a sync that comes too late joins again', async () => {
    const { start, rest } = setUp();
    const a = start();
    a.host.failNext('sync', 'REBALANCE_IN_PROGRESS');
    await rest();
    expect(a.owned()).toBe(T4);
    expect(a.host.joins.length).toBeGreaterThan(2);
  });

  test('a coordinator that dies in the midst of a rebalance is found again, and the rebalance ends', async () => {
    const { clock, start, rest } = setUp();
    const [a, b] = [start(), start()];
    await rest();
    const c = start();
    b.during.revoked = () => new Promise((resolve) => clock.schedule(2500, resolve));
    await clock.advance(HEARTBEAT_MS);
    for (const { host } of [a, b, c]) host.cutOff = true;
    await clock.advance(2 * HEARTBEAT_MS);
    for (const { host } of [a, b, c]) host.cutOff = false;
    await clock.advance(SESSION_MS);
    expectShared([a, b, c], T4);
    expect([a, b, c].flatMap(({ errors }) => errors)).toEqual([]);
  });

  test('heartbeats go on while a callback takes its time, and the rebalance waits for it', async () => {
    const { clock, coordinator, start, rest } = setUp();
    const a = start();
    await rest();
    a.during.revoked = () => new Promise((resolve) => clock.schedule(3 * SESSION_MS, resolve));
    const b = start();
    await clock.advance(3 * SESSION_MS);
    expect(coordinator.members.size).toBe(2);
    expect(b.owned()).toBe('');
    await rest();
    expectShared([a, b], T4);
  });

  test('whoever takes longer than the rebalance timeout is left behind, and loses what it kept', async () => {
    const { clock, start, rest } = setUp();
    const a = start({ assignors: ['range'], rebalanceTimeoutMs: 5000 });
    await rest();
    let release = () => {};
    a.during.revoked = () =>
      new Promise((resolve) => {
        release = resolve;
      });
    const b = start({ assignors: ['range'], rebalanceTimeoutMs: 5000 });
    await clock.advance(5000 + 2 * HEARTBEAT_MS);
    expect(b.owned()).toBe(T4);
    const commit = a.membership.commit([{ topic: 't', partition: 0, offset: 3 }]);
    await expect(commit).rejects.toMatchObject({ code: 'UNKNOWN_MEMBER' });
    release();
    a.during.revoked = () => {};
    await rest();
    expectShared([a, b], T4);
    expect(a.membership.assignment).toHaveLength(2);
  });

  test('callbacks never overlap', async () => {
    const { clock, start } = setUp({ t: 12 });
    let running = 0;
    let most = 0;
    const a = start();
    const slowly = async () => {
      running += 1;
      most = Math.max(most, running);
      await new Promise<void>((resolve) => clock.schedule(700, resolve));
      running -= 1;
    };
    a.during = { revoked: slowly, assigned: slowly, lost: slowly };
    for (let count = 0; count < 3; count += 1) {
      await clock.advance(2500);
      start();
    }
    void a.membership.leave();
    await clock.advance(20_000);
    expect(a.events.length).toBeGreaterThan(4);
    expect(most).toBe(1);
  });

  test('a callback that throws is told, and does not stop the rebalance', async () => {
    const { start, rest } = setUp();
    const a = start();
    a.during.assigned = () => {
      throw new Error('no');
    };
    await rest();
    expect(a.owned()).toBe(T4);
    expect(a.errors).toMatchObject([{ error: { message: expect.stringContaining('no') }, fatal: false }]);
  });
});

describe('topics', () => {
  test('new partitions of a topic make the leader rebalance', async () => {
    const { clock, coordinator, start, rest } = setUp({ t: 2 });
    const members = [start(), start()];
    await rest();
    coordinator.topics.set('t', 4);
    await clock.advance(REFRESH_MS + 4 * HEARTBEAT_MS);
    expectShared(members, T4);
    expect(members.flatMap(({ events }) => events).filter((event) => event.startsWith('revoked'))).toEqual([]);
  });

  test('a pattern finds topics that are created later, and lets go those that are deleted', async () => {
    const { clock, coordinator, start, rest } = setUp({ 'log-a': 1, other: 3 });
    // A flag that makes it remember where it matched must not matter.
    const a = start({ subscription: { pattern: /^log-/g } });
    await rest();
    expect(a.owned()).toBe('log-a-0');
    coordinator.topics.set('log-b', 2);
    await clock.advance(REFRESH_MS + 2 * HEARTBEAT_MS);
    expect(a.owned()).toBe('log-a-0 log-b-0 log-b-1');
    coordinator.topics.delete('log-a');
    await clock.advance(REFRESH_MS + 2 * HEARTBEAT_MS);
    expect(a.events.at(-2)).toBe('revoked log-a-0');
    expect(a.owned()).toBe('log-b-0 log-b-1');
  });

  test('a topic that does not exist is told once, and consumed once it exists', async () => {
    const { clock, coordinator, start, rest } = setUp({});
    const a = start();
    await rest();
    await clock.advance(5000);
    expect(a.errors).toMatchObject([{ error: { code: 'UNKNOWN_TOPIC_OR_PARTITION' }, fatal: false }]);
    coordinator.topics.set('t', 1);
    await clock.advance(2000);
    expect(a.owned()).toBe('t-0');
  });
});

describe('static members', () => {
  test('a restart within the session moves nothing', async () => {
    const { coordinator, start, rest } = setUp();
    const a = start({ groupInstanceId: 'one' });
    const b = start({ groupInstanceId: 'two' });
    await rest();
    const [eventsOfA, generationId, mine] = [[...a.events], coordinator.generationId, b.owned()];
    await b.membership.leave();
    expect(coordinator.left).toEqual([]);
    const again = start({ groupInstanceId: 'two' });
    await rest();
    expect(again.owned()).toBe(mine);
    expect(coordinator.generationId).toBe(generationId);
    expect(a.events).toEqual(eventsOfA);
  });

  test('the leader comes back without assigning anew (KIP-814), and still sees to its topics', async () => {
    const { clock, coordinator, start, rest } = setUp();
    const a = start({ groupInstanceId: 'one' });
    await rest();
    await a.membership.leave();
    const again = start({ groupInstanceId: 'one' });
    await rest();
    expect(again.owned()).toBe(T4);
    expect(coordinator.history).toHaveLength(1);
    coordinator.topics.set('t', 5);
    await clock.advance(REFRESH_MS + HEARTBEAT_MS);
    expect(again.owned()).toBe(`${T4} t-4`);
  });
});

describe('leaving', () => {
  test('gives up everything first, then tells the group', async () => {
    const { coordinator, start, rest } = setUp();
    const [a, b] = [start(), start()];
    await rest();
    const mine = b.owned();
    b.during.revoked = () => b.membership.commit([{ topic: 't', partition: 2, offset: 7 }]);
    await b.membership.leave();
    expect(b.events.at(-1)).toBe(`revoked ${mine}`);
    expect(coordinator.committed.get('t-2')).toMatchObject({ offset: 7 });
    expect(coordinator.left).toHaveLength(1);
    expect(b.owned()).toBe('');
    await rest();
    expect(a.owned()).toBe(T4);
  });

  test('between join and sync: a last commit is tried for a moment, and left undone', async () => {
    const { clock, coordinator, start, rest } = setUp();
    const a = start();
    await rest();
    a.host.failNext('sync', 'COORDINATOR_NOT_AVAILABLE');
    let refused: unknown;
    a.during.revoked = () =>
      a.membership.commit([{ topic: 't', partition: 0, offset: 1 }]).catch((error) => {
        refused = error;
      });
    coordinator.rebalance();
    await clock.advance(HEARTBEAT_MS + 20);
    expect(coordinator.state).toBe('Completing');
    let hasLeft = false;
    void a.membership.leave().then(() => {
      hasLeft = true;
    });
    await clock.advance(1500);
    expect(refused).toMatchObject({ code: 'REBALANCE_IN_PROGRESS' });
    expect(hasLeft).toBe(true);
    expect(coordinator.state).toBe('Empty');
  });

  test('does not wait for a rebalance that does not end', async () => {
    const { clock, start, rest } = setUp();
    const a = start();
    await rest();
    a.during.revoked = () => new Promise(() => {});
    const b = start();
    await clock.advance(HEARTBEAT_MS);
    let hasLeft = false;
    void b.membership.leave().then(() => {
      hasLeft = true;
    });
    await settle();
    expect(hasLeft).toBe(true);
  });

  test('gives up soon if nobody can be told', async () => {
    const { clock, start, rest } = setUp();
    const a = start();
    await rest();
    a.host.cutOff = true;
    let hasLeft = false;
    void a.membership.leave().then(() => {
      hasLeft = true;
    });
    await clock.advance(5000);
    expect(hasLeft).toBe(true);
    expect(clock.pendingTimers).toBeLessThan(3);
  });

  test('suspend loses everything and resume joins again', async () => {
    const { coordinator, start, rest } = setUp();
    const [a, b] = [start(), start()];
    await rest();
    const mine = a.owned();
    a.membership.suspend();
    await rest();
    expect(a.events.at(-1)).toBe(`lost ${mine}`);
    expect(coordinator.members.size).toBe(1);
    expect(b.owned()).toBe(T4);
    a.membership.resume();
    await rest();
    expectShared([a, b], T4);
    expect(a.membership.assignment).toHaveLength(2);
  });
});

describe('offsets', () => {
  test('commits asked for at once travel in one request, and the last word counts', async () => {
    const { coordinator, start, rest } = setUp();
    const a = start();
    await rest();
    await Promise.all([1, 2, 3].map((offset) => a.membership.commit([{ topic: 't', partition: 0, offset }])));
    expect(coordinator.commits).toMatchObject([[{ topic: 't', partition: 0, offset: 3 }]]);
    expect(
      await a.membership.committed([
        { topic: 't', partition: 0 },
        { topic: 't', partition: 1 },
      ]),
    ).toMatchObject([
      { partition: 0, offset: 3 },
      { partition: 1, offset: undefined },
    ]);
  });

  test('a commit waits out a rebalance after which the partition is still here', async () => {
    const { coordinator, start, rest } = setUp();
    const a = start();
    await rest();
    a.host.failNext('commitOffsets', 'REBALANCE_IN_PROGRESS');
    const commit = a.membership.commit([{ topic: 't', partition: 0, offset: 5 }]);
    coordinator.rebalance();
    await rest();
    await commit;
    expect(coordinator.committed.get('t-0')).toMatchObject({ offset: 5 });
  });

  test('a commit that the generation outran is repeated for what stayed, and refused for what moved', async () => {
    const { clock, coordinator, start, rest } = setUp();
    const a = start();
    await rest();
    // Hold the commit back until the group has gone on.
    a.host.failNext('commitOffsets', ...Array.from({ length: 8 }, () => 'COORDINATOR_LOADING' as const));
    const kept = a.membership.commit([{ topic: 't', partition: 0, offset: 5 }]);
    const moved = a.membership.commit([{ topic: 't', partition: 3, offset: 6 }]);
    const refused = expect(moved).rejects.toMatchObject({ code: 'ILLEGAL_GENERATION' });
    start();
    await clock.advance(10_000);
    await kept;
    await refused;
    expect(coordinator.committed.get('t-0')).toMatchObject({ offset: 5 });
    expect(coordinator.committed.has('t-3')).toBe(false);
    expect(a.membership.generationId).toBe(3);
  });

  test.each(['range', 'cooperative-sticky'] as const)(
    'a commit that waited while another had the partition, and committed, does not undo that (%s)',
    async (assignor) => {
      const { coordinator, start, rest } = setUp();
      const a = start({ assignors: [assignor] });
      await rest();
      a.host.failNext('commitOffsets', ...Array.from({ length: 100 }, () => 'COORDINATOR_NOT_AVAILABLE' as const));
      const outcome = (partition: number, offset: number) =>
        a.membership.commit([{ topic: 't', partition, offset }]).then(
          () => 'stored',
          (error: BurrowError) => error.code,
        );
      const first = [outcome(0, 4), outcome(3, 5)];
      await settle();
      // Waits behind the others: it was not even sent when the group went on.
      const next = [outcome(0, 7), outcome(3, 6)];
      await settle();
      const b = start({ assignors: [assignor] });
      await rest();
      expect(b.owned()).toBe('t-2 t-3');
      await b.membership.commit([{ topic: 't', partition: 3, offset: 9 }]);
      await b.membership.leave();
      await rest();
      expect(a.owned()).toBe(T4);
      a.host.failNext('commitOffsets');
      await rest();
      expect(await Promise.all(first)).toEqual(['stored', 'ILLEGAL_GENERATION']);
      expect(await Promise.all(next)).toEqual(['stored', 'ILLEGAL_GENERATION']);
      expect(coordinator.committed.get('t-0')).toMatchObject({ offset: 7 });
      expect(coordinator.committed.get('t-3')).toMatchObject({ offset: 9 });
    },
  );

  test('a static member that missed a generation loses what it kept, since others may have had it', async () => {
    const { clock, coordinator, start, rest } = setUp();
    const longSession = { sessionTimeoutMs: 300_000, rebalanceTimeoutMs: 20_000 };
    const a = start({ ...longSession, groupInstanceId: 'a' });
    await rest();
    expect(a.owned()).toBe(T4);
    // It hears of the rebalance and cannot join: the others go on without it, and it stays in the group.
    a.host.failNext('join', ...Array.from({ length: 100 }, () => 'COORDINATOR_LOADING' as const));
    const b = start({ ...longSession, groupInstanceId: 'b' });
    await clock.advance(25_000);
    expect([coordinator.generationId, b.membership.generationId, a.membership.generationId]).toEqual([2, 2, 1]);
    a.host.failNext('join');
    await clock.advance(10_000);
    expect(a.events).toContain(`lost ${T4}`);
    expect(a.events.filter((event) => event.startsWith('revoked'))).toEqual([]);
    expectShared([a, b], T4);
  });

  test('a commit that is refused as unknown makes the member join again', async () => {
    const { coordinator, start, rest } = setUp();
    const a = start();
    await rest();
    coordinator.forgetMembers();
    const commit = a.membership.commit([{ topic: 't', partition: 0, offset: 5 }]);
    await expect(commit).rejects.toMatchObject({ code: 'UNKNOWN_MEMBER' });
    await settle();
    expect(a.events).toContain(`lost ${T4}`);
  });

  test('what makes no sense is refused before it is sent', async () => {
    const { coordinator, start, rest } = setUp();
    const a = start();
    await rest();
    for (const bad of [
      { topic: '', partition: 0, offset: 1 },
      { topic: 't', partition: -1, offset: 1 },
      { topic: 't', partition: 0, offset: 0.5 },
      { topic: 't', partition: 0, offset: 1, leaderEpoch: -2 },
    ]) {
      await expect(a.membership.commit([bad])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    }
    const long = { topic: 't', partition: 0, offset: 1, metadata: 'x'.repeat(65_537) };
    await expect(a.membership.commit([long])).rejects.toMatchObject({ code: 'OFFSET_METADATA_TOO_LARGE' });
    expect(coordinator.commits).toEqual([]);
  });
});
