/**
 * What lies between the fetched bytes and the user: chooses the partition whose turn it is, opens its next batch and hands
 * out its records. Does not wait and does not fetch. Per batch, but for moving records over.
 */
import { BurrowError, isBurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import { isCompressed, type OpenedBatch, type OpenerLimits, openBatch } from './batch-opener.ts';
import type { ConsumerRecord } from './consumer-record.ts';
import type { FetchedChunk, PartitionCursor } from './partition-cursor.ts';

export interface DeliveryOptions extends OpenerLimits {
  /** A buffer has more room than before. */
  onRoom(): void;
  /** A batch that had to be decompressed is ready (or turned out to be damaged). */
  onOpened(): void;
}

export class Delivery<K, V> {
  cursors: ReadonlyArray<PartitionCursor<K, V>> = [];
  readonly #options: DeliveryOptions;
  /** The cursor to serve first: moves on with every delivery, so that no partition starves. */
  #turn = 0;

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  /** A partition with an opened batch, or the error that stands in the place of one; undefined if there is neither. */
  next(): PartitionCursor<K, V> | BurrowError | undefined {
    const count = this.cursors.length;
    for (let index = 0; index < count; index += 1) {
      const place = (this.#turn + index) % count;
      const cursor = this.cursors[place]!;
      if (!cursor.isDeliverable) continue;
      const error = this.#prepare(cursor);
      if (error !== undefined) return error;
      if (cursor.opened !== undefined) {
        this.#turn = place + 1;
        return cursor;
      }
    }
    return undefined;
  }

  /** The user has seen the error: its partition goes on behind it. */
  dismiss(error: BurrowError): void {
    const cursor = this.cursors.find(({ buffered }) => buffered[0] === error);
    cursor?.removeFirst();
    this.#options.onRoom();
  }

  /** Moves up to `count` records over. Per record. */
  take(cursor: PartitionCursor<K, V>, count: number, into: ConsumerRecord<K, V>[]): void {
    const opened = cursor.opened!;
    const end = Math.min(opened.records.length, opened.index + count);
    for (let index = opened.index; index < end; index += 1) into.push(opened.records[index]!);
    if (end === opened.records.length) this.finish(cursor);
    else this.#moveTo(cursor, opened, end);
  }

  /** The next record of the opened batch, for a user who takes them one by one. Per record. */
  takeOne(cursor: PartitionCursor<K, V>): ConsumerRecord<K, V> {
    const opened = cursor.opened!;
    this.#moveTo(cursor, opened, opened.index + 1);
    return opened.records[opened.index - 1]!;
  }

  #moveTo(cursor: PartitionCursor<K, V>, opened: OpenedBatch<K, V>, end: number): void {
    opened.index = end;
    cursor.position = opened.records[end - 1]!.offset + 1;
    cursor.leaderEpoch = opened.leaderEpoch;
  }

  /** The opened batch was delivered whole. */
  finish(cursor: PartitionCursor<K, V>): void {
    cursor.finishOpened(cursor.opened!);
    // What must be decompressed is, while the user works on this batch.
    const next = cursor.buffered[0];
    if (next !== undefined && !isBurrowError(next) && isCompressed(next)) this.#prepare(cursor);
    this.#options.onRoom();
  }

  /** Opens the partition's next batch that has records. Returns the error that stands in their place. */
  #prepare(cursor: PartitionCursor<K, V>): BurrowError | undefined {
    while (cursor.opened === undefined) {
      const first = cursor.buffered[0];
      if (first === undefined || cursor.opening !== undefined) return undefined;
      if (isBurrowError(first)) return first;
      try {
        const opened = openBatch(first as FetchedChunk, cursor.source, this.#options);
        if (opened instanceof Promise) {
          this.#awaitOpening(cursor, opened);
          return undefined;
        }
        cursor.opened = opened;
      } catch (error) {
        return this.#failOpening(cursor, error);
      }
      this.#skipIfEmpty(cursor);
    }
    return undefined;
  }

  #awaitOpening(cursor: PartitionCursor<K, V>, opened: Promise<OpenedBatch<K, V>>): void {
    const { generation } = cursor;
    const settle = (use: () => void) => {
      // A seek made it meaningless.
      if (cursor.generation !== generation || cursor.removed) return;
      cursor.opening = undefined;
      use();
      this.#options.onOpened();
    };
    cursor.opening = opened.then(
      (batch) =>
        settle(() => {
          cursor.opened = batch;
          this.#skipIfEmpty(cursor);
        }),
      (error) => settle(() => void this.#failOpening(cursor, error)),
    );
  }

  #skipIfEmpty(cursor: PartitionCursor<K, V>): void {
    if (cursor.opened !== undefined && cursor.opened.records.length === 0) {
      cursor.finishOpened(cursor.opened);
      this.#options.onRoom();
    }
  }

  #failOpening(cursor: PartitionCursor<K, V>, thrown: unknown): BurrowError {
    const error = toBurrowError(thrown);
    const { topic, partition, position } = cursor;
    const placed = new BurrowError(error.code, `${topic}-${partition} at offset ${position}: ${error.message}`, {
      cause: error,
      fields: { ...error.fields, topic, partition, offset: position ?? -1 },
    });
    cursor.failAtPosition(placed);
    return placed;
  }
}
