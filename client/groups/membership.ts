/** Membership in a consumer group: joins, takes part in rebalances, sends heartbeats, commits. */
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import type { TopicPartition } from '../topic-partition.ts';
import type { CommittedOffset, GroupHost, OffsetToCommit } from './group-host.ts';

/** Names of the assignors there are, as Kafka clients know them. */
export type AssignorName = 'range' | 'roundrobin' | 'sticky' | 'cooperative-sticky';

export interface Subscription {
  /** Names of topics; or… */
  readonly topics?: readonly string[] | undefined;
  /** …all topics whose whole name matches, looked for again whenever metadata is refreshed. */
  readonly pattern?: RegExp | undefined;
}

/** One at a time, never two at once; the rebalance waits for them. What they throw goes to `onError`. */
export interface MembershipCallbacks {
  /** These are given up, and may still be committed. Nothing else happens until it is done. */
  onRevoked(partitions: readonly TopicPartition[]): Promise<void> | void;
  /** These are new; those that stay are not named. Called with an empty list too, once a rebalance is over. */
  onAssigned(partitions: readonly TopicPartition[]): Promise<void> | void;
  /** These were given to others already: nothing can be committed. */
  onLost(partitions: readonly TopicPartition[]): Promise<void> | void;
  /** Something to tell the user. After a `fatal` one the membership is over (its partitions were lost before). */
  onError(error: BurrowError, fatal: boolean): void;
}

export interface MembershipOptions {
  readonly groupId: string;
  readonly subscription: Subscription;
  /** In the order of preference; the group uses one that all its members know. */
  readonly assignors: readonly AssignorName[];
  /** Without a heartbeat for this long, the member is taken for dead. */
  readonly sessionTimeoutMs: number;
  /** How long members may take to give up what they have when a rebalance begins. */
  readonly rebalanceTimeoutMs: number;
  readonly heartbeatIntervalMs: number;
  /** How often topics are looked at for new partitions and new names. */
  readonly topicRefreshMs: number;
  /** Static membership: a member that comes back under this name takes its old place without a rebalance (KIP-345). */
  readonly groupInstanceId?: string | undefined;
  readonly callbacks: MembershipCallbacks;
}

export declare class GroupMembership {
  constructor(host: GroupHost, options: MembershipOptions);
  /** What is consumed now, sorted. */
  readonly assignment: readonly TopicPartition[];
  /** -1 while not a member. */
  readonly generationId: number;
  /** Empty while not a member. */
  readonly memberId: string;
  /** Joins, and goes on by itself until {@link GroupMembership.leave}. */
  start(): void;
  /**
   * Resolves when stored. Retries what may pass, also over a rebalance after which the partitions are still this member's.
   * Rejects with ILLEGAL_GENERATION or UNKNOWN_MEMBER where they are not.
   */
  commit(offsets: readonly OffsetToCommit[]): Promise<void>;
  /** In the order asked. */
  committed(partitions: readonly TopicPartition[]): Promise<readonly CommittedOffset[]>;
  /** Out of the group until {@link GroupMembership.resume}: `onLost` for all. For consumers that stopped reading. */
  suspend(reason: string): void;
  resume(): void;
  /** `onRevoked` for all, then leaves (static members stay, until their session times out). Idempotent; never rejects. */
  leave(): Promise<void>;
}
