/**
 * Consumes a queue: hands messages to the handler as they are pushed, and settles them. When its connection or channel is lost it
 * subscribes again by itself; what was not settled by then is delivered again by the broker, so deliveries that wait here are dropped.
 * Per message: no promises or closures, unless the handler is asynchronous.
 */
import { BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import type { ErrorName } from '../../src/errors/table.ts';
import { encodeFieldTable } from '../../src/messages/field-table.ts';
import { type PackedDeliveries, PackedDeliveriesReader } from '../../src/protocol/packed-deliveries.ts';
import { backoffDelayMs } from '../backoff.ts';
import type { ClientTimer } from '../clock.ts';
import type { Cluster } from '../cluster.ts';
import { Channel } from './channel.ts';
import type { ConsumerSettings, MessageHandler } from './consumer-options.ts';
import type { Exchange } from './exchange.ts';
import { type MessageOrigin, QueueMessage } from './queue-message.ts';
import { ACKNOWLEDGE, type Outcome, REJECT, REQUEUE, Settlements } from './settlements.ts';

/** What a consumer needs of its queue. */
export interface ConsumedQueue {
  /** As it is now: one that the broker names may be declared anew. */
  readonly name: string;
  readonly virtualHost: string;
  readonly defaultExchange: Exchange;
  /** Makes what went with the connection anew. */
  restore(): Promise<void>;
}

/** Another connection of ours may still be taken for alive; besides, what is retriable. */
const MAY_PASS: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'RESOURCE_LOCKED',
  'CONSUMER_EXCLUSIVE',
  'CHANNEL_NOT_FOUND',
]);

/** One subscription: a channel, the deliveries that wait, and what was settled. It is over when its channel is lost. */
class Subscription implements MessageOrigin {
  readonly defaultExchange: Exchange;
  readonly channel: Channel;
  /** Deliveries that have not been handed out, a reader for each frame. */
  readonly frames: PackedDeliveriesReader[] = [];
  readonly settlements = new Settlements();
  /** Processed deliveries that needed no acknowledgment and were not given back as credit. */
  processed = 0;
  /** Deliveries that were settled, and how many of them a flush has told the user about. */
  #settled = 0;
  #accounted = 0;
  readonly #cluster: Cluster;
  readonly #noAck: boolean;
  readonly #onSettledInVain: () => void;
  #isFlushScheduled = false;

  constructor(
    cluster: Cluster,
    origin: { readonly defaultExchange: Exchange; readonly noAck: boolean; readonly onSettledInVain: () => void },
    channel: (subscription: Subscription) => Channel,
  ) {
    this.#cluster = cluster;
    this.#noAck = origin.noAck;
    this.#onSettledInVain = origin.onSettledInVain;
    this.defaultExchange = origin.defaultExchange;
    this.channel = channel(this);
  }

  /** Per message. */
  settle({ deliveryTag }: QueueMessage, outcome: Outcome): void {
    // It is gone already.
    if (this.#noAck) return;
    if (this.channel.ended) {
      // The broker delivers it again.
      this.#onSettledInVain();
      return;
    }
    this.#settled++;
    this.settlements.add(deliveryTag, outcome);
    this.#scheduleFlush();
  }

  /** Whether something was settled that no flush has told the user about. */
  get hasUnaccounted(): boolean {
    return this.#accounted < this.#settled;
  }

  /** A delivery that needs no acknowledgment was processed. Per message. */
  onProcessed(prefetch: number): void {
    this.processed++;
    if (this.processed * 2 < prefetch) return;
    this.channel.notify('addDeliveryCredit', { messages: this.processed });
    this.processed = 0;
  }

  flush(): void {
    if (this.settlements.isEmpty) return;
    this.channel.notify('settle', { sync: false, settlements: this.settlements.take() });
  }

  /** Whatever comes of it, the user is told about all that was settled before. */
  async flushDurably(): Promise<void> {
    this.#accounted = this.#settled;
    await this.channel.request('settle', { sync: true, settlements: this.settlements.take() });
  }

  #scheduleFlush(): void {
    if (this.#isFlushScheduled) return;
    this.#isFlushScheduled = true;
    this.#cluster.clock.afterTurn(this.#onTurnEnd);
  }

  readonly #onTurnEnd = (): void => {
    this.#isFlushScheduled = false;
    this.flush();
  };
}

/** Use {@link Queue.consume}. */
export class QueueConsumer {
  readonly #cluster: Cluster;
  readonly #queue: ConsumedQueue;
  readonly #settings: ConsumerSettings;
  readonly #handler: MessageHandler;
  readonly #onEnd: (consumer: QueueConsumer) => void;
  #subscription: Subscription | undefined;
  /** Something was settled whose subscription was lost before a flush; the next {@link flush} must own up to it. */
  #settledInVain = false;
  /** Handlers that have not ended. */
  #running = 0;
  #isPumping = false;
  #failures = 0;
  /** A subscription is on its way; what becomes of it is seen by whoever waits for it. */
  #isSubscribing = false;
  #timer: ClientTimer | undefined;
  #closing: Promise<void> | undefined;
  #onQuiet: (() => void) | undefined;
  #isEnded = false;
  #end!: (error: BurrowError | undefined) => void;
  /** Resolves when no more messages come: with undefined after {@link close}, else with the reason, such as QUEUE_NOT_FOUND. */
  readonly ended: Promise<BurrowError | undefined>;

  constructor(options: {
    readonly cluster: Cluster;
    readonly queue: ConsumedQueue;
    readonly settings: ConsumerSettings;
    readonly handler: MessageHandler;
    readonly onEnd: (consumer: QueueConsumer) => void;
  }) {
    this.#cluster = options.cluster;
    this.#queue = options.queue;
    this.#settings = options.settings;
    this.#handler = options.handler;
    this.#onEnd = options.onEnd;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Rejects with why the queue cannot be consumed. */
  async start(): Promise<void> {
    try {
      await this.#subscribe();
    } catch (error) {
      this.#finish(toBurrowError(error));
      throw error;
    }
  }

  /**
   * Resolves when everything that was settled so far is on stable storage, dead letters of what was rejected included. Rejects with
   * CONNECTION_LOST if that is not known: what was settled since the last flush may come again.
   */
  async flush(): Promise<void> {
    const subscription = this.#subscription;
    const settledInVain = this.#settledInVain;
    this.#settledInVain = false;
    if (subscription === undefined || settledInVain) throw new BurrowError('CONNECTION_LOST');
    await subscription.flushDurably();
  }

  /**
   * Takes no more messages, waits until the handlers that run have ended, for at most `timeoutMs` (default 30,000), and settles. What
   * is not settled goes back to the queue. Idempotent.
   */
  close(options: { timeoutMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options.timeoutMs ?? 30_000);
    return this.#closing;
  }

  async #close(timeoutMs: number): Promise<void> {
    this.#timer?.cancel();
    const subscription = this.#subscription;
    if (subscription !== undefined) {
      subscription.frames.length = 0;
      subscription.channel.request('cancelConsumer', {}).catch(ignore);
    }
    if (this.#running > 0 && timeoutMs > 0) {
      await new Promise<void>((resolve) => {
        const timer = this.#cluster.clock.schedule(timeoutMs, resolve);
        this.#onQuiet = () => {
          timer.cancel();
          resolve();
        };
      });
    }
    // Handlers may have ended after the subscription was lost.
    if (subscription !== undefined && !subscription.channel.ended) {
      if (timeoutMs > 0) await subscription.flushDurably().catch(ignore);
      else subscription.flush();
      subscription.channel.close();
    }
    this.#finish(undefined);
  }

  #finish(error: BurrowError | undefined): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#timer?.cancel();
    this.#end(error);
    this.#onEnd(this);
  }

  get #isOver(): boolean {
    return this.#isEnded || this.#closing !== undefined;
  }

  // One for all subscriptions.
  readonly #onSettledInVain = (): void => {
    this.#settledInVain = true;
  };

  async #subscribe(): Promise<void> {
    const { prefetch, ack, exclusive, table } = this.#settings;
    const { options } = this.#cluster;
    const { name: queue, virtualHost, defaultExchange } = this.#queue;
    const noAck = ack === 'none';
    let lost: BurrowError | undefined;
    const subscription = new Subscription(
      this.#cluster,
      { defaultExchange, noAck, onSettledInVain: this.#onSettledInVain },
      (self) => {
        const handlers = {
          onDeliveries: (deliveries: PackedDeliveries) => this.#onDeliveries(self, deliveries),
          onConsumerEnded: (error: BurrowError) => this.#onConsumerEnded(self, error),
          onLost: (error: BurrowError) => {
            lost = error;
            this.#onLost(self, error);
          },
        };
        return new Channel(this.#cluster.any(), virtualHost, handlers, options.requestTimeoutMs);
      },
    );
    this.#subscription = subscription;
    this.#isSubscribing = true;
    try {
      await subscription.channel.request('consume', {
        queue,
        prefetch,
        noAck,
        exclusive,
        arguments: encodeFieldTable(table),
      });
    } catch (error) {
      if (this.#subscription === subscription) this.#subscription = undefined;
      subscription.channel.close();
      // A request on a channel that could not be opened says nothing.
      throw lost ?? error;
    } finally {
      this.#isSubscribing = false;
    }
  }

  #onConsumerEnded(subscription: Subscription, error: BurrowError): void {
    if (subscription !== this.#subscription || this.#isOver) return;
    this.#subscription = undefined;
    subscription.flush();
    subscription.channel.close();
    this.#finish(error);
  }

  #onLost(subscription: Subscription, error: BurrowError): void {
    if (subscription !== this.#subscription) return;
    this.#subscription = undefined;
    if (subscription.hasUnaccounted) this.#settledInVain = true;
    subscription.frames.length = 0;
    if (this.#isOver || this.#isSubscribing) return;
    if (error.code === 'CLIENT_CLOSED') this.#finish(error);
    else {
      this.#settings.onError(error, undefined);
      this.#resubscribeLater();
    }
  }

  #resubscribeLater(): void {
    const { backoff, clock } = this.#cluster;
    this.#timer = clock.schedule(backoffDelayMs(backoff, this.#failures, clock.random()), () => {
      this.#resubscribe().catch((error: unknown) => this.#onResubscribeFailed(toBurrowError(error)));
    });
    this.#failures++;
  }

  async #resubscribe(): Promise<void> {
    await this.#queue.restore();
    if (this.#isOver) return;
    await this.#subscribe();
    this.#failures = 0;
  }

  #onResubscribeFailed(error: BurrowError): void {
    if (this.#isOver) return;
    if (error.retriable || MAY_PASS.has(error.code)) {
      this.#settings.onError(error, undefined);
      this.#resubscribeLater();
    } else this.#finish(error);
  }

  #onDeliveries(subscription: Subscription, deliveries: PackedDeliveries): void {
    if (this.#isOver) return;
    subscription.frames.push(new PackedDeliveriesReader(deliveries));
    this.#pump();
  }

  /** Hands out what waits, as far as handlers may run. */
  #pump(): void {
    // A handler may settle or fail at once, which leads here again.
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      while (this.#running < this.#settings.concurrency && !this.#isOver) {
        const subscription = this.#subscription;
        const reader = subscription?.frames[0];
        if (subscription === undefined || reader === undefined) break;
        if (this.#advance(subscription, reader)) this.#handle(subscription, new QueueMessage(reader, subscription));
        else subscription.frames.shift();
      }
    } finally {
      this.#isPumping = false;
    }
  }

  /** To the next message of a frame. One that is malformed ends the subscription: nothing after it can be read. */
  #advance(subscription: Subscription, reader: PackedDeliveriesReader): boolean {
    try {
      return reader.next();
    } catch (error) {
      subscription.channel.close();
      this.#onLost(subscription, toBurrowError(error));
      return false;
    }
  }

  #handle(subscription: Subscription, message: QueueMessage): void {
    let returned: unknown;
    this.#running++;
    try {
      returned = this.#handler(message);
    } catch (error) {
      this.#onThrown(subscription, message, error);
      return;
    }
    if (!isThenable(returned)) {
      this.#onReturned(subscription, message);
      return;
    }
    returned.then(
      () => {
        this.#onReturned(subscription, message);
        this.#pump();
      },
      (error: unknown) => {
        this.#onThrown(subscription, message, error);
        this.#pump();
      },
    );
  }

  #onReturned(subscription: Subscription, message: QueueMessage): void {
    if (this.#settings.ack === 'auto') message.settle(ACKNOWLEDGE);
    this.#onHandled(subscription);
  }

  #onThrown(subscription: Subscription, message: QueueMessage, error: unknown): void {
    const { ack, onThrow, onError } = this.#settings;
    if (ack === 'auto') message.settle(onThrow === 'requeue' ? REQUEUE : REJECT);
    this.#onHandled(subscription);
    onError(error, message);
  }

  #onHandled(subscription: Subscription): void {
    if (this.#settings.ack === 'none') subscription.onProcessed(this.#settings.prefetch);
    this.#running--;
    if (this.#running === 0) this.#onQuiet?.();
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}

function ignore(): void {}
