/**
 * The arguments of a queue, and the keys of policies for queues, in one table: RabbitMQ's names ("x-message-ttl" as an
 * argument, "message-ttl" in a policy), what values they take, and who wins if a policy says something else.
 *
 * Names that are not here are stored with the queue and mean nothing, as in RabbitMQ.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { FieldTable, FieldValue } from '../../src/messages/field-value.ts';
import { checkAmqpName, checkRoutingKey, checkTopicName } from '../../src/names.ts';
import { fieldTypeName, resourceText } from './equivalence.ts';
import type { QueueSettings } from './queue-settings.ts';

export type SettingValue = string | number | boolean;

export interface QueueArgument {
  /** As in a policy; with "x-" before it, as an argument. */
  readonly name: string;
  /** Undefined: checked, so that mistakes show, and otherwise without meaning here. */
  readonly setting: keyof QueueSettings | undefined;
  /** Queues and streams have different ones, but for those of both. */
  readonly scope: 'queue' | 'stream' | 'both';
  /** What a policy's value and an argument's make together; undefined: policies do not have it. */
  readonly merge:
    | ((policy: SettingValue, argument: SettingValue, queueType: QueueSettings['queueType']) => SettingValue)
    | undefined;
  /** The value of the setting, or what is wrong. */
  readonly parse: (value: FieldValue) => Parsed;
}

export type Parsed =
  | { readonly value: SettingValue }
  | {
      readonly problem: string;
      /** It is the type of an exchange's name. */
      readonly isType?: boolean;
    };

export const QUEUE_TYPES = ['classic', 'quorum', 'stream'] as const;
export const OVERFLOWS = ['drop-head', 'reject-publish', 'reject-publish-dlx'] as const;
export const DEAD_LETTER_STRATEGIES = ['at-most-once', 'at-least-once'] as const;
export const DELAYED_RETRY_TYPES = ['disabled', 'all', 'failed', 'returned'] as const;

/** Of times, as in RabbitMQ (rabbit_misc:check_expiry): ten years. */
export const EXPIRY_MS_MAX = 315_360_000_000;
const COUNT_MAX = Number.MAX_SAFE_INTEGER;
const PRIORITY_MAX = 255;
/** How many ids of messages a queue may be asked to remember. */
const DEDUPLICATION_WINDOW_MAX = 10_000_000;
const DEAD_LETTER_ROUTING_KEY = 'x-dead-letter-routing-key';
const DAY_MS = 86_400_000;
/** Of x-max-age, as in RabbitMQ. */
const AGE_UNITS_MS: ReadonlyMap<string, number> = new Map([
  ['Y', 365 * DAY_MS],
  ['M', 30 * DAY_MS],
  ['D', DAY_MS],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
]);

const ROWS: readonly QueueArgument[] = [
  row('queue-type', 'queueType', 'both', undefined, oneOf(QUEUE_TYPES, 'queue type')),
  row('message-ttl', 'messageTtlMs', 'queue', smaller, integer(0, EXPIRY_MS_MAX)),
  row('expires', 'expiresMs', 'queue', smaller, integer(1, EXPIRY_MS_MAX)),
  row('max-length', 'maxLength', 'queue', smaller, integer(0, COUNT_MAX)),
  row('max-length-bytes', 'maxLengthBytes', 'both', smaller, integer(0, COUNT_MAX)),
  row('overflow', 'overflow', 'queue', overflow, oneOf(OVERFLOWS)),
  row('dead-letter-exchange', 'deadLetterExchange', 'queue', argumentWins, exchangeName),
  row('dead-letter-routing-key', 'deadLetterRoutingKey', 'queue', argumentWins, deadLetterRoutingKey),
  row('dead-letter-strategy', 'deadLetterStrategy', 'queue', argumentWins, oneOf(DEAD_LETTER_STRATEGIES)),
  row('max-priority', 'maxPriority', 'queue', undefined, integer(0, PRIORITY_MAX)),
  row('single-active-consumer', 'singleActiveConsumer', 'both', undefined, truth),
  row('delivery-limit', 'deliveryLimit', 'queue', deliveryLimit, integer(-1, COUNT_MAX)),
  row('consumer-timeout', 'consumerTimeoutMs', 'queue', smaller, integer(0, EXPIRY_MS_MAX)),
  row('delayed-retry-type', 'delayedRetryType', 'queue', argumentWins, oneOf(DELAYED_RETRY_TYPES)),
  row('delayed-retry-min', 'delayedRetryMinMs', 'queue', argumentWins, integer(0, EXPIRY_MS_MAX)),
  row('delayed-retry-max', 'delayedRetryMaxMs', 'queue', argumentWins, integer(0, EXPIRY_MS_MAX)),
  row('max-age', 'maxAgeMs', 'stream', smaller, age),
  row('stream-max-segment-size-bytes', 'streamMaxSegmentSizeBytes', 'stream', policyWins, integer(1, COUNT_MAX)),
  // Of plugins: noxdafox/rabbitmq-message-deduplication and LavinMQ.
  row('message-deduplication', 'messageDeduplication', 'queue', undefined, truth),
  row('deduplication-header', 'deduplicationHeader', 'queue', undefined, headerName),
  row('cache-ttl', 'deduplicationWindowMs', 'queue', undefined, integer(1, EXPIRY_MS_MAX)),
  row('cache-size', 'deduplicationWindowCount', 'queue', undefined, integer(1, DEDUPLICATION_WINDOW_MAX)),
  row('cache-persistence', undefined, 'queue', undefined, oneOf(['memory', 'disk'])),
  // Ours.
  row('group-key-header', 'groupKeyHeader', 'queue', undefined, groupKeyHeader),
  row('topic', 'topic', 'stream', undefined, topicName),
  // What only RabbitMQ's own storage gives a meaning.
  row('queue-mode', undefined, 'queue', argumentWins, oneOf(['default', 'lazy'], 'queue mode')),
  row('queue-version', undefined, 'queue', argumentWins, queueVersion),
  row(
    'queue-leader-locator',
    undefined,
    'both',
    argumentWins,
    oneOf(['client-local', 'balanced', 'random', 'least-leaders']),
  ),
  row('initial-cluster-size', undefined, 'stream', argumentWins, integer(1, COUNT_MAX)),
  row('quorum-initial-group-size', undefined, 'queue', argumentWins, integer(1, COUNT_MAX)),
  row('max-in-memory-length', undefined, 'queue', argumentWins, integer(0, COUNT_MAX)),
  row('max-in-memory-bytes', undefined, 'queue', argumentWins, integer(0, COUNT_MAX)),
  row('stream-filter-size-bytes', undefined, 'stream', argumentWins, integer(16, 255)),
];

export const QUEUE_ARGUMENTS: ReadonlyMap<string, QueueArgument> = new Map(ROWS.map((each) => [each.name, each]));

/** All arguments that must be the same when a queue is declared again. */
export const QUEUE_ARGUMENT_NAMES: readonly string[] = ROWS.map(({ name }) => `x-${name}`);

/**
 * Checks types, values and whether a queue of its type takes them.
 * @throws BurrowError INVALID_ARGUMENT (RabbitMQ: PRECONDITION_FAILED - invalid arg …)
 */
export function checkQueueArguments(virtualHost: string, queue: string, table: FieldTable): void {
  const resource = resourceText('queue', queue, virtualHost);
  const type = table.get('x-queue-type') ?? 'classic';
  for (const [argument, value] of table) {
    const known = argument.startsWith('x-') ? QUEUE_ARGUMENTS.get(argument.slice(2)) : undefined;
    if (known === undefined) continue;
    const parsed = known.parse(value);
    // RabbitMQ's two ways to say it.
    if ('problem' in parsed && parsed.isType) {
      throw invalid(`invalid type '${fieldTypeName(value)}' for arg '${argument}' in ${resource}`, argument);
    }
    if ('problem' in parsed) throw invalid(`invalid arg '${argument}' for ${resource}: ${parsed.problem}`, argument);
    if (!takes(known, type === 'stream')) {
      throw invalid(`invalid arg '${argument}' for ${resource} of queue type ${String(type)}`, argument);
    }
  }
  // As in RabbitMQ, where a policy may not complete what the arguments begin.
  if (table.has(DEAD_LETTER_ROUTING_KEY) && !table.has('x-dead-letter-exchange')) {
    throw invalid(
      `invalid arg '${DEAD_LETTER_ROUTING_KEY}' for ${resource}: it needs x-dead-letter-exchange`,
      DEAD_LETTER_ROUTING_KEY,
    );
  }
}

/** Whether streams, or else queues, have it. */
export function takes({ scope }: QueueArgument, stream: boolean): boolean {
  return scope === 'both' || (scope === 'stream') === stream;
}

function row(
  name: string,
  setting: QueueArgument['setting'],
  scope: QueueArgument['scope'],
  merge: QueueArgument['merge'],
  parse: QueueArgument['parse'],
): QueueArgument {
  return { name, setting, scope, merge, parse };
}

// Who wins, by rabbit_amqqueue_process.erl, rabbit_quorum_queue.erl and rabbit_stream_queue.erl (args_policy_lookup).

function smaller(policy: SettingValue, argument: SettingValue): SettingValue {
  return policy < argument ? policy : argument;
}

function argumentWins(_policy: SettingValue, argument: SettingValue): SettingValue {
  return argument;
}

function policyWins(policy: SettingValue): SettingValue {
  return policy;
}

function overflow(policy: SettingValue, argument: SettingValue, queueType: QueueSettings['queueType']): SettingValue {
  return queueType === 'quorum' ? policy : argument;
}

/** Negative is no limit, and the greater one then. */
function deliveryLimit(policy: SettingValue, argument: SettingValue): SettingValue {
  const either = [Number(policy), Number(argument)];
  return either.some((limit) => limit < 0) ? Math.max(...either) : Math.min(...either);
}

// What values are.

function integer(min: number, max: number): QueueArgument['parse'] {
  return (value) => {
    // Only greater ones than any limit are bigints.
    const number = typeof value === 'bigint' ? Number(value) : value;
    if (typeof number !== 'number' || !Number.isInteger(number))
      return { problem: `expected integer, got ${kindOf(value)}` };
    if (number < min) return { problem: `${value} is less than ${min}` };
    if (number > max) return { problem: `${value} is more than ${max}` };
    return { value: number };
  };
}

/** @param kind - For RabbitMQ's words, where it has some */
function oneOf(choices: readonly string[], kind?: string): QueueArgument['parse'] {
  return (value) => {
    if (choices.includes(value as string)) return { value: value as string };
    if (kind !== undefined && typeof value === 'string') {
      return { problem: `unsupported ${kind} '${value.slice(0, 60)}', expected one of ${choices.join(', ')}` };
    }
    return { problem: `expected one of ${choices.join(', ')}, got ${shown(value)}` };
  };
}

function queueVersion(value: FieldValue): Parsed {
  const parsed = integer(0, COUNT_MAX)(value);
  if (!('value' in parsed) || parsed.value === 1 || parsed.value === 2) return parsed;
  return { problem: `unsupported queue version '${parsed.value}'` };
}

function truth(value: FieldValue): Parsed {
  return typeof value === 'boolean' ? { value } : { problem: `expected true or false, got ${kindOf(value)}` };
}

function exchangeName(value: FieldValue): Parsed {
  return { ...text(value, (name) => checkAmqpName(name, 'exchange')), isType: typeof value !== 'string' };
}

function deadLetterRoutingKey(value: FieldValue): Parsed {
  return text(value, checkRoutingKey);
}

function topicName(value: FieldValue): Parsed {
  return text(value, checkTopicName);
}

function headerName(value: FieldValue): Parsed {
  return value === '' ? { problem: 'it is empty' } : text(value, (name) => checkAmqpName(name, 'header'));
}

/** Empty: the routing key is the group key. */
function groupKeyHeader(value: FieldValue): Parsed {
  return value === '' ? { value } : headerName(value);
}

function text(value: FieldValue, check: (text: string) => void): Parsed {
  if (typeof value !== 'string') return { problem: `expected a string, got ${kindOf(value)}` };
  try {
    check(value);
    return { value };
  } catch (error) {
    if (error instanceof BurrowError) return { problem: error.message };
    throw error;
  }
}

/** Milliseconds of a time such as 7D, with RabbitMQ's units Y M D h m s; undefined if it is none. */
export function parseAge(text: string): number | undefined {
  const match = /^([0-9]{1,15})([YMDhms])$/.exec(text);
  const ms = match === null ? 0 : Number(match[1]) * (AGE_UNITS_MS.get(match[2]!) ?? 0);
  return Number.isSafeInteger(ms) && ms > 0 ? ms : undefined;
}

function age(value: FieldValue): Parsed {
  const ms = typeof value === 'string' ? parseAge(value) : undefined;
  return ms !== undefined
    ? { value: ms }
    : { problem: `expected a time such as 7D (units Y M D h m s), got ${shown(value)}` };
}

function kindOf(value: FieldValue): string {
  if (value === null) return 'void';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'double';
  if (typeof value !== 'object') return typeof value;
  return Array.isArray(value) ? 'array' : 'table';
}

function shown(value: FieldValue): string {
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 60)) : kindOf(value);
}

function invalid(message: string, argument: string): BurrowError {
  return new BurrowError('INVALID_ARGUMENT', message, { fields: { argument } });
}
