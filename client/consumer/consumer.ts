/**
 * The consumer: hands out what the fetcher has buffered, partition by partition in turn. The fetcher asks for the next records
 * while the user works on the last ones. What is consumed is assigned by the user, or by the group that it is a member of
 * (`group-consumption.ts`).
 *
 * One reader at a time: `poll`, `batches()` and `for await` take from the same buffers.
 */
import { BurrowError, isBurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import type { CommittedOffset, GroupHost, OffsetToCommit } from '../groups/group-host.ts';
import type { TopicMetadata } from '../metadata.ts';
import { checkNonNegativeInteger, checkTopicName, integerOption } from '../options.ts';
import type { Deserializer } from '../serializers.ts';
import { partitionKey, type TopicPartition } from '../topic-partition.ts';
import {
  type Assignment,
  type ConsumerOptions,
  checkFrom,
  type From,
  type ResolvedConsumerOptions,
  resolveConsumerOptions,
} from './consumer-options.ts';
import type { ConsumerBatch, ConsumerRecord } from './consumer-record.ts';
import { Delivery } from './delivery.ts';
import { Fetcher, type FetchTransport } from './fetcher.ts';
import { GroupConsumption } from './group-consumption.ts';
import { resolveGroupOptions } from './group-options.ts';
import { PartitionCursor } from './partition-cursor.ts';
import { ReaderWatch } from './reader-watch.ts';

/** What a consumer needs of the client that it belongs to. */
export interface ConsumerHost extends FetchTransport {
  topic(name: string, timeoutMs: number): Promise<TopicMetadata>;
  readonly requestTimeoutMs: number;
  /** What a consumer in a group needs beside that. */
  readonly groups: GroupHost;
}

export interface PollOptions {
  /** Default: the consumer's `maxRecords`. */
  maxRecords?: number;
  /** How long to wait for the first record, in milliseconds. Default 1000. */
  timeoutMs?: number;
}

const POLL_TIMEOUT_MS = 1000;
/** Kept for a user who does not read. */
const ERRORS_MAX = 16;

export class Consumer<K = Uint8Array, V = Uint8Array> implements AsyncIterable<ConsumerRecord<K, V>> {
  readonly #host: ConsumerHost;
  readonly #options: ResolvedConsumerOptions;
  readonly #keyDeserializer: Deserializer<K> | undefined;
  readonly #valueDeserializer: Deserializer<V> | undefined;
  readonly #fetcher: Fetcher;
  readonly #onClosed: () => void;
  readonly #delivery: Delivery<K, V>;
  readonly #group: GroupConsumption | undefined;
  /** In a group. */
  readonly #reader: ReaderWatch | undefined;
  #cursors: ReadonlyArray<PartitionCursor<K, V>> = [];
  /** Set while an assign() looks up topics: others and poll wait for it. Never rejects. */
  #assigning: Promise<void> | undefined;
  /** What went wrong behind the user's back; for the next reads, one each. */
  readonly #errors: BurrowError[] = [];
  /** The group is over for this consumer: every read throws this. */
  #fatalError: BurrowError | undefined;
  #closed: boolean = false;
  #closing: Promise<void> | undefined;
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
    this.#delivery = new Delivery({
      ...this.#options,
      onRoom: () => this.#fetcher.requestDrive(),
      onOpened: () => this.#onBuffered(),
    });
    const groupOptions = resolveGroupOptions(options);
    if (groupOptions !== undefined) {
      if (options.assignment !== undefined) throw notInGroup('An assignment');
      const cursors = () => this.#cursors;
      const group = new GroupConsumption(host.groups, groupOptions, {
        cursors,
        settle: (revoked) => reader.settle(revoked),
        add: (partitions) => this.#addHeld(partitions),
        remove: (cursors) => this.#remove(cursors),
        onChanged: () => this.#onDeliverable(),
        onError: (error, fatal) => this.#onGroupError(error, fatal),
      });
      const reader = new ReaderWatch({
        clock: host.clock,
        maxPollIntervalMs: groupOptions.maxPollIntervalMs,
        cursors,
        onStuck: () => group.suspend(),
        onBack: () => group.resume(),
      });
      this.#group = group;
      this.#reader = reader;
    } else if (options.assignment !== undefined) {
      this.assign(options.assignment).catch((error) => {
        this.#errors.push(toBurrowError(error));
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
    if (this.#group !== undefined) throw notInGroup('assign()');
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
        this.#delivery.take(cursor, maxRecords - records.length, records);
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
      // Asked before each record, since the user may seek, pause or close between two of them, or a rebalance take it away.
      while (cursor.opened === opened && cursor.isDeliverable && opened.index < opened.records.length) {
        yield this.#delivery.takeOne(cursor);
        if (this.#reader !== undefined) {
          this.#reader.progress += 1;
          cursor.finishHandedOut();
        }
      }
      if (cursor.opened === opened && opened.index >= opened.records.length) this.#delivery.finish(cursor);
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
    this.#onDeliverable();
  }

  /**
   * Commits to the group. Without `offsets`: everything that was handed out, which is finished by that. With them: offsets of
   * the records to consume next. Resolves when they are stored. Rejects with UNKNOWN_MEMBER, ILLEGAL_GENERATION if
   * the group has given partitions to others meanwhile; their records will be consumed again there.
   */
  async commit(offsets?: readonly OffsetToCommit[]): Promise<void> {
    const group = this.#groupOf('commit()');
    if (offsets !== undefined) return group.commit(offsets);
    this.#reader?.finishAll();
    return group.commitFinished();
  }

  /** What the group has committed, for the partitions that are assigned or for others. */
  async committed(partitions?: readonly TopicPartition[]): Promise<readonly CommittedOffset[]> {
    const group = this.#groupOf('committed()');
    for (const { topic, partition } of partitions ?? []) {
      checkTopicName(topic);
      checkNonNegativeInteger('partition', partition);
    }
    return group.committed(partitions ?? this.assignment);
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

  /**
   * Records behind the position, as far as the last fetch told; undefined until then. Without a partition: of all that are
   * assigned together.
   */
  lag(topic?: string, partition?: number): number | undefined {
    let total = 0;
    for (const { position, highWatermark } of this.#select(topic, partition)) {
      if (position === undefined || highWatermark < 0) return undefined;
      total += Math.max(0, highWatermark - position);
    }
    return total;
  }

  /**
   * Stops reading: a poll under way returns what it has; iterations end. In a group, commits what is finished (unless
   * `autoCommit` is off) and leaves, for at most `timeoutMs` (default: the client's requestTimeoutMs). Idempotent.
   *
   * What the last read handed out is not finished: call `commit()` before, if you are done with it.
   */
  close(options: { timeoutMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options.timeoutMs ?? this.#host.requestTimeoutMs);
    return this.#closing;
  }

  async #close(timeoutMs: number): Promise<void> {
    this.#closed = true;
    this.#onBuffered();
    this.#reader?.close();
    await this.#group?.close(timeoutMs);
    this.#fetcher.close();
    for (const cursor of this.#cursors) cursor.removed = true;
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
    const before = new Map(this.#cursors.map((cursor) => [partitionKey(cursor), cursor]));
    const after = new Map<string, PartitionCursor<K, V>>();
    for (const { topic, partition, from } of assignment) {
      const key = partitionKey({ topic, partition });
      const known = before.get(key) ?? after.get(key);
      const cursor = known ?? new PartitionCursor<K, V>(this.#sourceOf(topic, partition));
      after.set(key, cursor);
      if (known === undefined || from !== undefined) this.#reposition(cursor, from ?? this.#options.from);
    }
    for (const [key, cursor] of before) if (!after.has(key)) cursor.removed = true;
    this.#setCursors([...after.values()]);
  }

  #setCursors(cursors: ReadonlyArray<PartitionCursor<K, V>>): void {
    this.#cursors = cursors;
    this.#delivery.cursors = cursors;
    this.#fetcher.setCursors(cursors);
    this.#onBuffered();
  }

  #addHeld(partitions: readonly CommittedOffset[]): ReadonlyArray<PartitionCursor<K, V>> {
    const added = partitions.map(({ topic, partition, offset }) => {
      const cursor = new PartitionCursor<K, V>(this.#sourceOf(topic, partition));
      cursor.held = true;
      cursor.committed = offset;
      this.#reposition(cursor, offset === undefined ? this.#options.from : { offset });
      return cursor;
    });
    this.#setCursors([...this.#cursors, ...added]);
    return added;
  }

  #remove(cursors: ReadonlyArray<PartitionCursor>): void {
    const removed = new Set<unknown>(cursors);
    for (const cursor of cursors) cursor.removed = true;
    this.#setCursors(this.#cursors.filter((cursor) => !removed.has(cursor)));
  }

  #onDeliverable(): void {
    this.#fetcher.requestDrive();
    this.#onBuffered();
  }

  #onGroupError(error: BurrowError, fatal: boolean): void {
    if (fatal) this.#fatalError = error;
    else if (this.#errors.length < ERRORS_MAX) this.#errors.push(error);
    this.#onBuffered();
  }

  #sourceOf(topic: string, partition: number) {
    return { topic, partition, keySerializer: this.#keyDeserializer, valueSerializer: this.#valueDeserializer };
  }

  #reposition(cursor: PartitionCursor<K, V>, to: From): void {
    if (typeof to === 'object' && 'offset' in to) cursor.seek(to.offset);
    else cursor.seekToStartPoint(to);
    cursor.finishHandedOut();
    this.#fetcher.requestDrive();
  }

  /** A partition that has records to deliver; undefined if none had within the time, or if the consumer was closed. */
  async #nextCursor(giveUpAtMs: number, haveSome: boolean): Promise<PartitionCursor<K, V> | undefined> {
    await this.#assigning;
    for (;;) {
      if (this.#closed) return undefined;
      const error = this.#errors.shift() ?? this.#fatalError;
      if (error !== undefined) throw error;
      const next = this.#delivery.next();
      if (next instanceof PartitionCursor) return next;
      if (next !== undefined) {
        // What was taken before the error is delivered first; the error comes with the next call.
        if (haveSome) return undefined;
        this.#delivery.dismiss(next);
        throw next;
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
      this.#delivery.finish(cursor);
      const records = opened.index === 0 ? opened.records : opened.records.slice(opened.index);
      return { topic, partition, records, nextOffset: opened.nextOffset, highWatermark };
    }
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
    this.#reader?.onReadStarted();
    try {
      return await read();
    } finally {
      this.#reading = false;
      this.#reader?.onReadEnded();
    }
  }

  #checkOpen(): void {
    if (this.#closed) throw new BurrowError('CLIENT_CLOSED', 'The consumer is closed.');
  }

  #groupOf(what: string): GroupConsumption {
    this.#checkOpen();
    if (this.#group === undefined) throw new BurrowError('INVALID_ARGUMENT', `${what} needs a consumer in a group.`);
    return this.#group;
  }

  #cursorOf(topic: string, partition: number): PartitionCursor<K, V> {
    const cursor = this.#cursors.find((each) => each.topic === topic && each.partition === partition);
    if (cursor === undefined) {
      throw new BurrowError('INVALID_ARGUMENT', `${topic}-${partition} is not assigned to this consumer.`);
    }
    return cursor;
  }

  #select(topic: string | undefined, partition: number | undefined): ReadonlyArray<PartitionCursor<K, V>> {
    if (topic !== undefined && partition !== undefined) return [this.#cursorOf(topic, partition)];
    return topic === undefined ? this.#cursors : this.#cursors.filter((cursor) => cursor.topic === topic);
  }
}

type ExactAssignment = Assignment & TopicPartition;

function isExact(assignment: Assignment): assignment is ExactAssignment {
  return assignment.partition !== undefined;
}

function ignore(): void {}

function notInGroup(what: string): BurrowError {
  return new BurrowError('INVALID_ARGUMENT', `${what} is not for a consumer in a group, which assigns by itself.`);
}
