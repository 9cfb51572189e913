/**
 * Refuses writes before the disk is really full, so that consumers, retention and the coordinator go on, and takes them
 * again by itself when there is room. A disk that runs full under the log engine stops partitions until a restart; this is
 * the fence before that.
 *
 * Free space is asked for every few seconds, and earlier when so much was produced since that it could have run out.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { Clock, Timer } from '../ports/clock.ts';
import type { Disk } from '../ports/disk.ts';
import type { Logger } from '../ports/logger.ts';

const POLL_MS = 5_000;
/** While writes are refused: somebody is waiting for them. */
const POLL_FULL_MS = 1_000;
/** A produced byte is written to the journal and to a segment; one more for indexes and what else grows. */
const DISK_BYTES_PER_PRODUCED_BYTE = 3;

export interface DiskSpaceOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Writes are refused while there is less. */
  readonly freeBytesMin: number;
}

export class DiskSpace {
  readonly #options: DiskSpaceOptions;
  #full: BurrowError | undefined;
  /** Told when {@link full} has changed. */
  onChanged: ((full: BurrowError | undefined) => void) | undefined;
  /** May be produced before free space must be asked for again. */
  #allowanceBytes = 0;
  #polling = false;
  #timer: Timer | undefined;
  #closed = false;

  /** Asks once before it resolves. */
  static async open(options: DiskSpaceOptions): Promise<DiskSpace> {
    const space = new DiskSpace(options);
    await space.#poll();
    return space;
  }

  private constructor(options: DiskSpaceOptions) {
    this.#options = options;
  }

  /** Why nothing may be produced at the moment. */
  get full(): BurrowError | undefined {
    return this.#full;
  }

  /** Per produce request. */
  noteProduced(bytes: number): void {
    this.#allowanceBytes -= bytes * DISK_BYTES_PER_PRODUCED_BYTE;
    if (this.#allowanceBytes < 0 && !this.#polling) void this.#poll();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  async #poll(): Promise<void> {
    const { disk, directory, freeBytesMin, logger, clock } = this.#options;
    this.#polling = true;
    this.#timer?.cancel();
    try {
      const freeBytes = await disk.freeBytes(directory);
      this.#onFreeBytes(freeBytes, freeBytesMin);
    } catch (error) {
      // Not knowing is no reason to refuse; the next poll tries again.
      this.#allowanceBytes = Number.MAX_SAFE_INTEGER;
      logger.warn({ directory, error: String(error) }, 'free disk space cannot be determined');
    }
    this.#polling = false;
    if (this.#closed) return;
    this.#timer = clock.schedule(this.#full === undefined ? POLL_MS : POLL_FULL_MS, () => void this.#poll());
  }

  #onFreeBytes(freeBytes: number, freeBytesMin: number): void {
    const { logger, directory } = this.#options;
    // Half of what is above the limit, so that the next answer comes before the limit is reached.
    this.#allowanceBytes = Math.max(0, freeBytes - freeBytesMin) / 2;
    const isFull = freeBytes < freeBytesMin;
    if (isFull === (this.#full !== undefined)) return;
    if (!isFull) {
      this.#full = undefined;
      this.onChanged?.(undefined);
      logger.info({ directory, freeBytes, freeBytesMin }, 'the disk has room again; writes are taken');
      return;
    }
    this.#full = new BurrowError(
      'STORAGE_FULL',
      `The disk of ${directory} has only ${freeBytes} bytes free; writes are refused below ${freeBytesMin} (disk-free-bytes-min). Free space or shorten retention.`,
      { fields: { freeBytes, freeBytesMin } },
    );
    logger.error({ directory, freeBytes, freeBytesMin }, 'the disk is nearly full; writes are refused');
    this.onChanged?.(this.#full);
  }
}
