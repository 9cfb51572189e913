/**
 * What listeners may ask of exchanges and queues: the face of the services, free of any protocol. All failures are
 * {@link BurrowError}s.
 *
 * A listener opens one session per connection and virtual host, and on it as many channels as its protocol has. Calls of one
 * channel take effect in their order; those that return a promise must be awaited before the next call of that channel,
 * which is what AMQP asks of a server anyway.
 */
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import type { FieldTable } from '../../src/messages/field-value.ts';
import type { BindingDefinition } from '../definitions/binding-definition.ts';
import type { PolicyDeclaration, PolicyDefinition } from '../definitions/policy-definition.ts';
import type { QueueSettings } from '../definitions/queue-settings.ts';
import type { ConfirmSink } from './confirms.ts';
import type { MessageView, PublishedMessage } from './message-batch.ts';
import type { ChannelSink, ConsumeOptions } from './queue-channel.ts';

export type { BindingDefinition } from '../definitions/binding-definition.ts';
export type { PolicyDeclaration, PolicyDefinition } from '../definitions/policy-definition.ts';

export interface ExchangeDeclaration {
  readonly name: string;
  /** direct, fanout, topic, headers, x-consistent-hash or x-delayed-message. */
  readonly kind: string;
  readonly durable: boolean;
  readonly autoDelete: boolean;
  readonly internal: boolean;
  readonly arguments: FieldTable;
}

export interface QueueDeclaration {
  /** Empty: the broker makes a name up. */
  readonly name: string;
  readonly durable: boolean;
  /** Of this session only, and gone with it. */
  readonly exclusive: boolean;
  /** Goes when its last consumer goes. */
  readonly autoDelete: boolean;
  readonly arguments: FieldTable;
}

export interface DeclaredQueue {
  readonly name: string;
  /** Ready messages. */
  readonly messageCount: number;
  readonly consumerCount: number;
}

export interface QueueStatus extends DeclaredQueue {
  readonly durable: boolean;
  readonly exclusive: boolean;
  readonly autoDelete: boolean;
  readonly arguments: FieldTable;
  /** Name of the policy that applies. */
  readonly policy: string | undefined;
  readonly unsettledCount: number;
  /** Bytes of its log, settled messages that are not removed yet included. */
  readonly storedBytes: number;
  readonly failure: BurrowError | undefined;
}

/** What a channel tells its client. */
export interface QueueChannelSink extends ChannelSink, ConfirmSink {
  /** No queue took a message that was published as mandatory. Comes before its confirm. */
  onReturned(message: PublishedMessage): void;
  /** The broker ends the channel: a delivery stayed unsettled too long. The channel is closed already. */
  onClosed(error: BurrowError): void;
}

export interface QueueSessionChannel {
  readonly unsettledCount: number;
  /**
   * Routes a message and hands it to its queues. After {@link confirmPublishes} the sink is told what became of it, by numbers
   * that count up from 1. The bytes are copied before it returns. Per message.
   * @throws BurrowError EXCHANGE_NOT_FOUND, ACCESS_REFUSED for an internal exchange, INVALID_ARGUMENT, RECORD_TOO_LARGE,
   * NOT_AUTHORIZED
   */
  publish(message: PublishedMessage, options: { readonly mandatory: boolean }): void;
  /** @throws BurrowError as {@link publish} would, but for its size */
  checkRoute(message: PublishedMessage): void;
  /** From here on publishes are confirmed. */
  confirmPublishes(): void;
  /** Whether publishers should wait: what they have published is not stored yet and takes much memory. */
  readonly isCongested: boolean;
  /** Resolves when {@link isCongested} is over. */
  uncongested(): Promise<void>;

  setPrefetch(count: number, options: { readonly global: boolean }): void;
  /**
   * Begins to consume; `onStarted` is called before the first delivery. With `prefetch` in the options for this consumer alone.
   * Arguments: `x-priority`; for streams `x-stream-offset` and `x-stream-partition` (`stream-offset.ts`).
   * @throws BurrowError QUEUE_NOT_FOUND, RESOURCE_LOCKED, CONSUMER_EXCLUSIVE, CONSUMER_TAG_IN_USE, INVALID_ARGUMENT
   */
  consume(
    queue: string,
    options: Omit<ConsumeOptions, 'priority'> & { readonly arguments: FieldTable },
    onStarted: () => void,
  ): void;
  /** False if there is no such consumer. What it has not settled may still be settled. */
  cancel(consumerTag: string): boolean;
  /** Takes one message; resolves with false if the queue is empty. */
  get(
    queue: string,
    options: { readonly noAck: boolean },
    onMessage: (
      deliveryTag: number,
      returns: number,
      messagesLeft: number,
      view: MessageView,
      settings: QueueSettings,
    ) => void,
  ): Promise<boolean>;
  /** @throws BurrowError UNKNOWN_DELIVERY_TAG */
  acknowledge(deliveryTag: number, multiple: boolean): void;
  /** @throws BurrowError UNKNOWN_DELIVERY_TAG */
  reject(deliveryTag: number, options: { readonly multiple: boolean; readonly requeue: boolean }): void;
  /** @throws BurrowError UNKNOWN_DELIVERY_TAG if it could not be settled now */
  checkUnsettled(deliveryTag: number, multiple: boolean): void;
  /** Gives everything back that is not settled. */
  recover(): void;
  /** The sink can be written to again. */
  onWritable(): void;
  /** Resolves when everything that was settled on this channel before is durable. */
  settlementsSynced(): Promise<void>;
  /** Gives back what is not settled. Idempotent. */
  close(): void;
}

export interface QueueSession {
  readonly virtualHost: string;
  openChannel(sink: QueueChannelSink): QueueSessionChannel;

  /** Equal redeclarations are fine. With `passive` only looks whether it is there. */
  declareExchange(exchange: ExchangeDeclaration): Promise<void>;
  checkExchange(name: string): void;
  /** Nothing if it is not there, as RabbitMQ. @throws BurrowError IN_USE, ACCESS_REFUSED */
  deleteExchange(name: string, options: { readonly ifUnused: boolean }): Promise<void>;
  /** Equal bindings are one. @throws BurrowError EXCHANGE_NOT_FOUND, QUEUE_NOT_FOUND, ACCESS_REFUSED, RESOURCE_LOCKED */
  bind(binding: BindingDefinition): Promise<void>;
  /** Nothing if it is not there. */
  unbind(binding: BindingDefinition): Promise<void>;

  /**
   * `onNamed` is told the name, also one that the broker makes up, before anything is made; what it throws prevents that.
   * @throws BurrowError DECLARED_DIFFERENTLY, RESOURCE_LOCKED, ACCESS_REFUSED, INVALID_ARGUMENT, INVALID_NAME
   */
  declareQueue(queue: QueueDeclaration, onNamed?: (name: string) => void): Promise<DeclaredQueue>;
  /** A queue for replies to this session, in memory and gone with it; its name is not to be guessed (RabbitMQ's direct reply-to). */
  declareReplyQueue(): Promise<string>;
  /** Whether such a queue of any session is still there. @throws BurrowError QUEUE_NOT_FOUND */
  checkReplyQueue(name: string): void;
  /** @throws BurrowError QUEUE_NOT_FOUND, RESOURCE_LOCKED */
  checkQueue(name: string): DeclaredQueue;
  /** Returns how many messages went with it; 0 if it is not there, as RabbitMQ. @throws BurrowError IN_USE, NOT_EMPTY, RESOURCE_LOCKED */
  deleteQueue(name: string, options: { readonly ifUnused: boolean; readonly ifEmpty: boolean }): Promise<number>;
  /** Returns how many messages were removed. */
  purgeQueue(name: string): Promise<number>;

  /**
   * Sets or replaces it. When it resolves, it applies to the queues and exchanges that there are.
   * @throws BurrowError INVALID_NAME, INVALID_ARGUMENT
   */
  setPolicy(policy: PolicyDeclaration): Promise<void>;
  /** Nothing if it is not there. */
  deletePolicy(name: string): Promise<void>;

  listExchanges(): readonly ExchangeDeclaration[];
  listBindings(): readonly BindingDefinition[];
  listQueues(): readonly QueueStatus[];
  listPolicies(): readonly PolicyDefinition[];
  /** Reads messages without taking them, ready or not, from the oldest on. Resolves with how many there were. */
  browseQueue(
    name: string,
    options: { readonly limit: number; readonly skip: number },
    onMessage: (view: MessageView) => void,
  ): Promise<number>;

  /** Closes its channels and deletes its exclusive queues. Idempotent. */
  close(): Promise<void>;
}

export interface QueueService {
  listVirtualHosts(): readonly string[];
  /** Another one of the same name has another. Undefined: there is none of this name. */
  virtualHostId(name: string): number | undefined;
  createVirtualHost(name: string): Promise<void>;
  deleteVirtualHost(name: string): Promise<void>;
  /**
   * `onClosed` is called if the broker ends the session: its virtual host is deleted, or the broker stops.
   * @throws BurrowError VHOST_NOT_FOUND
   */
  openSession(virtualHost: string, onClosed: (error: BurrowError) => void): QueueSession;
}
