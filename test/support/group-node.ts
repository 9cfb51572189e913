/** The services of one node with its group coordinator, on the in-memory disk, with a clock that tests move. */
import { onTestFinished } from 'vitest';
import type { GroupService, JoinGroupOutcome, JoinGroupRequest } from '../../broker/groups/group-service.ts';
import { Groups } from '../../broker/groups/groups.ts';
import { type Logger, silentLogger } from '../../broker/ports/logger.ts';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import { joinRequest } from './group-script.ts';
import { settle, startTestNode, type TestNode, type TestNodeOptions } from './node-environment.ts';

export interface GroupNode extends TestNode {
  readonly groups: Groups;
}

export interface GroupNodeOptions extends TestNodeOptions {
  readonly logger?: Logger;
  /** Called when everything but the coordinator is there. */
  readonly beforeGroups?: () => void;
}

export async function startGroupNode(options: GroupNodeOptions = {}): Promise<GroupNode> {
  const starting: { groups?: Groups } = {};
  const node = await startTestNode({ ...options, onRemoved: async (name) => starting.groups?.onTopicRemoved(name) });
  const { topics, diskSpace, clock, settings, disk } = node;
  options.beforeGroups?.();
  const groups = new Groups({
    topics,
    diskSpace,
    clock,
    random: options.random ?? new SeededRandom('members'),
    logger: options.logger ?? silentLogger,
    settings,
    batchBytesCeiling: 4 * 1024 * 1024,
  });
  starting.groups = groups;
  const stop = async (): Promise<void> => {
    await groups.close();
    await node.stop();
  };
  onTestFinished(() => (disk.halted ? undefined : groups.close()));
  return { ...node, groups, stop };
}

/** The node as it is after a clean stop, or after a power loss that takes all that was not synced. */
export async function restart(
  node: GroupNode,
  how: 'stop' | 'crash',
  options: Pick<TestNodeOptions, 'settings'> = {},
): Promise<GroupNode> {
  const { coordinator, clock } = node;
  if (how === 'stop') await node.stop();
  const disk = how === 'stop' ? node.disk : node.disk.crash(new SeededRandom(7), 'lost');
  const next = await startGroupNode({ coordinator, clock, disk, random: new SeededRandom('next'), ...options });
  await next.groups.loaded;
  return next;
}

/** Joins as new members, moves time until the rebalance is over, and has the first assign each its place in the list. */
export async function formGroup(
  node: GroupNode,
  groupId: string,
  members: ReadonlyArray<Partial<JoinGroupRequest>>,
): Promise<JoinGroupOutcome[]> {
  const joins = members.map((changes) => node.groups.join(joinRequest({ groupId, ...changes })));
  // The first may have to create the topic first.
  await node.groups.coordinatorOf(groupId);
  await settle();
  node.clock.advance(1000);
  const outcomes = await Promise.all(joins);
  await assign(node.groups, groupId, outcomes);
  return outcomes;
}

export async function assign(groups: GroupService, groupId: string, outcomes: readonly JoinGroupOutcome[]) {
  const leader = outcomes.find(({ members }) => members.length > 0);
  const assignments = (leader?.members ?? []).map(({ memberId }, index) => ({
    memberId,
    assignment: Buffer.from(String(index)),
  }));
  return Promise.all(
    outcomes.map((outcome) =>
      groups.sync({
        groupId,
        generationId: outcome.generationId,
        memberId: outcome.memberId,
        groupInstanceId: undefined,
        protocolType: undefined,
        protocolName: undefined,
        assignments: outcome === leader ? assignments : [],
      }),
    ),
  );
}

export interface OffsetAt {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** As a consumer that is no member, unless told otherwise. */
export function commit(
  groups: GroupService,
  groupId: string,
  offsets: readonly OffsetAt[],
  member: { memberId: string; generationId: number } = { memberId: '', generationId: -1 },
  metadata = '',
) {
  return groups.commitOffsets({
    groupId,
    ...member,
    groupInstanceId: undefined,
    offsets: offsets.map((offset) => ({ ...offset, leaderEpoch: -1, metadata })),
  });
}

/** `topic-partition: offset` of everything that is committed. */
export function committed(groups: GroupService, groupId: string): string[] {
  return groups
    .fetchOffsets(groupId, undefined)
    .map(({ topic, partition, offset }) => `${topic}-${partition}: ${offset}`);
}

/** The code with which a promise is rejected. */
export function rejection(promise: Promise<unknown>): Promise<string | undefined> {
  return promise.then(
    () => undefined,
    (error: unknown) => (error as BurrowError).code,
  );
}
