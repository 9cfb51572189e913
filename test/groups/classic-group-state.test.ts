import { describe, expect, test } from 'vitest';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { ended, GroupScript, protocols, subscription } from '../support/group-script.ts';

describe('the first rebalance', () => {
  test('waits for others for the initial delay, which starts anew with each that comes', () => {
    const script = new GroupScript();
    const first = script.join();
    script.wait(90);
    const second = script.join();
    script.wait(90);
    expect([ended(first), script.group.state]).toEqual(['waits', 'PreparingRebalance']);
    script.wait(20);
    expect([ended(first), ended(second)]).toEqual(['generation 1', 'generation 1']);
  });

  test('does not wait beyond the rebalance timeout, however many come', () => {
    const script = new GroupScript();
    const first = script.join({ rebalanceTimeoutMs: 250 });
    for (let count = 0; count < 4; count++) {
      script.wait(60);
      expect(ended(first)).toBe('waits');
      script.join({ rebalanceTimeoutMs: 250 });
    }
    script.wait(10);
    expect(ended(first)).toBe('generation 1');
  });

  test('makes the first member the leader, and tells only it who the others are', () => {
    const script = new GroupScript();
    const [first, second] = [script.join(), script.join({ groupInstanceId: 'i' })];
    script.wait(200);
    expect(first.outcome).toMatchObject({
      leader: 'm1',
      memberId: 'm1',
      protocolName: 'range',
      protocolType: 'consumer',
      skipAssignment: false,
      members: [
        { memberId: 'm1', groupInstanceId: undefined, metadata: subscription('topic') },
        { memberId: 'm2', groupInstanceId: 'i' },
      ],
    });
    expect(second.outcome).toMatchObject({ leader: 'm1', memberId: 'm2', members: [] });
  });

  test('gives up when all who joined have left, and stores that the group is empty', () => {
    const script = new GroupScript();
    const join = script.join();
    expect(script.leave('m1')).toEqual([undefined]);
    expect([ended(join), script.group.state]).toEqual(['UNKNOWN_MEMBER', 'Empty']);
    expect(script.stores[0]!.stored).toMatchObject({ generationId: 1, members: [], protocolName: undefined });
  });
});

describe('a member that must come back with its id (KIP-394)', () => {
  const known = { requiresKnownMemberId: true };

  test('gets an id first, and is a member once it comes back with it', () => {
    const script = new GroupScript();
    const first = script.join(known);
    expect(first.outcome).toMatchObject({ error: { code: 'MEMBER_ID_REQUIRED' }, memberId: 'm1', generationId: -1 });
    expect(script.group.state).toBe('Empty');
    const second = script.join({ ...known, memberId: 'm1' });
    script.wait(100);
    expect([ended(second), second.outcome!.memberId]).toEqual(['generation 1', 'm1']);
  });

  test('is forgotten if it does not come back within its session', () => {
    const script = new GroupScript();
    script.join(known);
    script.wait(9_999);
    expect(script.group.isUnused).toBe(false);
    script.wait(1);
    expect(script.group.isUnused).toBe(true);
    expect(ended(script.join({ ...known, memberId: 'm1' }))).toBe('UNKNOWN_MEMBER');
  });

  test('is waited for by a rebalance that goes on, but for no longer than its session', () => {
    const script = new GroupScript();
    const [leader] = script.stable(1);
    script.join({ ...known, sessionTimeoutMs: 2_000 });
    const again = script.join({ memberId: leader! });
    script.wait(1_999);
    expect(ended(again)).toBe('waits');
    script.wait(1);
    expect(ended(again)).toBe('generation 2');
  });

  test('and gives its id back leaves the others in peace', () => {
    const script = new GroupScript();
    const [leader] = script.stable(1);
    const promised = script.join(known).outcome!.memberId;
    expect(script.leave(promised)).toEqual([undefined]);
    expect(script.heartbeat(leader!, 1)).toBeUndefined();
  });

  test('finds no room while as many ids are promised as members are allowed', () => {
    const script = new GroupScript({ membersMax: 2 });
    expect([1, 2, 3].map(() => ended(script.join(known)))).toEqual([
      'MEMBER_ID_REQUIRED',
      'MEMBER_ID_REQUIRED',
      'GROUP_MAX_SIZE_REACHED',
    ]);
  });

  test('is none of the static ones', () => {
    const script = new GroupScript();
    const join = script.join({ ...known, groupInstanceId: 'i' });
    script.wait(100);
    expect(ended(join)).toBe('generation 1');
  });
});

describe('assignments', () => {
  test('reach everyone once they are stored; who is forgotten by the leader gets none', () => {
    const script = new GroupScript();
    const joins = [script.join(), script.join(), script.join()];
    script.wait(300);
    const syncs = [script.sync('m2', 1), script.sync('m1', 1, { m1: 'a', m2: 'b', stranger: 'x' })];
    expect(syncs.map(ended)).toEqual(['waits', 'waits']);
    const { members } = script.stored();
    expect(members.map(({ memberId, assignment }) => [memberId, String(Buffer.from(assignment))])).toEqual([
      ['m1', 'a'],
      ['m2', 'b'],
      ['m3', ''],
    ]);
    expect(syncs.map(ended)).toEqual(['assigned b', 'assigned a']);
    expect(joins.map(ended)).toEqual(['generation 1', 'generation 1', 'generation 1']);
    expect(ended(script.sync('m3', 1))).toBe('assigned ');
    expect(script.group.state).toBe('Stable');
  });

  test('that the leader sends twice are stored once', () => {
    const script = new GroupScript();
    script.join();
    script.wait(100);
    const first = script.sync('m1', 1, { m1: 'first' });
    const second = script.sync('m1', 1, { m1: 'second' });
    expect(script.stores).toHaveLength(1);
    script.stored();
    expect([ended(first), ended(second)]).toEqual(['REBALANCE_IN_PROGRESS', 'assigned first']);
  });

  test('that cannot be stored are refused to all, and the group begins anew', () => {
    const script = new GroupScript();
    script.join();
    script.wait(100);
    const sync = script.sync('m1', 1, { m1: 'a' });
    script.stored(new BurrowError('COORDINATOR_NOT_AVAILABLE'));
    expect([ended(sync), script.group.state]).toEqual(['COORDINATOR_NOT_AVAILABLE', 'PreparingRebalance']);
    expect(script.heartbeat('m1', 1)).toBe('REBALANCE_IN_PROGRESS');
  });

  test('that are stored too late, after a new member came, count for nobody', () => {
    const script = new GroupScript();
    script.join();
    script.wait(100);
    const sync = script.sync('m1', 1, { m1: 'a' });
    script.join();
    expect(ended(sync)).toBe('REBALANCE_IN_PROGRESS');
    script.stored();
    expect(script.group.state).toBe('PreparingRebalance');
  });

  test('must be asked for within the rebalance timeout, or the member is out', () => {
    const script = new GroupScript();
    const silent = script.join({ rebalanceTimeoutMs: 5_000 });
    script.join({ rebalanceTimeoutMs: 5_000 });
    script.wait(300);
    const sync = script.sync('m2', 1);
    for (let ms = 0; ms < 4_000; ms += 1_000) {
      script.wait(1_000);
      expect(script.heartbeat('m1', 1)).toBeUndefined();
    }
    script.wait(1_000);
    expect(ended(sync)).toBe('REBALANCE_IN_PROGRESS');
    expect([ended(silent), script.heartbeat('m1', 1), script.heartbeat('m2', 1)]).toEqual([
      'generation 1',
      'UNKNOWN_MEMBER',
      'REBALANCE_IN_PROGRESS',
    ]);
    expect(ended(script.join({ memberId: 'm2' }))).toBe('generation 2');
  });

  test('are refused for another generation, member, protocol or state', () => {
    const script = new GroupScript();
    const [leader, follower] = script.stable(2);
    expect(ended(script.sync(leader!, 2))).toBe('ILLEGAL_GENERATION');
    expect(ended(script.sync('stranger', 1))).toBe('UNKNOWN_MEMBER');
    const request = {
      groupId: 'group',
      generationId: 1,
      memberId: leader!,
      groupInstanceId: undefined,
      assignments: [],
    };
    const sync = (changes: object) => () =>
      script.group.sync({ ...request, protocolType: 'consumer', protocolName: 'range', ...changes }, 0, () => {});
    expect(sync({ protocolName: 'sticky' })).toThrow(expect.objectContaining({ code: 'INCONSISTENT_GROUP_PROTOCOL' }));
    expect(sync({ protocolType: 'connect' })).toThrow(expect.objectContaining({ code: 'INCONSISTENT_GROUP_PROTOCOL' }));
    script.join();
    expect(ended(script.sync(follower!, 1))).toBe('REBALANCE_IN_PROGRESS');
  });
});

describe('a stable group', () => {
  test('rebalances when a member comes, and goes on when all have joined again', () => {
    const script = new GroupScript();
    const [leader, follower] = script.stable(2);
    const newcomer = script.join();
    expect([leader, follower].map((id) => script.heartbeat(id!, 1))).toEqual([
      'REBALANCE_IN_PROGRESS',
      'REBALANCE_IN_PROGRESS',
    ]);
    const again = [script.join({ memberId: follower! })];
    expect(again.map(ended)).toEqual(['waits']);
    again.push(script.join({ memberId: leader! }));
    expect([...again, newcomer].map(ended)).toEqual(['generation 2', 'generation 2', 'generation 2']);
  });

  test('does not wait beyond the rebalance timeout for those who do not join again', () => {
    const script = new GroupScript();
    const [leader, follower] = script.stable(2, { rebalanceTimeoutMs: 3_000 });
    const newcomer = script.join({ rebalanceTimeoutMs: 3_000 });
    script.join({ memberId: follower!, rebalanceTimeoutMs: 3_000 });
    script.wait(3_000);
    expect(ended(newcomer)).toBe('generation 2');
    expect(newcomer.outcome!.leader).toBe(follower);
    expect(script.heartbeat(leader!, 1)).toBe('UNKNOWN_MEMBER');
  });

  test('gives a follower that joins again unchanged the generation it is in', () => {
    const script = new GroupScript();
    const [leader, follower] = script.stable(2);
    expect(script.join({ memberId: follower! }).outcome).toMatchObject({ generationId: 1, leader, members: [] });
    expect(script.group.state).toBe('Stable');
  });

  test.each([
    ['the leader joins again', 0, {}],
    ['a follower has another subscription', 1, { protocols: [{ name: 'range', metadata: subscription('other') }] }],
    ['a follower has one more assignor', 1, { protocols: protocols('range', 'sticky') }],
  ])('rebalances when %s', (_, who, changes) => {
    const script = new GroupScript();
    const members = script.stable(2);
    expect(ended(script.join({ memberId: members[who]!, ...changes }))).toBe('waits');
    expect(script.group.state).toBe('PreparingRebalance');
  });

  test('gives up who was not heard of for a session, to the millisecond, and rebalances', () => {
    const script = new GroupScript();
    const [leader, follower] = script.stable(2);
    script.wait(9_000);
    script.heartbeat(leader!, 1);
    script.wait(999);
    expect(script.group.state).toBe('Stable');
    script.wait(1);
    expect([script.group.state, script.heartbeat(follower!, 1)]).toEqual(['PreparingRebalance', 'UNKNOWN_MEMBER']);
    expect(ended(script.join({ memberId: leader! }))).toBe('generation 2');
  });

  test('is told of commits and syncs as of heartbeats', () => {
    const script = new GroupScript();
    const [leader] = script.stable(1);
    script.wait(9_000);
    expect(script.commit(leader!, 1)).toBeUndefined();
    script.wait(9_000);
    expect(ended(script.sync(leader!, 1))).toBe(`assigned ${leader}`);
    script.wait(9_000);
    expect(script.heartbeat(leader!, 1)).toBeUndefined();
  });

  test('loses several members at once with one rebalance, and is empty in the end', () => {
    const script = new GroupScript();
    const [leader, ...others] = script.stable(3);
    expect(script.leave(...others, 'stranger')).toEqual([undefined, undefined, 'UNKNOWN_MEMBER']);
    expect(ended(script.join({ memberId: leader! }))).toBe('generation 2');
    expect(script.leave(leader!)).toEqual([undefined]);
    expect(script.group.state).toBe('Empty');
    expect(script.stored()).toMatchObject({ generationId: 3, members: [], leader: undefined });
    expect(script.heartbeat(leader!, 3)).toBe('UNKNOWN_MEMBER');
  });

  test('keeps waiting for who waits, even beyond a session', () => {
    const script = new GroupScript();
    const [leader, follower] = script.stable(2, { rebalanceTimeoutMs: 30_000 });
    const waiting = script.join({ memberId: leader!, rebalanceTimeoutMs: 30_000 });
    for (let ms = 0; ms < 29_000; ms += 1_000) {
      script.wait(1_000);
      script.heartbeat(follower!, 1);
    }
    expect(ended(waiting)).toBe('waits');
    script.wait(1_000);
    expect(ended(waiting)).toBe('generation 2');
    script.wait(9_999);
    expect(script.heartbeat(leader!, 2)).toBeUndefined();
  });

  test('ends the join of a new member that nobody may be waiting for, after five minutes', () => {
    const script = new GroupScript();
    const [leader] = script.stable(1, { rebalanceTimeoutMs: 1_000_000 });
    const newcomer = script.join({ rebalanceTimeoutMs: 1_000_000 });
    for (let ms = 0; ms < 300_000; ms += 5_000) {
      expect(ended(newcomer)).toBe('waits');
      script.wait(5_000);
      script.heartbeat(leader!, 1);
    }
    expect(ended(newcomer)).toBe('UNKNOWN_MEMBER');
  });
});

describe('protocols', () => {
  test('are chosen by vote among those that all support', () => {
    const script = new GroupScript();
    const joins = [
      script.join({ protocols: protocols('sticky', 'range', 'mine') }),
      script.join({ protocols: protocols('range', 'sticky') }),
      script.join({ protocols: protocols('range', 'sticky') }),
    ];
    script.wait(300);
    expect(joins.map(({ outcome }) => outcome!.protocolName)).toEqual(['range', 'range', 'range']);
  });

  test('are equal in votes: the one named first wins', () => {
    const script = new GroupScript();
    const join = script.join({ protocols: protocols('b', 'a') });
    script.join({ protocols: protocols('a', 'b') });
    script.wait(300);
    expect(join.outcome!.protocolName).toBe('b');
  });

  test('that nobody shares, of another type, or none at all are refused', () => {
    const script = new GroupScript();
    script.stable(1);
    for (const changes of [
      { protocols: protocols('other') },
      { protocolType: 'connect' },
      { protocolType: '' },
      { protocols: [] },
    ]) {
      expect(ended(script.join(changes))).toBe('INCONSISTENT_GROUP_PROTOCOL');
    }
    expect(ended(new GroupScript().join({ protocols: [] }))).toBe('INCONSISTENT_GROUP_PROTOCOL');
    expect(ended(new GroupScript().join({ protocolType: '' }))).toBe('INCONSISTENT_GROUP_PROTOCOL');
  });

  test('of another type may come when the group has become empty', () => {
    const script = new GroupScript();
    const [leader] = script.stable(1);
    script.leave(leader!);
    const join = script.join({ protocolType: 'connect', protocols: protocols('default') });
    script.wait(100);
    expect(join.outcome).toMatchObject({ protocolType: 'connect', protocolName: 'default', generationId: 3 });
  });
});

describe('commits', () => {
  test('are taken from nobody in particular while the group has no members, and else refused', () => {
    const script = new GroupScript();
    expect(script.commit('', -1)).toBeUndefined();
    const [leader] = script.stable(1);
    expect(script.commit('', -1)).toBe('UNKNOWN_MEMBER');
    expect(script.commit(leader!, -1)).toBe('ILLEGAL_GENERATION');
    expect(script.commit(leader!, 0)).toBe('ILLEGAL_GENERATION');
    expect(script.commit(leader!, 1)).toBeUndefined();
  });

  test('are taken while members join again, but not before they have their new assignment', () => {
    const script = new GroupScript();
    const [leader, follower] = script.stable(2);
    script.join({ memberId: leader! });
    expect(script.commit(follower!, 1)).toBeUndefined();
    script.join({ memberId: follower! });
    expect(script.commit(follower!, 1)).toBe('ILLEGAL_GENERATION');
    expect(script.commit(follower!, 2)).toBe('REBALANCE_IN_PROGRESS');
  });
});

describe('limits', () => {
  test('a full group takes nobody new, also while it rebalances', () => {
    const script = new GroupScript({ membersMax: 2 });
    const [leader, follower] = script.stable(2);
    expect(ended(script.join())).toBe('GROUP_MAX_SIZE_REACHED');
    script.join({ memberId: leader! });
    const newcomer = script.join();
    const late = script.join({ memberId: follower! });
    expect(late.outcome).toMatchObject({ error: { code: 'GROUP_MAX_SIZE_REACHED' }, memberId: '' });
    expect(ended(newcomer)).toBe('generation 2');
    expect(script.heartbeat(follower!, 2)).toBe('UNKNOWN_MEMBER');
  });

  test('a group that was stored with more members than allowed rebalances, and loses who comes last', () => {
    const from = new GroupScript();
    const members = from.stable(3);
    const stored = { ...from.group.describe(), stateTimestampMs: 1 };
    const script = new GroupScript({ membersMax: 2 });
    script.group.restore(
      {
        ...stored,
        members: stored.members.map((member) => ({
          ...member,
          subscription: member.metadata,
          sessionTimeoutMs: 10_000,
          rebalanceTimeoutMs: 10_000,
        })),
      },
      script.nowMs,
    );
    expect(script.group.state).toBe('PreparingRebalance');
    expect(members.map((memberId) => ended(script.join({ memberId })))).toEqual([
      'waits',
      'waits',
      'GROUP_MAX_SIZE_REACHED',
    ]);
  });
});

describe('the end', () => {
  test('is told to everyone who waits, and to everyone who comes', () => {
    const joining = new GroupScript();
    const join = joining.join();
    const syncing = new GroupScript();
    syncing.join();
    syncing.join();
    syncing.wait(300);
    const sync = syncing.sync('m2', 1);
    for (const script of [joining, syncing]) script.group.die(new BurrowError('NOT_COORDINATOR'));
    expect([ended(join), ended(sync)]).toEqual(['NOT_COORDINATOR', 'NOT_COORDINATOR']);
    expect(ended(joining.join())).toBe('COORDINATOR_NOT_AVAILABLE');
    expect(syncing.heartbeat('m1', 1)).toBe('COORDINATOR_NOT_AVAILABLE');
    expect(syncing.leave('m1')).toEqual(['COORDINATOR_NOT_AVAILABLE']);
    expect(syncing.commit('m1', 1)).toBe('COORDINATOR_NOT_AVAILABLE');
    expect(syncing.group.deadlineMs).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('descriptions', () => {
  test('show what members have in Stable only', () => {
    const script = new GroupScript();
    const [leader] = script.stable(1);
    expect(script.group.describe()).toMatchObject({
      state: 'Stable',
      protocolName: 'range',
      generationId: 1,
      members: [
        {
          memberId: leader,
          clientId: 'client',
          clientHost: '/127.0.0.1',
          assignment: new TextEncoder().encode(leader),
        },
      ],
    });
    script.join();
    const { state, protocolName, members } = script.group.describe();
    expect([state, protocolName, members[0]!.assignment.length, members[0]!.metadata.length]).toEqual([
      'PreparingRebalance',
      '',
      0,
      0,
    ]);
  });

  test('know the topics of consumers; where they cannot be read, any may be consumed', () => {
    const script = new GroupScript();
    script.stable(1);
    expect([script.group.isSubscribedTo('topic'), script.group.isSubscribedTo('other')]).toEqual([true, false]);
    const unreadable = new GroupScript();
    unreadable.stable(1, { protocols: [{ name: 'range', metadata: Buffer.from('?') }] });
    expect(unreadable.group.isSubscribedTo('other')).toBe(true);
    const connect = new GroupScript();
    connect.join({ protocolType: 'connect' });
    connect.wait(100);
    expect(connect.group.isSubscribedTo('topic')).toBe(false);
  });
});
