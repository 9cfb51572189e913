/**
 * What fetching and being pushed to have in common: looks over all partitions of a consumer, looks up start points and leaders,
 * deals with failures, and tells how the rest is to be supplied with records. Never per record.
 *
 * All progress is made by one function, `#drive`, that every event only asks for: it looks at the state of all partitions and
 * sees to what is missing.
 */
import { BurrowError, isBurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import { type Backoff, backoffDelayMs } from '../backoff.ts';
import type { ClientClock, ClientTimer } from '../clock.ts';
import { nextOffsetAfter } from './batch-scan.ts';
import type { ChunkOrigin, PartitionCursor, StartPoint } from './partition-cursor.ts';

export type Isolation = 'read_uncommitted' | 'read_committed';

/** What a broker says of a partition. */
export interface FetchAnswer {
  readonly error: BurrowError | undefined;
  readonly highWatermark: number;
  readonly logStartOffset: number;
  readonly records: Uint8Array;
}

/** What a feed needs of the cluster. Real: `cluster-transport.ts`. */
export interface FeedTransport {
  readonly clock: ClientClock;
  readonly backoff: Backoff;
  leaderOf(topic: string, partition: number): number | undefined;
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

export interface FeedOptions {
  readonly transport: FeedTransport;
  readonly isolation: Isolation;
  readonly onOutOfRange: 'earliest' | 'latest' | 'error';
  /** Something was added to a buffer. */
  onBuffered(): void;
}

/** After this many refusals in a row an unknown topic is reported to the user. */
const UNKNOWN_TOPIC_RETRIES = 3;

export abstract class CursorFeed {
  protected readonly clock: ClientClock;
  protected cursors: readonly PartitionCursor[] = [];
  protected closed: boolean = false;
  /** Where the next look over the partitions begins. */
  protected rotation = 0;
  readonly #options: FeedOptions;
  readonly #transport: FeedTransport;
  #driveRequested: boolean = false;
  #timer: ClientTimer | undefined;

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#transport = options.transport;
    this.clock = options.transport.clock;
  }

  /** Sees to it that these get records, by the node that leads them, and no others. */
  protected abstract supply(byNode: ReadonlyMap<number, readonly PartitionCursor[]>): void;

  setCursors(cursors: readonly PartitionCursor[]): void {
    this.cursors = cursors;
    this.requestDrive();
  }

  /** Something changed: room in a buffer, a seek, a pause that ended. */
  requestDrive(): void {
    if (this.#driveRequested || this.closed) return;
    this.#driveRequested = true;
    queueMicrotask(this.#drive);
  }

  close(): void {
    this.closed = true;
    this.#timer?.cancel();
  }

  readonly #drive = (): void => {
    this.#driveRequested = false;
    if (this.closed) return;
    const nowMs = this.clock.monotonic();
    this.#timer?.cancel();
    this.#timer = undefined;
    let dueMs = Number.POSITIVE_INFINITY;
    const byNode = new Map<number, PartitionCursor[]>();
    const count = this.cursors.length;
    for (let index = 0; index < count; index += 1) {
      const cursor = this.cursors[(this.rotation + index) % count]!;
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
    this.supply(byNode);
    if (dueMs !== Number.POSITIVE_INFINITY) {
      this.#timer = this.clock.schedule(dueMs - nowMs, () => this.requestDrive());
    }
  };

  /** False if what came makes no sense. */
  protected onAnswer(cursor: PartitionCursor, answer: FetchAnswer, origin?: ChunkOrigin): boolean {
    cursor.highWatermark = answer.highWatermark;
    cursor.logStartOffset = answer.logStartOffset;
    let nextOffset: number;
    try {
      nextOffset = nextOffsetAfter(answer.records, cursor.fetchOffset!);
    } catch (error) {
      this.onFailure(cursor, toBurrowError(error));
      return false;
    }
    cursor.onFetched(answer.records, nextOffset, origin);
    return true;
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
    if (this.closed || cursor.removed || cursor.generation !== generation) return;
    cursor.lookingUp = false;
    if (failure !== undefined) this.onFailure(cursor, failure);
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
    if (this.closed || cursor.removed || cursor.generation !== generation) return;
    cursor.mutedUntilMs = 0;
    if (failure === undefined && this.#transport.leaderOf(cursor.topic, cursor.partition) === undefined) {
      failure = new BurrowError(
        'LEADER_NOT_AVAILABLE',
        `Nobody leads ${cursor.topic}-${cursor.partition} at the moment.`,
      );
    }
    if (failure !== undefined) this.onFailure(cursor, failure);
    this.#options.onBuffered();
    this.requestDrive();
  }

  protected onFailure(cursor: PartitionCursor, error: BurrowError): void {
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
    const delayMs = backoffDelayMs(this.#transport.backoff, cursor.failures - 1, this.clock.random());
    cursor.mutedUntilMs = this.clock.monotonic() + delayMs;
    this.#transport.refreshMetadata(cursor.topic).catch(ignore);
  }
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
