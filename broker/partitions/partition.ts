/**
 * One partition on this node: its log and its part in the cluster. Decides what the role allows and how far consumers
 * may read; the log itself knows no roles.
 *
 * Where replication will change something: {@link Partition.acknowledged} and `#replicatedOffset`.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { BatchLimits } from '../../src/records/check-batch.ts';
import type { TopicConfig } from '../definitions/topic-configs.ts';
import type { PartitionAssignment } from '../definitions/topic-definition.ts';
import type { Appended, PartitionLog } from '../log/partition-log.ts';
import type { FetchRequest } from './broker-service.ts';

export type PartitionRole =
  /** Takes writes and serves reads. */
  | { readonly kind: 'leader'; readonly leaderEpoch: number }
  /** Copies from another node, or from nobody while there is no leader (-1). */
  | { readonly kind: 'follower'; readonly leaderEpoch: number; readonly leader: number };

export class Partition {
  readonly log: PartitionLog;
  readonly #nodeId: number;
  #assignment: PartitionAssignment;
  #role: PartitionRole;
  #config: TopicConfig;
  #batchLimits: BatchLimits;
  #closed = false;
  /**
   * Settles when everything that was given to {@link inTurn} is done; undefined if nothing is. What comes meanwhile must
   * queue up behind it.
   */
  turn: Promise<void> | undefined;

  /** Called when readers may see more, or must be told of something else: a new role, the end of the partition. */
  onAdvance: ((partition: Partition) => void) | undefined;

  constructor(options: {
    readonly log: PartitionLog;
    readonly nodeId: number;
    readonly assignment: PartitionAssignment;
    readonly config: TopicConfig;
  }) {
    this.log = options.log;
    this.#nodeId = options.nodeId;
    this.#assignment = options.assignment;
    this.#role = roleOf(options.assignment, options.nodeId);
    this.#config = options.config;
    this.#batchLimits = batchLimitsOf(options.config);
    this.log.onAdvance = () => this.#onLogAdvance();
  }

  get topic(): string {
    return this.log.topic;
  }

  get partition(): number {
    return this.log.partition;
  }

  get role(): PartitionRole {
    return this.#role;
  }

  get config(): TopicConfig {
    return this.#config;
  }

  /** What each batch of a producer is held against. */
  get batchLimits(): BatchLimits {
    return this.#batchLimits;
  }

  /** The topic was deleted, or the broker stops. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Nodes that have everything that is acknowledged with acks=all. */
  get inSyncReplicas(): readonly number[] {
    return this.#role.kind === 'leader' ? [this.#nodeId] : [];
  }

  reconfigure(config: TopicConfig): void {
    this.#config = config;
    this.#batchLimits = batchLimitsOf(config);
    this.log.reconfigure(config);
  }

  /** Takes the role that the assignment gives this node. */
  assign(assignment: PartitionAssignment): void {
    if (assignment.leaderEpoch === this.#assignment.leaderEpoch && assignment.leader === this.#assignment.leader) {
      this.#assignment = assignment;
      return;
    }
    this.#assignment = assignment;
    this.#role = roleOf(assignment, this.#nodeId);
    if (this.#role.kind === 'leader') this.log.assignLeaderEpoch(assignment.leaderEpoch);
    this.onAdvance?.(this);
  }

  /** Ends all business with readers and writers; the log is somebody else's to close. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.onAdvance?.(this);
  }

  /**
   * @param currentLeaderEpoch - what the client believes, or -1 (KIP-320)
   * @throws BurrowError UNKNOWN_TOPIC_OR_PARTITION, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, NOT_LEADER
   */
  checkLeader(currentLeaderEpoch: number): void {
    if (this.#closed) throw unknownPartition(this.topic, this.partition);
    const { leaderEpoch } = this.#role;
    if (currentLeaderEpoch >= 0 && currentLeaderEpoch !== leaderEpoch) throw this.#wrongEpoch(currentLeaderEpoch);
    if (this.#role.kind !== 'leader') {
      const { leader } = this.#role;
      throw new BurrowError(
        leader === -1 ? 'LEADER_NOT_AVAILABLE' : 'NOT_LEADER',
        leader === -1 ? `${this.log.key} has no leader at the moment.` : `${this.log.key} is led by node ${leader}.`,
        { fields: { topic: this.topic, partition: this.partition, leader } },
      );
    }
  }

  /** @throws BurrowError NOT_ENOUGH_REPLICAS unless acks=all can be kept */
  checkReplicas(): void {
    const inSync = this.inSyncReplicas.length;
    if (inSync >= this.#config.minInsyncReplicas) return;
    throw new BurrowError(
      'NOT_ENOUGH_REPLICAS',
      `${this.log.key} has ${inSync} replica in sync; min.insync.replicas is ${this.#config.minInsyncReplicas}. Bring replicas back, or lower it.`,
      { fields: { topic: this.topic, partition: this.partition, inSync } },
    );
  }

  /** @throws BurrowError OFFSET_OUT_OF_RANGE unless a reader may stand there. As in Kafka, the end of the log counts. */
  checkOffset(offset: number): void {
    const { logStartOffset, logEndOffset, key } = this.log;
    if (offset >= logStartOffset && offset <= logEndOffset) return;
    throw new BurrowError(
      'OFFSET_OUT_OF_RANGE',
      `Offset ${offset} of ${key} is outside ${logStartOffset} to ${logEndOffset}.`,
      { fields: { topic: this.topic, partition: this.partition, offset, logStartOffset, logEndOffset } },
    );
  }

  /** The offset (exclusive) up to which such a reader may read. */
  endOffset(isolation: FetchRequest['isolation']): number {
    return isolation === 'read_committed' ? this.log.lastStableOffset : this.log.highWatermark;
  }

  /** Gives one checked batch its place in the log. Synchronous: calls take effect in their order. Per batch. */
  append(batch: Buffer, nowMs: number): Appended {
    return this.log.append(batch, { leaderEpoch: this.#role.leaderEpoch, appendTimeMs: nowMs });
  }

  /**
   * Settles when as many nodes have synced the batch as `acks` asks for. A partition of one replica has no difference
   * between one and all.
   */
  acknowledged(appended: Appended, _acks: 1 | -1): Promise<void> {
    return appended.synced;
  }

  /** Runs `work` after everything given to this before, and before all that comes after it. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.turn === undefined ? work() : this.turn.then(work);
    const turn: Promise<void> = result.then(ignore, ignore).then(() => {
      if (this.turn === turn) this.turn = undefined;
    });
    this.turn = turn;
    return result;
  }

  #wrongEpoch(currentLeaderEpoch: number): BurrowError {
    const { leaderEpoch } = this.#role;
    return new BurrowError(
      currentLeaderEpoch < leaderEpoch ? 'FENCED_LEADER_EPOCH' : 'UNKNOWN_LEADER_EPOCH',
      `The client believes in leader epoch ${currentLeaderEpoch} of ${this.log.key}; this broker is at ${leaderEpoch}.`,
      { fields: { topic: this.topic, partition: this.partition, leaderEpoch } },
    );
  }

  #onLogAdvance(): void {
    if (this.#role.kind === 'leader') this.log.advanceHighWatermark(this.#replicatedOffset());
    this.onAdvance?.(this);
  }

  /** End of what all in-sync replicas have synced: the high watermark (R1). With one replica, its own. */
  #replicatedOffset(): number {
    return this.log.syncedOffset;
  }
}

function ignore(): void {}

function roleOf({ leader, leaderEpoch }: PartitionAssignment, nodeId: number): PartitionRole {
  return leader === nodeId ? { kind: 'leader', leaderEpoch } : { kind: 'follower', leaderEpoch, leader };
}

function batchLimitsOf({ batchBytesMax, cleanupPolicy }: TopicConfig): BatchLimits {
  return { batchBytesMax, keysRequired: cleanupPolicy !== 'delete' };
}

export function unknownPartition(topic: string, partition: number): BurrowError {
  return new BurrowError(
    'UNKNOWN_TOPIC_OR_PARTITION',
    `There is no partition ${partition} of topic ${JSON.stringify(topic)} here.`,
    { fields: { topic, partition } },
  );
}
