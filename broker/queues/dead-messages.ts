/**
 * Messages of a queue that will not be delivered any more, on their way to its dead-letter exchange: in order, so many at a time. They
 * are read by offset, with a reader of their own, so that they do not disturb what is handed out.
 */
import type { MessageView } from './message-batch.ts';
import { MessageReader, type ReadableLog } from './message-reader.ts';
import type { DeadLetterReason } from './queue.ts';

export interface DeadMessagesOptions {
  readonly log: ReadableLog;
  readonly readAheadBytes: number;
  readonly inFlightMax: number;
  /** A read that had to wait for the disk is done: {@link DeadMessages.send} goes on. */
  readonly onReady: () => void;
  /** `view` is good during the call only. `onDone` tells whether the message is taken care of, maybe before this returns. */
  readonly send: (view: MessageView, reason: DeadLetterReason, onDone: (done: boolean) => void) => void;
  readonly onDone: (offset: number, bodyBytes: number, done: boolean) => void;
}

export class DeadMessages {
  readonly #options: DeadMessagesOptions;
  readonly #reader: MessageReader;
  /** Those from the head on are not sent yet. */
  #offsets: number[] = [];
  #reasons: DeadLetterReason[] = [];
  #rounds: number[] = [];
  #head = 0;
  #inFlight = 0;
  #sending = false;
  #closed = false;
  /** A round ends whenever somebody asks for the end of what was added before. */
  #round = 0;
  /** By round, ascending: messages that are not done. */
  readonly #left = new Map<number, number>();
  #waiting: Array<{ readonly round: number; readonly resolve: () => void }> = [];

  constructor(options: DeadMessagesOptions) {
    this.#options = options;
    const { log, readAheadBytes, onReady } = options;
    this.#reader = new MessageReader({ log, readAheadBytes, onReady });
  }

  add(offset: number, reason: DeadLetterReason): void {
    this.#offsets.push(offset);
    this.#reasons.push(reason);
    this.#rounds.push(this.#round);
    this.#left.set(this.#round, (this.#left.get(this.#round) ?? 0) + 1);
  }

  /** Sends what may be sent. Throws what reading throws; another call tries again. */
  send(endOffset: number): void {
    if (this.#sending) return;
    this.#sending = true;
    try {
      while (this.#head < this.#offsets.length && this.#inFlight < this.#options.inFlightMax) {
        const offset = this.#offsets[this.#head]!;
        const view = this.#reader.at(offset, endOffset);
        if (view === undefined) return;
        const round = this.#rounds[this.#head]!;
        const reason = this.#reasons[this.#head++]!;
        if (this.#head === this.#offsets.length) {
          this.#offsets = [];
          this.#reasons = [];
          this.#rounds = [];
          this.#head = 0;
        }
        this.#inFlight++;
        const { bodyBytes } = view;
        this.#options.send(view, reason, (done) => {
          this.#inFlight--;
          this.#options.onDone(offset, bodyBytes, done);
          this.#onDone(round);
        });
      }
    } finally {
      this.#sending = false;
    }
  }

  /** Resolves when all that were added before the call are done: taken care of, or given back to try again later. */
  settled(): Promise<void> {
    if (this.#left.size === 0 || this.#closed) return DONE;
    const round = this.#round++;
    return new Promise((resolve) => this.#waiting.push({ round, resolve }));
  }

  /** Nobody waits any more. */
  close(): void {
    this.#closed = true;
    for (const { resolve } of this.#waiting.splice(0)) resolve();
  }

  #onDone(round: number): void {
    const left = this.#left.get(round)! - 1;
    if (left > 0) {
      this.#left.set(round, left);
      return;
    }
    this.#left.delete(round);
    const first = this.#left.keys().next().value ?? Number.POSITIVE_INFINITY;
    while (this.#waiting.length > 0 && this.#waiting[0]!.round < first) this.#waiting.shift()!.resolve();
  }
}

const DONE = Promise.resolve();
