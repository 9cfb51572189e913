/**
 * One conversation of a client with queues: its consumers, the deliveries that it has not settled, its prefetch limits. What AMQP calls
 * a channel; clients of the native protocol have one per connection. Knows no protocol: what is delivered goes to a sink.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { FieldTable } from '../../src/messages/field-value.ts';
import type { Clock } from '../ports/clock.ts';
import type { MessageView } from './message-batch.ts';
import { type ConsumedQueue, QueueConsumer } from './queue-consumer.ts';
import { UnsettledDeliveries } from './unsettled-deliveries.ts';

export interface ChannelSink {
  /** Whether more may be delivered now; when that changes to true, {@link QueueChannel.onWritable} must be called. */
  readonly isWritable: boolean;
  /** Hands a message to the client. `view` is good during the call only. Per message. */
  deliver(consumer: QueueConsumer, deliveryTag: number, returns: number, view: MessageView): void;
  /** The broker has ended a consumer: its queue is gone. */
  onCancelled(consumer: QueueConsumer, reason: BurrowError): void;
}

export interface ConsumeOptions {
  readonly tag: string;
  readonly noAck: boolean;
  readonly exclusive: boolean;
  /** Larger is served first. */
  readonly priority: number;
  /** Overrides the channel's prefetch for new consumers; 0 for no limit. */
  readonly prefetch?: number;
  /** Those of basic.consume: streams have some of their own (`stream-offset.ts`). */
  readonly arguments?: FieldTable;
}

export class QueueChannel {
  readonly #sink: ChannelSink;
  readonly #clock: Clock;
  readonly #consumers = new Map<string, QueueConsumer>();
  readonly #unsettled = new UnsettledDeliveries();
  /** For consumers to come; 0 for no limit. */
  #prefetch = 0;
  /** Over all consumers of the channel; 0 for no limit. */
  #channelPrefetch = 0;
  #closed = false;
  /** Queues whose messages were settled, until that is known to be durable; and in which round. */
  readonly #settledOn = new Map<ConsumedQueue, number>();
  #lastSettledOn: ConsumedQueue | undefined;
  /** Counts up; tells whether a queue was settled on again. */
  #settledRound = 0;
  /** The channel's prefetch was used up when a delivery was settled; consumers wait for credit. */
  #wasFull = false;
  /** Deliveries to consumers that count against the channel's prefetch. */
  #counted = 0;

  constructor(sink: ChannelSink, clock: Clock) {
    this.#sink = sink;
    this.#clock = clock;
  }

  get consumers(): ReadonlyMap<string, QueueConsumer> {
    return this.#consumers;
  }

  get unsettledCount(): number {
    return this.#unsettled.count;
  }

  /** When the oldest delivery that is not settled was handed out, by the monotonic clock; Infinity if there is none. */
  get oldestDeliveryMs(): number {
    return this.#unsettled.oldestMs;
  }

  get canTake(): boolean {
    if (this.#closed || !this.#sink.isWritable) return false;
    return this.#channelPrefetch === 0 || this.#counted < this.#channelPrefetch;
  }

  /** AMQP's basic.qos as RabbitMQ means it: per consumer, for those to come, or over the whole channel. */
  setPrefetch(count: number, options: { readonly global: boolean }): void {
    if (!options.global) {
      this.#prefetch = count;
      return;
    }
    this.#channelPrefetch = count;
    this.onWritable();
  }

  /**
   * Begins to consume. `onStarted` is called before the first delivery.
   * @throws BurrowError CONSUMER_TAG_IN_USE, CONSUMER_EXCLUSIVE, what a stream needs of consumers, or why the queue is closed
   */
  consume(
    queue: ConsumedQueue,
    options: ConsumeOptions,
    onStarted: (consumer: QueueConsumer) => void = ignore,
  ): QueueConsumer {
    const { tag, exclusive } = options;
    if (this.#consumers.has(tag)) {
      throw new BurrowError('CONSUMER_TAG_IN_USE', `attempt to reuse consumer tag '${tag}'`);
    }
    // As in RabbitMQ, a consumer that wants a queue for itself makes no sense where one at a time is active.
    if (exclusive && queue.settings.singleActiveConsumer) throw exclusivelyConsumed(queue);
    for (const other of queue.consumers) if (other.exclusive || exclusive) throw exclusivelyConsumed(queue);
    const consumer = new QueueConsumer({ prefetch: this.#prefetch, ...options, channel: this, queue });
    queue.checkConsumer(consumer);
    this.#consumers.set(tag, consumer);
    onStarted(consumer);
    try {
      queue.addConsumer(consumer);
    } catch (error) {
      this.#consumers.delete(tag);
      throw error;
    }
    return consumer;
  }

  /** Ends a consumer; what it has not settled it may still settle. False if there is none with this tag. */
  cancel(tag: string): boolean {
    const consumer = this.#consumers.get(tag);
    if (consumer === undefined) return false;
    this.#consumers.delete(tag);
    consumer.cancel();
    consumer.queue.removeConsumer(consumer);
    return true;
  }

  /** Asks for one message, which `onMessage` gets; resolves with false if the queue is empty. */
  get(
    queue: ConsumedQueue,
    noAck: boolean,
    onMessage: (deliveryTag: number, returns: number, view: MessageView) => void,
  ): Promise<boolean> {
    return queue.get(noAck, (offset, returns, view) => {
      if (this.#closed) return false;
      const tag = noAck
        ? this.#unsettled.skip()
        : this.#unsettled.add(queue, undefined, offset, view.bodyBytes, this.#clock.monotonic());
      onMessage(tag, returns, view);
      return true;
    });
  }

  /** Called by consumers. Per message. */
  deliver(consumer: QueueConsumer, queue: ConsumedQueue, offset: number, returns: number, view: MessageView): void {
    let tag: number;
    if (consumer.noAck) tag = this.#unsettled.skip();
    else {
      tag = this.#unsettled.add(queue, consumer, offset, view.bodyBytes, this.#clock.monotonic());
      consumer.unsettled++;
      this.#counted++;
    }
    this.#sink.deliver(consumer, tag, returns, view);
  }

  /**
   * Deliveries are done with. With `multiple`: all up to this tag, or all there are for tag 0.
   * @throws BurrowError UNKNOWN_DELIVERY_TAG
   */
  acknowledge(deliveryTag: number, multiple: boolean): void {
    this.#settle(deliveryTag, multiple, ACKNOWLEDGE);
  }

  /**
   * Deliveries are given back (`requeue`), or refused for good: dropped or dead-lettered.
   * @throws BurrowError UNKNOWN_DELIVERY_TAG
   */
  reject(deliveryTag: number, options: { readonly multiple: boolean; readonly requeue: boolean }): void {
    this.#settle(deliveryTag, options.multiple, options.requeue ? GIVE_BACK : REJECT);
  }

  /**
   * With `multiple`, tag 0 means all, also if there is none (AMQP 0-9-1, basic.ack). Any other must be unsettled itself, as in RabbitMQ
   * (rabbit_channel:collect_acks).
   * @throws BurrowError UNKNOWN_DELIVERY_TAG unless it could be settled now
   */
  checkUnsettled(deliveryTag: number, multiple: boolean): void {
    if (!(multiple && deliveryTag === 0) && !this.#unsettled.has(deliveryTag)) throw unknownTag(deliveryTag);
  }

  /** Gives back everything that is not settled (basic.recover). */
  recover(): void {
    this.#settleRange(this.#unsettled.nextTag - 1, GIVE_BACK);
  }

  /** Ends all consumers; what is not settled goes back to its queues. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const consumer of this.#consumers.values()) consumer.cancel();
    this.#settleRange(this.#unsettled.nextTag - 1, LOST);
    for (const consumer of [...this.#consumers.values()]) consumer.queue.removeConsumer(consumer);
    this.#consumers.clear();
  }

  /** Resolves when everything that was settled here before is durable. */
  async settlementsSynced(): Promise<void> {
    this.#lastSettledOn = undefined;
    await Promise.all(Array.from(this.#settledOn, ([queue, round]) => this.#synced(queue, round)));
  }

  /** The queue is forgotten only then: others may ask meanwhile, and after a failure again. */
  async #synced(queue: ConsumedQueue, round: number): Promise<void> {
    await queue.settlementsSynced();
    if (this.#settledOn.get(queue) === round) this.#settledOn.delete(queue);
  }

  /** More may be delivered again. */
  onWritable(): void {
    for (const consumer of this.#consumers.values()) consumer.queue.onCredit(consumer);
  }

  onConsumerCancelled(consumer: QueueConsumer, reason: BurrowError): void {
    if (this.#consumers.get(consumer.tag) !== consumer) return;
    this.#consumers.delete(consumer.tag);
    if (!this.#closed) this.#sink.onCancelled(consumer, reason);
  }

  #settle(deliveryTag: number, multiple: boolean, how: Settlement): void {
    const unsettled = this.#unsettled;
    if (multiple) {
      this.checkUnsettled(deliveryTag, multiple);
      this.#settleRange(deliveryTag === 0 ? unsettled.nextTag - 1 : deliveryTag, how);
      return;
    }
    if (!unsettled.take(deliveryTag)) throw unknownTag(deliveryTag);
    const queue = unsettled.queue!;
    this.#settleTaken(how);
    queue.afterSettling();
    this.#afterSettling();
  }

  #settleRange(lastTag: number, how: Settlement): void {
    const unsettled = this.#unsettled;
    let touched: Set<ConsumedQueue> | undefined;
    let queue: ConsumedQueue | undefined;
    while (unsettled.count > 0 && unsettled.firstTag <= lastTag) {
      unsettled.take(unsettled.firstTag);
      // Mostly all are of one queue.
      if (queue !== undefined && queue !== unsettled.queue) {
        touched ??= new Set();
        touched.add(queue);
      }
      queue = unsettled.queue;
      this.#settleTaken(how);
    }
    // Only now, or newer messages would be handed out before all that come back have come back.
    for (const other of touched ?? []) if (other !== queue) other.afterSettling();
    queue?.afterSettling();
    this.#afterSettling();
  }

  /** Where the channel's prefetch was used up, all its consumers have credit again. */
  #afterSettling(): void {
    if (!this.#wasFull) return;
    this.#wasFull = false;
    this.onWritable();
  }

  #settleTaken(how: Settlement): void {
    const { queue, consumer, offset, bytes } = this.#unsettled;
    if (queue !== this.#lastSettledOn) {
      this.#lastSettledOn = queue;
      this.#settledOn.set(queue!, ++this.#settledRound);
    }
    if (how === ACKNOWLEDGE) queue!.acknowledge(offset);
    else if (how === REJECT) queue!.reject(offset);
    else queue!.giveBack(offset, bytes, how === LOST ? 'lost' : 'requeued');
    if (consumer === undefined) return;
    consumer.unsettled--;
    if (this.#channelPrefetch !== 0 && this.#counted >= this.#channelPrefetch) this.#wasFull = true;
    this.#counted--;
    if (!consumer.isQueued) queue!.onCreditQuietly(consumer);
  }
}

type Settlement = typeof ACKNOWLEDGE | typeof REJECT | typeof GIVE_BACK | typeof LOST;
const ACKNOWLEDGE = 0;
const REJECT = 1;
const GIVE_BACK = 2;
const LOST = 3;

function ignore(): void {}

function exclusivelyConsumed({ name }: ConsumedQueue): BurrowError {
  return new BurrowError('CONSUMER_EXCLUSIVE', `queue '${name}' in exclusive use`);
}

function unknownTag(deliveryTag: number): BurrowError {
  return new BurrowError('UNKNOWN_DELIVERY_TAG', `unknown delivery tag ${deliveryTag}`, { fields: { deliveryTag } });
}
