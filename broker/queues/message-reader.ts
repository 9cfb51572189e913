/**
 * Reads the messages of a queue by offset: mostly one after the other, sometimes an older one that came back. Keeps the
 * batches that were read last; so what is read ahead is bounded, whatever the length of the queue.
 */

import { BurrowError } from '../../src/errors/burrow-error.ts';
import { getBaseOffset, getBaseTimestamp, getBatchBytes, getNextOffset } from '../../src/records/batch-header.ts';
import { batchPositions, recordsSection } from '../../src/records/batch-iterator.ts';
import { RecordCursor } from '../../src/records/record-cursor.ts';
import { MessageView } from './message-batch.ts';

/** What a reader needs of a queue's log. */
export interface ReadableLog {
  readonly name: string;
  /** Whole batches from the one that holds `offset`, below `endOffset`; at once from memory, or later from disk. */
  read(offset: number, endOffset: number, bytesMax: number): Buffer[] | Promise<Buffer[]>;
}

interface OpenBatch {
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly baseTimestampMs: number;
  readonly records: Uint8Array;
  cursor: RecordCursor;
  /** Of the message at which the cursor stands; one less than the base before the first. */
  at: number;
}

/** Batches kept: enough that returned messages and new ones do not push each other out. */
const BATCHES_KEPT = 8;

export interface MessageReaderOptions {
  readonly log: ReadableLog;
  /** Read from disk at once. */
  readonly readAheadBytes: number;
  /** A read that had to wait is done, or has failed: ask again. */
  readonly onReady: () => void;
}

export class MessageReader {
  readonly #options: MessageReaderOptions;
  readonly #view = new MessageView();
  /** Last used first. */
  #batches: OpenBatch[] = [];
  /** Not opened yet, ascending, as they came from the log. */
  #pieces: Buffer[] = [];
  #reading = false;
  #read: Promise<void> = Promise.resolve();
  #failure: unknown;

  constructor(options: MessageReaderOptions) {
    this.#options = options;
  }

  /**
   * The message at `offset`, good until the next call; undefined while it must be read from disk: then `onReady` follows.
   * @throws BurrowError STORAGE_ERROR, STORAGE_CORRUPT, and the next call tries again.
   */
  at(offset: number, endOffset: number): MessageView | undefined {
    const [first] = this.#batches;
    if (first !== undefined && offset >= first.baseOffset && offset < first.nextOffset)
      return this.#open(first, offset);
    return this.#atOther(offset, endOffset);
  }

  /** Resolves when a read that {@link at} has begun is done. */
  ready(): Promise<void> {
    return this.#read;
  }

  #atOther(offset: number, endOffset: number): MessageView | undefined {
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      this.#failure = undefined;
      throw failure;
    }
    let batch = this.#kept(offset) ?? this.#fromPieces(offset);
    if (batch === undefined) {
      if (this.#reading) return undefined;
      const { log, readAheadBytes } = this.#options;
      const read = log.read(offset, endOffset, readAheadBytes);
      if (read instanceof Promise) {
        this.#wait(read, offset);
        return undefined;
      }
      this.#take(read);
      batch = this.#fromPieces(offset);
      if (batch === undefined) throw notThere(log.name, offset);
    }
    return this.#open(batch, offset);
  }

  #kept(offset: number): OpenBatch | undefined {
    const index = this.#batches.findIndex(({ baseOffset, nextOffset }) => offset >= baseOffset && offset < nextOffset);
    if (index === -1) return undefined;
    const [batch] = this.#batches.splice(index, 1);
    this.#batches.unshift(batch!);
    return batch;
  }

  #fromPieces(offset: number): OpenBatch | undefined {
    const index = this.#pieces.findIndex(
      (piece) => offset >= getBaseOffset(piece, 0) && offset < getNextOffset(piece, 0),
    );
    if (index === -1) return undefined;
    const piece = this.#pieces[index]!;
    this.#pieces.splice(0, index + 1);
    const records = recordsSection(piece, 0);
    const baseOffset = getBaseOffset(piece, 0);
    const batch: OpenBatch = {
      baseOffset,
      nextOffset: getNextOffset(piece, 0),
      baseTimestampMs: getBaseTimestamp(piece, 0),
      records,
      cursor: new RecordCursor(records),
      at: baseOffset - 1,
    };
    this.#batches.unshift(batch);
    if (this.#batches.length > BATCHES_KEPT) this.#batches.pop();
    return batch;
  }

  #open(batch: OpenBatch, offset: number): MessageView {
    if (offset < batch.at) {
      batch.cursor = new RecordCursor(batch.records);
      batch.at = batch.baseOffset - 1;
    }
    const { cursor } = batch;
    while (batch.at < offset && cursor.next()) batch.at = batch.baseOffset + cursor.offsetDelta;
    if (batch.at !== offset || !this.#view.set(cursor, offset, batch.baseTimestampMs + cursor.timestampDelta)) {
      throw notThere(this.#options.log.name, offset);
    }
    return this.#view;
  }

  #take(pieces: readonly Buffer[]): void {
    this.#pieces = [];
    for (const bytes of pieces) {
      for (const position of batchPositions(bytes)) {
        this.#pieces.push(bytes.subarray(position, position + getBatchBytes(bytes, position)));
      }
    }
  }

  #wait(read: Promise<Buffer[]>, offset: number): void {
    this.#reading = true;
    this.#read = read
      .then(
        (pieces) => {
          this.#take(pieces);
          const found = this.#pieces.some(
            (piece) => getNextOffset(piece, 0) > offset && getBaseOffset(piece, 0) <= offset,
          );
          if (!found) this.#failure = notThere(this.#options.log.name, offset);
        },
        (error: unknown) => {
          this.#failure = error;
        },
      )
      .finally(() => {
        this.#reading = false;
        this.#options.onReady();
      });
  }
}

function notThere(log: string, offset: number): BurrowError {
  return new BurrowError('STORAGE_CORRUPT', `The message at offset ${offset} of ${log} is not where it should be.`, {
    fields: { log, offset },
  });
}
