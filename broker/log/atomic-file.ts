/**
 * Small files that are replaced as a whole: write a new one, sync it, rename it over the old, sync the folder
 * (the order without which a power loss can leave an empty or missing file).
 */
import { dirname } from 'node:path';
import { crc32c } from '../../src/bytes/crc32c.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { type Disk, diskErrorCode } from '../ports/disk.ts';

export async function replaceFile(disk: Disk, path: string, contents: Uint8Array): Promise<void> {
  const temporary = `${path}.new`;
  const file = await disk.open(temporary, { create: true, truncate: true });
  try {
    await file.write([contents], 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(temporary, path);
  await disk.syncDirectory(dirname(path));
}

/** The contents of a file, or undefined if there is none. */
export async function readWholeFile(disk: Disk, path: string): Promise<Buffer | undefined> {
  let file: Awaited<ReturnType<Disk['open']>>;
  try {
    file = await disk.open(path);
  } catch (error) {
    if (diskErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return await file.read(0, await file.size());
  } finally {
    await file.close();
  }
}

/** Writes a JSON value behind a line with its checksum, so that a damaged file is noticed instead of believed. */
export async function replaceJsonFile(disk: Disk, path: string, value: unknown): Promise<void> {
  const text = Buffer.from(JSON.stringify(value, undefined, 1));
  const checksum = crc32c(text).toString(16).padStart(8, '0');
  await replaceFile(disk, path, Buffer.concat([Buffer.from(`${checksum}\n`), text]));
}

/** Reads what {@link replaceJsonFile} wrote; undefined if absent, STORAGE_CORRUPT if damaged. */
export async function readJsonFile(disk: Disk, path: string): Promise<unknown> {
  const bytes = await readWholeFile(disk, path);
  if (bytes === undefined) return undefined;
  const text = bytes.subarray(9);
  const checksum = Number.parseInt(bytes.subarray(0, 8).toString('latin1'), 16);
  if (bytes.length < 9 || bytes[8] !== 0x0a || checksum !== crc32c(text)) {
    throw new BurrowError('STORAGE_CORRUPT', `${path} is damaged: its checksum does not match its contents.`, {
      fields: { file: path },
    });
  }
  return JSON.parse(text.toString('utf8'));
}
