/**
 * A file with all there was at one revision, as frames:
 *
 *     {"format":2,"kind":"snapshot","revision":…,"entries":count,"leases":[[id, ttl in ms, renewals], …]}
 *     [[key, value, create revision, revision] or with a lease id behind, …]      as many as there are
 */
import type { Disk } from '../ports/disk.ts';
import { checkHeader, corrupt, syncFile } from './append-log.ts';
import type { CoordinatorEntry } from './coordinator.ts';
import { encodeFrame, scanFrames } from './frames.ts';
import type { StoredLease, StoreImage } from './key-values.ts';
import { LOG_FORMAT } from './log-entry.ts';

/** Entries go into frames of about this many characters. */
const FRAME_CHARACTERS = 128 * 1024;

/**
 * Writes it to `draft` and syncs it; under its own name it appears as a whole. The folder is not synced.
 * @param shouldStop - asked between frames: if true, the rest is left and false returned
 */
export async function writeSnapshot(
  disk: Disk,
  path: string,
  draft: string,
  image: StoreImage,
  shouldStop: () => boolean,
): Promise<boolean> {
  const file = await disk.open(draft, { create: true, truncate: true });
  let complete = false;
  try {
    let bytes = 0;
    for (const frame of encodeSnapshot(image)) {
      if (shouldStop()) return false;
      await file.write([frame], bytes);
      bytes += frame.byteLength;
    }
    await syncFile(file);
    complete = true;
  } finally {
    await file.close();
    // Gives the space back at once; were it to fail, whoever cleans the folder would do it.
    if (!complete) await disk.remove(draft).catch(() => {});
  }
  await disk.rename(draft, path);
  return true;
}

/** Lazily, so that a large one does not stop everything else while it is encoded. */
function* encodeSnapshot({ revision, entries, leases }: StoreImage): Generator<Buffer> {
  const leaseRows = leases.map(({ id, ttlMs, renewals }) => [id, ttlMs, renewals]);
  yield encodeFrame({ format: LOG_FORMAT, kind: 'snapshot', revision, entries: entries.length, leases: leaseRows });
  let rows: unknown[] = [];
  let characters = 0;
  for (const { key, value, createRevision, modRevision, leaseId } of entries) {
    const row = [key, value, createRevision, modRevision];
    rows.push(leaseId === undefined ? row : [...row, leaseId]);
    characters += key.length + value.length;
    if (characters < FRAME_CHARACTERS) continue;
    yield encodeFrame(rows);
    rows = [];
    characters = 0;
  }
  if (rows.length > 0) yield encodeFrame(rows);
}

/** @throws the disk's error, ENOENT if it is not there; BurrowError STORAGE_CORRUPT or DATA_FOLDER_VERSION */
export async function readSnapshot(disk: Disk, path: string): Promise<StoreImage> {
  const file = await disk.open(path);
  let bytes: Buffer;
  try {
    bytes = await file.read(0, await file.size());
  } finally {
    await file.close();
  }
  const entries: CoordinatorEntry[] = [];
  let header: Header | undefined;
  let end = 0;
  for (const scanned of scanFrames(bytes, 0)) {
    if (scanned.kind !== 'frame') throw corrupt(path, scanned.begin);
    if (header === undefined) {
      checkHeader(scanned.value, path, 0, 'snapshot');
      if (!isHeader(scanned.value)) throw corrupt(path, 0);
      header = scanned.value;
    } else if (!readRows(scanned.value, entries)) {
      throw corrupt(path, scanned.begin);
    }
    end = scanned.end;
  }
  // It was renamed when it was complete and synced.
  if (header === undefined || end !== bytes.byteLength || entries.length !== header.entries) throw corrupt(path, end);
  const leases = header.leases.map(([id, ttlMs, renewals]): StoredLease => ({ id, ttlMs, renewals }));
  return { revision: header.revision, entries, leases };
}

interface Header {
  readonly revision: number;
  readonly entries: number;
  readonly leases: ReadonlyArray<readonly [id: string, ttlMs: number, renewals: number]>;
}

function isHeader(value: unknown): value is Header {
  const { revision, entries, leases } = value as Record<string, unknown>;
  return (
    isCount(revision) &&
    isCount(entries) &&
    Array.isArray(leases) &&
    leases.every(
      (lease) => Array.isArray(lease) && typeof lease[0] === 'string' && isCount(lease[1]) && isCount(lease[2]),
    )
  );
}

function readRows(value: unknown, entries: CoordinatorEntry[]): boolean {
  if (!Array.isArray(value)) return false;
  for (const row of value as unknown[]) {
    if (!Array.isArray(row)) return false;
    const [key, text, createRevision, modRevision, leaseId] = row as unknown[];
    if (typeof key !== 'string' || typeof text !== 'string' || !isCount(createRevision) || !isCount(modRevision)) {
      return false;
    }
    const entry = { key, value: text, createRevision, modRevision };
    entries.push(typeof leaseId === 'string' ? { ...entry, leaseId } : entry);
  }
  return true;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
