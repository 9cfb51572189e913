/**
 * The node's shared journal: what every acknowledged write of every partition is synced in, so that a commit costs one
 * fdatasync however many partitions it touches. Knows files and rounds; not which log needs what (`log-manager.ts`).
 *
 * A few files are used in turn. A full one is retired; it is free again when its rounds have reached synced segments.
 * File contents are never cleared: a round is told from an older one in its place by its number.
 */
import { dirname, join } from 'node:path';
import { crc32c } from '@node-rs/crc32';
import type { Disk, DiskFile } from '../ports/disk.ts';
import {
  alignedToRound,
  ENTRY_HEADER_BYTES,
  ROUND_HEADER_BYTES,
  type RoundHeader,
  writeEntryHeader,
  writeRoundHeader,
} from './journal-format.ts';

/**
 * Zeros are written this far ahead of the first pass through a file: overwriting synced blocks syncs twice as fast. Little at a time,
 * since the commit that meets the end of them waits.
 */
const ZERO_AHEAD_BYTES = 1024 * 1024;
const ZEROS = Buffer.alloc(64 * 1024);
/** Records up to this size are copied next to their header instead of becoming a write vector of their own. */
const COPY_RECORDS_BYTES_MAX = 4096;

export interface JournalAppend {
  readonly topicId: Buffer;
  readonly partition: number;
  readonly baseOffset: number;
  readonly records: Buffer;
}

/** A run of rounds that one file holds. */
export interface RetiredRounds {
  readonly firstRound: number;
  readonly lastRound: number;
}

interface JournalFile {
  readonly file: DiskFile;
  position: number;
  zeroedBytes: number;
  firstRound: number;
}

export interface JournalOptions {
  readonly disk: Disk;
  readonly folder: string;
  readonly journalId: Buffer;
  /** A file is retired when the next round would make it larger than this. */
  readonly fileBytes: number;
  readonly nextRound: number;
  /** Use the files that are there. Not after an unclean stop: the sync of their names may have failed for good. */
  readonly reuseFiles: boolean;
  /** Called when a file is full; the rounds are free to be overwritten once {@link Journal.recycle} is told so. */
  readonly onRetired: (rounds: RetiredRounds) => void;
}

export class Journal {
  readonly #options: JournalOptions;
  readonly #free: JournalFile[] = [];
  readonly #retired = new Map<number, JournalFile>();
  #active: JournalFile | undefined;
  #filesCreated = 0;
  #nextRound: number;
  #scratch = Buffer.allocUnsafeSlow(64 * 1024);

  private constructor(options: JournalOptions) {
    this.#options = options;
    this.#nextRound = options.nextRound;
  }

  /** Opens a journal whose rounds have all been carried into segments: every existing file is free. */
  static async open(options: JournalOptions): Promise<Journal> {
    const journal = new Journal(options);
    await options.disk.makeDirectory(options.folder);
    await options.disk.syncDirectory(dirname(options.folder));
    for (const name of await options.disk.list(options.folder)) {
      const number = journalFileNumber(name);
      if (number === undefined) continue;
      if (!options.reuseFiles) {
        await options.disk.remove(join(options.folder, name));
        continue;
      }
      const file = await options.disk.open(join(options.folder, name));
      journal.#free.push({ file, position: 0, zeroedBytes: await file.size(), firstRound: 0 });
      journal.#filesCreated = Math.max(journal.#filesCreated, number + 1);
    }
    if (journal.#free.length === 0) await journal.#createFile();
    return journal;
  }

  get nextRound(): number {
    return this.#nextRound;
  }

  get retiredFileCount(): number {
    return this.#retired.size;
  }

  /**
   * Writes one round and syncs it. Per batch, not per record. Not to be called again before it resolved, and never
   * after it rejected: then it is unknown what the file holds.
   */
  async commit(appends: readonly JournalAppend[]): Promise<void> {
    const { buffers, bytes } = this.#encode(appends);
    const active = await this.#fileFor(bytes);
    await active.file.write(buffers, active.position);
    await active.file.sync();
    active.position += bytes;
    this.#nextRound++;
  }

  /** The file that holds these rounds may be overwritten: what they say stands in synced segments. */
  recycle(rounds: RetiredRounds): void {
    const file = this.#retired.get(rounds.firstRound);
    if (file === undefined) return;
    this.#retired.delete(rounds.firstRound);
    file.position = 0;
    this.#free.push(file);
  }

  async close(): Promise<void> {
    const files = [...this.#free, ...this.#retired.values()];
    if (this.#active !== undefined) files.push(this.#active);
    await Promise.all(files.map(({ file }) => file.close()));
  }

  /** Round header, then entry headers and small records in one scratch buffer, large records as they are, then padding. */
  #encode(appends: readonly JournalAppend[]): { buffers: Buffer[]; bytes: number } {
    let scratchBytes = ROUND_HEADER_BYTES + 512;
    for (const { records } of appends) {
      scratchBytes += ENTRY_HEADER_BYTES + (records.length <= COPY_RECORDS_BYTES_MAX ? records.length : 0);
    }
    // The scratch is free again when commit() resolves, and commits never overlap.
    if (scratchBytes > this.#scratch.length) this.#scratch = Buffer.allocUnsafeSlow(scratchBytes * 2);
    const scratch = this.#scratch;

    const buffers: Buffer[] = [];
    let runStart = ROUND_HEADER_BYTES;
    let at = ROUND_HEADER_BYTES;
    let payloadBytes = 0;
    let payloadCrc = 0;
    for (const append of appends) {
      const { records } = append;
      writeEntryHeader(scratch, at, {
        topicId: append.topicId,
        partition: append.partition,
        baseOffset: append.baseOffset,
        recordsBytes: records.length,
      });
      at += ENTRY_HEADER_BYTES;
      payloadBytes += ENTRY_HEADER_BYTES + records.length;
      if (records.length <= COPY_RECORDS_BYTES_MAX) {
        records.copy(scratch, at);
        at += records.length;
        continue;
      }
      const run = scratch.subarray(runStart, at);
      payloadCrc = crc32c(records, crc32c(run, payloadCrc));
      buffers.push(run, records);
      runStart = at;
    }
    const paddingBytes = alignedToRound(ROUND_HEADER_BYTES + payloadBytes) - ROUND_HEADER_BYTES - payloadBytes;
    payloadCrc = crc32c(scratch.subarray(runStart, at), payloadCrc);
    scratch.fill(0, at, at + paddingBytes);
    buffers.push(scratch.subarray(runStart, at + paddingBytes));

    const header: RoundHeader = { number: this.#nextRound, payloadBytes, payloadCrc, entryCount: appends.length };
    writeRoundHeader(scratch, this.#options.journalId, header);
    const first = buffers[0]!;
    if (first.byteOffset === scratch.byteOffset + ROUND_HEADER_BYTES) {
      buffers[0] = scratch.subarray(0, ROUND_HEADER_BYTES + first.length);
    }
    return { buffers, bytes: ROUND_HEADER_BYTES + payloadBytes + paddingBytes };
  }

  async #fileFor(bytes: number): Promise<JournalFile> {
    let active = this.#active;
    if (active !== undefined && active.position > 0 && active.position + bytes > this.#options.fileBytes) {
      this.#retired.set(active.firstRound, active);
      this.#active = undefined;
      this.#options.onRetired({ firstRound: active.firstRound, lastRound: this.#nextRound - 1 });
      active = undefined;
    }
    if (active === undefined) {
      if (this.#free.length === 0) await this.#createFile();
      active = this.#free.pop()!;
      active.firstRound = this.#nextRound;
      this.#active = active;
    }
    const end = active.position + bytes;
    if (end > active.zeroedBytes) {
      const aheadEnd = Math.min(active.zeroedBytes + ZERO_AHEAD_BYTES, this.#options.fileBytes);
      const missing = Math.max(aheadEnd, end) - active.zeroedBytes;
      await active.file.write(zeros(missing), active.zeroedBytes);
      active.zeroedBytes += missing;
    }
    return active;
  }

  async #createFile(): Promise<void> {
    const { disk, folder } = this.#options;
    const file = await disk.open(join(folder, journalFileName(this.#filesCreated++)), { create: true });
    await disk.syncDirectory(folder);
    this.#free.push({ file, position: 0, zeroedBytes: 0, firstRound: 0 });
  }
}

/** So many zeros, in pieces. */
function zeros(count: number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let left = count; left > 0; left -= ZEROS.length) {
    pieces.push(left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS);
  }
  return pieces;
}

export function journalFileName(number: number): string {
  return `journal-${String(number).padStart(4, '0')}`;
}

export function journalFileNumber(name: string): number | undefined {
  const match = /^journal-(\d{4,})$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}
