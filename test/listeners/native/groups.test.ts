import { describe, expect, test } from 'vitest';
import type {
  CommitOffsetsRequest,
  GroupService,
  JoinGroupOutcome,
  JoinGroupRequest,
  LeaveGroupRequest,
  MemberIdentity,
  SyncGroupOutcome,
  SyncGroupRequest,
} from '../../../broker/groups/group-service.ts';
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import type { RequestOf } from '../../../src/protocol/messages.ts';
import { FakeBrokerService } from '../../support/fake-broker-service.ts';
import { eventually, startTarget, TestClient } from './native-client.ts';

const bytes = (text: string) => new Uint8Array(Buffer.from(text));

/** Notes what it is asked, and lets joins and syncs wait until told. */
class HeldGroups implements GroupService {
  readonly joins: JoinGroupRequest[] = [];
  readonly syncs: SyncGroupRequest[] = [];
  readonly heartbeats: MemberIdentity[] = [];
  readonly leaves: LeaveGroupRequest[] = [];
  readonly commits: CommitOffsetsRequest[] = [];
  heartbeatError: BurrowError | undefined;
  readonly #held: Array<() => void> = [];

  release(): void {
    for (const resolve of this.#held.splice(0)) resolve();
  }

  async coordinatorOf(groupId: string): Promise<number> {
    if (groupId === '') throw new BurrowError('INVALID_GROUP_ID');
    return 7;
  }

  async join(request: JoinGroupRequest): Promise<JoinGroupOutcome> {
    this.joins.push(request);
    await new Promise<void>((resolve) => this.#held.push(resolve));
    const isNew = request.memberId === '';
    return {
      error: isNew ? new BurrowError('MEMBER_ID_REQUIRED') : undefined,
      memberId: 'm1',
      generationId: isNew ? -1 : 3,
      protocolType: isNew ? undefined : 'consumer',
      protocolName: isNew ? undefined : 'range',
      leader: isNew ? '' : 'm1',
      skipAssignment: false,
      members: isNew ? [] : [{ memberId: 'm1', groupInstanceId: undefined, metadata: bytes('m') }],
    };
  }

  async sync(request: SyncGroupRequest): Promise<SyncGroupOutcome> {
    this.syncs.push(request);
    await new Promise<void>((resolve) => this.#held.push(resolve));
    if (request.memberId !== 'm1') throw new BurrowError('UNKNOWN_MEMBER');
    return { protocolType: 'consumer', protocolName: 'range', assignment: bytes('a') };
  }

  heartbeat(member: MemberIdentity): void {
    this.heartbeats.push(member);
    if (this.heartbeatError !== undefined) throw this.heartbeatError;
  }

  async leave(request: LeaveGroupRequest) {
    this.leaves.push(request);
    return request.members.map(({ memberId, groupInstanceId }) => ({
      memberId,
      groupInstanceId,
      error: memberId === 'm1' ? undefined : new BurrowError('UNKNOWN_MEMBER'),
    }));
  }

  async commitOffsets(request: CommitOffsetsRequest) {
    this.commits.push(request);
    return request.offsets.map(({ topic, partition, metadata }) => ({
      topic,
      partition,
      error: metadata.length > 10 ? new BurrowError('OFFSET_METADATA_TOO_LARGE') : undefined,
    }));
  }

  fetchOffsets(_groupId: string, partitions: ReadonlyArray<{ topic: string; partition: number }> | undefined) {
    const all = partitions ?? [{ topic: 't', partition: 9 }];
    return all.map(({ topic, partition }) => ({ topic, partition, offset: 5, leaderEpoch: 1, metadata: 'x' }));
  }

  async deleteOffsets(_groupId: string, partitions: ReadonlyArray<{ topic: string; partition: number }>) {
    return partitions.map((each) => ({
      ...each,
      error: each.partition === 0 ? undefined : new BurrowError('GROUP_SUBSCRIBED_TO_TOPIC'),
    }));
  }

  listGroups() {
    return [{ groupId: 'g', protocolType: 'consumer', state: 'Stable' as const }];
  }

  describeGroup(groupId: string) {
    if (groupId === 'bad') throw new BurrowError('COORDINATOR_LOADING');
    return {
      groupId,
      state: 'Stable' as const,
      protocolType: 'consumer',
      protocolName: 'range',
      generationId: 3,
      leader: undefined,
      members: [
        {
          memberId: 'm1',
          groupInstanceId: undefined,
          clientId: 'c',
          clientHost: 'h',
          metadata: bytes('m'),
          assignment: bytes('a'),
        },
      ],
    };
  }

  async deleteGroup(groupId: string): Promise<void> {
    if (groupId === 'busy') throw new BurrowError('NON_EMPTY_GROUP');
  }
}

const member = { groupId: 'g', generationId: 3, memberId: 'm1', groupInstanceId: null };

function joinOf(memberId = 'm1', more: Partial<RequestOf<'joinGroup'>> = {}): RequestOf<'joinGroup'> {
  return {
    groupId: 'g',
    memberId,
    groupInstanceId: null,
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: bytes('m') }],
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 60_000,
    reason: null,
    ...more,
  };
}

const syncOf = (memberId = 'm1'): RequestOf<'syncGroup'> => ({
  ...member,
  memberId,
  protocolType: 'consumer',
  protocolName: null,
  assignments: [{ memberId: 'm1', assignment: bytes('a') }],
});

async function connected(options: Parameters<typeof startTarget>[0] = {}) {
  const groups = new HeldGroups();
  const target = await startTarget({ groups, ...options });
  const client = await TestClient.open(target.port);
  return { ...target, groups, client };
}

describe('requests about groups', () => {
  test('are handed on with who asks, and answered', async () => {
    const { groups, client } = await connected();
    const joining = client.request('joinGroup', joinOf('m1', { groupInstanceId: 'i', reason: 'why' }));
    await eventually(() => groups.joins.length === 1);
    expect(groups.joins[0]).toMatchObject({
      groupId: 'g',
      memberId: 'm1',
      groupInstanceId: 'i',
      reason: 'why',
      clientId: expect.any(String),
      clientHost: expect.stringContaining('127.0.0.1'),
      requiresKnownMemberId: true,
      supportsSkippingAssignment: true,
    });
    groups.release();
    expect(await joining).toMatchObject({
      errorNumber: 0,
      generationId: 3,
      leader: 'm1',
      protocolName: 'range',
      members: [{ memberId: 'm1', groupInstanceId: null }],
    });
    const syncing = client.request('syncGroup', syncOf());
    await eventually(() => groups.syncs.length === 1);
    expect(groups.syncs[0]).toMatchObject({ protocolName: undefined, groupInstanceId: undefined });
    groups.release();
    expect(await syncing).toMatchObject({ protocolName: 'range' });
  });

  test('a new member learns its id beside the error', async () => {
    const { groups, client } = await connected();
    const joining = client.request('joinGroup', joinOf(''));
    await eventually(() => groups.joins.length === 1);
    groups.release();
    const required = new BurrowError('MEMBER_ID_REQUIRED');
    expect(await joining).toMatchObject({
      errorNumber: required.number,
      memberId: 'm1',
      protocolName: null,
      members: [],
    });
  });

  test('fail as a whole or per entry', async () => {
    const { groups, client } = await connected();
    expect(await client.request('findCoordinator', { groupId: 'g' })).toEqual({ nodeId: 7 });
    await expect(client.request('findCoordinator', { groupId: '' })).rejects.toMatchObject({
      code: 'INVALID_GROUP_ID',
    });
    await client.request('heartbeat', member);
    groups.heartbeatError = new BurrowError('REBALANCE_IN_PROGRESS');
    await expect(client.request('heartbeat', member)).rejects.toMatchObject({ code: 'REBALANCE_IN_PROGRESS' });
    const numbers = (list: ReadonlyArray<{ errorNumber: number }>) => list.map(({ errorNumber }) => errorNumber);
    const number = (code: ConstructorParameters<typeof BurrowError>[0]) => new BurrowError(code).number;
    const left = await client.request('leaveGroup', {
      groupId: 'g',
      members: ['m1', 'm2'].map((memberId) => ({ memberId, groupInstanceId: null, reason: null })),
    });
    expect(numbers(left.members)).toEqual([0, number('UNKNOWN_MEMBER')]);
    const offset = { topic: 't', partition: 0, offset: 1, leaderEpoch: -1, metadata: '' };
    const committed = await client.request('commitOffsets', {
      ...member,
      offsets: [offset, { ...offset, partition: 1, metadata: 'far too long' }],
    });
    expect(numbers(committed.partitions)).toEqual([0, number('OFFSET_METADATA_TOO_LARGE')]);
    const partitions = [0, 1].map((partition) => ({ topic: 't', partition }));
    expect((await client.request('fetchOffsets', { groupId: 'g', partitions })).partitions).toHaveLength(2);
    expect((await client.request('fetchOffsets', { groupId: 'g', partitions: null })).partitions).toMatchObject([
      { partition: 9, offset: 5, leaderEpoch: 1, metadata: 'x' },
    ]);
    const deleted = await client.request('deleteOffsets', { groupId: 'g', partitions });
    expect(numbers(deleted.partitions)).toEqual([0, number('GROUP_SUBSCRIBED_TO_TOPIC')]);
    expect((await client.request('listGroups', {})).groups).toHaveLength(1);
    const described = await client.request('describeGroups', { groupIds: ['g', 'bad', 'g'] });
    expect(described.groups.map(({ groupId }) => groupId)).toEqual(['g', 'bad']);
    expect(numbers(described.groups)).toEqual([0, number('COORDINATOR_LOADING')]);
    expect(described.groups[0]).toMatchObject({ generationId: 3, leader: null, members: [{ clientHost: 'h' }] });
    const gone = await client.request('deleteGroups', { groupIds: ['g', 'busy'] });
    expect(numbers(gone.groups)).toEqual([0, number('NON_EMPTY_GROUP')]);
  });
});

/** Never ends describing its topics. */
class StuckService extends FakeBrokerService {
  override async deleteTopic(): Promise<void> {
    await new Promise(() => {});
  }
}

describe('while joins and syncs wait', () => {
  test('heartbeats, commits and leaving are answered, even behind an administrative request that takes for ever', async () => {
    const { groups, client } = await connected({ service: new StuckService() });
    client.request('deleteTopics', { names: ['t'] }).catch(() => {});
    client.request('joinGroup', joinOf()).catch(() => {});
    client.request('syncGroup', syncOf()).catch(() => {});
    await client.request('heartbeat', member);
    await client.request('commitOffsets', { ...member, offsets: [] });
    await client.request('leaveGroup', { groupId: 'g', members: [] });
    expect([groups.joins.length, groups.syncs.length, groups.heartbeats.length]).toEqual([1, 1, 1]);
    expect(groups.commits).toHaveLength(1);
  });

  test('administrative requests are answered as well', async () => {
    const { client } = await connected();
    client.request('joinGroup', joinOf()).catch(() => {});
    expect((await client.request('listGroups', {})).groups).toHaveLength(1);
  });

  test('more than the limit are refused, and those that end make room', async () => {
    const { groups, client } = await connected({ limits: { inFlightJoinsMax: 2 } });
    const waiting = [client.request('joinGroup', joinOf()), client.request('syncGroup', syncOf())];
    await expect(client.request('joinGroup', joinOf())).rejects.toMatchObject({ code: 'IN_FLIGHT_LIMIT' });
    await client.request('heartbeat', member);
    groups.release();
    await Promise.all(waiting);
    const again = client.request('syncGroup', syncOf('m2'));
    await eventually(() => groups.syncs.length === 2);
    groups.release();
    await expect(again).rejects.toMatchObject({ code: 'UNKNOWN_MEMBER' });
  });

  test('a listener that closes answers SHUTTING_DOWN and does not wait for them', async () => {
    const { groups, client, listener } = await connected();
    const waiting = [client.request('joinGroup', joinOf()), client.request('syncGroup', syncOf())];
    await eventually(() => groups.syncs.length === 1);
    const refused = waiting.map((each) => expect(each).rejects.toMatchObject({ code: 'SHUTTING_DOWN' }));
    const startMs = performance.now();
    await listener.close();
    expect(performance.now() - startMs).toBeLessThan(2000);
    await Promise.all(refused);
    groups.release();
  });

  test('a connection that goes away leaves nothing behind', async () => {
    const { groups, client, listener, logLines, port } = await connected();
    client.request('joinGroup', joinOf()).catch(() => {});
    await eventually(() => groups.joins.length === 1);
    client.webSocket.terminate();
    await eventually(() => listener.connectionCount === 0);
    groups.release();
    const other = await TestClient.open(port);
    await other.request('heartbeat', member);
    expect(logLines).toEqual([]);
  });
});
