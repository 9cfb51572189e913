/**
 * The consumer by assignment: hands out what the fetcher has buffered, partition by partition in turn. The fetcher asks for the
 * next records while the user works on the last ones.
 *
 * One reader at a time: `poll`, `batches()` and `for await` take from the same buffers.
 */
import { BurrowError, isBurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import type { TopicMetadata } from '../metadata.ts';
import { checkNonNegativeInteger, checkTopicName, integerOption } from '../options.ts';
import type { Deserializer } from '../serializers.ts';
import { isCompressed, type OpenedBatch, openBatch } from './batch-opener.ts';
import {
  type Assignment,
  type ConsumerOptions,
  checkFrom,
  type From,
  type ResolvedConsumerOptions,
  resolveConsumerOptions,
} from './consumer-options.ts';
import type { ConsumerBatch, ConsumerRecord } from './consumer-record.ts';
import { Fetcher, type FetchTransport } from './fetcher.ts';
import { type FetchedChunk, PartitionCursor } from './partition-cursor.ts';

/** What a consumer needs of the client that it belongs to. */
export interface ConsumerHost extends FetchTransport {
  topic(name: string, timeoutMs: number): Promise<TopicMetadata>;
  readonly requestTimeoutMs: number;
}

export interface PollOptions {
  /** Default: the consumer's `maxRecords`. */
  maxRecords?: number;
  /** How long to wait for the first record, in milliseconds. Default 1000. */
  timeoutMs?: number;
}

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

const POLL_TIMEOUT_MS = 1000;

export class Consumer<K = Uint8Array, V = Uint8Array> implements AsyncIterable<ConsumerRecord<K, V>> {
  readonly #host: ConsumerHost;
  readonly #options: ResolvedConsumerOptions;
  readonly #keyDeserializer: Deserializer<K> | undefined;
  readonly #valueDeserializer: Deserializer<V> | undefined;
  readonly #fetcher: Fetcher;
  readonly #onClosed: () => void;
  #cursors: Array<PartitionCursor<K, V>> = [];
  /** The cursor to serve first: moves on with every delivery, so that no partition starves. */
  #turn = 0;
  /** Set while an assign() looks up topics: others and poll wait for it. Never rejects. */
  #assigning: Promise<void> | undefined;
  /** Why the assignment given to the constructor failed; for the next poll. */
  #assignError: BurrowError | undefined;
  #closed: boolean = false;
  #reading: boolean = false;
  /** Wakes the reader that waits for records. */
  #wake: (() => void) | undefined;
  #positionWaiters: Array<() => void> = [];

  /** Use `client.consumer()`. */
  constructor(host: ConsumerHost, options: ConsumerOptions<K, V>, onClosed: () => void) {
    this.#host = host;
    this.#options = resolveConsumerOptions(options);
    this.#keyDeserializer = options.keyDeserializer;
    this.#valueDeserializer = options.valueDeserializer;
    this.#onClosed = onClosed;
    this.#fetcher = new Fetcher({
      ...this.#options,
      transport: host,
      onBuffered: () => this.#onBuffered(),
    });
    if (options.assignment !== undefined) {
      this.assign(options.assignment).catch((error) => {
        this.#assignError = toBurrowError(error);
        this.#onBuffered();
      });
    }
  }

  /** The partitions that are consumed now. */
  get assignment(): readonly TopicPartition[] {
    return this.#cursors.map(({ topic, partition }) => ({ topic, partition }));
  }

  /**
   * Consumes these partitions from now on, and no others. Those that were assigned before keep their position, unless their
   * assignment says where to begin. Rejects with UNKNOWN_TOPIC_OR_PARTITION if a topic does not exist.
   */
  async assign(assignment: readonly Assignment[]): Promise<void> {
    this.#checkOpen();
    for (const { topic, partition, from } of assignment) {
      checkTopicName(topic);
      if (partition !== undefined) checkNonNegativeInteger('partition', partition);
      if (from !== undefined) checkFrom(from);
    }
    if (this.#assigning === undefined && assignment.every(isExact)) {
      this.#apply(assignment);
      return;
    }
    const assigning = (this.#assigning ?? Promise.resolve()).then(() => this.#assign(assignment));
    // Later calls and polls wait for this one, but its failure is this caller's to handle.
    const settled: Promise<void> = assigning.then(ignore, ignore).then(() => {
      if (this.#assigning === settled) this.#assigning = undefined;
    });
    this.#assigning = settled;
    await assigning;
  }

  /**
   * Up to `maxRecords` records, in the order of their offsets within each partition. Waits up to `timeoutMs` for the first
   * one and returns an empty array if none came: also while the broker cannot be reached, since the consumer
   * keeps trying by itself.
   *
   * Rejects with OFFSET_OUT_OF_RANGE (see `onOutOfRange`), CORRUPT_BATCH, DECOMPRESSION_LIMIT, UNKNOWN_TOPIC_OR_PARTITION or
   * what else no retry can mend, with topic, partition and offset in its fields; the next poll tries again from there,
   * so `seek` to get past it.
   */
  async poll(options: PollOptions = {}): Promise<ConsumerRecord<K, V>[]> {
    const maxRecords = integerOption('maxRecords', options.maxRecords, {
      fallback: this.#options.maxRecords,
      min: 1,
    });
    const timeoutMs = integerOption('timeoutMs', options.timeoutMs, { fallback: POLL_TIMEOUT_MS, min: 0 });
    return this.#exclusively(async () => {
      const records: ConsumerRecord<K, V>[] = [];
      const giveUpAtMs = this.#host.clock.monotonic() + timeoutMs;
      for (;;) {
        const cursor = await this.#nextCursor(giveUpAtMs, records.length > 0);
        if (cursor === undefined) return records;
        // Somebody may have seeked since it was chosen.
        if (cursor.opened === undefined) continue;
        this.#take(cursor, maxRecords - records.length, records);
        if (records.length >= maxRecords) return records;
      }
    });
  }

  /** Batch by batch: the fastest way to read. Ends when the consumer is closed. Throws as {@link Consumer.poll} rejects. */
  async *batches(): AsyncGenerator<ConsumerBatch<K, V>, void, undefined> {
    this.#checkOpen();
    while (!this.#closed) {
      const batch = await this.#exclusively(() => this.#nextBatch());
      if (batch === undefined) return;
      yield batch;
    }
  }

  /** Record by record. Ends when the consumer is closed. Throws as {@link Consumer.poll} rejects. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ConsumerRecord<K, V>, void, undefined> {
    this.#checkOpen();
    while (!this.#closed) {
      const cursor = await this.#exclusively(() => this.#nextCursor(Number.POSITIVE_INFINITY, false));
      if (cursor === undefined) return;
      const { opened } = cursor;
      if (opened === undefined) continue;
      // Asked before each record, since the user may seek, pause or close between two of them.
      while (cursor.opened === opened && !cursor.paused && !cursor.removed && opened.index < opened.records.length) {
        const record = opened.records[opened.index]!;
        opened.index += 1;
        cursor.position = record.offset + 1;
        yield record;
      }
      if (cursor.opened === opened && opened.index >= opened.records.length) this.#finish(cursor);
    }
  }

  /** Goes to an offset: the next record of this partition is the first at or behind it. */
  seek(topic: string, partition: number, offset: number): void {
    checkNonNegativeInteger('offset', offset);
    this.#reposition(this.#cursorOf(topic, partition), { offset });
  }

  /** Goes to the first record that the log has. Without a partition: in all that are assigned. */
  seekToBeginning(topic?: string, partition?: number): void {
    for (const cursor of this.#select(topic, partition)) this.#reposition(cursor, 'earliest');
  }

  /** Goes behind the last record. Without a partition: in all that are assigned. */
  seekToEnd(topic?: string, partition?: number): void {
    for (const cursor of this.#select(topic, partition)) this.#reposition(cursor, 'latest');
  }

  /** Goes to the first record with this timestamp or a later one; behind the last record if there is none. */
  seekToTimestamp(topic: string, partition: number, timestampMs: number): void {
    checkNonNegativeInteger('timestampMs', timestampMs);
    this.#reposition(this.#cursorOf(topic, partition), { timestampMs });
  }

  /** Delivers nothing of these partitions until {@link Consumer.resume}; what is buffered stays. */
  pause(topic?: string, partition?: number): void {
    for (const cursor of this.#select(topic, partition)) cursor.paused = true;
  }

  resume(topic?: string, partition?: number): void {
    for (const cursor of this.#select(topic, partition)) cursor.paused = false;
    this.#fetcher.requestDrive();
    this.#onBuffered();
  }

  /**
   * Offset of the next record to be delivered. Waits for it to be looked up, for at most `timeoutMs` (default: the
   * client's requestTimeoutMs), then rejects with REQUEST_TIMED_OUT.
   */
  async position(topic: string, partition: number, options: { timeoutMs?: number } = {}): Promise<number> {
    const timeoutMs = integerOption('timeoutMs', options.timeoutMs, { fallback: this.#host.requestTimeoutMs, min: 0 });
    await this.#assigning;
    const giveUpAtMs = this.#host.clock.monotonic() + timeoutMs;
    for (;;) {
      this.#checkOpen();
      const cursor = this.#cursorOf(topic, partition);
      if (cursor.position !== undefined) return cursor.position;
      const first = cursor.buffered[0];
      if (isBurrowError(first)) throw first;
      const leftMs = giveUpAtMs - this.#host.clock.monotonic();
      if (leftMs <= 0) {
        throw new BurrowError(
          'REQUEST_TIMED_OUT',
          `The position in ${topic}-${partition} could not be looked up within ${timeoutMs} ms.`,
        );
      }
      await this.#waitFor(leftMs, (wake) => this.#positionWaiters.push(wake));
    }
  }

  /** Records behind the position, as far as the last fetch told; undefined until then. */
  lag(topic: string, partition: number): number | undefined {
    const { position, highWatermark } = this.#cursorOf(topic, partition);
    return position === undefined || highWatermark < 0 ? undefined : Math.max(0, highWatermark - position);
  }

  /** Stops fetching. A poll under way returns what it has; iterations end. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#fetcher.close();
    for (const cursor of this.#cursors) cursor.removed = true;
    this.#onBuffered();
    this.#onClosed();
  }

  async #assign(assignment: readonly Assignment[]): Promise<void> {
    const exact: ExactAssignment[] = [];
    for (const each of assignment) {
      if (isExact(each)) {
        exact.push(each);
      } else {
        const { partitions } = await this.#host.topic(each.topic, this.#host.requestTimeoutMs);
        for (const { partition } of partitions) exact.push({ ...each, partition });
      }
    }
    this.#checkOpen();
    this.#apply(exact);
  }

  #apply(assignment: readonly ExactAssignment[]): void {
    const before = new Map(this.#cursors.map((cursor) => [cursorKey(cursor), cursor]));
    const after = new Map<string, PartitionCursor<K, V>>();
    for (const { topic, partition, from } of assignment) {
      const key = cursorKey({ topic, partition });
      const known = before.get(key) ?? after.get(key);
      const cursor = known ?? new PartitionCursor<K, V>(this.#sourceOf(topic, partition));
      after.set(key, cursor);
      if (known === undefined || from !== undefined) this.#reposition(cursor, from ?? this.#options.from);
    }
    for (const [key, cursor] of before) if (!after.has(key)) cursor.removed = true;
    this.#cursors = [...after.values()];
    this.#fetcher.setCursors(this.#cursors);
    this.#onBuffered();
  }

  #sourceOf(topic: string, partition: number) {
    return { topic, partition, keySerializer: this.#keyDeserializer, valueSerializer: this.#valueDeserializer };
  }

  #reposition(cursor: PartitionCursor<K, V>, to: From): void {
    if (typeof to === 'object' && 'offset' in to) cursor.seek(to.offset);
    else cursor.seekToStartPoint(to);
    this.#fetcher.requestDrive();
  }

  /** A partition that has records to deliver; undefined if none had within the time, or if the consumer was closed. */
  async #nextCursor(giveUpAtMs: number, haveSome: boolean): Promise<PartitionCursor<K, V> | undefined> {
    await this.#assigning;
    for (;;) {
      if (this.#closed) return undefined;
      if (this.#assignError !== undefined) {
        const error = this.#assignError;
        this.#assignError = undefined;
        throw error;
      }
      const count = this.#cursors.length;
      for (let index = 0; index < count; index += 1) {
        const place = (this.#turn + index) % count;
        const cursor = this.#cursors[place]!;
        if (cursor.paused) continue;
        const error = this.#prepare(cursor);
        if (error !== undefined) {
          // What was taken before the error is delivered first; the error comes with the next call.
          if (haveSome) return undefined;
          cursor.removeFirst();
          this.#fetcher.requestDrive();
          throw error;
        }
        if (cursor.opened !== undefined) {
          this.#turn = place + 1;
          return cursor;
        }
      }
      if (haveSome) return undefined;
      const leftMs = giveUpAtMs - this.#host.clock.monotonic();
      if (leftMs <= 0) return undefined;
      await this.#waitFor(leftMs, (wake) => {
        this.#wake = wake;
      });
    }
  }

  async #nextBatch(): Promise<ConsumerBatch<K, V> | undefined> {
    for (;;) {
      const cursor = await this.#nextCursor(Number.POSITIVE_INFINITY, false);
      if (cursor === undefined) return undefined;
      const { topic, partition, highWatermark, opened } = cursor;
      // Somebody may have seeked since it was chosen.
      if (opened === undefined) continue;
      this.#finish(cursor);
      const records = opened.index === 0 ? opened.records : opened.records.slice(opened.index);
      return { topic, partition, records, nextOffset: opened.nextOffset, highWatermark };
    }
  }

  /** Moves up to `count` records over. Per record. */
  #take(cursor: PartitionCursor<K, V>, count: number, into: ConsumerRecord<K, V>[]): void {
    const opened = cursor.opened!;
    const end = Math.min(opened.records.length, opened.index + count);
    for (let index = opened.index; index < end; index += 1) into.push(opened.records[index]!);
    opened.index = end;
    if (end === opened.records.length) this.#finish(cursor);
    else cursor.position = opened.records[end - 1]!.offset + 1;
  }

  #finish(cursor: PartitionCursor<K, V>): void {
    cursor.finishOpened(cursor.opened!);
    // What must be decompressed is, while the user works on this batch.
    const next = cursor.buffered[0];
    if (next !== undefined && !isBurrowError(next) && isCompressed(next)) this.#prepare(cursor);
    this.#fetcher.requestDrive();
  }

  /** Opens the partition's next batch that has records. Returns the error that stands in their place. */
  #prepare(cursor: PartitionCursor<K, V>): BurrowError | undefined {
    while (cursor.opened === undefined) {
      const first = cursor.buffered[0];
      if (first === undefined || cursor.opening !== undefined) return undefined;
      if (isBurrowError(first)) return first;
      try {
        const opened = openBatch(first as FetchedChunk, cursor.source, this.#options);
        if (opened instanceof Promise) {
          this.#awaitOpening(cursor, opened);
          return undefined;
        }
        cursor.opened = opened;
      } catch (error) {
        return this.#failOpening(cursor, error);
      }
      this.#skipIfEmpty(cursor);
    }
    return undefined;
  }

  #awaitOpening(cursor: PartitionCursor<K, V>, opened: Promise<OpenedBatch<K, V>>): void {
    const { generation } = cursor;
    const settle = (use: () => void) => {
      // A seek made it meaningless.
      if (cursor.generation !== generation || cursor.removed) return;
      cursor.opening = undefined;
      use();
      this.#onBuffered();
    };
    cursor.opening = opened.then(
      (batch) =>
        settle(() => {
          cursor.opened = batch;
          this.#skipIfEmpty(cursor);
        }),
      (error) => settle(() => void this.#failOpening(cursor, error)),
    );
  }

  #skipIfEmpty(cursor: PartitionCursor<K, V>): void {
    if (cursor.opened !== undefined && cursor.opened.records.length === 0) {
      cursor.finishOpened(cursor.opened);
      this.#fetcher.requestDrive();
    }
  }

  #failOpening(cursor: PartitionCursor<K, V>, thrown: unknown): BurrowError {
    const error = toBurrowError(thrown);
    const { topic, partition, position } = cursor;
    const placed = new BurrowError(error.code, `${topic}-${partition} at offset ${position}: ${error.message}`, {
      cause: error,
      fields: { ...error.fields, topic, partition, offset: position ?? -1 },
    });
    cursor.failAtPosition(placed);
    return placed;
  }

  #onBuffered(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
    const waiters = this.#positionWaiters;
    this.#positionWaiters = [];
    for (const waiter of waiters) waiter();
  }

  /** Resolves when what `register` was given is called, or after `timeoutMs`. */
  #waitFor(timeoutMs: number, register: (wake: () => void) => void): Promise<void> {
    return new Promise((resolve) => {
      const timer = timeoutMs === Number.POSITIVE_INFINITY ? undefined : this.#host.clock.schedule(timeoutMs, resolve);
      register(() => {
        timer?.cancel();
        resolve();
      });
    });
  }

  async #exclusively<T>(read: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new BurrowError('CLIENT_CLOSED', 'The consumer is closed.');
    if (this.#reading) {
      throw new BurrowError('INVALID_ARGUMENT', 'A consumer has one reader at a time: await the last call first.');
    }
    this.#reading = true;
    try {
      return await read();
    } finally {
      this.#reading = false;
    }
  }

  #checkOpen(): void {
    if (this.#closed) throw new BurrowError('CLIENT_CLOSED', 'The consumer is closed.');
  }

  #cursorOf(topic: string, partition: number): PartitionCursor<K, V> {
    const cursor = this.#cursors.find((each) => each.topic === topic && each.partition === partition);
    if (cursor === undefined) {
      throw new BurrowError('INVALID_ARGUMENT', `${topic}-${partition} is not assigned to this consumer.`);
    }
    return cursor;
  }

  #select(topic: string | undefined, partition: number | undefined): PartitionCursor<K, V>[] {
    if (topic !== undefined && partition !== undefined) return [this.#cursorOf(topic, partition)];
    return topic === undefined ? this.#cursors : this.#cursors.filter((cursor) => cursor.topic === topic);
  }
}

type ExactAssignment = Assignment & TopicPartition;

function isExact(assignment: Assignment): assignment is ExactAssignment {
  return assignment.partition !== undefined;
}

function ignore(): void {}

/** Unambiguous: a partition is digits, so the last hyphen divides. */
function cursorKey(of: TopicPartition): string {
  return `${of.topic}-${of.partition}`;
}
