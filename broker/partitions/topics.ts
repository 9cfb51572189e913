/**
 * The topics of this node: carries out what the definitions in the coordinator say. A definition that appears gets its
 * partitions' logs, one that is removed loses them; a change is answered when both are done.
 *
 * The definition comes first, so a crash between the two heals at the next start: missing logs are made, and those of a
 * topic with a tombstone are removed. Logs carry their topic's id; so a topic created again under an old name never shows
 * old records. All work on one name happens in order.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { checkTopicName, topicCollisionKey } from '../../src/names.ts';
import type { Coordinator } from '../coordinator/coordinator.ts';
import { checkTopicConfigs, resolveTopicConfig, type TopicConfig } from '../definitions/topic-configs.ts';
import type { PartitionAssignment, TopicDefinition } from '../definitions/topic-definition.ts';
import { type TopicEvent, TopicStore } from '../definitions/topics.ts';
import { logKey } from '../log/file-names.ts';
import type { LogManager } from '../log/log-manager.ts';
import type { Clock } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { Random } from '../ports/random.ts';
import { storageError } from '../ports/storage-error.ts';
import type { TopicSpecification } from './broker-service.ts';
import { NodeTopic } from './node-topic.ts';
import { Partition, unknownPartition } from './partition.ts';

export interface TopicsOptions {
  readonly coordinator: Coordinator;
  readonly logs: LogManager;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly nodeId: number;
  /** Topic configs of this broker, for what a topic does not set. */
  readonly configDefaults: ReadonlyMap<string, string>;
  readonly defaultPartitions: number;
  readonly defaultReplicationFactor: number;
  /** Partitions on this node. */
  readonly partitionsMax: number;
  /** No topic may allow larger batches: journal and memory have no room for them. */
  readonly batchBytesCeiling: number;
  /** Readers of a partition may see more, or must be told of something else. */
  readonly onAdvance: (partition: Partition) => void;
  /** A topic is deleted; until this resolves, none of its name is served again. */
  readonly onRemoved?: (name: string) => Promise<void>;
  /** The definitions are no longer followed, and cannot be changed. */
  readonly onFailure: (error: BurrowError) => void;
}

/** Logs of one topic that are created at the same time. */
const CREATIONS_AT_ONCE = 16;

interface ValidateOnly {
  readonly validateOnly: boolean;
}

export class Topics {
  readonly #options: TopicsOptions;
  #store!: TopicStore;
  /** What is served, by name: complete topics only. */
  readonly #topics = new Map<string, NodeTopic>();
  /** The latest work on a name; settles when all work on it is done. Never rejects. */
  readonly #work = new Map<string, Promise<void>>();
  /** Why the latest work on a name failed. */
  readonly #failures = new Map<string, BurrowError>();
  /** Names that exist or are being created, by what must not be shared (see `topicCollisionKey`). */
  readonly #names = new Map<string, string>();
  /** Of all definitions, and of those that are being created. */
  #partitionsCount = 0;

  static async open(options: TopicsOptions): Promise<Topics> {
    const topics = new Topics(options);
    const { coordinator, clock, random, logger, onFailure } = options;
    topics.#store = await TopicStore.open({
      coordinator,
      clock,
      random,
      logger,
      onEvent: (event) => topics.#onEvent(event),
      onFailure,
      partitionsMax: options.partitionsMax,
    });
    await topics.#removeDeleted();
    for (const definition of topics.#store.all()) {
      topics.#names.set(topicCollisionKey(definition.name), definition.name);
      topics.#partitionsCount += definition.partitions.length;
      await topics.#apply(definition);
    }
    topics.#warnOfUnknownLogs();
    return topics;
  }

  private constructor(options: TopicsOptions) {
    this.#options = options;
  }

  names(): string[] {
    return [...this.#topics.keys()].sort();
  }

  get(name: string): NodeTopic | undefined {
    return this.#topics.get(name);
  }

  getById(topicId: Buffer): NodeTopic | undefined {
    const definition = this.#store.getById(topicId);
    const topic = definition && this.#topics.get(definition.name);
    return topic?.definition.topicId.equals(topicId) ? topic : undefined;
  }

  /** @throws BurrowError UNKNOWN_TOPIC_OR_PARTITION */
  require(name: string): NodeTopic {
    const topic = this.#topics.get(name);
    if (topic !== undefined) return topic;
    throw new BurrowError('UNKNOWN_TOPIC_OR_PARTITION', `There is no topic ${JSON.stringify(name)}.`, {
      fields: { topic: name },
    });
  }

  /** @throws BurrowError UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER if it is on other nodes only */
  partition(name: string, partition: number): Partition {
    const topic = this.#topics.get(name);
    const found = topic?.partitions[partition];
    if (found !== undefined) return found;
    if (topic?.definition.partitions[partition] === undefined) throw unknownPartition(name, partition);
    throw new BurrowError('NOT_LEADER', `Partition ${partition} of topic ${name} is not on this broker.`);
  }

  /** @throws BurrowError INVALID_NAME, ALREADY_EXISTS, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR, INVALID_CONFIG */
  async create(specification: TopicSpecification, { validateOnly }: ValidateOnly): Promise<NodeTopic> {
    const { name, configs } = specification;
    const { defaultPartitions, defaultReplicationFactor } = this.#options;
    checkTopicName(name);
    const count = specification.partitions === -1 ? defaultPartitions : specification.partitions;
    const factor = specification.replicationFactor === -1 ? defaultReplicationFactor : specification.replicationFactor;
    if (this.#names.get(topicCollisionKey(name)) === name) throw alreadyExists(name);
    this.#checkCollision(name);
    this.#checkReplicationFactor(factor);
    this.#checkPartitionsCount(count);
    this.#checkConfig(configs);

    const release = this.#reserve(name, count);
    try {
      const partitions = Array.from({ length: count }, () => this.#newAssignment());
      const definition = await this.#store.create({ name, partitions, configs }, { validateOnly });
      if (validateOnly) return new NodeTopic(definition, this.#resolve(definition), []);
    } finally {
      release();
    }
    await this.#work.get(name);
    const failure = this.#failures.get(name);
    if (failure !== undefined) {
      // Better no topic than half of one; if even that fails, the next start completes it.
      await this.#store.delete(name).catch(() => {});
      throw failure;
    }
    return this.require(name);
  }

  /** Resolves when the topic cannot come back, and its files are out of the way. */
  async delete(name: string): Promise<void> {
    await this.#store.delete(name);
    await this.#work.get(name);
  }

  async createPartitions(name: string, total: number, options: ValidateOnly): Promise<void> {
    const current = this.require(name).definition.partitions.length;
    if (total <= current) {
      throw new BurrowError(
        'INVALID_PARTITIONS',
        `Topic ${name} has ${current} partitions; the number can only grow, and ${total} is not more.`,
      );
    }
    const added = total - current;
    this.#checkPartitionsCount(added);
    this.#partitionsCount += added;
    try {
      await this.#store.setPartitions(
        name,
        ({ partitions }) => [
          ...partitions,
          ...Array.from({ length: Math.max(0, total - partitions.length) }, () => this.#newAssignment()),
        ],
        options,
      );
    } finally {
      // Counted from here on by the event, if it was done.
      this.#partitionsCount -= added;
    }
    if (!options.validateOnly) await this.#workDone(name);
  }

  async alterConfigs(
    name: string,
    changes: ReadonlyMap<string, string | undefined>,
    options: ValidateOnly,
  ): Promise<void> {
    const size = changes.get('max.message.bytes');
    if (size !== undefined) this.#checkConfig(new Map([['max.message.bytes', size]]));
    await this.#store.alterConfigs(name, changes, options);
    if (!options.validateOnly) await this.#workDone(name);
  }

  /** Nobody is served any more; the logs stay for their manager to close. Work that was begun is finished. */
  async close(): Promise<void> {
    this.#store.close();
    const reason = new BurrowError('SHUTTING_DOWN');
    for (const topic of this.#topics.values()) for (const partition of topic.partitions) partition?.close(reason);
    await Promise.all(this.#work.values());
  }

  async #workDone(name: string): Promise<void> {
    await this.#work.get(name);
    const failure = this.#failures.get(name);
    if (failure !== undefined) throw failure;
  }

  // Checks

  #checkCollision(name: string): void {
    const other = this.#names.get(topicCollisionKey(name));
    if (other === undefined) return;
    throw new BurrowError(
      'INVALID_NAME',
      `Topic name "${name}" collides with the existing topic "${other}": "." and "_" are the same in metric names.`,
      { fields: { topic: name, other } },
    );
  }

  #checkReplicationFactor(factor: number): void {
    // Replicas are placed on this node only, until there is replication.
    if (factor === 1) return;
    throw new BurrowError(
      'INVALID_REPLICATION_FACTOR',
      `The replication factor is ${factor}, but the cluster has 1 broker.`,
    );
  }

  #checkPartitionsCount(added: number): void {
    const { partitionsMax } = this.#options;
    if (!Number.isSafeInteger(added) || added < 1) {
      throw new BurrowError('INVALID_PARTITIONS', `A topic needs at least one partition, not ${added}.`);
    }
    if (this.#partitionsCount + added <= partitionsMax) return;
    throw new BurrowError(
      'INVALID_PARTITIONS',
      `This broker has ${this.#partitionsCount} of at most ${partitionsMax} partitions (partitions-max); ${added} more are too many.`,
      { fields: { partitionsMax } },
    );
  }

  #checkConfig(configs: ReadonlyMap<string, string>): void {
    const { batchBytesCeiling } = this.#options;
    const { batchBytesMax } = resolveTopicConfig(checkTopicConfigs(configs));
    if (!configs.has('max.message.bytes') || batchBytesMax <= batchBytesCeiling) return;
    throw new BurrowError(
      'INVALID_CONFIG',
      `max.message.bytes is ${batchBytesMax}, but this broker has room for batches of ${batchBytesCeiling} bytes only (journal-bytes, unwritten-bytes-max).`,
    );
  }

  /** Keeps name and room until the definition is there or has failed. */
  #reserve(name: string, partitions: number): () => void {
    const key = topicCollisionKey(name);
    this.#names.set(key, name);
    this.#partitionsCount += partitions;
    return () => {
      this.#partitionsCount -= partitions;
      if (this.#store.get(name) === undefined) this.#names.delete(key);
    };
  }

  #newAssignment(): PartitionAssignment {
    const { nodeId } = this.#options;
    return { replicas: [nodeId], leader: nodeId, leaderEpoch: 0 };
  }

  // What definitions say is done

  #onEvent(event: TopicEvent): void {
    const { topic } = event;
    const { name } = topic;
    if (event.kind === 'set') {
      this.#names.set(topicCollisionKey(name), name);
      this.#partitionsCount += topic.partitions.length - (event.previous?.partitions.length ?? 0);
      this.#enqueue(name, () => this.#apply(topic));
      return;
    }
    this.#names.delete(topicCollisionKey(name));
    this.#partitionsCount -= topic.partitions.length;
    const served = this.#topics.get(name);
    this.#topics.delete(name);
    // Readers that wait are told at once.
    for (const partition of served?.partitions ?? []) partition?.close(unknownPartition(name, partition.partition));
    this.#enqueue(name, () => this.#removeLogs(topic));
  }

  #enqueue(name: string, work: () => Promise<void>): void {
    const done: Promise<void> = (this.#work.get(name) ?? Promise.resolve())
      .then(work)
      .then(
        () => void this.#failures.delete(name),
        (error: unknown) => {
          const failure = storageError(`Topic ${name} could not be changed`, error);
          this.#failures.set(name, failure);
          this.#options.logger.error({ topic: name, error: failure.message }, 'a topic could not be changed');
        },
      )
      .then(() => {
        if (this.#work.get(name) === done) this.#work.delete(name);
      });
    this.#work.set(name, done);
  }

  /** Opens or creates what the definition assigns to this node, and serves it. */
  async #apply(definition: TopicDefinition): Promise<void> {
    const { name, topicId } = definition;
    // Deleted in the meantime.
    if (this.#store.get(name)?.topicId.equals(topicId) !== true) return;
    const config = this.#resolve(definition);
    const served = this.#topics.get(name);
    const partitions: Array<Partition | undefined> = [...(served?.partitions ?? [])];
    for (let start = 0; start < definition.partitions.length; start += CREATIONS_AT_ONCE) {
      const end = Math.min(definition.partitions.length, start + CREATIONS_AT_ONCE);
      const numbers = Array.from({ length: end - start }, (_, index) => start + index);
      await Promise.all(
        numbers.map(async (number) => {
          const assignment = definition.partitions[number]!;
          const existing = partitions[number];
          if (existing === undefined) {
            partitions[number] = await this.#openPartition(definition, number, assignment, config);
            return;
          }
          existing.reconfigure(config);
          existing.assign(assignment);
        }),
      );
    }
    if (this.#store.get(name)?.topicId.equals(topicId) !== true) return;
    this.#topics.set(name, new NodeTopic(definition, config, partitions));
  }

  async #openPartition(
    { name, topicId }: TopicDefinition,
    number: number,
    assignment: PartitionAssignment,
    config: TopicConfig,
  ): Promise<Partition | undefined> {
    const { logs, nodeId, onAdvance } = this.#options;
    if (!assignment.replicas.includes(nodeId)) return undefined;
    const { leaderEpoch } = assignment;
    const log = await logs.create({ topic: name, topicId, partition: number, config, leaderEpoch });
    const partition = new Partition({ log, nodeId, assignment, config });
    partition.onAdvance = onAdvance;
    return partition;
  }

  async #removeLogs({ name, topicId, partitions }: TopicDefinition): Promise<void> {
    const { logs } = this.#options;
    for (let number = 0; number < partitions.length; number++) {
      const log = logs.logs().get(logKey(name, number));
      if (log?.topicId.equals(topicId)) await logs.delete(log);
    }
    await this.#options.onRemoved?.(name);
    await this.#store.forgetDeleted(topicId);
  }

  /** What a crash left of deleted topics. */
  async #removeDeleted(): Promise<void> {
    const { logs, logger } = this.#options;
    const deleted = new Map((await this.#store.deleted()).map((topic) => [topic.topicId.toString('hex'), topic]));
    if (deleted.size === 0) return;
    for (const log of [...logs.logs().values()]) {
      if (!deleted.has(log.topicId.toString('hex'))) continue;
      logger.info({ log: log.key }, 'removing the log of a topic whose deletion was cut short');
      await logs.delete(log);
    }
    for (const { topicId } of deleted.values()) await this.#store.forgetDeleted(topicId);
  }

  /** Kept: that a definition is missing proves nothing. */
  #warnOfUnknownLogs(): void {
    for (const log of this.#options.logs.logs().values()) {
      if (this.#topics.get(log.topic)?.definition.topicId.equals(log.topicId)) continue;
      this.#options.logger.warn({ log: log.key, folder: log.folder }, 'a log belongs to no topic; it is kept, unused');
    }
  }

  #resolve({ configs }: TopicDefinition): TopicConfig {
    const { configDefaults, batchBytesCeiling } = this.#options;
    const config = resolveTopicConfig(configs, configDefaults);
    return { ...config, batchBytesMax: Math.min(config.batchBytesMax, batchBytesCeiling) };
  }
}

function alreadyExists(name: string): BurrowError {
  return new BurrowError('ALREADY_EXISTS', `Topic ${name} exists already.`, { fields: { topic: name } });
}
