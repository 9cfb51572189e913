/** One subscription of a channel to a queue, as both see it. */
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import { type FieldTable, NO_FIELDS } from '../../src/messages/field-value.ts';
import type { QueueSettings } from '../definitions/queue-settings.ts';
import type { RingConsumer } from './consumer-ring.ts';
import type { MessageView } from './message-batch.ts';
import type { ReturnCause } from './queue.ts';
import type { QueueChannel } from './queue-channel.ts';

/** What a channel needs of what is consumed on it: a queue, or a stream. */
export interface ConsumedQueue {
  readonly name: string;
  readonly settings: QueueSettings;
  readonly consumers: Iterable<QueueConsumer>;
  /** To be called before the client is told that its consumer is there. @throws BurrowError why it cannot be */
  checkConsumer(consumer: QueueConsumer): void;
  /** Deliveries begin. @throws BurrowError as {@link ConsumedQueue.checkConsumer} */
  addConsumer(consumer: QueueConsumer): void;
  removeConsumer(consumer: QueueConsumer): void;
  /** A consumer can take messages again. */
  onCredit(consumer: QueueConsumer): void;
  /** As {@link ConsumedQueue.onCredit}, where {@link ConsumedQueue.afterSettling} follows. Per message. */
  onCreditQuietly(consumer: QueueConsumer): void;
  /** Hands one message to `onMessage`, which returns false if it cannot take it; resolves with false if there is none. */
  get(noAck: boolean, onMessage: (offset: number, returns: number, view: MessageView) => boolean): Promise<boolean>;
  /** What becomes of deliveries. Per message; {@link ConsumedQueue.afterSettling} follows. */
  acknowledge(offset: number): void;
  giveBack(offset: number, bytes: number, cause: ReturnCause): void;
  reject(offset: number): void;
  afterSettling(): void;
  /** Resolves when everything that was settled before the call is durable. */
  settlementsSynced(): Promise<void>;
}

export class QueueConsumer implements RingConsumer {
  readonly channel: QueueChannel;
  readonly queue: ConsumedQueue;
  readonly tag: string;
  readonly noAck: boolean;
  readonly exclusive: boolean;
  readonly priority: number;
  /** Most deliveries that may be unsettled; 0 for no limit. Fixed when the consumer begins (as RabbitMQ's per-consumer qos). */
  readonly prefetch: number;
  /** Of basic.consume. */
  readonly arguments: FieldTable;
  /** Deliveries that are not settled. Moved by the channel. */
  unsettled = 0;
  isQueued = false;
  #cancelled = false;

  constructor(options: {
    readonly channel: QueueChannel;
    readonly queue: ConsumedQueue;
    readonly tag: string;
    readonly noAck: boolean;
    readonly exclusive: boolean;
    readonly priority: number;
    readonly prefetch: number;
    readonly arguments?: FieldTable;
  }) {
    this.channel = options.channel;
    this.queue = options.queue;
    this.tag = options.tag;
    this.noAck = options.noAck;
    this.exclusive = options.exclusive;
    this.priority = options.priority;
    this.prefetch = options.prefetch;
    this.arguments = options.arguments ?? NO_FIELDS;
  }

  get canTake(): boolean {
    if (this.#cancelled || !this.channel.canTake) return false;
    return this.noAck || this.prefetch === 0 || this.unsettled < this.prefetch;
  }

  deliver(queue: ConsumedQueue, offset: number, returns: number, view: MessageView): void {
    this.channel.deliver(this, queue, offset, returns, view);
  }

  /** The queue takes it no more. */
  cancel(): void {
    this.#cancelled = true;
  }

  onQueueClosed(reason: BurrowError): void {
    this.#cancelled = true;
    this.channel.onConsumerCancelled(this, reason);
  }
}
