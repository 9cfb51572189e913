/**
 * Fetch: whole batches from several partitions at once, from memory or disk, waiting for them if asked to (long poll).
 * Bounds: `bytesMax` for the answer, each partition's own, and the broker's; the first batch is whole even if it is larger,
 * or a reader could never pass it (KIP-74). Which partition comes first is the client's choice, by the order it sends.
 *
 * Per fetch and per partition in it, not per batch or record: batches are slices of what the log holds.
 */
import { type BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import type { FetchedPartition, FetchPartition, FetchRequest, PendingFetch } from './broker-service.ts';
import type { Partition } from './partition.ts';
import type { WaitingFetch, WaitingFetches } from './waiting-fetches.ts';

/** Longer waits are answered, empty, after this; a client that wants to wait on asks again. */
export const FETCH_WAIT_MS_MAX = 300_000;

export interface FetcherOptions {
  /** @throws BurrowError UNKNOWN_TOPIC_OR_PARTITION */
  readonly findPartition: (topic: string, partition: number) => Partition;
  readonly waiting: WaitingFetches;
  /** Of any answer, whatever the client asks for. */
  readonly bytesMax: number;
}

export class Fetcher {
  readonly #options: FetcherOptions;

  constructor(options: FetcherOptions) {
    this.#options = options;
  }

  fetch(request: FetchRequest): PendingFetch {
    return new Fetch(this.#options, request);
  }
}

const NO_RECORDS: readonly Buffer[] = [];

class Fetch implements PendingFetch, WaitingFetch {
  readonly done: Promise<readonly FetchedPartition[]>;
  readonly waitsFor: Partition[] = [];
  readonly #options: FetcherOptions;
  readonly #request: FetchRequest;
  readonly #bytesMax: number;
  readonly #bytesMin: number;
  /** By the index in the request: where to read, or why not. */
  readonly #sources: Array<Partition | BurrowError> = [];
  /** Of each partition waited for: what it could give when it was looked at last. */
  readonly #availableBytes: number[] = [];
  /** Their sum. */
  #allAvailableBytes = 0;
  #resolve!: (answer: Promise<FetchedPartition[]> | FetchedPartition[]) => void;

  constructor(options: FetcherOptions, request: FetchRequest) {
    this.#options = options;
    this.#request = request;
    this.#bytesMax = Math.min(request.bytesMax, options.bytesMax);
    // More than an answer can hold would never be reached.
    this.#bytesMin = Math.min(request.bytesMin, this.#bytesMax);
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    if (this.#locate() && request.waitMs > 0 && this.#allAvailableBytes < this.#bytesMin) {
      options.waiting.add(this, Math.min(request.waitMs, FETCH_WAIT_MS_MAX));
    } else {
      this.endWait();
    }
  }

  /** Finds the partitions and what they could give. False if one has an error, which the client must learn at once. */
  #locate(): boolean {
    let sound = true;
    for (const wanted of this.#request.partitions) {
      try {
        const partition = this.#options.findPartition(wanted.topic, wanted.partition);
        partition.checkLeader(wanted.currentLeaderEpoch);
        partition.checkOffset(wanted.offset);
        this.#sources.push(partition);
        this.waitsFor.push(partition);
        const bytes = this.#availableIn(partition, wanted);
        this.#availableBytes.push(bytes);
        this.#allAvailableBytes += bytes;
      } catch (error) {
        this.#sources.push(toBurrowError(error));
        sound = false;
      }
    }
    // With nothing to wait for, there is nothing to wait.
    return sound && this.waitsFor.length > 0;
  }

  #availableIn(partition: Partition, { offset, bytesMax }: FetchPartition): number {
    return Math.min(bytesMax, partition.log.bytesBetween(offset, partition.endOffset(this.#request.isolation)));
  }

  isReadyAfter(index: number): boolean {
    const partition = this.waitsFor[index]!;
    // A fetch waits only if none of its partitions had an error; so both lists have the same indexes.
    const wanted = this.#request.partitions[index]!;
    try {
      partition.checkLeader(wanted.currentLeaderEpoch);
      partition.checkOffset(wanted.offset);
    } catch {
      return true;
    }
    const bytes = this.#availableIn(partition, wanted);
    this.#allAvailableBytes += bytes - this.#availableBytes[index]!;
    this.#availableBytes[index] = bytes;
    return this.#allAvailableBytes >= this.#bytesMin;
  }

  endWait(): void {
    this.#resolve(this.#read());
  }

  cancel(): void {
    if (!this.#options.waiting.remove(this)) return;
    // Nobody will look at it: not worth a read.
    this.#resolve(
      this.#request.partitions.map((wanted, index) => {
        const source = this.#sources[index]!;
        return isPartition(source) ? answer(wanted, source, NO_RECORDS) : failed(wanted, source);
      }),
    );
  }

  async #read(): Promise<FetchedPartition[]> {
    const { partitions, isolation } = this.#request;
    const answers: FetchedPartition[] = [];
    let bytesLeft = this.#bytesMax;
    let isFirst = true;
    for (const [index, wanted] of partitions.entries()) {
      const source = this.#sources[index]!;
      if (!isPartition(source)) {
        answers.push(failed(wanted, source));
        continue;
      }
      try {
        source.checkLeader(wanted.currentLeaderEpoch);
        source.checkOffset(wanted.offset);
        let records = NO_RECORDS;
        if (isFirst || bytesLeft > 0) {
          const read = source.log.read(wanted.offset, {
            bytesMax: Math.min(wanted.bytesMax, bytesLeft),
            endOffset: source.endOffset(isolation),
            wholeFirstBatch: isFirst,
          });
          records = read instanceof Promise ? await read : read;
        }
        for (const buffer of records) bytesLeft -= buffer.length;
        if (records.length > 0) isFirst = false;
        answers.push(answer(wanted, source, records));
      } catch (error) {
        answers.push(failed(wanted, toBurrowError(error)));
      }
    }
    return answers;
  }
}

function isPartition(source: Partition | BurrowError): source is Partition {
  return !(source instanceof Error);
}

function answer(
  { topic, partition }: FetchPartition,
  { log }: Partition,
  records: readonly Buffer[],
): FetchedPartition {
  return {
    topic,
    partition,
    error: undefined,
    highWatermark: log.highWatermark,
    lastStableOffset: log.lastStableOffset,
    logStartOffset: log.logStartOffset,
    records,
  };
}

function failed({ topic, partition }: FetchPartition, error: BurrowError): FetchedPartition {
  return {
    topic,
    partition,
    error,
    highWatermark: -1,
    lastStableOffset: -1,
    logStartOffset: -1,
    records: NO_RECORDS,
  };
}
