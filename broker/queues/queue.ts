/**
 * One queue: takes what is published into its log, hands what is stored to consumers in order, and notes what becomes of it.
 * A message is handed out once it counts as stored (below the high watermark), so a settlement never names a message that a
 * failure could take back.
 *
 * What is ready in which order is decided by `queue-state.ts`, who gets it by `consumer-ring.ts`; this file moves messages
 * between them and the logs. Per message: no promises, no objects.
 */
import { type BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import type { QueueSettings } from '../definitions/queue-settings.ts';
import type { Deadline, DeadlineQueue } from '../partitions/deadline-queue.ts';
import type { Clock } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { BatchLog } from './batch-log.ts';
import { ConsumerRing } from './consumer-ring.ts';
import { DeadMessages } from './dead-messages.ts';
import type { HostedQueue } from './hosted-queue.ts';
import type { MessageView, PublishedMessage } from './message-batch.ts';
import { expirationOf, groupKeyOf, priorityOf } from './message-fields.ts';
import { MessageGroups } from './message-groups.ts';
import { MessageLog, type StoredTarget } from './message-log.ts';
import { MessageReader } from './message-reader.ts';
import { MessageScan } from './message-scan.ts';
import type { QueueConsumer } from './queue-consumer.ts';
import { QUEUE_LIMITS_DEFAULTS, type QueueLimits } from './queue-limits.ts';
import { QueueState } from './queue-state.ts';
import { loadSettlements, SettlementLog } from './settlement-log.ts';

export type DeadLetterReason = 'rejected' | 'expired' | 'maxlen' | 'delivery_limit';

/** Why a delivered message comes back. */
export type ReturnCause =
  /** The consumer asked for it. */
  | 'requeued'
  /** The consumer, its channel or its connection has gone. */
  | 'lost';

export interface QueueOptions {
  readonly name: string;
  readonly settings: QueueSettings;
  readonly messages: BatchLog;
  /** Undefined for a queue that does not outlive the broker. */
  readonly settlements: BatchLog | undefined;
  readonly clock: Clock;
  readonly deadlines: DeadlineQueue;
  readonly logger: Logger;
  readonly readAheadBytes: number;
  /** Default: {@link QUEUE_LIMITS_DEFAULTS}. */
  readonly limits?: QueueLimits;
  /**
   * Sends a dead letter on its way: `view` is good during the call only. `onDone` tells whether the message is taken care of; if it is
   * not, it is tried again later.
   */
  readonly deadLetter: (
    queue: Queue,
    view: MessageView,
    reason: DeadLetterReason,
    onDone: (done: boolean) => void,
  ) => void;
  /** The last of its consumers has gone. */
  readonly onUnused: (queue: Queue) => void;
}

/** Timers for messages have this resolution. */
const TIMER_MS_MIN = 1;

export class Queue implements HostedQueue {
  readonly name: string;
  readonly #options: QueueOptions;
  readonly #limits: QueueLimits;
  readonly #log: MessageLog;
  readonly #settlements: SettlementLog | undefined;
  readonly #state: QueueState;
  readonly #reader: MessageReader;
  readonly #dead: DeadMessages;
  readonly #groups: MessageGroups | undefined;
  #ring: ConsumerRing<QueueConsumer>;
  #settings: QueueSettings;
  /** Of messages that are added but not visible yet, oldest first: size of the body and priority. */
  #pendingBytes: number[] = [];
  #pendingLevels: number[] = [];
  #pendingBytesTotal = 0;
  /** Of ready bodies. */
  #readyBytes = 0;
  /**
   * Whether that is exact. Not after messages were taken over or dropped unread, as is done while there is no limit on their bytes;
   * then a limit that a policy brings waits until the queue is empty or opened again, since it would drop too much or too little.
   */
  #knowsReadyBytes = true;
  /** Whether a message may have a time to live. */
  #mayExpire: boolean;
  #dispatching = false;
  /** Dispatching goes on after others have had their turn. */
  #goesOn = false;
  #timer: Deadline | undefined;
  #timerDueMs = Number.POSITIVE_INFINITY;
  /** When to read again what could not be read. */
  #retryAtMs = Number.POSITIVE_INFINITY;
  #closeReason: BurrowError | undefined;
  #published = 0;
  #delivered = 0;
  #acknowledged = 0;
  #failure: BurrowError | undefined;
  /**
   * While arrivals are dispatched: the first of them. A consumer that waits gets them even if they may not wait themselves: with a time
   * to live of 0 they are delivered at once or expire, as in RabbitMQ.
   */
  #arrivedFrom = Number.POSITIVE_INFINITY;

  /** Opens the queue on its logs, and reads what became of its messages. */
  static async open(options: QueueOptions): Promise<Queue> {
    const { messages, settlements, settings } = options;
    const floor = messages.logStartOffset;
    const state = new QueueState(floor, (settings.maxPriority ?? 0) + 1);
    const returns = new Map<number, number>();
    const end = messages.highWatermark;
    let outlived = false;
    if (settlements !== undefined) {
      await loadSettlements(settlements, {
        onSettled: (from, to) => {
          outlived ||= to > end;
          state.restoreSettled(Math.max(from, floor), Math.min(to, end));
        },
        onReturns: (offset, count) => {
          outlived ||= offset >= end;
          returns.set(offset, count);
        },
      });
    }
    for (const [offset, count] of returns) {
      if (offset < end && !state.isSettled(offset)) state.setReturns(offset, count);
    }
    const queue = new Queue(options, state);
    await queue.#takeOver();
    // Without a sync on every write, notes may outlive their messages. They must not be taken for notes on those to come.
    if (outlived) await queue.#settlements?.rewrite();
    return queue;
  }

  private constructor(options: QueueOptions, state: QueueState) {
    const { name, settings, messages, settlements, clock, logger, readAheadBytes } = options;
    const limits = options.limits ?? QUEUE_LIMITS_DEFAULTS;
    this.name = name;
    this.#limits = limits;
    this.#options = options;
    this.#settings = settings;
    this.#state = state;
    this.#log = new MessageLog(messages, clock, limits.batchBytes, {
      onRefused: (count) => this.#forgetPending(-count),
      onFailed: (count) => this.#forgetPending(0, count),
    });
    this.#reader = new MessageReader({ log: messages, readAheadBytes, onReady: () => this.dispatch() });
    this.#dead = new DeadMessages({
      log: messages,
      readAheadBytes,
      inFlightMax: this.#limits.deadLettersInFlightMax,
      onReady: () => this.#bury(),
      send: (view, reason, onDone) => options.deadLetter(this, view, reason, onDone),
      onDone: (offset, bodyBytes, done) => this.#onBuried(offset, bodyBytes, done),
    });
    this.#groups = settings.groupKeyHeader === undefined ? undefined : new MessageGroups();
    this.#ring = new ConsumerRing(settings.singleActiveConsumer);
    this.#mayExpire = settings.messageTtlMs !== undefined || messages.logEndOffset > messages.logStartOffset;
    if (settlements !== undefined) {
      const log = new SettlementLog({
        log: settlements,
        clock,
        state,
        limits,
        onFloor: (floor) => this.#trim(floor),
        onFailure: (error) => {
          logger.error({ queue: name, error: String(error) }, 'settlements of a queue cannot be stored');
        },
      });
      this.#settlements = log;
    }
  }

  get settings(): QueueSettings {
    return this.#settings;
  }

  /** Messages that wait for consumers, those on their way into the log included. */
  get readyCount(): number {
    return this.#state.readyCount + this.#pendingBytes.length;
  }

  /** Messages that consumers have not settled yet. */
  get unsettledCount(): number {
    return this.#state.inFlightCount;
  }

  get consumerCount(): number {
    return this.#ring.count;
  }

  /** Bytes of the log that holds its messages. */
  get storedBytes(): number {
    return this.#options.messages.byteCount;
  }

  /** Since the queue was opened. */
  get counters(): { readonly published: number; readonly delivered: number; readonly acknowledged: number } {
    return { published: this.#published, delivered: this.#delivered, acknowledged: this.#acknowledged };
  }

  /** Why messages cannot be read at the moment. */
  get failure(): BurrowError | undefined {
    return this.#failure;
  }

  get consumers(): Iterable<QueueConsumer> {
    return this.#ring.consumers;
  }

  // Publishing

  /** The offset that the next published message gets. */
  get nextOffset(): number {
    return this.#log.nextOffset;
  }

  /**
   * Takes a message, or returns false if the queue is full and says so (overflow reject-publish). `target` is told by its `number`
   * what became of it; possibly within the call.
   */
  publish(message: PublishedMessage, target: StoredTarget | undefined, number: number): boolean {
    if (this.#closeReason !== undefined) {
      target?.onNotStored(number, number, this.#closeReason);
      return true;
    }
    const { overflow, maxLength, maxLengthBytes, maxPriority } = this.#settings;
    let bytes = 0;
    for (const piece of message.body) bytes += piece.length;
    if (overflow !== 'drop-head') {
      // Whether it would be beyond the limits with this message (rabbit_amqqueue_process:will_overflow).
      const full =
        (maxLength !== undefined && this.readyCount >= maxLength) ||
        (maxLengthBytes !== undefined &&
          this.#knowsReadyBytes &&
          this.#readyBytes + this.#pendingBytesTotal + bytes > maxLengthBytes);
      if (full) return false;
    }
    const { properties } = message;
    this.#pendingBytes.push(bytes);
    this.#pendingBytesTotal += bytes;
    if (maxPriority !== undefined)
      this.#pendingLevels.push(Math.min(priorityOf(properties, 0, properties.length), maxPriority));
    this.#mayExpire ||= expirationOf(properties, 0, properties.length) >= 0;
    this.#log.add(message, target, number);
    this.#published++;
    return true;
  }

  /** These messages will not become visible. */
  #forgetPending(from: number, count = -from): void {
    for (const bytes of this.#pendingBytes.splice(from, count)) this.#pendingBytesTotal -= bytes;
    if (this.#settings.maxPriority !== undefined) this.#pendingLevels.splice(from, count);
  }

  #onAdvance(): void {
    // First of all: what has gathered goes into the next round of the disk.
    this.#log.onAdvance();
    const { highWatermark } = this.#options.messages;
    const before = this.#state.endOffset;
    if (highWatermark > before) {
      this.#maybeKnowReadyBytes();
      const count = Math.min(highWatermark - before, this.#pendingBytes.length);
      const bytes = this.#pendingBytes.splice(0, count);
      for (const each of bytes) {
        this.#pendingBytesTotal -= each;
        this.#readyBytes += each;
      }
      const levels = this.#settings.maxPriority === undefined ? undefined : this.#pendingLevels.splice(0, count);
      this.#state.extend(highWatermark, (offset) => levels?.[offset - before] ?? 0);
      this.#arrivedFrom = before;
    }
    this.dispatch();
    this.#arrivedFrom = Number.POSITIVE_INFINITY;
  }

  /** What the log holds already: visible at once, with priorities and sizes read back where they matter. */
  async #takeOver(): Promise<void> {
    const { messages, settlements } = this.#options;
    const { maxPriority, maxLengthBytes } = this.#settings;
    const end = messages.highWatermark;
    const needsReading = end > this.#state.floor && (maxPriority !== undefined || maxLengthBytes !== undefined);
    if (!needsReading) {
      this.#knowsReadyBytes = end <= this.#state.floor;
      this.#state.extend(end);
    } else await this.#takeOverByReading(end);
    messages.onAdvance = () => this.#onAdvance();
    if (settlements !== undefined) settlements.onAdvance = () => this.#settlements!.onAdvance();
  }

  async #takeOverByReading(end: number): Promise<void> {
    const { messages } = this.#options;
    const start = this.#state.floor;
    const levels = new Uint8Array(end - start);
    const scan = new MessageScan(messages, this.#options.readAheadBytes);
    await scan.run(start, end, (view) => {
      levels[view.offset - start] = priorityOf(view.bytes, view.propertiesPosition, view.propertiesBytes);
      if (!this.#state.isSettled(view.offset)) this.#readyBytes += view.bodyBytes;
      return true;
    });
    this.#state.extend(end, (offset) => levels[offset - start]!);
  }

  /**
   * From here on time passes for what the queue held when it was opened. To be called once all queues are there that its dead letters may
   * go to.
   */
  begin(): void {
    const { messageTtlMs, deadLetterExchange } = this.#settings;
    // Else nobody notices when a message at the head expires, and its head need not be read.
    if (messageTtlMs !== undefined || deadLetterExchange !== undefined) this.dispatch();
  }

  // Consumers

  /** @throws BurrowError why the queue is closed */
  checkConsumer(): void {
    if (this.#closeReason !== undefined) throw this.#closeReason;
  }

  /** @throws BurrowError why the queue is closed */
  addConsumer(consumer: QueueConsumer): void {
    this.checkConsumer();
    this.#ring.add(consumer);
    this.dispatch();
  }

  /** Its deliveries stay in flight until they are settled, or returned by the channel. */
  removeConsumer(consumer: QueueConsumer): void {
    this.#ring.remove(consumer);
    this.dispatch();
    if (this.#ring.count === 0) this.#options.onUnused(this);
  }

  /** A consumer can take messages again. */
  onCredit(consumer: QueueConsumer): void {
    this.#ring.onCredit(consumer);
    this.dispatch();
  }

  /** As {@link onCredit}, where {@link afterSettling} follows. Per message. */
  onCreditQuietly(consumer: QueueConsumer): void {
    this.#ring.onCredit(consumer);
  }

  /** Hands out what is ready, as far as consumers take it. */
  dispatch(): void {
    if (this.#dispatching || this.#closeReason !== undefined || this.#waitsToRead) return;
    this.#dispatching = true;
    try {
      this.#enforceLength();
      let count = 0;
      for (let consumer = this.#ring.next(); consumer !== undefined; consumer = this.#ring.next()) {
        if (count++ === this.#limits.dispatchMax) {
          this.#goOnLater();
          break;
        }
        const view = this.#head();
        if (view === undefined) break;
        const offset = this.#state.take();
        this.#readyBytes -= view.bodyBytes;
        this.#delivered++;
        const returns = this.#state.returnsOf(offset);
        if (consumer.noAck) this.#finish(offset);
        consumer.deliver(this, offset, returns, view);
        this.#ring.served(consumer);
      }
    } catch (error) {
      this.#onReadFailed(error);
    } finally {
      this.#dispatching = false;
    }
    this.#setTimer();
  }

  /** Or a disk that fails would be read again and again without a pause. */
  get #waitsToRead(): boolean {
    return this.#retryAtMs !== Number.POSITIVE_INFINITY;
  }

  #goOnLater(): void {
    if (this.#goesOn) return;
    this.#goesOn = true;
    this.#options.clock.schedule(0, () => {
      this.#goesOn = false;
      this.dispatch();
    });
  }

  /**
   * The next message that may be handed out, good until the next call; undefined if there is none, or if it must be read from
   * disk first. Expired ones are removed on the way, and those whose group is busy parked; a group is busy from here on.
   */
  #head(): MessageView | undefined {
    for (;;) {
      const offset = this.#state.peek();
      if (offset === -1) return undefined;
      const view = this.#reader.at(offset, this.#state.endOffset);
      if (view === undefined) return undefined;
      this.#failure = undefined;
      if (this.#mayExpire && offset < this.#arrivedFrom && this.#expiresAtMs(view) <= this.#options.clock.now()) {
        this.#dropHead(view, 'expired');
        continue;
      }
      if (this.#groups === undefined) return view;
      const key = groupKeyOf(view, this.#settings.groupKeyHeader!);
      if (key === undefined || this.#groups.admit(key, offset)) return view;
      this.#state.park();
    }
  }

  /**
   * Takes the next message for somebody who asks for one: `onMessage` gets it, with how often it came back, and returns false if
   * it cannot be handed over any more. Resolves with false if the queue is empty. The message is in flight, or settled if `noAck`.
   */
  async get(
    noAck: boolean,
    onMessage: (offset: number, returns: number, view: MessageView) => boolean,
  ): Promise<boolean> {
    if (this.#closeReason !== undefined) throw this.#closeReason;
    // What was published before the call may be on its way into the log.
    if (this.#state.peek() === -1 && this.#pendingBytes.length > 0) await this.#log.settled();
    for (;;) {
      if (this.#closeReason !== undefined) throw this.#closeReason;
      const view = this.#head();
      if (view !== undefined) {
        const offset = this.#state.take();
        const { bodyBytes } = view;
        this.#readyBytes -= bodyBytes;
        if (onMessage(offset, this.#state.returnsOf(offset), view)) {
          this.#delivered++;
          if (noAck) this.#finish(offset);
        } else this.#untake(offset, bodyBytes);
        // Others of its group may have their turn now.
        this.dispatch();
        return true;
      }
      if (this.#state.peek() === -1) return false;
      await this.#reader.ready();
    }
  }

  // Settling

  /** A delivery was processed. Per message; to be followed by {@link afterSettling}. */
  acknowledge(offset: number): void {
    this.#acknowledged++;
    this.#finish(offset);
  }

  /** A delivery comes back. Per message; to be followed by {@link afterSettling}. */
  giveBack(offset: number, bytes: number, cause: ReturnCause): void {
    const { deliveryLimit, delayedRetryType, delayedRetryMinMs = 0, delayedRetryMaxMs } = this.#settings;
    const returns = this.#state.returnsOf(offset) + 1;
    if (deliveryLimit !== undefined && returns > deliveryLimit) {
      this.#doom(offset, 'delivery_limit');
      return;
    }
    this.#state.setReturns(offset, returns);
    if (deliveryLimit !== undefined) this.#settlements?.returned(offset, returns);
    this.#readyBytes += bytes;
    this.#groups?.hold(offset);
    if (delayedRetryMinMs === 0 || !delays(delayedRetryType, cause)) this.#state.requeue(offset);
    else {
      const delayMs = Math.min(delayedRetryMinMs * returns, delayedRetryMaxMs ?? Number.POSITIVE_INFINITY);
      this.#state.delay(offset, this.#options.clock.monotonic() + delayMs);
    }
  }

  /** A delivery is refused for good. Per message; to be followed by {@link afterSettling}. */
  reject(offset: number): void {
    this.#doom(offset, 'rejected');
  }

  /** A delivery was never handed over, such as when its connection broke meanwhile: as if it had not been taken. */
  #untake(offset: number, bytes: number): void {
    this.#readyBytes += bytes;
    this.#groups?.hold(offset);
    this.#state.requeue(offset);
  }

  /** After one or more deliveries were settled. */
  afterSettling(): void {
    this.dispatch();
  }

  /** Removes all messages that are ready, and returns how many they were. */
  async purge(): Promise<number> {
    await this.#log.settled();
    if (this.#closeReason !== undefined) throw this.#closeReason;
    this.#groups?.clear((offset) => this.#state.unpark(offset));
    this.#state.releaseDue(Number.POSITIVE_INFINITY);
    const count = this.#state.purge((start, end) => this.#settlements?.settledRange(start, end));
    this.#maybeKnowReadyBytes();
    if (this.#settlements === undefined) this.#trim(this.#state.floor);
    else await this.#settlements.synced();
    return count;
  }

  /** Shows messages without taking them, in process or not, from the oldest on. Resolves with how many there were. */
  async browse(
    { limit, skip }: { readonly limit: number; readonly skip: number },
    onMessage: (view: MessageView) => void,
  ): Promise<number> {
    const { messages, readAheadBytes } = this.#options;
    const scan = new MessageScan(messages, readAheadBytes);
    let skipped = 0;
    let shown = 0;
    await scan.run(this.#state.floor, this.#state.endOffset, (view) => {
      if (this.#state.isSettled(view.offset)) return true;
      if (skipped++ < skip) return true;
      if (shown === limit) return false;
      shown++;
      onMessage(view);
      return true;
    });
    return shown;
  }

  /** Policies have changed. */
  reconfigure(settings: QueueSettings): void {
    this.#settings = settings;
    this.#maybeKnowReadyBytes();
    this.#mayExpire ||= settings.messageTtlMs !== undefined;
    this.dispatch();
  }

  /** Resolves when everything that was settled before the call is durable, and dead letters are stored or back in the queue. */
  async settlementsSynced(): Promise<void> {
    await this.#dead.settled();
    // Of a queue that was deleted nothing comes again.
    if (this.#closeReason?.code === 'QUEUE_NOT_FOUND') return;
    await this.#settlements?.synced();
  }

  /** Resolves when the outcome of everything that was published before the call is known. */
  async settled(): Promise<void> {
    await this.#log.settled();
    await this.#settlements?.synced().catch(() => {});
  }

  /** Hands out nothing any more; consumers are told. */
  close(reason: BurrowError): void {
    if (this.#closeReason !== undefined) return;
    this.#closeReason = reason;
    if (this.#timer !== undefined) this.#options.deadlines.remove(this.#timer);
    this.#settlements?.close();
    this.#dead.close();
    for (const consumer of [...this.#ring.consumers]) {
      this.#ring.remove(consumer);
      consumer.onQueueClosed(reason);
    }
    this.#options.messages.onAdvance = undefined;
    if (this.#options.settlements !== undefined) this.#options.settlements.onAdvance = undefined;
  }

  #finish(offset: number): void {
    this.#state.settle(offset);
    this.#releaseGroup(offset);
    if (this.#settlements !== undefined) this.#settlements.settled(offset);
    else if (this.#options.messages.canTrim(this.#state.floor)) void this.#options.messages.trim(this.#state.floor);
  }

  #releaseGroup(offset: number): void {
    if (this.#groups === undefined) return;
    const next = this.#groups.release(offset);
    if (next !== -1) this.#state.unpark(next);
  }

  #trim(floor: number): void {
    const { messages } = this.#options;
    if (messages.canTrim(floor)) void messages.trim(floor);
  }

  // Messages that leave without being consumed

  #expiresAtMs(view: MessageView): number {
    const own = expirationOf(view.bytes, view.propertiesPosition, view.propertiesBytes);
    const { messageTtlMs } = this.#settings;
    if (own < 0) return messageTtlMs === undefined ? Number.POSITIVE_INFINITY : view.timestampMs + messageTtlMs;
    return view.timestampMs + Math.min(own, messageTtlMs ?? own);
  }

  /** The message at the head, which was just looked at, goes. */
  #dropHead(view: MessageView, reason: DeadLetterReason): void {
    this.#readyBytes -= view.bodyBytes;
    const next = this.#groups?.release(view.offset) ?? -1;
    if (this.#settings.deadLetterExchange === undefined) this.#dropped(this.#state.drop());
    else this.#doom(this.#state.take(), reason);
    if (next !== -1) this.#state.unpark(next);
  }

  #dropped(offset: number): void {
    if (this.#settlements !== undefined) this.#settlements.settled(offset);
    else this.#trim(this.#state.floor);
  }

  /** A message that is in flight will not come back. */
  #doom(offset: number, reason: DeadLetterReason): void {
    if (this.#settings.deadLetterExchange === undefined) {
      this.#finish(offset);
      return;
    }
    this.#dead.add(offset, reason);
    this.#bury();
  }

  #bury(): void {
    if (this.#waitsToRead || this.#closeReason !== undefined) return;
    try {
      this.#dead.send(this.#state.endOffset);
    } catch (error) {
      this.#onReadFailed(error);
      this.#setTimer();
    }
  }

  #onBuried(offset: number, bytes: number, done: boolean): void {
    if (this.#closeReason !== undefined) return;
    if (done) this.#finish(offset);
    else {
      this.#readyBytes += bytes;
      this.#groups?.hold(offset);
      this.#state.delay(offset, this.#options.clock.monotonic() + this.#limits.retryMs);
      this.#setTimer();
    }
    this.#bury();
  }

  /** Of no messages the bytes are known. */
  #maybeKnowReadyBytes(): void {
    if (this.#state.readyCount > 0) return;
    this.#readyBytes = 0;
    this.#knowsReadyBytes = true;
  }

  #enforceLength(): void {
    const { maxLength, maxLengthBytes: bytesMax, overflow } = this.#settings;
    const maxLengthBytes = this.#knowsReadyBytes ? bytesMax : undefined;
    if (overflow !== 'drop-head' || (maxLength === undefined && maxLengthBytes === undefined)) return;
    const mustRead = maxLengthBytes !== undefined || this.#settings.deadLetterExchange !== undefined;
    while (
      (maxLength !== undefined && this.#state.readyCount > maxLength) ||
      (maxLengthBytes !== undefined && this.#readyBytes > maxLengthBytes)
    ) {
      const offset = this.#state.peek();
      if (offset === -1) return;
      if (!mustRead && this.#groups === undefined) {
        this.#knowsReadyBytes = false;
        this.#dropped(this.#state.drop());
        continue;
      }
      const view = this.#reader.at(offset, this.#state.endOffset);
      if (view === undefined) return;
      this.#dropHead(view, 'maxlen');
    }
  }

  /** Delayed messages, and the head if it has a time to live. */
  #setTimer(): void {
    if (this.#closeReason !== undefined) return;
    const { clock, deadlines } = this.#options;
    // First, since it may have to be tried again.
    const expiresInMs = this.#mayExpire && !this.#waitsToRead ? this.#headExpiresInMs() : Number.POSITIVE_INFINITY;
    const delayMs = Math.min(expiresInMs, Math.min(this.#state.nextDueMs, this.#retryAtMs) - clock.monotonic());
    if (delayMs === Number.POSITIVE_INFINITY) return;
    const dueMs = clock.monotonic() + Math.max(TIMER_MS_MIN, delayMs);
    if (this.#timer !== undefined && this.#timerDueMs <= dueMs) return;
    if (this.#timer !== undefined) deadlines.remove(this.#timer);
    this.#timerDueMs = dueMs;
    this.#timer = deadlines.add(dueMs - clock.monotonic(), () => this.#onTimer());
  }

  #headExpiresInMs(): number {
    try {
      const offset = this.#state.peek();
      const view = offset === -1 ? undefined : this.#reader.at(offset, this.#state.endOffset);
      return view === undefined ? Number.POSITIVE_INFINITY : this.#expiresAtMs(view) - this.#options.clock.now();
    } catch (error) {
      this.#onReadFailed(error);
      return Number.POSITIVE_INFINITY;
    }
  }

  #onTimer(): void {
    this.#timer = undefined;
    this.#timerDueMs = Number.POSITIVE_INFINITY;
    this.#retryAtMs = Number.POSITIVE_INFINITY;
    this.#state.releaseDue(this.#options.clock.monotonic());
    this.#expireHead();
    this.#bury();
    this.dispatch();
  }

  #expireHead(): void {
    try {
      const nowMs = this.#options.clock.now();
      for (let offset = this.#state.peek(); offset !== -1; offset = this.#state.peek()) {
        const view = this.#reader.at(offset, this.#state.endOffset);
        if (view === undefined || this.#expiresAtMs(view) > nowMs) return;
        this.#dropHead(view, 'expired');
      }
    } catch (error) {
      this.#onReadFailed(error);
    }
  }

  /** Its messages cannot be read: tried again after a while. */
  #onReadFailed(error: unknown): void {
    const failure = toBurrowError(error);
    if (this.#failure === undefined) {
      this.#options.logger.error({ queue: this.name, error: failure.message }, 'a queue cannot be read');
    }
    this.#failure = failure;
    this.#retryAtMs = this.#options.clock.monotonic() + this.#limits.retryMs;
  }
}

function delays(type: QueueSettings['delayedRetryType'], cause: ReturnCause): boolean {
  return type === 'all' || (type === 'failed' && cause === 'lost') || (type === 'returned' && cause === 'requeued');
}
