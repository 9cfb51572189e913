/**
 * The gate: no batch gets into a log, and none out of a client's hands, that has not passed here.
 *
 * `scanBatch` says without throwing whether whole and sound bytes stand at a position: for recovery, where a bad batch
 * is an expected fact about the tail of a file. `checkBatch` throws a typed error for batches that peers send, and
 * holds them against the rules of the format as Kafka's LogValidator does.
 *
 * Compressed records stay compressed: their count is held against their bytes by whoever decompresses (`checkRecords`).
 * Per batch; the walk over uncompressed records is per record and allocates nothing.
 */
import { BurrowError } from '../errors/burrow-error.ts';
import {
  BATCH_HEADER_BYTES,
  BATCH_LENGTH_OVERHEAD,
  CODEC_MASK,
  computeCrc,
  getAttributes,
  getBaseOffset,
  getBaseSequence,
  getBaseTimestamp,
  getBatchBytes,
  getCodec,
  getCrc,
  getLastOffsetDelta,
  getMagic,
  getMaxTimestamp,
  getNextOffset,
  getProducerEpoch,
  getProducerId,
  getRecordsCount,
  hasDeleteHorizon,
  isControl,
  isLogAppendTime,
  isTransactional,
  MAGIC_POSITION,
  MAGIC_V2,
  NONE,
} from './batch-header.ts';
import { RECORD_BYTES_MIN, RecordCursor } from './record-cursor.ts';

/** What `scanBatch` finds instead of a batch. */
export type ScanFailure =
  /** The bytes end before the batch does. */
  | 'short'
  /** The length cannot be that of a batch. */
  | 'bad-length'
  | 'too-large'
  /** Message set v0 or v1. */
  | 'old-magic'
  | 'bad-magic'
  | 'bad-crc'
  /** The CRC is right, yet fields contradict each other: not written by a sane encoder. */
  | 'bad-header';

/**
 * The size of the whole and sound batch that starts at `position`, or what is wrong there. Reads nothing at or behind
 * `end`. Per batch: allocates nothing, throws nothing.
 */
export function scanBatch(
  bytes: Uint8Array,
  position: number,
  end: number,
  batchBytesMax = 0x7fff_ffff,
): number | ScanFailure {
  const available = end - position;
  if (available < BATCH_LENGTH_OVERHEAD) return 'short';
  const batchBytes = getBatchBytes(bytes, position);
  if (batchBytes <= MAGIC_POSITION) return 'bad-length';
  if (available <= MAGIC_POSITION) return 'short';
  // Before the length: a message of format 0 or 1 may be shorter than the header of a batch, and has its magic here too.
  const magic = getMagic(bytes, position);
  if (magic !== MAGIC_V2) return magic === 0 || magic === 1 ? 'old-magic' : 'bad-magic';
  if (batchBytes < BATCH_HEADER_BYTES) return 'bad-length';
  if (batchBytes > batchBytesMax) return 'too-large';
  if (batchBytes > available) return 'short';
  if (computeCrc(bytes, position) !== getCrc(bytes, position)) return 'bad-crc';
  return hasSaneHeader(bytes, position, batchBytes) ? batchBytes : 'bad-header';
}

/** What holds for every batch of a log, also for compacted and empty ones. */
function hasSaneHeader(bytes: Uint8Array, position: number, batchBytes: number): boolean {
  const recordsCount = getRecordsCount(bytes, position);
  const lastOffsetDelta = getLastOffsetDelta(bytes, position);
  const compressed = (getAttributes(bytes, position) & CODEC_MASK) !== 0;
  return (
    lastOffsetDelta >= 0 &&
    recordsCount >= 0 &&
    recordsCount <= lastOffsetDelta + 1 &&
    (compressed || recordsCount * RECORD_BYTES_MIN <= batchBytes - BATCH_HEADER_BYTES) &&
    Number.isSafeInteger(getBaseOffset(bytes, position)) &&
    Number.isSafeInteger(getNextOffset(bytes, position)) &&
    Number.isSafeInteger(getBaseTimestamp(bytes, position)) &&
    Number.isSafeInteger(getMaxTimestamp(bytes, position)) &&
    Number.isSafeInteger(getProducerId(bytes, position))
  );
}

export interface BatchLimits {
  /** Largest size of a batch, header included, as it comes: compressed if it is (max.message.bytes). */
  readonly batchBytesMax: number;
  /** Whether the records of an uncompressed batch are walked, to see that they fill it exactly. Default true. */
  readonly walkRecords?: boolean;
  /** Whether every record of an uncompressed batch must have a key (cleanup.policy=compact). Default false. */
  readonly keysRequired?: boolean;
  /**
   * Whether the batch comes out of a log (from a leader, a backup, a coordinator) instead of a client: then it may be
   * compacted or empty, a control batch, and stamped by a broker. Default false.
   */
  readonly stored?: boolean;
}

/** The size of the batch that starts at `position` and is whole before `end`; throws a BurrowError if it breaks a rule. */
export function checkBatch(bytes: Uint8Array, position: number, end: number, limits: BatchLimits): number {
  const batchBytes = scanBatch(bytes, position, end, limits.batchBytesMax);
  if (typeof batchBytes !== 'number') throw scanError(batchBytes, bytes, position, end, limits);
  if (getCodec(bytes, position) === undefined) {
    const number = getAttributes(bytes, position) & CODEC_MASK;
    throw new BurrowError('UNSUPPORTED_COMPRESSION', `No compression codec has the number ${number}.`);
  }
  if (limits.stored !== true) checkClientHeader(bytes, position);
  checkProducer(bytes, position);
  if (limits.walkRecords !== false && getCodec(bytes, position) === 'none') {
    checkRecords(bytes, position + BATCH_HEADER_BYTES, position + batchBytes, {
      recordsCount: getRecordsCount(bytes, position),
      lastOffsetDelta: getLastOffsetDelta(bytes, position),
      keysRequired: limits.keysRequired === true,
    });
  }
  return batchBytes;
}

/** What a client must not do although a log may contain it. */
function checkClientHeader(bytes: Uint8Array, position: number): void {
  const recordsCount = getRecordsCount(bytes, position);
  const lastOffsetDelta = getLastOffsetDelta(bytes, position);
  if (recordsCount < 1 || recordsCount !== lastOffsetDelta + 1) {
    throw invalid(`The batch holds ${recordsCount} records but takes ${lastOffsetDelta + 1} offsets.`);
  }
  if (isControl(bytes, position)) throw invalid('Clients must not write control batches.');
  if (hasDeleteHorizon(bytes, position)) throw invalid('Clients must not set a delete horizon.');
  if (isLogAppendTime(bytes, position)) {
    throw new BurrowError('INVALID_TIMESTAMP', 'Only the broker may set the timestamp type to log append time.');
  }
}

function checkProducer(bytes: Uint8Array, position: number): void {
  const producerId = getProducerId(bytes, position);
  if (producerId === NONE) {
    if (isTransactional(bytes, position)) throw invalid('A transactional batch needs a producer id.');
    return;
  }
  const producerEpoch = getProducerEpoch(bytes, position);
  const baseSequence = getBaseSequence(bytes, position);
  // Control batches carry the transaction's producer, but no sequence.
  if (producerId < 0 || producerEpoch < 0 || (baseSequence < 0 && !isControl(bytes, position))) {
    throw invalid(`Producer id ${producerId}, epoch ${producerEpoch} and sequence ${baseSequence} do not go together.`);
  }
}

interface RecordsExpectation {
  readonly recordsCount: number;
  readonly lastOffsetDelta: number;
  readonly keysRequired: boolean;
}

/**
 * Checks that the uncompressed records in `bytes[start, end)` are well formed, as many as the batch's header says, and in
 * the order of their offsets; throws INVALID_RECORD if not. Per record: allocates nothing.
 */
export function checkRecords(bytes: Uint8Array, start: number, end: number, expected: RecordsExpectation): void {
  const cursor = new RecordCursor(bytes, start, end);
  let count = 0;
  let lastOffsetDelta = -1;
  while (cursor.next()) {
    count++;
    if (cursor.offsetDelta <= lastOffsetDelta || cursor.offsetDelta > expected.lastOffsetDelta) {
      throw invalid(`Record ${count} of the batch has the offset delta ${cursor.offsetDelta}, which is out of order.`);
    }
    lastOffsetDelta = cursor.offsetDelta;
    if (expected.keysRequired && cursor.keyBytes < 0) {
      throw invalid(`Record ${count} of the batch has no key, and the topic is compacted by key.`);
    }
  }
  if (!cursor.ok) throw invalid(`Record ${count + 1} of the batch is malformed.`);
  if (count !== expected.recordsCount) {
    throw invalid(`The batch says that it holds ${expected.recordsCount} records, but holds ${count}.`);
  }
}

function invalid(message: string): BurrowError {
  return new BurrowError('INVALID_RECORD', message);
}

function scanError(
  failure: ScanFailure,
  bytes: Uint8Array,
  position: number,
  end: number,
  limits: BatchLimits,
): BurrowError {
  const fields = { position };
  switch (failure) {
    case 'too-large': {
      const batchBytes = getBatchBytes(bytes, position);
      return new BurrowError(
        'RECORD_TOO_LARGE',
        `The record batch has ${batchBytes} bytes; the limit is ${limits.batchBytesMax} (max.message.bytes).`,
        { fields: { ...fields, batchBytes, batchBytesMax: limits.batchBytesMax } },
      );
    }
    case 'old-magic':
    case 'bad-magic':
      return new BurrowError(
        failure === 'old-magic' ? 'UNSUPPORTED_FORMAT' : 'CORRUPT_BATCH',
        `The record format has magic ${getMagic(bytes, position)}; only magic 2 (Kafka 0.11 or later) is supported.`,
        { fields },
      );
    case 'bad-crc':
      return new BurrowError(
        'CORRUPT_BATCH',
        `The record batch’s CRC is ${hex(getCrc(bytes, position))}, but its bytes have ${hex(computeCrc(bytes, position))}.`,
        { fields },
      );
    case 'bad-header':
      return new BurrowError('INVALID_RECORD', 'The fields of the record batch’s header contradict each other.', {
        fields,
      });
    default:
      return new BurrowError(
        'CORRUPT_BATCH',
        failure === 'short'
          ? `The record batch is cut off: ${end - position} bytes are left of it.`
          : 'The record batch’s length cannot be that of a batch.',
        { fields },
      );
  }
}

function hex(crc: number): string {
  return `0x${crc.toString(16).padStart(8, '0')}`;
}
