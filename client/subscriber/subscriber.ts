/**
 * The subscriber: brokers push records to it, handlers work on them, and what is finished is committed. It keeps the partitions, which
 * the group that it is a member of assigns, or all of its topics; `dispatcher.ts` does the rest with what they bring.
 *
 * Retry topics are read beside the subscription's own, through a stream of their own with little credit: a partition whose next
 * record is not due is taken out of it until it is, and what was sent of it too early is dropped and sent again.
 */
import { type BurrowError, isBurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import type { ClientTimer } from '../clock.ts';
import type { From } from '../consumer/consumer-options.ts';
import type { Credit } from '../consumer/credit-state.ts';
import { Delivery } from '../consumer/delivery.ts';
import { GroupConsumption } from '../consumer/group-consumption.ts';
import { type FetchedChunk, PartitionCursor } from '../consumer/partition-cursor.ts';
import { PushReceiver, type PushTransport } from '../consumer/push-receiver.ts';
import { isSetAsideTopic } from '../dead-letters/topic-names.ts';
import type { CommittedOffset, GroupHost } from '../groups/group-host.ts';
import type { TopicMetadata } from '../metadata.ts';
import type { Deserializer } from '../serializers.ts';
import type { TopicPartition } from '../topic-partition.ts';
import { Dispatcher } from './dispatcher.ts';
import type { FailurePolicy } from './failure-policy.ts';
import {
  type BatchHandler,
  type RecordHandler,
  type ResolvedSubscribeOptions,
  resolveSubscribeOptions,
  type SubscribeOptions,
  type Topics,
} from './subscriber-options.ts';
import { BatchWork, PartitionWork } from './work.ts';

/** What a subscriber needs of the client that it belongs to. */
export interface SubscriberHost extends PushTransport {
  topic(name: string, timeoutMs: number): Promise<TopicMetadata>;
  readonly requestTimeoutMs: number;
  readonly groups: GroupHost;
}

/** Records of retry topics that a broker may have sent and that are not finished. */
const RETRY_PREFETCH = 256;

/** A retry topic's partition that waits for a record to be due is not looked at more often, in milliseconds. */
const RETRY_WAIT_MS_MIN = 100;

export class Subscriber<K = Uint8Array, V = Uint8Array> {
  /**
   * Resolves when it is closed; rejects when it stops by itself: with what a handler threw, where retries are used up and there is no
   * dead-letter topic, or with what no retry can mend. Unhandled unless `onError` is given, so that no subscriber stops unnoticed.
   */
  readonly closed: Promise<void>;
  readonly #host: SubscriberHost;
  readonly #policy: FailurePolicy;
  readonly #options: ResolvedSubscribeOptions;
  readonly #keyDeserializer: Deserializer<K> | undefined;
  readonly #valueDeserializer: Deserializer<V> | undefined;
  readonly #onError: ((error: unknown) => void) | undefined;
  readonly #onClosed: () => void;
  #retryTopics: ReadonlySet<string> = new Set();
  /** Topics that match the pattern and cannot be consumed, of which the user was told. */
  readonly #refusedTopics = new Set<string>();
  readonly #receiver: PushReceiver;
  readonly #retryReceiver: PushReceiver;
  readonly #delivery: Delivery<K, V>;
  readonly #dispatcher: Dispatcher<K, V>;
  readonly #group: GroupConsumption | undefined;
  #cursors: ReadonlyArray<PartitionCursor<K, V>> = [];
  readonly #work = new Map<PartitionCursor, PartitionWork<K, V>>();
  #nextWorkId = 1;
  /** Of retry topics' partitions that wait for a record to be due. */
  readonly #dueTimers = new Set<ClientTimer>();
  #shuttingDown: Promise<void> | undefined;
  /** Handlers were waited for already. */
  #isDrained: boolean = false;
  #settleClosed!: { resolve(): void; reject(error: unknown): void };

  /** Use `client.subscribe()`. */
  constructor(
    host: SubscriberHost,
    policy: FailurePolicy,
    topics: Topics,
    handler: RecordHandler<K, V> | BatchHandler<K, V>,
    options: SubscribeOptions<K, V>,
    onClosed: () => void,
  ) {
    this.#host = host;
    this.#policy = policy;
    this.#options = resolveSubscribeOptions(topics, policy, options);
    this.#keyDeserializer = options.keyDeserializer;
    this.#valueDeserializer = options.valueDeserializer;
    this.#onError = options.onError?.bind(options);
    this.#onClosed = onClosed;
    this.closed = new Promise((resolve, reject) => {
      this.#settleClosed = { resolve, reject };
    });
    if (this.#onError !== undefined) this.closed.catch(ignore);
    const { consumer, credit, group, concurrency, isBatched } = this.#options;
    this.#receiver = this.#newReceiver(credit);
    this.#retryReceiver = this.#newReceiver({ ...credit, records: Math.min(credit.records, RETRY_PREFETCH) });
    this.#delivery = new Delivery({ ...consumer, onRoom: ignore, onOpened: () => this.#dispatcher.pump() });
    this.#dispatcher = new Dispatcher({
      clock: host.clock,
      concurrency,
      policy,
      handler,
      isBatched,
      takeBatch: () => this.#takeBatch(),
      onStopped: (error) => this.#fail(error),
    });
    if (group === undefined) {
      this.#assignAll().catch((error) => this.#fail(error));
      return;
    }
    this.#group = new GroupConsumption(host.groups, group, {
      cursors: () => this.#cursors,
      completeTopics: (found) => this.#completeTopics(found, group.pattern !== undefined),
      add: (partitions) => this.#addHeld(partitions),
      remove: (cursors) => this.#remove(cursors),
      settle: (cursors) => this.#settle(cursors),
      onChanged: () => this.#onChanged(),
      onError: (error, fatal) => this.#onGroupError(error, fatal),
    });
  }

  /** The partitions that are consumed now. */
  get assignment(): readonly TopicPartition[] {
    return this.#cursors.map(({ topic, partition }) => ({ topic, partition }));
  }

  /**
   * Begins no more handlers, waits for those that run, for at most `timeoutMs` (default: the client's requestTimeoutMs), commits
   * what is finished and leaves the group. Idempotent, never rejects. Do not await it in a handler, for which it waits.
   */
  close(options: { timeoutMs?: number } = {}): Promise<void> {
    return this.#shutDown(options.timeoutMs ?? this.#host.requestTimeoutMs, undefined);
  }

  #newReceiver(credit: Credit): PushReceiver {
    const { isolation, onOutOfRange } = this.#options.consumer;
    return new PushReceiver({
      transport: this.#host,
      isolation,
      onOutOfRange,
      credit,
      onBuffered: () => this.#dispatcher.pump(),
    });
  }

  #shutDown(timeoutMs: number, failure: { readonly error: unknown } | undefined): Promise<void> {
    this.#shuttingDown ??= this.#stop(timeoutMs, failure);
    return this.#shuttingDown;
  }

  async #stop(timeoutMs: number, failure: { readonly error: unknown } | undefined): Promise<void> {
    this.#dispatcher.stop();
    this.#receiver.close();
    this.#retryReceiver.close();
    for (const timer of this.#dueTimers) timer.cancel();
    await this.#dispatcher.settle(undefined, timeoutMs);
    this.#isDrained = true;
    await this.#group?.close(timeoutMs);
    // What is still being set aside cannot be committed any more.
    await this.#policy.close({ timeoutMs: 0 });
    for (const cursor of this.#cursors) cursor.removed = true;
    this.#onClosed();
    if (failure === undefined) {
      this.#settleClosed.resolve();
    } else {
      this.#settleClosed.reject(failure.error);
    }
  }

  #fail(error: unknown): void {
    if (this.#shuttingDown !== undefined) return;
    void this.#shutDown(this.#host.requestTimeoutMs, { error });
    this.#report(error);
  }

  #report(error: unknown): void {
    try {
      this.#onError?.(error);
    } catch (thrown) {
      // The user's mistake, for the process to see; the subscriber goes on.
      queueMicrotask(() => {
        throw thrown;
      });
    }
  }

  #onGroupError(error: BurrowError, fatal: boolean): void {
    if (fatal) {
      this.#fail(error);
      return;
    }
    this.#report(error);
  }

  /** What to consume: of the topics that a pattern matches those that are meant, and the retry topics of all. */
  async #completeTopics(found: readonly string[], isPattern: boolean): Promise<readonly string[]> {
    const meant = isPattern ? found.filter((topic) => this.#isMeant(topic)) : found;
    await this.#policy.addTopics(meant);
    const { retryTopics } = this.#policy;
    this.#retryTopics = new Set(retryTopics);
    return [...meant, ...retryTopics];
  }

  /** Not what is set aside, by this subscription or by others; and not what could not be set aside. */
  #isMeant(topic: string): boolean {
    if (isSetAsideTopic(topic)) return false;
    try {
      this.#policy.checkTopic(topic);
      return true;
    } catch (thrown) {
      const error = toBurrowError(thrown);
      const isNews = error.code === 'INVALID_NAME' && !this.#refusedTopics.has(topic);
      this.#refusedTopics.add(topic);
      if (isNews) this.#report(error);
      return false;
    }
  }

  /** Without a group: all partitions that the topics have now. */
  async #assignAll(): Promise<void> {
    const { topics, consumer } = this.#options;
    await this.#policy.addTopics(topics);
    const cursors: Array<PartitionCursor<K, V>> = [];
    for (const topic of topics) {
      const { partitions } = await this.#host.topic(topic, this.#host.requestTimeoutMs);
      for (const { partition } of partitions) cursors.push(this.#newCursor(topic, partition, consumer.from));
    }
    if (this.#shuttingDown === undefined) this.#setCursors(cursors);
  }

  #addHeld(partitions: readonly CommittedOffset[]): ReadonlyArray<PartitionCursor<K, V>> {
    const added = partitions.map(({ topic, partition, offset }) => {
      // What a retry topic has was put there for this group, also if nobody was there to see it come.
      const start: From = this.#retryTopics.has(topic) ? 'earliest' : this.#options.consumer.from;
      const cursor = this.#newCursor(topic, partition, offset === undefined ? start : { offset });
      cursor.held = true;
      cursor.committed = offset;
      return cursor;
    });
    this.#setCursors([...this.#cursors, ...added]);
    return added;
  }

  #newCursor(topic: string, partition: number, from: From): PartitionCursor<K, V> {
    const keySerializer = this.#keyDeserializer;
    const valueSerializer = this.#valueDeserializer;
    const cursor = new PartitionCursor<K, V>({ topic, partition, keySerializer, valueSerializer });
    if (typeof from === 'object' && 'offset' in from) cursor.seek(from.offset);
    else cursor.seekToStartPoint(from);
    cursor.finishHandedOut();
    return cursor;
  }

  /** Nothing more of these is handed out; waits for what runs. */
  async #settle(cursors: ReadonlyArray<PartitionCursor>): Promise<void> {
    const work = cursors.flatMap((cursor) => this.#work.get(cursor) ?? []);
    for (const partition of work) partition.revoked = true;
    await this.#dispatcher.settle(work, this.#isDrained ? 0 : this.#options.revokeTimeoutMs);
  }

  #remove(cursors: ReadonlyArray<PartitionCursor>): void {
    const removed = new Set<unknown>(cursors);
    for (const cursor of cursors) {
      cursor.removed = true;
      cursor.drop();
      const work = this.#work.get(cursor);
      if (work !== undefined) work.revoked = true;
      this.#work.delete(cursor);
    }
    this.#setCursors(this.#cursors.filter((cursor) => !removed.has(cursor)));
  }

  #setCursors(cursors: ReadonlyArray<PartitionCursor<K, V>>): void {
    this.#cursors = cursors;
    this.#delivery.cursors = cursors;
    const isRetry = ({ topic }: TopicPartition) => this.#retryTopics.has(topic);
    this.#receiver.setCursors(cursors.filter((cursor) => !isRetry(cursor)));
    this.#retryReceiver.setCursors(cursors.filter(isRetry));
  }

  #onChanged(): void {
    this.#receiver.requestDrive();
    this.#retryReceiver.requestDrive();
    this.#dispatcher.pump();
  }

  /** The next batch that is there and has records to work on now. */
  #takeBatch(): BatchWork<K, V> | undefined {
    for (;;) {
      const next = this.#delivery.next();
      if (next === undefined) return undefined;
      if (next instanceof PartitionCursor) {
        const batch = this.#takeFrom(next);
        if (batch !== undefined) return batch;
      } else if (isBurrowError(next, 'UNKNOWN_TOPIC_OR_PARTITION')) {
        // Deleted: a group is going to notice, and it may be created anew.
        this.#delivery.dismiss(next);
        this.#report(next);
        this.#receiver.requestDrive();
        this.#retryReceiver.requestDrive();
      } else {
        this.#fail(next);
        return undefined;
      }
    }
  }

  #takeFrom(cursor: PartitionCursor<K, V>): BatchWork<K, V> | undefined {
    const { records, nextOffset, leaderEpoch, batchBytes } = cursor.opened!;
    const { origin } = cursor.buffered[0] as FetchedChunk;
    const dueCount = this.#retryTopics.has(cursor.topic) ? this.#waitUntilDue(cursor) : records.length;
    if (dueCount === 0) return undefined;
    if (dueCount < records.length) {
      const due = records.slice(0, dueCount);
      const place = { nextOffset: records[dueCount]!.offset, leaderEpoch };
      // Its bytes were released with the records that are not due.
      return new BatchWork(this.#workOf(cursor), due, place, { origin, bytes: 0 });
    }
    this.#delivery.finish(cursor);
    return new BatchWork(this.#workOf(cursor), records, { nextOffset, leaderEpoch }, { origin, bytes: batchBytes });
  }

  /** How many of the opened batch's records are due. If not all are, the partition is taken out until the next is. */
  #waitUntilDue(cursor: PartitionCursor<K, V>): number {
    const opened = cursor.opened!;
    const { clock } = this.#host;
    const nowMs = clock.now();
    let waitMs = 0;
    const count = opened.records.findIndex((record) => {
      waitMs = this.#policy.waitMs(record.raw(), nowMs);
      return waitMs > 0;
    });
    if (count === -1) return opened.records.length;
    const isIdle = this.#work.get(cursor)?.progress.isIdle ?? true;
    opened.index = count;
    cursor.seek(opened.records[count]!.offset);
    if (isIdle && count === 0) cursor.finishHandedOut();
    cursor.paused = true;
    this.#retryReceiver.requestDrive();
    const timer = clock.schedule(Math.max(waitMs, RETRY_WAIT_MS_MIN), () => {
      this.#dueTimers.delete(timer);
      cursor.paused = false;
      this.#retryReceiver.requestDrive();
    });
    this.#dueTimers.add(timer);
    return count;
  }

  #workOf(cursor: PartitionCursor<K, V>): PartitionWork<K, V> {
    const known = this.#work.get(cursor);
    if (known !== undefined) return known;
    const work = new PartitionWork(cursor, this.#nextWorkId, this.#retryTopics.has(cursor.topic));
    this.#nextWorkId += 1;
    this.#work.set(cursor, work);
    return work;
  }
}

function ignore(): void {}
