/**
 * One segment of a log: a file of record batches, and the indexes that find a place in it. Knows bytes and positions;
 * what may be read, and when something is removed, is the log's business.
 */
import {
  BATCH_HEADER_BYTES,
  getBaseOffset as batchBaseOffset,
  getBatchBytes as batchBytesAt,
  getMaxTimestamp as batchMaxTimestamp,
  getNextOffset as batchNextOffset,
} from '../../src/records/batch-header.ts';
import { scanBatch } from '../../src/records/check-batch.ts';
import type { Disk, DiskFile } from '../ports/disk.ts';
import { readWholeFile } from './atomic-file.ts';
import { logFile, offsetIndexFile, timeIndexFile } from './file-names.ts';
import { OffsetIndex } from './offset-index.ts';
import { TimeIndex } from './time-index.ts';

/** Positions are uint32 in the index, offsets relative to the base likewise. */
export const SEGMENT_BYTES_LIMIT = 0x7fff_ffff;

export interface SegmentOptions {
  readonly disk: Disk;
  readonly folder: string;
  readonly baseOffset: number;
  readonly indexIntervalBytes: number;
}

export class Segment {
  readonly baseOffset: number;
  #path: string;
  /** Whether the file may be made when it is opened: only by the one who appends. */
  #mayCreate = false;
  readonly #options: SegmentOptions;
  #file: DiskFile | undefined;
  #opening: Promise<DiskFile> | undefined;
  #readers = 0;
  #closeWhenIdle = false;

  /** End of the log in this segment, written or not. */
  bytes = 0;
  /** End of what has been handed to the file. Invariant: writtenBytes <= bytes. */
  writtenBytes = 0;
  /** End of what is durable in the file. Invariant: syncedBytes <= writtenBytes. */
  syncedBytes = 0;
  /** Offset behind the last batch. */
  nextOffset: number;
  /** -1 while no record has a timestamp. */
  maxTimestampMs = -1;
  /** When the first batch was appended, by the broker's clock; undefined if empty or not known since a restart. */
  firstAppendMs: number | undefined;
  /** Whether the file's name is durable in its folder. */
  nameSynced = false;
  /** Undefined for a closed segment until somebody reads it. */
  #offsetIndex: OffsetIndex | undefined;
  #timeIndex: TimeIndex | undefined;
  #loadingIndexes: Promise<void> | undefined;
  #bytesSinceIndexEntry = 0;
  /** By the monotonic clock. */
  lastUsedMs = 0;
  /** When retention met it first, closed: its age if none of its records has a timestamp. */
  undatedSinceMs: number | undefined;
  /** The names of its index files belong to another segment now. */
  #isRetired = false;

  constructor(options: SegmentOptions) {
    this.#options = options;
    this.baseOffset = options.baseOffset;
    this.nextOffset = options.baseOffset;
    this.#path = logFile(options.folder, options.baseOffset);
  }

  /** A segment that will be appended to, with empty indexes. */
  static create(options: SegmentOptions): Segment {
    const segment = new Segment(options);
    segment.#offsetIndex = new OffsetIndex();
    segment.#timeIndex = new TimeIndex();
    segment.#mayCreate = true;
    return segment;
  }

  get path(): string {
    return this.#path;
  }

  /** The file was renamed on its way out; readers that hold it open do not notice. */
  retireTo(path: string): void {
    this.#path = path;
    this.#mayCreate = false;
    this.#isRetired = true;
  }

  /** All of it stands, synced, in its file. */
  markStored(): void {
    this.writtenBytes = this.bytes;
    this.syncedBytes = this.bytes;
    this.nameSynced = true;
    this.#mayCreate = false;
  }

  /** Whether it is complete in its file: nobody writes or syncs it any more. Only for a closed segment. */
  get isStored(): boolean {
    return this.syncedBytes === this.bytes && this.nameSynced;
  }

  get isOpen(): boolean {
    return this.#file !== undefined;
  }

  get indexMemoryBytes(): number {
    return (this.#offsetIndex?.memoryBytes ?? 0) + (this.#timeIndex?.memoryBytes ?? 0);
  }

  /** Notes a batch at the end: size, offsets, indexes. Per batch. */
  noteAppend(
    batchPosition: number,
    baseOffset: number,
    nextOffset: number,
    bytes: number,
    maxTimestampMs: number,
  ): void {
    if (this.#bytesSinceIndexEntry >= this.#options.indexIntervalBytes) {
      this.#offsetIndex!.append(baseOffset - this.baseOffset, batchPosition);
      this.#bytesSinceIndexEntry = 0;
    }
    if (maxTimestampMs > this.maxTimestampMs) {
      this.maxTimestampMs = maxTimestampMs;
      // One entry per index interval is enough; a batch that follows an offset entry gets one too.
      if (this.#bytesSinceIndexEntry === 0) this.#timeIndex!.maybeAppend(maxTimestampMs, baseOffset - this.baseOffset);
    }
    this.#bytesSinceIndexEntry += bytes;
    this.bytes = batchPosition + bytes;
    this.nextOffset = nextOffset;
  }

  /** Where to start looking for the batch that holds `offset`. Undefined if the indexes are not in memory. */
  positionHint(offset: number): number | undefined {
    return this.#offsetIndex?.positionAtOrBefore(offset - this.baseOffset);
  }

  /** Offset from which to look for the first record at or after a timestamp. Needs the indexes in memory. */
  timestampSearchStart(timestampMs: number): number {
    return this.baseOffset + (this.#timeIndex?.searchStart(timestampMs) ?? 0);
  }

  /** The newest timestamp up to a batch that begins before `offset`. Needs the indexes in memory. */
  newestIndexedBefore(offset: number): { timestampMs: number; offset: number } | undefined {
    const entry = this.#timeIndex?.lastBefore(offset - this.baseOffset);
    return entry && { timestampMs: entry.timestampMs, offset: this.baseOffset + entry.relativeOffset };
  }

  async file(): Promise<DiskFile> {
    if (this.#file !== undefined) return this.#file;
    this.#opening ??= this.#options.disk.open(this.#path, { create: this.#mayCreate }).then(
      (file) => {
        this.#file = file;
        this.#opening = undefined;
        return file;
      },
      (error: unknown) => {
        this.#opening = undefined;
        throw error;
      },
    );
    return this.#opening;
  }

  /** Reads bytes of the file; the file stays open until the last reader is done. */
  async read(position: number, bytes: number): Promise<Buffer> {
    this.#readers++;
    try {
      const file = await this.file();
      return await file.read(position, bytes);
    } finally {
      this.#readers--;
      if (this.#closeWhenIdle) await this.closeFile();
    }
  }

  /** Keeps the file open until {@link release}, so that it can be read whatever becomes of its name. */
  async hold(): Promise<void> {
    this.#readers++;
    try {
      await this.file();
    } catch (error) {
      this.#readers--;
      throw error;
    }
  }

  async release(): Promise<void> {
    this.#readers--;
    if (this.#closeWhenIdle) await this.closeFile();
  }

  /** Closes the file, now or when its last reader is done. It opens again by itself when needed. */
  async closeFile(): Promise<void> {
    if (this.#readers > 0 || this.#opening !== undefined) {
      this.#closeWhenIdle = true;
      return;
    }
    this.#closeWhenIdle = false;
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  /** Writes the indexes of a segment that will not be appended to any more. A hint for the next start, not synced. */
  async writeIndexes(): Promise<void> {
    if (this.#offsetIndex === undefined || this.#timeIndex === undefined) return;
    const { disk, folder } = this.#options;
    if (this.maxTimestampMs >= 0)
      this.#timeIndex.maybeAppend(this.maxTimestampMs, this.nextOffset - 1 - this.baseOffset);
    await writeFile(disk, offsetIndexFile(folder, this.baseOffset), this.#offsetIndex.encode(this.bytes));
    await writeFile(disk, timeIndexFile(folder, this.baseOffset), this.#timeIndex.encode(this.bytes));
  }

  /** Frees the memory of the indexes of a closed segment. */
  forgetIndexes(): void {
    if (this.#loadingIndexes === undefined) {
      this.#offsetIndex = undefined;
      this.#timeIndex = undefined;
    }
  }

  /** Brings the indexes into memory: from their files if these fit, else by scanning the segment. */
  async loadIndexes(): Promise<void> {
    if (this.#offsetIndex !== undefined) return;
    this.#loadingIndexes ??= this.#loadIndexes().finally(() => {
      this.#loadingIndexes = undefined;
    });
    await this.#loadingIndexes;
  }

  async #loadIndexes(): Promise<void> {
    const { disk, folder } = this.#options;
    const offsetBytes = await readWholeFile(disk, offsetIndexFile(folder, this.baseOffset));
    const timeBytes = await readWholeFile(disk, timeIndexFile(folder, this.baseOffset));
    const offsets = offsetBytes && OffsetIndex.decode(offsetBytes, this.bytes);
    const times = timeBytes && TimeIndex.decode(timeBytes, this.bytes);
    if (offsets !== undefined && times !== undefined && !this.#isRetired) {
      this.#offsetIndex = offsets;
      this.#timeIndex = times;
      return;
    }
    const rebuilt = Segment.create(this.#options);
    await scanSegment(
      (position, bytes) => this.read(position, bytes),
      this.bytes,
      (batch, at, position, bytes) =>
        rebuilt.noteAppend(
          position,
          batchBaseOffset(batch, at),
          batchNextOffset(batch, at),
          bytes,
          batchMaxTimestamp(batch, at),
        ),
    );
    this.#offsetIndex = rebuilt.#offsetIndex;
    this.#timeIndex = rebuilt.#timeIndex;
  }

  /** Loads the facts of a closed segment without reading all of it: last offset and newest timestamp. */
  async loadSummary(fileBytes: number): Promise<ScanResult> {
    this.bytes = fileBytes;
    this.writtenBytes = fileBytes;
    this.syncedBytes = fileBytes;
    this.nameSynced = true;
    await this.loadIndexes();
    this.maxTimestampMs = this.#timeIndex!.lastTimestampMs;
    const tail = this.#offsetIndex!.positionAtOrBefore(0xffff_ffff);
    return scanSegment(
      (position, bytes) => this.read(position, bytes),
      fileBytes,
      (batch, at) => {
        this.nextOffset = batchNextOffset(batch, at);
        this.maxTimestampMs = Math.max(this.maxTimestampMs, batchMaxTimestamp(batch, at));
      },
      tail,
    );
  }
}

export interface ScanResult {
  /** Where the first batch that is not intact begins; the end of the file if all are. */
  readonly position: number;
  /** Why the scan stopped before the end. */
  readonly problem: string | undefined;
}

const SCAN_WINDOW_BYTES = 1024 * 1024;

/**
 * Goes from batch to batch with full checks (length, magic, CRC), reading a window at a time. The visitor gets the
 * window, where in it the batch begins, where that is in the file, and the batch's size.
 */
export async function scanSegment(
  read: (position: number, bytes: number) => Promise<Buffer>,
  endPosition: number,
  visit: (window: Buffer, at: number, position: number, bytes: number) => void,
  startPosition = 0,
): Promise<ScanResult> {
  let position = startPosition;
  let windowBytes = SCAN_WINDOW_BYTES;
  while (position < endPosition) {
    const window = await read(position, Math.min(windowBytes, endPosition - position));
    let at = 0;
    let problem: string | undefined;
    while (at < window.length) {
      const result = scanBatch(window, at, window.length);
      if (typeof result !== 'number') {
        problem = result;
        break;
      }
      visit(window, at, position + at, result);
      at += result;
    }
    if (at > 0) {
      position += at;
      windowBytes = SCAN_WINDOW_BYTES;
      continue;
    }
    // Nothing fitted: the batch is larger than the window, or it is not intact.
    const needed = window.length >= BATCH_HEADER_BYTES ? batchBytesAt(window, 0) : 0;
    if (problem === 'short' && needed > window.length && position + needed <= endPosition) windowBytes = needed;
    else return { position, problem: problem ?? 'short' };
  }
  return { position, problem: undefined };
}

async function writeFile(disk: Disk, path: string, contents: Buffer): Promise<void> {
  const file = await disk.open(path, { create: true, truncate: true });
  try {
    if (contents.length > 0) await file.write([contents], 0);
  } finally {
    await file.close();
  }
}
