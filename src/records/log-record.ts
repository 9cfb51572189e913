/**
 * A record as consumers see it: a small view on the bytes of its batch. Key and value are views into those bytes, not
 * copies, made when asked for; headers are parsed when asked for. What outlives the batch must be copied.
 */
import { ByteReader } from '../bytes/reader.ts';
import { BurrowError } from '../errors/burrow-error.ts';
import type { RecordCursor } from './record-cursor.ts';
import type { RecordHeader } from './record-header.ts';

const NO_HEADERS: readonly RecordHeader[] = [];

export class LogRecord {
  /** Place in the partition's log. */
  readonly offset: number;
  /** Milliseconds since 1970: the producer's, or the broker's where the topic says LogAppendTime. -1 if there is none. */
  readonly timestampMs: number;
  readonly #bytes: Uint8Array;
  readonly #keyPosition: number;
  readonly #keyBytes: number;
  readonly #valuePosition: number;
  readonly #valueBytes: number;
  readonly #headersPosition: number;
  readonly #headersCount: number;

  /** The record at which `cursor` stands. */
  constructor(cursor: RecordCursor, offset: number, timestampMs: number) {
    this.offset = offset;
    this.timestampMs = timestampMs;
    this.#bytes = cursor.bytes;
    this.#keyPosition = cursor.keyPosition;
    this.#keyBytes = cursor.keyBytes;
    this.#valuePosition = cursor.valuePosition;
    this.#valueBytes = cursor.valueBytes;
    this.#headersPosition = cursor.headersPosition;
    this.#headersCount = cursor.headersCount;
  }

  get key(): Uint8Array | null {
    return this.#keyBytes < 0 ? null : this.#bytes.subarray(this.#keyPosition, this.#keyPosition + this.#keyBytes);
  }

  get value(): Uint8Array | null {
    if (this.#valueBytes < 0) return null;
    return this.#bytes.subarray(this.#valuePosition, this.#valuePosition + this.#valueBytes);
  }

  /** In the order of the record; keys may repeat. Parsed anew at each call. */
  get headers(): readonly RecordHeader[] {
    if (this.#headersCount === 0) return NO_HEADERS;
    const reader = new ByteReader(this.#bytes, this.#headersPosition);
    const headers: RecordHeader[] = [];
    for (let index = 0; index < this.#headersCount; index++) {
      const key = reader.string(reader.varint());
      const valueBytes = reader.varint();
      headers.push({ key, value: valueBytes < 0 ? null : reader.bytes(valueBytes) });
    }
    // The cursor has been over the same bytes; so this means that somebody has written into them since.
    if (!reader.ok) throw new BurrowError('CORRUPT_BATCH', 'The bytes of a record changed after it was decoded.');
    return headers;
  }
}
