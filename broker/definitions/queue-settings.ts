/** What a queue's arguments and the policy that applies to it mean together. */
import type { FieldTable } from '../../src/messages/field-value.ts';
import type { PolicyDefinition } from './policy-definition.ts';
import {
  type DEAD_LETTER_STRATEGIES,
  type DELAYED_RETRY_TYPES,
  type OVERFLOWS,
  QUEUE_ARGUMENTS,
  type QUEUE_TYPES,
  type QueueArgument,
  type SettingValue,
} from './queue-arguments.ts';

/** Named after the arguments ("x-message-ttl"). Undefined: no limit, or none of it. */
export interface QueueSettings {
  /** Default `classic`. */
  readonly queueType: (typeof QUEUE_TYPES)[number];
  /** Of each message, from when it came. 0: it goes to consumers at once, or expires. */
  readonly messageTtlMs: number | undefined;
  /** After which an unused queue is deleted. */
  readonly expiresMs: number | undefined;
  /** Of ready messages. */
  readonly maxLength: number | undefined;
  /** Of the bodies of ready messages; of a stream: of its log. */
  readonly maxLengthBytes: number | undefined;
  /** What gives way when a limit is met. Default `drop-head`. */
  readonly overflow: (typeof OVERFLOWS)[number];
  readonly deadLetterExchange: string | undefined;
  /** Undefined: the message's own. */
  readonly deadLetterRoutingKey: string | undefined;
  /**
   * Whether a dead letter that finds no place (nothing bound, a full queue) stays in the queue. Either way the queue keeps a dead
   * letter until it is stored where it goes. Default `at-most-once`, as in RabbitMQ: it is dropped.
   */
  readonly deadLetterStrategy: (typeof DEAD_LETTER_STRATEGIES)[number];
  /** Priorities are 0 to this. Undefined: the queue has none. */
  readonly maxPriority: number | undefined;
  readonly singleActiveConsumer: boolean;
  /** Failed deliveries of a message after which it is dead. Default 20 for quorum queues, as in RabbitMQ. */
  readonly deliveryLimit: number | undefined;
  /** How long a delivery may stay unsettled. Undefined: as long as the broker's option says. */
  readonly consumerTimeoutMs: number | undefined;
  /** Which messages that come back wait before the next delivery. Default `disabled`. */
  readonly delayedRetryType: (typeof DELAYED_RETRY_TYPES)[number];
  /** The wait is this times the number of deliveries … */
  readonly delayedRetryMinMs: number | undefined;
  /** … but not more than this. */
  readonly delayedRetryMaxMs: number | undefined;
  /** Of a stream. */
  readonly maxAgeMs: number | undefined;
  /** Of a stream. */
  readonly streamMaxSegmentSizeBytes: number | undefined;
  /** Whether a message with an id that came before, within the window, is taken for a repetition and dropped. */
  readonly messageDeduplication: boolean;
  /** The header with that id. Default `x-deduplication-header`. */
  readonly deduplicationHeader: string;
  /** How long an id is remembered. Default 5 minutes. */
  readonly deduplicationWindowMs: number;
  /** Of how many of the last messages the ids are remembered. Default 100,000. */
  readonly deduplicationWindowCount: number;
  /** The header whose value names a message's group; messages of one group are delivered in order, one at a time. */
  readonly groupKeyHeader: string | undefined;
}

const DEFAULTS: QueueSettings = {
  queueType: 'classic',
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
  delayedRetryType: 'disabled',
  delayedRetryMinMs: undefined,
  delayedRetryMaxMs: undefined,
  maxAgeMs: undefined,
  streamMaxSegmentSizeBytes: undefined,
  messageDeduplication: false,
  deduplicationHeader: 'x-deduplication-header',
  deduplicationWindowMs: 300_000,
  deduplicationWindowCount: 100_000,
  groupKeyHeader: undefined,
};

const QUORUM_DELIVERY_LIMIT = 20;

/** @param table - the arguments; checked */
export function queueTypeOf(table: FieldTable): QueueSettings['queueType'] {
  return (table.get('x-queue-type') ?? DEFAULTS.queueType) as QueueSettings['queueType'];
}

/**
 * @param table - the queue's arguments; checked
 * @param policy - the one that applies to the queue, if there is one (`policies.ts`)
 */
export function resolveQueueSettings(table: FieldTable, policy?: PolicyDefinition): QueueSettings {
  const queueType = queueTypeOf(table);
  const settings: Record<string, SettingValue | undefined> = {
    ...DEFAULTS,
    deliveryLimit: queueType === 'quorum' ? QUORUM_DELIVERY_LIMIT : undefined,
  };
  for (const argument of QUEUE_ARGUMENTS.values()) {
    if (argument.setting === undefined) continue;
    const value = effectiveValue(argument, table, policy, queueType);
    if (value !== undefined) settings[argument.setting] = value;
  }
  if (Number(settings['deliveryLimit']) < 0) settings['deliveryLimit'] = undefined;
  return settings as unknown as QueueSettings;
}

function effectiveValue(
  argument: QueueArgument,
  table: FieldTable,
  policy: PolicyDefinition | undefined,
  queueType: QueueSettings['queueType'],
): SettingValue | undefined {
  const own = parsed(argument, table, `x-${argument.name}`);
  const { merge } = argument;
  if (merge === undefined || policy === undefined) return own;
  const fromPolicy = parsed(argument, policy.definition, argument.name);
  if (own === undefined || fromPolicy === undefined) return own ?? fromPolicy;
  return merge(fromPolicy, own, queueType);
}

function parsed(argument: QueueArgument, table: FieldTable, name: string): SettingValue | undefined {
  const value = table.get(name);
  if (value === undefined) return undefined;
  const result = argument.parse(value);
  return 'value' in result ? result.value : undefined;
}
