/**
 * Files and folders of the in-memory disk: what a running program sees (the volatile state), what a power loss would
 * leave for sure (the durable state), and the ordered list of changes between the two.
 */
import { sep } from 'node:path';
import { ChunkedBytes } from './chunked-bytes.ts';
import type { Random } from './random.ts';
import { randomBelow, randomChance } from './random-choices.ts';

/** Sizes at which disks and page caches tear a write. */
const TEAR_BYTES = [512, 4096] as const;

/** What happens to the changes that were not synced. See `MemoryDisk.crash`. */
export type CrashMode = 'lost' | 'kept' | 'prefix' | 'reordered';

export type MemoryNode = MemoryFile | MemoryFolder;

/** A name that some durable folder has for a node. There are no hard links: at most one. */
interface DurableName {
  readonly folder: MemoryFolder;
  readonly name: string;
}

type FileChange =
  | { readonly kind: 'write'; readonly sequence: number; readonly position: number; readonly bytes: Buffer }
  | { readonly kind: 'truncate'; readonly sequence: number; readonly size: number };

export class MemoryFile {
  readonly kind = 'file';
  durableName: DurableName | undefined;
  durableNameSequence = -1;
  /** Told of each write. */
  readonly watchers = new Set<() => void>();
  /** Open handles and names in folders; without any, the file's space is free again. */
  references = 0;
  /** As programs see it. */
  contents = new ChunkedBytes();
  /** As of the last sync; undefined as long as that is "empty". */
  #durable: ChunkedBytes | undefined;
  /** Since the last sync, in order. */
  #changes: FileChange[] = [];
  #nextSequence = 0;
  readonly #track: boolean;

  constructor(track: boolean) {
    this.#track = track;
  }

  /** Every change so far has a number below this one. */
  get nextSequence(): number {
    return this.#nextSequence;
  }

  write(bytes: Uint8Array, position: number): void {
    if (bytes.byteLength === 0) return;
    this.contents.write(bytes, position);
    if (this.#track) {
      this.#changes.push({ kind: 'write', sequence: this.#nextSequence++, position, bytes: Buffer.from(bytes) });
    }
  }

  resize(size: number): void {
    this.contents.resize(size);
    if (this.#track) this.#changes.push({ kind: 'truncate', sequence: this.#nextSequence++, size });
  }

  /** Makes the changes before `endSequence` durable. */
  sync(endSequence: number): void {
    const count = this.#covered(endSequence);
    for (let i = 0; i < count; i++) apply(this.#durableContents(), this.#changes[i]!);
    this.#changes.splice(0, count);
  }

  /**
   * A sync that failed: each change before `endSequence` reaches the disk or not, and is never tried again, because
   * the kernel has marked the pages clean. Programs go on to see all of them (ext4, XFS) or only those on disk (Btrfs).
   */
  failSync(endSequence: number, random: Random): void {
    const count = this.#covered(endSequence);
    for (let i = 0; i < count; i++) {
      if (randomChance(random, 0.5)) apply(this.#durableContents(), this.#changes[i]!);
    }
    this.#changes.splice(0, count);
    if (randomChance(random, 0.5)) {
      const visible = this.#durableContents().copy();
      for (const change of this.#changes) apply(visible, change);
      this.contents = visible;
    }
  }

  /** Inverts a stored bit wherever this byte is kept, so that no sync heals it. */
  flipBit(position: number, bit: number): void {
    const flip = (contents: ChunkedBytes): void => {
      const byte = contents.read(position, 1);
      if (byte.byteLength === 1) contents.write(Buffer.from([byte[0]! ^ (1 << bit)]), position);
    };
    flip(this.contents);
    if (this.#durable !== undefined) flip(this.#durable);
    for (const change of this.#changes) {
      if (change.kind !== 'write') continue;
      const index = position - change.position;
      if (index >= 0 && index < change.bytes.byteLength) change.bytes[index]! ^= 1 << bit;
    }
  }

  /** Decides what a power loss leaves of the file; that is what programs see afterwards, and it is durable. */
  losePower(random: Random, mode: CrashMode): void {
    const survivor = this.#durableContents();
    if (mode === 'kept') for (const change of this.#changes) apply(survivor, change);
    else if (mode === 'prefix') applyPrefix(survivor, this.#changes, random);
    else if (mode === 'reordered') applyReordered(survivor, this.#changes, random, this.contents.bytes);
    this.#changes = [];
    this.contents = survivor.copy();
  }

  #covered(endSequence: number): number {
    let count = 0;
    while (count < this.#changes.length && this.#changes[count]!.sequence < endSequence) count++;
    return count;
  }

  #durableContents(): ChunkedBytes {
    this.#durable ??= new ChunkedBytes();
    return this.#durable;
  }
}

export class MemoryFolder {
  readonly kind = 'folder';
  durableName: DurableName | undefined;
  durableNameSequence = -1;
  /** As programs see it. */
  entries = new Map<string, MemoryNode>();
  /** What a power loss leaves. */
  readonly durableEntries = new Map<string, MemoryNode>();
}

/** A change of names that no directory sync has covered. A rename is the binding of its target: a node has one name. */
export interface NameChange {
  readonly kind: 'bind' | 'unbind';
  readonly sequence: number;
  readonly folder: MemoryFolder;
  readonly name: string;
  readonly node: MemoryNode;
}

/** The changes of names on a disk, in order, as far as they are not durable. */
export class NameJournal {
  #changes: NameChange[] = [];
  #nextSequence = 0;

  get nextSequence(): number {
    return this.#nextSequence;
  }

  record(kind: NameChange['kind'], folder: MemoryFolder, name: string, node: MemoryNode): void {
    this.#changes.push({ kind, sequence: this.#nextSequence++, folder, name, node });
  }

  sync(folder: MemoryFolder, endSequence: number): void {
    const rest: NameChange[] = [];
    for (const change of this.#changes) {
      if (change.folder === folder && change.sequence < endSequence) applyName(change);
      else rest.push(change);
    }
    this.#changes = rest;
  }

  losePower(random: Random, mode: CrashMode): void {
    const kept = mode === 'prefix' ? randomBelow(random, this.#changes.length + 1) : 0;
    for (const [index, change] of this.#changes.entries()) {
      if (mode === 'kept' || index < kept || (mode === 'reordered' && randomChance(random, 0.5))) applyName(change);
    }
    this.#changes = [];
  }
}

function applyName(change: NameChange): void {
  const { kind, folder, name, node, sequence } = change;
  // A rename into another folder may have become durable before the creation of the name that it took away.
  if (sequence < node.durableNameSequence) return;
  node.durableNameSequence = sequence;
  if (kind === 'unbind') {
    if (folder.durableEntries.get(name) === node) unbindDurable(node);
    return;
  }
  unbindDurable(node);
  const replaced = folder.durableEntries.get(name);
  if (replaced !== undefined) unbindDurable(replaced);
  folder.durableEntries.set(name, node);
  node.durableName = { folder, name };
}

function unbindDurable(node: MemoryNode): void {
  if (node.durableName === undefined) return;
  node.durableName.folder.durableEntries.delete(node.durableName.name);
  node.durableName = undefined;
}

function apply(contents: ChunkedBytes, change: FileChange): void {
  if (change.kind === 'write') contents.write(change.bytes, change.position);
  else contents.resize(change.size);
}

/** A disk that keeps the order: all changes up to some point, and the one there torn. */
function applyPrefix(contents: ChunkedBytes, changes: readonly FileChange[], random: Random): void {
  const whole = randomBelow(random, changes.length + 1);
  for (let i = 0; i < whole; i++) apply(contents, changes[i]!);
  const torn = changes[whole];
  if (torn?.kind !== 'write') return;
  const sizeBefore = contents.bytes;
  const pieces = tear(torn, random);
  for (const piece of pieces.slice(0, randomBelow(random, pieces.length))) contents.write(piece.bytes, piece.position);
  // The inode with the new size may reach the disk before the data does.
  if (randomChance(random, 0.25)) contents.resize(Math.max(sizeBefore, torn.position + torn.bytes.byteLength));
}

/** A disk that writes back in any order: each change kept, dropped or torn for itself, and so the size. */
function applyReordered(contents: ChunkedBytes, changes: readonly FileChange[], random: Random, size: number): void {
  const durableSize = contents.bytes;
  // Drawn anew for every crash: some disks lose nearly all, others nearly nothing.
  const keep = random.fraction();
  for (const change of changes) {
    if (randomChance(random, keep)) {
      apply(contents, change);
    } else if (change.kind === 'write' && randomChance(random, 0.5)) {
      const pieces = tear(change, random);
      for (const piece of pieces) {
        if (randomChance(random, 0.5)) contents.write(piece.bytes, piece.position);
      }
    }
  }
  if (contents.bytes > durableSize && randomChance(random, 0.25)) contents.resize(durableSize);
  else if (contents.bytes < size && randomChance(random, 0.25)) contents.resize(size);
}

function tear(change: FileChange & { kind: 'write' }, random: Random): Array<{ position: number; bytes: Buffer }> {
  const unit = TEAR_BYTES[randomBelow(random, TEAR_BYTES.length)]!;
  const pieces: Array<{ position: number; bytes: Buffer }> = [];
  const end = change.position + change.bytes.byteLength;
  for (let position = change.position; position < end; ) {
    const next = Math.min(end, (Math.floor(position / unit) + 1) * unit);
    pieces.push({ position, bytes: change.bytes.subarray(position - change.position, next - change.position) });
    position = next;
  }
  return pieces;
}

/** A name in a folder. */
export interface Place {
  readonly folder: MemoryFolder;
  readonly name: string;
}

const SEPARATOR = sep === '\\' ? /[\\/]/ : /\//;

/** The names on the way from the root. Relative paths start from the root, too. */
export function splitPath(path: string): string[] {
  const names: string[] = [];
  for (const name of path.split(SEPARATOR)) {
    if (name === '..') names.pop();
    else if (name !== '' && name !== '.') names.push(name);
  }
  return names;
}

export function isWithin(path: string, folder: string): boolean {
  const names = splitPath(path);
  const folderNames = splitPath(folder);
  return names.length > folderNames.length && folderNames.every((name, index) => names[index] === name);
}

/** All files below a folder with their paths, sorted. */
export function* filesBelow(folder: MemoryFolder, path: string): Generator<[string, MemoryFile]> {
  for (const [name, node] of [...folder.entries].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (node.kind === 'file') yield [`${path}/${name}`, node];
    else yield* filesBelow(node, `${path}/${name}`);
  }
}

/** What a folder holds, children before their folder. */
export function* placesBelow(place: Place): Generator<Place> {
  const node = place.folder.entries.get(place.name);
  if (node?.kind !== 'folder') return;
  for (const name of [...node.entries.keys()].sort()) {
    yield* placesBelow({ folder: node, name });
    yield { folder: node, name };
  }
}
