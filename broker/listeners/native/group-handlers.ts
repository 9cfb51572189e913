/**
 * Translates native requests about consumer groups into calls on the group coordinator. Subscriptions and assignments are
 * bytes of the members, which pass through.
 */
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import type { GroupService, PartitionResult } from '../../groups/group-service.ts';
import { entry, failure, type Handler, type HandlerContext, SUCCESS, unique } from './handler.ts';

type GroupMessage =
  | 'findCoordinator'
  | 'joinGroup'
  | 'syncGroup'
  | 'heartbeat'
  | 'leaveGroup'
  | 'commitOffsets'
  | 'fetchOffsets'
  | 'deleteOffsets'
  | 'listGroups'
  | 'describeGroups'
  | 'deleteGroups';

export const groupHandlers: { readonly [N in GroupMessage]: Handler<N> } = {
  async findCoordinator(context, { groupId }) {
    return { nodeId: await groupsOf(context).coordinatorOf(groupId) };
  },

  async joinGroup(context, { groupInstanceId, reason, ...request }) {
    const outcome = await groupsOf(context).join({
      ...request,
      groupInstanceId: groupInstanceId ?? undefined,
      reason: reason ?? undefined,
      clientId: context.peer.clientId,
      clientHost: context.peer.host,
      // What Kafka's newest clients can do, every client of this protocol must.
      requiresKnownMemberId: true,
      supportsSkippingAssignment: true,
    });
    const { error, protocolType, protocolName, members, ...joined } = outcome;
    return {
      ...resultOf(error),
      ...joined,
      protocolType: protocolType ?? null,
      protocolName: protocolName ?? null,
      members: members.map((member) => ({ ...member, groupInstanceId: member.groupInstanceId ?? null })),
    };
  },

  async syncGroup(context, { groupInstanceId, protocolType, protocolName, ...member }) {
    return groupsOf(context).sync({
      ...member,
      groupInstanceId: groupInstanceId ?? undefined,
      protocolType: protocolType ?? undefined,
      protocolName: protocolName ?? undefined,
    });
  },

  heartbeat(context, { groupInstanceId, ...member }) {
    groupsOf(context).heartbeat({ ...member, groupInstanceId: groupInstanceId ?? undefined });
    return {};
  },

  async leaveGroup(context, { groupId, members }) {
    const left = await groupsOf(context).leave({
      groupId,
      members: members.map(({ memberId, groupInstanceId, reason }) => ({
        memberId,
        groupInstanceId: groupInstanceId ?? undefined,
        reason: reason ?? undefined,
      })),
    });
    return {
      members: left.map(({ memberId, groupInstanceId, error }) => ({
        memberId,
        groupInstanceId: groupInstanceId ?? null,
        ...resultOf(error),
      })),
    };
  },

  async commitOffsets(context, { groupInstanceId, ...request }) {
    const results = await groupsOf(context).commitOffsets({
      ...request,
      groupInstanceId: groupInstanceId ?? undefined,
    });
    return { partitions: results.map(partitionAnswer) };
  },

  fetchOffsets(context, { groupId, partitions }) {
    return { partitions: groupsOf(context).fetchOffsets(groupId, partitions ?? undefined) };
  },

  async deleteOffsets(context, { groupId, partitions }) {
    const results = await groupsOf(context).deleteOffsets(groupId, partitions);
    return { partitions: results.map(partitionAnswer) };
  },

  listGroups(context) {
    return { groups: groupsOf(context).listGroups() };
  },

  async describeGroups(context, { groupIds }) {
    const groups = groupsOf(context);
    const pending = unique(groupIds).map((groupId) =>
      entry(
        () => {
          const { leader, members, ...group } = groups.describeGroup(groupId);
          return {
            ...group,
            ...SUCCESS,
            leader: leader ?? null,
            members: members.map((member) => ({ ...member, groupInstanceId: member.groupInstanceId ?? null })),
          };
        },
        { groupId, state: 'Dead', protocolType: '', protocolName: '', generationId: -1, leader: null, members: [] },
      ),
    );
    return { groups: await Promise.all(pending) };
  },

  async deleteGroups(context, { groupIds }) {
    const groups = groupsOf(context);
    const pending = unique(groupIds).map((groupId) =>
      entry<{ groupId: string; errorNumber: number; message: string | null }>(
        async () => {
          await groups.deleteGroup(groupId);
          return { groupId, ...SUCCESS };
        },
        { groupId },
      ),
    );
    return { groups: await Promise.all(pending) };
  },
};

function groupsOf({ groups }: HandlerContext): GroupService {
  if (groups === undefined) throw new BurrowError('NOT_IMPLEMENTED', 'This broker keeps no consumer groups.');
  return groups;
}

function resultOf(error: BurrowError | undefined): { errorNumber: number; message: string | null } {
  return error === undefined ? SUCCESS : failure(error);
}

function partitionAnswer({ topic, partition, error }: PartitionResult) {
  return { topic, partition, ...resultOf(error) };
}
