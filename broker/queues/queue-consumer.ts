/** One subscription of a channel to a queue, as both see it. */
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import type { RingConsumer } from './consumer-ring.ts';
import type { MessageView } from './message-batch.ts';
import type { Queue } from './queue.ts';
import type { QueueChannel } from './queue-channel.ts';

export class QueueConsumer implements RingConsumer {
  readonly channel: QueueChannel;
  readonly queue: Queue;
  readonly tag: string;
  readonly noAck: boolean;
  readonly exclusive: boolean;
  readonly priority: number;
  /** Most deliveries that may be unsettled; 0 for no limit. Fixed when the consumer begins (as RabbitMQ's per-consumer qos). */
  readonly prefetch: number;
  /** Deliveries that are not settled. Moved by the channel. */
  unsettled = 0;
  isQueued = false;
  #cancelled = false;

  constructor(options: {
    readonly channel: QueueChannel;
    readonly queue: Queue;
    readonly tag: string;
    readonly noAck: boolean;
    readonly exclusive: boolean;
    readonly priority: number;
    readonly prefetch: number;
  }) {
    this.channel = options.channel;
    this.queue = options.queue;
    this.tag = options.tag;
    this.noAck = options.noAck;
    this.exclusive = options.exclusive;
    this.priority = options.priority;
    this.prefetch = options.prefetch;
  }

  get canTake(): boolean {
    if (this.#cancelled || !this.channel.canTake) return false;
    return this.noAck || this.prefetch === 0 || this.unsettled < this.prefetch;
  }

  deliver(queue: Queue, offset: number, returns: number, view: MessageView): void {
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
