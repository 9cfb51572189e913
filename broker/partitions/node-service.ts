/**
 * The services of one node, as listeners and embedding programs call them: finds the partition and hands on. Refuses what
 * clients may not do to topics that the broker itself writes.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { ProducerIdAllocator } from '../definitions/producer-ids.ts';
import { describeTopicConfigs } from '../definitions/topic-configs.ts';
import type { BrokerSettings } from '../options.ts';
import type { Clock } from '../ports/clock.ts';
import { storageError } from '../ports/storage-error.ts';
import { describeBrokerConfigs, topicConfigDefaults } from './broker-configs.ts';
import type {
  BrokerAddress,
  BrokerService,
  FetchRequest,
  ListedOffset,
  PartitionStatus,
  PendingFetch,
  ProduceOutcome,
  ProduceRequest,
  PushStream,
  TopicConfigEntry,
  TopicDescription,
  TopicSpecification,
} from './broker-service.ts';
import { CompressedRecords } from './compressed-records.ts';
import type { DiskSpace } from './disk-space.ts';
import { Fetcher } from './fetch.ts';
import { listOffset } from './list-offsets.ts';
import { isInternalTopic } from './node-topic.ts';
import type { Partition } from './partition.ts';
import { ProduceGate } from './produce.ts';
import { PartitionsPushStream } from './push-stream.ts';
import type { Topics } from './topics.ts';
import type { WaitingFetches } from './waiting-fetches.ts';

export interface NodeServiceOptions {
  readonly clusterId: string;
  readonly settings: BrokerSettings;
  readonly topics: Topics;
  readonly waiting: WaitingFetches;
  readonly diskSpace: DiskSpace;
  readonly producerIds: ProducerIdAllocator;
  readonly clock: Clock;
}

export type ListenerName = 'native' | 'kafka';

export class NodeService implements BrokerService {
  readonly clusterId: string;
  readonly nodeId: number;
  readonly controllerId: number;
  readonly autoCreateTopics: boolean;
  readonly #options: NodeServiceOptions;
  readonly #topics: Topics;
  readonly #produceGate: ProduceGate;
  readonly #fetcher: Fetcher;
  readonly #configDefaults: ReadonlyMap<string, string>;
  readonly #addresses = new Map<ListenerName, BrokerAddress>();

  constructor(options: NodeServiceOptions) {
    const { settings, topics, clock, diskSpace, waiting } = options;
    this.#options = options;
    this.#topics = topics;
    this.#configDefaults = topicConfigDefaults(settings);
    this.clusterId = options.clusterId;
    this.nodeId = settings.nodeId;
    this.controllerId = settings.nodeId;
    this.autoCreateTopics = settings.autoCreateTopics;
    this.#produceGate = new ProduceGate({
      findPartition: (topic, partition) => this.#partitionForClientWrites(topic, partition),
      clock,
      diskSpace,
      compressedRecords: new CompressedRecords(settings.decompressedBytesMax),
      unsyncedBytesMax: settings.unwrittenBytesMax,
    });
    this.#fetcher = new Fetcher({
      findPartition: (topic, partition) => topics.partition(topic, partition),
      waiting,
      bytesMax: settings.fetchBytesMax,
    });
  }

  /** Told by whoever starts a listener, once its port is known. */
  setAddress(listener: ListenerName, host: string, port: number): void {
    const { rack } = this.#options.settings;
    this.#addresses.set(listener, { nodeId: this.nodeId, host, port, rack });
  }

  brokers(listener: ListenerName): readonly BrokerAddress[] {
    const address = this.#addresses.get(listener);
    return address === undefined ? [] : [address];
  }

  topicNames(): readonly string[] {
    return this.#topics.names();
  }

  describeTopic(name: string): TopicDescription | undefined {
    return this.#topics.get(name)?.describe();
  }

  describeTopicById(topicId: Buffer): TopicDescription | undefined {
    return this.#topics.getById(topicId)?.describe();
  }

  async createTopic(specification: TopicSpecification, options: { validateOnly: boolean }): Promise<TopicDescription> {
    checkNotInternal(specification.name, 'created');
    this.#checkRoom();
    return (await this.#topics.create(specification, options)).describe();
  }

  async deleteTopic(name: string): Promise<void> {
    checkNotInternal(name, 'deleted');
    await this.#topics.delete(name);
  }

  async createPartitions(name: string, total: number, options: { validateOnly: boolean }): Promise<void> {
    checkNotInternal(name, 'changed');
    this.#checkRoom();
    await this.#topics.createPartitions(name, total, options);
  }

  describeTopicConfigs(name: string): readonly TopicConfigEntry[] {
    const { configs } = this.#topics.require(name).definition;
    return describeTopicConfigs(configs, this.#configDefaults);
  }

  describeBrokerConfigs(): readonly TopicConfigEntry[] {
    return describeBrokerConfigs(this.#options.settings);
  }

  async alterTopicConfigs(
    name: string,
    changes: ReadonlyMap<string, string | undefined>,
    options: { validateOnly: boolean },
  ): Promise<void> {
    await this.#topics.alterConfigs(name, changes, options);
  }

  partitionStatus(name: string): readonly PartitionStatus[] {
    return this.#topics.require(name).status();
  }

  /** The largest batch that a topic takes. @throws BurrowError UNKNOWN_TOPIC_OR_PARTITION */
  batchBytesMaxOf(topic: string): number {
    return this.#topics.require(topic).config.batchBytesMax;
  }

  /** Appends before it returns, so that the order of calls is the order of records. */
  produce(request: ProduceRequest): Promise<ProduceOutcome> {
    return this.#produceGate.produce(request);
  }

  fetch(request: FetchRequest): PendingFetch {
    return this.#fetcher.fetch(request);
  }

  openPushStream(options: { isolation: FetchRequest['isolation']; onReady: () => void }): PushStream {
    const { topics, waiting } = this.#options;
    const findPartition = (topic: string, partition: number) => topics.partition(topic, partition);
    return new PartitionsPushStream({ ...options, findPartition, waiting });
  }

  async listOffset(request: {
    topic: string;
    partition: number;
    timestampMs: number;
    currentLeaderEpoch: number;
    isolation: FetchRequest['isolation'];
  }): Promise<ListedOffset> {
    const partition = this.#ledPartition(request);
    return listOffset(partition, request, this.#options.settings.decompressedBytesMax);
  }

  endOffsetForEpoch(request: { topic: string; partition: number; leaderEpoch: number; currentLeaderEpoch: number }): {
    leaderEpoch: number;
    endOffset: number;
  } {
    const found = this.#ledPartition(request).log.endOffsetForEpoch(request.leaderEpoch);
    return found === undefined
      ? { leaderEpoch: -1, endOffset: -1 }
      : { leaderEpoch: found.epoch, endOffset: found.endOffset };
  }

  async deleteRecords(request: { topic: string; partition: number; offset: number }): Promise<number> {
    checkNotInternal(request.topic, 'cut');
    const { log, config } = this.#ledPartition({ ...request, currentLeaderEpoch: -1 });
    if (config.cleanupPolicy === 'compact') {
      throw new BurrowError(
        'INVALID_ARGUMENT',
        `Topic ${request.topic} keeps the last record of each key (cleanup.policy=compact); write tombstones instead.`,
      );
    }
    const offset = request.offset === -1 ? log.highWatermark : request.offset;
    try {
      await log.deleteRecordsBefore(offset);
    } catch (error) {
      throw storageError(`Records of ${log.key} could not be deleted`, error);
    }
    return log.logStartOffset;
  }

  allocateProducerId(): Promise<number> {
    return this.#options.producerIds.allocate();
  }

  /** Answers what waits and takes no more; resolves when everything that was taken has its place in a log. */
  async close(): Promise<void> {
    await this.#produceGate.close();
    await this.#topics.close();
    this.#options.waiting.close();
    this.#options.diskSpace.close();
  }

  #partitionForClientWrites(topic: string, partition: number): Partition {
    checkNotInternal(topic, 'written');
    return this.#topics.partition(topic, partition);
  }

  #ledPartition(request: { topic: string; partition: number; currentLeaderEpoch: number }): Partition {
    const partition = this.#topics.partition(request.topic, request.partition);
    partition.checkLeader(request.currentLeaderEpoch);
    return partition;
  }

  /** New topics need disk space too, and may wait until there is some. */
  #checkRoom(): void {
    const { full } = this.#options.diskSpace;
    if (full !== undefined) throw full;
  }
}

function checkNotInternal(topic: string, verb: string): void {
  if (!isInternalTopic(topic)) return;
  throw new BurrowError(
    'INVALID_NAME',
    `Topic ${topic} is kept by the broker itself and cannot be ${verb} by clients.`,
    {
      fields: { topic },
    },
  );
}
