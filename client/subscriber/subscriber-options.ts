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
import type { FailureOptions } from './retry-options.ts';

/**
 * One topic, several, or all whose name matches (needs a group; also those that are created later, but never retry and dead-letter
 * topics: those must be named). Without a group the partitions are those that the topics have at the beginning.
 */
export type Topics = string | readonly string[] | RegExp;

/**
 * The record is finished when this returns, or when what it returns resolves. `attempt` counts from 1, over retry topics too: a
 * record from one of those comes as it lies there, and `failureOf(record)` tells where it was first.
 */
export type RecordHandler<K, V> = (record: ConsumerRecord<K, V>, attempt: number) => unknown;

/** All records of the batch are finished when this returns, or when what it returns resolves. `attempt` is that of the first. */
export type BatchHandler<K, V> = (batch: ConsumerBatch<K, V>, attempt: number) => unknown;

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

export interface SubscribeOptions<K = Uint8Array, V = Uint8Array>
  extends Pick<ConsumerOptions<K, V>, SharedOptions>,
    FailureOptions {
  /**
   * Handlers that run at once. Records of one key (in the same partition) are handled one at a time, in their order; records
   * without a key wait for no other. Default 1: one at a time, of each partition in its order, but for those that are tried again.
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
  /**
   * Told of what went wrong and is being retried, such as a topic that does not exist, and of what the subscriber stops for.
   * Without it, `closed` alone tells of the latter.
   */
  onError?(error: unknown): void;
}

export interface ResolvedSubscribeOptions {
  /** As named; empty for a pattern. */
  readonly topics: readonly string[];
  readonly isBatched: boolean;
  readonly concurrency: number;
  readonly credit: Credit;
  readonly revokeTimeoutMs: number;
  readonly consumer: ResolvedConsumerOptions;
  /** Undefined without a group. */
  readonly group: ResolvedGroupOptions | undefined;
}

const MIB = 1024 * 1024;
const CREDIT_MAX = 0xffff_ffff;

/** Members have this much longer to join again than their handlers have to finish, in milliseconds. */
const REJOIN_MS = 30_000;

/** Throws INVALID_ARGUMENT, INVALID_NAME. */
export function resolveSubscribeOptions<K, V>(
  topics: Topics,
  policy: FailurePolicy,
  options: SubscribeOptions<K, V>,
): ResolvedSubscribeOptions {
  const revokeTimeoutMs = integerOption('revokeTimeoutMs', options.revokeTimeoutMs, {
    fallback: 30_000,
    min: 0,
    max: 2 ** 31 - 1 - REJOIN_MS,
  });
  const named = topics instanceof RegExp ? [] : typeof topics === 'string' ? [topics] : [...topics];
  if (!(topics instanceof RegExp) && named.length === 0)
    throw invalid('topics', 'A subscriber needs at least one topic.');
  for (const topic of named) {
    checkTopicName(topic);
    policy.checkTopic(topic);
  }
  const { group } = options;
  if (group === undefined && topics instanceof RegExp) {
    throw invalid('topics', 'A subscriber to a pattern needs a group.');
  }
  return {
    topics: [...new Set(named)],
    isBatched: options.batch ?? false,
    concurrency: integerOption('concurrency', options.concurrency, { fallback: 1, min: 1, max: 100_000 }),
    credit: {
      records: integerOption('prefetch', options.prefetch, { fallback: 10_000, min: 1, max: CREDIT_MAX }),
      bytes: integerOption('prefetchBytes', options.prefetchBytes, { fallback: 16 * MIB, min: 1, max: CREDIT_MAX }),
    },
    revokeTimeoutMs,
    consumer: resolveConsumerOptions(options),
    group:
      group === undefined
        ? undefined
        : resolveGroupOptions({
            ...options,
            ...(topics instanceof RegExp ? { pattern: topics } : { topics: named }),
            group,
            autoCommit: true,
            maxPollIntervalMs: revokeTimeoutMs + REJOIN_MS,
          }),
  };
}

function invalid(option: string, text: string): BurrowError {
  return new BurrowError('INVALID_ARGUMENT', text, { fields: { option } });
}
