/**
 * Writes records into retry and dead-letter topics: durable when `write` resolves, with all replicas and by an idempotent producer.
 * Creates a topic when it is first needed. Goes on trying as long as the failure may pass, since the record can go nowhere else;
 * a crash between this and the commit leaves a duplicate, never a gap.
 */
import { BurrowError, isBurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import type { ErrorName } from '../../src/errors/table.ts';
import type { Admin } from '../admin.ts';
import { backoffDelayMs } from '../backoff.ts';
import { type ClientClock, sleep } from '../clock.ts';
import type { HeaderPair } from '../dead-letters/failure-headers.ts';
import type { Producer } from '../producer/producer.ts';
import type { ProducerOptions } from '../producer/producer-options.ts';
import type { RawRecord } from './failure-policy.ts';

/** The client, as far as it is needed here. */
export interface SetAsideHost {
  admin(): Pick<Admin, 'createTopic' | 'describeTopic' | 'describeTopicConfigs' | 'listTopics'>;
  producer(options: ProducerOptions): Pick<Producer, 'send' | 'close'>;
}

export interface SetAsideTarget {
  readonly topic: string;
  /** The topic that the new one is modelled on, if it has to be created: partitions, replicas, limits. */
  readonly source: string;
  /** Of the source. Records of one of its partitions stay together, so that those of a key do. */
  readonly partition: number;
  /** How long its records are kept, if it has to be created: this long (-1: for ever), or so much longer than the source's. */
  readonly retention: { readonly ms: number } | { readonly beyondSourceMs: number };
}

/** Room for what is added to the largest record that the source may hold. */
const ADDED_BYTES = 256 * 1024;
/** Then this writer tries anew, having looked whether the topic is still there. */
const DELIVERY_TIMEOUT_MS = 30_000;
const RETRY_BACKOFF = { initialMs: 100, maxMs: 5000 };

/** Not retriable as such, but here a duplicate is better than a gap. */
const ALSO_RETRIED: ReadonlySet<ErrorName> = new Set<ErrorName>(['DELIVERY_TIMEOUT']);

export class SetAsideWriter {
  readonly #admin: ReturnType<SetAsideHost['admin']>;
  readonly #clock: ClientClock;
  readonly #producer: Pick<Producer, 'send' | 'close'>;
  /** Partitions of each target that is known to exist. */
  readonly #partitionCounts = new Map<string, Promise<number>>();
  #closed: boolean = false;

  constructor(host: SetAsideHost, clock: ClientClock, deliveryTimeoutMs = DELIVERY_TIMEOUT_MS) {
    this.#admin = host.admin();
    this.#clock = clock;
    this.#producer = host.producer({
      acks: 'all',
      idempotent: true,
      deliveryTimeoutMs,
      maxBlockMs: deliveryTimeoutMs,
      // The record may have come out of a batch that fits the topic's limit as compressed only. Browsers have this codec too.
      compression: 'gzip',
    });
  }

  /**
   * Resolves when the record is stored. `headersOf(true)` is asked for if the record is too large with `headersOf(false)`.
   *
   * Rejects with RECORD_TOO_LARGE, CLIENT_CLOSED, INVALID_NAME or what else no retry can mend.
   */
  async write(
    target: SetAsideTarget,
    record: RawRecord,
    headersOf: (brief: boolean) => readonly HeaderPair[],
  ): Promise<void> {
    let headers = headersOf(false);
    let isBrief = false;
    for (let failures = 0; ; ) {
      this.#checkOpen();
      try {
        return await this.#send(target, record, headers);
      } catch (thrown) {
        const error = toBurrowError(thrown);
        if (error.code === 'RECORD_TOO_LARGE') {
          if (isBrief) throw tooLarge(target.topic, record, error);
          isBrief = true;
          headers = headersOf(true);
          continue;
        }
        // It may have been deleted, or changed otherwise.
        this.#partitionCounts.delete(target.topic);
        if (this.#closed || !(error.retriable || ALSO_RETRIED.has(error.code))) throw error;
        await sleep(this.#clock, backoffDelayMs(RETRY_BACKOFF, failures, this.#clock.random()));
        failures += 1;
      }
    }
  }

  /** Makes sure that the topic exists. Rejects with UNKNOWN_TOPIC_OR_PARTITION if its source does not, yet. */
  async prepare(target: SetAsideTarget): Promise<void> {
    await this.#partitionCount(target, false);
  }

  async close(options: { timeoutMs?: number } = {}): Promise<void> {
    this.#closed = true;
    await this.#producer.close(options);
  }

  async #send(target: SetAsideTarget, record: RawRecord, headers: readonly HeaderPair[]): Promise<void> {
    const partitionCount = await this.#partitionCount(target, true);
    await this.#producer.send({
      topic: target.topic,
      partition: target.partition % partitionCount,
      key: record.keyBytes,
      value: record.valueBytes,
      headers,
      // Not the record's own time, or retention would remove an old record at once.
      timestampMs: this.#clock.now(),
    });
  }

  #partitionCount(target: SetAsideTarget, withoutSource: boolean): Promise<number> {
    const { topic } = target;
    const known = this.#partitionCounts.get(topic);
    if (known !== undefined) return known;
    const count = this.#ensure(target, withoutSource);
    this.#partitionCounts.set(topic, count);
    count.catch(() => {
      if (this.#partitionCounts.get(topic) === count) this.#partitionCounts.delete(topic);
    });
    return count;
  }

  /** Creates the topic unless it exists. Resolves with the number of its partitions. */
  async #ensure(target: SetAsideTarget, withoutSource: boolean): Promise<number> {
    const model = await this.#modelOf(target, withoutSource);
    const { 'max.message.bytes': batchBytesMax, ...configs } = model.configs;
    // A source that allows batches as large as the broker has room for leaves none for more.
    const sizes = batchBytesMax === undefined ? [] : [batchBytesMax + ADDED_BYTES, batchBytesMax];
    for (;;) {
      const bytesMax = sizes.shift();
      try {
        await this.#admin.createTopic({
          name: target.topic,
          partitions: model.partitions,
          replicationFactor: model.replicationFactor,
          configs: bytesMax === undefined ? configs : { ...configs, 'max.message.bytes': bytesMax },
        });
        return model.partitions;
      } catch (error) {
        if (isBurrowError(error, 'ALREADY_EXISTS')) break;
        if (bytesMax === undefined || !isBurrowError(error, 'INVALID_CONFIG')) throw error;
      }
    }
    return (await this.#admin.describeTopic(target.topic)).partitions.length;
  }

  async #modelOf(target: SetAsideTarget, withoutSource: boolean) {
    const { source, partition, retention } = target;
    try {
      const { partitions } = await this.#admin.describeTopic(source);
      const entries = await this.#admin.describeTopicConfigs(source);
      const values = new Map(entries.map(({ key, value }) => [key, Number(value)]));
      return {
        partitions: partitions.length,
        replicationFactor: partitions[0]?.replicas.length,
        configs: {
          'cleanup.policy': 'delete',
          'retention.bytes': -1,
          'retention.ms':
            'ms' in retention ? retention.ms : longer(values.get('retention.ms') ?? -1, retention.beyondSourceMs),
          'min.insync.replicas': values.get('min.insync.replicas') ?? 1,
          'max.message.bytes': values.get('max.message.bytes'),
        },
      };
    } catch (error) {
      // The source was deleted since the record was read.
      if (!withoutSource || !isBurrowError(error, 'UNKNOWN_TOPIC_OR_PARTITION')) throw error;
      return {
        partitions: partition + 1,
        replicationFactor: undefined,
        configs: {
          'cleanup.policy': 'delete',
          'retention.ms': 'ms' in retention ? retention.ms : -1,
          'max.message.bytes': undefined,
        },
      };
    }
  }

  #checkOpen(): void {
    if (this.#closed) throw new BurrowError('CLIENT_CLOSED', 'The subscription is closed.');
  }
}

/** -1 is for ever. */
function longer(retentionMs: number, byMs: number): number {
  return retentionMs < 0 ? -1 : Math.min(Number.MAX_SAFE_INTEGER, retentionMs + byMs);
}

function tooLarge(topic: string, record: RawRecord, cause: BurrowError): BurrowError {
  const { topic: from, partition, offset } = record;
  return new BurrowError(
    'RECORD_TOO_LARGE',
    `The record ${from}-${partition} at offset ${offset} does not fit into ${topic} together with what is noted of its failure. Raise max.message.bytes of ${topic}.`,
    { cause, fields: { topic, from, partition, offset } },
  );
}
