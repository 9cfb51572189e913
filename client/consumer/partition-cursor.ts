/**
 * Where a consumer stands in one partition: what was delivered, what was fetched, what is asked for next. Pure: no I/O, no time of
 * its own.
 *
 *     delivered          buffered (fetched, not delivered)      asked for, or next to ask for
 *     ─────────────┬────────────────────────────────────────┬──────────────────────────────────>  offsets
 *              position                                 fetchOffset
 *
 * A seek raises `generation`; whatever was asked for under an older one is dropped when it comes. So no record from before
 * a seek is delivered after it.
 */
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import type { OpenedBatch } from './batch-opener.ts';
import { recordsFrom } from './batch-scan.ts';
import type { RecordSource } from './consumer-record.ts';

/** A place in a partition that must be looked up before it is an offset. */
export type StartPoint = 'earliest' | 'latest' | { readonly timestampMs: number };

/** Who sent records unasked, and sends more once they are done with. */
export interface ChunkOrigin {
  release(records: number, bytes: number): void;
}

/** Record batches as one fetch or push brought them. */
export interface FetchedChunk {
  readonly bytes: Uint8Array;
  /** Position in `bytes` of the first batch that was not delivered whole. */
  position: number;
  /** The offset that was asked for: the first batch may begin before it. */
  readonly fromOffset: number;
  /** Undefined for what was asked for. */
  readonly origin: ChunkOrigin | undefined;
}

export class PartitionCursor<K = unknown, V = unknown> {
  readonly source: RecordSource<K, V>;
  readonly topic: string;
  readonly partition: number;
  generation = 0;
  /** Offset of the next record to deliver; undefined until the start point is looked up. */
  position: number | undefined;
  /** Offset to fetch next; undefined likewise, and while {@link startPoint} waits to be looked up. */
  fetchOffset: number | undefined;
  startPoint: StartPoint | undefined;
  /** The look-up of the start point is under way. */
  lookingUp: boolean = false;
  /** By the user. */
  paused: boolean = false;
  /** By a rebalance: not given to the user yet, or about to be taken away. */
  held: boolean = false;
  removed: boolean = false;
  /** Fetched and not delivered, in order; an error stands where the records that it hides would. */
  readonly buffered: Array<FetchedChunk | BurrowError> = [];
  bufferedBytes = 0;
  /** The first batch of the first chunk, once it is opened; while it is being opened, `opening`. */
  opened: OpenedBatch<K, V> | undefined;
  opening: Promise<void> | undefined;
  /** An error is in the buffer: nothing is fetched until the user has seen it. */
  halted: boolean = false;
  /** Nothing is asked of a broker before this, in monotonic milliseconds: the delay after a failure. */
  mutedUntilMs = 0;
  /** Failures in a row. */
  failures = 0;
  /** As the broker last said; -1 until then. Likewise below. */
  highWatermark = -1;
  logStartOffset = -1;
  /** Of the batch before the position; -1 if it is not known. */
  leaderEpoch = -1;
  // Of a group: how far the user has come with what was handed out, and what the group knows of it.
  /** Behind the last record that the user has finished; undefined as long as the position is. */
  finished: number | undefined;
  finishedLeaderEpoch = -1;
  committed: number | undefined;

  constructor(source: RecordSource<K, V>) {
    this.source = source;
    this.topic = source.topic;
    this.partition = source.partition;
  }

  /** The user has finished what was handed out. Per record. */
  finishHandedOut(): void {
    this.finished = this.position;
    this.finishedLeaderEpoch = this.leaderEpoch;
  }

  get isDeliverable(): boolean {
    return !this.paused && !this.held && !this.removed;
  }

  /** Whether the broker may be asked for records from {@link fetchOffset}. */
  isFetchable(nowMs: number): boolean {
    return this.fetchOffset !== undefined && this.isDeliverable && !this.halted && this.mutedUntilMs <= nowMs;
  }

  /** Goes to an offset. */
  seek(offset: number): void {
    this.drop();
    this.position = offset;
    this.fetchOffset = offset;
    this.startPoint = undefined;
  }

  /** Goes to a place that must be looked up. */
  seekToStartPoint(startPoint: StartPoint): void {
    this.drop();
    this.position = undefined;
    this.fetchOffset = undefined;
    this.startPoint = startPoint;
  }

  /** The log no longer has (or does not yet have) what comes next: goes on from `startPoint`, behind what is buffered. */
  resetTo(startPoint: StartPoint): void {
    this.fetchOffset = undefined;
    this.startPoint = startPoint;
  }

  onStartPointFound(offset: number): void {
    this.startPoint = undefined;
    this.fetchOffset = offset;
    if (this.buffered.length === 0) {
      // Nothing is left to finish below it, unless the user still works on what came before a reset.
      const nothingIsOut = this.finished === this.position;
      this.position = offset;
      if (nothingIsOut) this.finishHandedOut();
    }
    this.failures = 0;
  }

  onFetched(bytes: Uint8Array, nextOffset: number, origin?: ChunkOrigin): void {
    const fromOffset = this.fetchOffset!;
    this.failures = 0;
    if (bytes.byteLength === 0) return;
    this.buffered.push({ bytes, position: 0, fromOffset, origin });
    this.bufferedBytes += bytes.byteLength;
    this.fetchOffset = nextOffset;
  }

  /** Lets the user see `error` once everything before it was delivered. */
  onError(error: BurrowError): void {
    this.buffered.push(error);
    this.halted = true;
  }

  /** What stands next cannot be opened: drops the buffer and begins anew from the position, once the user has seen `error`. */
  failAtPosition(error: BurrowError): void {
    this.seek(this.position!);
    this.onError(error);
  }

  /** The opened batch was delivered whole: goes on to the next of its chunk, or to the next chunk. */
  finishOpened(opened: OpenedBatch<K, V>): void {
    const nothingIsOut = this.finished === this.position && opened.records.length === 0;
    this.opened = undefined;
    this.position = opened.nextOffset;
    this.leaderEpoch = opened.leaderEpoch;
    if (nothingIsOut) this.finishHandedOut();
    const chunk = this.buffered[0] as FetchedChunk;
    const { records, recordsCount, batchBytes } = opened;
    // What was handed out is released by those who have it.
    chunk.origin?.release(recordsCount - records.length, records.length === 0 ? batchBytes : 0);
    chunk.position += opened.batchBytes;
    if (chunk.position >= chunk.bytes.byteLength) this.removeFirst();
  }

  /** Takes what stands first, which was delivered whole (or seen, if it is an error). */
  removeFirst(): void {
    const first = this.buffered.shift();
    if (first === undefined) return;
    if ('bytes' in first) this.bufferedBytes -= first.bytes.byteLength;
    else this.halted = false;
  }

  /** Nothing of what is buffered will be delivered. */
  drop(): void {
    this.generation += 1;
    this.#releaseBuffered();
    this.buffered.length = 0;
    this.bufferedBytes = 0;
    this.halted = false;
    this.failures = 0;
    this.mutedUntilMs = 0;
    this.lookingUp = false;
    this.opened = undefined;
    this.opening = undefined;
    this.leaderEpoch = -1;
  }

  #releaseBuffered(): void {
    // Of the opened batch, these were handed out.
    let handedOut = this.opened?.index ?? 0;
    for (const chunk of this.buffered) {
      if (!('bytes' in chunk) || chunk.origin === undefined) continue;
      const { bytes, position, origin } = chunk;
      origin.release(recordsFrom(bytes, position) - handedOut, bytes.byteLength - position);
      handedOut = 0;
    }
  }
}
