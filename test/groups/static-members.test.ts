/** Members with a group.instance.id in the group's state machine. */
import { describe, expect, test } from 'vitest';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { formGroup, rejection, restart, startGroupNode } from '../support/group-node.ts';
import { codeOf, ended, GroupScript, joinRequest, subscription } from '../support/group-script.ts';

describe('a static member (KIP-345)', () => {
  const fixed = { groupInstanceId: 'i' };

  function stableWithStatic(): { script: GroupScript; leader: string; fixedId: string } {
    const script = new GroupScript();
    const [leader, member] = [script.join(), script.join(fixed)];
    script.wait(300);
    const [id, fixedId] = [leader.outcome!.memberId, member.outcome!.memberId];
    script.sync(fixedId, 1, {}, 'i');
    script.sync(id, 1, { [id]: 'x', [fixedId]: 'y' });
    script.stored();
    return { script, leader: id, fixedId };
  }

  test('that comes back takes its place over without a rebalance, once that is stored', () => {
    const { script, leader, fixedId } = stableWithStatic();
    const back = script.join(fixed);
    expect(ended(back)).toBe('waits');
    const { members, generationId } = script.stored();
    expect(generationId).toBe(1);
    const newId = back.outcome!.memberId;
    expect(newId).not.toBe(fixedId);
    expect(members.map(({ memberId }) => memberId)).toEqual([leader, newId]);
    expect(back.outcome).toMatchObject({
      error: undefined,
      generationId: 1,
      leader,
      skipAssignment: false,
      members: [],
    });
    expect(ended(script.sync(newId, 1, {}, 'i'))).toBe('assigned y');
    expect(script.heartbeat(leader, 1)).toBeUndefined();
  });

  test('whose place was taken over is fenced, whatever it asks', () => {
    const { script, fixedId } = stableWithStatic();
    script.join(fixed);
    script.stored();
    expect(script.heartbeat(fixedId, 1, 'i')).toBe('FENCED_INSTANCE');
    expect(script.commit(fixedId, 1, 'i')).toBe('FENCED_INSTANCE');
    expect(ended(script.sync(fixedId, 1, {}, 'i'))).toBe('FENCED_INSTANCE');
    expect(ended(script.join({ ...fixed, memberId: fixedId }))).toBe('FENCED_INSTANCE');
    const leaving = [{ memberId: fixedId, groupInstanceId: 'i', reason: undefined }];
    expect(script.group.leave(leaving, script.nowMs)[0]!.error?.code).toBe('FENCED_INSTANCE');
    expect(script.heartbeat(fixedId, 1)).toBe('UNKNOWN_MEMBER');
  });

  test('that waits when its place is taken over is fenced at once', () => {
    const script = new GroupScript();
    const waiting = script.join(fixed);
    const back = script.join(fixed);
    expect(ended(waiting)).toBe('FENCED_INSTANCE');
    script.wait(200);
    expect(ended(back)).toBe('generation 1');
    const id = back.outcome!.memberId;
    const sync = script.sync(id, 1, { [id]: 'a' }, 'i');
    const again = script.join(fixed);
    expect([ended(sync), ended(again)]).toEqual(['FENCED_INSTANCE', 'generation 2']);
  });

  test('that leads may skip the assignment when it comes back (KIP-814)', () => {
    const script = new GroupScript();
    const [leader] = script.stable(1, fixed);
    const back = script.join(fixed);
    script.stored();
    const newId = back.outcome!.memberId;
    expect(back.outcome).toMatchObject({ leader: newId, skipAssignment: true, members: [{ memberId: newId }] });
    expect(ended(script.sync(newId, 1, {}, 'i'))).toBe(`assigned ${leader}`);
  });

  test('that leads others goes on leading when it comes back', () => {
    const script = new GroupScript();
    const [leader, follower] = [script.join(fixed), script.join()];
    script.wait(300);
    const [id, other] = [leader.outcome!.memberId, follower.outcome!.memberId];
    script.sync(id, 1, { [id]: 'x', [other]: 'y' }, 'i');
    script.stored();
    const back = script.join(fixed);
    expect(script.stored().leader).not.toBe(id);
    expect(back.outcome).toMatchObject({ leader: back.outcome!.memberId, skipAssignment: true });
    expect(back.outcome!.members.map(({ memberId }) => memberId).sort()).toEqual(
      [other, back.outcome!.memberId].sort(),
    );
  });

  test('that leads and cannot skip the assignment is not told that it leads', () => {
    const script = new GroupScript();
    const [leader] = script.stable(1, fixed);
    const back = script.join({ ...fixed, supportsSkippingAssignment: false });
    script.stored();
    expect(back.outcome).toMatchObject({ leader, skipAssignment: false, members: [] });
  });

  test.each([
    ['other topics', { protocols: [{ name: 'range', metadata: subscription('other') }] }, 'PreparingRebalance'],
    ['bytes that cannot be read', { protocols: [{ name: 'range', metadata: Buffer.of(1) }] }, 'PreparingRebalance'],
    ['the same topics but more to say', { protocols: [{ name: 'range', metadata: ownedNothing() }] }, 'Stable'],
  ])('that comes back with %s: the group is %s', (_, changes, state) => {
    const { script } = stableWithStatic();
    script.join({ ...fixed, ...changes });
    expect(script.group.state).toBe(state);
  });

  test('that cannot be stored when it comes back is told so, and may try again', () => {
    const { script } = stableWithStatic();
    const back = script.join(fixed);
    script.stored(new BurrowError('COORDINATOR_NOT_AVAILABLE'));
    expect(back.outcome).toMatchObject({ error: { code: 'COORDINATOR_NOT_AVAILABLE' }, memberId: '' });
    const again = script.join(fixed);
    script.stored();
    expect(ended(again)).toBe('generation 1');
  });

  test('that is being stored when a rebalance begins takes part in it', () => {
    const { script, leader } = stableWithStatic();
    const back = script.join(fixed);
    script.join();
    script.stored();
    expect(ended(back)).toBe('waits');
    script.join({ memberId: leader });
    expect(ended(back)).toBe('generation 2');
  });

  test('is not put out by a rebalance that it misses, only by its session', () => {
    const { script, leader, fixedId } = stableWithStatic();
    const again = script.join({ memberId: leader, rebalanceTimeoutMs: 2_000 });
    script.heartbeat(fixedId, 1, 'i');
    script.wait(9_000);
    expect(ended(again)).toBe('waits');
    script.wait(1_000);
    expect(ended(again)).toBe('generation 2');
    expect(again.outcome!.members).toHaveLength(1);
  });

  test('may be removed by the name of its instance', () => {
    const { script, fixedId } = stableWithStatic();
    const remove = (groupInstanceId: string) =>
      script.group.leave([{ memberId: '', groupInstanceId, reason: undefined }], script.nowMs)[0]!.error?.code;
    expect(remove('other')).toBe('UNKNOWN_MEMBER');
    expect(remove('i')).toBeUndefined();
    expect(script.heartbeat(fixedId, 1, 'i')).toBe('UNKNOWN_MEMBER');
  });

  test('finds its place in a group that is full', () => {
    const script = new GroupScript({ membersMax: 1 });
    script.stable(1, fixed);
    const back = script.join(fixed);
    script.stored();
    expect(ended(back)).toBe('generation 1');
    expect(ended(script.join())).toBe('GROUP_MAX_SIZE_REACHED');
  });
});

/** The same topics as others, with a place for owned partitions behind them. */
function ownedNothing(): Uint8Array {
  return Buffer.concat([subscription('topic'), Buffer.from('more')]);
}

describe('after a restart, a static member', () => {
  const fixed = { groupInstanceId: 'i' } as const;

  /** The node is lost when the member has got a new id, but the generation was not assigned and hence not stored. */
  async function crashBetweenJoinAndSync() {
    const node = await startGroupNode();
    const [before] = await formGroup(node, 'g', [fixed]);
    const joining = node.groups.join(joinRequest({ groupId: 'g' }));
    const back = await node.groups.join(joinRequest({ groupId: 'g', ...fixed }));
    expect((await joining).generationId).toBe(2);
    expect([back.error, back.generationId]).toEqual([undefined, 2]);
    return { next: await restart(node, 'crash'), oldId: before!.memberId, newId: back.memberId };
  }

  test('whose new id was not stored is unknown, not fenced, and takes its place by joining anew', async () => {
    const { next, newId } = await crashBetweenJoinAndSync();
    const member = { groupId: 'g', memberId: newId, generationId: 2, groupInstanceId: 'i' };
    expect(codeOf(() => next.groups.heartbeat(member))).toBe('UNKNOWN_MEMBER');
    expect(await rejection(next.groups.commitOffsets({ ...member, offsets: [] }))).toBe('UNKNOWN_MEMBER');
    const refused = await next.groups.join(joinRequest({ groupId: 'g', ...fixed, memberId: newId }));
    expect(refused.error?.code).toBe('UNKNOWN_MEMBER');
    const again = await next.groups.join(joinRequest({ groupId: 'g', ...fixed }));
    expect([again.error, again.generationId]).toEqual([undefined, 1]);
    expect(next.groups.describeGroup('g').members.map(({ memberId }) => memberId)).toEqual([again.memberId]);
  });

  test('keeps its place against others once it was heard of', async () => {
    const { next, oldId, newId } = await crashBetweenJoinAndSync();
    const member = { groupId: 'g', memberId: oldId, generationId: 1, groupInstanceId: 'i' };
    next.groups.heartbeat(member);
    const other = await next.groups.join(joinRequest({ groupId: 'g', ...fixed, memberId: newId }));
    expect(other.error?.code).toBe('FENCED_INSTANCE');
    next.groups.heartbeat(member);
  });
});
