/**
 * The producer: takes records, puts each into the open batch of its partition, and leaves the rest to the sender.
 * `send` and `sendMany` run per record: on their fast path nothing is allocated per record but what the user gets back.
 */
import { BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import { Partitioner, type PartitionFunction } from '../../src/partitioner.ts';
import { BatchBuilder, recordBytesMax } from '../../src/records/batch-builder.ts';
import type { ClientClock, ClientTimer } from '../clock.ts';
import type { TopicMetadata } from '../metadata.ts';
import { checkTopicName, integerOption } from '../options.ts';
import { type Serializer, serializeField } from '../serializers.ts';
import { encodeHeaders } from './headers.ts';
import type { ProducerIdentity } from './idempotence-state.ts';
import { PartitionQueue } from './partition-queue.ts';
import { ProducerBatch, type RecordMetadata } from './producer-batch.ts';
import {
  type ProducerOptions,
  type ProducerRecord,
  type ResolvedProducerOptions,
  resolveProducerOptions,
  serializerOrBytes,
} from './producer-options.ts';
import { type ProduceTransport, REQUEST_ENVELOPE_BYTES, Sender } from './sender.ts';
import { WaitingLine, type WaitingSend } from './waiting-sends.ts';
import { FlushWatcher, type SendManyResult, SendManyWatcher } from './watchers.ts';

/** What a producer needs of the client that it belongs to. */
export interface ProducerHost extends ProduceTransport {
  readonly clock: ClientClock;
  /** From the cache or a broker; retries what may pass, until `timeoutMs`. */
  topic(name: string, timeoutMs: number): Promise<TopicMetadata>;
  /** The largest batch that the brokers accept unless a topic says otherwise, in bytes, as far as is known. */
  readonly batchBytesMax: number;
  /** From the cache. */
  cachedTopic(name: string): TopicMetadata | undefined;
}

interface TopicState<K, V> {
  readonly name: string;
  /** Undefined until a broker described the topic. */
  partitionCount: number | undefined;
  /** By partition; created when first used. */
  readonly queues: Array<PartitionQueue | undefined>;
  readonly line: WaitingLine<K, V>;
  loading: boolean;
  readonly partitioner: Partitioner;
}

export class Producer<K = Uint8Array, V = Uint8Array> {
  readonly #host: ProducerHost;
  readonly #options: ResolvedProducerOptions;
  readonly #clock: ClientClock;
  readonly #sender: Sender;
  readonly #keySerializer: Serializer<K>;
  readonly #valueSerializer: Serializer<V>;
  readonly #choosePartition: PartitionFunction | undefined;
  readonly #onClosed: () => void;
  readonly #topics = new Map<string, TopicState<K, V>>();
  /** The topic of the last record: consecutive records mostly share it. */
  #lastTopic: TopicState<K, V> | undefined;
  #identity: ProducerIdentity | undefined;
  /** Bytes of records that await acknowledgment. Invariant: at most bufferBytes, or one record. */
  #bufferedBytes = 0;
  /** Topics in whose line somebody waits. */
  readonly #waitingTopics = new Set<TopicState<K, V>>();
  #blockTimer: ClientTimer | undefined;
  #closing: Promise<void> | undefined;

  /** Use `client.producer()`. */
  constructor(host: ProducerHost, options: ProducerOptions<K, V>, onClosed: () => void) {
    this.#host = host;
    this.#clock = host.clock;
    this.#options = resolveProducerOptions(options);
    this.#keySerializer = serializerOrBytes(options.keySerializer);
    this.#valueSerializer = serializerOrBytes(options.valueSerializer);
    this.#choosePartition = options.partitioner;
    this.#onClosed = onClosed;
    const { acks, idempotent, inFlightBatchesMax, requestBytesMax, lingerMs, retryBackoff } = this.#options;
    this.#sender = new Sender({
      acks,
      idempotent,
      inFlightMax: inFlightBatchesMax,
      requestBytesMax,
      lingerMs,
      backoff: retryBackoff,
      clock: host.clock,
      transport: {
        leaderOf: (topic, partition) => host.leaderOf(topic, partition),
        produce: (nodeId, ackMode, batches) => host.produce(nodeId, ackMode, batches),
        refreshMetadata: (topic) => host.refreshMetadata(topic),
        initProducerId: () => this.#initProducerId(),
        get frameBytesMax() {
          return host.frameBytesMax;
        },
      },
      closeOpenBatch: (queue) => this.#closeOpenBatch(queue),
      finishBytes: (batch) => batch.finishBytes(),
      onSettled: (batch) => this.#onSettled(batch),
    });
  }

  /**
   * Sends one record and resolves when it is acknowledged, with where it was stored.
   *
   * Waits while the buffer is full (see `bufferBytes`, `maxBlockMs`). Records sent one after the other to the same partition
   * are stored in that order, whether or not the promises are awaited in between. For many records
   * {@link Producer.sendMany} is cheaper: it needs one promise for all.
   *
   * Rejects with DELIVERY_TIMEOUT (outcome unknown), BUFFER_FULL, SERIALIZATION_FAILED, UNKNOWN_TOPIC_OR_PARTITION,
   * RECORD_TOO_LARGE, CLIENT_CLOSED, or what else the broker answered that no retry can mend.
   */
  send(record: ProducerRecord<K, V>): Promise<RecordMetadata> {
    let topic: TopicState<K, V>;
    let batch: ProducerBatch | undefined;
    const nowMs = this.#clock.now();
    try {
      topic = this.#topicOf(record);
      batch = topic.line.head === undefined ? this.#tryAdd(topic, record, nowMs) : undefined;
    } catch (error) {
      return Promise.reject(toBurrowError(error));
    }
    if (batch !== undefined) return batch.promiseOfLastRecord(record.timestampMs ?? nowMs);
    return new Promise((resolve, reject) => {
      this.#wait(topic, [record], 0, undefined, resolve, (error) => {
        if (error !== undefined) reject(error);
      });
    });
  }

  /**
   * Sends many records and resolves when all of them are acknowledged, with the ranges of offsets they got. One promise for
   * all, so this is the fast way. Waits while the buffer is full. The records must not be changed meanwhile.
   *
   * Rejects with the first error once nothing of the call is under way any more; then some of the records may be stored,
   * others not. A record that cannot be serialized stops the call there: those before it are sent.
   */
  sendMany(records: readonly ProducerRecord<K, V>[]): Promise<SendManyResult> {
    const watcher = new SendManyWatcher();
    const nowMs = this.#clock.now();
    // Per record.
    for (let index = 0; index < records.length; index += 1) {
      const record = records[index]!;
      try {
        const topic = this.#topicOf(record);
        const batch = topic.line.head === undefined ? this.#tryAdd(topic, record, nowMs) : undefined;
        if (batch === undefined) {
          this.#waitWithRest(records, index, watcher);
          return watcher.done;
        }
        watcher.onAppended(batch);
      } catch (error) {
        watcher.sourceEnded(toBurrowError(error));
        return watcher.done;
      }
    }
    watcher.sourceEnded(undefined);
    return watcher.done;
  }

  /** Sends what lingers and resolves when everything that was sent before this call is settled, well or not. */
  async flush(): Promise<void> {
    this.#sender.beginFlush();
    try {
      await Promise.all([...this.#waitingTopics].map((topic) => this.#lineEmpty(topic)));
      await new FlushWatcher(this.#sender.unsettledBatches()).done;
    } finally {
      this.#sender.endFlush();
    }
  }

  /**
   * Sends what is under way, for at most `timeoutMs` (default 30,000); what is not settled by then rejects with CLIENT_CLOSED.
   * Idempotent. After it, `send` rejects with CLIENT_CLOSED.
   */
  close(options: { timeoutMs?: number } = {}): Promise<void> {
    this.#lastTopic = undefined;
    this.#closing ??= this.#close(integerOption('timeoutMs', options.timeoutMs, { fallback: 30_000, min: 0 }));
    return this.#closing;
  }

  async #close(timeoutMs: number): Promise<void> {
    let timer: ClientTimer | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = this.#clock.schedule(timeoutMs, resolve);
    });
    await Promise.race([this.flush(), timeout]);
    timer?.cancel();
    this.abort();
  }

  /** Gives up everything under way with CLIENT_CLOSED, at once. */
  abort(): void {
    this.#lastTopic = undefined;
    this.#closing ??= Promise.resolve();
    const error = new BurrowError('CLIENT_CLOSED', 'The producer was closed.');
    this.#blockTimer?.cancel();
    for (const topic of this.#waitingTopics) this.#failLine(topic, error);
    this.#sender.close(error);
    this.#onClosed();
  }

  #topicOf(record: ProducerRecord<K, V>): TopicState<K, V> {
    if (this.#lastTopic?.name === record.topic) return this.#lastTopic;
    if (this.#closing !== undefined) throw new BurrowError('CLIENT_CLOSED', 'The producer is closed.');
    let topic = this.#topics.get(record.topic);
    if (topic === undefined) {
      checkTopicName(record.topic);
      topic = {
        name: record.topic,
        partitionCount: this.#host.cachedTopic(record.topic)?.partitions.length,
        queues: [],
        line: new WaitingLine(),
        loading: false,
        partitioner: new Partitioner({
          topic: record.topic,
          partitionFunction: this.#choosePartition,
          random: () => this.#clock.random(),
        }),
      };
      this.#topics.set(record.topic, topic);
    }
    this.#lastTopic = topic;
    return topic;
  }

  /** Adds the record to the open batch of its partition; undefined if it must wait. Per record. */
  #tryAdd(topic: TopicState<K, V>, record: ProducerRecord<K, V>, nowMs: number): ProducerBatch | undefined {
    if (topic.partitionCount === undefined) return undefined;
    const { key: keyValue, value: userValue } = record;
    const key =
      keyValue === null || keyValue === undefined
        ? null
        : serializeField(this.#keySerializer, keyValue, 'key', topic.name);
    const value = userValue === null ? null : serializeField(this.#valueSerializer, userValue, 'value', topic.name);
    const headers = record.headers === undefined ? undefined : encodeHeaders(record.headers);
    const recordBytes = recordBytesMax(key, value, headers);
    if (recordBytes > this.#host.frameBytesMax - REQUEST_ENVELOPE_BYTES) {
      throw recordTooLarge(topic.name, recordBytes, this.#host.frameBytesMax);
    }
    if (this.#bufferedBytes > 0 && this.#bufferedBytes + recordBytes > this.#options.bufferBytes) return undefined;

    const queue = this.#queueOf(topic, record, key);
    const timestampMs = record.timestampMs ?? nowMs;
    if (!Number.isSafeInteger(timestampMs)) throw badTimestamp(timestampMs);
    const batch = queue.open ?? this.#openBatch(topic, queue);
    if (!batch.builder!.append(timestampMs, key, value, headers)) {
      this.#closeOpenBatch(queue);
      this.#sender.wake(queue);
      // Once per batch. Without a key the record goes to another partition now.
      return this.#tryAdd(topic, record, nowMs);
    }
    batch.recordCount += 1;
    const batchBytes = batch.builder!.estimatedBytes;
    this.#bufferedBytes += batchBytes - batch.accountedBytes;
    batch.accountedBytes = batchBytes;
    return batch;
  }

  #queueOf(topic: TopicState<K, V>, record: ProducerRecord<K, V>, key: Uint8Array | null): PartitionQueue {
    const partitionCount = topic.partitionCount!;
    const asked = record.partition;
    if (asked !== undefined && asked >= partitionCount) this.#lookForPartitions(topic);
    const partition = topic.partitioner.choose(key, partitionCount, asked);
    const known = topic.queues[partition];
    if (known !== undefined) return known;
    const queue = new PartitionQueue(topic.name, partition, this.#options.idempotent, this.#identity);
    topic.queues[partition] = queue;
    return queue;
  }

  /** Partitions may have been added since the topic was described. */
  #lookForPartitions(topic: TopicState<K, V>): void {
    this.#host.refreshMetadata(topic.name).then(() => this.#learnPartitionCount(topic), ignore);
  }

  #learnPartitionCount(topic: TopicState<K, V>): void {
    topic.partitionCount = this.#host.cachedTopic(topic.name)?.partitions.length ?? topic.partitionCount;
  }

  /** Per batch. */
  #openBatch(topic: TopicState<K, V>, queue: PartitionQueue): ProducerBatch {
    this.#learnPartitionCount(topic);
    const createdAtMs = this.#clock.monotonic();
    const deadlineMs = createdAtMs + this.#options.deliveryTimeoutMs;
    const batchBytes = Math.min(this.#options.batchBytes, this.#host.batchBytesMax);
    // As much as the last one took, and a little more: the buffer then seldom has to grow.
    const bytesInitial = Math.min(batchBytes, Math.ceil(queue.lastBatchBytes * 1.25));
    const builder = new BatchBuilder({ batchBytesMax: batchBytes, bytesInitial });
    const batch = new ProducerBatch(queue, queue.nextOrdinal, { createdAtMs, deadlineMs }, builder);
    queue.nextOrdinal += 1;
    queue.open = batch;
    this.#sender.wake(queue);
    return batch;
  }

  /** Per batch. Compression runs beside; the batch keeps its place meanwhile. */
  #closeOpenBatch(queue: PartitionQueue): void {
    const batch = queue.open!;
    queue.open = undefined;
    queue.waiting.push(batch);
    queue.lastBatchBytes = batch.accountedBytes;
    this.#topics.get(queue.topic)?.partitioner.onBatchComplete(queue.partition);
    batch.close(this.#options.compression)?.then(
      () => this.#sender.wake(queue),
      (error) => this.#sender.abandon(batch, toBurrowError(error)),
    );
  }

  #onSettled(batch: ProducerBatch): void {
    this.#bufferedBytes -= batch.accountedBytes;
    if (this.#waitingTopics.size > 0) this.#advanceLines();
  }

  /** One id serves all partitions; a partition that must replace its own gets another one for itself. */
  async #initProducerId(): Promise<ProducerIdentity> {
    const identity = await this.#host.initProducerId();
    this.#identity ??= identity;
    return identity;
  }

  // What follows runs only while somebody waits.

  #wait(
    topic: TopicState<K, V>,
    records: readonly ProducerRecord<K, V>[],
    index: number,
    watcher: SendManyWatcher | undefined,
    resolve: WaitingSend<K, V>['resolve'],
    onEnd: WaitingSend<K, V>['onEnd'],
  ): void {
    const sinceMs = this.#clock.monotonic();
    topic.line.push({ records, index, watcher, resolve, onEnd, sinceMs, next: undefined });
    this.#waitingTopics.add(topic);
    if (topic.partitionCount === undefined && !topic.loading) void this.#load(topic);
    this.#armBlockTimer();
  }

  /** Lines up the records from `index`, each with its topic. */
  #waitWithRest(records: readonly ProducerRecord<K, V>[], index: number, watcher: SendManyWatcher): void {
    const byTopic = new Map<TopicState<K, V>, ProducerRecord<K, V>[]>();
    let failure: BurrowError | undefined;
    for (let rest = index; rest < records.length; rest += 1) {
      const record = records[rest]!;
      try {
        const topic = this.#topicOf(record);
        const line = byTopic.get(topic);
        if (line === undefined) byTopic.set(topic, [record]);
        else line.push(record);
      } catch (error) {
        failure = toBurrowError(error);
        break;
      }
    }
    for (const [topic, line] of byTopic) {
      watcher.addSource();
      this.#wait(topic, line, 0, watcher, undefined, (error) => watcher.sourceEnded(error));
    }
    watcher.sourceEnded(failure);
  }

  async #load(topic: TopicState<K, V>): Promise<void> {
    topic.loading = true;
    try {
      const metadata = await this.#host.topic(topic.name, this.#options.maxBlockMs);
      topic.partitionCount = metadata.partitions.length;
      this.#advanceLines();
    } catch (error) {
      this.#failLine(topic, toBurrowError(error));
      // A name that leads nowhere is not remembered.
      this.#topics.delete(topic.name);
      if (this.#lastTopic === topic) this.#lastTopic = undefined;
    } finally {
      topic.loading = false;
    }
  }

  /** Adds what has become possible to add. A topic that made progress goes to the end, so that none starves. */
  #advanceLines(): void {
    for (const topic of [...this.#waitingTopics]) {
      this.#advanceLine(topic);
      this.#waitingTopics.delete(topic);
      if (topic.line.head !== undefined) this.#waitingTopics.add(topic);
    }
    this.#armBlockTimer();
  }

  #advanceLine(topic: TopicState<K, V>): void {
    const { line } = topic;
    const nowMs = this.#clock.now();
    for (let waiting = line.head; waiting !== undefined; waiting = line.head) {
      let failure: BurrowError | undefined;
      while (waiting.index < waiting.records.length) {
        const record = waiting.records[waiting.index]!;
        let batch: ProducerBatch | undefined;
        try {
          batch = this.#tryAdd(topic, record, nowMs);
        } catch (error) {
          failure = toBurrowError(error);
          break;
        }
        if (batch === undefined) return;
        waiting.index += 1;
        line.lastProgressMs = this.#clock.monotonic();
        waiting.watcher?.onAppended(batch);
        waiting.resolve?.(batch.promiseOfLastRecord(record.timestampMs ?? nowMs));
      }
      line.removeHead();
      waiting.onEnd(failure);
    }
  }

  #failLine(topic: TopicState<K, V>, error: BurrowError): void {
    for (let waiting = topic.line.head; waiting !== undefined; waiting = topic.line.head) {
      topic.line.removeHead();
      waiting.onEnd(error);
    }
    this.#waitingTopics.delete(topic);
  }

  /** Resolves when everybody who waits in the topic's line now has been served or refused. */
  #lineEmpty(topic: TopicState<K, V>): Promise<void> {
    return new Promise((resolve) => {
      this.#wait(topic, [], 0, undefined, undefined, () => resolve());
    });
  }

  #armBlockTimer(): void {
    this.#blockTimer?.cancel();
    this.#blockTimer = undefined;
    let dueMs = Number.POSITIVE_INFINITY;
    for (const topic of this.#waitingTopics) {
      dueMs = Math.min(dueMs, topic.line.giveUpAtMs(this.#options.maxBlockMs));
    }
    if (dueMs === Number.POSITIVE_INFINITY) return;
    this.#blockTimer = this.#clock.schedule(dueMs - this.#clock.monotonic(), () => this.#giveUpBlocked());
  }

  #giveUpBlocked(): void {
    const nowMs = this.#clock.monotonic();
    const { maxBlockMs, bufferBytes } = this.#options;
    for (const topic of [...this.#waitingTopics]) {
      const { line } = topic;
      while (line.head !== undefined && line.giveUpAtMs(maxBlockMs) <= nowMs) {
        const waiting = line.head;
        line.removeHead();
        waiting.onEnd(
          new BurrowError(
            'BUFFER_FULL',
            topic.partitionCount === undefined
              ? `Topic ${topic.name} was not described within maxBlockMs (${maxBlockMs} ms).`
              : `The buffer of ${bufferBytes} bytes had no room within maxBlockMs (${maxBlockMs} ms).`,
            { fields: { topic: topic.name } },
          ),
        );
      }
      if (line.head === undefined) this.#waitingTopics.delete(topic);
    }
    this.#armBlockTimer();
  }
}

function recordTooLarge(topic: string, recordBytes: number, frameBytesMax: number): BurrowError {
  return new BurrowError(
    'RECORD_TOO_LARGE',
    `A record of about ${recordBytes} bytes for topic ${topic} does not fit the broker's largest frame of ${frameBytesMax} bytes.`,
    { fields: { topic, recordBytes, frameBytesMax } },
  );
}

function badTimestamp(timestampMs: unknown): BurrowError {
  return new BurrowError('INVALID_TIMESTAMP', `timestampMs must be an integer, not ${String(timestampMs)}.`);
}

function ignore(): void {}
