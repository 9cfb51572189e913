/**
 * Encodes records into a batch: straight into one growing buffer, header space first, no object per record.
 *
 * Offsets are 0, 1, 2 … from the batch's base, timestamps count from the first record's, as Kafka's producers write
 * them. Who rewrites batches of a log, with gaps and fixed offsets, uses `batch-rewriter.ts`.
 *
 * Every batch gets memory of its own, which `finish` gives away: a producer may retry the bytes long after the builder
 * has gone on (what happens otherwise: CVE-2026-35554).
 */
import { encodeUtf8Into, utf8Bytes } from '../bytes/utf8.ts';
import {
  VARINT_BYTES_MAX,
  VARLONG_BYTES_MAX,
  varintBytes,
  varlongBytes,
  writeVarint,
  writeVarlong,
} from '../bytes/varint.ts';
import { allocateBytes } from '../bytes/writer.ts';
import {
  BATCH_HEADER_BYTES,
  type Codec,
  codecNumber,
  NONE,
  TRANSACTIONAL_FLAG,
  writeBatchHeader,
} from './batch-header.ts';
import { compress } from './compression.ts';
import type { RecordHeader } from './record-header.ts';

const NO_BYTES = new Uint8Array(0);
const NO_HEADERS: readonly RecordHeader[] = [];

interface BatchBuilderOptions {
  /** `append` refuses a record that would make the uncompressed batch larger, unless it is the first. Default: none. */
  readonly batchBytesMax?: number;
  /** Memory to start with. Later batches start with what the last one took. Default 1024. */
  readonly bytesInitial?: number;
}

interface BatchFields {
  /** Default -1: the producer is not idempotent. Likewise the epoch and the sequence of the first record. */
  readonly producerId?: number;
  readonly producerEpoch?: number;
  readonly baseSequence?: number;
  readonly transactional?: boolean;
  /** Default 0; the broker stamps its own. */
  readonly baseOffset?: number;
  /** Default -1; the broker stamps its own. */
  readonly partitionLeaderEpoch?: number;
}

/** What `finish` takes out of the builder: records behind space for a header. */
interface TakenBatch {
  readonly bytes: Uint8Array;
  readonly end: number;
  readonly count: number;
  readonly baseTimestamp: number;
  readonly maxTimestamp: number;
}

export class BatchBuilder {
  #bytes: Uint8Array = NO_BYTES;
  #position = BATCH_HEADER_BYTES;
  #count = 0;
  #baseTimestamp = NONE;
  #maxTimestamp = NONE;
  #bytesInitial: number;
  readonly #batchBytesMax: number;

  constructor(options: BatchBuilderOptions = {}) {
    this.#bytesInitial = Math.max(options.bytesInitial ?? 1024, BATCH_HEADER_BYTES);
    this.#batchBytesMax = options.batchBytesMax ?? Number.POSITIVE_INFINITY;
  }

  /** Records appended since the last `finish`. */
  get count(): number {
    return this.#count;
  }

  /** Size of the batch so far, header included, before compression. */
  get estimatedBytes(): number {
    return this.#position;
  }

  /**
   * Appends a record, or returns false and changes nothing if the batch would become larger than `batchBytesMax`.
   * The first record is always taken. The bytes are copied. Per record: no objects.
   */
  append(
    timestampMs: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers: readonly RecordHeader[] = NO_HEADERS,
  ): boolean {
    const first = this.#count === 0;
    const timestampDelta = first ? 0 : timestampMs - this.#baseTimestamp;
    const bodyBytes =
      1 +
      varlongBytes(timestampDelta) +
      varintBytes(this.#count) +
      (key === null ? 1 : varintBytes(key.length) + key.length) +
      (value === null ? 1 : varintBytes(value.length) + value.length) +
      (headers.length === 0 ? 1 : headersBytes(headers));
    const end = this.#position + varintBytes(bodyBytes) + bodyBytes;
    if (end > this.#batchBytesMax && !first) return false;
    if (end > this.#bytes.length) this.#enlarge(end);

    const bytes = this.#bytes;
    let position = writeVarint(bytes, this.#position, bodyBytes);
    bytes[position++] = 0;
    position = writeVarlong(bytes, position, timestampDelta);
    position = writeVarint(bytes, position, this.#count);
    position = writeNullableBytes(bytes, position, key);
    position = writeNullableBytes(bytes, position, value);
    if (headers.length === 0) bytes[position] = 0;
    else writeHeaders(bytes, position, headers);

    this.#position = end;
    this.#count++;
    if (first) {
      this.#baseTimestamp = timestampMs;
      this.#maxTimestamp = timestampMs;
    } else if (timestampMs > this.#maxTimestamp) this.#maxTimestamp = timestampMs;
    return true;
  }

  /** The batch, uncompressed. The bytes are the caller's; the builder is empty and can be used again. */
  finish(fields: BatchFields = {}): Uint8Array {
    const taken = this.#take();
    writeHeader(taken.bytes, taken.end, taken, fields, 'none');
    return taken.bytes.subarray(0, taken.end);
  }

  /** The batch, compressed. The builder is empty and can be used again at once, before the promise resolves. */
  async finishCompressed(codec: Codec, fields: BatchFields = {}): Promise<Uint8Array> {
    if (codec === 'none') return this.finish(fields);
    const taken = this.#take();
    const records = await compress(codec, taken.bytes.subarray(BATCH_HEADER_BYTES, taken.end));
    const batch = allocateBytes(BATCH_HEADER_BYTES + records.length);
    batch.set(records, BATCH_HEADER_BYTES);
    writeHeader(batch, batch.length, taken, fields, codec);
    return batch;
  }

  #take(): TakenBatch {
    if (this.#count === 0) throw new Error('A batch needs at least one record');
    const taken: TakenBatch = {
      bytes: this.#bytes,
      end: this.#position,
      count: this.#count,
      baseTimestamp: this.#baseTimestamp,
      maxTimestamp: this.#maxTimestamp,
    };
    this.#bytesInitial = this.#position;
    this.#bytes = NO_BYTES;
    this.#position = BATCH_HEADER_BYTES;
    this.#count = 0;
    return taken;
  }

  #enlarge(bytesNeeded: number): void {
    const bytes = allocateBytes(Math.max(bytesNeeded, this.#bytes.length * 2, this.#bytesInitial));
    bytes.set(this.#bytes.subarray(0, this.#position));
    this.#bytes = bytes;
  }
}

/** At most how many bytes a record takes in a batch, its varints at their longest. */
export function recordBytesMax(
  key: Uint8Array | null,
  value: Uint8Array | null,
  headers: readonly RecordHeader[] = NO_HEADERS,
): number {
  const varints = 4 * VARINT_BYTES_MAX + VARLONG_BYTES_MAX;
  return 1 + varints + (key?.length ?? 0) + (value?.length ?? 0) + headersBytes(headers);
}

function writeHeader(bytes: Uint8Array, end: number, taken: TakenBatch, fields: BatchFields, codec: Codec): void {
  writeBatchHeader(bytes, 0, end, {
    baseOffset: fields.baseOffset ?? 0,
    partitionLeaderEpoch: fields.partitionLeaderEpoch ?? NONE,
    attributes: codecNumber(codec) | (fields.transactional === true ? TRANSACTIONAL_FLAG : 0),
    lastOffsetDelta: taken.count - 1,
    baseTimestamp: taken.baseTimestamp,
    maxTimestamp: taken.maxTimestamp,
    producerId: fields.producerId ?? NONE,
    producerEpoch: fields.producerEpoch ?? NONE,
    baseSequence: fields.baseSequence ?? NONE,
    recordsCount: taken.count,
  });
}

function writeNullableBytes(bytes: Uint8Array, position: number, value: Uint8Array | null): number {
  if (value === null) {
    bytes[position] = 1; // zigzag of -1
    return position + 1;
  }
  position = writeVarint(bytes, position, value.length);
  bytes.set(value, position);
  return position + value.length;
}

function headersBytes(headers: readonly RecordHeader[]): number {
  let bytes = varintBytes(headers.length);
  for (const { key, value } of headers) {
    const keyBytes = utf8Bytes(key);
    bytes += varintBytes(keyBytes) + keyBytes;
    bytes += value === null ? 1 : varintBytes(value.length) + value.length;
  }
  return bytes;
}

function writeHeaders(bytes: Uint8Array, position: number, headers: readonly RecordHeader[]): void {
  position = writeVarint(bytes, position, headers.length);
  for (const { key, value } of headers) {
    position = writeVarint(bytes, position, utf8Bytes(key));
    position = encodeUtf8Into(key, bytes, position);
    position = writeNullableBytes(bytes, position, value);
  }
}
