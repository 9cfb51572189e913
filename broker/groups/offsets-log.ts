/**
 * One partition of the internal topic `__consumer_offsets`: writes what coordinators decide and reads all of it back.
 *
 * What is written in one turn, or while earlier writes are on their way to the disk, goes into one batch, so that many
 * small commits cost one. It counts once it is as durable as a produce with acks=all. Never more than one write is on its
 * way; so outcomes come in the order of the calls.
 */
import { asBuffer } from '../../src/bytes/as-buffer.ts';
import { BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import { BatchBuilder } from '../../src/records/batch-builder.ts';
import { getNextOffset, isControl } from '../../src/records/batch-header.ts';
import { batchPositions, openRecords } from '../../src/records/batch-iterator.ts';
import { RecordCursor } from '../../src/records/record-cursor.ts';
import { Deferred } from '../log/deferred.ts';
import type { DiskSpace } from '../partitions/disk-space.ts';
import type { Partition } from '../partitions/partition.ts';
import type { Clock } from '../ports/clock.ts';
import { cannotWrite } from './group-errors.ts';
import {
  encodeGroupKey,
  offsetRecordBytes,
  type StoredOffset,
  writeOffsetKey,
  writeOffsetValue,
} from './group-records.ts';

/** Of one read while loading: what loading holds in memory besides its result. */
const LOAD_BYTES = 1024 * 1024;
const DECOMPRESSED_BYTES_MAX = 64 * 1024 * 1024;

export interface OffsetsLogOptions {
  readonly partition: Partition;
  readonly clock: Clock;
  readonly diskSpace: DiskSpace;
}

export class OffsetsLog {
  readonly #options: OffsetsLogOptions;
  readonly #builder: BatchBuilder;
  /** Batches that were full before they could be written. */
  #full: Buffer[] = [];
  /** Settles with what was written since the last batch went out. */
  #next: Deferred | undefined;
  /** Settles with what is on its way; never rejects. */
  #writing: Promise<void> = Promise.resolve();
  #isWriting = false;
  /** Key and value of the offset at hand. */
  #scratch = Buffer.allocUnsafeSlow(1024);

  constructor(options: OffsetsLogOptions) {
    this.#options = options;
    this.#builder = new BatchBuilder({ batchBytesMax: options.partition.config.batchBytesMax });
  }

  /** The largest group that can be stored, with room for the frame of its record and batch. */
  get groupBytesMax(): number {
    return this.#options.partition.config.batchBytesMax - 1024;
  }

  /** Undefined deletes it. Durable when the next {@link synced} resolves. Per committed offset. */
  writeOffset(groupId: string, topic: string, partition: number, offset: StoredOffset | undefined): void {
    const bytes = offsetRecordBytes(groupId, topic, offset?.metadata ?? '');
    if (bytes > this.#scratch.length) this.#scratch = Buffer.allocUnsafeSlow(bytes * 2);
    const scratch = this.#scratch;
    const keyEnd = writeOffsetKey(scratch, 0, groupId, topic, partition);
    const value = offset === undefined ? null : scratch.subarray(keyEnd, writeOffsetValue(scratch, keyEnd, offset));
    this.#write(scratch.subarray(0, keyEnd), value);
  }

  /** Null deletes it. Durable when the next {@link synced} resolves. */
  writeGroup(groupId: string, value: Uint8Array | null): void {
    this.#write(encodeGroupKey(groupId), value);
  }

  /**
   * Resolves when everything written before the call is durable.
   * Rejects with COORDINATOR_NOT_AVAILABLE if it is not known to be: clients try again, and find what is stored.
   */
  synced(): Promise<void> {
    return this.#next === undefined ? this.#writing : this.#next.promise;
  }

  /** Resolves when the outcome of everything written before the call is known. */
  async settled(): Promise<void> {
    await this.synced().catch(() => {});
  }

  #write(key: Uint8Array, value: Uint8Array | null): void {
    const nowMs = this.#options.clock.now();
    if (!this.#builder.append(nowMs, key, value)) {
      this.#full.push(asBuffer(this.#builder.finish()));
      this.#builder.append(nowMs, key, value);
    }
    this.#next ??= new Deferred();
    if (this.#isWriting) return;
    this.#isWriting = true;
    // A microtask later, so that one batch takes all that the current turn writes.
    void Promise.resolve().then(() => this.#writeAll());
  }

  async #writeAll(): Promise<void> {
    for (let covered = this.#next; covered !== undefined; covered = this.#next) {
      this.#next = undefined;
      this.#writing = covered.promise.catch(() => {});
      try {
        await this.#append();
        covered.resolve();
      } catch (error) {
        covered.reject(cannotWrite(this.#options.partition.log.key, toBurrowError(error)));
      }
    }
    this.#isWriting = false;
  }

  async #append(): Promise<void> {
    const { partition, clock, diskSpace } = this.#options;
    const batches = [...this.#full, asBuffer(this.#builder.finish())];
    this.#full = [];
    partition.checkLeader(-1);
    partition.checkReplicas();
    const nowMs = clock.now();
    const synced: Array<Promise<void>> = [];
    for (const batch of batches) {
      diskSpace.noteProduced(batch.length);
      synced.push(partition.acknowledged(partition.append(batch, nowMs), -1));
    }
    await Promise.all(synced);
  }

  /**
   * Hands on every record that the log holds, oldest first, a piece of the log at a time. Key and value are views that are
   * good during the call only. `isOver` ends it early.
   */
  async load(onRecord: (key: Uint8Array, value: Uint8Array | null) => void, isOver: () => boolean): Promise<void> {
    const { log } = this.#options.partition;
    const endOffset = log.highWatermark;
    let offset = log.logStartOffset;
    while (offset < endOffset && !isOver()) {
      const pieces = await log.read(offset, { bytesMax: LOAD_BYTES, endOffset, wholeFirstBatch: true });
      const before = offset;
      for (const bytes of pieces) {
        for (const position of batchPositions(bytes)) {
          offset = getNextOffset(bytes, position);
          if (isControl(bytes, position)) continue;
          const cursor = new RecordCursor(await openRecords(bytes, position, DECOMPRESSED_BYTES_MAX));
          while (cursor.next()) {
            const key = cursor.key();
            if (key !== null) onRecord(key, cursor.value());
          }
          if (!cursor.ok) throw damaged(log.key, offset);
        }
      }
      // Compaction may have left nothing behind this offset.
      if (offset === before) return;
    }
  }
}

function damaged(log: string, nextOffset: number): BurrowError {
  return new BurrowError('STORAGE_CORRUPT', `A batch of ${log} before offset ${nextOffset} holds a malformed record.`);
}
