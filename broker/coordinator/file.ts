/**
 * The coordinator of one process that stores: a log of changes and now and then a snapshot, on the Disk port.
 *
 * - A transaction is answered when its frame is synced. Transactions that come while a sync runs share the next one.
 * - Cost of a change: its own bytes. When the logs since the last snapshot have outgrown it twice, a new log is started
 *   and a new snapshot is written beside it, without stopping commits: a constant factor over the bytes written.
 * - All entries are in memory too; reads never touch the disk, and see synced changes only.
 * - After a failed write or sync nothing more is accepted until the coordinator is opened again (rule of `disk.ts`).
 *   Only a full disk is survived: the part that was written is truncated away, durably, before the next write.
 *
 * The folder must be used by one process at a time; the lock of the data folder sees to that.
 */
import { dirname } from 'node:path';
import { BurrowError, isBurrowError } from '../../src/errors/burrow-error.ts';
import { type Disk, type DiskFile, diskErrorCode } from '../ports/disk.ts';
import { type Logger, silentLogger } from '../ports/logger.ts';
import type {
  Coordinator,
  CoordinatorEntry,
  CoordinatorEvent,
  CoordinatorTransaction,
  CoordinatorWatch,
  TransactionOutcome,
} from './coordinator.ts';
import { coordinatorFile, encodeChanges, encodeLogHeader, encodeSnapshot, recoverFiles } from './file-recovery.ts';
import { type CoordinatorLimits, KeyValues, StateDraft } from './key-values.ts';

export interface FileCoordinatorOptions extends CoordinatorLimits {
  readonly disk: Disk;
  /** Created if absent. The folder that holds it must be durable already. */
  readonly folder: string;
  readonly logger?: Logger;
  /** The logs are compacted when they have at least this many bytes, and twice those of the snapshot. Default 1 MiB. */
  readonly compactBytesMin?: number;
  /** Transactions that share a sync. Default 1024. */
  readonly commitTransactionsMax?: number;
}

const COMPACT_BYTES_MIN = 1 << 20;
const COMPACT_FACTOR = 2;
const COMMIT_TRANSACTIONS_MAX = 1024;
/** And as many characters, or one transaction: a frame must stay far from the limits of strings and buffers. */
const COMMIT_CHARACTERS_MAX = 4 << 20;

interface Waiting {
  readonly characters: number;
  readonly transaction: CoordinatorTransaction;
  readonly resolve: (outcome: TransactionOutcome) => void;
  readonly reject: (error: BurrowError) => void;
}

/** The log that commits are appended to. */
interface ActiveLog {
  readonly generation: number;
  readonly file: DiskFile;
  /** Where the next frame goes. Everything before it is synced. */
  end: number;
}

export class FileCoordinator implements Coordinator {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #logger: Logger;
  readonly #compactBytesMin: number;
  readonly #commitTransactionsMax: number;
  readonly #state: KeyValues;
  #log: ActiveLog;
  /** Of all logs since the snapshot. */
  #logBytes: number;
  /** Compact when `#logBytes` reaches this. */
  #compactAtBytes = 0;
  /** The snapshot that recovery starts from, and so the oldest log it needs. 0: none yet. */
  #snapshotGeneration: number;
  #waiting: Waiting[] = [];
  #committing: Promise<void> | undefined;
  #compacting: Promise<void> | undefined;
  #failure: BurrowError | undefined;
  #closed: boolean = false;

  /**
   * Reads what is stored.
   * @throws BurrowError STORAGE_CORRUPT, naming file and position, if what was synced is damaged; STORAGE_ERROR or
   * STORAGE_FULL if the disk fails; DATA_FOLDER_VERSION if a newer version wrote it
   */
  static async open(options: FileCoordinatorOptions): Promise<FileCoordinator> {
    try {
      return await openFolder(options);
    } catch (error) {
      throw isBurrowError(error) ? error : storageError(error, options.folder);
    }
  }

  /** @internal Use {@link FileCoordinator.open}. */
  constructor(
    options: FileCoordinatorOptions,
    state: KeyValues,
    log: ActiveLog,
    stored: { readonly logBytes: number; readonly snapshotBytes: number; readonly snapshotGeneration: number },
  ) {
    this.#disk = options.disk;
    this.#folder = options.folder;
    this.#logger = options.logger ?? silentLogger;
    this.#compactBytesMin = options.compactBytesMin ?? COMPACT_BYTES_MIN;
    this.#commitTransactionsMax = options.commitTransactionsMax ?? COMMIT_TRANSACTIONS_MAX;
    this.#state = state;
    this.#log = log;
    this.#logBytes = stored.logBytes;
    this.#snapshotGeneration = stored.snapshotGeneration;
    this.#planCompaction(stored.snapshotBytes);
  }

  async get(key: string): Promise<{ entry: CoordinatorEntry | undefined; revision: number }> {
    this.#checkOpen();
    return { entry: this.#state.entries.get(key), revision: this.#state.revision };
  }

  async list(prefix: string): Promise<{ entries: readonly CoordinatorEntry[]; revision: number }> {
    this.#checkOpen();
    return { entries: this.#state.list(prefix), revision: this.#state.revision };
  }

  async transaction(transaction: CoordinatorTransaction): Promise<TransactionOutcome> {
    this.#checkOpen();
    const characters = this.#state.checkTransaction(transaction);
    if (this.#failure !== undefined) throw this.#failure;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ characters, transaction, resolve, reject });
      this.#committing ??= this.#commitAll();
    });
  }

  watch(prefix: string, fromRevision: number, onEvent: (event: CoordinatorEvent) => void): CoordinatorWatch {
    this.#checkOpen();
    const watch = this.#state.watch(prefix, fromRevision, onEvent);
    if (this.#failure !== undefined) this.#state.fail(this.#failure);
    return watch;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#committing;
    await this.#compacting;
    this.#state.endWatches();
    await this.#log.file.close();
  }

  /** Runs as long as there is something to commit; one commit at a time. Never rejects. */
  async #commitAll(): Promise<void> {
    // The transactions of one turn share a commit, also the first one.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#nextBatch();
      try {
        await this.#commit(batch);
      } catch (error) {
        const failure = storageError(error, this.#log.file.path);
        for (const { reject } of batch) reject(failure);
        // A full disk that could be cleaned up is the only failure that is over.
        if (failure.code !== 'STORAGE_FULL') this.#fail(failure);
      }
      await this.#maybeStartCompaction();
    }
    this.#committing = undefined;
  }

  #nextBatch(): Waiting[] {
    let count = 0;
    let characters = 0;
    while (count < this.#waiting.length && count < this.#commitTransactionsMax) {
      characters += this.#waiting[count]!.characters;
      if (count > 0 && characters > COMMIT_CHARACTERS_MAX) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    const draft = new StateDraft(this.#state);
    const outcomes = batch.map(({ transaction }) => draft.decide(transaction));
    if (draft.changes.length > 0) {
      const frame = encodeChanges(draft.changes);
      await this.#append(frame);
      this.#log.end += frame.byteLength;
      this.#logBytes += frame.byteLength;
      for (const change of draft.changes) this.#state.apply(change);
    }
    for (const [index, outcome] of outcomes.entries()) batch[index]!.resolve(outcome);
  }

  /** @throws BurrowError STORAGE_FULL if nothing of the frame is left, anything else if that is unknown */
  async #append(frame: Buffer): Promise<void> {
    const { file, end } = this.#log;
    try {
      await file.write([frame], end);
    } catch (error) {
      if (diskErrorCode(error) !== 'ENOSPC') throw error;
      try {
        await file.truncate(end);
      } catch (cause) {
        throw new BurrowError('STORAGE_ERROR', `${file.path} cannot be cleaned up after the disk was full.`, { cause });
      }
      await syncFile(file);
      throw error;
    }
    await syncFile(file);
  }

  #fail(failure: BurrowError): void {
    this.#failure = failure;
    this.#logger.error({ err: failure }, 'coordinator stopped: it accepts no change until it is opened again');
    for (const { reject } of this.#waiting.splice(0)) reject(failure);
    this.#state.fail(failure);
  }

  /** Switches to a new log, between two commits, and lets the snapshot of what came before be written beside them. */
  async #maybeStartCompaction(): Promise<void> {
    if (this.#logBytes < this.#compactAtBytes || this.#compacting !== undefined) return;
    if (this.#closed || this.#failure !== undefined) return;
    const generation = this.#log.generation + 1;
    // Entries are never changed in place, so a list of them is the state as of now.
    const entries = [...this.#state.entries.values()];
    const revision = this.#state.revision;
    try {
      const next = await createLog(this.#disk, this.#folder, generation, revision);
      await this.#log.file.close();
      this.#log = next;
    } catch (error) {
      this.#postponeCompaction(error);
      return;
    }
    const logBytesBefore = this.#logBytes;
    this.#logBytes += this.#log.end;
    this.#compacting = this.#writeSnapshot(generation, revision, entries)
      .then((snapshotBytes) => {
        this.#logBytes -= logBytesBefore;
        this.#planCompaction(snapshotBytes);
      })
      .catch((error: unknown) => this.#postponeCompaction(error))
      .finally(() => {
        this.#compacting = undefined;
      });
  }

  async #writeSnapshot(generation: number, revision: number, entries: readonly CoordinatorEntry[]): Promise<number> {
    const disk = this.#disk;
    const draft = coordinatorFile(this.#folder, generation, 'snapshot.tmp');
    const file = await disk.open(draft, { create: true, truncate: true });
    let bytes = 0;
    try {
      for (const frame of encodeSnapshot(revision, entries)) {
        await file.write([frame], bytes);
        bytes += frame.byteLength;
        if (this.#closed) throw new BurrowError('SHUTTING_DOWN');
      }
      await syncFile(file);
    } catch (error) {
      // Gives the space back at once; were it to fail, the next opening would do it.
      await disk.remove(draft).catch(() => {});
      throw error;
    } finally {
      await file.close();
    }
    await disk.rename(draft, coordinatorFile(this.#folder, generation, 'snapshot'));
    await disk.syncDirectory(this.#folder);
    const oldest = this.#snapshotGeneration;
    this.#snapshotGeneration = generation;
    // Best effort: what stays is removed when the coordinator is opened the next time.
    for (let old = Math.max(1, oldest); old < generation; old++) {
      await disk.remove(coordinatorFile(this.#folder, old, 'log')).catch(() => {});
    }
    if (oldest > 0) await disk.remove(coordinatorFile(this.#folder, oldest, 'snapshot')).catch(() => {});
    return bytes;
  }

  #planCompaction(snapshotBytes: number): void {
    this.#compactAtBytes = Math.max(this.#compactBytesMin, COMPACT_FACTOR * snapshotBytes);
  }

  /** Commits go on without it: the logs only grow. */
  #postponeCompaction(error: unknown): void {
    if (this.#closed) return;
    if (diskErrorCode(error) === 'ENOSPC') {
      this.#compactAtBytes = this.#logBytes + this.#compactBytesMin;
    } else {
      // After a failed sync no file of this attempt can be trusted, and its names are used up: not before a restart.
      this.#compactAtBytes = Number.POSITIVE_INFINITY;
    }
    this.#logger.warn({ err: error, folder: this.#folder }, 'coordinator could not be compacted');
  }

  #checkOpen(): void {
    if (this.#closed) throw new BurrowError('SHUTTING_DOWN', 'The coordinator is closed.');
  }
}

async function openFolder(options: FileCoordinatorOptions): Promise<FileCoordinator> {
  const { disk, folder } = options;
  await disk.makeDirectory(folder);
  await disk.syncDirectory(dirname(folder));
  const state = new KeyValues(options);
  const stored = await recoverFiles(disk, folder, state);
  // A killed process may have renamed a snapshot without this; what it replaces must not go before.
  await disk.syncDirectory(folder);
  for (const path of stored.garbage) await disk.remove(path);
  if (stored.generation === 0) {
    const log = await createLog(disk, folder, 1, state.revision);
    return new FileCoordinator(options, state, log, { ...stored, logBytes: log.end });
  }
  const path = coordinatorFile(folder, stored.generation, 'log');
  const file = await disk.open(path);
  try {
    await file.truncate(stored.logEnd);
    // The last frame may be in the page cache only: its writer was killed before the sync, or its sync failed, after
    // which a sync does nothing unless the pages are written again.
    const lastFrame = await file.read(stored.lastFramePosition, stored.logEnd - stored.lastFramePosition);
    await file.write([lastFrame], stored.lastFramePosition);
    await file.sync();
  } catch (error) {
    await file.close();
    throw error;
  }
  return new FileCoordinator(options, state, { generation: stored.generation, file, end: stored.logEnd }, stored);
}

/** A log that may be appended to: its name and header are durable. */
async function createLog(disk: Disk, folder: string, generation: number, revision: number): Promise<ActiveLog> {
  const path = coordinatorFile(folder, generation, 'log');
  const header = encodeLogHeader(revision);
  const file = await disk.open(path, { create: true, truncate: true });
  try {
    await file.write([header], 0);
    await syncFile(file);
    await disk.syncDirectory(folder);
  } catch (error) {
    await file.close();
    throw error;
  }
  return { generation, file, end: header.byteLength };
}

/** A failed sync is final, also one for lack of space: unlike after a failed write, nobody knows what is stored. */
async function syncFile(file: DiskFile): Promise<void> {
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

function storageError(error: unknown, path: string): BurrowError {
  if (isBurrowError(error)) return error;
  const code = diskErrorCode(error);
  return code === 'ENOSPC'
    ? new BurrowError('STORAGE_FULL', `${path}: the disk is full; nothing was changed.`, { cause: error })
    : new BurrowError('STORAGE_ERROR', `${path}: ${code ?? 'unexpected failure'}; the coordinator stopped.`, {
        cause: error,
        fields: { file: path },
      });
}
