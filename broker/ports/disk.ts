/**
 * The only door from the broker's core to files. Real: `node-disk.ts`. In memory, with injected faults: `memory-disk.ts`.
 *
 * Durability contract, which the in-memory disk enforces and crash tests rely on:
 * - file contents are durable up to the last successful {@link DiskFile.sync};
 * - creations, renames and removals are durable after {@link Disk.syncDirectory} of the folder that holds the name;
 * - after a failed `sync` nothing written since the last successful one may be trusted, and it must not be retried
 *   (Rebello et al., ATC'20: the kernel marks the pages clean).
 */
export interface Disk {
  /** Opens a file for reading and writing. `create` makes it if absent; without it a missing file is an ENOENT error. */
  open(path: string, options?: OpenOptions): Promise<DiskFile>;
  /** Names (not paths) in a folder, sorted. A missing folder is an ENOENT error. */
  list(folder: string): Promise<string[]>;
  /** Creates a folder and its parents; no error if it exists. */
  makeDirectory(path: string): Promise<void>;
  /** Atomically replaces `to` if it exists. Works on files and folders. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file; no error if it is absent. */
  remove(path: string): Promise<void>;
  /** Removes a folder and all below it; no error if it is absent. */
  removeTree(path: string): Promise<void>;
  syncDirectory(path: string): Promise<void>;
  exists(path: string): Promise<boolean>;
  /** Bytes free for the broker on the file system that holds `path`. */
  freeBytes(path: string): Promise<number>;
  /**
   * Calls `onChange` after the contents of a file have changed, by whichever process, as far as the system tells: some
   * changes may be told late, together or never, so who must not miss one looks from time to time. Never throws.
   */
  watch(path: string, onChange: () => void): DiskWatch;
}

export interface OpenOptions {
  readonly create?: boolean;
  readonly truncate?: boolean;
  /** For {@link DiskFile.append}, which then is the only way to write. */
  readonly append?: boolean;
  /** For a file that may not be ours to write. */
  readonly readOnly?: boolean;
}

export interface DiskWatch {
  close(): void;
}

export interface DiskFile {
  readonly path: string;
  /**
   * Reads up to `bytes` bytes from `position`. Returns fewer only at the end of the file, and an empty buffer behind it.
   * The returned buffer is the caller's: it is never reused.
   */
  read(position: number, bytes: number): Promise<Buffer>;
  /** Writes all buffers one after the other from `position`, or rejects; after a rejection any part may have been written. */
  write(buffers: readonly Uint8Array[], position: number): Promise<void>;
  /**
   * Writes at the end of the file, wherever that is when it takes effect, in one step: what several processes append
   * lies one after the other and never mixed (O_APPEND; not on network file systems). Needs a file opened with `append`.
   * After a rejection any part of it, from its start on, may have been written, and others' bytes may follow.
   */
  append(bytes: Uint8Array): Promise<void>;
  /** fdatasync: contents and size are durable when it resolves. */
  sync(): Promise<void>;
  truncate(bytes: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

/** Name of the system error behind a failed disk call, such as `ENOSPC`; undefined if it is none. */
export function diskErrorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/**
 * Throws a RangeError for what no file has. Node takes a position that is no number for "the current one", which would
 * quietly write to the wrong place; so every disk checks before the call.
 */
export function assertFileRange(position: number, bytes: number): void {
  if (!Number.isSafeInteger(position) || position < 0 || !Number.isSafeInteger(bytes) || bytes < 0) {
    throw new RangeError(`invalid file range: position ${position}, ${bytes} bytes`);
  }
}
