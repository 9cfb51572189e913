/** What the coordinator refuses before it grows without bound, and that many groups are cheap. */
import { describe, expect, test } from 'vitest';
import {
  assign,
  commit,
  committed,
  formGroup,
  type GroupNode,
  type GroupNodeOptions,
  rejection,
  restart,
  startGroupNode,
} from '../support/group-node.ts';
import { codeOf, joinRequest, protocols, subscription } from '../support/group-script.ts';
import { createTopic, settle } from '../support/node-environment.ts';

async function startWithTopic(settings: GroupNodeOptions['settings']): Promise<GroupNode> {
  const node = await startGroupNode({ settings: { offsetsTopicPartitions: 2, ...settings } });
  await createTopic(node, 'orders', 4);
  return node;
}

describe('limits', () => {
  test('of names, timeouts and what a member may say', async () => {
    const node = await startWithTopic({ groupMemberBytesMax: 1024 });
    const refusal = async (changes: Parameters<typeof joinRequest>[0]) =>
      (await node.groups.join(joinRequest(changes))).error?.code;
    expect(await refusal({ groupId: '' })).toBe('INVALID_GROUP_ID');
    expect(await refusal({ groupId: 'x'.repeat(250) })).toBe('INVALID_GROUP_ID');
    expect(await refusal({ sessionTimeoutMs: 5_999 })).toBe('INVALID_SESSION_TIMEOUT');
    expect(await refusal({ sessionTimeoutMs: 1_800_001 })).toBe('INVALID_SESSION_TIMEOUT');
    expect(await refusal({ sessionTimeoutMs: Number.NaN })).toBe('INVALID_SESSION_TIMEOUT');
    expect(await refusal({ groupInstanceId: '' })).toBe('INVALID_ARGUMENT');
    expect(await refusal({ groupInstanceId: 'x'.repeat(250) })).toBe('INVALID_ARGUMENT');
    expect(await refusal({ protocolType: 'x'.repeat(250) })).toBe('INVALID_ARGUMENT');
    expect(await refusal({ protocols: protocols('x'.repeat(250)) })).toBe('INVALID_ARGUMENT');
    expect(await refusal({ protocols: [{ name: 'range', metadata: Buffer.alloc(1000) }] })).toBe('INVALID_ARGUMENT');
    expect(await refusal({ protocols: protocols(...Array.from({ length: 20 }, (_, index) => `p${index}`)) })).toBe(
      'INVALID_ARGUMENT',
    );
    for (const call of [
      node.groups.coordinatorOf(''),
      node.groups.leave({ groupId: '', members: [] }),
      commit(node.groups, '', []),
      node.groups.deleteGroup('x'.repeat(250)),
      node.groups.deleteOffsets('', []),
    ]) {
      expect(await rejection(call)).toBe('INVALID_GROUP_ID');
    }
    expect(codeOf(() => node.groups.describeGroup(''))).toBe('INVALID_GROUP_ID');
    expect(codeOf(() => node.groups.fetchOffsets('x'.repeat(250), undefined))).toBe('INVALID_GROUP_ID');
    expect(node.groups.listGroups()).toEqual([]);
  });

  test('of names leave nothing that cannot be stored', async () => {
    const node = await startWithTopic({});
    const groupId = '語'.repeat(249);
    await formGroup(node, groupId, [
      {
        clientId: '語'.repeat(20_000),
        clientHost: 'h'.repeat(50_000),
        groupInstanceId: 'ü'.repeat(249),
        protocols: [
          { name: 'range', metadata: subscription('first') },
          { name: 'range', metadata: subscription('second') },
        ],
      },
    ]);
    const next = await restart(node, 'crash');
    expect(next.groups.describeGroup(groupId)).toEqual(node.groups.describeGroup(groupId));
    expect(next.groups.describeGroup(groupId)).toMatchObject({
      state: 'Stable',
      members: [
        { clientId: '語'.repeat(255), clientHost: 'h'.repeat(255), metadata: Uint8Array.from(subscription('first')) },
      ],
    });
  });

  test('of members in a group', async () => {
    const node = await startWithTopic({ groupMembersMax: 3 });
    await formGroup(node, 'a', [{}, {}, {}]);
    expect((await node.groups.join(joinRequest({ groupId: 'a' }))).error?.code).toBe('GROUP_MAX_SIZE_REACHED');
  });

  test('of groups', async () => {
    const node = await startWithTopic({ groupsMax: 2 });
    const at = [{ topic: 'orders', partition: 0, offset: 1 }];
    await commit(node.groups, 'a', at);
    await commit(node.groups, 'b', at);
    expect(await rejection(commit(node.groups, 'c', at))).toBe('GROUP_LIMIT');
    expect((await node.groups.join(joinRequest({ groupId: 'd' }))).error?.code).toBe('GROUP_LIMIT');
    await node.groups.deleteGroup('a');
    await commit(node.groups, 'c', at);
    expect(node.groups.listGroups().map(({ groupId }) => groupId)).toEqual(['b', 'c']);
  });

  test('of the memory of all groups: what is new is refused, what is there goes on', async () => {
    const node = await startWithTopic({ groupsBytesMax: 1024 * 1024 });
    const metadata = Buffer.alloc(250_000);
    const [member] = await formGroup(node, 'a', [
      { protocols: [{ name: 'range', metadata }] },
      { protocols: [{ name: 'range', metadata }] },
      { protocols: [{ name: 'range', metadata }] },
      { protocols: [{ name: 'range', metadata }] },
      { protocols: [{ name: 'range', metadata }] },
    ]);
    const { memberId, generationId } = member!;
    expect((await node.groups.join(joinRequest({ groupId: 'a' }))).error?.code).toBe('GROUP_LIMIT');
    expect((await node.groups.join(joinRequest({ groupId: 'b' }))).error?.code).toBe('GROUP_LIMIT');
    const at = [{ topic: 'orders', partition: 0, offset: 1 }];
    const [result] = await commit(node.groups, 'a', at, { memberId, generationId });
    expect(result!.error?.code).toBe('GROUP_LIMIT');
    node.groups.heartbeat({ groupId: 'a', generationId, memberId, groupInstanceId: undefined });
    node.clock.advance(10_000);
    await settle();
    expect(node.groups.describeGroup('a').state).toBe('Empty');
    await commit(node.groups, 'a', at);
    expect(committed(node.groups, 'a')).toEqual(['orders-0: 1']);
  });

  test('of what a group may take in the log', async () => {
    const node = await startWithTopic({ groupMemberBytesMax: 2 * 1024 * 1024 });
    const metadata = Buffer.alloc(1_500_000);
    const joins = [1, 2, 3].map(() =>
      node.groups.join(joinRequest({ groupId: 'a', protocols: [{ name: 'range', metadata }] })),
    );
    await node.groups.coordinatorOf('a');
    await settle();
    node.clock.advance(1_000);
    expect(await rejection(assign(node.groups, 'a', await Promise.all(joins)))).toBe('RECORD_TOO_LARGE');
  });
});

describe('many groups', () => {
  test('10,000 with members and offsets take bounded memory, beat cheaply and are back after a restart', {
    timeout: 60_000,
  }, async () => {
    const node = await startWithTopic({ offsetsTopicPartitions: 8 });
    await node.groups.coordinatorOf('a');
    const before = usedBytes();
    const ids = Array.from({ length: 10_000 }, (_, index) => `group-${index}`);
    const members = new Map<string, string>();
    for (let start = 0; start < ids.length; start += 1_000) {
      const some = ids.slice(start, start + 1_000);
      const joins = some.map((groupId) => node.groups.join(joinRequest({ groupId, sessionTimeoutMs: 60_000 })));
      await settle();
      node.clock.advance(100);
      for (const [index, outcome] of (await Promise.all(joins)).entries()) members.set(some[index]!, outcome.memberId);
      await Promise.all(
        some.map(async (groupId) => {
          const memberId = members.get(groupId)!;
          const identity = { groupId, generationId: 1, memberId, groupInstanceId: undefined };
          const assignments = [{ memberId, assignment: Buffer.from('x') }];
          await node.groups.sync({ ...identity, protocolType: undefined, protocolName: undefined, assignments });
          await commit(node.groups, groupId, [{ topic: 'orders', partition: 0, offset: 1 }], identity);
        }),
      );
    }
    expect(usedBytes() - before).toBeLessThan(150 * 1024 * 1024);
    // One timer for all of them, and no more with every heartbeat.
    const { timers } = node.clock;
    for (const [groupId, memberId] of members) {
      node.groups.heartbeat({ groupId, generationId: 1, memberId, groupInstanceId: undefined });
    }
    expect(node.clock.timers).toBe(timers);
    const next = await restart(node, 'stop');
    expect(next.groups.listGroups().filter(({ state }) => state === 'Stable')).toHaveLength(10_000);
    next.clock.advance(60_000);
    for (let turn = 0; turn < 20; turn++) await settle();
    expect(next.groups.listGroups().filter(({ state }) => state === 'Empty')).toHaveLength(10_000);
  });

  function usedBytes(): number {
    globalThis.gc?.();
    return process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
  }
});
