/**
 * One channel of a session: publishes through the router, consumes from queues. Joins a {@link QueueChannel} (deliveries) with
 * {@link Confirms} (publishes), and watches how long deliveries stay unsettled. Publishing is per message: no promises, and no
 * objects but for messages whose headers decide where they go.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { editProperties } from '../../src/messages/message-properties.ts';
import { RoutableProperties } from '../../src/messages/routable-properties.ts';
import { resourceText } from '../definitions/equivalence.ts';
import type { RouteTarget } from '../exchanges/destination.ts';
import type { Deadline, DeadlineQueue } from '../partitions/deadline-queue.ts';
import type { Clock } from '../ports/clock.ts';
import { Confirms } from './confirms.ts';
import type { HostedQueue } from './hosted-queue.ts';
import type { PublishedMessage } from './message-batch.ts';
import type { StoredTarget } from './message-log.ts';
import { QueueChannel } from './queue-channel.ts';
import type { QueueChannelSink, QueueSession, QueueSessionChannel } from './queue-service.ts';

/** What a channel needs of its virtual host. */
export interface ChannelHost {
  readonly clock: Clock;
  readonly deadlines: DeadlineQueue;
  /** Of one message, its properties included. */
  readonly messageBytesMax: number;
  /** @throws BurrowError QUEUE_NOT_FOUND, RESOURCE_LOCKED */
  queueFor(session: QueueSession, name: string): HostedQueue;
  /** @throws BurrowError EXCHANGE_NOT_FOUND, ACCESS_REFUSED, INVALID_ARGUMENT */
  route(message: PublishedMessage, routable: RoutableProperties): readonly RouteTarget[];
  /** Hands a message to one of its targets; false if that is full. */
  publishTo(target: RouteTarget, message: PublishedMessage, stored: StoredTarget, number: number): boolean;
  readonly isCongested: boolean;
  uncongested(): Promise<void>;
}

/** How often the oldest delivery is looked at. */
const TIMEOUT_CHECK_MS = 1_000;
const TIMEOUT_CHECK_MS_MAX = 60_000;

export class SessionChannel implements QueueSessionChannel {
  readonly #session: QueueSession;
  readonly #host: ChannelHost;
  readonly #sink: QueueChannelSink;
  readonly #channel: QueueChannel;
  readonly #routable = new RoutableProperties();
  readonly #onClosed: (channel: SessionChannel) => void;
  #confirms: Confirms | undefined;
  #timeoutCheck: Deadline | undefined;
  /** Of the queues that are consumed here: the shortest consumer timeout. */
  #consumerTimeoutMs = Number.POSITIVE_INFINITY;
  #closed = false;

  constructor(options: {
    readonly session: QueueSession;
    readonly host: ChannelHost;
    readonly sink: QueueChannelSink;
    readonly onClosed: (channel: SessionChannel) => void;
  }) {
    this.#session = options.session;
    this.#host = options.host;
    this.#sink = options.sink;
    this.#onClosed = options.onClosed;
    this.#channel = new QueueChannel(options.sink, options.host.clock);
  }

  get unsettledCount(): number {
    return this.#channel.unsettledCount;
  }

  get isCongested(): boolean {
    return this.#host.isCongested;
  }

  uncongested(): Promise<void> {
    return this.#host.uncongested();
  }

  confirmPublishes(): void {
    this.#confirms ??= new Confirms(this.#sink);
  }

  publish(published: PublishedMessage, { mandatory }: { readonly mandatory: boolean }): void {
    this.#checkOpen();
    this.#checkSize(published);
    const routable = this.#routable.set(published.routingKey, published.properties);
    const targets = this.#host.route(published, routable);
    const message = routable.hasBcc ? withoutBcc(published) : published;
    if (targets.length === 0 && mandatory) this.#sink.onReturned(message);
    const confirms = this.#confirms;
    if (confirms === undefined) {
      for (let index = 0; index < targets.length; index++) {
        const target = targets[index]!;
        this.#host.publishTo(target, target.kind === 'delayed' ? published : message, UNHEARD, 0);
      }
      return;
    }
    const number = confirms.begin(targets.length);
    if (targets.length === 0) confirms.confirmUnrouted(number);
    for (let index = 0; index < targets.length; index++) {
      const target = targets[index]!;
      // Where it waits, BCC decides later.
      if (!this.#host.publishTo(target, target.kind === 'delayed' ? published : message, confirms, number)) {
        confirms.refuse(number, new BurrowError('QUEUE_FULL', `Queue ${JSON.stringify(target.name)} is full.`));
      }
    }
  }

  checkRoute(message: PublishedMessage): void {
    this.#host.route(message, this.#routable.set(message.routingKey, message.properties));
  }

  setPrefetch(count: number, options: { readonly global: boolean }): void {
    this.#channel.setPrefetch(count, options);
  }

  consume(queueName: string, options: Parameters<QueueSessionChannel['consume']>[1], onStarted: () => void): void {
    this.#checkOpen();
    const queue = this.#host.queueFor(this.#session, queueName);
    const { arguments: table, ...rest } = options;
    const priority = table.has('x-priority') ? table.get('x-priority') : 0;
    if (typeof priority !== 'number' || !Number.isSafeInteger(priority)) {
      const resource = resourceText('queue', queueName, this.#session.virtualHost);
      throw new BurrowError('INVALID_ARGUMENT', `invalid arg 'x-priority' for ${resource}: expected a whole number`);
    }
    const { consumerTimeoutMs } = queue.settings;
    if (consumerTimeoutMs !== undefined && !options.noAck && consumerTimeoutMs < this.#consumerTimeoutMs) {
      this.#consumerTimeoutMs = consumerTimeoutMs;
      this.#watchDeliveries();
    }
    this.#channel.consume(queue, { ...rest, priority, arguments: table }, onStarted);
  }

  cancel(consumerTag: string): boolean {
    return this.#channel.cancel(consumerTag);
  }

  get(
    queueName: string,
    { noAck }: { readonly noAck: boolean },
    onMessage: Parameters<QueueSessionChannel['get']>[2],
  ): Promise<boolean> {
    this.#checkOpen();
    const queue = this.#host.queueFor(this.#session, queueName);
    return this.#channel.get(queue, noAck, (tag, returns, view) =>
      onMessage(tag, returns, queue.readyCount, view, queue.settings),
    );
  }

  acknowledge(deliveryTag: number, multiple: boolean): void {
    this.#channel.acknowledge(deliveryTag, multiple);
  }

  reject(deliveryTag: number, options: { readonly multiple: boolean; readonly requeue: boolean }): void {
    this.#channel.reject(deliveryTag, options);
  }

  checkUnsettled(deliveryTag: number, multiple: boolean): void {
    this.#channel.checkUnsettled(deliveryTag, multiple);
  }

  recover(): void {
    this.#channel.recover();
  }

  onWritable(): void {
    this.#channel.onWritable();
  }

  async settlementsSynced(): Promise<void> {
    await this.#channel.settlementsSynced();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#timeoutCheck !== undefined) this.#host.deadlines.remove(this.#timeoutCheck);
    this.#channel.close();
    this.#onClosed(this);
  }

  #checkSize({ body, properties }: PublishedMessage): void {
    let bytes = properties.length;
    for (let index = 0; index < body.length; index++) bytes += body[index]!.length;
    if (bytes <= this.#host.messageBytesMax) return;
    throw new BurrowError(
      'RECORD_TOO_LARGE',
      `message size ${bytes} is larger than configured max size ${this.#host.messageBytesMax}`,
    );
  }

  #checkOpen(): void {
    if (this.#closed) throw new BurrowError('UNEXPECTED_FRAME', 'The channel is closed.');
  }

  #watchDeliveries(): void {
    if (this.#timeoutCheck !== undefined) this.#host.deadlines.remove(this.#timeoutCheck);
    const delayMs = Math.min(Math.max(this.#consumerTimeoutMs / 10, TIMEOUT_CHECK_MS), TIMEOUT_CHECK_MS_MAX);
    this.#timeoutCheck = this.#host.deadlines.add(delayMs, () => {
      const ageMs = this.#host.clock.monotonic() - this.#channel.oldestDeliveryMs;
      if (ageMs < this.#consumerTimeoutMs) this.#watchDeliveries();
      else {
        this.close();
        this.#sink.onClosed(
          new BurrowError(
            'DELIVERY_TIMED_OUT',
            `delivery acknowledgement on channel timed out. Timeout value used: ${this.#consumerTimeoutMs} ms`,
          ),
        );
      }
    });
  }
}

/** As RabbitMQ: receivers do not learn of it. */
function withoutBcc(message: PublishedMessage): PublishedMessage {
  return { ...message, properties: editProperties(message.properties, { headers: new Map([['BCC', undefined]]) }) };
}

/** For publishes that nobody wants confirmed. */
const UNHEARD: StoredTarget = { onStored: () => {}, onNotStored: () => {} };
