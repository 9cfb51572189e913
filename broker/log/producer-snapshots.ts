/** The stored states of a log's producers: written at rolls and clean stops, the two newest are kept. */
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

  /** Stores the state of all batches below `offset`. Not synced: a start can do without it. */
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
}
