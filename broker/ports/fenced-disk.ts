/** A disk whose changes can be stopped for good, for a broker that has lost its data folder to another. Reads go on. */
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import type { Disk, DiskFile, DiskWatch, OpenOptions } from './disk.ts';

export class FencedDisk implements Disk {
  readonly #disk: Disk;
  #refusal: BurrowError | undefined;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** From here on every change is refused with `refusal`. */
  fence(refusal: BurrowError): void {
    this.#refusal ??= refusal;
  }

  /** The change, unless it is refused. */
  async change<T>(make: () => Promise<T>): Promise<T> {
    if (this.#refusal !== undefined) throw this.#refusal;
    return make();
  }

  async open(path: string, options: OpenOptions = {}): Promise<DiskFile> {
    const open = (): Promise<DiskFile> => this.#disk.open(path, options);
    const file = await (options.create === true || options.truncate === true ? this.change(open) : open());
    return new FencedFile(this, file);
  }

  list(folder: string): Promise<string[]> {
    return this.#disk.list(folder);
  }

  makeDirectory(path: string): Promise<void> {
    return this.change(() => this.#disk.makeDirectory(path));
  }

  rename(from: string, to: string): Promise<void> {
    return this.change(() => this.#disk.rename(from, to));
  }

  remove(path: string): Promise<void> {
    return this.change(() => this.#disk.remove(path));
  }

  removeTree(path: string): Promise<void> {
    return this.change(() => this.#disk.removeTree(path));
  }

  syncDirectory(path: string): Promise<void> {
    return this.change(() => this.#disk.syncDirectory(path));
  }

  exists(path: string): Promise<boolean> {
    return this.#disk.exists(path);
  }

  freeBytes(path: string): Promise<number> {
    return this.#disk.freeBytes(path);
  }

  watch(path: string, onChange: () => void): DiskWatch {
    return this.#disk.watch(path, onChange);
  }
}

class FencedFile implements DiskFile {
  readonly #disk: FencedDisk;
  readonly #file: DiskFile;

  constructor(disk: FencedDisk, file: DiskFile) {
    this.#disk = disk;
    this.#file = file;
  }

  get path(): string {
    return this.#file.path;
  }

  read(position: number, bytes: number): Promise<Buffer> {
    return this.#file.read(position, bytes);
  }

  write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    return this.#disk.change(() => this.#file.write(buffers, position));
  }

  append(bytes: Uint8Array): Promise<void> {
    return this.#disk.change(() => this.#file.append(bytes));
  }

  /** Refused too: what was written before must not be promised any more. */
  sync(): Promise<void> {
    return this.#disk.change(() => this.#file.sync());
  }

  truncate(bytes: number): Promise<void> {
    return this.#disk.change(() => this.#file.truncate(bytes));
  }

  size(): Promise<number> {
    return this.#file.size();
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
