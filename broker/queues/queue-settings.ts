/** What a queue does, after its arguments and policies. Named as RabbitMQ's arguments, units last. */
export interface QueueSettings {
  /** x-message-ttl: messages older than this are dead-lettered or dropped. */
  readonly messageTtlMs: number | undefined;
  /** x-expires: an unused queue is deleted after this. */
  readonly expiresMs: number | undefined;
  /** x-max-length: of ready messages. */
  readonly maxLength: number | undefined;
  /** x-max-length-bytes: of ready bodies. */
  readonly maxLengthBytes: number | undefined;
  readonly overflow: 'drop-head' | 'reject-publish' | 'reject-publish-dlx';
  readonly deadLetterExchange: string | undefined;
  readonly deadLetterRoutingKey: string | undefined;
  /** Whether a message stays until its dead letter has arrived somewhere, even if nothing is bound there. */
  readonly deadLetterStrategy: 'at-most-once' | 'at-least-once';
  /** x-max-priority; undefined without priorities. */
  readonly maxPriority: number | undefined;
  readonly singleActiveConsumer: boolean;
  /** x-delivery-limit: how often a message may come back; undefined for no limit. */
  readonly deliveryLimit: number | undefined;
  /** x-consumer-timeout: how long a delivery may stay unsettled; undefined for no limit. */
  readonly consumerTimeoutMs: number | undefined;
  /** x-delayed-retry-*: returned messages wait, longer each time. */
  readonly delayedRetry:
    | { readonly type: 'all' | 'failed' | 'returned'; readonly minMs: number; readonly maxMs: number }
    | undefined;
  /** Message groups: name of the header with the group key; '' for the routing key. */
  readonly groupKeyHeader: string | undefined;
}

export const QUEUE_SETTINGS_DEFAULTS: QueueSettings = {
  messageTtlMs: undefined,
  expiresMs: undefined,
  maxLength: undefined,
  maxLengthBytes: undefined,
  overflow: 'drop-head',
  deadLetterExchange: undefined,
  deadLetterRoutingKey: undefined,
  deadLetterStrategy: 'at-most-once',
  maxPriority: undefined,
  singleActiveConsumer: false,
  deliveryLimit: undefined,
  consumerTimeoutMs: undefined,
  delayedRetry: undefined,
  groupKeyHeader: undefined,
};
