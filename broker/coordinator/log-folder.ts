/**
 * The folder of the file coordinator.
 *
 *     0000000001-root.log           says which log is the first; is never removed
 *     0000000007-5f1e….snapshot     all there was at the start of the log of this name
 *     0000000007-5f1e….log          what came then; its last entry names the next log
 *     0000000008-09ab….log
 *
 * Names of logs are used once: whoever wants to go on in a new log makes one of his own and appends its name to the last
 * one; which of several came first, and so is the next, their order in there says. A process that stood still in between
 * and goes on later changes nothing: its name is no longer the first, or in a log that nobody reads any more.
 * A log may go when a snapshot of a later one is durable. Who is still reading it has it open, and finds at its end that
 * the next is gone: then he starts from the newest snapshot. Only the root is opened by a name that is known before, so
 * it stays: a new one, made by somebody late, would be another store.
 */
import { dirname, join } from 'node:path';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { type Disk, diskErrorCode } from '../ports/disk.ts';
import type { Random } from '../ports/random.ts';
import { AppendLog, otherFormat, syncFile } from './append-log.ts';
import type { StoreImage } from './key-values.ts';
import { encodeLogHeader } from './log-entry.ts';
import { readSnapshot, writeSnapshot } from './snapshot.ts';

const ROOT = '0000000001-root';
const NAME = /^(\d{10})-(?:[0-9a-f]{12}|root)$/;
const FILE = /^(\d{10}-(?:[0-9a-f]{12}|root))\.(log|snapshot|snapshot\.[0-9a-f]{12}\.tmp)$/;
/** Of the format that only one process could use. */
const FORMAT_1_FILE = /^\d{10}\.(?:log|snapshot)$/;
/** How often what others remove meanwhile may be missed before it counts as missing. */
const ATTEMPTS_MAX = 20;

const EMPTY: StoreImage = { revision: 0, entries: [], leases: [] };

export interface LoadedFolder {
  readonly image: StoreImage;
  readonly logName: string;
  /** Not read yet. Goes on from the image. */
  readonly log: AppendLog;
}

export class LogFolder {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #random: Random;

  constructor(disk: Disk, path: string, random: Random) {
    this.#disk = disk;
    this.#path = path;
    this.#random = random;
  }

  static generationOf(name: string): number {
    return Number(NAME.exec(name)?.[1] ?? 0);
  }

  /** Creates what is not there. @throws BurrowError DATA_FOLDER_VERSION if it holds another format */
  async prepare(): Promise<void> {
    await this.#disk.makeDirectory(this.#path);
    await this.#disk.syncDirectory(dirname(this.#path));
    const old = (await this.#disk.list(this.#path)).find((name) => FORMAT_1_FILE.test(name));
    if (old !== undefined) throw otherFormat(join(this.#path, old), 1);
  }

  /** Where to start from: the newest snapshot with its log, or the root. */
  async load(): Promise<LoadedFolder> {
    for (let attempt = 1; ; attempt++) {
      const names = await this.#disk.list(this.#path);
      // A killed process may have renamed a snapshot without this; what it replaces must not go before.
      await this.#disk.syncDirectory(this.#path);
      const logName = newestSnapshot(names);
      if (logName === undefined) return { image: EMPTY, logName: ROOT, log: await this.#openRoot() };
      const image = await this.#unlessGone(() => readSnapshot(this.#disk, this.#file(logName, 'snapshot')));
      const log = await this.openLog(logName);
      if (image !== undefined && log !== undefined) return { image, logName, log };
      await log?.close();
      if (attempt === ATTEMPTS_MAX) throw this.missing(logName);
    }
  }

  /** Undefined if it is gone. */
  openLog(name: string): Promise<AppendLog | undefined> {
    if (!NAME.test(name)) throw this.missing(name);
    return this.#unlessGone(() => AppendLog.open(this.#disk, this.#file(name, 'log')));
  }

  /** A new log, durable, which counts as soon as the last one names it. */
  async createLog(generation: number): Promise<string> {
    const name = `${String(generation).padStart(10, '0')}-${this.#token()}`;
    const file = await this.#disk.open(this.#file(name, 'log'), { create: true, append: true });
    try {
      await file.append(encodeLogHeader());
      await syncFile(file);
    } catch (error) {
      await file.close();
      await this.removeLog(name);
      throw error;
    }
    await file.close();
    await this.#disk.syncDirectory(this.#path);
    return name;
  }

  /** Of a log that nobody uses. Best effort. */
  async removeLog(name: string): Promise<void> {
    await this.#disk.remove(this.#file(name, 'log')).catch(() => {});
  }

  /** Resolves when it is durable, and what it replaces was removed. Gives up if `shouldStop` says so. */
  async writeSnapshot(logName: string, image: StoreImage, shouldStop: () => boolean): Promise<void> {
    const draft = this.#file(logName, `snapshot.${this.#token()}.tmp`);
    if (!(await writeSnapshot(this.#disk, this.#file(logName, 'snapshot'), draft, image, shouldStop))) return;
    await this.#disk.syncDirectory(this.#path);
    await this.removeOld();
  }

  /** Removes what the newest snapshot has made superfluous. What cannot be removed stays for the next time. */
  async removeOld(): Promise<void> {
    const names = await this.#disk.list(this.#path);
    const newest = newestSnapshot(names);
    if (newest === undefined) return;
    // It may be another process's, which has not come so far.
    await this.#disk.syncDirectory(this.#path);
    for (const file of names) {
      const name = FILE.exec(file)?.[1];
      // Of its own generation only the others, which were made for the same place in vain.
      if (name === undefined || name === ROOT || name === newest) continue;
      if (LogFolder.generationOf(name) > LogFolder.generationOf(newest)) continue;
      await this.#disk.remove(join(this.#path, file)).catch(() => {});
    }
  }

  missing(name: string): BurrowError {
    const file = this.#file(name, 'log');
    return new BurrowError('STORAGE_CORRUPT', `${file} is missing. Restore it from a backup.`, { fields: { file } });
  }

  async #openRoot(): Promise<AppendLog> {
    const path = this.#file(ROOT, 'log');
    const file = await this.#disk.open(path, { create: true, append: true });
    const log = new AppendLog(this.#disk, file);
    // Several processes may do so at once: a second header does no harm.
    if ((await file.size()) === 0) {
      await file.append(encodeLogHeader());
      await syncFile(file);
      await this.#disk.syncDirectory(this.#path);
    }
    return log;
  }

  async #unlessGone<T>(open: () => Promise<T>): Promise<T | undefined> {
    try {
      return await open();
    } catch (error) {
      if (diskErrorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  #file(name: string, extension: string): string {
    return join(this.#path, `${name}.${extension}`);
  }

  #token(): string {
    return this.#random.bytes(6).toString('hex');
  }
}

function newestSnapshot(names: readonly string[]): string | undefined {
  return names
    .filter((file) => file.endsWith('.snapshot'))
    .sort()
    .at(-1)
    ?.slice(0, -'.snapshot'.length);
}
