/**
 * Writes a batch of a log anew with fewer records, for compaction. What readers rely on stays as it was: base offset,
 * last offset, producer and sequences (so that idempotence survives restarts even when no record of the batch does),
 * leader epoch, attributes, and the offsets and timestamps of the records that are kept.
 *
 * Records are copied as they are, since their deltas count from what stays. Only a delete horizon (KIP-534), which takes
 * the place of the base timestamp, makes new timestamp deltas necessary.
 */
import { varintBytes, varlongBytes, writeVarint, writeVarlong } from '../bytes/varint.ts';
import { allocateBytes } from '../bytes/writer.ts';
import {
  BATCH_HEADER_BYTES,
  CODEC_MASK,
  type Codec,
  codecNumber,
  DELETE_HORIZON_FLAG,
  getAttributes,
  getBaseOffset,
  getBaseSequence,
  getBaseTimestamp,
  getLastOffsetDelta,
  getMaxTimestamp,
  getPartitionLeaderEpoch,
  getProducerEpoch,
  getProducerId,
  isLogAppendTime,
  NONE,
  writeBatchHeader,
} from './batch-header.ts';
import { compressSync } from './compression.ts';
import type { RecordCursor } from './record-cursor.ts';

export class BatchRewriter {
  readonly #original: Uint8Array;
  readonly #position: number;
  readonly #deleteHorizonMs: number | undefined;
  /** What the new base timestamp is less than the old one: added to every timestamp delta. */
  readonly #timestampShift: number;
  #bytes: Uint8Array;
  #end = BATCH_HEADER_BYTES;
  #count = 0;
  #deltaMax = Number.NEGATIVE_INFINITY;

  /**
   * Starts from the batch at `position`, whose uncompressed records are `recordsBytes` long. With `deleteHorizonMs` the
   * batch gets that time as the horizon after which its tombstones may go.
   */
  constructor(bytes: Uint8Array, position: number, recordsBytes: number, deleteHorizonMs?: number) {
    this.#original = bytes;
    this.#position = position;
    this.#deleteHorizonMs = deleteHorizonMs;
    this.#timestampShift = deleteHorizonMs === undefined ? 0 : getBaseTimestamp(bytes, position) - deleteHorizonMs;
    this.#bytes = allocateBytes(BATCH_HEADER_BYTES + recordsBytes);
  }

  /** Records kept so far. */
  get count(): number {
    return this.#count;
  }

  /** Keeps the record at which `cursor`, which walks the batch's uncompressed records, stands. Per record. */
  keep(cursor: RecordCursor): void {
    const { bytes, timestampDelta, recordEnd } = cursor;
    if (this.#timestampShift === 0) {
      this.#reserve(recordEnd - cursor.recordPosition);
      this.#copy(bytes, cursor.recordPosition, recordEnd);
    } else {
      const shifted = timestampDelta + this.#timestampShift;
      const restBytes = recordEnd - cursor.offsetDeltaPosition;
      const bodyBytes = 1 + varlongBytes(shifted) + restBytes;
      this.#reserve(varintBytes(bodyBytes) + bodyBytes);
      this.#end = writeVarint(this.#bytes, this.#end, bodyBytes);
      this.#bytes[this.#end++] = 0;
      this.#end = writeVarlong(this.#bytes, this.#end, shifted);
      this.#copy(bytes, cursor.offsetDeltaPosition, recordEnd);
    }
    this.#count++;
    if (timestampDelta > this.#deltaMax) this.#deltaMax = timestampDelta;
  }

  /** The new batch, its records compressed with `codec`. Without records it is a header that keeps the producer's state. */
  finish(codec: Codec = 'none'): Uint8Array {
    const original = this.#original;
    const position = this.#position;
    const empty = this.#count === 0;
    let bytes = this.#bytes;
    let end = this.#end;
    let attributes = getAttributes(original, position) & ~CODEC_MASK;
    if (!empty && codec !== 'none') {
      const records = compressSync(codec, bytes.subarray(BATCH_HEADER_BYTES, end));
      end = BATCH_HEADER_BYTES + records.length;
      bytes = allocateBytes(end);
      bytes.set(records, BATCH_HEADER_BYTES);
      attributes |= codecNumber(codec);
    }
    // A batch without records has no tombstone to wait for, and no timestamp to count from.
    if (empty) attributes &= ~DELETE_HORIZON_FLAG;
    else if (this.#deleteHorizonMs !== undefined) attributes |= DELETE_HORIZON_FLAG;
    const baseTimestamp = getBaseTimestamp(original, position);
    writeBatchHeader(bytes, 0, end, {
      baseOffset: getBaseOffset(original, position),
      partitionLeaderEpoch: getPartitionLeaderEpoch(original, position),
      attributes,
      lastOffsetDelta: getLastOffsetDelta(original, position),
      baseTimestamp: empty ? NONE : (this.#deleteHorizonMs ?? baseTimestamp),
      maxTimestamp:
        empty || isLogAppendTime(original, position)
          ? getMaxTimestamp(original, position)
          : baseTimestamp + this.#deltaMax,
      producerId: getProducerId(original, position),
      producerEpoch: getProducerEpoch(original, position),
      baseSequence: getBaseSequence(original, position),
      recordsCount: this.#count,
    });
    return bytes.subarray(0, end);
  }

  #reserve(count: number): void {
    if (this.#end + count <= this.#bytes.length) return;
    const bytes = allocateBytes(Math.max(this.#end + count, this.#bytes.length * 2));
    bytes.set(this.#bytes.subarray(0, this.#end));
    this.#bytes = bytes;
  }

  #copy(bytes: Uint8Array, start: number, end: number): void {
    this.#bytes.set(bytes.subarray(start, end), this.#end);
    this.#end += end - start;
  }
}
