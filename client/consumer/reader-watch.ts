/**
 * Whether the one who reads a consumer in a group goes on reading, and when what was handed out is finished: with the next read, or
 * commit. A reader that does not come back for `maxPollIntervalMs` is stuck: its partitions go to others until it reads again.
 */
import type { ClientClock, ClientTimer } from '../clock.ts';
import { Signal } from '../groups/signal.ts';
import type { PartitionCursor } from './partition-cursor.ts';

export interface ReaderWatchOptions {
  readonly clock: ClientClock;
  readonly maxPollIntervalMs: number;
  cursors(): ReadonlyArray<PartitionCursor>;
  onStuck(): void;
  /** It was stuck, and reads again. */
  onBack(): void;
}

/** How often the interval between reads is looked at: a reader is found to be stuck at most a quarter late. */
const CHECKS_PER_INTERVAL = 4;

export class ReaderWatch {
  readonly #options: ReaderWatchOptions;
  /** The reader has come back, or is not waited for any more. */
  readonly #readerBack = new Signal();
  /** Counts what was handed out, so that a reader that goes on is not taken for stuck. */
  progress = 0;
  #reading: boolean = false;
  #stuck: boolean = false;
  #closed: boolean = false;
  #progressSeen = 0;
  #checksInVain = 0;
  #timer: ClientTimer | undefined;

  constructor(options: ReaderWatchOptions) {
    this.#options = options;
    this.#scheduleCheck();
  }

  /** The user asks for more: what was handed out before is finished. Per read. */
  onReadStarted(): void {
    this.#reading = true;
    this.finishAll();
    if (this.#stuck) {
      this.#stuck = false;
      this.#options.onBack();
    }
  }

  onReadEnded(): void {
    this.#reading = false;
    this.progress += 1;
  }

  /** The user says so. */
  finishAll(): void {
    for (const cursor of this.#options.cursors()) cursor.finishHandedOut();
    this.#readerBack.notify();
  }

  /** Resolves when what was handed out of these is finished, or the reader is stuck or gone. */
  async settle(cursors: ReadonlyArray<PartitionCursor>): Promise<void> {
    // Also while the reader waits: then it has finished everything, unless it is just about to get something.
    const isUnfinished = () => cursors.some(({ position, finished }) => position !== finished);
    while (isUnfinished() && !this.#closed && !this.#stuck) await this.#readerBack.wait();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#readerBack.notify();
  }

  #scheduleCheck(): void {
    const { clock, maxPollIntervalMs, onStuck } = this.#options;
    this.#timer = clock.schedule(Math.ceil(maxPollIntervalMs / CHECKS_PER_INTERVAL), () => {
      const isGoingOn = this.#reading || this.progress !== this.#progressSeen;
      this.#progressSeen = this.progress;
      this.#checksInVain = isGoingOn ? 0 : this.#checksInVain + 1;
      if (this.#checksInVain >= CHECKS_PER_INTERVAL && !this.#stuck) {
        this.#stuck = true;
        onStuck();
        this.#readerBack.notify();
      }
      this.#scheduleCheck();
    });
  }
}
