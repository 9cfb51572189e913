/**
 * The messages of one queue, on their way into its log: gathers what is published and writes it as one batch whenever the batch
 * before is stored, so that batches grow with the load and waiting costs nothing (natural batching). Each message has its
 * offset at once.
 */
import { type BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import type { Clock } from '../ports/clock.ts';
import type { BatchLog } from './batch-log.ts';
import { MessageBatchBuilder, type PublishedMessage } from './message-batch.ts';

/** Who published, to be told of a run of its messages, numbered as it likes. */
export interface StoredTarget {
  /** They are stored: never told twice, in order within one log. */
  onStored(first: number, last: number): void;
  /** They are not, or it is not known. */
  onNotStored(first: number, last: number, error: BurrowError): void;
}

/** Runs of messages of one publisher in a batch. */
interface Runs {
  readonly targets: StoredTarget[];
  readonly firsts: number[];
  readonly lasts: number[];
}

export interface MessageLogEvents {
  /** The last so many messages that were added have no place in the log. */
  onRefused(count: number): void;
  /** The first so many messages that are not visible yet never will be in this life of the log; they may be stored. */
  onFailed(count: number): void;
}

export class MessageLog {
  readonly #log: BatchLog;
  readonly #clock: Clock;
  readonly #batchBytes: number;
  readonly #events: MessageLogEvents;
  readonly #builder = new MessageBatchBuilder();
  #runs: Runs = noRuns();
  #nextOffset: number;
  #inFlight = 0;
  #scheduled = false;
  #settled: Promise<void> = Promise.resolve();

  /** @param batchBytes - a batch is closed when it is this large */
  constructor(log: BatchLog, clock: Clock, batchBytes: number, events: MessageLogEvents) {
    this.#log = log;
    this.#clock = clock;
    this.#batchBytes = batchBytes;
    this.#events = events;
    this.#nextOffset = log.logEndOffset;
  }

  /** The offset that the next message gets. */
  get nextOffset(): number {
    return this.#nextOffset;
  }

  /**
   * Takes a message and returns its offset. `target` is told by the publisher's `number` what became of it. Per message.
   * @param timestampMs - of its record; default: now
   */
  add(
    message: PublishedMessage,
    target: StoredTarget | undefined,
    number: number,
    timestampMs: number = this.#clock.now(),
  ): number {
    const offset = this.#nextOffset++;
    this.#builder.append(timestampMs, message);
    if (target !== undefined) this.#note(target, number);
    if (this.#builder.byteCount >= this.#batchBytes) this.#flush();
    else if (this.#inFlight === 0 && !this.#scheduled) {
      this.#scheduled = true;
      // A microtask later, so that one batch takes all that the current turn publishes.
      void Promise.resolve().then(() => {
        this.#scheduled = false;
        this.#flush();
      });
    }
    return offset;
  }

  /** Resolves when the outcome of everything that was added before the call is known. */
  async settled(): Promise<void> {
    this.#flush();
    await this.#settled;
  }

  #note(target: StoredTarget, number: number): void {
    const { targets, firsts, lasts } = this.#runs;
    const index = targets.length - 1;
    if (index >= 0 && targets[index] === target && lasts[index] === number - 1) lasts[index] = number;
    else {
      targets.push(target);
      firsts.push(number);
      lasts.push(number);
    }
  }

  /** The log has moved on: what has gathered since goes into its next round. */
  onAdvance(): void {
    if (this.#builder.count > 0 && this.#log.highWatermark === this.#log.logEndOffset) this.#flush();
  }

  #flush(): void {
    const { count } = this.#builder;
    if (count === 0) return;
    const runs = this.#runs;
    this.#runs = noRuns();
    const batch = this.#builder.finish();
    let stored: Promise<void> | undefined;
    try {
      stored = this.#log.append(batch);
    } catch (error) {
      this.#nextOffset = this.#log.logEndOffset;
      this.#events.onRefused(count);
      tellNotStored(runs, toBurrowError(error));
      return;
    }
    if (stored === undefined) {
      tellStored(runs);
      return;
    }
    this.#inFlight++;
    this.#settled = stored.then(
      () => {
        this.#inFlight--;
        if (this.#inFlight === 0) this.#flush();
        tellStored(runs);
      },
      (error: unknown) => {
        this.#inFlight--;
        this.#events.onFailed(count);
        tellNotStored(runs, toBurrowError(error));
        if (this.#inFlight === 0) this.#flush();
      },
    );
  }
}

function noRuns(): Runs {
  return { targets: [], firsts: [], lasts: [] };
}

function tellStored({ targets, firsts, lasts }: Runs): void {
  for (let index = 0; index < targets.length; index++) targets[index]!.onStored(firsts[index]!, lasts[index]!);
}

function tellNotStored({ targets, firsts, lasts }: Runs, error: BurrowError): void {
  for (let index = 0; index < targets.length; index++) {
    targets[index]!.onNotStored(firsts[index]!, lasts[index]!, error);
  }
}
