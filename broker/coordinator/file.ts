/**
 * The coordinator of one machine: a log in a folder, shared by the brokers of that machine (or used by one alone).
 *
 * Every session appends what it asks for to the same log (`append-log.ts`), reads on to the end, and executes what it
 * finds, its own and others', in the order of the log. That order decides: a transaction's conditions are judged where it
 * stands, by everybody alike. So there is no lock that a process could believe to have: one that stood still and goes on
 * appends late, and what it asked for is judged late. A read, too, reads on first.
 *
 * - A transaction is answered when its frame is synced. Those that come while a sync runs share the next frame and sync.
 * - Cost of a change: its own bytes. When the log has outgrown the entries, whoever let it do so starts the next one, and
 *   writes a snapshot beside it without stopping commits: a constant factor over the bytes written (`log-folder.ts`).
 * - All entries are in memory too.
 * - Leases end by an entry in the log, which any session writes that saw no renewal for the lease's time (by its own
 *   clock), and which counts only if none stands before it.
 * - After a failed write or sync this session is over (rule of `disk.ts`). Only a full disk is survived.
 */
import { BurrowError, isBurrowError } from '../../src/errors/burrow-error.ts';
import type { Clock, Timer } from '../ports/clock.ts';
import { type Disk, type DiskWatch, diskErrorCode } from '../ports/disk.ts';
import { type Logger, silentLogger } from '../ports/logger.ts';
import type { Random } from '../ports/random.ts';
import { systemClock } from '../ports/system-clock.ts';
import { systemRandom } from '../ports/system-random.ts';
import type { AppendLog } from './append-log.ts';
import type {
  Coordinator,
  CoordinatorEntry,
  CoordinatorEvent,
  CoordinatorLease,
  CoordinatorTransaction,
  CoordinatorWatch,
  TransactionOutcome,
} from './coordinator.ts';
import { type CoordinatorLimits, KeyValues } from './key-values.ts';
import { LeaseExpiry } from './lease-expiry.ts';
import { encodeLogEntry } from './log-entry.ts';
import { LogFolder } from './log-folder.ts';
import { SessionLease } from './session-lease.ts';
import {
  checkTransaction,
  checkTtl,
  type OperationOutcome,
  outcomeOrThrow,
  type StoreOperation,
} from './store-operation.ts';

export interface FileCoordinatorOptions extends CoordinatorLimits {
  readonly disk: Disk;
  /** Created if absent. The folder that holds it must be durable already. Not on a network file system. */
  readonly folder: string;
  /** Default: the system's. */
  readonly clock?: Clock;
  /** Default: the system's. */
  readonly random?: Random;
  readonly logger?: Logger;
  /** Whether others use the folder too; if not, nobody looks for their changes but reads and transactions. Default false. */
  readonly shared?: boolean;
  /** How often a shared folder is looked at, beside what the system tells. Default 50 ms. */
  readonly pollIntervalMs?: number;
  /** The log is replaced when it has at least this many bytes, and twice those of the entries. Default 1 MiB. */
  readonly compactBytesMin?: number;
  /** Transactions that share a frame. Default 1024. */
  readonly commitTransactionsMax?: number;
}

const POLL_INTERVAL_MS = 50;
const COMPACT_BYTES_MIN = 1 << 20;
const COMPACT_FACTOR = 2;
const COMMIT_TRANSACTIONS_MAX = 1024;
/** And as many characters, or one transaction: a frame must stay far from the limits of strings and buffers. */
const COMMIT_CHARACTERS_MAX = 4 << 20;
/** Starts from the newest snapshot that may fail one after the other because others remove files meanwhile. */
const LOADS_MAX = 20;

interface Waiting {
  readonly characters: number;
  readonly operation: StoreOperation;
  readonly resolve: (outcome: OperationOutcome) => void;
  readonly reject: (error: BurrowError) => void;
}

interface Reader {
  readonly resolve: () => void;
  readonly reject: (error: BurrowError) => void;
}

export class FileCoordinator implements Coordinator {
  readonly #options: FileCoordinatorOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #folder: LogFolder;
  readonly #state: KeyValues;
  readonly #expiry: LeaseExpiry;
  /** Tells our entries in the log from others'. */
  readonly #session: string;
  #entries = 0;
  #leases = 0;
  #log!: AppendLog;
  #logName = '';
  /** The log that we made and whose name we are appending. */
  #offered: string | undefined;
  /** The log is not replaced before it has this many bytes: the last attempt failed. */
  #compactNotBeforeBytes = 0;
  #waiting: Waiting[] = [];
  #readers: Reader[] = [];
  #lookAgain: boolean = false;
  #running: Promise<void> | undefined;
  #compacting: Promise<void> | undefined;
  #fileWatch: DiskWatch | undefined;
  #pollTimer: Timer | undefined;
  #failure: BurrowError | undefined;
  #closed: boolean = false;

  /**
   * Reads what is stored.
   * @throws BurrowError STORAGE_CORRUPT, naming file and position, if what was synced is damaged; STORAGE_ERROR or
   * STORAGE_FULL if the disk fails; DATA_FOLDER_VERSION if another version wrote it
   */
  static async open(options: FileCoordinatorOptions): Promise<FileCoordinator> {
    const coordinator = new FileCoordinator(options);
    try {
      await coordinator.#open();
    } catch (error) {
      await coordinator.#release();
      throw storageError(error, options.folder);
    }
    return coordinator;
  }

  /** @internal Use {@link FileCoordinator.open}. */
  constructor(options: FileCoordinatorOptions) {
    const { disk, folder, clock = systemClock, random = systemRandom, logger = silentLogger } = options;
    this.#options = options;
    this.#clock = clock;
    this.#logger = logger;
    this.#folder = new LogFolder(disk, folder, random);
    this.#session = random.bytes(6).toString('hex');
    this.#state = new KeyValues(options);
    this.#expiry = new LeaseExpiry({
      clock,
      onOver: (leaseId, renewals) => {
        this.#submit({ kind: 'expire', leaseId, renewals }).catch((error: unknown) => {
          if (!this.#closed) this.#logger.warn({ err: error, leaseId }, 'an expired lease could not be ended');
        });
      },
    });
  }

  async get(key: string): Promise<{ entry: CoordinatorEntry | undefined; revision: number }> {
    await this.#catchUp();
    return { entry: this.#state.get(key), revision: this.#state.revision };
  }

  async list(prefix: string): Promise<{ entries: readonly CoordinatorEntry[]; revision: number }> {
    await this.#catchUp();
    return { entries: this.#state.list(prefix), revision: this.#state.revision };
  }

  async transaction(transaction: CoordinatorTransaction): Promise<TransactionOutcome> {
    this.#checkOpen();
    const characters = checkTransaction(transaction, this.#options);
    return this.#submit({ kind: 'transaction', transaction }, characters);
  }

  watch(prefix: string, fromRevision: number, onEvent: (event: CoordinatorEvent) => void): CoordinatorWatch {
    this.#checkOpen();
    const watch = this.#state.history.watch(prefix, fromRevision, onEvent);
    if (this.#failure !== undefined) this.#state.history.fail(this.#failure);
    return watch;
  }

  async grantLease(ttlMs: number): Promise<CoordinatorLease> {
    this.#checkOpen();
    checkTtl(ttlMs);
    const leaseId = `${this.#session}-${++this.#leases}`;
    return SessionLease.grant(this.#clock, leaseId, ttlMs, (operation) => this.#submit(operation));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#running;
    await this.#compacting;
    this.#state.history.endWatches();
    await this.#release();
  }

  async #open(): Promise<void> {
    await this.#folder.prepare();
    await this.#load();
    await this.#readOn();
    // The root is no log to write to: it only says which is the first.
    if (this.#nextGeneration() === 2) {
      const full = await this.#goOnIn(await this.#folder.createLog(2));
      if (full !== undefined) throw full;
    }
    await this.#folder.removeOld().catch(() => {});
    if (this.#options.shared === true) {
      this.#watchFile();
      this.#poll();
      // What was added before anybody looked.
      this.#look();
    }
  }

  async #release(): Promise<void> {
    this.#expiry.stop();
    this.#fileWatch?.close();
    this.#pollTimer?.cancel();
    // Undefined if nothing could be opened.
    await (this.#log as AppendLog | undefined)?.close();
  }

  // Requests wait for the next turn: one at a time, all that waits together.

  async #submit(operation: StoreOperation, characters = 0): Promise<TransactionOutcome> {
    this.#checkOpen();
    if (this.#failure !== undefined) throw this.#failure;
    const outcome = await new Promise<OperationOutcome>((resolve, reject) => {
      this.#waiting.push({ characters, operation, resolve, reject });
      this.#wake();
    });
    return outcomeOrThrow(outcome);
  }

  /** Resolves when everything was executed that had been answered to anybody before the call. */
  async #catchUp(): Promise<void> {
    this.#checkOpen();
    if (this.#failure !== undefined) throw this.#failure;
    await new Promise<void>((resolve, reject) => {
      this.#readers.push({ resolve, reject });
      this.#wake();
    });
  }

  /** Something may have been appended by others. */
  #look(): void {
    if (this.#closed || this.#failure !== undefined) return;
    this.#lookAgain = true;
    this.#wake();
  }

  #poll(): void {
    this.#pollTimer = this.#clock.schedule(this.#options.pollIntervalMs ?? POLL_INTERVAL_MS, () => {
      this.#look();
      if (this.#failure === undefined) this.#poll();
    });
  }

  #wake(): void {
    this.#running ??= this.#run();
  }

  /** Runs as long as there is something to do. Never rejects. */
  async #run(): Promise<void> {
    // The requests of one turn share a frame, also the first one.
    await Promise.resolve();
    while (this.#waiting.length + this.#readers.length > 0 || this.#lookAgain) {
      this.#lookAgain = false;
      const batch = this.#nextBatch();
      const readers = this.#readers.splice(0);
      try {
        await this.#turn(batch);
        for (const { resolve } of readers) resolve();
        if (batch.length > 0) await this.#maybeStartNextLog();
      } catch (error) {
        const failure = storageError(error, this.#log.path);
        for (const { reject } of [...batch, ...readers]) reject(failure);
        this.#fail(failure);
      }
    }
    this.#running = undefined;
  }

  #nextBatch(): Waiting[] {
    const countMax = this.#options.commitTransactionsMax ?? COMMIT_TRANSACTIONS_MAX;
    let count = 0;
    let characters = 0;
    while (count < this.#waiting.length && count < countMax) {
      characters += this.#waiting[count]!.characters;
      if (count > 0 && characters > COMMIT_CHARACTERS_MAX) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  async #turn(batch: readonly Waiting[]): Promise<void> {
    if (batch.length === 0) {
      await this.#readOn();
      return;
    }
    const outcomes = await this.#append(batch.map(({ operation }) => operation));
    for (const [index, { resolve, reject }] of batch.entries()) {
      if (isBurrowError(outcomes)) reject(outcomes);
      else resolve(outcomes[index]!);
    }
  }

  /** Outcomes in the order of the operations, or STORAGE_FULL if nothing of this counts. */
  async #append(operations: readonly StoreOperation[]): Promise<readonly OperationOutcome[] | BurrowError> {
    const number = ++this.#entries;
    for (;;) {
      const log = this.#log;
      const full = await this.#appendEntry(number, operations);
      const outcomes = await this.#readOn(number);
      if (outcomes !== undefined) return outcomes;
      // What is written of it is no whole frame, and never will be: others' frames follow.
      if (full !== undefined) return storageError(full, log.path);
      // The log had ended before. Once more, in the next one.
      if (log === this.#log) throw new BurrowError('STORAGE_ERROR', `${log.path} lost what was appended to it.`);
    }
  }

  /** Returns the error if the disk is full. */
  async #appendEntry(number: number, content: readonly StoreOperation[] | string): Promise<unknown> {
    const { synced } = this.#log;
    try {
      await this.#log.append(encodeLogEntry({ session: this.#session, number, synced, content }));
      return undefined;
    } catch (error) {
      if (diskErrorCode(error) !== 'ENOSPC') throw error;
      return error;
    }
  }

  /** Executes what was added to the log, by whomever. Returns the outcomes of our entry of this number if it is there. */
  async #readOn(own?: number): Promise<readonly OperationOutcome[] | undefined> {
    let outcomes: readonly OperationOutcome[] | undefined;
    for (let loads = 0; ; ) {
      let next: string | undefined;
      for (const { session, number, content } of await this.#log.readOn()) {
        const ours = session === this.#session;
        if (typeof content === 'string') {
          next = content;
          if (ours) this.#onOurLogIsNext(next);
          // Whatever stands behind it came too late.
          break;
        }
        const decided = content.map((operation) => this.#execute(operation));
        if (ours && number === own) outcomes = decided;
      }
      if (next === undefined) return outcomes;
      const log = await this.#folder.openLog(next);
      if (log !== undefined) await this.#use(next, log);
      else if (++loads <= LOADS_MAX) await this.#load();
      else throw this.#folder.missing(next);
    }
  }

  #execute(operation: StoreOperation): OperationOutcome {
    const outcome = this.#state.execute(operation);
    if (operation.kind !== 'transaction') this.#expiry.executed(operation, this.#state.lease(operation.leaseId));
    return outcome;
  }

  async #load(): Promise<void> {
    const { image, logName, log } = await this.#folder.load();
    await this.#use(logName, log);
    this.#state.load(image);
    this.#expiry.restart(image.leases);
  }

  async #use(name: string, log: AppendLog): Promise<void> {
    const previous = this.#log as AppendLog | undefined;
    this.#log = log;
    this.#logName = name;
    this.#compactNotBeforeBytes = 0;
    if (this.#fileWatch !== undefined) this.#watchFile();
    await previous?.close();
  }

  #watchFile(): void {
    this.#fileWatch?.close();
    this.#fileWatch = this.#options.disk.watch(this.#log.path, () => this.#look());
  }

  async #maybeStartNextLog(): Promise<void> {
    const { compactBytesMin = COMPACT_BYTES_MIN } = this.#options;
    const compactAtBytes = Math.max(compactBytesMin, COMPACT_FACTOR * this.#state.storedBytes);
    if (this.#log.bytes < Math.max(compactAtBytes, this.#compactNotBeforeBytes) || this.#compacting !== undefined)
      return;
    if (this.#closed) return;
    let name: string;
    try {
      name = await this.#folder.createLog(this.#nextGeneration());
    } catch (error) {
      this.#postponeCompaction(error);
      return;
    }
    const full = await this.#goOnIn(name);
    if (full !== undefined) this.#postponeCompaction(full);
  }

  #nextGeneration(): number {
    return LogFolder.generationOf(this.#logName) + 1;
  }

  /**
   * Appends the name of a log that we made to the one in use. If another's stands there before, that one is next. Returns
   * the error if the disk is too full to go on in any.
   */
  async #goOnIn(name: string): Promise<unknown> {
    const previous = this.#log;
    this.#offered = name;
    const full = await this.#appendEntry(++this.#entries, name);
    await this.#readOn();
    if (this.#offered === undefined) return undefined;
    this.#offered = undefined;
    await this.#folder.removeLog(name);
    return this.#log === previous ? full : undefined;
  }

  /** Called where everything before the end of the last log was executed, and nothing else. */
  #onOurLogIsNext(name: string): void {
    this.#offered = undefined;
    // Who opens an empty store needs no snapshot.
    if (this.#state.revision === 0 || this.#compacting !== undefined) return;
    this.#compacting = this.#folder
      .writeSnapshot(name, this.#state.image(), () => this.#closed || this.#failure !== undefined)
      .catch((error: unknown) => this.#postponeCompaction(error))
      .finally(() => {
        this.#compacting = undefined;
      });
  }

  /** Commits go on without it: the logs only grow. */
  #postponeCompaction(error: unknown): void {
    this.#compactNotBeforeBytes = this.#log.bytes + (this.#options.compactBytesMin ?? COMPACT_BYTES_MIN);
    this.#logger.warn(
      { err: error, folder: this.#options.folder },
      'the log of the coordinator could not be compacted',
    );
  }

  #fail(failure: BurrowError): void {
    this.#failure = failure;
    this.#logger.error({ err: failure }, 'coordinator stopped: it accepts nothing until it is opened again');
    for (const { reject } of [...this.#waiting.splice(0), ...this.#readers.splice(0)]) reject(failure);
    this.#lookAgain = false;
    this.#state.history.fail(failure);
  }

  #checkOpen(): void {
    if (this.#closed) throw new BurrowError('SHUTTING_DOWN', 'The coordinator is closed.');
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
