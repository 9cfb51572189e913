/**
 * Stands before a queue that drops repetitions (argument `x-message-deduplication`): a message whose id came before, within the window,
 * is confirmed and not stored. The id is the header `x-deduplication-header` if it is a string, else the message id; messages without
 * one always pass, and so do dead letters, since a message that comes back for another try is no repetition.
 *
 * An id is known if and only if its message was stored. A repetition that comes while the first is on its way waits for it
 * and shares its fate. After a restart the end of the queue's log tells the window again; for this its messages stay in the log as long
 * as they are in the window, also when they are settled ({@link Deduplication.retaining}): disk for what a second record of ids
 * would cost in things that can go wrong.
 */
import { utf8Bytes } from '../../src/bytes/utf8.ts';
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import { textProperty } from '../../src/messages/message-properties.ts';
import { hashKey } from '../log/key-hash.ts';
import type { Clock } from '../ports/clock.ts';
import type { BatchLog } from './batch-log.ts';
import { DeduplicationWindow, type WindowSize } from './deduplication-window.ts';
import type { PublishedMessage } from './message-batch.ts';
import { textHeaderOf } from './message-fields.ts';
import type { StoredTarget } from './message-log.ts';
import { MessageScan } from './message-scan.ts';
import type { Queue } from './queue.ts';

export const DEDUPLICATION_HEADER = 'x-deduplication-header';

export interface DeduplicationOptions extends Partial<WindowSize> {
  /** Default 5 minutes (x-cache-ttl). */
  readonly windowMs?: number;
  /** Default 100,000 (x-cache-size). */
  readonly count?: number;
  /** The header with the id. Default `x-deduplication-header`. */
  readonly header?: string;
  readonly clock: Clock;
}

/** A message with an id that is on its way into the log. */
interface Pending {
  readonly id: string;
  readonly offset: number;
  readonly timestampMs: number;
  readonly target: StoredTarget | undefined;
  readonly number: number;
  /** Repetitions that came meanwhile. */
  repetitions: Array<{ readonly target: StoredTarget; readonly number: number }> | undefined;
}

const WINDOW_MS = 5 * 60_000;
const WINDOW_COUNT = 100_000;
/** Longer ids are remembered by their hash, so that the memory of a window is bounded by its count. */
const ID_BYTES_MAX = 64;

export class Deduplication implements StoredTarget {
  readonly #clock: Clock;
  readonly #header: string;
  readonly #windowCount: number;
  readonly #window: DeduplicationWindow;
  readonly #pending = new Map<string, Pending>();
  readonly #pendingByNumber = new Map<number, Pending>();
  #nextNumber = 1;
  #dropped = 0;

  constructor(options: DeduplicationOptions) {
    const { windowMs = WINDOW_MS, count = WINDOW_COUNT, header = DEDUPLICATION_HEADER } = options;
    this.#clock = options.clock;
    this.#header = header;
    this.#windowCount = count;
    this.#window = new DeduplicationWindow({ windowMs, count });
  }

  /** Repetitions that were not stored, since the queue was opened. */
  get droppedCount(): number {
    return this.#dropped;
  }

  /** Reads the window back from a log that is there already. Once, before anything is published. */
  async load(messages: BatchLog, readAheadBytes: number): Promise<void> {
    const end = messages.highWatermark;
    const start = Math.max(messages.logStartOffset, end - this.#windowCount);
    await new MessageScan(messages, readAheadBytes).run(start, end, (view) => {
      const id = view.isDeadLetter ? undefined : this.#idOf(view.properties);
      if (id !== undefined) this.#window.add(id, view.offset, view.timestampMs);
      return true;
    });
  }

  /** The log for the queue: it keeps messages of the window. Not needed where the log does not outlive the broker. */
  retaining(messages: BatchLog): BatchLog {
    return new RetainingLog(messages, () => this.#window.oldestOffset(this.#clock.now(), messages.logEndOffset));
  }

  /** As {@link Queue.publish}; a repetition is taken and dropped. Per message. */
  publish(
    queue: Pick<Queue, 'publish' | 'nextOffset'>,
    message: PublishedMessage,
    target: StoredTarget | undefined,
    number: number,
  ): boolean {
    const id = message.isDeadLetter === true ? undefined : this.#idOf(message.properties);
    if (id === undefined) return queue.publish(message, target, number);
    const first = this.#pending.get(id);
    if (first !== undefined) {
      this.#dropped++;
      if (target !== undefined) {
        first.repetitions ??= [];
        first.repetitions.push({ target, number });
      }
      return true;
    }
    const nowMs = this.#clock.now();
    const offset = queue.nextOffset;
    if (this.#window.has(id, nowMs, offset)) {
      this.#dropped++;
      target?.onStored(number, number);
      return true;
    }
    const own = this.#nextNumber++;
    const pending: Pending = { id, offset, timestampMs: nowMs, target, number, repetitions: undefined };
    this.#pending.set(id, pending);
    this.#pendingByNumber.set(own, pending);
    if (queue.publish(message, this, own)) return true;
    this.#take(own);
    return false;
  }

  onStored(first: number, last: number): void {
    for (let own = first; own <= last; own++) {
      const { id, offset, timestampMs, target, number, repetitions } = this.#take(own);
      this.#window.add(id, offset, timestampMs);
      target?.onStored(number, number);
      for (const each of repetitions ?? []) each.target.onStored(each.number, each.number);
    }
  }

  onNotStored(first: number, last: number, error: BurrowError): void {
    for (let own = first; own <= last; own++) {
      const { target, number, repetitions } = this.#take(own);
      target?.onNotStored(number, number, error);
      for (const each of repetitions ?? []) each.target.onNotStored(each.number, each.number, error);
    }
  }

  #take(own: number): Pending {
    const pending = this.#pendingByNumber.get(own)!;
    this.#pendingByNumber.delete(own);
    this.#pending.delete(pending.id);
    return pending;
  }

  #idOf(properties: Uint8Array): string | undefined {
    const { length } = properties;
    if (length === 0) return undefined;
    const bytes = Buffer.from(properties.buffer, properties.byteOffset, length);
    const id = textHeaderOf(bytes, 0, length, this.#header) ?? textProperty(bytes, 0, length, 'messageId');
    return id === undefined || utf8Bytes(id) <= ID_BYTES_MAX ? id : hashed(id);
  }
}

/** A log that keeps more than the queue needs. */
class RetainingLog implements BatchLog {
  readonly #log: BatchLog;
  readonly #oldestNeeded: () => number;

  constructor(log: BatchLog, oldestNeeded: () => number) {
    this.#log = log;
    this.#oldestNeeded = oldestNeeded;
  }

  get name(): string {
    return this.#log.name;
  }

  get logStartOffset(): number {
    return this.#log.logStartOffset;
  }

  get logEndOffset(): number {
    return this.#log.logEndOffset;
  }

  get highWatermark(): number {
    return this.#log.highWatermark;
  }

  get byteCount(): number {
    return this.#log.byteCount;
  }

  get batchBytesMax(): number {
    return this.#log.batchBytesMax;
  }

  get onAdvance(): (() => void) | undefined {
    return this.#log.onAdvance;
  }

  set onAdvance(onAdvance: (() => void) | undefined) {
    this.#log.onAdvance = onAdvance;
  }

  append(batch: Buffer): Promise<void> | undefined {
    return this.#log.append(batch);
  }

  read(offset: number, endOffset: number, bytesMax: number): Buffer[] | Promise<Buffer[]> {
    return this.#log.read(offset, endOffset, bytesMax);
  }

  trim(offset: number): Promise<void> {
    return this.#log.trim(Math.min(offset, this.#oldestNeeded()));
  }

  canTrim(offset: number): boolean {
    return this.#log.canTrim(Math.min(offset, this.#oldestNeeded()));
  }
}

/** No string of a client that is short enough is like it. */
function hashed(id: string): string {
  const bytes = Buffer.from(id);
  const words = new Uint32Array(4);
  hashKey(bytes, 0, bytes.length, 0, words);
  return `\u0000${' '.repeat(ID_BYTES_MAX)}${words.join(' ')}`;
}
