/**
 * The topics of the cluster: a copy of what the coordinator has, kept up to date, and changes by compare-and-set.
 *
 * A deleted topic leaves a tombstone, `deleted-topics/<id>`, in the same transaction. Only a tombstone allows a broker
 * to remove a partition's files: that a definition is missing proves nothing (it may just not be known yet).
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { checkTopicName } from '../../src/names.ts';
import type { Coordinator, CoordinatorEntry } from '../coordinator/coordinator.ts';
import { CoordinatorMirror } from '../coordinator/mirror.ts';
import type { Clock } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { Random } from '../ports/random.ts';
import { changeTopicConfigs, checkTopicConfigs } from './topic-configs.ts';
import {
  checkAssignments,
  corrupt,
  decodeTopic,
  encodeTopic,
  isCount,
  type PartitionAssignment,
  parseObject,
  type TopicDefinition,
} from './topic-definition.ts';

const TOPICS = 'topics/';
const DELETED_TOPICS = 'deleted-topics/';
/** Of compare-and-set. Others must have changed the same topic as often in the meantime. */
const ATTEMPTS_MAX = 20;
const PARTITIONS_MAX = 10_000;

export type TopicEvent =
  /** Created if `previous` is undefined, else changed. */
  | { readonly kind: 'set'; readonly topic: TopicDefinition; readonly previous: TopicDefinition | undefined }
  | { readonly kind: 'removed'; readonly topic: TopicDefinition };

export interface DeletedTopic {
  readonly name: string;
  readonly topicId: Buffer;
  readonly deletedAtMs: number;
}

export interface TopicStoreOptions {
  readonly coordinator: Coordinator;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  /** Told of every change, once, in order, but not of the topics that are there when the store is opened. */
  readonly onEvent: (event: TopicEvent) => void;
  /** The copy is no longer kept up to date: the coordinator failed, or has a definition that cannot be read. */
  readonly onFailure: (error: BurrowError) => void;
  /** Partitions of one topic. Default 10,000. */
  readonly partitionsMax?: number;
}

export class TopicStore {
  readonly #options: TopicStoreOptions;
  readonly #coordinator: Coordinator;
  readonly #partitionsMax: number;
  readonly #topics = new Map<string, TopicDefinition>();
  readonly #namesById = new Map<string, string>();
  #mirror!: CoordinatorMirror;
  /** Before, what is there is not news. */
  #opened: boolean = false;

  /** Reads all topics and follows changes from there. */
  static async open(options: TopicStoreOptions): Promise<TopicStore> {
    const store = new TopicStore(options);
    const { coordinator, logger, onFailure } = options;
    store.#mirror = await CoordinatorMirror.open({
      coordinator,
      prefix: TOPICS,
      apply: (set, removed) => store.#apply(set, removed),
      onFailure,
      ...(logger === undefined ? {} : { logger }),
    });
    store.#opened = true;
    return store;
  }

  /** @internal Use {@link TopicStore.open}. */
  constructor(options: TopicStoreOptions) {
    this.#options = options;
    this.#coordinator = options.coordinator;
    this.#partitionsMax = options.partitionsMax ?? PARTITIONS_MAX;
  }

  get(name: string): TopicDefinition | undefined {
    return this.#topics.get(name);
  }

  getById(topicId: Buffer): TopicDefinition | undefined {
    const name = this.#namesById.get(topicId.toString('hex'));
    return name === undefined ? undefined : this.#topics.get(name);
  }

  /** All topics, in no particular order. */
  all(): IterableIterator<TopicDefinition> {
    return this.#topics.values();
  }

  // A change is durable and its event has been told when its promise resolves.
  // With `validateOnly` everything is checked and nothing changed.

  /** @throws BurrowError INVALID_NAME, INVALID_CONFIG, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR, ALREADY_EXISTS */
  async create(
    specification: {
      readonly name: string;
      readonly partitions: readonly PartitionAssignment[];
      readonly configs: ReadonlyMap<string, string>;
    },
    options: { readonly validateOnly?: boolean } = {},
  ): Promise<TopicDefinition> {
    const { name, partitions } = specification;
    checkTopicName(name);
    const configs = checkTopicConfigs(specification.configs);
    this.#checkPartitions(name, partitions);
    const key = TOPICS + name;
    if ((await this.#coordinator.get(key)).entry !== undefined) throw alreadyExists(name);
    const topicId = newTopicId(this.#options.random);
    const topic = { name, topicId, createdAtMs: this.#options.clock.now(), partitions, configs };
    if (options.validateOnly === true) return { ...topic, revision: 0 };
    const revision = await this.#mirror.transaction({
      if: [{ key, revision: 0 }],
      set: [{ key, value: encodeTopic(topic) }],
    });
    if (revision === undefined) throw alreadyExists(name);
    return { ...topic, revision };
  }

  /**
   * Leaves a tombstone: see {@link deleted}.
   * @throws BurrowError UNKNOWN_TOPIC_OR_PARTITION
   */
  async delete(name: string): Promise<void> {
    await this.#change(name, false, ({ topicId }) => ({
      remove: [TOPICS + name],
      set: [
        {
          key: DELETED_TOPICS + topicId.toString('hex'),
          value: JSON.stringify({ name, deletedAtMs: this.#options.clock.now() }),
        },
      ],
    }));
  }

  /**
   * Replaces the partitions by what `update` makes of them: more of them, other replicas or leaders.
   * @throws BurrowError UNKNOWN_TOPIC_OR_PARTITION, INVALID_PARTITIONS if there are fewer or an epoch goes back,
   * INVALID_REPLICATION_FACTOR, what `update` throws
   */
  setPartitions(
    name: string,
    update: (topic: TopicDefinition) => readonly PartitionAssignment[],
    options: { readonly validateOnly?: boolean } = {},
  ): Promise<TopicDefinition> {
    return this.#change(name, options.validateOnly === true, (topic) => {
      const partitions = update(topic);
      this.#checkPartitions(name, partitions);
      if (partitions.length < topic.partitions.length) {
        throw new BurrowError(
          'INVALID_PARTITIONS',
          `Topic ${name} has ${topic.partitions.length} partitions; the number can only grow.`,
        );
      }
      for (const [index, { leaderEpoch }] of topic.partitions.entries()) {
        if (partitions[index]!.leaderEpoch < leaderEpoch) {
          throw new BurrowError('INVALID_PARTITIONS', `The leader epoch of ${name}-${index} cannot go back.`);
        }
      }
      return { topic: { ...topic, partitions } };
    });
  }

  /**
   * Sets configs, or with `undefined` takes them back to the default.
   * @throws BurrowError UNKNOWN_TOPIC_OR_PARTITION, INVALID_CONFIG
   */
  alterConfigs(
    name: string,
    changes: ReadonlyMap<string, string | undefined>,
    options: { readonly validateOnly?: boolean } = {},
  ): Promise<TopicDefinition> {
    return this.#change(name, options.validateOnly === true, (topic) => ({
      topic: { ...topic, configs: changeTopicConfigs(topic.configs, changes) },
    }));
  }

  /** Topics that were deleted and may still have files. */
  async deleted(): Promise<DeletedTopic[]> {
    const { entries } = await this.#coordinator.list(DELETED_TOPICS);
    return entries.map(({ key, value }) => {
      const topicId = key.slice(DELETED_TOPICS.length);
      const { name, deletedAtMs } = parseObject(value) ?? {};
      if (!/^[0-9a-f]{32}$/.test(topicId) || typeof name !== 'string' || !isCount(deletedAtMs)) {
        throw corrupt(key, 'is not the tombstone of a topic');
      }
      return { name, topicId: Buffer.from(topicId, 'hex'), deletedAtMs };
    });
  }

  /** To be called when no broker has files of a deleted topic any more. */
  async forgetDeleted(topicId: Buffer): Promise<void> {
    await this.#coordinator.transaction({ remove: [DELETED_TOPICS + topicId.toString('hex')] });
  }

  /** No event is told afterwards. The coordinator stays open. */
  close(): void {
    this.#mirror.close();
  }

  /** Compare-and-set of one topic, again and again if others change it at the same time. */
  async #change(
    name: string,
    validateOnly: boolean,
    decide: (
      topic: TopicDefinition,
    ) =>
      | { readonly topic: TopicDefinition }
      | { readonly remove: readonly string[]; readonly set: ReadonlyArray<{ key: string; value: string }> },
  ): Promise<TopicDefinition> {
    const key = TOPICS + name;
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const { entry } = await this.#coordinator.get(key);
      if (entry === undefined) {
        throw new BurrowError('UNKNOWN_TOPIC_OR_PARTITION', `Topic ${JSON.stringify(name)} does not exist.`);
      }
      const current = decodeEntry(entry);
      const decision = decide(current);
      const next = 'topic' in decision ? decision.topic : current;
      if (validateOnly) return next;
      const revision = await this.#mirror.transaction({
        if: [{ key, revision: entry.modRevision }],
        ...('topic' in decision ? { set: [{ key, value: encodeTopic(next) }] } : decision),
      });
      if (revision !== undefined) return { ...next, revision };
    }
    throw new BurrowError('CONFLICT', `Topic ${name} was changed by others ${ATTEMPTS_MAX} times in a row. Retry.`);
  }

  #checkPartitions(name: string, partitions: readonly PartitionAssignment[]): void {
    if (partitions.length > this.#partitionsMax) {
      throw new BurrowError(
        'INVALID_PARTITIONS',
        `Topic ${name} would have ${partitions.length} partitions; the limit is ${this.#partitionsMax}.`,
      );
    }
    checkAssignments(name, partitions);
  }

  #apply(set: readonly CoordinatorEntry[], removed: readonly string[]): void {
    // Decoded before anything is told, so that a bad entry leaves nothing half done.
    const topics = set.map(decodeEntry);
    for (const key of removed) this.#remove(key.slice(TOPICS.length));
    for (const topic of topics) this.#replace(topic);
  }

  #replace(topic: TopicDefinition): void {
    const previous = this.#topics.get(topic.name);
    // Deleted and created again while nobody looked: two topics, two events.
    const same = previous?.topicId.equals(topic.topicId) === true;
    if (previous !== undefined && !same) this.#remove(topic.name);
    this.#put(topic);
    this.#tell({ kind: 'set', topic, previous: same ? previous : undefined });
  }

  #put(topic: TopicDefinition): void {
    this.#topics.set(topic.name, topic);
    this.#namesById.set(topic.topicId.toString('hex'), topic.name);
  }

  #remove(name: string): void {
    const topic = this.#topics.get(name);
    if (topic === undefined) return;
    this.#topics.delete(name);
    this.#namesById.delete(topic.topicId.toString('hex'));
    this.#tell({ kind: 'removed', topic });
  }

  #tell(event: TopicEvent): void {
    if (this.#opened) this.#options.onEvent(event);
  }
}

function decodeEntry({ key, value, modRevision }: CoordinatorEntry): TopicDefinition {
  return decodeTopic(key, key.slice(TOPICS.length), value, modRevision);
}

/**
 * A random UUID (RFC 9562, version 4), as Kafka's topic ids are. Not one whose text form begins with "-", which
 * command lines would take for an option (Kafka's Uuid.randomUuid).
 */
function newTopicId(random: Random): Buffer {
  for (;;) {
    const id = random.bytes(16);
    id[6] = (id[6]! & 0x0f) | 0x40;
    id[8] = (id[8]! & 0x3f) | 0x80;
    if (!id.toString('base64url').startsWith('-')) return id;
  }
}

function alreadyExists(name: string): BurrowError {
  return new BurrowError('ALREADY_EXISTS', `Topic ${name} exists already.`, { fields: { topic: name } });
}
