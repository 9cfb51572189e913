/**
 * The producer: takes records, puts each into the open batch of its partition, and leaves the rest to the sender.
 * `send` and `sendMany` run per record: on their fast path nothing is allocated per record but what the user gets back.
 */
import { BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import { BatchBuilder } from '../../src/records/batch-builder.ts';
import { Partitioner } from '../../src/records/partitioner.ts';
import type { ClientClock, ClientTimer } from '../clock.ts';
import type { TopicMetadata } from '../metadata.ts';
import { checkTopicName } from '../options.ts';
import { type Serializer, serializeField } from '../serializers.ts';
import { encodeHeaders } from './headers.ts';
import type { ProducerIdentity } from './idempotence-state.ts';
import { PartitionQueue } from './partition-queue.ts';
import { ProducerBatch, type RecordMetadata } from './producer-batch.ts';
import {
  type PartitionFunction,
  type ProducerOptions,
  type ProducerRecord,
  type ResolvedProducerOptions,
  resolveProducerOptions,
  serializerOrBytes,
} from './producer-options.ts';
import { type ProduceTransport, Sender } from './sender.ts';
import { WaitingLine, type WaitingSend } from './waiting-sends.ts';
import { FlushWatcher, type SendManyResult, SendManyWatcher } from './watchers.ts';

/** What a producer needs of the client that it belongs to. */
export interface ProducerHost extends ProduceTransport {
  readonly clock: ClientClock;
  /** From the cache or a broker; retries what may pass, until `timeoutMs`. */
  topic(name: string, timeoutMs: number): Promise<TopicMetadata>;
  /** From the cache. */
  cachedTopic(name: string): TopicMetadata | undefined;
}

interface TopicState<K, V> {
  readonly name: string;
  /** Undefined until a broker described the topic. */
  partitionCount: number | undefined;
  /** By partition; created when first used. */
  readonly queues: Array<PartitionQueue | undefined>;
  readonly line: WaitingLine<K, V>;
  loading: boolean;
  readonly partitioner: Partitioner;
}
