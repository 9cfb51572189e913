/**
 * The right to use a data folder, for one broker at a time.
 *
 * Two things say who has it, because each alone is wrong at times:
 * - `broker.lock`, a folder of proper-lockfile's that its owner touches every two seconds. Good everywhere, but slow: after
 *   kill -9 it looks alive for ten seconds, and the lock of a broker that stood still for longer looks dead.
 * - `broker.lock-owner.json`, which process that is. On the same machine it is known at once whether that process lives,
 *   however long it stood still: start time and pid namespace tell it from another with the same number.
 *
 * So: an owner that is known to live is never robbed, one that is known to be dead never waited for; only of an owner that
 * cannot be looked at (another machine or container) the touched lock decides. Taking the lock happens under a second,
 * short-lived one, or two brokers could both find the first dead and rob each other.
 */
import { randomUUID } from 'node:crypto';
import fs from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import lockfile from 'proper-lockfile';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { diskErrorCode } from './disk.ts';
import type { Logger } from './logger.ts';
import { describeThisProcess, type ProcessDescription, processState } from './process-liveness.ts';

const LOCK = 'broker.lock';
const OWNER = 'broker.lock-owner.json';
const GUARD = 'broker.lock-guard';
/** What a data folder may hold beside data. */
export const FOLDER_LOCK_NAMES: readonly string[] = [LOCK, OWNER, GUARD];

/** How old an untouched lock must be to count as left behind, if nothing else is known. */
const STALE_MS = 10_000;
const TOUCH_MS = 2_000;
/** Of the guard, which is held for moments, or for as long as it takes to see whether the lock is touched. */
const GUARD_STALE_MS = 4_000;
const GUARD_WAIT_MS = STALE_MS + 5_000;
const GUARD_RETRY_MS = 50;
const WATCH_MS = 100;

interface Owner extends ProcessDescription {
  /** Of this taking of the lock. */
  readonly token: string;
}

/** Tokens of the locks that this process holds: its own pid says nothing about which of its brokers is meant. */
const heldTokens = new Set<string>();

export interface FolderLockOptions {
  readonly folder: string;
  readonly logger: Logger;
  /** The folder may belong to somebody else now: nothing more must be written to it. */
  readonly onLost: (error: BurrowError) => void;
}

export class FolderLock {
  readonly #options: FolderLockOptions;
  readonly #owner: Owner;
  #unlock: () => Promise<void>;
  #released = false;

  /** @throws BurrowError DATA_FOLDER_LOCKED if another broker has it */
  static async acquire(options: FolderLockOptions): Promise<FolderLock> {
    return underGuard(options.folder, async () => {
      await makeWay(options);
      const owner: Owner = { ...describeThisProcess(), token: randomUUID() };
      const lock = new FolderLock(options, owner);
      await lock.#lock();
      await writeOwner(options.folder, owner);
      heldTokens.add(owner.token);
      return lock;
    });
  }

  private constructor(options: FolderLockOptions, owner: Owner) {
    this.#options = options;
    this.#owner = owner;
    this.#unlock = () => Promise.resolve();
  }

  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    const { folder, logger } = this.#options;
    try {
      const owner = await readOwner(folder);
      // Somebody else's by now: not ours to take away.
      if (owner?.token === this.#owner.token) {
        await fs.rm(path.join(folder, OWNER), { force: true });
        await this.#unlock();
      }
    } catch (error) {
      logger.warn({ folder, error: String(error) }, 'the lock of the data folder could not be released');
    }
    heldTokens.delete(this.#owner.token);
  }

  async #lock(): Promise<void> {
    const { folder } = this.#options;
    try {
      this.#unlock = await lockfile.lock(path.join(folder, LOCK), {
        realpath: false,
        lockfilePath: path.join(folder, LOCK),
        stale: STALE_MS,
        update: TOUCH_MS,
        onCompromised: (error) => void this.#onCompromised(error),
      });
    } catch (error) {
      if (diskErrorCode(error) !== 'ELOCKED') throw error;
      throw lockedBy(folder, await readOwner(folder));
    }
  }

  /**
   * The lock was not as we left it: somebody removed it or took it, or the file system failed. If we are still written
   * down as its owner, nobody took it (who does writes himself down), and we put it back.
   */
  async #onCompromised(reason: Error): Promise<void> {
    if (this.#released) return;
    const { folder, logger, onLost } = this.#options;
    let cause: unknown = reason;
    try {
      const restored = await underGuard(folder, async () => {
        if ((await readOwner(folder))?.token !== this.#owner.token) return false;
        if (this.#released) return true;
        await fs.rm(path.join(folder, LOCK), { recursive: true, force: true });
        await this.#lock();
        return true;
      });
      if (restored) {
        logger.warn(
          { folder, reason: reason.message },
          'the lock of the data folder was disturbed; it is back in place',
        );
        return;
      }
    } catch (error) {
      cause = error;
    }
    heldTokens.delete(this.#owner.token);
    onLost(
      new BurrowError(
        'DATA_FOLDER_LOCKED',
        `This broker lost the data folder ${folder}: somebody else took or removed its lock. It stops, and writes nothing more.`,
        { cause, fields: { folder } },
      ),
    );
  }
}

/** Returns when no living owner is in the way, and the lock is gone or stale. */
async function makeWay({ folder, logger }: FolderLockOptions): Promise<void> {
  const owner = await readOwner(folder);
  const state = owner === undefined ? 'unknown' : ownerState(owner);
  if (state === 'alive') throw lockedBy(folder, owner);
  if (state === 'dead') {
    logger.warn({ folder, pid: owner?.pid }, 'taking over the data folder of a broker that ended without closing it');
    await fs.rm(path.join(folder, LOCK), { recursive: true, force: true });
    return;
  }
  const first = await touchedMs(folder);
  if (first === undefined) return;
  logger.warn({ folder, host: owner?.host }, 'waiting to see whether the owner of the data folder is alive');
  for (let last: number | undefined = first; last !== undefined; last = await touchedMs(folder)) {
    if (last !== first) throw lockedBy(folder, owner);
    if (Date.now() - last > STALE_MS) return;
    await delay(WATCH_MS);
  }
}

function ownerState(owner: Owner): 'alive' | 'dead' | 'unknown' {
  if (heldTokens.has(owner.token)) return 'alive';
  const state = processState(owner);
  // This very process, but no lock of ours: another thread's or another copy's of this module, or one that could not be
  // released. Whether it lives shows in the lock.
  return state === 'alive' && owner.pid === process.pid ? 'unknown' : state;
}

async function touchedMs(folder: string): Promise<number | undefined> {
  try {
    return (await fs.stat(path.join(folder, LOCK))).mtimeMs;
  } catch (error) {
    if (diskErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function readOwner(folder: string): Promise<Owner | undefined> {
  let owner: Partial<Owner> | null;
  try {
    owner = JSON.parse(await fs.readFile(path.join(folder, OWNER), 'utf8')) as Partial<Owner> | null;
  } catch (error) {
    // Absent, or cut short by a power loss.
    if (error instanceof SyntaxError || diskErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  if (typeof owner?.pid !== 'number' || typeof owner.host !== 'string' || typeof owner.token !== 'string') {
    return undefined;
  }
  return owner as Owner;
}

async function writeOwner(folder: string, owner: Owner): Promise<void> {
  const file = path.join(folder, OWNER);
  await fs.writeFile(`${file}.new`, `${JSON.stringify(owner)}\n`, { mode: 0o640 });
  await fs.rename(`${file}.new`, file);
}

async function underGuard<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const release = await lockGuard(folder);
  try {
    return await work();
  } finally {
    await release().catch(() => {});
  }
}

/** Waits for the guard; but a folder that is gone or cannot be written to is told at once. */
async function lockGuard(folder: string): Promise<() => Promise<void>> {
  const giveUpAtMs = performance.now() + GUARD_WAIT_MS;
  for (;;) {
    try {
      return await lockfile.lock(path.join(folder, GUARD), {
        realpath: false,
        lockfilePath: path.join(folder, GUARD),
        stale: GUARD_STALE_MS,
        // Nothing to do: it is given back in a moment anyway.
        onCompromised: () => {},
      });
    } catch (error) {
      if (diskErrorCode(error) !== 'ELOCKED') throw error;
      if (performance.now() > giveUpAtMs) throw lockedBy(folder, await readOwner(folder));
    }
    await delay(GUARD_RETRY_MS);
  }
}

function lockedBy(folder: string, owner: Owner | undefined): BurrowError {
  const who = owner === undefined ? 'another broker' : `the broker with pid ${owner.pid} on ${owner.host}`;
  return new BurrowError(
    'DATA_FOLDER_LOCKED',
    `The data folder ${folder} is in use by ${who}. Stop it, or choose another --data-dir.`,
    { fields: { folder, ...(owner === undefined ? {} : { pid: owner.pid, host: owner.host }) } },
  );
}
