/**
 * Looks into compressed batches where a topic's rules are about single records (a compacted topic wants keys). Off the hot
 * path: few at a time, so that neither memory nor the thread pool is at the mercy of who sends the most.
 */
import {
  BATCH_HEADER_BYTES,
  getBatchBytes,
  getCodec,
  getLastOffsetDelta,
  getRecordsCount,
} from '../../src/records/batch-header.ts';
import { type BatchLimits, checkRecords } from '../../src/records/check-batch.ts';
import { decompress } from '../../src/records/compression.ts';

const CHECKS_AT_ONCE_MAX = 2;

export class CompressedRecords {
  readonly #decompressedBytesMax: number;
  readonly #waiting: Array<() => void> = [];
  #running = 0;

  /** @param decompressedBytesMax - of one batch; beyond it the batch is refused with DECOMPRESSION_LIMIT */
  constructor(decompressedBytesMax: number) {
    this.#decompressedBytesMax = decompressedBytesMax;
  }

  /**
   * Checks the records of all compressed batches in a buffer of checked batches.
   * @throws BurrowError CORRUPT_BATCH, DECOMPRESSION_LIMIT, INVALID_RECORD
   */
  async check(batches: Buffer, limits: BatchLimits): Promise<void> {
    if (this.#running < CHECKS_AT_ONCE_MAX) this.#running++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      for (let position = 0; position < batches.length; position += getBatchBytes(batches, position)) {
        await this.#checkOne(batches, position, limits);
      }
    } finally {
      // The place is handed on, or given up.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }

  async #checkOne(bytes: Buffer, position: number, limits: BatchLimits): Promise<void> {
    const codec = getCodec(bytes, position)!;
    if (codec === 'none') return;
    const compressed = bytes.subarray(position + BATCH_HEADER_BYTES, position + getBatchBytes(bytes, position));
    const records = await decompress(codec, compressed, this.#decompressedBytesMax);
    checkRecords(records, 0, records.length, {
      recordsCount: getRecordsCount(bytes, position),
      lastOffsetDelta: getLastOffsetDelta(bytes, position),
      keysRequired: limits.keysRequired === true,
    });
  }
}
