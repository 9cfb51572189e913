/** Options of a producer with their defaults and bounds. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { PartitionFunction } from '../../src/partitioner.ts';
import { CODECS, type Codec } from '../../src/records/batch-header.ts';
import type { Backoff, BackoffOptions } from '../backoff.ts';
import { choiceOption, integerOption } from '../options.ts';
import { bytesSerializer, type Serializer } from '../serializers.ts';
import { UNRESOLVED_BATCHES_MAX } from './idempotence-state.ts';
import type { Acks } from './sender.ts';

export interface ProducerRecord<K = Uint8Array, V = Uint8Array> {
  readonly topic: string;
  /** Records with equal keys go to the same partition. `null` and undefined: no key. */
  readonly key?: K | null | undefined;
  /** `null` is a tombstone in compacted topics. */
  readonly value: V | null;
  /** Names and values; text is sent as UTF-8. */
  readonly headers?: RecordHeaders | undefined;
  /** Overrides the partitioner. */
  readonly partition?: number | undefined;
  /** Milliseconds since the epoch. Default: now. */
  readonly timestampMs?: number | undefined;
}

export type HeaderValue = Uint8Array | string | null;
export type RecordHeaders = Readonly<Record<string, HeaderValue>> | ReadonlyArray<readonly [string, HeaderValue]>;

export interface ProducerOptions<K = Uint8Array, V = Uint8Array> {
  /**
   * Who must have stored a record before it counts as delivered: `all` in-sync replicas (the default), the leader alone (1),
   * or nobody (0; failures after sending are then not noticed).
   */
  acks?: 'all' | 1 | 0;
  /**
   * Whether the broker recognises batches that are sent twice, so that retries neither duplicate nor reorder.
   * Needs `acks: 'all'`. Default: true with `acks: 'all'`, else false.
   */
  idempotent?: boolean;
  /** A batch is closed when it reaches this many bytes. A larger record gets a batch of its own. Default 256 KiB. */
  batchBytes?: number;
  /**
   * How long a batch that is not full waits for more records, in milliseconds. Default 0: what is sent in one turn of the event
   * loop goes together, and while requests are under way, what gathers meanwhile does.
   */
  lingerMs?: number;
  /** Default 'none'. */
  compression?: Codec;
  /** Batches that one request carries at most, in bytes together. Default 1 MiB. */
  requestBytesMax?: number;
  /** Bytes of records that may await acknowledgment. Beyond it `send` and `sendMany` wait. Default 32 MiB. */
  bufferBytes?: number;
  /** How long a record may wait for room in the buffer or for its topic's metadata, in milliseconds. Default 60,000. */
  maxBlockMs?: number;
  /** From the moment a record is added to a batch until its acknowledgment, retries included, in milliseconds. Default 120,000. */
  deliveryTimeoutMs?: number;
  /** How long the broker may wait for replicas, in milliseconds. Default 30,000. */
  acksTimeoutMs?: number;
  /**
   * Batches of one partition that are sent without waiting for the answer to the one before. 1 to 5, default 5; default 1
   * if not idempotent, because a retry would otherwise change the order.
   */
  inFlightBatchesMax?: number;
  /** Delays between retries. Default 100 ms, doubling up to 1000 ms. */
  retryBackoff?: BackoffOptions;
  /** Default: murmur2 of the key as in Kafka's clients; without a key, one partition for each batch. */
  partitioner?: PartitionFunction;
  /** Default: keys are bytes. */
  keySerializer?: Serializer<K>;
  /** Default: values are bytes. */
  valueSerializer?: Serializer<V>;
}

export interface ResolvedProducerOptions {
  readonly acks: Acks;
  readonly idempotent: boolean;
  readonly batchBytes: number;
  readonly lingerMs: number;
  readonly compression: Codec;
  readonly requestBytesMax: number;
  readonly bufferBytes: number;
  readonly maxBlockMs: number;
  readonly deliveryTimeoutMs: number;
  readonly acksTimeoutMs: number;
  readonly inFlightBatchesMax: number;
  readonly retryBackoff: Backoff;
}

const KIB = 1024;
const MIB = 1024 * KIB;
const BATCH_BYTES_MAX = 64 * MIB;

export function resolveProducerOptions<K, V>(options: ProducerOptions<K, V>): ResolvedProducerOptions {
  const acks = choiceOption('acks', options.acks, ['all', 1, 0] as const, 'all');
  const idempotent = options.idempotent ?? acks === 'all';
  if (idempotent && acks !== 'all') {
    throw new BurrowError('INVALID_ARGUMENT', `idempotent: true needs acks: 'all', not ${acks}.`, {
      fields: { option: 'idempotent' },
    });
  }
  const initialMs = integerOption('retryBackoff.initialMs', options.retryBackoff?.initialMs, {
    fallback: 100,
    min: 1,
  });
  return {
    acks: acks === 'all' ? -1 : acks,
    idempotent,
    batchBytes: integerOption('batchBytes', options.batchBytes, { fallback: 256 * KIB, min: 1, max: BATCH_BYTES_MAX }),
    lingerMs: integerOption('lingerMs', options.lingerMs, { fallback: 0, min: 0 }),
    compression: choiceOption('compression', options.compression, CODECS, 'none'),
    requestBytesMax: integerOption('requestBytesMax', options.requestBytesMax, { fallback: MIB, min: 1 }),
    bufferBytes: integerOption('bufferBytes', options.bufferBytes, { fallback: 32 * MIB, min: 1 }),
    maxBlockMs: integerOption('maxBlockMs', options.maxBlockMs, { fallback: 60_000, min: 0 }),
    deliveryTimeoutMs: integerOption('deliveryTimeoutMs', options.deliveryTimeoutMs, { fallback: 120_000, min: 1 }),
    acksTimeoutMs: integerOption('acksTimeoutMs', options.acksTimeoutMs, { fallback: 30_000, min: 1 }),
    inFlightBatchesMax: integerOption('inFlightBatchesMax', options.inFlightBatchesMax, {
      fallback: idempotent ? UNRESOLVED_BATCHES_MAX : 1,
      min: 1,
      max: UNRESOLVED_BATCHES_MAX,
    }),
    retryBackoff: {
      initialMs,
      maxMs: integerOption('retryBackoff.maxMs', options.retryBackoff?.maxMs, {
        fallback: Math.max(1000, initialMs),
        min: initialMs,
      }),
    },
  };
}

/** The default serializer, for options that leave it out: then the type parameter is Uint8Array. */
export function serializerOrBytes<T>(serializer: Serializer<T> | undefined): Serializer<T> {
  return serializer ?? (bytesSerializer as unknown as Serializer<T>);
}
