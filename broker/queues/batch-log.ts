/**
 * Where a queue keeps batches: a partition's log, or memory for queues that do not outlive the broker. Both give each
 * batch its offset at once and tell later when it counts.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { getNextOffset, setBaseOffset } from '../../src/records/batch-header.ts';
import type { DiskSpace } from '../partitions/disk-space.ts';
import type { Partition } from '../partitions/partition.ts';
import type { Clock } from '../ports/clock.ts';

export interface BatchLog {
  readonly name: string;
  readonly logStartOffset: number;
  readonly logEndOffset: number;
  /** End of what readers may see. */
  readonly highWatermark: number;
  /** Stored bytes. */
  readonly byteCount: number;
  /** The largest batch that can be stored. */
  readonly batchBytesMax: number;
  /** Told when the high watermark moved or the log failed. */
  onAdvance: (() => void) | undefined;
  /**
   * Gives the batch its place. The promise settles when it is as durable as an acknowledgment promises; undefined if it is
   * already. Throws what the partition refuses. Per batch.
   */
  append(batch: Buffer): Promise<void> | undefined;
  read(offset: number, endOffset: number, bytesMax: number): Buffer[] | Promise<Buffer[]>;
  /** Nobody needs what is below `offset`; its room may be used again. Resolves when that is durable. */
  trim(offset: number): Promise<void>;
  /** Whether {@link BatchLog.trim} would free something. */
  canTrim(offset: number): boolean;
}

/** A partition's log: survives the broker, and is replicated as any other. */
export class PartitionBatchLog implements BatchLog {
  readonly #partition: Partition;
  readonly #clock: Clock;
  readonly #diskSpace: DiskSpace;
  readonly #onTrimFailed: (error: unknown) => void;
  readonly #onUnstored: (change: number) => void;
  readonly #needsRoom: boolean;
  #trimming = false;
  onAdvance: (() => void) | undefined;

  constructor(options: {
    readonly partition: Partition;
    readonly clock: Clock;
    readonly diskSpace: DiskSpace;
    /** Bytes that are on their way to the disk, more or less. */
    readonly onUnstored: (change: number) => void;
    /** Whether nothing is taken while the disk is full. Settlements are: they make room. */
    readonly needsRoom: boolean;
    readonly onTrimFailed: (error: unknown) => void;
  }) {
    this.#onUnstored = options.onUnstored;
    this.#needsRoom = options.needsRoom;
    this.#partition = options.partition;
    this.#clock = options.clock;
    this.#diskSpace = options.diskSpace;
    this.#onTrimFailed = options.onTrimFailed;
    const before = options.partition.onAdvance;
    options.partition.onAdvance = (partition) => {
      before?.(partition);
      this.onAdvance?.();
    };
  }

  get name(): string {
    return this.#partition.log.key;
  }

  get logStartOffset(): number {
    return this.#partition.log.logStartOffset;
  }

  get logEndOffset(): number {
    return this.#partition.log.logEndOffset;
  }

  get highWatermark(): number {
    return this.#partition.log.highWatermark;
  }

  get byteCount(): number {
    return this.#partition.log.bytes;
  }

  get batchBytesMax(): number {
    return this.#partition.config.batchBytesMax;
  }

  append(batch: Buffer): Promise<void> {
    const partition = this.#partition;
    partition.checkLeader(-1);
    partition.checkReplicas();
    if (this.#needsRoom && this.#diskSpace.full !== undefined) throw this.#diskSpace.full;
    this.#diskSpace.noteProduced(batch.length);
    const stored = partition.acknowledged(partition.append(batch, this.#clock.now()), -1);
    const { length } = batch;
    this.#onUnstored(length);
    const done = (): void => this.#onUnstored(-length);
    stored.then(done, done);
    return stored;
  }

  read(offset: number, endOffset: number, bytesMax: number): Buffer[] | Promise<Buffer[]> {
    return this.#partition.log.read(offset, { endOffset, bytesMax, wholeFirstBatch: true });
  }

  canTrim(offset: number): boolean {
    const { segments } = this.#partition.log;
    return !this.#trimming && segments.length > 1 && segments[1]!.baseOffset <= offset;
  }

  trim(offset: number): Promise<void> {
    this.#trimming = true;
    const trimmed = this.#partition.log.deleteRecordsBefore(Math.min(offset, this.highWatermark)).finally(() => {
      this.#trimming = false;
    });
    // Mostly nobody waits for it.
    trimmed.catch((error: unknown) => this.#onTrimFailed(error));
    return trimmed;
  }
}

const TRIMMED = Promise.resolve();

/** The size of a queue in memory is for its owner to bound. */
export class MemoryBatchLog implements BatchLog {
  readonly name: string;
  readonly batchBytesMax: number;
  readonly #onBytes: (change: number) => void;
  #batches: Buffer[] = [];
  #head = 0;
  #bytes = 0;
  #startOffset = 0;
  #endOffset = 0;
  onAdvance: (() => void) | undefined;

  constructor(options: {
    readonly name: string;
    readonly batchBytesMax: number;
    /** Bytes taken, or given back. */
    readonly onBytes: (change: number) => void;
  }) {
    this.name = options.name;
    this.batchBytesMax = options.batchBytesMax;
    this.#onBytes = options.onBytes;
  }

  get logStartOffset(): number {
    return this.#startOffset;
  }

  get logEndOffset(): number {
    return this.#endOffset;
  }

  get highWatermark(): number {
    return this.#endOffset;
  }

  get byteCount(): number {
    return this.#bytes;
  }

  append(batch: Buffer): undefined {
    setBaseOffset(batch, 0, this.#endOffset);
    this.#endOffset = getNextOffset(batch, 0);
    this.#batches.push(batch);
    this.#count(batch.length);
    this.onAdvance?.();
    return undefined;
  }

  read(offset: number, endOffset: number, bytesMax: number): Buffer[] {
    if (offset < this.#startOffset || offset > this.#endOffset) {
      throw new BurrowError('OFFSET_OUT_OF_RANGE', `Offset ${offset} of ${this.name} is gone.`);
    }
    const found: Buffer[] = [];
    let bytes = 0;
    for (let index = this.#indexOf(offset); index < this.#batches.length; index++) {
      const batch = this.#batches[index]!;
      if (getNextOffset(batch, 0) > endOffset) break;
      if (found.length > 0 && bytes + batch.length > bytesMax) break;
      found.push(batch);
      bytes += batch.length;
    }
    return found;
  }

  canTrim(offset: number): boolean {
    const first = this.#batches[this.#head];
    return first !== undefined && getNextOffset(first, 0) <= offset;
  }

  trim(offset: number): Promise<void> {
    while (this.canTrim(offset)) {
      const first = this.#batches[this.#head]!;
      this.#startOffset = getNextOffset(first, 0);
      this.#batches[this.#head++] = undefined as unknown as Buffer;
      this.#count(-first.length);
    }
    if (this.#head >= 256 && this.#head * 2 >= this.#batches.length) {
      this.#batches = this.#batches.slice(this.#head);
      this.#head = 0;
    }
    return TRIMMED;
  }

  /** Gives all memory back. */
  clear(): void {
    this.#count(-this.#bytes);
    this.#batches = [];
    this.#head = 0;
    this.#startOffset = this.#endOffset;
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#onBytes(bytes);
  }

  #indexOf(offset: number): number {
    let low = this.#head;
    let high = this.#batches.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (getNextOffset(this.#batches[middle]!, 0) <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
