/** What membership in a group needs of the cluster. Real: `group-transport.ts`; in tests a fake coordinator. */
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import type { Backoff } from '../backoff.ts';
import type { ClientClock } from '../clock.ts';
import type { TopicPartition } from '../topic-partition.ts';

export interface JoinRequest {
  readonly groupId: string;
  /** Empty for a member that is new. */
  readonly memberId: string;
  readonly groupInstanceId: string | undefined;
  /** In the order of preference. */
  readonly protocols: ReadonlyArray<{ readonly name: string; readonly metadata: Uint8Array }>;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  /** For the coordinator's log. */
  readonly reason: string;
}

export interface JoinAnswer {
  /** MEMBER_ID_REQUIRED comes with the `memberId` to use. */
  readonly error: BurrowError | undefined;
  readonly memberId: string;
  readonly generationId: number;
  readonly protocolName: string;
  readonly leader: string;
  /** A static member that came back as leader: the assignment of before still holds (KIP-814). */
  readonly skipAssignment: boolean;
  /** For the leader only. */
  readonly members: ReadonlyArray<{
    readonly memberId: string;
    readonly groupInstanceId: string | undefined;
    readonly metadata: Uint8Array;
  }>;
}

/** Who asks, as of which generation. Empty and -1: nobody in particular, for groups without members. */
export interface MemberIdentity {
  readonly groupId: string;
  readonly memberId: string;
  readonly generationId: number;
  readonly groupInstanceId: string | undefined;
}

export interface OffsetToCommit extends TopicPartition {
  /** Of the next record to consume. */
  readonly offset: number;
  /** Of the last consumed record's batch; default: not told. */
  readonly leaderEpoch?: number | undefined;
  /** A note kept beside it. Default: empty. */
  readonly metadata?: string | undefined;
}

export interface CommittedOffset extends TopicPartition {
  /** Undefined if nothing is committed. */
  readonly offset: number | undefined;
  /** Of the last consumed record's batch, if it was told. */
  readonly leaderEpoch: number | undefined;
  readonly metadata: string;
}

export interface GroupHost {
  readonly clock: ClientClock;
  readonly backoff: Backoff;
  readonly requestTimeoutMs: number;
  /** The node that coordinates the group, asked anew. */
  findCoordinator(groupId: string): Promise<number>;
  /** Waits for the rebalance. Rejects where no answer came. */
  join(nodeId: number, request: JoinRequest): Promise<JoinAnswer>;
  /** Waits for the leader. Resolves with the assignment's bytes. */
  sync(
    nodeId: number,
    member: MemberIdentity,
    protocolName: string,
    assignments: ReadonlyArray<{ readonly memberId: string; readonly assignment: Uint8Array }>,
    rebalanceTimeoutMs: number,
  ): Promise<Uint8Array>;
  heartbeat(nodeId: number, member: MemberIdentity): Promise<void>;
  leave(nodeId: number, member: MemberIdentity, reason: string): Promise<void>;
  /** One entry per offset, in order: what failed there. */
  commitOffsets(
    nodeId: number,
    member: MemberIdentity,
    offsets: readonly OffsetToCommit[],
  ): Promise<ReadonlyArray<BurrowError | undefined>>;
  fetchOffsets(
    nodeId: number,
    groupId: string,
    partitions: readonly TopicPartition[],
  ): Promise<readonly CommittedOffset[]>;
  /** Number of partitions of each topic that exists, asked anew; `undefined` for all that are not internal. */
  partitionCounts(topics: readonly string[] | undefined): Promise<ReadonlyMap<string, number>>;
}
