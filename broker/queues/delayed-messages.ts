/**
 * The messages that wait for one exchange of the kind x-delayed-message: stored like those of a queue, in a log of messages and
 * one of settlements, and handed to where the exchange routes them when their time has come. The time stands in the log as the
 * timestamp of the message's record, so a start finds out by one walk over the log what is due when.
 *
 * A message is settled once all that it is routed to have stored it, or if it is routed nowhere; so it survives a crash, after which
 * it may arrive a second time. It is confirmed to its publisher as soon as it is stored here.
 */
import { toBurrowError } from '../../src/errors/burrow-error.ts';
import { editProperties } from '../../src/messages/message-properties.ts';
import { RoutableProperties } from '../../src/messages/routable-properties.ts';
import { delayMs } from '../exchanges/delay.ts';
import type { Router } from '../exchanges/router.ts';
import type { Deadline, DeadlineQueue } from '../partitions/deadline-queue.ts';
import type { Clock } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { BatchLog } from './batch-log.ts';
import { DelayedMessageState } from './delayed-message-state.ts';
import type { MessageView, PublishedMessage } from './message-batch.ts';
import type { MessageForwarder } from './message-forwarder.ts';
import { MessageLog, type StoredTarget } from './message-log.ts';
import { MessageReader } from './message-reader.ts';
import { MessageScan } from './message-scan.ts';
import { QUEUE_LIMITS_DEFAULTS } from './queue-limits.ts';
import { loadSettlements, SettlementLog } from './settlement-log.ts';

export interface DelayedMessagesOptions {
  /** The name of the exchange. */
  readonly exchange: string;
  readonly messages: BatchLog;
  /** Undefined for an exchange that does not outlive the broker. */
  readonly settlements: BatchLog | undefined;
  readonly router: Pick<Router, 'routeDelayed'>;
  readonly forwarder: MessageForwarder;
  readonly clock: Clock;
  readonly deadlines: DeadlineQueue;
  readonly logger: Logger;
  readonly readAheadBytes: number;
  /** Messages handed on in one go; then others have their turn. Default 1,024. */
  readonly releasesMax?: number;
  /** Messages that are handed on and not stored yet. Default 1,024. */
  readonly inFlightMax?: number;
  /** How long a message waits that found a queue full. Default 1,000. */
  readonly retryMs?: number;
}

const RELEASES_MAX = 1_024;
const IN_FLIGHT_MAX = 1_024;
const RETRY_MS = 1_000;
/** The time of day may jump: so it is looked at from time to time. */
const TIMER_MS_MAX = 60_000;
const TIMER_MS_MIN = 1;

export class DelayedMessages {
  readonly #options: DelayedMessagesOptions;
  readonly #state: DelayedMessageState;
  readonly #log: MessageLog;
  readonly #settlements: SettlementLog | undefined;
  readonly #reader: MessageReader;
  readonly #routable = new RoutableProperties();
  /** Of messages that are on their way into the log, oldest first. */
  #pendingDueMs: number[] = [];
  /** Taken out of the state, and waiting for the disk; -1 for none. */
  #reading = -1;
  #releasing = false;
  #timer: Deadline | undefined;
  #timerDueMs = Number.POSITIVE_INFINITY;
  #closed = false;

  /** Finds out what waits. */
  static async open(options: DelayedMessagesOptions): Promise<DelayedMessages> {
    const { messages, settlements, readAheadBytes } = options;
    const floor = messages.logStartOffset;
    const state = new DelayedMessageState(floor);
    if (settlements !== undefined) {
      await loadSettlements(settlements, {
        onSettled: (start, end) => state.restoreSettled(Math.max(start, floor), end),
        onReturns: () => {},
      });
    }
    await new MessageScan(messages, readAheadBytes).run(state.floor, messages.highWatermark, (view) => {
      if (!state.isSettled(view.offset)) state.add(view.offset, view.timestampMs);
      return true;
    });
    const delayed = new DelayedMessages(options, state);
    delayed.#release();
    return delayed;
  }

  private constructor(options: DelayedMessagesOptions, state: DelayedMessageState) {
    const { exchange, messages, settlements, clock, logger, readAheadBytes } = options;
    this.#options = options;
    this.#state = state;
    this.#log = new MessageLog(messages, clock, QUEUE_LIMITS_DEFAULTS.batchBytes, {
      onRefused: (count) => this.#pendingDueMs.splice(-count),
      onFailed: (count) => this.#pendingDueMs.splice(0, count),
    });
    this.#reader = new MessageReader({ log: messages, readAheadBytes, onReady: () => this.#release() });
    messages.onAdvance = () => this.#onAdvance();
    if (settlements === undefined) return;
    const log = new SettlementLog({
      log: settlements,
      clock,
      state,
      limits: QUEUE_LIMITS_DEFAULTS,
      onFloor: (offset) => this.#trim(offset),
      onFailure: (error) => {
        logger.error({ exchange, error: String(error) }, 'settlements of delayed messages cannot be stored');
      },
    });
    this.#settlements = log;
    settlements.onAdvance = () => log.onAdvance();
  }

  /** Messages that wait, those on their way into the log included. */
  get count(): number {
    return this.#state.waitingCount + this.#state.inFlightCount + this.#pendingDueMs.length;
  }

  /**
   * Takes a message that the router sends to wait; `target` is told by its `number` when it is stored. Its header `x-delay` is stored
   * negated, as by RabbitMQ's plugin: so the consumer sees it, and no other exchange delays the message again.
   */
  publish(message: PublishedMessage, target: StoredTarget, number: number): true {
    if (this.#closed) {
      // Deleted in this very turn: as if it had not been found.
      target.onStored(number, number);
      return true;
    }
    const { routingKey, properties } = message;
    const delay = delayMs(this.#routable.set(routingKey, properties).headers);
    const dueMs = this.#options.clock.now() + delay;
    const edited = editProperties(properties, { headers: new Map([['x-delay', -delay]]) });
    this.#pendingDueMs.push(dueMs);
    this.#log.add({ ...message, properties: edited }, target, number, dueMs);
    return true;
  }

  /** Resolves when everything that has happened before the call is as durable as it gets. */
  async settled(): Promise<void> {
    await this.#log.settled();
    await this.#settlements?.synced().catch(() => {});
  }

  /** Hands on nothing any more: the exchange is deleted, and its logs with it, or the broker stops. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const { messages, settlements, deadlines } = this.#options;
    if (this.#timer !== undefined) deadlines.remove(this.#timer);
    messages.onAdvance = undefined;
    if (settlements !== undefined) settlements.onAdvance = undefined;
  }

  #onAdvance(): void {
    // First of all: what has gathered goes into the next round of the disk.
    this.#log.onAdvance();
    const { highWatermark } = this.#options.messages;
    const before = this.#state.endOffset;
    if (highWatermark <= before) return;
    const stored = this.#pendingDueMs.splice(0, highWatermark - before);
    for (let index = 0; index < stored.length; index++) this.#state.add(before + index, stored[index]!);
    this.#release();
  }

  #release(): void {
    if (this.#releasing || this.#closed) return;
    this.#releasing = true;
    const { clock, releasesMax = RELEASES_MAX, inFlightMax = IN_FLIGHT_MAX } = this.#options;
    let count = 0;
    try {
      const nowMs = clock.now();
      while (count < releasesMax) {
        if (this.#reading === -1 && this.#state.inFlightCount < inFlightMax) {
          this.#reading = this.#state.takeDue(nowMs);
        }
        const offset = this.#reading;
        if (offset === -1) break;
        const view = this.#reader.at(offset, this.#state.endOffset);
        if (view === undefined) break;
        this.#reading = -1;
        count++;
        this.#handOn(view);
      }
    } catch (error) {
      this.#onReadFailed(error);
    } finally {
      this.#releasing = false;
    }
    if (count === releasesMax) clock.schedule(0, () => this.#release());
    else this.#setTimer();
  }

  #handOn(view: MessageView): void {
    const { exchange: waitedFor, router, forwarder } = this.#options;
    const { offset, exchange, routingKey, properties, isDeadLetter } = view;
    const targets = router.routeDelayed(waitedFor, this.#routable.set(routingKey, properties));
    const message = { exchange, routingKey, properties, body: [view.body], isDeadLetter };
    forwarder.forward(message, targets, { place: this, offset }, (outcome) => {
      this.#onHandedOn(offset, outcome === 'stored');
    });
  }

  #onHandedOn(offset: number, done: boolean): void {
    if (this.#closed) return;
    const { messages, clock, retryMs = RETRY_MS } = this.#options;
    if (!done) this.#state.retry(offset, clock.now() + retryMs);
    else {
      this.#state.settle(offset);
      if (this.#settlements !== undefined) this.#settlements.settled(offset);
      else if (messages.canTrim(this.#state.floor)) void messages.trim(this.#state.floor);
    }
    this.#release();
  }

  #trim(floor: number): void {
    const { messages } = this.#options;
    if (messages.canTrim(floor)) void messages.trim(floor);
  }

  #setTimer(): void {
    const { clock, deadlines, inFlightMax = IN_FLIGHT_MAX } = this.#options;
    // Where an answer or the disk is waited for, it goes on when that has come.
    if (this.#reading !== -1 || this.#state.inFlightCount >= inFlightMax) return;
    if (this.#state.nextDueMs === Number.POSITIVE_INFINITY) return;
    const delay = Math.min(Math.max(this.#state.nextDueMs - clock.now(), TIMER_MS_MIN), TIMER_MS_MAX);
    const dueMs = clock.monotonic() + delay;
    if (this.#timer !== undefined && this.#timerDueMs <= dueMs) return;
    if (this.#timer !== undefined) deadlines.remove(this.#timer);
    this.#timerDueMs = dueMs;
    this.#timer = deadlines.add(delay, () => {
      this.#timer = undefined;
      this.#timerDueMs = Number.POSITIVE_INFINITY;
      this.#release();
    });
  }

  #onReadFailed(error: unknown): void {
    const { exchange, clock, logger, retryMs = RETRY_MS } = this.#options;
    logger.error({ exchange, error: toBurrowError(error).message }, 'delayed messages cannot be read');
    if (this.#reading === -1) return;
    this.#state.retry(this.#reading, clock.now() + retryMs);
    this.#reading = -1;
  }
}
