/**
 * What listeners may ask of the group coordinator: classic consumer groups (the rules of Kafka's group protocol, KIP-62,
 * KIP-134, KIP-345, KIP-394, KIP-800) and committed offsets. Free of any listener's protocol; subscriptions and
 * assignments are bytes that only members understand, but for `consumer` groups (src/groups/consumer-protocol.ts).
 *
 * All failures are BurrowErrors: thrown or rejected where the request as a whole fails, in the entry where one fails.
 * Storage that fails or is full is COORDINATOR_NOT_AVAILABLE here (`fields.reason` says why): clients know that it may pass.
 * Whatever is told to a member or read back is durable.
 */
import type { BurrowError } from '../../src/errors/burrow-error.ts';

export interface GroupProtocol {
  /** The assignor's name. */
  readonly name: string;
  readonly metadata: Uint8Array;
}

export interface JoinGroupRequest {
  readonly groupId: string;
  /** Empty for a member that is new. */
  readonly memberId: string;
  readonly groupInstanceId: string | undefined;
  readonly clientId: string;
  /** Address of the client, as shown in descriptions. */
  readonly clientHost: string;
  readonly protocolType: string;
  /** In the member's order of preference. */
  readonly protocols: readonly GroupProtocol[];
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  /** Whether a new dynamic member must come back with the id it is given (KIP-394; Kafka since version 4). */
  readonly requiresKnownMemberId: boolean;
  /** Whether a static member that returns as leader may skip the assignment (KIP-814; Kafka since version 9). */
  readonly supportsSkippingAssignment: boolean;
  /** Why it joins, for the log (KIP-800). */
  readonly reason: string | undefined;
}

export interface JoinGroupOutcome {
  /** What failed: MEMBER_ID_REQUIRED comes with the `memberId` to use. */
  readonly error: BurrowError | undefined;
  readonly generationId: number;
  readonly protocolType: string | undefined;
  readonly protocolName: string | undefined;
  readonly leader: string;
  readonly skipAssignment: boolean;
  readonly memberId: string;
  /** For the leader only. */
  readonly members: ReadonlyArray<{
    readonly memberId: string;
    readonly groupInstanceId: string | undefined;
    readonly metadata: Uint8Array;
  }>;
}

export interface SyncGroupRequest {
  readonly groupId: string;
  readonly generationId: number;
  readonly memberId: string;
  readonly groupInstanceId: string | undefined;
  /** Undefined where the client is too old to tell (KIP-559). */
  readonly protocolType: string | undefined;
  readonly protocolName: string | undefined;
  /** From the leader only. */
  readonly assignments: ReadonlyArray<{ readonly memberId: string; readonly assignment: Uint8Array }>;
}

export interface SyncGroupOutcome {
  readonly protocolType: string;
  readonly protocolName: string;
  readonly assignment: Uint8Array;
}

export interface MemberIdentity {
  readonly groupId: string;
  readonly generationId: number;
  readonly memberId: string;
  readonly groupInstanceId: string | undefined;
}

export interface LeaveGroupRequest {
  readonly groupId: string;
  readonly members: ReadonlyArray<{
    /** May be empty where the instance id says who. */
    readonly memberId: string;
    readonly groupInstanceId: string | undefined;
    readonly reason: string | undefined;
  }>;
}

export interface LeftMember {
  readonly memberId: string;
  readonly groupInstanceId: string | undefined;
  readonly error: BurrowError | undefined;
}

export interface OffsetToCommit {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** -1 if unknown. */
  readonly leaderEpoch: number;
  readonly metadata: string;
}

export interface CommitOffsetsRequest extends MemberIdentity {
  /**
   * `memberId` empty and `generationId` -1: an administrator or a consumer without a group; allowed only while the group
   * has no members (else UNKNOWN_MEMBER, as in Kafka).
   */
  readonly offsets: readonly OffsetToCommit[];
}

/** One per entry of a request, in its order. */
export interface PartitionResult {
  readonly topic: string;
  readonly partition: number;
  readonly error: BurrowError | undefined;
}

export interface CommittedOffset {
  readonly topic: string;
  readonly partition: number;
  /** -1 if nothing is committed. */
  readonly offset: number;
  /** -1 if unknown. */
  readonly leaderEpoch: number;
  readonly metadata: string;
}

/** Kafka's names of the states. */
export type GroupState = 'PreparingRebalance' | 'CompletingRebalance' | 'Stable' | 'Empty' | 'Dead';

export interface GroupListing {
  readonly groupId: string;
  readonly protocolType: string;
  readonly state: GroupState;
}

export interface GroupMemberDescription {
  readonly memberId: string;
  readonly groupInstanceId: string | undefined;
  readonly clientId: string;
  readonly clientHost: string;
  /** Of the chosen protocol; empty while there is none. */
  readonly metadata: Uint8Array;
  readonly assignment: Uint8Array;
}

export interface GroupDescription {
  readonly groupId: string;
  /** `Dead` for a group that does not exist, as in Kafka. */
  readonly state: GroupState;
  readonly protocolType: string;
  /** Empty while none is chosen. */
  readonly protocolName: string;
  readonly generationId: number;
  readonly leader: string | undefined;
  readonly members: readonly GroupMemberDescription[];
}

export interface GroupService {
  /**
   * The node that coordinates the group. Creates the offsets topic when it is first asked for.
   * @throws BurrowError INVALID_GROUP_ID, COORDINATOR_NOT_AVAILABLE
   */
  coordinatorOf(groupId: string): Promise<number>;

  /** Resolves when the rebalance is over; never rejects. A member whose connection went away is left to its session timeout. */
  join(request: JoinGroupRequest): Promise<JoinGroupOutcome>;
  /**
   * Resolves when the leader has assigned. Rejects with UNKNOWN_MEMBER, ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS, …; while
   * groups are loading with REBALANCE_IN_PROGRESS too, as in Kafka.
   */
  sync(request: SyncGroupRequest): Promise<SyncGroupOutcome>;
  /**
   * Takes every heartbeat while groups are loading, as Kafka does.
   * @throws BurrowError UNKNOWN_MEMBER, ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS, FENCED_INSTANCE, …
   */
  heartbeat(member: MemberIdentity): void;
  leave(request: LeaveGroupRequest): Promise<readonly LeftMember[]>;

  /** Resolves when the offsets are as durable as an acknowledged produce. Rejects where the whole request is refused. */
  commitOffsets(request: CommitOffsetsRequest): Promise<readonly PartitionResult[]>;
  /**
   * Synchronous: coordinators keep offsets in memory. `partitions` undefined: all that are committed.
   * `requireStable` waits for no transaction yet.
   * @throws BurrowError NOT_COORDINATOR, COORDINATOR_LOADING, INVALID_GROUP_ID
   */
  fetchOffsets(
    groupId: string,
    partitions: ReadonlyArray<{ readonly topic: string; readonly partition: number }> | undefined,
  ): readonly CommittedOffset[];
  /** Refused per partition with GROUP_SUBSCRIBED_TO_TOPIC; as a whole with GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP (not a consumer group). */
  deleteOffsets(
    groupId: string,
    partitions: ReadonlyArray<{ readonly topic: string; readonly partition: number }>,
  ): Promise<readonly PartitionResult[]>;

  /** All groups of this node, sorted by id; not those whose log cannot be read. @throws COORDINATOR_LOADING */
  listGroups(): readonly GroupListing[];
  /** @throws BurrowError NOT_COORDINATOR, COORDINATOR_LOADING, INVALID_GROUP_ID */
  describeGroup(groupId: string): GroupDescription;
  /** Rejects with GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP. */
  deleteGroup(groupId: string): Promise<void>;
}
