/**
 * Keeps the buffers of a consumer filled: one fetch under way per node, the next one sent while the user works on what the last
 * one brought, as long as the buffers have room. Looks up start points. Per fetch, never per record.
 *
 * All progress is made by one function, `#drive`, that every event only asks for: it looks at the state of all partitions and
 * sends what is missing. A long poll that does not cover a partition that has become fetchable meanwhile is cut short.
 */
import { BurrowError, isBurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import { type Backoff, backoffDelayMs } from '../backoff.ts';
import type { ClientClock, ClientTimer } from '../clock.ts';
import { nextOffsetAfter } from './batch-scan.ts';
import type { PartitionCursor, StartPoint } from './partition-cursor.ts';

export interface FetchTarget {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly bytesMax: number;
}

export interface FetchAnswer {
  readonly error: BurrowError | undefined;
  readonly highWatermark: number;
  readonly logStartOffset: number;
  readonly records: Uint8Array;
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

export type Isolation = 'read_uncommitted' | 'read_committed';

/** What a fetcher needs of the cluster. Real: `cluster-transport.ts`. */
export interface FetchTransport {
  readonly clock: ClientClock;
  readonly backoff: Backoff;
  leaderOf(topic: string, partition: number): number | undefined;
  fetch(nodeId: number, targets: readonly FetchTarget[], limits: FetchLimits): FetchCall;
  /** The offset of a start point; rejects with the broker's error. */
  listOffset(
    nodeId: number,
    topic: string,
    partition: number,
    startPoint: StartPoint,
    isolation: Isolation,
  ): Promise<number>;
  /** Rejects if the brokers say that the topic does not exist, or if none can be asked. */
  refreshMetadata(topic: string): Promise<void>;
}

export interface FetcherOptions {
  readonly transport: FetchTransport;
  readonly waitMs: number;
  readonly bytesMin: number;
  readonly bytesMax: number;
  readonly partitionBytesMax: number;
  /** Nothing more is fetched while this much waits to be delivered. */
  readonly prefetchBytesMax: number;
  readonly isolation: Isolation;
  readonly onOutOfRange: 'earliest' | 'latest' | 'error';
  /** Something was added to a buffer. */
  onBuffered(): void;
}

interface OutstandingFetch {
  readonly call: FetchCall;
  /** What it covers: the cursor, and the generation for which it asked. */
  readonly covered: ReadonlyMap<PartitionCursor, number>;
  cancelled: boolean;
}

/** After this many refusals in a row an unknown topic is reported to the user. */
const UNKNOWN_TOPIC_RETRIES = 3;

export class Fetcher {
  readonly #options: FetcherOptions;
  readonly #transport: FetchTransport;
  readonly #clock: ClientClock;
  #cursors: readonly PartitionCursor[] = [];
  readonly #outstanding = new Map<number, OutstandingFetch>();
  /** Where the next fetch begins to list partitions: brokers fill their answer in that order. */
  #rotation = 0;
  #driveRequested: boolean = false;
  #closed: boolean = false;
  #timer: ClientTimer | undefined;

  constructor(options: FetcherOptions) {
    this.#options = options;
    this.#transport = options.transport;
    this.#clock = options.transport.clock;
  }

  setCursors(cursors: readonly PartitionCursor[]): void {
    this.#cursors = cursors;
    this.requestDrive();
  }

  /** Something changed: room in a buffer, a seek, a pause that ended. */
  requestDrive(): void {
    if (this.#driveRequested || this.#closed) return;
    this.#driveRequested = true;
    queueMicrotask(this.#drive);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    for (const outstanding of this.#outstanding.values()) outstanding.call.cancel();
    this.#outstanding.clear();
  }

  readonly #drive = (): void => {
    this.#driveRequested = false;
    if (this.#closed) return;
    const nowMs = this.#clock.monotonic();
    this.#timer?.cancel();
    this.#timer = undefined;
    let bufferedBytes = 0;
    let dueMs = Number.POSITIVE_INFINITY;
    const byNode = new Map<number, PartitionCursor[]>();
    const count = this.#cursors.length;
    for (let index = 0; index < count; index += 1) {
      const cursor = this.#cursors[(this.#rotation + index) % count]!;
      // What a paused partition has kept must not keep the others from being fetched.
      if (cursor.isDeliverable) bufferedBytes += cursor.bufferedBytes;
      if (cursor.mutedUntilMs > nowMs) {
        dueMs = Math.min(dueMs, cursor.mutedUntilMs);
        continue;
      }
      const wantsLookUp = cursor.startPoint !== undefined && !cursor.lookingUp && !cursor.removed;
      if (!wantsLookUp && !cursor.isFetchable(nowMs)) continue;
      const nodeId = this.#transport.leaderOf(cursor.topic, cursor.partition);
      if (nodeId === undefined) {
        void this.#findLeader(cursor);
      } else if (wantsLookUp) {
        void this.#lookUp(cursor, nodeId);
      } else {
        const cursors = byNode.get(nodeId);
        if (cursors === undefined) byNode.set(nodeId, [cursor]);
        else cursors.push(cursor);
      }
    }
    for (const [nodeId, cursors] of byNode) this.#maybeFetch(nodeId, cursors, bufferedBytes);
    if (dueMs !== Number.POSITIVE_INFINITY) {
      this.#timer = this.#clock.schedule(dueMs - nowMs, () => this.requestDrive());
    }
  };

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
    this.#rotation += 1;
    const covered = new Map<PartitionCursor, number>();
    const targets: FetchTarget[] = [];
    for (const cursor of cursors) {
      const { topic, partition, generation, fetchOffset } = cursor;
      covered.set(cursor, generation);
      targets.push({ topic, partition, offset: fetchOffset!, bytesMax: partitionBytesMax });
    }
    const call = this.#transport.fetch(nodeId, targets, { waitMs, bytesMin, bytesMax, isolation });
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
    if (this.#closed) return;
    this.#outstanding.delete(nodeId);
    for (let index = 0; index < cursors.length; index += 1) {
      const cursor = cursors[index]!;
      // Somebody seeked meanwhile, or the partition is no longer assigned.
      if (cursor.removed || fetch.covered.get(cursor) !== cursor.generation) continue;
      const answer = answers?.[index];
      const error = failure ?? (answer === undefined ? missingAnswer(cursor) : answer.error);
      if (error !== undefined) this.#onFailure(cursor, error);
      else this.#onAnswer(cursor, answer!);
    }
    this.#options.onBuffered();
    this.requestDrive();
  }

  #onAnswer(cursor: PartitionCursor, answer: FetchAnswer): void {
    cursor.highWatermark = answer.highWatermark;
    cursor.logStartOffset = answer.logStartOffset;
    let nextOffset: number;
    try {
      nextOffset = nextOffsetAfter(answer.records, cursor.fetchOffset!);
    } catch (error) {
      this.#onFailure(cursor, toBurrowError(error));
      return;
    }
    cursor.onFetched(answer.records, nextOffset);
  }

  async #lookUp(cursor: PartitionCursor, nodeId: number): Promise<void> {
    const { generation, startPoint } = cursor;
    cursor.lookingUp = true;
    let offset: number | undefined;
    let failure: BurrowError | undefined;
    try {
      const { topic, partition } = cursor;
      offset = await this.#transport.listOffset(nodeId, topic, partition, startPoint!, this.#options.isolation);
    } catch (error) {
      failure = toBurrowError(error);
    }
    if (this.#closed || cursor.removed || cursor.generation !== generation) return;
    cursor.lookingUp = false;
    if (failure !== undefined) this.#onFailure(cursor, failure);
    else cursor.onStartPointFound(offset!);
    // Those who wait for a position look again.
    this.#options.onBuffered();
    this.requestDrive();
  }

  async #findLeader(cursor: PartitionCursor): Promise<void> {
    const { generation } = cursor;
    // Silent until the answer, or drive() would ask again and again.
    cursor.mutedUntilMs = Number.POSITIVE_INFINITY;
    let failure: BurrowError | undefined;
    try {
      await this.#transport.refreshMetadata(cursor.topic);
    } catch (error) {
      failure = toBurrowError(error);
    }
    if (this.#closed || cursor.removed || cursor.generation !== generation) return;
    cursor.mutedUntilMs = 0;
    if (failure === undefined && this.#transport.leaderOf(cursor.topic, cursor.partition) === undefined) {
      failure = new BurrowError(
        'LEADER_NOT_AVAILABLE',
        `Nobody leads ${cursor.topic}-${cursor.partition} at the moment.`,
      );
    }
    if (failure !== undefined) this.#onFailure(cursor, failure);
    this.#options.onBuffered();
    this.requestDrive();
  }

  #onFailure(cursor: PartitionCursor, error: BurrowError): void {
    if (isBurrowError(error, 'OFFSET_OUT_OF_RANGE') && this.#options.onOutOfRange !== 'error') {
      cursor.resetTo(this.#options.onOutOfRange);
      return;
    }
    cursor.failures += 1;
    const isHopeless = error.code === 'UNKNOWN_TOPIC_OR_PARTITION' && cursor.failures > UNKNOWN_TOPIC_RETRIES;
    if (!error.retriable || isHopeless) {
      cursor.failures = 0;
      cursor.onError(withPlace(error, cursor));
      return;
    }
    const delayMs = backoffDelayMs(this.#transport.backoff, cursor.failures - 1, this.#clock.random());
    cursor.mutedUntilMs = this.#clock.monotonic() + delayMs;
    this.#transport.refreshMetadata(cursor.topic).catch(ignore);
  }
}

function missingAnswer(cursor: PartitionCursor): BurrowError {
  return new BurrowError('INTERNAL_ERROR', `The broker's answer lacks ${cursor.topic}-${cursor.partition}.`);
}

function withPlace(error: BurrowError, cursor: PartitionCursor): BurrowError {
  const { topic, partition } = cursor;
  const offset = cursor.fetchOffset ?? -1;
  return new BurrowError(error.code, `${topic}-${partition} at offset ${offset}: ${error.message}`, {
    cause: error,
    fields: { ...error.fields, topic, partition, offset },
  });
}

function ignore(): void {}
