/**
 * A disk in memory, for two uses.
 *
 * 1. As the store of brokers with `storage: 'memory'`: `new MemoryDisk({ trackDurability: false })`. Calls take effect
 *    at once; there is no journal and no power to lose.
 * 2. As the disk of crash tests and simulations. It knows what was synced and what was not, and breaks on demand.
 *
 * Fault model of the second use. Everything random is drawn from the given {@link Random}, so a seed replays.
 *
 * - **When a call takes effect**: between the call and its resolution, at the moment the scheduler completes it. Calls
 *   in flight together may take effect in any order. Buffers are read then, so one that is changed too early shows.
 * - **What a sync covers**: the changes that had taken effect when it was called, not those after. A folder's sync
 *   covers the names in it (creations, removals, renames into it), not the contents of the files and not its own name.
 * - **Process kill** (`kill`): what took effect is still seen, but is no more durable than before. Calls in flight took
 *   effect, or partly (writes), or not.
 * - **Power loss** (`crash`): as a kill, then each unsynced change is kept or not, by {@link CrashMode}:
 *   - `lost`: none is kept;
 *   - `kept`: all are kept;
 *   - `prefix`: per file, those before some point, and the one there torn: a disk that keeps order. Names likewise;
 *   - `reordered`: each for itself kept, dropped, or torn into sectors of 512 B or 4 KiB of which any may be missing;
 *     a file's new size is kept or not by itself, and holes read as zeros. Names each for itself.
 *   A rename is atomic: the file has the old name or the new one. Without hard links it never has both.
 * - **Errors** (`inject`): any call may fail. A failing write has written some part from the start of its bytes. After
 *   a failing sync each change it covered is on the disk or not, for good, and the next sync succeeds without them:
 *   who retries a failed sync loses data here, as on Linux (Rebello et al., ATC'20).
 * - **Full disk**: `capacityBytes`. A write goes as far as there is room and then fails with ENOSPC.
 * - **Bit rot**: `flipBit`.
 * - **Crash points**: changes are numbered from 0; `beforeOperation` and `onOperation` are told of each and may call
 *   `halt()`, after which nothing on this disk takes effect or answers until `crash` or `kill` returns its successor.
 *
 * Not in the model: stale or foreign data in new blocks, misdirected writes, a disk that lies about syncs.
 */
import { assertFileRange, type Disk, type DiskFile, type DiskWatch, type OpenOptions } from './disk.ts';
import { type DiskFault, type DiskFaultRule, type DiskOperation, diskError } from './disk-faults.ts';
import { type DiskCallOptions, DiskCalls } from './memory-disk-calls.ts';
import {
  type CrashMode,
  filesBelow,
  isWithin,
  MemoryFile,
  MemoryFolder,
  type MemoryNode,
  NameJournal,
  type Place,
  placesBelow,
  splitPath,
} from './memory-disk-tree.ts';
import type { Random } from './random.ts';
import { randomBelow } from './random-choices.ts';
import { SeededRandom } from './seeded-random.ts';

/** As ext4 with 4 KiB blocks would have 16 TiB; less, since every 64 KiB of a file here costs an array slot. */
const FILE_BYTES_MAX = 2 ** 40;

export interface MemoryDiskOptions extends DiskCallOptions {
  /** Default true. Without it nothing distinguishes synced from unsynced, and `crash` and `kill` are refused. */
  readonly trackDurability?: boolean;
  /** Room for the contents of all files. Default: without limit. */
  readonly capacityBytes?: number;
  /** Decides what is left to chance: faults with a probability, partial writes. Default: seed 0. */
  readonly random?: Random;
}

export class MemoryDisk implements Disk {
  /** May be changed at any time. */
  capacityBytes: number;
  readonly #options: MemoryDiskOptions;
  readonly #track: boolean;
  readonly #random: Random;
  readonly #root: MemoryFolder;
  readonly #names: NameJournal;
  readonly #calls: DiskCalls;
  #usedBytes = 0;

  constructor(options: MemoryDiskOptions = {}, survivor?: { root: MemoryFolder; names: NameJournal }) {
    this.#options = options;
    this.#track = options.trackDurability ?? true;
    this.#random = options.random ?? new SeededRandom(0);
    this.#calls = new DiskCalls(options, this.#track, this.#random);
    this.capacityBytes = options.capacityBytes ?? Number.MAX_SAFE_INTEGER;
    this.#root = survivor?.root ?? new MemoryFolder();
    this.#names = survivor?.names ?? new NameJournal();
    if (survivor !== undefined) {
      for (const [, file] of filesBelow(this.#root, '')) {
        file.references = 1;
        file.watchers.clear();
        this.#usedBytes += file.contents.bytes;
      }
    }
  }

  open(path: string, options: OpenOptions = {}): Promise<DiskFile> {
    const create = options.create === true && this.#lookup(path) === undefined;
    const operation: DiskOperation = { kind: create ? 'create' : 'open', path };
    return this.#calls.call(operation, {
      all: () => {
        const place = this.#place(path, operation);
        let node = place?.folder.entries.get(place.name) ?? (place === undefined ? this.#root : undefined);
        if (node?.kind === 'folder') throw diskError('EISDIR', operation);
        if (node === undefined) {
          if (options.create !== true || place === undefined) throw diskError('ENOENT', operation);
          node = new MemoryFile(this.#track);
          this.#bind(place, node);
        }
        node.references++;
        if (options.truncate === true && node.contents.bytes > 0) this.#resize(node, 0, operation);
        return new MemoryDiskFile(this, path, node, options);
      },
    });
  }

  list(folder: string): Promise<string[]> {
    const operation: DiskOperation = { kind: 'list', path: folder };
    return this.#calls.call(operation, { all: () => [...this.#folder(folder, operation).entries.keys()].sort() });
  }

  makeDirectory(path: string): Promise<void> {
    const operation: DiskOperation = { kind: 'makeDirectory', path };
    return this.#calls.call(operation, {
      all: () => {
        let folder = this.#root;
        const names = splitPath(path);
        for (const [index, name] of names.entries()) {
          let node = folder.entries.get(name);
          if (node === undefined) {
            node = new MemoryFolder();
            this.#bind({ folder, name }, node);
          }
          if (node.kind === 'file') throw diskError(index === names.length - 1 ? 'EEXIST' : 'ENOTDIR', operation);
          folder = node;
        }
      },
    });
  }

  rename(from: string, to: string): Promise<void> {
    const operation: DiskOperation = { kind: 'rename', path: from, to };
    return this.#calls.call(operation, {
      all: () => {
        const source = this.#place(from, operation);
        const target = this.#place(to, operation);
        const node = source?.folder.entries.get(source.name);
        if (source === undefined || target === undefined) throw diskError('EINVAL', operation);
        if (node === undefined) throw diskError('ENOENT', operation);
        if (node.kind === 'folder' && isWithin(to, from)) throw diskError('EINVAL', operation);
        const replaced = target.folder.entries.get(target.name);
        if (replaced === node) return;
        if (node.kind === 'folder' && replaced?.kind === 'file') throw diskError('ENOTDIR', operation);
        if (node.kind === 'file' && replaced?.kind === 'folder') throw diskError('EISDIR', operation);
        if (replaced?.kind === 'folder' && replaced.entries.size > 0) throw diskError('ENOTEMPTY', operation);
        source.folder.entries.delete(source.name);
        if (replaced?.kind === 'file') this.release(replaced);
        target.folder.entries.set(target.name, node);
        if (this.#track) this.#names.record('bind', target.folder, target.name, node);
      },
    });
  }

  remove(path: string): Promise<void> {
    const operation: DiskOperation = { kind: 'remove', path };
    return this.#calls.call(operation, {
      all: () => {
        const node = this.#lookup(path);
        if (node?.kind === 'folder') throw diskError('EISDIR', operation);
        if (node !== undefined) this.#unbind(this.#place(path, operation)!);
      },
    });
  }

  removeTree(path: string): Promise<void> {
    const operation: DiskOperation = { kind: 'removeTree', path };
    /** Children before their folder, as rm -r goes. */
    const victims = (): Place[] => {
      if (this.#lookup(path) === undefined) return [];
      const place = this.#place(path, operation);
      return place === undefined ? [] : [...placesBelow(place), place];
    };
    return this.#calls.call(operation, {
      all: () => {
        for (const place of victims()) this.#unbind(place);
      },
      some: (random) => {
        const places = victims();
        for (const place of places.slice(0, randomBelow(random, places.length + 1))) this.#unbind(place);
      },
    });
  }

  syncDirectory(path: string): Promise<void> {
    const operation: DiskOperation = { kind: 'syncDirectory', path };
    const endSequence = this.#names.nextSequence;
    return this.#calls.call(operation, { all: () => this.#names.sync(this.#folder(path, operation), endSequence) });
  }

  exists(path: string): Promise<boolean> {
    return this.#calls.call({ kind: 'exists', path }, { all: () => this.#lookup(path) !== undefined });
  }

  freeBytes(path: string): Promise<number> {
    const operation: DiskOperation = { kind: 'freeBytes', path };
    return this.#calls.call(operation, {
      all: () => {
        if (this.#lookup(path) === undefined) throw diskError('ENOENT', operation);
        return this.#freeBytes();
      },
    });
  }

  watch(path: string, onChange: () => void): DiskWatch {
    const node = this.#lookup(path);
    if (node?.kind !== 'file') return { close: () => {} };
    node.watchers.add(onChange);
    return { close: () => node.watchers.delete(onChange) };
  }

  // What tests and simulations ask for.

  /** Makes calls fail from now on, until the returned fault is removed. */
  inject(rule: DiskFaultRule): DiskFault {
    return this.#calls.inject(rule);
  }

  clearFaults(): void {
    this.#calls.clearFaults();
  }

  /** Inverts bit 0–7 of the byte at `position`, on the disk and in what programs see. */
  flipBit(path: string, position: number, bit: number): void {
    const node = this.#lookup(path);
    if (node?.kind !== 'file' || position >= node.contents.bytes)
      throw new RangeError(`no byte ${position} in ${path}`);
    node.flipBit(position, bit);
  }

  /** How many changes took effect or failed so far: the number of the next one. */
  get operations(): number {
    return this.#calls.operations;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  get halted(): boolean {
    return this.#calls.halted;
  }

  /** Nothing takes effect any more, and nobody is answered except with EHALTED. */
  halt(): void {
    this.#calls.halt();
  }

  /** All files with their contents as programs see them, by path, sorted. For comparisons; does not count as a call. */
  snapshot(): Map<string, Buffer> {
    const files = new Map<string, Buffer>();
    for (const [path, file] of filesBelow(this.#root, '')) files.set(path, file.contents.read(0, file.contents.bytes));
    return files;
  }

  /** Halts this disk and returns it as a power loss leaves it, without handles, faults and hooks unless given anew. */
  crash(random: Random, mode: CrashMode, options: MemoryDiskOptions = {}): MemoryDisk {
    this.#stop(random);
    this.#names.losePower(random, mode);
    const pending = [this.#root];
    for (let folder = pending.pop(); folder !== undefined; folder = pending.pop()) {
      folder.entries = new Map([...folder.durableEntries].sort(([a], [b]) => (a < b ? -1 : 1)));
      for (const node of folder.entries.values()) {
        if (node.kind === 'folder') pending.push(node);
        else node.losePower(random, mode);
      }
    }
    return this.#successor(options);
  }

  /** Halts this disk and returns it as the next process finds it after a kill: what was not synced still is not. */
  kill(random: Random, options: MemoryDiskOptions = {}): MemoryDisk {
    this.#stop(random);
    return this.#successor(options);
  }

  // For the handles.

  /** @internal */
  readFile(file: MemoryFile, path: string, position: number, bytes: number): Promise<Buffer> {
    return this.#calls.call(
      { kind: 'read', path, position, bytes },
      { all: () => file.contents.read(position, bytes) },
    );
  }

  /** @internal */
  writeFile(file: MemoryFile, path: string, buffers: readonly Uint8Array[], position: number): Promise<void> {
    let bytes = 0;
    for (const buffer of buffers) bytes += buffer.byteLength;
    const operation: DiskOperation = { kind: 'write', path, position, bytes };
    return this.#calls.call(operation, {
      all: () => this.#write(file, buffers, position, bytes, operation),
      some: (random) => this.#write(file, buffers, position, randomBelow(random, bytes + 1), operation),
    });
  }

  /** @internal Numbered and failing as a write. */
  appendToFile(file: MemoryFile, path: string, bytes: Uint8Array): Promise<void> {
    const operation: DiskOperation = { kind: 'write', path, bytes: bytes.byteLength };
    const append = (count: number): void => this.#write(file, [bytes], file.contents.bytes, count, operation);
    return this.#calls.call(operation, {
      all: () => append(bytes.byteLength),
      some: (random) => append(randomBelow(random, bytes.byteLength + 1)),
    });
  }

  /** @internal */
  syncFile(file: MemoryFile, path: string): Promise<void> {
    const endSequence = file.nextSequence;
    return this.#calls.call(
      { kind: 'sync', path },
      { all: () => file.sync(endSequence), failed: () => file.failSync(endSequence, this.#random) },
    );
  }

  /** @internal */
  truncateFile(file: MemoryFile, path: string, bytes: number): Promise<void> {
    const operation: DiskOperation = { kind: 'truncate', path, bytes };
    return this.#calls.call(operation, { all: () => this.#resize(file, bytes, operation) });
  }

  /** @internal */
  sizeOfFile(file: MemoryFile, path: string): Promise<number> {
    return this.#calls.call({ kind: 'size', path }, { all: () => file.contents.bytes });
  }

  /** @internal Gives up a handle or a name. */
  release(file: MemoryFile): void {
    // A handle from before a crash must not meddle with the successor, which has the same files.
    if (this.halted) return;
    file.references--;
    if (file.references === 0) this.#usedBytes -= file.contents.bytes;
  }

  #stop(random: Random): void {
    if (!this.#track) throw new Error('a MemoryDisk without trackDurability cannot crash');
    this.#calls.stop(random);
  }

  #successor(options: MemoryDiskOptions): MemoryDisk {
    const { schedule, whenHalted } = this.#options;
    return new MemoryDisk(
      {
        capacityBytes: this.capacityBytes,
        random: this.#random,
        ...(schedule === undefined ? {} : { schedule }),
        ...(whenHalted === undefined ? {} : { whenHalted }),
        ...options,
      },
      { root: this.#root, names: this.#names },
    );
  }

  #write(
    file: MemoryFile,
    buffers: readonly Uint8Array[],
    position: number,
    bytesWanted: number,
    operation: DiskOperation,
  ): void {
    if (position + bytesWanted > FILE_BYTES_MAX) throw diskError('EFBIG', operation);
    const endMax = file.contents.bytes + Math.max(0, this.#freeBytes());
    const bytesPossible = Math.max(0, Math.min(bytesWanted, endMax - position));
    const sizeBefore = file.contents.bytes;
    if (this.#track) {
      file.write(Buffer.concat(buffers, bytesPossible), position);
    } else {
      let done = 0;
      for (const buffer of buffers) {
        const count = Math.min(buffer.byteLength, bytesPossible - done);
        file.write(count === buffer.byteLength ? buffer : buffer.subarray(0, count), position + done);
        done += count;
      }
    }
    if (file.references > 0) this.#usedBytes += file.contents.bytes - sizeBefore;
    for (const watcher of file.watchers) queueMicrotask(watcher);
    if (bytesPossible < bytesWanted) throw diskError('ENOSPC', operation);
  }

  #resize(file: MemoryFile, bytes: number, operation: DiskOperation): void {
    if (bytes > FILE_BYTES_MAX) throw diskError('EFBIG', operation);
    if (file.references > 0) this.#usedBytes += bytes - file.contents.bytes;
    file.resize(bytes);
  }

  #freeBytes(): number {
    return this.capacityBytes - this.#usedBytes;
  }

  #bind(place: Place, node: MemoryNode): void {
    place.folder.entries.set(place.name, node);
    if (node.kind === 'file') node.references++;
    if (this.#track) this.#names.record('bind', place.folder, place.name, node);
  }

  #unbind(place: Place): void {
    const node = place.folder.entries.get(place.name);
    if (node === undefined) return;
    place.folder.entries.delete(place.name);
    if (node.kind === 'file') this.release(node);
    if (this.#track) this.#names.record('unbind', place.folder, place.name, node);
  }

  #lookup(path: string): MemoryNode | undefined {
    let node: MemoryNode | undefined = this.#root;
    for (const name of splitPath(path)) node = node?.kind === 'folder' ? node.entries.get(name) : undefined;
    return node;
  }

  #folder(path: string, operation: DiskOperation): MemoryFolder {
    const node = this.#lookup(path);
    if (node === undefined) throw diskError('ENOENT', operation);
    if (node.kind === 'file') throw diskError('ENOTDIR', operation);
    return node;
  }

  /** The folder that holds, or would hold, the last name of a path; undefined for the root itself. */
  #place(path: string, operation: DiskOperation): Place | undefined {
    const names = splitPath(path);
    const name = names.pop();
    return name === undefined ? undefined : { folder: this.#folder(names.join('/'), operation), name };
  }
}

class MemoryDiskFile implements DiskFile {
  readonly path: string;
  readonly #disk: MemoryDisk;
  readonly #file: MemoryFile;
  readonly #options: OpenOptions;
  #closed: boolean = false;

  constructor(disk: MemoryDisk, path: string, file: MemoryFile, options: OpenOptions) {
    this.path = path;
    this.#disk = disk;
    this.#file = file;
    this.#options = options;
  }

  async read(position: number, bytes: number): Promise<Buffer> {
    this.#assertOpen('read', position, bytes);
    return this.#disk.readFile(this.#file, this.path, position, bytes);
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    this.#assertOpen('write', position);
    this.#assertWritable(false);
    return this.#disk.writeFile(this.#file, this.path, buffers, position);
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.#assertOpen('write');
    this.#assertWritable(true);
    return this.#disk.appendToFile(this.#file, this.path, bytes);
  }

  async sync(): Promise<void> {
    this.#assertOpen('sync');
    return this.#disk.syncFile(this.#file, this.path);
  }

  async truncate(bytes: number): Promise<void> {
    this.#assertOpen('truncate', 0, bytes);
    return this.#disk.truncateFile(this.#file, this.path, bytes);
  }

  async size(): Promise<number> {
    this.#assertOpen('size');
    return this.#disk.sizeOfFile(this.#file, this.path);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#disk.release(this.#file);
  }

  #assertWritable(appending: boolean): void {
    const { append = false, readOnly = false } = this.#options;
    const code = readOnly ? 'EBADF' : append === appending ? undefined : 'EINVAL';
    if (code !== undefined) throw diskError(code, { kind: 'write', path: this.path });
  }

  #assertOpen(kind: DiskOperation['kind'], position = 0, bytes = 0): void {
    assertFileRange(position, bytes);
    if (this.#closed) throw diskError('EBADF', { kind, path: this.path });
  }
}
