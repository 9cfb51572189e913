/**
 * What a consumer hands out: records as small views on the bytes of their batch. Key and value are made (and deserialized) when
 * asked for. Views keep the whole fetch answer alive: copy what is kept for long.
 */
import { ByteReader } from '../../src/bytes/reader.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { murmur2 } from '../../src/murmur2.ts';
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

/** What all records of a batch share: their bytes, uncompressed, and where they come from. */
export class RecordSection<K, V> {
  readonly source: RecordSource<K, V>;
  readonly bytes: Uint8Array;
  // Asking a view for these two at every access of a value costs as much as making the value.
  readonly memory: ArrayBufferLike;
  readonly memoryPosition: number;

  constructor(source: RecordSource<K, V>, bytes: Uint8Array) {
    this.source = source;
    this.bytes = bytes;
    this.memory = bytes.buffer;
    this.memoryPosition = bytes.byteOffset;
  }

  view(position: number, count: number): Uint8Array {
    return new Uint8Array(this.memory, this.memoryPosition + position, count);
  }
}

/** Where the parts of a record lie in its section. */
type RecordPlace = Pick<
  RecordCursor,
  'keyPosition' | 'keyBytes' | 'valuePosition' | 'valueBytes' | 'headersPosition' | 'headersCount'
>;

export class ConsumerRecord<K = Uint8Array, V = Uint8Array> {
  /** Place in the partition's log. */
  readonly offset: number;
  /** Milliseconds since the epoch: the producer's, or the broker's where the topic says LogAppendTime. -1 if there is none. */
  readonly timestampMs: number;
  readonly #section: RecordSection<K, V>;
  readonly #keyPosition: number;
  readonly #keyBytes: number;
  readonly #valuePosition: number;
  readonly #valueBytes: number;
  readonly #headersPosition: number;
  readonly #headersCount: number;

  /** The record at which `cursor` stands, which walks over the section's bytes. */
  constructor(section: RecordSection<K, V>, cursor: RecordPlace, offset: number, timestampMs: number) {
    this.offset = offset;
    this.timestampMs = timestampMs;
    this.#section = section;
    this.#keyPosition = cursor.keyPosition;
    this.#keyBytes = cursor.keyBytes;
    this.#valuePosition = cursor.valuePosition;
    this.#valueBytes = cursor.valueBytes;
    this.#headersPosition = cursor.headersPosition;
    this.#headersCount = cursor.headersCount;
  }

  get topic(): string {
    return this.#section.source.topic;
  }

  get partition(): number {
    return this.#section.source.partition;
  }

  /** Deserialized anew at each call. Throws SERIALIZATION_FAILED with topic, partition and offset in its fields. */
  get key(): K | null {
    const bytes = this.keyBytes;
    if (bytes === null) return null;
    const { keySerializer, topic, partition } = this.#section.source;
    if (keySerializer === undefined) return bytes as unknown as K;
    return deserializeField(keySerializer, bytes, 'key', topic, partition, this.offset);
  }

  /** As {@link ConsumerRecord.key}. `null` is a tombstone in compacted topics. */
  get value(): V | null {
    const bytes = this.valueBytes;
    if (bytes === null) return null;
    const { valueSerializer, topic, partition } = this.#section.source;
    if (valueSerializer === undefined) return bytes as unknown as V;
    return deserializeField(valueSerializer, bytes, 'value', topic, partition, this.offset);
  }

  /** The key as stored. */
  get keyBytes(): Uint8Array | null {
    return this.#keyBytes < 0 ? null : this.#section.view(this.#keyPosition, this.#keyBytes);
  }

  /** The value as stored. */
  get valueBytes(): Uint8Array | null {
    return this.#valueBytes < 0 ? null : this.#section.view(this.#valuePosition, this.#valueBytes);
  }

  /** A number that records of one key share, as producers compute it to choose a partition; undefined without a key. */
  get keyHash(): number | undefined {
    if (this.#keyBytes < 0) return undefined;
    return murmur2(this.#section.bytes, this.#keyPosition, this.#keyPosition + this.#keyBytes);
  }

  /** The same record with key and value as stored, also where they cannot be deserialized. */
  raw(): ConsumerRecord {
    const { bytes, source } = this.#section;
    const place = {
      keyPosition: this.#keyPosition,
      keyBytes: this.#keyBytes,
      valuePosition: this.#valuePosition,
      valueBytes: this.#valueBytes,
      headersPosition: this.#headersPosition,
      headersCount: this.#headersCount,
    };
    const rawSource = { ...source, keySerializer: undefined, valueSerializer: undefined };
    return new ConsumerRecord(
      new RecordSection<Uint8Array, Uint8Array>(rawSource, bytes),
      place,
      this.offset,
      this.timestampMs,
    );
  }

  /** In the order of the record; keys may repeat. Parsed anew at each call. */
  get headers(): readonly RecordHeader[] {
    if (this.#headersCount === 0) return NO_HEADERS;
    const reader = new ByteReader(this.#section.bytes, this.#headersPosition);
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
