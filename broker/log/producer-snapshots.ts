/**
 * The stored states of a log's producers: written at rolls and clean stops, the two newest are kept. As long as the batches
 * are there they tell the same; before batches leave the log, a snapshot that knows them must be durable.
 */
import type { Disk } from '../ports/disk.ts';
import { producerSnapshotFile } from './file-names.ts';

export class ProducerSnapshots {
  readonly #disk: Disk;
  readonly #folder: string;
  /** Newest last. */
  readonly #offsets: number[];

  constructor(disk: Disk, folder: string, offsets: readonly number[]) {
    this.#disk = disk;
    this.#folder = folder;
    this.#offsets = [...offsets];
  }

  /** All batches below it are known to the newest snapshot; 0 if there is none. */
  get newestOffset(): number {
    return this.#offsets.at(-1) ?? 0;
  }

  /** Stores the state of all batches below `offset`. Not synced: as long as the batches stay, a start can do without it. */
  async write(offset: number, snapshot: Buffer): Promise<void> {
    const file = await this.#disk.open(producerSnapshotFile(this.#folder, offset), { create: true, truncate: true });
    try {
      await file.write([snapshot], 0);
    } finally {
      await file.close();
    }
    if (this.#offsets.at(-1) !== offset) this.#offsets.push(offset);
    while (this.#offsets.length > 2) {
      await this.#disk.remove(producerSnapshotFile(this.#folder, this.#offsets.shift()!));
    }
  }

  /** Makes the newest one durable. */
  async sync(): Promise<void> {
    if (this.#offsets.length === 0) return;
    const file = await this.#disk.open(producerSnapshotFile(this.#folder, this.newestOffset));
    try {
      await file.sync();
    } finally {
      await file.close();
    }
    await this.#disk.syncDirectory(this.#folder);
  }
}
