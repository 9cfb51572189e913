/** The disk of a broker with a data folder: the machine's, for as long as the folder is locked by this broker. */
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import type { Disk } from './disk.ts';
import { FencedDisk } from './fenced-disk.ts';
import { FOLDER_LOCK_NAMES, FolderLock } from './folder-lock.ts';
import type { Logger } from './logger.ts';
import { NodeDisk } from './node-disk.ts';

export interface LockedDisk {
  readonly disk: Disk;
  readonly lock: {
    /** Names in the folder that belong to the lock. */
    readonly names: readonly string[];
    release(): Promise<void>;
  };
}

/**
 * Creates the folder if it is absent, and locks it. Once the lock is lost, every change is refused.
 * @throws BurrowError DATA_FOLDER_LOCKED
 */
export async function openLockedDisk(options: {
  readonly folder: string;
  readonly logger: Logger;
  readonly onLost: (error: BurrowError) => void;
}): Promise<LockedDisk> {
  const { folder, logger, onLost } = options;
  const disk = new FencedDisk(new NodeDisk());
  await disk.makeDirectory(folder);
  const lock = await FolderLock.acquire({
    folder,
    logger,
    onLost: (error) => {
      disk.fence(error);
      onLost(error);
    },
  });
  return { disk, lock: { names: FOLDER_LOCK_NAMES, release: () => lock.release() } };
}
