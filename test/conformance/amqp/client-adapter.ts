/** What the scenarios ask of an AMQP client. One adapter per client; the scenarios know no other difference between them. */
import type { AmqpTarget } from '../../support/amqp-target.ts';

/** What not every client can do. A scenario names what it needs. */
export const FEATURES = {
  confirms: 'publisher confirms',
  returns: 'returned messages',
  properties: 'message properties',
  headers: 'headers that are no strings',
  arguments: 'arguments of queues',
  passive: 'passive declarations',
  exchanges: 'exchanges and bindings',
  lifeCycles: 'exclusive and auto-delete queues, and several channels of a connection',
  purge: 'queue.purge',
  settling: 'settling deliveries one by one',
  recover: 'basic.recover',
  globalPrefetch: 'a prefetch for the whole channel',
  exclusiveConsumers: 'exclusive consumers',
  consumerArguments: 'arguments of consumers',
  cancelNotices: 'being told that a consumer was cancelled',
  transactions: 'transactions',
  openRefusals: 'being told why connection.open was refused',
  survivors: 'a connection and consumers that come back by themselves',
} as const;
export type Feature = keyof typeof FEATURES;

/**
 * A field of a header table, in JSON. Kinds of numbers are not told apart; what is no JSON is an object with one key:
 * `!timestamp` (seconds), `!decimal` (digits and a point), `!bytes` (hexadecimal).
 */
export type HeaderValue =
  | string
  | number
  | boolean
  | null
  | readonly HeaderValue[]
  | { readonly [name: string]: HeaderValue };
export type Headers = { readonly [name: string]: HeaderValue };

export interface MessageProperties {
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly headers?: Headers;
  readonly deliveryMode?: number;
  readonly priority?: number;
  readonly correlationId?: string;
  readonly replyTo?: string;
  /** Milliseconds, in digits. */
  readonly expiration?: string;
  readonly messageId?: string;
  /** Seconds. */
  readonly timestamp?: number;
  readonly type?: string;
  readonly userId?: string;
  readonly appId?: string;
}

export interface Publish {
  /** The default exchange unless named. */
  readonly exchange?: string;
  readonly routingKey: string;
  readonly body: Buffer;
  readonly properties?: MessageProperties;
  readonly mandatory?: boolean;
}

export interface ReceivedMessage {
  readonly body: Buffer;
  readonly exchange: string;
  readonly routingKey: string;
  readonly properties: MessageProperties;
}

export interface ReturnedMessage extends ReceivedMessage {
  readonly replyCode: number;
  readonly replyText: string;
}

export interface Delivery extends ReceivedMessage {
  readonly deliveryTag: number;
  readonly redelivered: boolean;
  /** Of consumers only. */
  readonly consumerTag?: string;
  /** How many were left in the queue; of basic.get only. */
  readonly messageCount?: number;
}

export interface QueueOptions {
  readonly durable?: boolean;
  readonly exclusive?: boolean;
  readonly autoDelete?: boolean;
  readonly arguments?: Headers;
}

export interface ExchangeOptions {
  readonly durable?: boolean;
  readonly autoDelete?: boolean;
  readonly internal?: boolean;
  readonly arguments?: Headers;
}

export interface DeclaredQueue {
  readonly queue: string;
  readonly messageCount: number;
  readonly consumerCount: number;
}

/** With what the broker closed a channel or a connection. What an adapter's calls reject with for that reason. */
export class ReplyError extends Error {
  readonly code: number;

  constructor(code: number, text: string) {
    super(text);
    this.code = code;
  }
}

/**
 * One channel. What comes unasked gathers in the arrays. Calls reject with a {@link ReplyError} where the broker answered with an
 * exception; one that comes without a call is told by `closed`.
 */
export interface ClientChannel {
  readonly deliveries: readonly Delivery[];
  readonly returns: readonly ReturnedMessage[];
  /** Tags of consumers that the broker cancelled. */
  readonly cancelled: readonly string[];
  readonly closed: Promise<ReplyError>;

  /** Durable unless said otherwise. An empty name asks for one. */
  declareQueue(queue: string, options?: QueueOptions): Promise<DeclaredQueue>;
  checkQueue(queue: string): Promise<DeclaredQueue>;
  /** How many messages went with it. */
  deleteQueue(queue: string, options?: { readonly ifUnused?: boolean; readonly ifEmpty?: boolean }): Promise<number>;
  purgeQueue(queue: string): Promise<number>;
  bindQueue(queue: string, exchange: string, routingKey: string, bindingArguments?: Headers): Promise<void>;
  unbindQueue(queue: string, exchange: string, routingKey: string): Promise<void>;
  /** Durable unless said otherwise. */
  declareExchange(exchange: string, type: string, options?: ExchangeOptions): Promise<void>;
  checkExchange(exchange: string): Promise<void>;
  deleteExchange(exchange: string): Promise<void>;
  bindExchange(destination: string, source: string, routingKey: string): Promise<void>;

  /** In a channel with confirms: resolves with the broker's answer. Otherwise once it is sent. */
  publish(message: Publish): Promise<'confirmed' | 'refused'>;
  get(queue: string, options: { readonly noAck: boolean }): Promise<Delivery | undefined>;
  /** Gets a message and publishes it again, with the properties just as the client has understood them. */
  forward(from: string, to: string): Promise<void>;

  prefetch(count: number, options?: { readonly global?: boolean }): Promise<void>;
  /** Resolves with the consumer's tag. */
  consume(
    queue: string,
    options?: { readonly noAck?: boolean; readonly exclusive?: boolean; readonly arguments?: Headers },
  ): Promise<string>;
  cancel(consumerTag: string): Promise<void>;
  ack(deliveryTag: number, options?: { readonly multiple?: boolean }): Promise<void>;
  nack(deliveryTag: number, options: { readonly multiple?: boolean; readonly requeue: boolean }): Promise<void>;
  reject(deliveryTag: number, options: { readonly requeue: boolean }): Promise<void>;
  recover(): Promise<void>;

  selectTransactions(): Promise<void>;
  commit(): Promise<void>;
  rollback(): Promise<void>;

  close(): Promise<void>;
}

export interface ClientConnection {
  openChannel(options?: { readonly confirms?: boolean }): Promise<ClientChannel>;
  close(): Promise<void>;
}

/** A connection with a consumer that acknowledges, both of which the client itself brings back after the broker was away. */
export interface Survivor {
  /** Bodies that were delivered, in order. */
  readonly bodies: readonly string[];
  /** Publishes over the same connection to the queue that is consumed; resolves when it is confirmed. */
  publish(body: string): Promise<void>;
  close(): Promise<void>;
}

export interface ConnectOptions {
  readonly user?: string;
  readonly password?: string;
  readonly virtualHost?: string;
}

export interface AmqpClient {
  /** What it cannot do, and why. */
  readonly cannot: Partial<Readonly<Record<Feature, string>>>;
  /** Of the headers of every type (in `scenarios/publishing.ts`) those that it shows as something else than they are. */
  readonly readsOtherwise?: Headers;
  /** Those that it writes as something else when it passes on what it read. */
  readonly writesOtherwise?: Headers;
  /** Rejects with a {@link ReplyError} where the broker said why. */
  connect(target: AmqpTarget, options?: ConnectOptions): Promise<ClientConnection>;
  survive?(target: AmqpTarget, queue: string): Promise<Survivor>;
  close?(): Promise<void>;
}
