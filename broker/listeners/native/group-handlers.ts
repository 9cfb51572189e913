/**
 * Translates native requests about consumer groups into calls on the group coordinator. Subscriptions and assignments are
 * bytes of the members, which pass through.
 */
import type { BurrowError } from '../../../src/errors/burrow-error.ts';
import type { PartitionResult } from '../../groups/group-service.ts';
import { entry, failure, type Handler, SUCCESS, unique } from './handler.ts';

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
    return { nodeId: await context.groups.coordinatorOf(groupId) };
  },

  async joinGroup(context, { groupInstanceId, reason, ...request }) {
    const outcome = await context.groups.join({
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
    return context.groups.sync({
      ...member,
      groupInstanceId: groupInstanceId ?? undefined,
      protocolType: protocolType ?? undefined,
      protocolName: protocolName ?? undefined,
    });
  },

  heartbeat(context, { groupInstanceId, ...member }) {
    context.groups.heartbeat({ ...member, groupInstanceId: groupInstanceId ?? undefined });
    return {};
  },

  async leaveGroup(context, { groupId, members }) {
    const left = await context.groups.leave({
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
    const results = await context.groups.commitOffsets({
      ...request,
      groupInstanceId: groupInstanceId ?? undefined,
    });
    return { partitions: results.map(partitionAnswer) };
  },

  fetchOffsets(context, { groupId, partitions }) {
    return { partitions: context.groups.fetchOffsets(groupId, partitions ?? undefined) };
  },

  async deleteOffsets(context, { groupId, partitions }) {
    const results = await context.groups.deleteOffsets(groupId, partitions);
    return { partitions: results.map(partitionAnswer) };
  },

  listGroups(context) {
    return { groups: context.groups.listGroups() };
  },

  async describeGroups(context, { groupIds }) {
    const { groups } = context;
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
    const { groups } = context;
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

function resultOf(error: BurrowError | undefined): { errorNumber: number; message: string | null } {
  return error === undefined ? SUCCESS : failure(error);
}

function partitionAnswer({ topic, partition, error }: PartitionResult) {
  return { topic, partition, ...resultOf(error) };
}
