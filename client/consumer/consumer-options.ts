/** Options of a consumer with their defaults and bounds. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { checkNonNegativeInteger, choiceOption, integerOption } from '../options.ts';
import type { Deserializer } from '../serializers.ts';
import type { Isolation } from './cursor-feed.ts';
import type { GroupOptions } from './group-options.ts';

/** Where to begin: the first record there is, behind the last, at an offset, or at the first record of this time or later. */
export type From = 'earliest' | 'latest' | { readonly offset: number } | { readonly timestampMs: number };

export interface Assignment {
  readonly topic: string;
  /** Default: all partitions that the topic has when it is assigned. */
  readonly partition?: number | undefined;
  /** Overrides the consumer's `from`. */
  readonly from?: From | undefined;
}

export interface ConsumerOptions<K = Uint8Array, V = Uint8Array> extends GroupOptions {
  /** What to consume, without a group. More with {@link Consumer.assign}. Default: nothing. */
  assignment?: readonly Assignment[];
  /**
   * Where to begin in partitions whose assignment does not say; in a group, where nothing is committed. Default 'latest', as in
   * Kafka: a new group does not see what was produced before it. Say 'earliest' if it should.
   */
  from?: From;
  /** How long the broker may wait for `bytesMin` before it answers a fetch, in milliseconds. Default 500. */
  waitMs?: number;
  /** Bytes for which the broker waits. Default 1: it answers as soon as there is a record. */
  bytesMin?: number;
  /** Bytes of one answer at most, over all partitions; a single larger batch still comes whole. Default 8 MiB. */
  bytesMax?: number;
  /** Bytes of one partition in one answer at most. Default 1 MiB. */
  partitionBytesMax?: number;
  /** Nothing more is fetched while this many bytes wait to be delivered. Default 16 MiB. */
  prefetchBytesMax?: number;
  /** What one batch may decompress to, in bytes. Default 64 MiB. */
  decompressedBytesMax?: number;
  /** Whether records of open and aborted transactions are left out ('read_committed'). Default 'read_uncommitted', as in Kafka. */
  isolation?: Isolation;
  /**
   * Where to go on if the next offset is no longer (or not yet) in the log. Default 'error': `poll` throws
   * OFFSET_OUT_OF_RANGE, so that records that retention removed are not missed silently.
   */
  onOutOfRange?: 'earliest' | 'latest' | 'error';
  /** Whether each batch's CRC-32C is verified. Default true. */
  checkCrcs?: boolean;
  /** Records that `poll` returns at most. Default 5000. */
  maxRecords?: number;
  /** Default: keys are bytes. */
  keyDeserializer?: Deserializer<K>;
  /** Default: values are bytes. */
  valueDeserializer?: Deserializer<V>;
}

export interface ResolvedConsumerOptions {
  readonly from: From;
  readonly waitMs: number;
  readonly bytesMin: number;
  readonly bytesMax: number;
  readonly partitionBytesMax: number;
  readonly prefetchBytesMax: number;
  readonly decompressedBytesMax: number;
  readonly isolation: Isolation;
  readonly onOutOfRange: 'earliest' | 'latest' | 'error';
  readonly checkCrcs: boolean;
  readonly maxRecords: number;
}

const MIB = 1024 * 1024;

export function resolveConsumerOptions<K, V>(options: ConsumerOptions<K, V>): ResolvedConsumerOptions {
  const from = options.from ?? 'latest';
  checkFrom(from);
  return {
    from,
    waitMs: integerOption('waitMs', options.waitMs, { fallback: 500, min: 0, max: 2 ** 31 - 1 }),
    bytesMin: integerOption('bytesMin', options.bytesMin, { fallback: 1, min: 0, max: 2 ** 31 - 1 }),
    bytesMax: integerOption('bytesMax', options.bytesMax, { fallback: 8 * MIB, min: 1, max: 2 ** 31 - 1 }),
    partitionBytesMax: integerOption('partitionBytesMax', options.partitionBytesMax, {
      fallback: MIB,
      min: 1,
      max: 2 ** 31 - 1,
    }),
    prefetchBytesMax: integerOption('prefetchBytesMax', options.prefetchBytesMax, { fallback: 16 * MIB, min: 1 }),
    decompressedBytesMax: integerOption('decompressedBytesMax', options.decompressedBytesMax, {
      fallback: 64 * MIB,
      min: 1,
    }),
    isolation: choiceOption(
      'isolation',
      options.isolation,
      ['read_uncommitted', 'read_committed'] as const,
      'read_uncommitted',
    ),
    onOutOfRange: choiceOption('onOutOfRange', options.onOutOfRange, ['earliest', 'latest', 'error'] as const, 'error'),
    checkCrcs: options.checkCrcs ?? true,
    maxRecords: integerOption('maxRecords', options.maxRecords, { fallback: 5000, min: 1 }),
  };
}

export function checkFrom(from: From): void {
  if (from === 'earliest' || from === 'latest') return;
  if (typeof from === 'object' && 'offset' in from) {
    checkNonNegativeInteger('from.offset', from.offset);
  } else if (typeof from === 'object' && 'timestampMs' in from) {
    checkNonNegativeInteger('from.timestampMs', from.timestampMs);
  } else {
    throw new BurrowError(
      'INVALID_ARGUMENT',
      `from must be 'earliest', 'latest', { offset } or { timestampMs }, not ${String(from)}.`,
    );
  }
}
