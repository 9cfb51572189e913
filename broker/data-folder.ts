/**
 * Whose data a folder holds, and in which format: `burrow.json`, written once when the folder is first used.
 *
 *     {"format": 1, "clusterId": "…", "nodeId": 1}            behind a line with its checksum
 *
 * Beside it: topics/, deleted/, journal/, checkpoint.json, clean-shutdown.json (log/log-manager.ts), coordinator/
 * (coordinator/file.ts), broker.lock… (ports/folder-lock.ts).
 *
 * How format N becomes N+1: a broker that reads up to N+1 opens N, does the change in steps that each may be cut short, and
 * writes the new number last. Formats are read for at least one major version after their successor. A newer one is
 * refused, and nothing is touched: what it means is not known here.
 */
import { join } from 'node:path';
import { BurrowError } from '../src/errors/burrow-error.ts';
import { readJsonFile, replaceJsonFile } from './log/atomic-file.ts';
import type { Disk } from './ports/disk.ts';
import type { Random } from './ports/random.ts';

export const DATA_FOLDER_FORMAT = 1;

const IDENTITY_FILE = 'burrow.json';
/** May be in a folder that is used for the first time: a mount point has lost+found. */
const HARMLESS_NAMES = new Set(['lost+found', `${IDENTITY_FILE}.new`]);

export interface DataFolderOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly nodeId: number;
  readonly random: Random;
  /** Names in the folder that are no data: the lock's. */
  readonly ignoredNames: readonly string[];
}

export interface DataFolder {
  readonly clusterId: string;
}

/**
 * Reads what the folder is, or makes an empty one ours.
 * @throws BurrowError DATA_FOLDER_VERSION, STORAGE_CORRUPT, INVALID_CONFIG if it is another node's or no data folder
 */
export async function openDataFolder(options: DataFolderOptions): Promise<DataFolder> {
  const { disk, directory, nodeId, random } = options;
  const path = join(directory, IDENTITY_FILE);
  const stored = await readJsonFile(disk, path);
  if (stored === undefined) {
    await checkUnused(options);
    // 16 random bytes in base64url, as Kafka's cluster ids are.
    const clusterId = random.bytes(16).toString('base64url');
    await replaceJsonFile(disk, path, { format: DATA_FOLDER_FORMAT, clusterId, nodeId });
    return { clusterId };
  }
  return checkIdentity(stored, path, nodeId);
}

function checkIdentity(stored: unknown, path: string, nodeId: number): DataFolder {
  const { format, clusterId, nodeId: storedNodeId } = (stored ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof format === 'number' && format > DATA_FOLDER_FORMAT) {
    throw new BurrowError(
      'DATA_FOLDER_VERSION',
      `${path} has format ${format}; this version reads up to ${DATA_FOLDER_FORMAT}. Use the version that wrote it, or a newer one.`,
      { fields: { file: path, format } },
    );
  }
  if (format !== DATA_FOLDER_FORMAT || typeof clusterId !== 'string') {
    throw new BurrowError('STORAGE_CORRUPT', `${path} does not say which cluster it belongs to.`, {
      fields: { file: path },
    });
  }
  if (storedNodeId !== nodeId) {
    throw new BurrowError(
      'INVALID_CONFIG',
      `The data folder belongs to node ${storedNodeId} (${path}), but node-id is ${nodeId}. Start with --node-id ${storedNodeId}, or choose another --data-dir.`,
      { fields: { file: path, nodeId } },
    );
  }
  return { clusterId };
}

/** A broker removes files in its folder; so it must not be somebody's home. */
async function checkUnused({ disk, directory, ignoredNames }: DataFolderOptions): Promise<void> {
  const foreign = (await disk.list(directory)).find(
    (name) => !HARMLESS_NAMES.has(name) && !ignoredNames.some((ignored) => name.startsWith(ignored)),
  );
  if (foreign === undefined) return;
  throw new BurrowError(
    'INVALID_CONFIG',
    `${directory} is no data folder of BurrowMQ and not empty: it holds "${foreign}". Choose an empty or new folder with --data-dir.`,
    { fields: { folder: directory } },
  );
}
