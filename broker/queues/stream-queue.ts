/**
 * A stream queue (`x-queue-type: stream`): a topic as AMQP clients see it. Consumers read it from where they like
 * (`stream-offset.ts`), each all of it; nothing they do takes a record away, and an acknowledgment only makes room for further
 * deliveries. What is published becomes records (`topic-target.ts`). Records of any producer become messages as docs/mapping.md says.
 *
 * As in RabbitMQ, consumers must have a prefetch and acknowledge, and single messages cannot be asked for.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { BrokerService } from '../partitions/broker-service.ts';
import type { Clock } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { PublishedMessage } from './message-batch.ts';
import type { StoredTarget } from './message-log.ts';
import type { ConsumedQueue, QueueConsumer } from './queue-consumer.ts';
import { parseStreamOffset, parseStreamPartition } from './stream-offset.ts';
import { StreamSubscription } from './stream-subscription.ts';
import type { TopicTarget } from './topic-target.ts';

export type StreamService = Pick<BrokerService, 'fetch' | 'listOffset' | 'describeTopic' | 'partitionStatus'>;

export interface StreamQueueOptions {
  readonly name: string;
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
}

export class StreamQueue implements ConsumedQueue {
  readonly name: string;
  readonly #options: StreamQueueOptions;
  readonly #subscriptions = new Map<QueueConsumer, StreamSubscription>();
  /** Consumers that have settled deliveries in this turn. */
  readonly #credited = new Set<QueueConsumer>();
  #closeReason: BurrowError | undefined;

  constructor(options: StreamQueueOptions) {
    this.name = options.name;
    this.#options = options;
  }

  get consumers(): Iterable<QueueConsumer> {
    return this.#subscriptions.keys();
  }

  get consumerCount(): number {
    return this.#subscriptions.size;
  }

  /** Records of the topic, those that compaction has removed included. */
  get messageCount(): number {
    const { service, topic } = this.#options;
    if (service.describeTopic(topic) === undefined) return 0;
    return service
      .partitionStatus(topic)
      .reduce((sum, { highWatermark, logStartOffset }) => sum + highWatermark - logStartOffset, 0);
  }

  /** As that of a queue; a stream is never full. Per message. */
  publish(message: PublishedMessage, target: StoredTarget, number: number): true {
    return this.#options.target.publish(message, target, number);
  }

  /** @throws BurrowError INVALID_ARGUMENT, NOT_IMPLEMENTED, UNKNOWN_TOPIC_OR_PARTITION, or why the queue is closed */
  addConsumer(consumer: QueueConsumer): void {
    if (this.#closeReason !== undefined) throw this.#closeReason;
    const { service, topic, clock, logger, decompressedBytesMax } = this.#options;
    const { fetchBytesMax = 256 * 1024, deliveriesMax = 1_024, retryMs = 1_000 } = this.#options;
    if (consumer.noAck) {
      throw new BurrowError('NOT_IMPLEMENTED', `automatic acknowledgement not supported by stream ${this.#shown}`);
    }
    if (consumer.prefetch === 0) {
      throw new BurrowError('INVALID_ARGUMENT', `consumer prefetch count is not set for stream ${this.#shown}`);
    }
    const partitionCount = service.describeTopic(topic)?.partitions.length;
    if (partitionCount === undefined) {
      throw new BurrowError('UNKNOWN_TOPIC_OR_PARTITION', `There is no topic ${topic} for stream ${this.#shown}.`);
    }
    const start = parseStreamOffset(consumer.arguments, clock.now());
    const only = parseStreamPartition(consumer.arguments, partitionCount);
    if (start.kind === 'offset' && only === undefined && partitionCount > 1) {
      throw new BurrowError(
        'INVALID_ARGUMENT',
        `Topic ${topic} has ${partitionCount} partitions; an offset needs x-stream-partition.`,
      );
    }
    const subscription = new StreamSubscription({
      consumer,
      queue: this,
      topic,
      partitions: only === undefined ? Array.from({ length: partitionCount }, (_, partition) => partition) : [only],
      start,
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

  // The record stays where it is, whatever the consumer makes of it; the channel has counted its credit already.

  acknowledge(): void {}

  giveBack(): void {}

  reject(): void {}

  async settlementsSynced(): Promise<void> {}

  /** Consumers are told; the topic is somebody else's to delete. */
  close(reason: BurrowError): void {
    if (this.#closeReason !== undefined) return;
    this.#closeReason = reason;
    for (const [consumer, subscription] of [...this.#subscriptions]) {
      subscription.close();
      this.#subscriptions.delete(consumer);
      consumer.onQueueClosed(reason);
    }
  }

  get #shown(): string {
    return JSON.stringify(this.name);
  }
}
