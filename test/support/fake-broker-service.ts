/**
 * A whole broker as a simple model in memory, for tests of listeners: a list of batches per partition, offsets stamped
 * in order, no storage, no replicas. Faithful in what clients can see (offsets, long polls, idempotence, errors), slow
 * and plain in how. It reads batches by itself, independently of the product's record code.
 */
import { randomBytes } from 'node:crypto';
import { crc32c } from '@node-rs/crc32';
import {
  type BrokerAddress,
  type BrokerService,
  EARLIEST_TIMESTAMP,
  type FetchedPartition,
  type FetchPartition,
  type FetchRequest,
  LATEST_TIMESTAMP,
  type ListedOffset,
  MAX_TIMESTAMP,
  type PartitionDescription,
  type PartitionStatus,
  type PendingFetch,
  type ProduceOutcome,
  type ProduceRequest,
  type PushStream,
  type TopicConfigEntry,
  type TopicDescription,
  type TopicSpecification,
} from '../../broker/partitions/broker-service.ts';
import type { Clock } from '../../broker/ports/clock.ts';
import { systemClock } from '../../broker/ports/system-clock.ts';
import { BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import { checkTopicName } from '../../src/names.ts';

const HEADER_BYTES = 61;
const LEADER_EPOCH = 0;
const SEQUENCE_MODULUS = 2 ** 31;

export interface FakeBrokerOptions {
  readonly clock?: Clock;
  readonly nodeId?: number;
  readonly clusterId?: string;
  readonly brokers?: readonly BrokerAddress[];
  readonly autoCreateTopics?: boolean;
  readonly defaultPartitions?: number;
  readonly partitionsMax?: number;
  readonly batchBytesMax?: number;
}

interface StoredBatch {
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly bytes: Buffer;
}

interface ProducerState {
  epoch: number;
  /** The last five batches, oldest first. */
  readonly batches: Array<{ firstSequence: number; lastSequence: number; baseOffset: number }>;
}

class FakePartition {
  readonly batches: StoredBatch[] = [];
  readonly producers = new Map<number, ProducerState>();
  logStartOffset = 0;
  endOffset = 0;
  failure: BurrowError | undefined;
}

interface FakeTopic {
  readonly name: string;
  readonly topicId: Buffer;
  readonly partitions: FakePartition[];
  readonly configs: Map<string, string>;
}

interface ConfigDefault {
  readonly value: string;
  readonly type: TopicConfigEntry['type'];
}

const CONFIG_DEFAULTS: ReadonlyMap<string, ConfigDefault> = new Map([
  ['cleanup.policy', { value: 'delete', type: 'list' }],
  ['compression.type', { value: 'producer', type: 'string' }],
  ['max.message.bytes', { value: '1048588', type: 'int' }],
  ['message.timestamp.type', { value: 'CreateTime', type: 'string' }],
  ['min.insync.replicas', { value: '1', type: 'int' }],
  ['retention.bytes', { value: '-1', type: 'long' }],
  ['retention.ms', { value: '604800000', type: 'long' }],
  ['segment.bytes', { value: '1073741824', type: 'int' }],
]);

export class FakeBrokerService implements BrokerService {
  readonly clusterId: string;
  readonly nodeId: number;
  readonly controllerId: number;
  readonly autoCreateTopics: boolean;
  readonly #clock: Clock;
  readonly #brokers: readonly BrokerAddress[];
  readonly #defaultPartitions: number;
  readonly #partitionsMax: number;
  readonly #batchBytesMax: number;
  readonly #topics = new Map<string, FakeTopic>();
  /** Checks of waiting fetches: each looks again and forgets itself once it has answered. */
  readonly #waiting = new Set<() => void>();
  #nextProducerId = 1000;

  constructor(options: FakeBrokerOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.nodeId = options.nodeId ?? 1;
    this.controllerId = this.nodeId;
    this.clusterId = options.clusterId ?? 'fake-cluster-000000000';
    this.#brokers = options.brokers ?? [];
    this.autoCreateTopics = options.autoCreateTopics ?? true;
    this.#defaultPartitions = options.defaultPartitions ?? 1;
    this.#partitionsMax = options.partitionsMax ?? 1000;
    this.#batchBytesMax = options.batchBytesMax ?? 1_048_588;
  }

  /** How many fetches wait for data now. */
  get waitingFetches(): number {
    return this.#waiting.size;
  }

  /** Makes a partition answer every produce with this error, as a failed disk would; undefined mends it. */
  failPartition(topic: string, partition: number, failure: BurrowError | undefined): void {
    this.#partition(topic, partition).failure = failure;
  }

  /** The batches of a partition as stored. */
  storedBatches(topic: string, partition: number): readonly Buffer[] {
    return this.#partition(topic, partition).batches.map((batch) => batch.bytes);
  }

  brokers(): readonly BrokerAddress[] {
    return this.#brokers;
  }

  topicNames(): readonly string[] {
    return [...this.#topics.keys()].sort();
  }

  describeTopic(name: string): TopicDescription | undefined {
    const topic = this.#topics.get(name);
    return topic === undefined ? undefined : this.#describe(topic);
  }

  describeTopicById(topicId: Buffer): TopicDescription | undefined {
    for (const topic of this.#topics.values()) if (topic.topicId.equals(topicId)) return this.#describe(topic);
    return undefined;
  }

  #describe(topic: FakeTopic): TopicDescription {
    const partitions: PartitionDescription[] = topic.partitions.map((_, partition) => ({
      partition,
      leader: this.nodeId,
      leaderEpoch: LEADER_EPOCH,
      replicas: [this.nodeId],
      inSyncReplicas: [this.nodeId],
    }));
    return { name: topic.name, topicId: topic.topicId, internal: false, partitions };
  }

  async createTopic(spec: TopicSpecification, options: { validateOnly: boolean }): Promise<TopicDescription> {
    checkTopicName(spec.name);
    if (this.#topics.has(spec.name)) throw new BurrowError('ALREADY_EXISTS', `Topic ${spec.name} exists already.`);
    const count = spec.partitions === -1 ? this.#defaultPartitions : spec.partitions;
    if (count < 1 || count > this.#partitionsMax) {
      throw new BurrowError('INVALID_PARTITIONS', `${count} partitions are not in 1–${this.#partitionsMax}.`);
    }
    if (spec.replicationFactor !== -1 && spec.replicationFactor !== 1) {
      throw new BurrowError('INVALID_REPLICATION_FACTOR', `${spec.replicationFactor} replicas, but 1 broker.`);
    }
    for (const [key, value] of spec.configs) checkConfig(key, value);
    const topic: FakeTopic = {
      name: spec.name,
      topicId: randomBytes(16),
      partitions: Array.from({ length: count }, () => new FakePartition()),
      configs: new Map(spec.configs),
    };
    if (!options.validateOnly) this.#topics.set(spec.name, topic);
    return this.#describe(topic);
  }

  async deleteTopic(name: string): Promise<void> {
    this.#topic(name);
    this.#topics.delete(name);
    this.#wake();
  }

  async createPartitions(name: string, total: number, options: { validateOnly: boolean }): Promise<void> {
    const { partitions } = this.#topic(name);
    if (total <= partitions.length || total > this.#partitionsMax) {
      throw new BurrowError('INVALID_PARTITIONS', `Topic ${name} has ${partitions.length} partitions, not < ${total}.`);
    }
    if (!options.validateOnly) while (partitions.length < total) partitions.push(new FakePartition());
  }

  describeTopicConfigs(name: string): readonly TopicConfigEntry[] {
    return configEntries(this.#topic(name).configs);
  }

  describeBrokerConfigs(): readonly TopicConfigEntry[] {
    return [
      { key: 'num.partitions', value: '1', isDefault: true, type: 'int', documentation: 'Partitions of a new topic.' },
    ];
  }

  async alterTopicConfigs(
    name: string,
    changes: ReadonlyMap<string, string | undefined>,
    options: { validateOnly: boolean },
  ): Promise<void> {
    const { configs } = this.#topic(name);
    for (const [key, value] of changes) checkConfig(key, value);
    if (options.validateOnly) return;
    for (const [key, value] of changes) {
      if (value === undefined) configs.delete(key);
      else configs.set(key, value);
    }
  }

  partitionStatus(name: string): readonly PartitionStatus[] {
    return this.#topic(name).partitions.map((log, partition) => ({
      partition,
      logStartOffset: log.logStartOffset,
      highWatermark: log.endOffset,
      lastStableOffset: log.endOffset,
      logEndOffset: log.endOffset,
      bytes: log.batches.reduce((sum, batch) => sum + batch.bytes.length, 0),
      segments: 1,
      failure: log.failure,
    }));
  }

  async produce(request: ProduceRequest): Promise<ProduceOutcome> {
    const { topic, partition, records } = request;
    const log = this.#partition(topic, partition);
    if (log.failure !== undefined) throw log.failure;
    const batches = splitBatches(records, this.#batchBytesMax);
    let baseOffset = -1;
    for (const batch of batches) {
      const duplicateOf = checkSequence(log, batch);
      const offset = duplicateOf ?? this.#append(log, batch);
      if (baseOffset === -1) baseOffset = offset;
    }
    this.#wake();
    return { baseOffset, logAppendTimeMs: -1, logStartOffset: log.logStartOffset };
  }

  #append(log: FakePartition, batch: Buffer): number {
    const baseOffset = log.endOffset;
    const nextOffset = baseOffset + batch.readInt32BE(23) + 1;
    batch.writeBigInt64BE(BigInt(baseOffset), 0);
    batch.writeInt32BE(LEADER_EPOCH, 12);
    log.batches.push({ baseOffset, nextOffset, bytes: batch });
    log.endOffset = nextOffset;
    rememberSequence(log, batch, baseOffset);
    return baseOffset;
  }

  fetch(request: FetchRequest): PendingFetch {
    let settle: (answer: readonly FetchedPartition[]) => void = () => {};
    const done = new Promise<readonly FetchedPartition[]>((resolve) => {
      settle = resolve;
    });
    const finish = (answer: readonly FetchedPartition[]): void => {
      timer?.cancel();
      this.#waiting.delete(look);
      settle(answer);
    };
    const look = (): void => {
      const answer = this.#read(request);
      const bytes = answer.reduce((sum, { records }) => sum + records.reduce((n, b) => n + b.length, 0), 0);
      if (bytes >= request.bytesMin || answer.some(({ error }) => error !== undefined)) finish(answer);
    };
    const timer =
      request.waitMs > 0 ? this.#clock.schedule(request.waitMs, () => finish(this.#read(request))) : undefined;
    this.#waiting.add(look);
    look();
    if (request.waitMs <= 0) finish(this.#read(request));
    return { done, cancel: () => finish(this.#read(request)) };
  }

  openPushStream({ onReady }: { onReady: () => void }): PushStream {
    const offsets = new Map<string, { asked: FetchPartition; isNew: boolean }>();
    this.#waiting.add(onReady);
    const tell = () => queueMicrotask(onReady);
    const keyOf = (topic: string, partition: number) => `${topic}-${partition}`;
    const next = () => {
      for (const [key, entry] of offsets) {
        const answer = this.#readPartition(entry.asked, entry.asked.bytesMax, true);
        if (answer.records.length > 0 || answer.error !== undefined || entry.isNew) return { key, entry, answer };
      }
      return undefined;
    };
    return {
      get partitionCount() {
        return offsets.size;
      },
      get isReady() {
        return next() !== undefined;
      },
      has: (topic, partition) => offsets.has(keyOf(topic, partition)),
      add: (wanted) => {
        const asked = { ...wanted, bytesMax: 1 };
        offsets.set(keyOf(wanted.topic, wanted.partition), { asked, isNew: true });
        tell();
      },
      remove: (topic, partition) => void offsets.delete(keyOf(topic, partition)),
      // One batch at a time, whatever the limits.
      read: async () => {
        const found = next();
        if (found === undefined) return undefined;
        const { key, entry, answer } = found;
        const { offset } = entry.asked;
        offsets.delete(key);
        const [batch] = answer.records;
        if (answer.error !== undefined) return { ...answer, offset, recordsCount: 0, bytes: 0 };
        const nextOffset = batch === undefined ? offset : Number(batch.readBigInt64BE(0)) + batch.readInt32BE(23) + 1;
        offsets.set(key, { asked: { ...entry.asked, offset: nextOffset }, isNew: false });
        return { ...answer, offset, recordsCount: batch?.readInt32BE(57) ?? 0, bytes: batch?.length ?? 0 };
      },
      close: () => {
        offsets.clear();
        this.#waiting.delete(onReady);
      },
    };
  }

  #wake(): void {
    for (const look of [...this.#waiting]) look();
  }

  #read(request: FetchRequest): FetchedPartition[] {
    let bytesLeft = request.bytesMax;
    let first = true;
    return request.partitions.map((asked) => {
      const answer = this.#readPartition(asked, Math.min(bytesLeft, asked.bytesMax), first);
      for (const batch of answer.records) bytesLeft -= batch.length;
      if (answer.records.length > 0) first = false;
      return answer;
    });
  }

  #readPartition(asked: FetchPartition, bytesMax: number, first: boolean): FetchedPartition {
    const { topic, partition, offset } = asked;
    try {
      const log = this.#partition(topic, partition);
      checkEpoch(asked.currentLeaderEpoch);
      if (offset < log.logStartOffset || offset > log.endOffset) {
        throw new BurrowError(
          'OFFSET_OUT_OF_RANGE',
          `Offset ${offset} is not in ${log.logStartOffset}–${log.endOffset}.`,
        );
      }
      const records: Buffer[] = [];
      let bytes = 0;
      for (const batch of log.batches) {
        if (batch.nextOffset <= offset) continue;
        if (bytes + batch.bytes.length > bytesMax && !(first && records.length === 0)) break;
        records.push(batch.bytes);
        bytes += batch.bytes.length;
      }
      const { endOffset, logStartOffset } = log;
      return {
        topic,
        partition,
        error: undefined,
        highWatermark: endOffset,
        lastStableOffset: endOffset,
        logStartOffset,
        records,
      };
    } catch (thrown) {
      const error = toBurrowError(thrown);
      return { topic, partition, error, highWatermark: -1, lastStableOffset: -1, logStartOffset: -1, records: [] };
    }
  }

  async listOffset(request: {
    topic: string;
    partition: number;
    timestampMs: number;
    currentLeaderEpoch: number;
  }): Promise<ListedOffset> {
    const log = this.#partition(request.topic, request.partition);
    checkEpoch(request.currentLeaderEpoch);
    const leaderEpoch = LEADER_EPOCH;
    if (request.timestampMs === EARLIEST_TIMESTAMP) return { offset: log.logStartOffset, timestampMs: -1, leaderEpoch };
    if (request.timestampMs === LATEST_TIMESTAMP) return { offset: log.endOffset, timestampMs: -1, leaderEpoch };
    if (request.timestampMs !== MAX_TIMESTAMP && request.timestampMs < 0) {
      throw new BurrowError('INVALID_ARGUMENT', `${request.timestampMs} is no timestamp.`);
    }
    // Per batch, not per record: enough for tests whose batches hold records of one timestamp.
    let found: { offset: number; timestampMs: number } | undefined;
    for (const { bytes, baseOffset, nextOffset } of log.batches) {
      const timestampMs = Number(bytes.readBigInt64BE(35));
      if (request.timestampMs === MAX_TIMESTAMP) {
        if (found === undefined || timestampMs > found.timestampMs) found = { offset: nextOffset - 1, timestampMs };
      } else if (timestampMs >= request.timestampMs) {
        found = { offset: baseOffset, timestampMs };
        break;
      }
    }
    return { ...(found ?? { offset: -1, timestampMs: -1 }), leaderEpoch };
  }

  endOffsetForEpoch(request: { topic: string; partition: number; leaderEpoch: number; currentLeaderEpoch: number }): {
    leaderEpoch: number;
    endOffset: number;
  } {
    const log = this.#partition(request.topic, request.partition);
    checkEpoch(request.currentLeaderEpoch);
    if (request.leaderEpoch < LEADER_EPOCH) return { leaderEpoch: -1, endOffset: -1 };
    return { leaderEpoch: LEADER_EPOCH, endOffset: log.endOffset };
  }

  async deleteRecords(request: { topic: string; partition: number; offset: number }): Promise<number> {
    const log = this.#partition(request.topic, request.partition);
    const offset = request.offset === -1 ? log.endOffset : request.offset;
    if (offset < log.logStartOffset || offset > log.endOffset) {
      throw new BurrowError(
        'OFFSET_OUT_OF_RANGE',
        `Offset ${offset} is not in ${log.logStartOffset}–${log.endOffset}.`,
      );
    }
    log.logStartOffset = offset;
    const kept = log.batches.findIndex((batch) => batch.nextOffset > offset);
    log.batches.splice(0, kept === -1 ? log.batches.length : kept);
    return offset;
  }

  async allocateProducerId(): Promise<number> {
    return this.#nextProducerId++;
  }

  #topic(name: string): FakeTopic {
    const topic = this.#topics.get(name);
    if (topic === undefined) throw new BurrowError('UNKNOWN_TOPIC_OR_PARTITION', `There is no topic ${name}.`);
    return topic;
  }

  #partition(name: string, partition: number): FakePartition {
    const log = this.#topic(name).partitions[partition];
    if (log === undefined) throw new BurrowError('UNKNOWN_TOPIC_OR_PARTITION', `There is no ${name}-${partition}.`);
    return log;
  }
}

function checkEpoch(currentLeaderEpoch: number): void {
  if (currentLeaderEpoch !== -1 && currentLeaderEpoch > LEADER_EPOCH) throw new BurrowError('UNKNOWN_LEADER_EPOCH');
}

function checkConfig(key: string, value: string | undefined): void {
  const known = CONFIG_DEFAULTS.get(key);
  if (known === undefined) throw new BurrowError('INVALID_CONFIG', `There is no topic setting ${key}.`);
  const numeric = known.type === 'int' || known.type === 'long';
  if (value !== undefined && numeric && !/^-?\d+$/.test(value)) {
    throw new BurrowError('INVALID_CONFIG', `${key} must be an integer, not ${value}.`);
  }
}

function configEntries(configs: ReadonlyMap<string, string>): TopicConfigEntry[] {
  return [...CONFIG_DEFAULTS].map(([key, { value, type }]) => ({
    key,
    value: configs.get(key) ?? value,
    isDefault: !configs.has(key),
    type,
    documentation: `What ${key} means.`,
  }));
}

function splitBatches(records: Buffer, batchBytesMax: number): Buffer[] {
  const batches: Buffer[] = [];
  for (let at = 0; at < records.length; ) {
    const left = records.length - at;
    const size = left < HEADER_BYTES ? 0 : 12 + records.readInt32BE(at + 8);
    if (left >= 17 && records.readInt8(at + 16) !== 2) throw new BurrowError('UNSUPPORTED_FORMAT');
    if (size < HEADER_BYTES || size > left) throw new BurrowError('CORRUPT_BATCH', 'The batch is cut off.');
    if (size > batchBytesMax) throw new BurrowError('RECORD_TOO_LARGE');
    const batch = records.subarray(at, at + size);
    if (batch.readUInt32BE(17) !== crc32c(batch.subarray(21))) throw new BurrowError('CORRUPT_BATCH');
    if ((batch.readInt16BE(21) & 7) > 4) throw new BurrowError('UNSUPPORTED_COMPRESSION');
    if (batch.readInt32BE(57) !== batch.readInt32BE(23) + 1) throw new BurrowError('INVALID_RECORD');
    batches.push(batch);
    at += size;
  }
  if (batches.length === 0) throw new BurrowError('INVALID_RECORD', 'There is no batch.');
  return batches;
}

/** The base offset of the stored batch that this one repeats, or undefined if it is new. */
function checkSequence(log: FakePartition, batch: Buffer): number | undefined {
  const producerId = Number(batch.readBigInt64BE(43));
  if (producerId < 0) return undefined;
  const epoch = batch.readInt16BE(51);
  const firstSequence = batch.readInt32BE(53);
  const state = log.producers.get(producerId);
  if (state === undefined) {
    if (firstSequence !== 0) throw new BurrowError('UNKNOWN_PRODUCER_ID');
    return undefined;
  }
  if (epoch < state.epoch) throw new BurrowError('INVALID_PRODUCER_EPOCH');
  if (epoch > state.epoch) {
    if (firstSequence !== 0) throw new BurrowError('OUT_OF_ORDER_SEQUENCE');
    return undefined;
  }
  const duplicate = state.batches.find((stored) => stored.firstSequence === firstSequence);
  if (duplicate !== undefined) return duplicate.baseOffset;
  const last = state.batches.at(-1);
  if (last !== undefined && firstSequence !== (last.lastSequence + 1) % SEQUENCE_MODULUS) {
    throw new BurrowError('OUT_OF_ORDER_SEQUENCE', `Sequence ${firstSequence} does not follow ${last.lastSequence}.`);
  }
  return undefined;
}

function rememberSequence(log: FakePartition, batch: Buffer, baseOffset: number): void {
  const producerId = Number(batch.readBigInt64BE(43));
  if (producerId < 0) return;
  const epoch = batch.readInt16BE(51);
  const firstSequence = batch.readInt32BE(53);
  let state = log.producers.get(producerId);
  if (state === undefined || state.epoch !== epoch) {
    state = { epoch, batches: [] };
    log.producers.set(producerId, state);
  }
  const lastSequence = (firstSequence + batch.readInt32BE(23)) % SEQUENCE_MODULUS;
  state.batches.push({ firstSequence, lastSequence, baseOffset });
  if (state.batches.length > 5) state.batches.shift();
}
