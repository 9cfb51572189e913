/** How exchanges and queues are declared: options in camel case, and the AMQP arguments that they become. */
import type { FieldTable } from '../../src/messages/field-value.ts';
import { type HeadersInput, toFieldTable } from './field-values.ts';

export interface QueueArgumentOptions {
  /** Messages older than this are dead-lettered or dropped, in milliseconds. */
  readonly messageTtlMs?: number | undefined;
  /** The queue is deleted when it was not used for this long, in milliseconds. */
  readonly expiresMs?: number | undefined;
  /** Most ready messages. */
  readonly maxLength?: number | undefined;
  /** Most bytes of ready messages. */
  readonly maxLengthBytes?: number | undefined;
  /** What happens beyond either. Default 'drop-head'. */
  readonly overflow?: 'drop-head' | 'reject-publish' | 'reject-publish-dlx' | undefined;
  /** Where rejected, expired and dropped messages go. */
  readonly deadLetterExchange?: string | undefined;
  readonly deadLetterRoutingKey?: string | undefined;
  readonly deadLetterStrategy?: 'at-most-once' | 'at-least-once' | undefined;
  /** Makes it a priority queue, up to 255. */
  readonly maxPriority?: number | undefined;
  /** One consumer at a time gets messages; when it goes, the next takes over. */
  readonly singleActiveConsumer?: boolean | undefined;
  /** How often a message may come back before it is dead-lettered or dropped; -1 for no limit. */
  readonly deliveryLimit?: number | undefined;
  /** How long a delivery may stay unsettled, in milliseconds. */
  readonly consumerTimeoutMs?: number | undefined;
  /** Messages that come back wait, longer each time. */
  readonly delayedRetryType?: 'disabled' | 'all' | 'failed' | 'returned' | undefined;
  readonly delayedRetryMinMs?: number | undefined;
  readonly delayedRetryMaxMs?: number | undefined;
  /** Messages of one group are processed in order, one at a time; the group is the value of this header, or for '' the routing key. */
  readonly groupKeyHeader?: string | undefined;
  /** Drops messages whose id was seen lately. */
  readonly deduplication?: boolean | undefined;
  /** Header with the id. Default: the message id. */
  readonly deduplicationHeader?: string | undefined;
  readonly deduplicationWindowMs?: number | undefined;
  readonly deduplicationWindowCount?: number | undefined;
  /** 'stream' makes it a view on a topic. */
  readonly type?: 'classic' | 'quorum' | 'stream' | undefined;
  /** Of a stream: the topic. Default: of the queue's name. */
  readonly topic?: string | undefined;
  /** Of a stream: how long messages are kept, such as '7D' (Y, M, D, h, m, s). */
  readonly maxAge?: string | undefined;
}

export interface QueueOptions extends QueueArgumentOptions {
  /** Survives a restart of the broker, with its messages. Default true, unless it is exclusive. */
  readonly durable?: boolean | undefined;
  /** Of this client's connection only, and gone with it. Default false. */
  readonly exclusive?: boolean | undefined;
  /** Goes when its last consumer goes. Default false. */
  readonly autoDelete?: boolean | undefined;
  /** Further arguments, by their AMQP names. */
  readonly arguments?: HeadersInput | undefined;
}

export interface ExchangeOptions {
  /** Default 'direct'. */
  readonly type?: 'direct' | 'fanout' | 'topic' | 'headers' | 'x-consistent-hash' | 'x-delayed-message' | undefined;
  /** Survives a restart of the broker. Default true. */
  readonly durable?: boolean | undefined;
  /** Goes when its last binding goes. Default false. */
  readonly autoDelete?: boolean | undefined;
  /** Only other exchanges may publish to it. Default false. */
  readonly internal?: boolean | undefined;
  /** Takes what this exchange routes nowhere. */
  readonly alternateExchange?: string | undefined;
  /** Of an x-delayed-message exchange: how it routes. */
  readonly delayedType?: 'direct' | 'fanout' | 'topic' | 'headers' | undefined;
  /** Further arguments, by their AMQP names. */
  readonly arguments?: HeadersInput | undefined;
}

const QUEUE_ARGUMENTS: Readonly<Record<keyof QueueArgumentOptions, string>> = {
  messageTtlMs: 'x-message-ttl',
  expiresMs: 'x-expires',
  maxLength: 'x-max-length',
  maxLengthBytes: 'x-max-length-bytes',
  overflow: 'x-overflow',
  deadLetterExchange: 'x-dead-letter-exchange',
  deadLetterRoutingKey: 'x-dead-letter-routing-key',
  deadLetterStrategy: 'x-dead-letter-strategy',
  maxPriority: 'x-max-priority',
  singleActiveConsumer: 'x-single-active-consumer',
  deliveryLimit: 'x-delivery-limit',
  consumerTimeoutMs: 'x-consumer-timeout',
  delayedRetryType: 'x-delayed-retry-type',
  delayedRetryMinMs: 'x-delayed-retry-min',
  delayedRetryMaxMs: 'x-delayed-retry-max',
  groupKeyHeader: 'x-group-key-header',
  deduplication: 'x-message-deduplication',
  deduplicationHeader: 'x-deduplication-header',
  deduplicationWindowMs: 'x-cache-ttl',
  deduplicationWindowCount: 'x-cache-size',
  type: 'x-queue-type',
  topic: 'x-topic',
  maxAge: 'x-max-age',
};

/** The AMQP argument of an option. */
export function queueArgumentName(option: keyof QueueArgumentOptions): string {
  return QUEUE_ARGUMENTS[option];
}

export function queueArguments(options: QueueOptions): FieldTable {
  const table = new Map(toFieldTable(options.arguments ?? {}));
  for (const [option, argument] of Object.entries(QUEUE_ARGUMENTS)) {
    const value = options[option as keyof QueueArgumentOptions];
    if (value !== undefined) table.set(argument, value);
  }
  return table;
}

export function exchangeArguments({
  alternateExchange,
  delayedType,
  arguments: rest = {},
}: ExchangeOptions): FieldTable {
  const table = new Map(toFieldTable(rest));
  if (alternateExchange !== undefined) table.set('alternate-exchange', alternateExchange);
  if (delayedType !== undefined) table.set('x-delayed-type', delayedType);
  return table;
}
