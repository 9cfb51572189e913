/**
 * Administration: topics, their configuration, partitions, offsets, consumer groups. Reads are repeated while they fail with errors that may pass;
 * changes only where it is certain that the failed attempt changed nothing.
 */
import { BurrowError } from '../src/errors/burrow-error.ts';
import type { ErrorName } from '../src/errors/table.ts';
import type { Cluster } from './cluster.ts';
import type { Connection } from './connection.ts';
import {
  GroupAdmin,
  type GroupDescription,
  type GroupListing,
  type OffsetReset,
  type ResetOptions,
} from './groups/group-admin.ts';
import { type TopicMetadata, unknownTopic } from './metadata.ts';
import { checkNonNegativeInteger, checkTopicName } from './options.ts';
import {
  alterConfigsRequest,
  type ConfigEntry,
  createPartitionsRequest,
  createTopicsRequest,
  deleteRecordsRequest,
  deleteTopicsRequest,
  describeConfigsRequest,
  EARLIEST_TIMESTAMP,
  LATEST_TIMESTAMP,
  listOffsetRequest,
  metadataRequest,
  type PartitionStatus,
  partitionStatusRequest,
} from './requests.ts';
import type { TopicPartition } from './topic-partition.ts';

export interface NewTopic {
  /** 1 to 249 of the characters a-z A-Z 0-9 . _ - */
  readonly name: string;
  /** Default: the broker's num.partitions. */
  readonly partitions?: number | undefined;
  /** Default: the broker's default.replication.factor. */
  readonly replicationFactor?: number | undefined;
  /** Such as `{ 'retention.ms': 3600000, 'cleanup.policy': 'compact' }`. */
  readonly configs?: Readonly<Record<string, string | number | boolean>> | undefined;
}

export interface AdminOptions {
  /** How long to keep trying, in milliseconds. Default: the client's requestTimeoutMs. */
  timeoutMs?: number;
}

export interface ChangeOptions extends AdminOptions {
  /** Checks the request and changes nothing. Default false. */
  validateOnly?: boolean;
}

export interface PartitionOffset {
  readonly partition: number;
  /** -1 if no record has the time asked for, or a later one. */
  readonly offset: number;
  readonly timestampMs: number;
}

/** Codes after which the request was certainly not carried out. */
const NOT_DONE: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'CONNECTION_FAILED',
  'NOT_LEADER',
  'LEADER_NOT_AVAILABLE',
  'COORDINATOR_NOT_AVAILABLE',
]);

/** Use `client.admin()`. */
export class Admin {
  readonly #cluster: Cluster;
  readonly #groups: GroupAdmin;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#groups = new GroupAdmin(cluster);
  }

  /** Creates a topic. Rejects with ALREADY_EXISTS, INVALID_NAME, INVALID_PARTITIONS, INVALID_CONFIG. */
  createTopic(topic: NewTopic, options: ChangeOptions = {}): Promise<void> {
    return this.createTopics([topic], options);
  }

  /** Creates topics, each on its own: rejects with the first error, after all have been tried. */
  async createTopics(topics: readonly NewTopic[], options: ChangeOptions = {}): Promise<void> {
    for (const { name, partitions, replicationFactor } of topics) {
      checkTopicName(name);
      if (partitions !== undefined) checkNonNegativeInteger('partitions', partitions);
      if (replicationFactor !== undefined) checkNonNegativeInteger('replicationFactor', replicationFactor);
    }
    const request = {
      validateOnly: options.validateOnly === true,
      topics: topics.map(({ name, partitions, replicationFactor, configs }) => ({
        name,
        partitions: partitions ?? -1,
        replicationFactor: replicationFactor ?? -1,
        configs: Object.entries(configs ?? {}).map(([key, value]) => ({ key, value: String(value) })),
      })),
    };
    await this.#change(options, (connection, timeoutMs) => createTopicsRequest(connection, request, timeoutMs));
    for (const { name } of topics) this.#cluster.metadata.forget(name);
  }

  /** Names of all topics, sorted; among them the brokers' own ({@link TopicMetadata.internal}). */
  async listTopics(options: AdminOptions = {}): Promise<string[]> {
    const { topics } = await this.#read(options, (connection, timeoutMs) =>
      metadataRequest(connection, { topics: undefined, autoCreate: false }, timeoutMs),
    );
    return [...topics.keys()].sort();
  }

  /** Partitions, leaders and replicas of a topic. Rejects with UNKNOWN_TOPIC_OR_PARTITION. */
  async describeTopic(name: string, options: AdminOptions = {}): Promise<TopicMetadata> {
    const [topic] = await this.describeTopics([name], options);
    return topic!;
  }

  /** In the order asked for. Rejects if one does not exist. */
  async describeTopics(names: readonly string[], options: AdminOptions = {}): Promise<TopicMetadata[]> {
    for (const name of names) checkTopicName(name);
    const metadata = await this.#read(options, (connection, timeoutMs) =>
      metadataRequest(connection, { topics: names, autoCreate: false }, timeoutMs),
    );
    return names.map((name) => {
      const topic = metadata.topics.get(name) ?? unknownTopic(name);
      if (topic instanceof BurrowError) throw topic;
      return topic;
    });
  }

  /** Every configuration key of a topic with its value, default or not. */
  describeTopicConfigs(name: string, options: AdminOptions = {}): Promise<readonly ConfigEntry[]> {
    checkTopicName(name);
    return this.#read(options, (connection, timeoutMs) => describeConfigsRequest(connection, name, timeoutMs));
  }

  /** Changes some keys of a topic's configuration; `null` goes back to the default. Rejects with INVALID_CONFIG. */
  async alterTopicConfigs(
    name: string,
    changes: Readonly<Record<string, string | number | boolean | null | undefined>>,
    options: ChangeOptions = {},
  ): Promise<void> {
    checkTopicName(name);
    const entries = Object.entries(changes).map(([key, value]) => ({
      key,
      value: value == null ? null : String(value),
    }));
    const request = { topics: [{ name, changes: entries }], validateOnly: options.validateOnly === true };
    await this.#change(options, (connection, timeoutMs) => alterConfigsRequest(connection, request, timeoutMs));
  }

  deleteTopic(name: string, options: AdminOptions = {}): Promise<void> {
    return this.deleteTopics([name], options);
  }

  /** Deletes topics with all their records. Rejects with UNKNOWN_TOPIC_OR_PARTITION if one does not exist. */
  async deleteTopics(names: readonly string[], options: AdminOptions = {}): Promise<void> {
    for (const name of names) checkTopicName(name);
    await this.#change(options, (connection, timeoutMs) => deleteTopicsRequest(connection, names, timeoutMs));
    for (const name of names) this.#cluster.metadata.forget(name);
  }

  /** Raises the number of a topic's partitions to `total`. Records with keys go to other partitions from then on. */
  async createPartitions(name: string, total: number, options: ChangeOptions = {}): Promise<void> {
    checkTopicName(name);
    checkNonNegativeInteger('total', total);
    const request = { topics: [{ name, total }], validateOnly: options.validateOnly === true };
    await this.#change(options, (connection, timeoutMs) => createPartitionsRequest(connection, request, timeoutMs));
    await this.#cluster.metadata.refresh(name).catch(ignore);
  }

  /** Removes all records below `offset` (`'end'`: all there are). Resolves with the new first offset. */
  deleteRecords(topic: string, partition: number, offset: number | 'end', options: AdminOptions = {}): Promise<number> {
    checkTopicName(topic);
    checkNonNegativeInteger('partition', partition);
    if (offset !== 'end') checkNonNegativeInteger('offset', offset);
    // Removing what is removed already changes nothing: this may be repeated.
    const asked = { topic, partition, offset: offset === 'end' ? -1 : offset };
    return this.#atLeader(topic, partition, options, (connection, timeoutMs) =>
      deleteRecordsRequest(connection, asked, timeoutMs),
    );
  }

  /** For each partition of a topic: its first offset, the one behind its last record, or the first of this time or later. */
  async offsets(
    topic: string,
    at: 'earliest' | 'latest' | { readonly timestampMs: number },
    options: AdminOptions = {},
  ): Promise<PartitionOffset[]> {
    const timestampMs = at === 'earliest' ? EARLIEST_TIMESTAMP : at === 'latest' ? LATEST_TIMESTAMP : at.timestampMs;
    const { partitions } = await this.describeTopic(topic, options);
    return Promise.all(
      partitions.map(({ partition }) =>
        this.#atLeader(topic, partition, options, async (connection, timeoutMs) => {
          const asked = { topic, partition, timestampMs, currentLeaderEpoch: -1 };
          const found = await listOffsetRequest(connection, asked, 'read_uncommitted', timeoutMs);
          return { partition, offset: found.offset, timestampMs: found.timestampMs };
        }),
      ),
    );
  }

  /** Offsets, bytes, segments and health of each partition of a topic. */
  partitionStatus(topic: string, options: AdminOptions = {}): Promise<readonly PartitionStatus[]> {
    checkTopicName(topic);
    return this.#read(options, (connection, timeoutMs) => partitionStatusRequest(connection, topic, timeoutMs));
  }

  /** All consumer groups, by id. */
  listGroups(options: AdminOptions = {}): Promise<GroupListing[]> {
    return this.#groups.list(this.#timeoutMs(options));
  }

  /** State, members and how far a group has come in each partition. Rejects with GROUP_ID_NOT_FOUND. */
  async describeGroup(groupId: string, options: AdminOptions = {}): Promise<GroupDescription> {
    return this.#groups.describe(groupId, this.#timeoutMs(options));
  }

  /** In the order asked for. Rejects if one does not exist. */
  describeGroups(groupIds: readonly string[], options: AdminOptions = {}): Promise<GroupDescription[]> {
    return Promise.all(groupIds.map((groupId) => this.describeGroup(groupId, options)));
  }

  deleteGroup(groupId: string, options: AdminOptions = {}): Promise<void> {
    return this.deleteGroups([groupId], options);
  }

  /** Deletes groups with their offsets, each on its own. Rejects with NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND, after all have been tried. */
  async deleteGroups(groupIds: readonly string[], options: AdminOptions = {}): Promise<void> {
    await this.#groups.delete(groupIds, this.#timeoutMs(options));
  }

  /** Makes a group forget offsets. Rejects with GROUP_SUBSCRIBED_TO_TOPIC while members consume the topic, GROUP_ID_NOT_FOUND. */
  async deleteOffsets(
    groupId: string,
    partitions: readonly TopicPartition[],
    options: AdminOptions = {},
  ): Promise<void> {
    await this.#groups.deleteOffsets(groupId, partitions, this.#timeoutMs(options));
  }

  /**
   * Moves a group to other offsets, and tells where. Rejects with NON_EMPTY_GROUP while it has members, GROUP_ID_NOT_FOUND if
   * neither partitions are given nor offsets committed, UNKNOWN_TOPIC_OR_PARTITION; then nothing was moved.
   */
  async resetOffsets(groupId: string, reset: ResetOptions, options: AdminOptions = {}): Promise<OffsetReset[]> {
    return this.#groups.resetOffsets(groupId, reset, this.#timeoutMs(options));
  }

  #timeoutMs(options: AdminOptions): number {
    return options.timeoutMs ?? this.#cluster.options.requestTimeoutMs;
  }

  #read<T>(options: AdminOptions, request: (connection: Connection, timeoutMs: number) => Promise<T>): Promise<T> {
    const timeoutMs = this.#timeoutMs(options);
    return this.#cluster.retrying(timeoutMs, () => request(this.#cluster.any(), timeoutMs));
  }

  #change<T>(options: AdminOptions, request: (connection: Connection, timeoutMs: number) => Promise<T>): Promise<T> {
    const timeoutMs = this.#timeoutMs(options);
    return this.#cluster.retrying(
      timeoutMs,
      () => request(this.#cluster.controller(), timeoutMs),
      (error) => NOT_DONE.has(error.code),
    );
  }

  async #atLeader<T>(
    topic: string,
    partition: number,
    options: AdminOptions,
    request: (connection: Connection, timeoutMs: number) => Promise<T>,
  ): Promise<T> {
    const timeoutMs = this.#timeoutMs(options);
    return this.#cluster.retrying(timeoutMs, async () => {
      if (this.#cluster.leaderOf(topic, partition) === undefined) await this.#cluster.metadata.refresh(topic);
      const leader = this.#cluster.leaderOf(topic, partition);
      try {
        return await request(leader === undefined ? this.#cluster.any() : this.#cluster.node(leader), timeoutMs);
      } catch (error) {
        this.#cluster.metadata.forget(topic);
        throw error;
      }
    });
  }
}

function ignore(): void {}
