/**
 * One file of the file coordinator's log, to which several processes append. Their frames lie in the order in which they
 * were appended; that order decides everything.
 *
 * What is returned is durable: it is synced after it was read, since who wrote it may not have come so far.
 * After a failed sync this object must not be used any more (rule of `disk.ts`).
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { type Disk, type DiskFile, diskErrorCode } from '../ports/disk.ts';
import { scanFrames } from './frames.ts';
import { decodeLogEntry, LOG_FORMAT, type LogEntry, type LogExtent } from './log-entry.ts';

/** Most reads find nothing or one small frame. */
const FIRST_READ_BYTES = 4 * 1024;
const NEXT_READ_BYTES = 1 << 20;

export class AppendLog {
  readonly #disk: Disk;
  readonly #file: DiskFile;
  /** Where each whole frame ends, in order. */
  readonly #frameEnds: number[] = [];
  /** Everything before it is decided. */
  #position = 0;
  #synced: LogExtent = { frames: 0, bytes: 0 };
  /** The furthest that any writer is known to have synced. */
  #provenBytes = 0;

  constructor(disk: Disk, file: DiskFile) {
    this.#disk = disk;
    this.#file = file;
  }

  /** @throws the disk's error, ENOENT if it is not there */
  static async open(disk: Disk, path: string): Promise<AppendLog> {
    return new AppendLog(disk, await disk.open(path, { append: true }));
  }

  get path(): string {
    return this.#file.path;
  }

  /** How far it was read. */
  get bytes(): number {
    return this.#position;
  }

  /** What is known here to be durable. */
  get synced(): LogExtent {
    return this.#synced;
  }

  append(frame: Buffer): Promise<void> {
    return this.#file.append(frame);
  }

  /**
   * The entries that were added since the last call, by whomever. The first call returns all.
   * @throws BurrowError STORAGE_CORRUPT if what was durable is damaged; STORAGE_ERROR if the sync fails
   */
  async readOn(): Promise<LogEntry[]> {
    const first = this.#frameEnds.length === 0;
    const bytes = await this.#readToEnd();
    const begin = this.#position;
    const entries: LogEntry[] = [];
    for (const scanned of scanFrames(bytes, begin)) {
      if (scanned.kind === 'damaged') throw corrupt(this.path, scanned.begin);
      this.#position = scanned.end;
      if (scanned.kind === 'torn') continue;
      this.#frameEnds.push(scanned.end);
      const entry = this.#decode(scanned.value, scanned.begin);
      if (entry === undefined) continue;
      this.#checkExtent(entry.synced);
      this.#provenBytes = Math.max(this.#provenBytes, entry.synced.bytes);
      entries.push(entry);
    }
    const end = this.#frameEnds.at(-1) ?? 0;
    if (end > this.#synced.bytes) {
      if (first) await this.#writeAgain(bytes.subarray(this.#provenBytes - begin, end - begin), this.#provenBytes);
      await syncFile(this.#file);
      this.#synced = { frames: this.#frameEnds.length, bytes: end };
    }
    return entries;
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async #readToEnd(): Promise<Buffer> {
    const parts: Buffer[] = [];
    let position = this.#position;
    for (let wanted = FIRST_READ_BYTES; ; wanted = NEXT_READ_BYTES) {
      const part = await this.#file.read(position, wanted);
      if (part.byteLength > 0) parts.push(part);
      position += part.byteLength;
      if (part.byteLength < wanted) return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    }
  }

  #decode(value: unknown, position: number): LogEntry | undefined {
    if (isHeader(value)) {
      checkHeader(value, this.path, position);
      return undefined;
    }
    const entry = decodeLogEntry(value);
    if (entry === undefined) throw corrupt(this.path, position);
    return entry;
  }

  /** A part that was synced has as many whole frames as its writer found in it. */
  #checkExtent({ frames, bytes }: LogExtent): void {
    if (frames > 0 && this.#frameEnds[frames - 1] !== bytes) {
      const intact = this.#frameEnds.findLast((end) => end < bytes) ?? 0;
      throw corrupt(this.path, intact);
    }
  }

  /**
   * What nobody is known to have synced may be in the page cache only: its writer was killed before the sync, or its sync
   * failed, after which a sync does nothing unless the pages are written again. The same bytes, so it disturbs nobody.
   */
  async #writeAgain(bytes: Buffer, position: number): Promise<void> {
    let file: DiskFile;
    try {
      file = await this.#disk.open(this.path);
    } catch (error) {
      // Removed meanwhile, since a snapshot has all of it, durably.
      if (diskErrorCode(error) === 'ENOENT') return;
      throw error;
    }
    try {
      await file.write([bytes], position);
      await syncFile(file);
    } finally {
      await file.close();
    }
  }
}

/** A failed sync is final, also one for lack of space: unlike after a failed write, nobody knows what is stored. */
export async function syncFile(file: DiskFile): Promise<void> {
  try {
    await file.sync();
  } catch (cause) {
    const code = diskErrorCode(cause) ?? 'unexpected failure';
    throw new BurrowError('STORAGE_ERROR', `${file.path} cannot be synced: ${code}.`, {
      cause,
      fields: { file: file.path },
    });
  }
}

function isHeader(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'format' in value;
}

/** @throws BurrowError DATA_FOLDER_VERSION or STORAGE_CORRUPT unless it says that this version can read the file */
export function checkHeader(value: unknown, path: string, position: number, kind = 'log'): void {
  if (typeof value !== 'object' || value === null) throw corrupt(path, position);
  const { format, kind: foundKind } = value as Record<string, unknown>;
  if (typeof format === 'number' && format !== LOG_FORMAT) throw otherFormat(path, format);
  if (format !== LOG_FORMAT || foundKind !== kind) throw corrupt(path, position);
}

export function otherFormat(path: string, format: number): BurrowError {
  return new BurrowError(
    'DATA_FOLDER_VERSION',
    `${path} has format ${format}; this version reads format ${LOG_FORMAT} only. Use the version that wrote it.`,
    { fields: { file: path, format } },
  );
}

export function corrupt(path: string, position: number): BurrowError {
  return new BurrowError(
    'STORAGE_CORRUPT',
    `${path} is damaged at byte ${position}, in a part that was synced. Restore the file from a backup.`,
    { fields: { file: path, position } },
  );
}
