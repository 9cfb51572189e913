/**
 * Keeps the buffers of a consumer filled by asking: one fetch under way per node, the next one sent while the user works on what the
 * last one brought, as long as the buffers have room. Per fetch, never per record.
 *
 * A long poll that does not cover a partition that has become fetchable meanwhile is cut short.
 */
import { BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import { CursorFeed, type FeedOptions, type FeedTransport, type FetchAnswer, type Isolation } from './cursor-feed.ts';
import type { PartitionCursor } from './partition-cursor.ts';

export interface FetchTarget {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly bytesMax: number;
}

export interface FetchCall {
  /** One answer per target, in order. */
  readonly done: Promise<readonly FetchAnswer[]>;
  /** Asks the broker to answer now with what there is. */
  cancel(): void;
}

export interface FetchLimits {
  readonly waitMs: number;
  readonly bytesMin: number;
  readonly bytesMax: number;
  readonly isolation: Isolation;
}

/** What a fetcher needs of the cluster. Real: `cluster-transport.ts`. */
export interface FetchTransport extends FeedTransport {
  fetch(nodeId: number, targets: readonly FetchTarget[], limits: FetchLimits): FetchCall;
}

export interface FetcherOptions extends FeedOptions {
  readonly transport: FetchTransport;
  readonly waitMs: number;
  readonly bytesMin: number;
  readonly bytesMax: number;
  readonly partitionBytesMax: number;
  /** Nothing more is fetched while this much waits to be delivered. */
  readonly prefetchBytesMax: number;
}

interface OutstandingFetch {
  readonly call: FetchCall;
  /** What it covers: the cursor, and the generation for which it asked. */
  readonly covered: ReadonlyMap<PartitionCursor, number>;
  cancelled: boolean;
}

export class Fetcher extends CursorFeed {
  readonly #options: FetcherOptions;
  readonly #outstanding = new Map<number, OutstandingFetch>();

  constructor(options: FetcherOptions) {
    super(options);
    this.#options = options;
  }

  override close(): void {
    super.close();
    for (const outstanding of this.#outstanding.values()) outstanding.call.cancel();
    this.#outstanding.clear();
  }

  protected override supply(byNode: ReadonlyMap<number, readonly PartitionCursor[]>): void {
    let bufferedBytes = 0;
    // What a paused partition has kept must not keep the others from being fetched.
    for (const cursor of this.cursors) if (cursor.isDeliverable) bufferedBytes += cursor.bufferedBytes;
    for (const [nodeId, cursors] of byNode) this.#maybeFetch(nodeId, cursors, bufferedBytes);
  }

  #maybeFetch(nodeId: number, cursors: readonly PartitionCursor[], bufferedBytes: number): void {
    const outstanding = this.#outstanding.get(nodeId);
    if (outstanding !== undefined) {
      const coversAll = cursors.every((cursor) => outstanding.covered.get(cursor) === cursor.generation);
      if (!coversAll && !outstanding.cancelled) {
        outstanding.cancelled = true;
        outstanding.call.cancel();
      }
      return;
    }
    const { waitMs, bytesMin, isolation, partitionBytesMax, prefetchBytesMax } = this.#options;
    const bytesMax = Math.min(this.#options.bytesMax, prefetchBytesMax - bufferedBytes);
    if (bytesMax <= 0) return;
    // Brokers fill their answer in the order of the request.
    this.rotation += 1;
    const covered = new Map<PartitionCursor, number>();
    const targets: FetchTarget[] = [];
    for (const cursor of cursors) {
      const { topic, partition, generation, fetchOffset } = cursor;
      covered.set(cursor, generation);
      targets.push({ topic, partition, offset: fetchOffset!, bytesMax: partitionBytesMax });
    }
    const call = this.#options.transport.fetch(nodeId, targets, { waitMs, bytesMin, bytesMax, isolation });
    const fetch: OutstandingFetch = { call, covered, cancelled: false };
    this.#outstanding.set(nodeId, fetch);
    void this.#receive(nodeId, fetch, cursors);
  }

  async #receive(nodeId: number, fetch: OutstandingFetch, cursors: readonly PartitionCursor[]): Promise<void> {
    let answers: readonly FetchAnswer[] | undefined;
    let failure: BurrowError | undefined;
    try {
      answers = await fetch.call.done;
    } catch (error) {
      failure = toBurrowError(error);
    }
    if (this.closed) return;
    this.#outstanding.delete(nodeId);
    for (let index = 0; index < cursors.length; index += 1) {
      const cursor = cursors[index]!;
      // Somebody seeked meanwhile, or the partition is no longer assigned.
      if (cursor.removed || fetch.covered.get(cursor) !== cursor.generation) continue;
      const answer = answers?.[index];
      const error = failure ?? (answer === undefined ? missingAnswer(cursor) : answer.error);
      if (error !== undefined) this.onFailure(cursor, error);
      else this.onAnswer(cursor, answer!);
    }
    this.#options.onBuffered();
    this.requestDrive();
  }
}

function missingAnswer(cursor: PartitionCursor): BurrowError {
  return new BurrowError('INTERNAL_ERROR', `The broker's answer lacks ${cursor.topic}-${cursor.partition}.`);
}
