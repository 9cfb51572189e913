/** Options of a subscriber with their defaults and bounds. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import {
  type ConsumerOptions,
  type ResolvedConsumerOptions,
  resolveConsumerOptions,
} from '../consumer/consumer-options.ts';
import type { ConsumerBatch, ConsumerRecord } from '../consumer/consumer-record.ts';
import type { Credit } from '../consumer/credit-state.ts';
import { type ResolvedGroupOptions, resolveGroupOptions } from '../consumer/group-options.ts';
import { checkTopicName, integerOption } from '../options.ts';
import type { FailurePolicy } from './failure-policy.ts';

/**
 * One topic, several, or all whose name matches (needs a group; also those that are created later). Without a group the partitions
 * are those that the topics have at the beginning.
 */
export type Topics = string | readonly string[] | RegExp;

/** The record is finished when this returns, or when what it returns resolves. */
export type RecordHandler<K, V> = (record: ConsumerRecord<K, V>) => unknown;

/** All records of the batch are finished when this returns, or when what it returns resolves. */
export type BatchHandler<K, V> = (batch: ConsumerBatch<K, V>) => unknown;

/** Those of a consumer that mean the same here. */
type SharedOptions =
  | 'group'
  | 'assignors'
  | 'autoCommitIntervalMs'
  | 'sessionTimeoutMs'
  | 'heartbeatIntervalMs'
  | 'groupInstanceId'
  | 'topicRefreshMs'
  | 'onAssigned'
  | 'onRevoked'
  | 'onLost'
  | 'from'
  | 'isolation'
  | 'onOutOfRange'
  | 'checkCrcs'
  | 'decompressedBytesMax'
  | 'keyDeserializer'
  | 'valueDeserializer';

export interface SubscribeOptions<K = Uint8Array, V = Uint8Array> extends Pick<ConsumerOptions<K, V>, SharedOptions> {
  /**
   * Handlers that run at once. Records of one key (in the same partition) are handled one at a time, in their order; records
   * without a key wait for no other. Default 1: one at a time, of each partition in its order.
   */
  concurrency?: number;
  /**
   * Records that a broker may have sent and that are not finished; it may exceed them by one batch. Default 10,000. What one key
   * keeps waiting counts, so with few it also bounds how far others get ahead of it.
   */
  prefetch?: number;
  /** Likewise in bytes, as stored. Default 16 MiB. */
  prefetchBytes?: number;
  /**
   * Whether the handler gets batches as they are stored, in place of records: the fastest way. Batches of a partition are handled
   * one at a time, in their order; `concurrency` is for partitions then. Default false.
   */
  batch?: boolean;
  /**
   * How long running handlers are waited for when partitions are given to others, in milliseconds. What they do after that is
   * not committed: it is done again elsewhere. Default 30,000.
   */
  revokeTimeoutMs?: number;
  /** What to do with records whose handler threw. Default: stop with what it threw. */
  failurePolicy?: FailurePolicy;
  /**
   * Told of what went wrong and is being retried, such as a topic that does not exist, and of what the subscriber stops for.
   * Without it, `closed` alone tells of the latter.
   */
  onError?(error: unknown): void;
}

export interface ResolvedSubscribeOptions {
  readonly topics: readonly string[];
  readonly isBatched: boolean;
  readonly concurrency: number;
  readonly credit: Credit;
  readonly revokeTimeoutMs: number;
  readonly policy: FailurePolicy;
  readonly consumer: ResolvedConsumerOptions;
  /** Undefined without a group. */
  readonly group: ResolvedGroupOptions | undefined;
}

const MIB = 1024 * 1024;
const CREDIT_MAX = 0xffff_ffff;

/** Members have this much longer to join again than their handlers have to finish, in milliseconds. */
const REJOIN_MS = 30_000;

const STOP: FailurePolicy = {
  decide: () => ({ kind: 'stop' }),
  setAside: () => Promise.resolve(),
  waitMs: () => 0,
  retryTopics: [],
  attemptsBefore: () => 0,
};

export function resolveSubscribeOptions<K, V>(
  topics: Topics,
  options: SubscribeOptions<K, V>,
): ResolvedSubscribeOptions {
  const revokeTimeoutMs = integerOption('revokeTimeoutMs', options.revokeTimeoutMs, {
    fallback: 30_000,
    min: 0,
    max: 2 ** 31 - 1 - REJOIN_MS,
  });
  const policy = options.failurePolicy ?? STOP;
  const named = topics instanceof RegExp ? [] : typeof topics === 'string' ? [topics] : [...topics];
  if (!(topics instanceof RegExp) && named.length === 0)
    throw invalid('topics', 'A subscriber needs at least one topic.');
  named.forEach(checkTopicName);
  const { group } = options;
  if (group === undefined) {
    if (topics instanceof RegExp) throw invalid('topics', 'A subscriber to a pattern needs a group.');
    if (policy.retryTopics.length > 0) throw invalid('failurePolicy', 'A subscriber with retry topics needs a group.');
  }
  const subscription =
    topics instanceof RegExp
      ? { pattern: patternWith(topics, policy.retryTopics) }
      : { topics: [...new Set([...named, ...policy.retryTopics])] };
  return {
    topics: [...new Set(named)],
    isBatched: options.batch ?? false,
    concurrency: integerOption('concurrency', options.concurrency, { fallback: 1, min: 1, max: 100_000 }),
    credit: {
      records: integerOption('prefetch', options.prefetch, { fallback: 10_000, min: 1, max: CREDIT_MAX }),
      bytes: integerOption('prefetchBytes', options.prefetchBytes, { fallback: 16 * MIB, min: 1, max: CREDIT_MAX }),
    },
    revokeTimeoutMs,
    policy,
    consumer: resolveConsumerOptions(options),
    group:
      group === undefined
        ? undefined
        : resolveGroupOptions({
            ...options,
            ...subscription,
            group,
            autoCommit: true,
            maxPollIntervalMs: revokeTimeoutMs + REJOIN_MS,
          }),
  };
}

/** Names consist of letters, digits, hyphens, underscores and dots, so only dots mean something in a pattern. */
function patternWith(pattern: RegExp, names: readonly string[]): RegExp {
  if (names.length === 0) return pattern;
  const alternatives = names.map((name) => name.replaceAll('.', '\\.')).join('|');
  return new RegExp(`(?:${pattern.source})|^(?:${alternatives})$`, pattern.flags);
}

function invalid(option: string, text: string): BurrowError {
  return new BurrowError('INVALID_ARGUMENT', text, { fields: { option } });
}
