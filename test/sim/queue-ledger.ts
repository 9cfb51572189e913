/**
 * What one queue has promised, kept apart from it: every message that was published, where it must be now, and what may
 * have become of it. Fed with what publishers, consumers and dead letters see; throws where that breaks a promise.
 *
 * A message is known by its body. Messages are ordered by when they were published, which must be the order of their offsets.
 */

import type { QueueSettings } from '../../broker/definitions/queue-settings.ts';
import type { DeadLetterReason } from '../../broker/queues/queue.ts';

type Place =
  /** Published; not known to be stored. */
  | 'on its way'
  /** The broker could not say that it is stored; it may be. */
  | 'unknown'
  | 'ready'
  /** Delivered, and not settled. */
  | 'out'
  /** Refused or given up; its dead letter has not arrived. */
  | 'doomed'
  | 'gone';

export interface Entry {
  readonly id: string;
  readonly order: number;
  readonly key: string;
  readonly level: number;
  /** When its time to live is over; Infinity without. */
  readonly expiresAtMs: number;
  offset: number;
  place: Place;
  confirmed: boolean;
  /** 'sure': durably, it must never be seen again. */
  settled: 'no' | 'maybe' | 'sure';
  /** Of this life, or restored. */
  returns: number;
  /** Must be known after a crash. */
  returnsSynced: number;
  readyAtMs: number;
  /** When it was stored, as the publisher was told; -1 before. */
  arrivedAtMs: number;
  deliveredInThisLife: boolean;
  /** Something that cannot be seen from outside may have removed it. */
  mayBeDropped: boolean;
  /** Expired, or too many: it holds up nobody, also if its dead letter finds no place. */
  leftUnasked: boolean;
}

export class QueueLedger {
  readonly name: string;
  readonly entries = new Map<string, Entry>();
  readonly #settings: QueueSettings;
  /** Entries of this life that are not gone, by place. */
  readonly #live = new Set<Entry>();
  #nextOrder = 0;
  #highestFirst: number[] = [];
  deliveries = 0;
  settlements = 0;

  constructor(name: string, settings: QueueSettings) {
    this.name = name;
    this.#settings = settings;
  }

  /** Messages may leave without anybody being told. */
  get dropsSilently(): boolean {
    const { messageTtlMs, maxLength, maxLengthBytes, overflow, deadLetterExchange } = this.#settings;
    const limited = (maxLength !== undefined || maxLengthBytes !== undefined) && overflow === 'drop-head';
    return deadLetterExchange === undefined && (messageTtlMs !== undefined || limited || this.mayExpire);
  }

  /** Single messages have a time to live. */
  mayExpire = false;

  /** Expired and surplus messages are doomed before anybody is told. */
  get doomsUnseen(): boolean {
    return this.#dropsHead || this.mayExpire || this.#settings.messageTtlMs !== undefined;
  }

  get #dropsHead(): boolean {
    const { maxLength, maxLengthBytes, overflow } = this.#settings;
    return (maxLength !== undefined || maxLengthBytes !== undefined) && overflow === 'drop-head';
  }

  count(...places: readonly Place[]): number {
    let count = 0;
    for (const { place } of this.#live) if (places.includes(place)) count++;
    return count;
  }

  // Publishing

  onPublish(
    id: string,
    options: { readonly key: string; readonly level: number; readonly expiresAtMs: number },
  ): Entry {
    const entry: Entry = {
      id,
      order: this.#nextOrder++,
      ...options,
      offset: -1,
      place: 'on its way',
      confirmed: false,
      settled: 'no',
      returns: 0,
      returnsSynced: 0,
      readyAtMs: 0,
      arrivedAtMs: -1,
      deliveredInThisLife: false,
      mayBeDropped: false,
      leftUnasked: false,
    };
    this.entries.set(id, entry);
    this.#live.add(entry);
    this.#noteSurplus();
    return entry;
  }

  /** The queue was full and has said so. */
  onRefused(entry: Entry): void {
    this.entries.delete(entry.id);
    this.#live.delete(entry);
    const { maxLength, overflow } = this.#settings;
    const count = this.count('ready', 'on its way', 'doomed');
    if (overflow === 'drop-head' || maxLength === undefined || count < maxLength) {
      this.#fail(`${entry.id} was refused by a queue of ${count}`);
    }
  }

  onConfirmed(entry: Entry, nowMs: number): void {
    if (entry.confirmed) this.#fail(`${entry.id} was confirmed twice`);
    entry.confirmed = true;
    entry.arrivedAtMs = nowMs;
    if (entry.place === 'on its way') entry.place = 'ready';
  }

  /** Where the queue is too long, any of its messages may be the one that goes. */
  #noteSurplus(): void {
    if (!this.#dropsHead || !this.dropsSilently) return;
    const { maxLength } = this.#settings;
    if (maxLength !== undefined && this.count('ready', 'on its way') <= maxLength) return;
    for (const each of this.#live) if (each.place === 'ready' || each.place === 'on its way') each.mayBeDropped = true;
  }

  onNotConfirmed(entry: Entry): void {
    if (entry.confirmed) this.#fail(`${entry.id} was confirmed, and then not`);
    if (entry.place === 'on its way') entry.place = 'unknown';
  }

  // Deliveries

  onDelivered(id: string, offset: number, returns: number, nowMs: number, noAck: boolean): Entry {
    const entry = this.#entry(id);
    this.deliveries++;
    if (entry.settled === 'sure') this.#fail(`${id} was settled, and is delivered again`);
    if (entry.place !== 'ready' && entry.place !== 'on its way')
      this.#fail(`${id} is delivered while it is ${entry.place}`);
    if (entry.offset !== -1 && entry.offset !== offset) this.#fail(`${id} has moved from ${entry.offset} to ${offset}`);
    if (returns !== entry.returns) this.#fail(`${id} came back ${entry.returns} times, not ${returns} times`);
    if (nowMs < entry.readyAtMs) this.#fail(`${id} is delivered ${entry.readyAtMs - nowMs} ms too early`);
    // Unless a consumer waited for it when it arrived (a time to live of 0 means that).
    const hasJustArrived = entry.place === 'on its way' || (entry.arrivedAtMs === nowMs && entry.returns === 0);
    if (nowMs >= entry.expiresAtMs && !hasJustArrived) this.#fail(`${id} is delivered although its time is over`);
    this.#checkOrder(entry, nowMs);
    entry.offset = offset;
    entry.deliveredInThisLife = true;
    entry.place = 'out';
    if (noAck) this.onSettled(entry);
    return entry;
  }

  /** Nobody before it is known to be ready. */
  #checkOrder(entry: Entry, nowMs: number): void {
    const grouped = this.#settings.groupKeyHeader !== undefined;
    if (grouped) {
      for (const other of this.#live) {
        if (other.key !== entry.key || other === entry) continue;
        if (other.place === 'out' || (other.place === 'doomed' && !other.leftUnasked)) {
          this.#fail(`${entry.id} is delivered while ${other.id} of its group ${entry.key} is ${other.place}`);
        }
        const isBefore = other.level === entry.level && other.order < entry.order && other.place === 'ready';
        const isExempt = other.leftUnasked || this.#dropsHead || nowMs >= other.expiresAtMs;
        if (isBefore && !isExempt) {
          this.#fail(`${entry.id} overtakes ${other.id} of its group ${entry.key}`);
        }
      }
      return;
    }
    if (entry.returns === 0 && !entry.deliveredInThisLife && entry.readyAtMs === 0) {
      const highest = this.#highestFirst[entry.level] ?? -1;
      if (entry.order < highest) this.#fail(`${entry.id} is delivered behind a later one`);
      this.#highestFirst[entry.level] = entry.order;
    }
    if (this.#dropsHead) return;
    for (const other of this.#live) {
      if (other.place !== 'ready' || other === entry) continue;
      if (other.readyAtMs + 2 > nowMs || nowMs >= other.expiresAtMs) continue;
      const isBefore = other.level > entry.level || (other.level === entry.level && other.order < entry.order);
      if (isBefore) this.#fail(`${entry.id} (priority ${entry.level}) overtakes ${other.id} (priority ${other.level})`);
    }
  }

  onSettled(entry: Entry): void {
    this.settlements++;
    this.#gone(entry);
  }

  /** A consumer refuses it for good. */
  onRejected(entry: Entry): void {
    if (this.#settings.deadLetterExchange === undefined) this.onSettled(entry);
    else entry.place = 'doomed';
  }

  /** A consumer gives it back. `count` counts against the delivery limit. */
  onReturned(entry: Entry, cause: 'requeued' | 'lost', nowMs: number): void {
    const { deliveryLimit, delayedRetryType, delayedRetryMinMs, delayedRetryMaxMs, deadLetterExchange } =
      this.#settings;
    if (deliveryLimit !== undefined && entry.returns + 1 > deliveryLimit) {
      if (deadLetterExchange === undefined) this.onSettled(entry);
      else entry.place = 'doomed';
      return;
    }
    entry.returns++;
    entry.place = 'ready';
    entry.readyAtMs = 0;
    this.#noteSurplus();
    if (delayedRetryMinMs === undefined || delayedRetryType === 'disabled') return;
    if (delayedRetryType === 'all' || (delayedRetryType === 'failed') === (cause === 'lost')) {
      entry.readyAtMs =
        nowMs + Math.min(delayedRetryMinMs * entry.returns, delayedRetryMaxMs ?? Number.POSITIVE_INFINITY);
    }
  }

  onPurged(entries: Iterable<Entry>): void {
    for (const entry of entries) if (entry.place === 'ready' || entry.place === 'on its way') this.#gone(entry);
  }

  // Dead letters

  onDeadLetter(id: string, reason: DeadLetterReason, nowMs: number): Entry {
    const entry = this.#entry(id);
    if (entry.settled === 'sure') this.#fail(`${id} was settled, and is dead-lettered (${reason})`);
    if (reason === 'rejected' || reason === 'delivery_limit') {
      if (entry.place !== 'doomed') this.#fail(`${id} is dead-lettered (${reason}) while it is ${entry.place}`);
    } else {
      if (entry.place !== 'ready' && entry.place !== 'on its way') {
        this.#fail(`${id} is dead-lettered (${reason}) while it is ${entry.place}`);
      }
      entry.leftUnasked = true;
      if (reason === 'expired' && nowMs < entry.expiresAtMs) this.#fail(`${id} has expired too early`);
      if (reason === 'maxlen' && !this.#dropsHead) this.#fail(`${id} was dropped from a queue without a limit`);
    }
    entry.place = 'doomed';
    return entry;
  }

  onDeadLetterDone(entry: Entry, done: boolean, backAtMs: number): void {
    if (done) this.onSettled(entry);
    else {
      entry.place = 'ready';
      entry.readyAtMs = backAtMs;
    }
  }

  // What is durable

  /** What is settled now: to be given to {@link onSynced} when the queue says that it is durable. */
  beginSync(): ReadonlyMap<Entry, number> {
    const noted = new Map<Entry, number>();
    for (const entry of this.entries.values()) {
      if (entry.settled === 'maybe') noted.set(entry, -1);
      else if (this.#settings.deliveryLimit !== undefined && entry.returns > entry.returnsSynced)
        noted.set(entry, entry.returns);
    }
    return noted;
  }

  onSynced(noted: ReadonlyMap<Entry, number>): void {
    for (const [entry, returns] of noted) {
      if (returns === -1) entry.settled = 'sure';
      else entry.returnsSynced = Math.max(entry.returnsSynced, returns);
    }
  }

  /** What was said to be stored may not be. */
  forgetPromises(): void {
    for (const entry of this.entries.values()) {
      if (entry.settled === 'sure') entry.settled = 'maybe';
      entry.confirmed = false;
      entry.returnsSynced = 0;
      // Another one may have its place.
      entry.offset = -1;
    }
  }

  /** `present`: offsets of the messages that the restarted queue has, in its order, and how often each came back. */
  onRestarted(present: ReadonlyMap<string, { offset: number; returns: number }>, nowMs: number): void {
    let last: Entry | undefined;
    for (const [id, { offset, returns }] of present) {
      const entry = this.#entry(id);
      if (entry.settled === 'sure') this.#fail(`${id} was settled, and is back after a restart`);
      if (last !== undefined && last.order > entry.order) this.#fail(`${id} stands behind ${last.id} after a restart`);
      if (entry.offset !== -1 && entry.offset !== offset)
        this.#fail(`${id} has moved from ${entry.offset} to ${offset}`);
      if (returns > entry.returns || returns < entry.returnsSynced) {
        this.#fail(
          `${id} came back ${entry.returns} times (${entry.returnsSynced} durably), now it is ${returns} times`,
        );
      }
      last = entry;
    }
    this.#live.clear();
    for (const entry of this.entries.values()) {
      const found = present.get(entry.id);
      if (found === undefined) {
        const isLost = entry.confirmed && entry.settled === 'no' && !this.#mayHaveDropped(entry, nowMs);
        if (isLost)
          this.#fail(
            `${entry.id} was confirmed and never settled, and is lost after a restart (it was ${entry.place})`,
          );
        entry.settled = 'sure';
        entry.place = 'gone';
        continue;
      }
      entry.offset = found.offset;
      entry.place = 'ready';
      entry.confirmed = true;
      entry.settled = 'no';
      entry.returns = found.returns;
      entry.returnsSynced = this.#settings.deliveryLimit === undefined ? 0 : found.returns;
      entry.readyAtMs = 0;
      entry.deliveredInThisLife = false;
      this.#live.add(entry);
    }
    this.#highestFirst = [];
    this.#noteSurplus();
  }

  /** What the queue says of itself, at a moment when nothing runs. */
  checkCounts(readyCount: number, unsettledCount: number): void {
    const ready = this.count('ready', 'on its way');
    const unsettled = this.count('out', 'doomed');
    const text = `${readyCount} ready and ${unsettledCount} unsettled; the ledger has ${ready} and ${unsettled}`;
    if (this.dropsSilently ? readyCount > ready || readyCount < 0 : readyCount + unsettledCount !== ready + unsettled) {
      this.#fail(`it says ${text}`);
    }
    if (this.dropsSilently || !this.doomsUnseen ? unsettledCount !== unsettled : unsettledCount < unsettled) {
      this.#fail(`it says ${text}`);
    }
  }

  /** The queue is empty: nothing may be missing. */
  checkDrained(nowMs: number): void {
    for (const entry of this.#live) {
      const dropped = this.dropsSilently && this.#mayHaveDropped(entry, nowMs);
      if (!dropped) this.#fail(`the queue is empty, but ${entry.id} is ${entry.place}`);
    }
  }

  /** Entries that must still be there. */
  get rest(): readonly Entry[] {
    return [...this.#live];
  }

  #mayHaveDropped(entry: Entry, nowMs: number): boolean {
    return this.dropsSilently && (entry.mayBeDropped || nowMs >= entry.expiresAtMs);
  }

  #gone(entry: Entry): void {
    entry.place = 'gone';
    entry.settled = 'maybe';
    this.#live.delete(entry);
  }

  #entry(id: string): Entry {
    const entry = this.entries.get(id);
    if (entry === undefined) this.#fail(`nobody published ${id}`);
    return entry;
  }

  #fail(what: string): never {
    throw new Error(`${this.name}: ${what}`);
  }
}
