/** Requests about groups in the client's terms: one function each, which knows what an answer means. */
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import { CONSUMER_PROTOCOL_TYPE } from '../../src/groups/consumer-protocol.ts';
import { entryError } from '../../src/protocol/frame.ts';
import type { ResponseOf } from '../../src/protocol/messages.ts';
import type { Connection } from '../connection.ts';
import { inOrder, inParts, succeeded } from '../requests.ts';
import type { TopicPartition } from '../topic-partition.ts';
import type { CommittedOffset, JoinAnswer, JoinRequest, MemberIdentity, OffsetToCommit } from './group-host.ts';

export async function findCoordinatorRequest(
  connection: Connection,
  groupId: string,
  timeoutMs: number,
): Promise<number> {
  return (await connection.request('findCoordinator', { groupId }, timeoutMs)).nodeId;
}

export async function joinGroupRequest(
  connection: Connection,
  request: JoinRequest,
  timeoutMs: number,
): Promise<JoinAnswer> {
  const groupInstanceId = request.groupInstanceId ?? null;
  const asked = { ...request, groupInstanceId, protocolType: CONSUMER_PROTOCOL_TYPE };
  const answer = await connection.request('joinGroup', asked, timeoutMs);
  const { memberId, generationId, protocolName, leader, skipAssignment, members } = answer;
  return {
    error: entryError(answer),
    memberId,
    generationId,
    protocolName: protocolName ?? '',
    leader,
    skipAssignment,
    members: members.map((member) => ({ ...member, groupInstanceId: member.groupInstanceId ?? undefined })),
  };
}

export async function syncGroupRequest(
  connection: Connection,
  member: MemberIdentity,
  protocolName: string,
  assignments: ReadonlyArray<{ readonly memberId: string; readonly assignment: Uint8Array }>,
  timeoutMs: number,
): Promise<Uint8Array> {
  const request = { ...identityOf(member), protocolType: CONSUMER_PROTOCOL_TYPE, protocolName, assignments };
  return (await connection.request('syncGroup', request, timeoutMs)).assignment;
}

export async function heartbeatRequest(
  connection: Connection,
  member: MemberIdentity,
  timeoutMs: number,
): Promise<void> {
  await connection.request('heartbeat', identityOf(member), timeoutMs);
}

export async function leaveGroupRequest(
  connection: Connection,
  { groupId, memberId, groupInstanceId }: MemberIdentity,
  reason: string,
  timeoutMs: number,
): Promise<void> {
  const leaving = { memberId, groupInstanceId: groupInstanceId ?? null, reason };
  const { members } = await connection.request('leaveGroup', { groupId, members: [leaving] }, timeoutMs);
  succeeded(members[0]);
}

export async function commitOffsetsRequest(
  connection: Connection,
  member: MemberIdentity,
  offsets: readonly OffsetToCommit[],
  timeoutMs: number,
): Promise<Array<BurrowError | undefined>> {
  const results: Array<BurrowError | undefined> = [];
  for (const part of inParts(offsets)) {
    const asked = part.map(({ topic, partition, offset, leaderEpoch, metadata }) => ({
      topic,
      partition,
      offset,
      leaderEpoch: leaderEpoch ?? -1,
      metadata: metadata ?? '',
    }));
    const request = { ...identityOf(member), offsets: asked };
    const { partitions } = await connection.request('commitOffsets', request, timeoutMs);
    results.push(...inOrder(part, partitions, entryError));
  }
  return results;
}

export async function fetchOffsetsRequest(
  connection: Connection,
  groupId: string,
  partitions: readonly TopicPartition[],
  timeoutMs: number,
): Promise<CommittedOffset[]> {
  const found: CommittedOffset[] = [];
  for (const part of inParts(partitions)) {
    const asked = part.map(({ topic, partition }) => ({ topic, partition }));
    const answer = await connection.request('fetchOffsets', { groupId, partitions: asked }, timeoutMs);
    found.push(...inOrder(part, answer.partitions, committedOffset));
  }
  return found;
}

/** Everything that the group has committed. */
export async function fetchAllOffsetsRequest(
  connection: Connection,
  groupId: string,
  timeoutMs: number,
): Promise<CommittedOffset[]> {
  const answer = await connection.request('fetchOffsets', { groupId, partitions: null }, timeoutMs);
  return answer.partitions.map(committedOffset);
}

export async function deleteOffsetsRequest(
  connection: Connection,
  groupId: string,
  partitions: readonly TopicPartition[],
  timeoutMs: number,
): Promise<Array<BurrowError | undefined>> {
  const results: Array<BurrowError | undefined> = [];
  for (const part of inParts(partitions)) {
    const asked = part.map(({ topic, partition }) => ({ topic, partition }));
    const answer = await connection.request('deleteOffsets', { groupId, partitions: asked }, timeoutMs);
    results.push(...inOrder(part, answer.partitions, entryError));
  }
  return results;
}

export async function listGroupsRequest(
  connection: Connection,
  timeoutMs: number,
): Promise<ResponseOf<'listGroups'>['groups']> {
  return (await connection.request('listGroups', {}, timeoutMs)).groups;
}

export async function describeGroupRequest(
  connection: Connection,
  groupId: string,
  timeoutMs: number,
): Promise<ResponseOf<'describeGroups'>['groups'][number]> {
  const { groups } = await connection.request('describeGroups', { groupIds: [groupId] }, timeoutMs);
  return succeeded(groups[0]);
}

export async function deleteGroupRequest(connection: Connection, groupId: string, timeoutMs: number): Promise<void> {
  const { groups } = await connection.request('deleteGroups', { groupIds: [groupId] }, timeoutMs);
  succeeded(groups[0]);
}

function identityOf({ groupId, memberId, generationId, groupInstanceId }: MemberIdentity) {
  return { groupId, memberId, generationId, groupInstanceId: groupInstanceId ?? null };
}

function committedOffset({
  topic,
  partition,
  offset,
  leaderEpoch,
  metadata,
}: ResponseOf<'fetchOffsets'>['partitions'][number]): CommittedOffset {
  return {
    topic,
    partition,
    offset: offset < 0 ? undefined : offset,
    leaderEpoch: leaderEpoch < 0 ? undefined : leaderEpoch,
    metadata,
  };
}
