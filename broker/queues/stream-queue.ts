/**
 * A stream queue (`x-queue-type: stream`): a topic as AMQP clients see it. Consumers read it from where they like
 * (`stream-offset.ts`), each all of it; nothing they do takes a record away, and an acknowledgment only makes room for further
 * deliveries. What is published becomes records (`topic-target.ts`). Records of any producer become messages as docs/mapping.md says.
 *
 * As in RabbitMQ, consumers must have a prefetch and acknowledge, and single messages cannot be asked for.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { QueueSettings } from '../definitions/queue-settings.ts';
import type { BrokerService, PartitionStatus } from '../partitions/broker-service.ts';
import type { Clock } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { HostedQueue } from './hosted-queue.ts';
import type { PublishedMessage } from './message-batch.ts';
import type { StoredTarget } from './message-log.ts';
import type { QueueConsumer } from './queue-consumer.ts';
import { parseStreamOffset, parseStreamPartition, type StreamStart } from './stream-offset.ts';
import { StreamSubscription } from './stream-subscription.ts';
import type { TopicTarget } from './topic-target.ts';

export type StreamService = Pick<BrokerService, 'fetch' | 'listOffset' | 'describeTopic' | 'partitionStatus'>;

export interface StreamQueueOptions {
  readonly name: string;
  readonly settings: QueueSettings;
  readonly topic: string;
  readonly service: StreamService;
  readonly target: TopicTarget;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What a compressed batch may become. */
  readonly decompressedBytesMax: number;
  /** Of one read, by each consumer. Default 256 KiB. */
  readonly fetchBytesMax?: number;
  /** Messages handed to a consumer in one go; then others have their turn. Default 1,024. */
  readonly deliveriesMax?: number;
  /** How long a consumer waits after a read that failed. Default 1,000. */
  readonly retryMs?: number;
  /** Its settings have changed, for its topic to follow. */
  readonly onReconfigured?: (before: QueueSettings) => void;
}

export class StreamQueue implements HostedQueue {
  readonly name: string;
  readonly #options: StreamQueueOptions;
  readonly #subscriptions = new Map<QueueConsumer, StreamSubscription>();
  #settings: QueueSettings;
  /** Consumers that have settled deliveries in this turn. */
  readonly #credited = new Set<QueueConsumer>();
  #closeReason: BurrowError | undefined;

  constructor(options: StreamQueueOptions) {
    this.name = options.name;
    this.#settings = options.settings;
    this.#options = options;
  }

  get settings(): QueueSettings {
    return this.#settings;
  }

  get topic(): string {
    return this.#options.topic;
  }

  get consumers(): Iterable<QueueConsumer> {
    return this.#subscriptions.keys();
  }

  get consumerCount(): number {
    return this.#subscriptions.size;
  }

  /** Records of the topic, those that compaction has removed included. */
  get readyCount(): number {
    return this.#partitions.reduce((sum, { highWatermark, logStartOffset }) => sum + highWatermark - logStartOffset, 0);
  }

  get unsettledCount(): number {
    let count = 0;
    for (const consumer of this.#subscriptions.keys()) count += consumer.unsettled;
    return count;
  }

  get storedBytes(): number {
    return this.#partitions.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** That of the first partition that has one, or that the topic is not there. */
  get failure(): BurrowError | undefined {
    const { service, topic } = this.#options;
    if (service.describeTopic(topic) === undefined) return this.#topicMissing();
    return this.#partitions.find(({ failure }) => failure !== undefined)?.failure;
  }

  begin(): void {}

  /** As that of a queue; a stream is never full. Per message. */
  publish(message: PublishedMessage, target: StoredTarget | undefined, number: number): true {
    if (this.#closeReason === undefined) return this.#options.target.publish(message, target ?? UNHEARD, number);
    target?.onNotStored(number, number, this.#closeReason);
    return true;
  }

  /** @throws BurrowError INVALID_ARGUMENT, NOT_IMPLEMENTED, UNKNOWN_TOPIC_OR_PARTITION, or why the queue is closed */
  checkConsumer(consumer: QueueConsumer): void {
    this.#startOf(consumer);
  }

  /** Where a consumer begins, and in which partitions. */
  #startOf(consumer: QueueConsumer): { readonly start: StreamStart; readonly partitions: readonly number[] } {
    if (this.#closeReason !== undefined) throw this.#closeReason;
    const { service, topic, clock } = this.#options;
    if (consumer.noAck) {
      throw new BurrowError('NOT_IMPLEMENTED', `automatic acknowledgement not supported by stream ${this.#shown}`);
    }
    if (consumer.prefetch === 0) {
      throw new BurrowError('INVALID_ARGUMENT', `consumer prefetch count is not set for stream ${this.#shown}`);
    }
    const partitionCount = service.describeTopic(topic)?.partitions.length;
    if (partitionCount === undefined) {
      throw this.#topicMissing();
    }
    const start = parseStreamOffset(consumer.arguments, clock.now());
    const only = parseStreamPartition(consumer.arguments, partitionCount);
    if (start.kind === 'offset' && only === undefined && partitionCount > 1) {
      throw new BurrowError(
        'INVALID_ARGUMENT',
        `Topic ${topic} has ${partitionCount} partitions; an offset needs x-stream-partition.`,
      );
    }
    const partitions =
      only === undefined ? Array.from({ length: partitionCount }, (_, partition) => partition) : [only];
    return { start, partitions };
  }

  /** @throws BurrowError as {@link StreamQueue.checkConsumer} */
  addConsumer(consumer: QueueConsumer): void {
    const { service, topic, clock, logger, decompressedBytesMax } = this.#options;
    const { fetchBytesMax = 256 * 1024, deliveriesMax = 1_024, retryMs = 1_000 } = this.#options;
    const subscription = new StreamSubscription({
      consumer,
      queue: this,
      topic,
      ...this.#startOf(consumer),
      service,
      clock,
      logger,
      decompressedBytesMax,
      fetchBytesMax,
      deliveriesMax,
      retryMs,
      onEnded: (reason) => {
        this.#subscriptions.delete(consumer);
        consumer.onQueueClosed(reason);
      },
    });
    this.#subscriptions.set(consumer, subscription);
    subscription.begin();
  }

  removeConsumer(consumer: QueueConsumer): void {
    this.#subscriptions.get(consumer)?.close();
    this.#subscriptions.delete(consumer);
    this.#credited.delete(consumer);
  }

  onCredit(consumer: QueueConsumer): void {
    this.#subscriptions.get(consumer)?.resume();
  }

  onCreditQuietly(consumer: QueueConsumer): void {
    this.#credited.add(consumer);
  }

  afterSettling(): void {
    for (const consumer of this.#credited) this.onCredit(consumer);
    this.#credited.clear();
  }

  async get(): Promise<never> {
    throw new BurrowError('NOT_IMPLEMENTED', `basic.get not supported by stream ${this.#shown}`);
  }

  /** As in RabbitMQ: records go by retention only. */
  async purge(): Promise<never> {
    throw new BurrowError('NOT_IMPLEMENTED', `queue.purge not supported by stream ${this.#shown}`);
  }

  /** A consumer from the first record on sees the same, and takes nothing away either. */
  async browse(): Promise<never> {
    throw new BurrowError('NOT_IMPLEMENTED', `browsing is not supported by stream ${this.#shown}: consume it instead`);
  }

  reconfigure(settings: QueueSettings): void {
    const before = this.#settings;
    this.#settings = settings;
    this.#options.onReconfigured?.(before);
  }

  async settled(): Promise<void> {
    await this.#options.target.settled();
  }

  // The record stays where it is, whatever the consumer makes of it; the channel has counted its credit already.

  acknowledge(): void {}

  giveBack(): void {}

  reject(): void {}

  async settlementsSynced(): Promise<void> {}

  /** Consumers are told; the topic is for the host to delete. */
  close(reason: BurrowError): void {
    if (this.#closeReason !== undefined) return;
    this.#closeReason = reason;
    for (const [consumer, subscription] of [...this.#subscriptions]) {
      subscription.close();
      this.#subscriptions.delete(consumer);
      consumer.onQueueClosed(reason);
    }
  }

  get #partitions(): readonly PartitionStatus[] {
    const { service, topic } = this.#options;
    return service.describeTopic(topic) === undefined ? [] : service.partitionStatus(topic);
  }

  #topicMissing(): BurrowError {
    const { topic } = this.#options;
    return new BurrowError('UNKNOWN_TOPIC_OR_PARTITION', `There is no topic ${topic} for stream ${this.#shown}.`);
  }

  get #shown(): string {
    return JSON.stringify(this.name);
  }
}

/** For publishes that nobody wants confirmed. */
const UNHEARD: StoredTarget = { onStored: () => {}, onNotStored: () => {} };
