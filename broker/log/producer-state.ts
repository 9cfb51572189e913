/**
 * What idempotence needs to know of each producer of a partition (rule R14; Kafka's ProducerStateManager): epoch and the
 * last five batches, so that a batch sent again is answered with the offsets it already has.
 */
import { crc32c } from '../../src/bytes/crc32c.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';

/** As many batches as an idempotent producer may have in flight (Kafka's NUM_BATCHES_TO_RETAIN). */
export const RETAINED_BATCHES = 5;
const SEQUENCE_MODULUS = 0x8000_0000;

/** A batch that a producer has appended. Sequences wrap at 2^31. */
export interface ProducerBatch {
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly baseOffset: number;
  readonly nextOffset: number;
}

interface ProducerEntry {
  epoch: number;
  /** When it last appended, by the broker's clock; for expiry. */
  lastAppendMs: number;
  /** Oldest first, at most RETAINED_BATCHES. */
  batches: ProducerBatch[];
}

export interface ProducerBatchHeader {
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly recordsCount: number;
}

export class ProducerState {
  readonly #producers = new Map<number, ProducerEntry>();
  readonly #producersMax: number;

  constructor(producersMax = 100_000) {
    this.#producersMax = producersMax;
  }

  get size(): number {
    return this.#producers.size;
  }

  /**
   * The batch that this one repeats, or undefined if it is the next in order.
   * Throws INVALID_PRODUCER_EPOCH or OUT_OF_ORDER_SEQUENCE. A producer without state may start anywhere: its state may
   * have expired (KIP-360).
   */
  check(header: ProducerBatchHeader): ProducerBatch | undefined {
    const entry = this.#producers.get(header.producerId);
    if (entry === undefined) return undefined;
    const { producerId, producerEpoch, baseSequence } = header;
    if (producerEpoch < entry.epoch) {
      throw new BurrowError(
        'INVALID_PRODUCER_EPOCH',
        `Producer ${producerId} sent epoch ${producerEpoch}, but epoch ${entry.epoch} has taken over.`,
      );
    }
    if (producerEpoch > entry.epoch) {
      if (baseSequence === 0) return undefined;
      throw outOfOrder(header, 0);
    }
    const lastSequence = sequenceAfter(baseSequence, header.recordsCount - 1);
    for (const batch of entry.batches) {
      if (batch.firstSequence === baseSequence && batch.lastSequence === lastSequence) return batch;
    }
    const last = entry.batches.at(-1);
    const expected = last === undefined ? baseSequence : sequenceAfter(last.lastSequence, 1);
    if (baseSequence !== expected) throw outOfOrder(header, expected);
    return undefined;
  }

  /** Notes a batch that was appended. */
  update(header: ProducerBatchHeader, baseOffset: number, nextOffset: number, appendedAtMs: number): void {
    let entry = this.#producers.get(header.producerId);
    if (entry === undefined) {
      if (this.#producers.size >= this.#producersMax) this.#forgetOldest();
      entry = { epoch: header.producerEpoch, lastAppendMs: appendedAtMs, batches: [] };
      this.#producers.set(header.producerId, entry);
    }
    if (entry.epoch !== header.producerEpoch) {
      entry.epoch = header.producerEpoch;
      entry.batches = [];
    }
    entry.lastAppendMs = appendedAtMs;
    if (entry.batches.length === RETAINED_BATCHES) entry.batches.shift();
    entry.batches.push({
      firstSequence: header.baseSequence,
      lastSequence: sequenceAfter(header.baseSequence, header.recordsCount - 1),
      baseOffset,
      nextOffset,
    });
  }

  /** Whether the batch at `baseOffset` is one of those by which repetitions are told. */
  retains(producerId: number, baseOffset: number): boolean {
    const oldest = this.#producers.get(producerId)?.batches[0];
    return oldest !== undefined && baseOffset >= oldest.baseOffset;
  }

  /** Forgets producers that have not appended since `deadlineMs`. */
  expire(deadlineMs: number): void {
    for (const [producerId, entry] of this.#producers) {
      if (entry.lastAppendMs < deadlineMs) this.#producers.delete(producerId);
    }
  }

  clear(): void {
    this.#producers.clear();
  }

  #forgetOldest(): void {
    for (const producerId of this.#producers.keys()) {
      this.#producers.delete(producerId);
      return;
    }
  }

  /**
   * Snapshot: crc uint32 | count uint32 | producers, each
   * id float64 | epoch int16 | last append float64 | batches uint8 | batches × (first, last uint32, base, next float64).
   */
  encode(): Buffer {
    let bytesNeeded = 8;
    for (const { batches } of this.#producers.values()) bytesNeeded += 19 + batches.length * 24;
    const bytes = Buffer.allocUnsafeSlow(bytesNeeded);
    bytes.writeUInt32BE(this.#producers.size, 4);
    let at = 8;
    for (const [producerId, { epoch, lastAppendMs, batches }] of this.#producers) {
      at = bytes.writeDoubleBE(producerId, at);
      at = bytes.writeInt16BE(epoch, at);
      at = bytes.writeDoubleBE(lastAppendMs, at);
      at = bytes.writeUInt8(batches.length, at);
      for (const batch of batches) {
        at = bytes.writeUInt32BE(batch.firstSequence, at);
        at = bytes.writeUInt32BE(batch.lastSequence, at);
        at = bytes.writeDoubleBE(batch.baseOffset, at);
        at = bytes.writeDoubleBE(batch.nextOffset, at);
      }
    }
    bytes.writeUInt32BE(crc32c(bytes, 4), 0);
    return bytes;
  }

  /** Undefined if the bytes are not an undamaged snapshot. */
  static decode(bytes: Buffer, producersMax?: number): ProducerState | undefined {
    if (bytes.length < 8 || bytes.readUInt32BE(0) !== crc32c(bytes, 4)) return undefined;
    const state = new ProducerState(producersMax);
    let at = 8;
    for (let remaining = bytes.readUInt32BE(4); remaining > 0; remaining--) {
      const producerId = bytes.readDoubleBE(at);
      const epoch = bytes.readInt16BE(at + 8);
      const lastAppendMs = bytes.readDoubleBE(at + 10);
      const batchCount = bytes.readUInt8(at + 18);
      at += 19;
      const batches: ProducerBatch[] = [];
      for (let i = 0; i < batchCount; i++, at += 24) {
        batches.push({
          firstSequence: bytes.readUInt32BE(at),
          lastSequence: bytes.readUInt32BE(at + 4),
          baseOffset: bytes.readDoubleBE(at + 8),
          nextOffset: bytes.readDoubleBE(at + 16),
        });
      }
      state.#producers.set(producerId, { epoch, lastAppendMs, batches });
    }
    return state;
  }
}

function sequenceAfter(sequence: number, steps: number): number {
  return (sequence + steps) % SEQUENCE_MODULUS;
}

function outOfOrder({ producerId, baseSequence }: ProducerBatchHeader, expected: number): BurrowError {
  return new BurrowError(
    'OUT_OF_ORDER_SEQUENCE',
    `Producer ${producerId} sent sequence ${baseSequence}, but ${expected} is next.`,
    { fields: { producerId, baseSequence, expected } },
  );
}
