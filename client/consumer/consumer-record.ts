/**
 * What a consumer hands out: records as small views on the bytes of their batch. Key and value are made (and deserialized) when
 * asked for. Views keep the whole fetch answer alive: copy what is kept for long.
 */
import { ByteReader } from '../../src/bytes/reader.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { RecordCursor } from '../../src/records/record-cursor.ts';
import type { RecordHeader } from '../../src/records/record-header.ts';
import { type Deserializer, deserializeField } from '../serializers.ts';

const NO_HEADERS: readonly RecordHeader[] = [];

/** What all records of a partition share. */
export interface RecordSource<K, V> {
  readonly topic: string;
  readonly partition: number;
  /** Undefined: bytes as they are. */
  readonly keySerializer: Deserializer<K> | undefined;
  readonly valueSerializer: Deserializer<V> | undefined;
}

export class ConsumerRecord<K = Uint8Array, V = Uint8Array> {
  /** Place in the partition's log. */
  readonly offset: number;
  /** Milliseconds since the epoch: the producer's, or the broker's where the topic says LogAppendTime. -1 if there is none. */
  readonly timestampMs: number;
  readonly #source: RecordSource<K, V>;
  readonly #bytes: Uint8Array;
  readonly #keyPosition: number;
  readonly #keyBytes: number;
  readonly #valuePosition: number;
  readonly #valueBytes: number;
  readonly #headersPosition: number;
  readonly #headersCount: number;

  /** The record at which `cursor` stands. */
  constructor(source: RecordSource<K, V>, cursor: RecordCursor, offset: number, timestampMs: number) {
    this.offset = offset;
    this.timestampMs = timestampMs;
    this.#source = source;
    this.#bytes = cursor.bytes;
    this.#keyPosition = cursor.keyPosition;
    this.#keyBytes = cursor.keyBytes;
    this.#valuePosition = cursor.valuePosition;
    this.#valueBytes = cursor.valueBytes;
    this.#headersPosition = cursor.headersPosition;
    this.#headersCount = cursor.headersCount;
  }

  get topic(): string {
    return this.#source.topic;
  }

  get partition(): number {
    return this.#source.partition;
  }

  /** Deserialized anew at each call. Throws SERIALIZATION_FAILED with topic, partition and offset in its fields. */
  get key(): K | null {
    const bytes = this.keyBytes;
    if (bytes === null) return null;
    const { keySerializer, topic, partition } = this.#source;
    if (keySerializer === undefined) return bytes as unknown as K;
    return deserializeField(keySerializer, bytes, 'key', topic, partition, this.offset);
  }

  /** As {@link ConsumerRecord.key}. `null` is a tombstone in compacted topics. */
  get value(): V | null {
    const bytes = this.valueBytes;
    if (bytes === null) return null;
    const { valueSerializer, topic, partition } = this.#source;
    if (valueSerializer === undefined) return bytes as unknown as V;
    return deserializeField(valueSerializer, bytes, 'value', topic, partition, this.offset);
  }

  /** The key as stored. */
  get keyBytes(): Uint8Array | null {
    return this.#keyBytes < 0 ? null : this.#bytes.subarray(this.#keyPosition, this.#keyPosition + this.#keyBytes);
  }

  /** The value as stored. */
  get valueBytes(): Uint8Array | null {
    if (this.#valueBytes < 0) return null;
    return this.#bytes.subarray(this.#valuePosition, this.#valuePosition + this.#valueBytes);
  }

  /** In the order of the record; keys may repeat. Parsed anew at each call. */
  get headers(): readonly RecordHeader[] {
    if (this.#headersCount === 0) return NO_HEADERS;
    const reader = new ByteReader(this.#bytes, this.#headersPosition);
    const headers: RecordHeader[] = [];
    for (let index = 0; index < this.#headersCount; index += 1) {
      const key = reader.string(reader.varint());
      const valueBytes = reader.varint();
      headers.push({ key, value: valueBytes < 0 ? null : reader.bytes(valueBytes) });
    }
    // The records were walked before; so this means that somebody has written into their bytes since.
    if (!reader.ok) throw new BurrowError('CORRUPT_BATCH', 'The bytes of a record changed after it was received.');
    return headers;
  }
}

/** The records of one stored batch, or what is left of it to deliver. */
export interface ConsumerBatch<K = Uint8Array, V = Uint8Array> {
  readonly topic: string;
  readonly partition: number;
  /** In the order of their offsets; at least one. */
  readonly records: readonly ConsumerRecord<K, V>[];
  /** Where the partition goes on behind this batch. */
  readonly nextOffset: number;
  /** End of what consumers may read, as the broker said with the last fetch. */
  readonly highWatermark: number;
}
