import { describe, expect, it, vi } from 'vitest';
import { compileMessage } from '../../../broker/listeners/kafka/codec.ts';
import { MessageReader } from '../../../broker/listeners/kafka/message-reader.ts';
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import { KAFKA } from '../../support/kafka-apis.ts';
import { start, versions } from './api-test-bed.ts';

const JOINED = {
  error: undefined,
  generationId: 3,
  protocolType: 'consumer',
  protocolName: 'range',
  leader: 'm-1',
  skipAssignment: false,
  memberId: 'm-1',
  members: [{ memberId: 'm-1', groupInstanceId: undefined, metadata: new Uint8Array([1, 2]) }],
};
const JOIN = {
  groupId: 'g',
  sessionTimeoutMs: 6000,
  rebalanceTimeoutMs: 9000,
  memberId: '',
  groupInstanceId: null,
  protocolType: 'consumer',
  protocols: [{ name: 'range', metadata: Buffer.from([1, 2]) }],
  reason: null,
};
const SYNC = {
  groupId: 'g',
  generationId: 3,
  memberId: 'm-1',
  groupInstanceId: null,
  protocolType: null,
  protocolName: null,
  assignments: [{ memberId: 'm-1', assignment: Buffer.from([7]) }],
};
const forever = () => new Promise<never>(() => {});

describe('JoinGroup', () => {
  it.each(versions(KAFKA.joinGroup))('hands on who joins and with what, in version %i', async (version) => {
    const { client, groups } = await start();
    groups.onJoin = async () => JOINED;
    const response = await client.call(KAFKA.joinGroup, version, JOIN);
    expect(response).toMatchObject({ errorCode: 0, generationId: 3, protocolName: 'range', leader: 'm-1' });
    expect(response.members).toMatchObject([{ memberId: 'm-1', metadata: Buffer.from([1, 2]) }]);
    expect(groups.asked).toMatchObject([
      [
        'join',
        {
          groupId: 'g',
          clientHost: '/127.0.0.1',
          // Version 0 has no timeout of its own for rebalances.
          rebalanceTimeoutMs: version === 0 ? 6000 : 9000,
          requiresKnownMemberId: version >= 4,
          supportsSkippingAssignment: version >= 9,
        },
      ],
    ]);
  });

  it.each(versions(KAFKA.joinGroup, 4))('gives the id to join with, in version %i', async (version) => {
    const { client, groups } = await start();
    groups.onJoin = async () => ({
      ...JOINED,
      error: new BurrowError('MEMBER_ID_REQUIRED'),
      protocolName: undefined,
      memberId: 'new',
      members: [],
    });
    const response = await client.call(KAFKA.joinGroup, version, JOIN);
    expect(response).toMatchObject({ errorCode: 79, memberId: 'new', protocolName: version >= 7 ? null : '' });
  });
});

describe('SyncGroup, Heartbeat and LeaveGroup', () => {
  it.each(versions(KAFKA.syncGroup))('a sync brings assignments and gets one, in version %i', async (version) => {
    const { client, groups } = await start();
    groups.onSync = async () => ({
      protocolType: 'consumer',
      protocolName: 'range',
      assignment: new Uint8Array([7]),
    });
    const response = await client.call(KAFKA.syncGroup, version, SYNC);
    expect(response).toMatchObject({ errorCode: 0, assignment: Buffer.from([7]) });
    expect(groups.asked[0]![1]).toMatchObject({ generationId: 3, assignments: [{ memberId: 'm-1' }] });
    groups.onSync = () => Promise.reject(new BurrowError('ILLEGAL_GENERATION'));
    expect(await client.call(KAFKA.syncGroup, version, SYNC)).toMatchObject({ errorCode: 22 });
  });

  it.each(versions(KAFKA.heartbeat))('a heartbeat tells of a rebalance, in version %i', async (version) => {
    const { client, groups } = await start();
    const member = { groupId: 'g', generationId: 3, memberId: 'm-1', groupInstanceId: null };
    expect((await client.call(KAFKA.heartbeat, version, member)).errorCode).toBe(0);
    groups.onHeartbeat = () => {
      throw new BurrowError('REBALANCE_IN_PROGRESS');
    };
    expect((await client.call(KAFKA.heartbeat, version, member)).errorCode).toBe(27);
  });

  it.each(versions(KAFKA.leaveGroup))('who cannot leave is told why, in version %i', async (version) => {
    const { client, groups } = await start();
    const error = new BurrowError('UNKNOWN_MEMBER');
    groups.onLeave = async ({ members }) => members.map((member) => ({ ...member, error }));
    const members = [{ memberId: 'a', groupInstanceId: 'i', reason: null }];
    const response = await client.call(KAFKA.leaveGroup, version, { groupId: 'g', memberId: 'a', members });
    if (version < 3) expect(response.errorCode).toBe(25);
    else expect(response).toMatchObject({ errorCode: 0, members: [{ memberId: 'a', errorCode: 25 }] });
  });
});

describe('members that wait', () => {
  it.each([
    ['joinGroup', JOIN],
    ['syncGroup', SYNC],
  ] as const)('for the others (%s) are sent to another coordinator when the listener closes', async (name, request) => {
    const { client, groups, listener } = await start();
    groups.onJoin = forever;
    groups.onSync = forever;
    const response =
      name === 'joinGroup'
        ? client.call(KAFKA.joinGroup, 5, request as typeof JOIN)
        : client.call(KAFKA.syncGroup, 3, request as typeof SYNC);
    await vi.waitFor(() => expect(groups.asked).toHaveLength(1));
    const closedMs = performance.now();
    await listener.close();
    expect(performance.now() - closedMs).toBeLessThan(2000);
    expect((await response).errorCode).toBe(15);
  });

  it('do not keep later requests of their connection from being started', async () => {
    const { client, groups } = await start();
    let join: (outcome: typeof JOINED) => void = () => {};
    groups.onJoin = () => new Promise((resolve) => (join = resolve));
    const joined = client.call(KAFKA.joinGroup, 5, JOIN);
    const member = { groupId: 'g', generationId: 3, memberId: 'm-1', groupInstanceId: null };
    const beaten = client.call(KAFKA.heartbeat, 3, member);
    await vi.waitFor(() => expect(groups.asked.map(([name]) => name)).toEqual(['join', 'heartbeat']));
    join(JOINED);
    expect([(await joined).errorCode, (await beaten).errorCode]).toEqual([0, 0]);
  });
});

describe('committed offsets', () => {
  it.each(versions(KAFKA.offsetCommit))('are committed one by one, in version %i', async (version) => {
    const { client, groups } = await start();
    groups.onCommit = async ({ offsets }) =>
      offsets.map(({ topic, partition }) => ({
        topic,
        partition,
        error: partition === 1 ? new BurrowError('OFFSET_METADATA_TOO_LARGE') : undefined,
      }));
    const place = { committedOffset: 5, committedMetadata: null };
    const request = {
      groupId: 'g',
      topics: [
        { name: 'a', partitions: [0, 1].map((partitionIndex) => ({ partitionIndex, ...place })) },
        { name: 'b', partitions: [{ partitionIndex: 0, ...place }] },
      ],
    };
    const { topics } = await client.call(KAFKA.offsetCommit, version, request);
    expect(topics.map(({ partitions }) => partitions.map(({ errorCode }) => errorCode))).toEqual([[0, 12], [0]]);
    groups.onCommit = () => Promise.reject(new BurrowError('UNKNOWN_MEMBER'));
    const refused = await client.call(KAFKA.offsetCommit, version, request);
    expect(refused.topics.flatMap(({ partitions }) => partitions.map(({ errorCode }) => errorCode))).toEqual([
      25, 25, 25,
    ]);
  });

  it.each(versions(KAFKA.offsetFetch))('are fetched, or refused where this version says so: %i', async (version) => {
    const { client, groups } = await start();
    groups.onFetchOffsets = () => [{ topic: 'a', partition: 2, offset: 9, leaderEpoch: 1, metadata: 'note' }];
    const topics = [{ name: 'a', partitionIndexes: [2] }];
    const request = version < 8 ? { groupId: 'g', topics } : { groups: [{ groupId: 'g', topics }] };
    const answerOf = async () => {
      const response = await client.call(KAFKA.offsetFetch, version, request);
      return version < 8 ? response : response.groups[0]!;
    };
    const partition = { partitionIndex: 2, committedOffset: 9, metadata: 'note', errorCode: 0 };
    expect(await answerOf()).toMatchObject({ errorCode: 0, topics: [{ name: 'a', partitions: [partition] }] });
    groups.onFetchOffsets = () => {
      throw new BurrowError('COORDINATOR_LOADING');
    };
    const refused = await answerOf();
    if (version >= 2) expect(refused).toMatchObject({ errorCode: 14, topics: [] });
    else expect(refused.topics[0]!.partitions).toMatchObject([{ committedOffset: -1, errorCode: 14 }]);
  });

  it('are fetched for members of KIP-848, who name themselves since version 9', () => {
    // One group `g`, member id null, member epoch -1, topic `a` with partition 2, requireStable.
    const bytes = Buffer.from('02 0267 00 ffffffff 02 0261 02 00000002 00 00 01 00'.replaceAll(' ', ''), 'hex');
    const reader = new MessageReader(bytes, 0, 100);
    expect(compileMessage(KAFKA.offsetFetch.request).decode(reader, 9)).toMatchObject({
      groups: [{ groupId: 'g', memberId: null, memberEpoch: -1, topics: [{ name: 'a', partitionIndexes: [2] }] }],
      requireStable: true,
    });
    expect([reader.ok, reader.remaining]).toEqual([true, 0]);
  });

  it('are all fetched where no topics are named', async () => {
    const { client, groups } = await start();
    await client.call(KAFKA.offsetFetch, 5, { groupId: 'g', topics: null });
    expect(groups.asked).toEqual([['fetchOffsets', { groupId: 'g', partitions: undefined }]]);
  });

  it('are deleted one by one, or refused as a whole', async () => {
    const { client, groups } = await start();
    const request = { groupId: 'g', topics: [{ name: 'a', partitions: [{ partitionIndex: 0 }] }] };
    groups.onDeleteOffsets = async () => [
      { topic: 'a', partition: 0, error: new BurrowError('GROUP_SUBSCRIBED_TO_TOPIC') },
    ];
    const deleted = await client.call(KAFKA.offsetDelete, 0, request);
    expect(deleted).toMatchObject({ errorCode: 0, topics: [{ partitions: [{ errorCode: 86 }] }] });
    groups.onDeleteOffsets = () => Promise.reject(new BurrowError('GROUP_ID_NOT_FOUND'));
    expect(await client.call(KAFKA.offsetDelete, 0, request)).toMatchObject({ errorCode: 69, topics: [] });
  });
});

describe('groups', () => {
  const GROUP = {
    groupId: 'g',
    state: 'Stable' as const,
    protocolType: 'consumer',
    protocolName: 'range',
    generationId: 3,
    leader: 'm-1',
    members: [
      {
        memberId: 'm-1',
        groupInstanceId: 'i',
        clientId: 'c',
        clientHost: '/127.0.0.1',
        metadata: new Uint8Array([1]),
        assignment: new Uint8Array([2]),
      },
    ],
  };

  it.each(versions(KAFKA.describeGroups))(
    'are described; one that does not exist is dead, in version %i',
    async (v) => {
      const { client, groups } = await start();
      groups.groups = [GROUP];
      const response = await client.call(KAFKA.describeGroups, v, { groups: ['g', 'none', 'g'] });
      const [found, none, ...more] = response.groups;
      expect(more).toEqual([]);
      expect(found).toMatchObject({ groupState: 'Stable', protocolData: 'range', members: [{ memberId: 'm-1' }] });
      expect(none).toMatchObject({ errorCode: 0, groupState: 'Dead', members: [] });
    },
  );

  it.each(versions(KAFKA.listGroups))('are listed, by state and type where the version can, %i', async (version) => {
    const { client, groups } = await start();
    groups.groups = [GROUP, { ...GROUP, groupId: 'empty', state: 'Empty', members: [] }];
    const list = async (filters: object) =>
      (await client.call(KAFKA.listGroups, version, filters)).groups.map(({ groupId }) => groupId);
    expect(await list({})).toEqual(['g', 'empty']);
    if (version >= 4) expect(await list({ statesFilter: ['stable'] })).toEqual(['g']);
    if (version >= 5) expect(await list({ typesFilter: ['consumer'] })).toEqual([]);
    if (version >= 5) expect(await list({ typesFilter: ['Classic'] })).toEqual(['g', 'empty']);
  });

  it.each(versions(KAFKA.deleteGroups))('are deleted one by one, in version %i', async (version) => {
    const { client, groups } = await start();
    groups.onDeleteGroup = async (groupId) => {
      if (groupId === 'busy') throw new BurrowError('NON_EMPTY_GROUP');
    };
    const { results } = await client.call(KAFKA.deleteGroups, version, { groupsNames: ['idle', 'busy'] });
    expect(results.map(({ errorCode }) => errorCode)).toEqual([0, 68]);
  });

  it('have a coordinator each; transactions have none', async () => {
    const { client, groups, port } = await start();
    groups.onCoordinatorOf = async (groupId) => {
      if (groupId === '') throw new BurrowError('INVALID_GROUP_ID');
      return groupId === 'far' ? 99 : 1;
    };
    const { coordinators } = await client.call(KAFKA.findCoordinator, 4, { coordinatorKeys: ['g', 'far', '', 'g'] });
    expect(coordinators.map(({ errorCode, port: at }) => [errorCode, at])).toEqual([
      [0, port],
      [15, -1],
      [24, -1],
    ]);
    expect(await client.call(KAFKA.findCoordinator, 1, { key: 't', keyType: 1 })).toMatchObject({ errorCode: 15 });
  });
});
