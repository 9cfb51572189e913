/**
 * What listeners may ask of the broker: the face of the services, free of any protocol.
 * All failures are {@link BurrowError}s. Per batch, not per record.
 */
import type { BurrowError } from '../../src/errors/burrow-error.ts';

export interface BrokerAddress {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
  readonly rack: string | undefined;
}

export interface PartitionDescription {
  readonly partition: number;
  readonly leader: number;
  readonly leaderEpoch: number;
  readonly replicas: readonly number[];
  readonly inSyncReplicas: readonly number[];
}

export interface TopicDescription {
  readonly name: string;
  /** 16 bytes, stable for this incarnation of the topic. */
  readonly topicId: Buffer;
  readonly internal: boolean;
  readonly partitions: readonly PartitionDescription[];
}

export interface TopicSpecification {
  readonly name: string;
  /** -1 for the broker's default. */
  readonly partitions: number;
  /** -1 for the broker's default. */
  readonly replicationFactor: number;
  readonly configs: ReadonlyMap<string, string>;
}

export interface TopicConfigEntry {
  readonly key: string;
  readonly value: string;
  readonly isDefault: boolean;
  readonly type: 'boolean' | 'string' | 'int' | 'long' | 'double' | 'list';
  readonly documentation: string;
}

export interface PartitionStatus {
  readonly partition: number;
  readonly logStartOffset: number;
  readonly highWatermark: number;
  readonly lastStableOffset: number;
  readonly logEndOffset: number;
  readonly bytes: number;
  readonly segments: number;
  /** Set when the partition has stopped accepting writes until the broker is restarted. */
  readonly failure: BurrowError | undefined;
}

export interface ProduceRequest {
  readonly topic: string;
  readonly partition: number;
  /** One or more whole record batches, as they came; base offset and leader epoch are stamped in place. The broker owns it from here. */
  readonly records: Buffer;
  /** 0: resolves once appended in order, without waiting for storage. 1: synced here. -1: synced on all in-sync replicas. */
  readonly acks: 0 | 1 | -1;
}

export interface ProduceOutcome {
  readonly baseOffset: number;
  /** Milliseconds, or -1 where the topic keeps the producer's timestamps. */
  readonly logAppendTimeMs: number;
  readonly logStartOffset: number;
}

export interface FetchPartition {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly bytesMax: number;
  /** The leader epoch the client knows, or -1. */
  readonly currentLeaderEpoch: number;
}

export interface FetchRequest {
  readonly partitions: readonly FetchPartition[];
  readonly bytesMin: number;
  /** For the whole answer. The first batch of the first partition with data is always whole, even if larger (KIP-74). */
  readonly bytesMax: number;
  readonly waitMs: number;
  readonly isolation: 'read_uncommitted' | 'read_committed';
}

export interface FetchedPartition {
  readonly topic: string;
  readonly partition: number;
  readonly error: BurrowError | undefined;
  /** -1 where unknown because of an error. Likewise below. */
  readonly highWatermark: number;
  readonly lastStableOffset: number;
  readonly logStartOffset: number;
  /** Whole record batches, as stored. May be empty. The buffers are read-only: they may be shared with other readers. */
  readonly records: readonly Buffer[];
}

/** A fetch that may be waiting for data. */
export interface PendingFetch {
  /** In the order of the request. Never rejects: what fails, fails per partition. */
  readonly done: Promise<readonly FetchedPartition[]>;
  /** Answers now with what there is; for a connection that went away. */
  cancel(): void;
}

export interface PushStreamPartition {
  readonly topic: string;
  readonly partition: number;
  /** Where to begin. */
  readonly offset: number;
  /** The leader epoch the client knows, or -1. */
  readonly currentLeaderEpoch: number;
}

/** What a push stream gives of one partition. */
export interface PushedPartition extends FetchedPartition {
  /** Where this begins: as it was added, then behind what was given last. The first batch may begin before it. */
  readonly offset: number;
  /** Of the batches, as their headers say. */
  readonly recordsCount: number;
  readonly bytes: number;
}

/** Reads partitions in turn; see `push-stream.ts`. */
export interface PushStream {
  readonly partitionCount: number;
  /** Whether a read may bring something. */
  readonly isReady: boolean;
  has(topic: string, partition: number): boolean;
  /** What is wrong with it, such as OFFSET_OUT_OF_RANGE, is read in its turn. It must not be in the stream already. */
  add(partition: PushStreamPartition): void;
  /** Nothing more of it is read. */
  remove(topic: string, partition: number): void;
  /**
   * What the partition whose turn it is has next: at most `bytesMax` bytes, but one batch at least, and no batch more once there
   * are `recordsMax` records. Undefined if there is nothing. After an error the partition has left the stream. Never
   * rejects; one read at a time.
   */
  read(limits: { readonly recordsMax: number; readonly bytesMax: number }): Promise<PushedPartition | undefined>;
  close(): void;
}

/** Special timestamps of ListOffsets. */
export const EARLIEST_TIMESTAMP = -2;
export const LATEST_TIMESTAMP = -1;
export const MAX_TIMESTAMP = -3;

export interface ListedOffset {
  /** -1 if no record has a timestamp at or after the one asked for. */
  readonly offset: number;
  readonly timestampMs: number;
  readonly leaderEpoch: number;
}

export interface BrokerService {
  readonly clusterId: string;
  readonly nodeId: number;
  /** Where clients of a listener reach each broker. */
  brokers(listener: 'native' | 'kafka'): readonly BrokerAddress[];
  readonly controllerId: number;

  topicNames(): readonly string[];
  describeTopic(name: string): TopicDescription | undefined;
  describeTopicById(topicId: Buffer): TopicDescription | undefined;
  /** Whether a client asking for an unknown topic creates it (auto.create.topics.enable). */
  readonly autoCreateTopics: boolean;
  createTopic(specification: TopicSpecification, options: { validateOnly: boolean }): Promise<TopicDescription>;
  deleteTopic(name: string): Promise<void>;
  /** Raises the number of partitions to `total`. */
  createPartitions(name: string, total: number, options: { validateOnly: boolean }): Promise<void>;
  describeTopicConfigs(name: string): readonly TopicConfigEntry[];
  describeBrokerConfigs(): readonly TopicConfigEntry[];
  /** `undefined` as a value goes back to the default. */
  alterTopicConfigs(
    name: string,
    changes: ReadonlyMap<string, string | undefined>,
    options: { validateOnly: boolean },
  ): Promise<void>;
  partitionStatus(name: string): readonly PartitionStatus[];

  produce(request: ProduceRequest): Promise<ProduceOutcome>;
  fetch(request: FetchRequest): PendingFetch;
  /** `onReady` is called when there may be something to read again. */
  openPushStream(options: { isolation: FetchRequest['isolation']; onReady: () => void }): PushStream;
  listOffset(request: {
    topic: string;
    partition: number;
    timestampMs: number;
    currentLeaderEpoch: number;
    isolation: FetchRequest['isolation'];
  }): Promise<ListedOffset>;
  /** (leader epoch, end offset) of the largest epoch ≤ `leaderEpoch`, (-1, -1) if unknown (KIP-101, KIP-279). */
  endOffsetForEpoch(request: { topic: string; partition: number; leaderEpoch: number; currentLeaderEpoch: number }): {
    leaderEpoch: number;
    endOffset: number;
  };
  /** Removes all records below `offset` (-1: the high watermark) and returns the new log start offset. */
  deleteRecords(request: { topic: string; partition: number; offset: number }): Promise<number>;
  /** A producer id that no other producer of this cluster has had. */
  allocateProducerId(): Promise<number>;
}
