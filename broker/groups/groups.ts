/**
 * The group coordinator of this node: finds the part that keeps a group, and checks what clients name. Groups are spread
 * over the partitions of `__consumer_offsets` by the hash of their id, as in Kafka; what happens inside one is the matter of
 * group-shard.ts. The topic is created when the first group needs it.
 */
import { BurrowError, isBurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import type { BrokerSettings } from '../options.ts';
import { DeadlineQueue } from '../partitions/deadline-queue.ts';
import type { DiskSpace } from '../partitions/disk-space.ts';
import type { Topics } from '../partitions/topics.ts';
import type { Clock, Timer } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { Random } from '../ports/random.ts';
import { failedJoin } from './classic-group-state.ts';
import { checkedJoin, checkGroupId, GroupBudget } from './group-limits.ts';
import type {
  CommitOffsetsRequest,
  CommittedOffset,
  GroupDescription,
  GroupListing,
  GroupService,
  JoinGroupOutcome,
  JoinGroupRequest,
  LeaveGroupRequest,
  LeftMember,
  MemberIdentity,
  PartitionResult,
  SyncGroupOutcome,
  SyncGroupRequest,
} from './group-service.ts';
import { GroupShard } from './group-shard.ts';
import { OffsetsLog } from './offsets-log.ts';

const OFFSETS_TOPIC = '__consumer_offsets';

export interface GroupsOptions {
  readonly topics: Topics;
  readonly diskSpace: DiskSpace;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly settings: BrokerSettings;
}

export class Groups implements GroupService {
  readonly #options: GroupsOptions;
  readonly #budget: GroupBudget;
  readonly #deadlines: DeadlineQueue;
  /** By partition of the offsets topic; undefined until it exists. */
  #shards: readonly GroupShard[] | undefined;
  #creating: Promise<readonly GroupShard[]> | undefined;
  /** Settles when all that was there at the start is loaded. */
  #loading: Promise<void> = Promise.resolve();
  #expiryTimer: Timer | undefined;
  #closed = false;

  /** Groups that are there already are loaded from here on; until then they answer COORDINATOR_LOADING. */
  constructor(options: GroupsOptions) {
    this.#options = options;
    this.#budget = new GroupBudget(options.settings);
    this.#deadlines = new DeadlineQueue(options.clock);
    if (options.topics.get(OFFSETS_TOPIC) !== undefined) this.#openShards();
    this.#scheduleExpiry();
  }

  /** Settles when everything that was there at the start is loaded. */
  get loaded(): Promise<void> {
    return this.#loading;
  }

  async coordinatorOf(groupId: string): Promise<number> {
    checkGroupId(groupId);
    const shards = await this.#ensureShards();
    const { leader } =
      this.#options.topics.require(OFFSETS_TOPIC).definition.partitions[shardOf(groupId, shards.length)]!;
    if (leader !== -1) return leader;
    throw new BurrowError('COORDINATOR_NOT_AVAILABLE');
  }

  async join(request: JoinGroupRequest): Promise<JoinGroupOutcome> {
    try {
      const checked = checkedJoin(request, this.#options.settings);
      return await (await this.#shardFor(request.groupId)).join(checked);
    } catch (error) {
      return failedJoin(request.memberId, toBurrowError(error));
    }
  }

  async sync(request: SyncGroupRequest): Promise<SyncGroupOutcome> {
    checkGroupId(request.groupId);
    return (await this.#shardFor(request.groupId)).sync(request);
  }

  heartbeat(member: MemberIdentity): void {
    const shard = this.#existingShard(member.groupId);
    if (shard === undefined) throw new BurrowError('UNKNOWN_MEMBER');
    shard.heartbeat(member);
  }

  async leave(request: LeaveGroupRequest): Promise<readonly LeftMember[]> {
    checkGroupId(request.groupId);
    return (await this.#shardFor(request.groupId)).leave(request);
  }

  async commitOffsets(request: CommitOffsetsRequest): Promise<readonly PartitionResult[]> {
    const shard = this.#existingShard(request.groupId) ?? (await this.#shardFor(request.groupId));
    return shard.commitOffsets(request);
  }

  fetchOffsets(
    groupId: string,
    partitions: ReadonlyArray<{ readonly topic: string; readonly partition: number }> | undefined,
  ): readonly CommittedOffset[] {
    const shard = this.#existingShard(groupId);
    if (shard !== undefined) return shard.fetchOffsets(groupId, partitions);
    return (partitions ?? []).map(({ topic, partition }) => ({
      topic,
      partition,
      offset: -1,
      leaderEpoch: -1,
      metadata: '',
    }));
  }

  async deleteOffsets(
    groupId: string,
    partitions: ReadonlyArray<{ readonly topic: string; readonly partition: number }>,
  ): Promise<readonly PartitionResult[]> {
    const shard = this.#existingShard(groupId);
    if (shard === undefined) throw new BurrowError('GROUP_ID_NOT_FOUND');
    return shard.deleteOffsets(groupId, partitions);
  }

  listGroups(): readonly GroupListing[] {
    this.#checkOpen();
    const groups = (this.#shards ?? []).flatMap((shard) => shard.list());
    return groups.sort((left, right) => (left.groupId < right.groupId ? -1 : 1));
  }

  describeGroup(groupId: string): GroupDescription {
    const found = this.#existingShard(groupId)?.describe(groupId);
    if (found !== undefined) return found;
    return {
      groupId,
      state: 'Dead',
      protocolType: '',
      protocolName: '',
      generationId: -1,
      leader: undefined,
      members: [],
    };
  }

  async deleteGroup(groupId: string): Promise<void> {
    const shard = this.#existingShard(groupId);
    if (shard === undefined) throw new BurrowError('GROUP_ID_NOT_FOUND');
    await shard.deleteGroup(groupId);
  }

  /** The offsets of a deleted topic go with it. Resolves when a topic of the same name may be created. */
  async onTopicRemoved(topic: string): Promise<void> {
    await this.#loading;
    await Promise.all((this.#shards ?? []).map((shard) => shard.onTopicRemoved(topic)));
  }

  /** Tells whoever waits and takes no more. What was taken is in the log, which somebody else closes. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#expiryTimer?.cancel();
    for (const shard of this.#shards ?? []) shard.close();
    this.#deadlines.close();
    await this.#loading;
  }

  // The offsets topic

  /** @throws BurrowError INVALID_GROUP_ID, NOT_COORDINATOR. Undefined while there is no topic, hence no group. */
  #existingShard(groupId: string): GroupShard | undefined {
    checkGroupId(groupId);
    this.#checkOpen();
    return this.#shards?.[shardOf(groupId, this.#shards.length)];
  }

  async #shardFor(groupId: string): Promise<GroupShard> {
    const shards = this.#shards ?? (await this.#ensureShards());
    this.#checkOpen();
    return shards[shardOf(groupId, shards.length)]!;
  }

  async #ensureShards(): Promise<readonly GroupShard[]> {
    this.#checkOpen();
    if (this.#shards !== undefined) return this.#shards;
    this.#creating ??= this.#createTopic().finally(() => {
      this.#creating = undefined;
    });
    return this.#creating;
  }

  async #createTopic(): Promise<readonly GroupShard[]> {
    const { topics, settings, diskSpace, logger } = this.#options;
    const specification = {
      name: OFFSETS_TOPIC,
      partitions: settings.offsetsTopicPartitions,
      replicationFactor: -1,
      configs: new Map([
        ['cleanup.policy', 'compact'],
        // Small, so that what is superseded can be compacted and a start reads little (Kafka's offsets.topic.segment.bytes).
        ['segment.bytes', String(settings.offsetsTopicSegmentBytes)],
        ['max.message.bytes', String(settings.maxMessageBytes)],
      ]),
    };
    try {
      if (diskSpace.full !== undefined) throw diskSpace.full;
      await topics.create(specification, { validateOnly: false });
    } catch (error) {
      if (!isBurrowError(error, 'ALREADY_EXISTS') || topics.get(OFFSETS_TOPIC) === undefined) {
        const { message, code } = toBurrowError(error);
        logger.error({ error: message, code }, 'the offsets topic cannot be created');
        throw new BurrowError('COORDINATOR_NOT_AVAILABLE', `Topic ${OFFSETS_TOPIC} cannot be created: ${message}`, {
          cause: error,
          fields: { reason: code },
        });
      }
    }
    this.#checkOpen();
    this.#openShards();
    // There is nothing in them.
    await this.#loading;
    return this.#shards!;
  }

  #openShards(): void {
    const { topics, clock, logger, settings, diskSpace } = this.#options;
    const { definition } = topics.require(OFFSETS_TOPIC);
    if (definition.partitions.length !== settings.offsetsTopicPartitions) {
      logger.info(
        { partitions: definition.partitions.length, option: settings.offsetsTopicPartitions },
        'the offsets topic keeps the number of partitions that it was created with',
      );
    }
    this.#shards = definition.partitions.map((_, number) => {
      const partition = topics.partition(OFFSETS_TOPIC, number);
      return new GroupShard({
        log: new OffsetsLog({ partition, clock, diskSpace }),
        name: `${OFFSETS_TOPIC}-${number}`,
        clock,
        logger,
        deadlines: this.#deadlines,
        diskSpace,
        limits: settings,
        budget: this.#budget,
        newMemberId: (request) => this.#newMemberId(request),
        partitionExists: (topic, number) => topics.get(topic)?.definition.partitions[number] !== undefined,
      });
    });
    this.#loading = this.#load(this.#shards);
  }

  /** One after the other: what loading needs besides its result is needed once. */
  async #load(shards: readonly GroupShard[]): Promise<void> {
    for (const shard of shards) await shard.load();
  }

  /** As Kafka's: tells people which client it is. Random, since who knows the id of a member can act as it. */
  #newMemberId({ clientId, groupInstanceId }: JoinGroupRequest): string {
    const hex = this.#options.random.bytes(16).toString('hex');
    const uuid = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
    return `${groupInstanceId ?? clientId}-${uuid}`;
  }

  #scheduleExpiry(): void {
    const { clock, settings, logger } = this.#options;
    this.#expiryTimer = clock.schedule(settings.offsetsRetentionCheckIntervalMs, () => {
      this.#expire()
        .catch((error: unknown) => logger.warn({ error: String(error) }, 'expired offsets could not be removed'))
        .finally(() => {
          if (!this.#closed) this.#scheduleExpiry();
        });
    });
  }

  async #expire(): Promise<void> {
    const { offsetsRetentionMs } = this.#options.settings;
    if (offsetsRetentionMs === -1) return;
    for (const shard of this.#shards ?? []) await shard.expire(offsetsRetentionMs);
  }

  #checkOpen(): void {
    if (this.#closed) throw new BurrowError('NOT_COORDINATOR', 'The broker is shutting down.');
  }
}

/** Kafka's: the absolute value of Java's hash of the string, modulo the number of partitions. */
export function shardOf(groupId: string, shards: number): number {
  let hash = 0;
  for (let index = 0; index < groupId.length; index++) hash = (Math.imul(hash, 31) + groupId.charCodeAt(index)) | 0;
  // The one number without a counterpart counts as 0 (Utils.abs).
  return (hash === -0x8000_0000 ? 0 : Math.abs(hash)) % shards;
}
