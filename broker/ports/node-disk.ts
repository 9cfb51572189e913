/**
 * The real disk: node:fs on raw file descriptors.
 *
 * Callback functions wrapped by hand, not fs.promises: a FileHandle costs more per call, and a WriteStream would buffer
 * behind our back. Says nothing about when to sync: that is the callers' business (see the contract in `disk.ts`).
 */
import fs from 'node:fs';
import { dirname } from 'node:path';
import { assertFileRange, type Disk, type DiskFile, type DiskWatch, type OpenOptions } from './disk.ts';

/** POSIX promises at least 16 and Linux has 1024 buffers per writev. */
const WRITEV_BUFFERS_MAX = 1024;
/** Linux transfers at most 0x7ffff000 bytes per call, and Node refuses lengths over 2^31 - 1. */
const TRANSFER_BYTES_MAX = 0x7ffff000;
/** Readable by the owner and the group only: a log holds other people's data. */
const FILE_MODE = 0o640;

/** Disk on the file system of the machine. Has no state of its own. */
export class NodeDisk implements Disk {
  open(path: string, options: OpenOptions = {}): Promise<DiskFile> {
    const { create = false, truncate = false, append = false, readOnly = false } = options;
    const { O_RDONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND } = fs.constants;
    const flags =
      (readOnly ? O_RDONLY : O_RDWR) | (create ? O_CREAT : 0) | (truncate ? O_TRUNC : 0) | (append ? O_APPEND : 0);
    return new Promise((resolve, reject) => {
      fs.open(path, flags, FILE_MODE, (error, fd) => {
        if (error === null) resolve(new NodeDiskFile(path, fd, append));
        else reject(error);
      });
    });
  }

  async list(folder: string): Promise<string[]> {
    const names = await new Promise<string[]>((resolve, reject) => {
      fs.readdir(folder, (error, found) => (error === null ? resolve(found) : reject(error)));
    });
    return names.sort();
  }

  /** Not Node's `recursive`, which never ends where a folder cannot be made although its parent is there (as in /proc). */
  async makeDirectory(path: string): Promise<void> {
    let error = await makeOneDirectory(path);
    if (error?.code === 'ENOENT' && dirname(path) !== path) {
      await this.makeDirectory(dirname(path));
      error = await makeOneDirectory(path);
    }
    if (error !== undefined) throw error;
  }

  rename(from: string, to: string): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.rename(from, to, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  remove(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.unlink(path, (error) => (error === null || error.code === 'ENOENT' ? resolve() : reject(error)));
    });
  }

  removeTree(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.rm(path, { recursive: true, force: true }, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  async syncDirectory(path: string): Promise<void> {
    // Windows cannot open folders for this; NTFS journals names by itself.
    if (process.platform === 'win32') return;
    const fd = await new Promise<number>((resolve, reject) => {
      fs.open(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY, (error, opened) =>
        error === null ? resolve(opened) : reject(error),
      );
    });
    try {
      await new Promise<void>((resolve, reject) => {
        fs.fsync(fd, (error) => (error === null ? resolve() : reject(error)));
      });
    } finally {
      await closeDescriptor(fd);
    }
  }

  exists(path: string): Promise<boolean> {
    return new Promise((resolve, reject) => {
      fs.stat(path, (error) => {
        if (error === null) resolve(true);
        else if (error.code === 'ENOENT' || error.code === 'ENOTDIR') resolve(false);
        else reject(error);
      });
    });
  }

  freeBytes(path: string): Promise<number> {
    return new Promise((resolve, reject) => {
      // bavail, not bfree: the blocks reserved for root are not ours to use.
      fs.statfs(path, (error, stats) => (error === null ? resolve(stats.bavail * stats.bsize) : reject(error)));
    });
  }

  watch(path: string, onChange: () => void): DiskWatch {
    try {
      const watcher = fs.watch(path, { persistent: false }, () => onChange());
      // A watcher that fails tells nothing more, as is allowed.
      watcher.on('error', () => watcher.close());
      return watcher;
    } catch {
      // The system has no more of them (fs.inotify.max_user_watches), or the file is gone.
      return { close: () => {} };
    }
  }
}

class NodeDiskFile implements DiskFile {
  readonly path: string;
  readonly #fd: number;
  readonly #appends: boolean;
  #closing: boolean = false;
  /** Calls that still use the descriptor. */
  #inFlight = 0;
  #whenIdle: (() => void) | undefined;

  constructor(path: string, fd: number, appends: boolean) {
    this.path = path;
    this.#fd = fd;
    this.#appends = appends;
  }

  async read(position: number, bytes: number): Promise<Buffer> {
    assertFileRange(position, bytes);
    const buffer = Buffer.allocUnsafeSlow(bytes);
    const bytesRead = await this.#use(() => readFully(this.#fd, buffer, position));
    if (bytesRead === bytes) return buffer;
    // A short result must not pin a large allocation for as long as its caller keeps it.
    if (bytesRead * 2 >= bytes) return buffer.subarray(0, bytesRead);
    const exact = Buffer.allocUnsafeSlow(bytesRead);
    buffer.copy(exact, 0, 0, bytesRead);
    return exact;
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    assertFileRange(position, 0);
    // Linux would write to the end of such a file, whatever the position.
    if (this.#appends) throw appendError('write', this.path);
    await this.#use(() => writeFully(this.#fd, buffers, position));
  }

  async append(bytes: Uint8Array): Promise<void> {
    if (!this.#appends) throw appendError('append', this.path);
    await this.#use(() => appendAtOnce(this.#fd, bytes));
  }

  sync(): Promise<void> {
    return this.#use(
      () =>
        new Promise((resolve, reject) => {
          fs.fdatasync(this.#fd, (error) => (error === null ? resolve() : reject(error)));
        }),
    );
  }

  async truncate(bytes: number): Promise<void> {
    assertFileRange(0, bytes);
    await this.#use(
      () =>
        new Promise<void>((resolve, reject) => {
          fs.ftruncate(this.#fd, bytes, (error) => (error === null ? resolve() : reject(error)));
        }),
    );
  }

  size(): Promise<number> {
    return this.#use(
      () =>
        new Promise((resolve, reject) => {
          fs.fstat(this.#fd, (error, stats) => (error === null ? resolve(stats.size) : reject(error)));
        }),
    );
  }

  /** Waits for the calls in flight; later calls are refused. A second close is nothing. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    }
    await closeDescriptor(this.#fd);
  }

  /**
   * The kernel gives a closed descriptor's number to the next file that is opened, so a call on a closed file, or one
   * still in the thread pool while it is closed, could write into a stranger's file. Both are kept out here.
   */
  async #use<T>(call: () => Promise<T>): Promise<T> {
    if (this.#closing) throw closedError(this.path);
    this.#inFlight++;
    try {
      return await call();
    } finally {
      this.#inFlight--;
      if (this.#inFlight === 0) this.#whenIdle?.();
    }
  }
}

function closeDescriptor(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.close(fd, (error) => (error === null || error === undefined ? resolve() : reject(error)));
  });
}

function readFully(fd: number, buffer: Buffer, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    let done = 0;
    const step = (): void => {
      const wanted = Math.min(buffer.byteLength - done, TRANSFER_BYTES_MAX);
      if (wanted === 0) {
        resolve(done);
        return;
      }
      fs.read(fd, buffer, done, wanted, position + done, (error, bytesRead) => {
        if (error !== null) reject(error);
        else if (bytesRead === 0) resolve(done);
        else {
          done += bytesRead;
          step();
        }
      });
    };
    step();
  });
}

/** A single writev may take fewer bytes than offered (signal, quota, 2 GiB limit), so it goes on from where that one stopped. */
function writeFully(fd: number, buffers: readonly Uint8Array[], position: number): Promise<void> {
  return new Promise((resolve, reject) => {
    /** The first buffer that is not wholly written, and how much of it is. */
    let index = 0;
    let begin = 0;
    let at = position;
    const step = (): void => {
      while (index < buffers.length && buffers[index]!.byteLength === begin) {
        index++;
        begin = 0;
      }
      if (index === buffers.length) {
        resolve();
        return;
      }
      const slices: Uint8Array[] = begin === 0 ? [] : [buffers[index]!.subarray(begin)];
      const nextIndex = Math.min(buffers.length, index + WRITEV_BUFFERS_MAX);
      for (let i = index + slices.length; i < nextIndex; i++) slices.push(buffers[i]!);
      fs.writev(fd, slices, at, (error, bytesWritten) => {
        if (error !== null) {
          reject(error);
          return;
        }
        if (bytesWritten === 0) {
          reject(
            Object.assign(new Error('EIO: the disk took no bytes of a write'), { code: 'EIO', syscall: 'writev' }),
          );
          return;
        }
        at += bytesWritten;
        let left = bytesWritten;
        while (left > 0) {
          const here = buffers[index]!.byteLength - begin;
          if (left < here) {
            begin += left;
            break;
          }
          left -= here;
          index++;
          begin = 0;
        }
        step();
      });
    };
    step();
  });
}

/** What one call does not take must not follow in a second one: others' bytes may be in between. */
function appendAtOnce(fd: number, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.write(fd, bytes, 0, bytes.byteLength, null, (error, bytesWritten) => {
      if (error !== null) reject(error);
      else if (bytesWritten === bytes.byteLength) resolve();
      else {
        // Nothing but a lack of room ends a write to a file early.
        const text = `ENOSPC: only ${bytesWritten} of ${bytes.byteLength} bytes could be appended`;
        reject(Object.assign(new Error(text), { code: 'ENOSPC', syscall: 'write' }));
      }
    });
  });
}

function appendError(syscall: string, path: string): Error {
  return Object.assign(new Error(`EINVAL: ${syscall} needs another way of opening, '${path}'`), {
    code: 'EINVAL',
    syscall,
    path,
  });
}

function closedError(path: string): Error {
  return Object.assign(new Error(`EBADF: file is closed, '${path}'`), { code: 'EBADF', path });
}

/** Undefined also if it was there already. */
function makeOneDirectory(path: string): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    fs.mkdir(path, (error) => {
      if (error?.code !== 'EEXIST') resolve(error ?? undefined);
      // A file of that name is no folder; a link to one is.
      else fs.stat(path, (_, found) => resolve(found?.isDirectory() ? undefined : error));
    });
  });
}
