/** The coordinator as a service: what lasts, what it refuses, what goes by itself. */
import { describe, expect, test } from 'vitest';
import { shardOf } from '../../broker/groups/groups.ts';
import {
  assign,
  commit,
  committed,
  formGroup,
  type GroupNode,
  rejection,
  restart,
  startGroupNode,
} from '../support/group-node.ts';
import { codeOf, joinRequest } from '../support/group-script.ts';
import { createTopic, settle } from '../support/node-environment.ts';

const SMALL = { offsetsTopicPartitions: 2 };

async function startWithTopic(settings: Parameters<typeof startGroupNode>[0] = {}): Promise<GroupNode> {
  const node = await startGroupNode({ ...settings, settings: { ...SMALL, ...settings.settings } });
  await createTopic(node, 'orders', 4);
  return node;
}

describe('the offsets topic', () => {
  test('is created when the first group needs it, compacted, and spreads groups as Kafka does', async () => {
    const node = await startGroupNode({ settings: { offsetsTopicPartitions: 3 } });
    expect(node.service.describeTopic('__consumer_offsets')).toBeUndefined();
    const both = [node.groups.coordinatorOf('a'), node.groups.coordinatorOf('b')];
    expect(await Promise.all(both)).toEqual([1, 1]);
    const topic = node.service.describeTopic('__consumer_offsets')!;
    expect([topic.internal, topic.partitions.length]).toEqual([true, 3]);
    const config = new Map(
      node.service.describeTopicConfigs('__consumer_offsets').map(({ key, value }) => [key, value]),
    );
    expect(config.get('cleanup.policy')).toBe('compact');
  });

  test('hashes group ids as Java does', () => {
    // "group".hashCode() is 98629247, "console-consumer-42".hashCode() -1362797413; "polygenelubricants" hashes to -2^31.
    expect(shardOf('group', 50)).toBe(98_629_247 % 50);
    expect(shardOf('polygenelubricants', 50)).toBe(0);
    expect(shardOf('', 50)).toBe(0);
    expect(shardOf('ä日', 50)).toBe((228 * 31 + 26_085) % 50);
  });

  test('that cannot be created is a coordinator that is not available, and the next try may succeed', async () => {
    const node = await startGroupNode({ settings: { ...SMALL, partitionsMax: 1 } });
    expect(await rejection(node.groups.coordinatorOf('a'))).toBe('COORDINATOR_NOT_AVAILABLE');
    expect((await node.groups.join(joinRequest())).error?.code).toBe('COORDINATOR_NOT_AVAILABLE');
  });

  test('keeps the number of partitions it was created with', async () => {
    const node = await startWithTopic();
    await commit(node.groups, 'a', [{ topic: 'orders', partition: 0, offset: 5 }]);
    const next = await restart(node, 'stop', { settings: { offsetsTopicPartitions: 7 } });
    expect(committed(next.groups, 'a')).toEqual(['orders-0: 5']);
  });

  test('is not written, deleted or enlarged by clients', async () => {
    const node = await startWithTopic();
    await node.groups.coordinatorOf('a');
    expect(await rejection(node.service.deleteTopic('__consumer_offsets'))).toBe('INVALID_NAME');
    expect(await rejection(node.service.createPartitions('__consumer_offsets', 9, { validateOnly: false }))).toBe(
      'INVALID_NAME',
    );
  });
});

describe('offsets', () => {
  test('are seen when they are durable, and not before', async () => {
    const node = await startWithTopic();
    await commit(node.groups, 'a', [{ topic: 'orders', partition: 0, offset: 1 }]);
    const results = commit(node.groups, 'a', [{ topic: 'orders', partition: 0, offset: 2 }], undefined, 'note');
    expect(committed(node.groups, 'a')).toEqual(['orders-0: 1']);
    expect(await results).toEqual([{ topic: 'orders', partition: 0, error: undefined }]);
    expect(
      node.groups.fetchOffsets('a', [
        { topic: 'orders', partition: 0 },
        { topic: 'orders', partition: 3 },
      ]),
    ).toEqual([
      { topic: 'orders', partition: 0, offset: 2, leaderEpoch: -1, metadata: 'note' },
      { topic: 'orders', partition: 3, offset: -1, leaderEpoch: -1, metadata: '' },
    ]);
  });

  test.each(['stop', 'crash'] as const)('last after a %s, the newest of each', async (how) => {
    const node = await startWithTopic();
    for (let offset = 0; offset < 20; offset++) {
      await commit(node.groups, `g${offset % 3}`, [
        { topic: 'orders', partition: offset % 4, offset },
        { topic: 'orders', partition: 0, offset: offset * 10 },
      ]);
    }
    const before = [0, 1, 2].map((number) => committed(node.groups, `g${number}`));
    const next = await restart(node, how);
    expect([0, 1, 2].map((number) => committed(next.groups, `g${number}`))).toEqual(before);
    expect(next.groups.listGroups().map(({ groupId, state }) => `${groupId} ${state}`)).toEqual([
      'g0 Empty',
      'g1 Empty',
      'g2 Empty',
    ]);
  });

  test('of one turn share a batch of the log', async () => {
    const node = await startWithTopic({ settings: { offsetsTopicPartitions: 1 } });
    await node.groups.coordinatorOf('a');
    const before = node.logs.logs().get('__consumer_offsets-0')!.logEndOffset;
    await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        commit(node.groups, `g${index}`, [{ topic: 'orders', partition: 0, offset: index }]),
      ),
    );
    const log = node.logs.logs().get('__consumer_offsets-0')!;
    const batches = await log.read(before, { bytesMax: 1, endOffset: log.logEndOffset, wholeFirstBatch: true });
    expect(log.logEndOffset - before).toBe(50);
    // Its header counts the records (position 57).
    expect(batches[0]!.readInt32BE(57)).toBe(50);
  });

  test('that fill more than a batch last as well, also those that come while others are on their way', async () => {
    const node = await startWithTopic({ settings: { offsetsTopicPartitions: 1 } });
    await node.groups.coordinatorOf('a');
    const metadata = 'm'.repeat(4096);
    const waves: Array<Promise<unknown>> = [];
    for (let wave = 0; wave < 3; wave++) {
      for (let group = 0; group < 1_200; group++) {
        const at = [{ topic: 'orders', partition: wave, offset: group }];
        waves.push(commit(node.groups, `g${group}`, at, undefined, metadata));
      }
      await Promise.resolve();
    }
    await Promise.all(waves);
    const { groups } = await restart(node, 'crash');
    for (let group = 0; group < 1_200; group++) {
      expect(committed(groups, `g${group}`)).toEqual([0, 1, 2].map((partition) => `orders-${partition}: ${group}`));
    }
  });

  test('that are no offsets, of no partition, or with too much to say are refused one by one', async () => {
    const node = await startWithTopic({ settings: { offsetMetadataBytesMax: 10 } });
    const results = await node.groups.commitOffsets({
      groupId: 'a',
      memberId: '',
      generationId: -1,
      groupInstanceId: undefined,
      offsets: [
        { topic: 'orders', partition: 0, offset: 7, leaderEpoch: 3, metadata: '1234567890' },
        { topic: 'orders', partition: 0, offset: 8, leaderEpoch: -1, metadata: '12345678901' },
        { topic: 'orders', partition: 1, offset: 8, leaderEpoch: -1, metadata: 'äöüäöü' },
        { topic: 'orders', partition: 4, offset: 8, leaderEpoch: -1, metadata: '' },
        { topic: 'orders', partition: 0.5, offset: 8, leaderEpoch: -1, metadata: '' },
        { topic: '__proto__', partition: 0, offset: 8, leaderEpoch: -1, metadata: '' },
        { topic: 'orders', partition: 2, offset: -3, leaderEpoch: -1, metadata: '' },
        { topic: 'orders', partition: 2, offset: Number.NaN, leaderEpoch: -1, metadata: '' },
        { topic: 'orders', partition: 2, offset: 2 ** 60, leaderEpoch: -1, metadata: '' },
        { topic: 'orders', partition: 2, offset: 1, leaderEpoch: -2, metadata: '' },
      ],
    });
    expect(results.map(({ error }) => error?.code)).toEqual([
      undefined,
      'OFFSET_METADATA_TOO_LARGE',
      'OFFSET_METADATA_TOO_LARGE',
      'UNKNOWN_TOPIC_OR_PARTITION',
      'UNKNOWN_TOPIC_OR_PARTITION',
      'UNKNOWN_TOPIC_OR_PARTITION',
      'INVALID_ARGUMENT',
      'INVALID_ARGUMENT',
      'INVALID_ARGUMENT',
      'INVALID_ARGUMENT',
    ]);
    expect(node.groups.fetchOffsets('a', undefined)).toEqual([
      { topic: 'orders', partition: 0, offset: 7, leaderEpoch: 3, metadata: '1234567890' },
    ]);
  });

  test('of members count in their generation only', async () => {
    const node = await startWithTopic();
    const [member] = await formGroup(node, 'a', [{}]);
    const { memberId, generationId } = member!;
    const at = [{ topic: 'orders', partition: 0, offset: 1 }];
    await commit(node.groups, 'a', at, { memberId, generationId });
    expect(await rejection(commit(node.groups, 'a', at))).toBe('UNKNOWN_MEMBER');
    expect(await rejection(commit(node.groups, 'a', at, { memberId, generationId: 2 }))).toBe('ILLEGAL_GENERATION');
    expect(await rejection(commit(node.groups, 'b', at, { memberId, generationId: 1 }))).toBe('ILLEGAL_GENERATION');
    expect(committed(node.groups, 'a')).toEqual(['orders-0: 1']);
    expect(node.groups.listGroups()).toHaveLength(1);
  });

  test('can be deleted, but not of a topic that is consumed', async () => {
    const node = await startWithTopic();
    await createTopic(node, 'topic');
    const [member] = await formGroup(node, 'a', [{}]);
    const { memberId, generationId } = member!;
    const both = [
      { topic: 'orders', partition: 0 },
      { topic: 'topic', partition: 0 },
    ];
    await commit(
      node.groups,
      'a',
      both.map((at) => ({ ...at, offset: 3 })),
      { memberId, generationId },
    );
    const results = await node.groups.deleteOffsets('a', [...both, { topic: 'nothing', partition: 0 }]);
    expect(results.map(({ error }) => error?.code)).toEqual([
      undefined,
      'GROUP_SUBSCRIBED_TO_TOPIC',
      'UNKNOWN_TOPIC_OR_PARTITION',
    ]);
    const next = await restart(node, 'crash');
    expect(committed(next.groups, 'a')).toEqual(['topic-0: 3']);
    expect(await rejection(next.groups.deleteOffsets('b', both))).toBe('GROUP_ID_NOT_FOUND');
    await formGroup(next, 'connect', [{ protocolType: 'connect' }]);
    expect(await rejection(next.groups.deleteOffsets('connect', both))).toBe('NON_EMPTY_GROUP');
  });

  test('of a deleted topic are gone before a topic of that name is served again, also after a crash', async () => {
    const node = await startWithTopic();
    await createTopic(node, 'other');
    await commit(node.groups, 'a', [
      { topic: 'orders', partition: 0, offset: 5 },
      { topic: 'other', partition: 0, offset: 6 },
    ]);
    await node.service.deleteTopic('orders');
    await createTopic(node, 'orders', 4);
    expect(committed(node.groups, 'a')).toEqual(['other-0: 6']);
    const next = await restart(node, 'crash');
    expect(committed(next.groups, 'a')).toEqual(['other-0: 6']);
  });

  test('of a topic that was deleted while nobody could note it are removed by the next start', async () => {
    const node = await startWithTopic();
    await createTopic(node, 'other');
    await commit(node.groups, 'a', [
      { topic: 'orders', partition: 0, offset: 5 },
      { topic: 'other', partition: 0, offset: 6 },
    ]);
    await node.groups.close();
    await node.service.deleteTopic('orders');
    let next = await restart(node, 'stop');
    await settle();
    expect(committed(next.groups, 'a')).toEqual(['other-0: 6']);
    await createTopic(next, 'orders', 4);
    next = await restart(next, 'crash');
    expect(committed(next.groups, 'a')).toEqual(['other-0: 6']);
  });

  test('are refused while the disk is nearly full, rebalances are not', async () => {
    const node = await startWithTopic();
    await node.groups.coordinatorOf('a');
    node.disk.capacityBytes = node.disk.usedBytes + 30_000_000;
    node.clock.advance(5_000);
    await settle();
    const at = [{ topic: 'orders', partition: 0, offset: 1 }];
    expect(await rejection(commit(node.groups, 'a', at))).toBe('COORDINATOR_NOT_AVAILABLE');
    expect(node.groups.listGroups()).toEqual([]);
    await formGroup(node, 'a', [{}]);
    expect(node.groups.describeGroup('a').state).toBe('Stable');
  });

  test('that storage failed to keep are refused, and not seen', async () => {
    const node = await startWithTopic();
    await commit(node.groups, 'a', [{ topic: 'orders', partition: 0, offset: 1 }]);
    node.disk.inject({ on: 'sync' });
    const failed = commit(node.groups, 'a', [{ topic: 'orders', partition: 0, offset: 2 }]);
    await expect(failed).rejects.toMatchObject({
      code: 'COORDINATOR_NOT_AVAILABLE',
      retriable: true,
      fields: { reason: 'STORAGE_ERROR' },
    });
    expect(committed(node.groups, 'a')).toEqual(['orders-0: 1']);
  });
});

describe('a restart', () => {
  test.each(['stop', 'crash'] as const)('by %s leaves a stable group as it was: nobody rebalances', async (how) => {
    const node = await startWithTopic();
    const members = await formGroup(node, 'a', [{}, { groupInstanceId: 'i' }, {}]);
    const before = node.groups.describeGroup('a');
    const next = await restart(node, how);
    expect(next.groups.describeGroup('a')).toEqual(before);
    for (const { memberId } of members) {
      next.groups.heartbeat({ groupId: 'a', generationId: 1, memberId, groupInstanceId: undefined });
    }
    next.clock.advance(9_999);
    expect(next.groups.describeGroup('a').members).toHaveLength(3);
    next.clock.advance(1);
    await settle();
    expect(next.groups.describeGroup('a').state).toBe('Empty');
  });

  test('in the midst of a rebalance goes back to the generation that was assigned last', async () => {
    const node = await startWithTopic();
    const [first] = await formGroup(node, 'a', [{}]);
    const joins = [
      node.groups.join(joinRequest({ groupId: 'a' })),
      node.groups.join(joinRequest({ groupId: 'a', memberId: first!.memberId })),
    ];
    const [second] = await Promise.all(joins);
    expect(second!.generationId).toBe(2);
    const next = await restart(node, 'crash');
    expect(next.groups.describeGroup('a')).toMatchObject({
      generationId: 1,
      state: 'Stable',
      members: [{ memberId: first!.memberId }],
    });
    const beat = { groupId: 'a', generationId: 2, memberId: first!.memberId, groupInstanceId: undefined };
    expect(codeOf(() => next.groups.heartbeat(beat))).toBe('ILLEGAL_GENERATION');
    expect((await next.groups.join(joinRequest({ groupId: 'a', memberId: second!.memberId }))).error?.code).toBe(
      'UNKNOWN_MEMBER',
    );
    const again = await next.groups.join(joinRequest({ groupId: 'a', memberId: first!.memberId }));
    expect(again.generationId).toBe(2);
    expect(await assign(next.groups, 'a', [again])).toMatchObject([{ assignment: Uint8Array.of(48) }]);
  });

  test('is loading at first: what may wait is told so, heartbeats are taken, syncs begin anew', async () => {
    const node = await startWithTopic();
    const [member] = await formGroup(node, 'a', [{}]);
    await node.stop();
    const { coordinator, clock, disk } = node;
    const next = await startGroupNode({ coordinator, clock, disk, settings: SMALL });
    const { memberId, generationId } = member!;
    const identity = { groupId: 'a', generationId, memberId, groupInstanceId: undefined };
    const at = [{ topic: 'orders', partition: 0, offset: 1 }];
    expect(codeOf(() => next.groups.heartbeat(identity))).toBeUndefined();
    expect(codeOf(() => next.groups.fetchOffsets('a', undefined))).toBe('COORDINATOR_LOADING');
    expect(codeOf(() => next.groups.describeGroup('a'))).toBe('COORDINATOR_LOADING');
    expect(codeOf(() => next.groups.listGroups())).toBe('COORDINATOR_LOADING');
    const waiting = [
      rejection(commit(next.groups, 'a', at, { memberId, generationId })),
      rejection(next.groups.leave({ groupId: 'a', members: [] })),
      rejection(next.groups.deleteGroup('a')),
      rejection(next.groups.sync({ ...identity, protocolType: undefined, protocolName: undefined, assignments: [] })),
      next.groups.join(joinRequest({ groupId: 'a', memberId })).then(({ error }) => error?.code),
    ];
    expect(await Promise.all(waiting)).toEqual([
      'COORDINATOR_LOADING',
      'COORDINATOR_LOADING',
      'COORDINATOR_LOADING',
      'REBALANCE_IN_PROGRESS',
      'COORDINATOR_LOADING',
    ]);
    await next.groups.loaded;
    await commit(next.groups, 'a', at, { memberId, generationId });
  });

  test('finds offsets whose group was never stored', async () => {
    const node = await startWithTopic();
    const [member] = await formGroup(node, 'a', [{}]);
    const { memberId, generationId } = member!;
    await commit(node.groups, 'a', [{ topic: 'orders', partition: 0, offset: 1 }], { memberId, generationId });
    // As if the record of the group were lost: a tombstone for it alone.
    const partition = node.topics.partition('__consumer_offsets', shardOf('a', 2));
    const { OffsetsLog } = await import('../../broker/groups/offsets-log.ts');
    const log = new OffsetsLog({ partition, clock: node.clock, diskSpace: node.diskSpace });
    log.writeGroup('a', null);
    await log.synced();
    const next = await restart(node, 'stop');
    expect(next.groups.describeGroup('a')).toMatchObject({ state: 'Empty', protocolType: '', generationId: 0 });
    expect(committed(next.groups, 'a')).toEqual(['orders-0: 1']);
  });

  test('that cannot read a partition coordinates none of its groups, but all others', async () => {
    const node = await startWithTopic();
    for (const name of ['a', 'b']) await commit(node.groups, name, [{ topic: 'orders', partition: 0, offset: 1 }]);
    await node.stop();
    const { coordinator, clock, disk } = node;
    const file = `/__consumer_offsets-${shardOf('a', 2)}/`;
    const beforeGroups = () => void disk.inject({ on: 'read', when: ({ path }) => path.includes(file) });
    const next = await startGroupNode({ coordinator, clock, disk, settings: SMALL, beforeGroups });
    await next.groups.loaded;
    expect(codeOf(() => next.groups.fetchOffsets('a', undefined))).toBe('COORDINATOR_NOT_AVAILABLE');
    // Those that can be read are still listed, as Kafka does.
    expect(next.groups.listGroups().map(({ groupId }) => groupId)).toEqual(['b']);
    expect((await next.groups.join(joinRequest({ groupId: 'a' }))).error?.code).toBe('COORDINATOR_NOT_AVAILABLE');
    expect(committed(next.groups, 'b')).toEqual(['orders-0: 1']);
  });
});

describe('groups', () => {
  test('are listed and described; one that does not exist is dead', async () => {
    const node = await startWithTopic();
    expect(node.groups.listGroups()).toEqual([]);
    await formGroup(node, 'b', [{}]);
    await commit(node.groups, 'a', [{ topic: 'orders', partition: 0, offset: 1 }]);
    expect(node.groups.listGroups()).toEqual([
      { groupId: 'a', protocolType: '', state: 'Empty' },
      { groupId: 'b', protocolType: 'consumer', state: 'Stable' },
    ]);
    expect(node.groups.describeGroup('c')).toMatchObject({ state: 'Dead', members: [], generationId: -1 });
  });

  test('without members can be deleted with their offsets, for good', async () => {
    const node = await startWithTopic();
    const [member] = await formGroup(node, 'a', [{}]);
    const { memberId, generationId } = member!;
    await commit(node.groups, 'a', [{ topic: 'orders', partition: 0, offset: 1 }], { memberId, generationId });
    expect(await rejection(node.groups.deleteGroup('a'))).toBe('NON_EMPTY_GROUP');
    await node.groups.leave({ groupId: 'a', members: [{ memberId, groupInstanceId: undefined, reason: undefined }] });
    const last = commit(node.groups, 'a', [{ topic: 'orders', partition: 1, offset: 2 }]);
    const deleted = node.groups.deleteGroup('a');
    expect(await rejection(commit(node.groups, 'a', [{ topic: 'orders', partition: 2, offset: 3 }]))).toBe(
      'COORDINATOR_NOT_AVAILABLE',
    );
    await Promise.all([last, deleted]);
    expect(await rejection(node.groups.deleteGroup('a'))).toBe('GROUP_ID_NOT_FOUND');
    for (const groups of [node.groups, (await restart(node, 'crash')).groups]) {
      expect(committed(groups, 'a')).toEqual([]);
      expect(groups.listGroups()).toEqual([]);
    }
  });

  test('that could not be deleted are there as before', async () => {
    const node = await startWithTopic();
    await commit(node.groups, 'a', [{ topic: 'orders', partition: 0, offset: 1 }]);
    node.disk.inject({ on: 'sync' });
    expect(await rejection(node.groups.deleteGroup('a'))).toBe('COORDINATOR_NOT_AVAILABLE');
    expect(committed(node.groups, 'a')).toEqual(['orders-0: 1']);
    expect(node.groups.describeGroup('a').state).toBe('Empty');
  });

  test('that no member ever joined are forgotten at once', async () => {
    const node = await startWithTopic();
    await node.groups.join(joinRequest({ groupId: 'a', requiresKnownMemberId: true }));
    expect(node.groups.listGroups()).toHaveLength(1);
    node.clock.advance(10_000);
    expect(node.groups.listGroups()).toEqual([]);
    await node.groups.join(joinRequest({ groupId: 'a', protocols: [] }));
    expect(node.groups.listGroups()).toEqual([]);
  });

  test('are unknown to members that nobody let in', async () => {
    const node = await startWithTopic();
    const identity = { groupId: 'a', generationId: 1, memberId: 'x', groupInstanceId: undefined };
    expect(codeOf(() => node.groups.heartbeat(identity))).toBe('UNKNOWN_MEMBER');
    await node.groups.coordinatorOf('a');
    expect(codeOf(() => node.groups.heartbeat(identity))).toBe('UNKNOWN_MEMBER');
    expect((await node.groups.join(joinRequest({ memberId: 'x' }))).error?.code).toBe('UNKNOWN_MEMBER');
    const sync = { ...identity, protocolType: undefined, protocolName: undefined, assignments: [] };
    expect(await rejection(node.groups.sync(sync))).toBe('UNKNOWN_MEMBER');
    const member = { memberId: 'x', groupInstanceId: undefined, reason: undefined };
    expect((await node.groups.leave({ groupId: 'a', members: [member] }))[0]!.error?.code).toBe('UNKNOWN_MEMBER');
  });

  test('close: who waits is sent elsewhere, and nobody is let in', async () => {
    const node = await startWithTopic();
    await node.groups.coordinatorOf('a');
    const join = node.groups.join(joinRequest({ groupId: 'a' }));
    await settle();
    await node.groups.close();
    expect((await join).error?.code).toBe('NOT_COORDINATOR');
    expect((await node.groups.join(joinRequest())).error?.code).toBe('NOT_COORDINATOR');
    expect(codeOf(() => node.groups.listGroups())).toBe('NOT_COORDINATOR');
    expect(await rejection(node.groups.coordinatorOf('a'))).toBe('NOT_COORDINATOR');
  });
});

describe('expiry (KIP-211)', () => {
  const DAY = 86_400_000;
  const settings = { ...SMALL, offsetsRetentionMs: 7 * DAY, offsetsRetentionCheckIntervalMs: DAY / 24 };

  async function pass(node: GroupNode, days: number): Promise<void> {
    for (let hour = 0; hour < days * 24; hour++) {
      node.clock.advance(DAY / 24);
      await settle();
    }
    for (let turn = 0; turn < 10; turn++) await settle();
  }

  test('of offsets without members counts from their commit', async () => {
    const node = await startWithTopic({ settings });
    await commit(node.groups, 'a', [{ topic: 'orders', partition: 0, offset: 1 }]);
    await pass(node, 3);
    await commit(node.groups, 'a', [{ topic: 'orders', partition: 1, offset: 2 }]);
    await pass(node, 5);
    expect(committed(node.groups, 'a')).toEqual(['orders-1: 2']);
    await pass(node, 3);
    expect(node.groups.listGroups()).toEqual([]);
    const next = await restart(node, 'crash');
    expect(next.groups.listGroups()).toEqual([]);
  });

  test('of a group counts from when it became empty, also over a restart; then the group goes', async () => {
    const node = await startWithTopic({ settings: { ...settings, groupMaxSessionTimeoutMs: DAY } });
    const [member] = await formGroup(node, 'a', [{ sessionTimeoutMs: DAY }]);
    const { memberId, generationId } = member!;
    await commit(node.groups, 'a', [{ topic: 'orders', partition: 0, offset: 1 }], { memberId, generationId });
    for (let day = 0; day < 20; day++) {
      await pass(node, 0.5);
      node.groups.heartbeat({ groupId: 'a', generationId, memberId, groupInstanceId: undefined });
    }
    // Nobody consumes that topic: it is not in the subscription.
    expect(committed(node.groups, 'a')).toEqual([]);
    await createTopic(node, 'topic');
    await commit(node.groups, 'a', [{ topic: 'topic', partition: 0, offset: 9 }], { memberId, generationId });
    for (let day = 0; day < 20; day++) {
      await pass(node, 0.5);
      node.groups.heartbeat({ groupId: 'a', generationId, memberId, groupInstanceId: undefined });
    }
    expect(committed(node.groups, 'a')).toEqual(['topic-0: 9']);
    await pass(node, 1.1);
    expect(node.groups.describeGroup('a').state).toBe('Empty');
    await pass(node, 4);
    const next = await restart(node, 'crash', { settings });
    await pass(next, 2.5);
    expect(committed(next.groups, 'a')).toEqual(['topic-0: 9']);
    await pass(next, 0.6);
    expect(next.groups.listGroups()).toEqual([]);
  });

  test('does not happen if offsets are kept without limit', async () => {
    const node = await startWithTopic({ settings: { ...settings, offsetsRetentionMs: -1 } });
    await commit(node.groups, 'a', [{ topic: 'orders', partition: 0, offset: 1 }]);
    await pass(node, 10);
    expect(committed(node.groups, 'a')).toEqual(['orders-0: 1']);
  });
});
