/**
 * Sends that cannot be added to a batch yet, because their topic is not known or the buffer is full: one line per topic, first
 * come, first served, so that records of a topic keep their order. Nothing here runs while nobody waits.
 */
import { BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import type { ClientClock, ClientTimer } from '../clock.ts';
import type { ProducerBatch, RecordMetadata } from './producer-batch.ts';
import type { ProducerRecord } from './producer-options.ts';
import type { SendManyWatcher } from './watchers.ts';

/** A send(), or what one sendMany() has for one topic, or (without records) the mark of a flush(). */
export interface BlockedSend<K, V> {
  readonly records: readonly ProducerRecord<K, V>[];
  /** Of a sendMany(). */
  readonly watcher?: SendManyWatcher;
  /** Of a send(). */
  readonly resolve?: (metadata: Promise<RecordMetadata>) => void;
  /** Called once when nothing of it waits any more; with an error if not all records were added. */
  readonly onEnd: (error: BurrowError | undefined) => void;
}

interface Waiting<K, V> extends BlockedSend<K, V> {
  /** The first record that was not added yet. */
  index: number;
  /** Monotonic milliseconds. */
  readonly sinceMs: number;
  next: Waiting<K, V> | undefined;
}

/** The line of one topic. A linked list: an array's shift() would cost more the longer the line is. */
export class BlockedLine<K, V> {
  head: Waiting<K, V> | undefined;
  #tail: Waiting<K, V> | undefined;
  /** When a record of this line was last added to a batch, in monotonic milliseconds. */
  lastProgressMs = 0;

  push(waiting: Waiting<K, V>): void {
    if (this.#tail === undefined) this.head = waiting;
    else this.#tail.next = waiting;
    this.#tail = waiting;
  }

  removeHead(): void {
    this.head = this.head?.next;
    if (this.head === undefined) this.#tail = undefined;
  }

  /** When the head will have waited for `blockMaxMs` without progress. */
  giveUpAtMs(blockMaxMs: number): number {
    if (this.head === undefined) return Number.POSITIVE_INFINITY;
    return Math.max(this.lastProgressMs, this.head.sinceMs) + blockMaxMs;
  }
}

/** A topic, as far as its line is concerned. */
export interface BlockedTopic<K, V> {
  readonly name: string;
  readonly line: BlockedLine<K, V>;
}

export interface BlockedSendsOptions<K, V, T extends BlockedTopic<K, V>> {
  readonly clock: ClientClock;
  readonly maxBlockMs: number;
  /** Adds the record to a batch; undefined if it must go on waiting. */
  tryAdd(topic: T, record: ProducerRecord<K, V>, nowMs: number): ProducerBatch | undefined;
  /** What a send waited for in vain. */
  describeBlock(topic: T): string;
}

export class BlockedSends<K, V, T extends BlockedTopic<K, V>> {
  readonly #options: BlockedSendsOptions<K, V, T>;
  readonly #clock: ClientClock;
  /** Topics in whose line somebody waits; the first to be served first. */
  readonly #topics = new Set<T>();
  #timer: ClientTimer | undefined;

  constructor(options: BlockedSendsOptions<K, V, T>) {
    this.#options = options;
    this.#clock = options.clock;
  }

  get isEmpty(): boolean {
    return this.#topics.size === 0;
  }

  wait(topic: T, send: BlockedSend<K, V>): void {
    topic.line.push({ ...send, index: 0, sinceMs: this.#clock.monotonic(), next: undefined });
    this.#topics.add(topic);
    this.#armTimer();
  }

  /** Adds what has become possible to add. A topic that was served goes to the end, so that none starves. */
  advance(): void {
    for (const topic of [...this.#topics]) {
      this.#advanceLine(topic);
      this.#topics.delete(topic);
      if (topic.line.head !== undefined) this.#topics.add(topic);
    }
    this.#armTimer();
  }

  /** Resolves when everybody who waits now has been served or refused. */
  async allServed(): Promise<void> {
    await Promise.all([...this.#topics].map((topic) => this.#lineServed(topic)));
  }

  fail(topic: T, error: BurrowError): void {
    for (let waiting = topic.line.head; waiting !== undefined; waiting = topic.line.head) {
      topic.line.removeHead();
      waiting.onEnd(error);
    }
    this.#topics.delete(topic);
  }

  close(error: BurrowError): void {
    this.#timer?.cancel();
    for (const topic of this.#topics) this.fail(topic, error);
  }

  #lineServed(topic: T): Promise<void> {
    return new Promise((resolve) => {
      this.wait(topic, { records: [], onEnd: () => resolve() });
    });
  }

  #advanceLine(topic: T): void {
    const { line } = topic;
    const nowMs = this.#clock.now();
    for (let waiting = line.head; waiting !== undefined; waiting = line.head) {
      let failure: BurrowError | undefined;
      while (waiting.index < waiting.records.length) {
        const record = waiting.records[waiting.index]!;
        let batch: ProducerBatch | undefined;
        try {
          batch = this.#options.tryAdd(topic, record, nowMs);
        } catch (error) {
          failure = toBurrowError(error);
          break;
        }
        if (batch === undefined) return;
        waiting.index += 1;
        line.lastProgressMs = this.#clock.monotonic();
        waiting.watcher?.onAppended(batch);
        waiting.resolve?.(batch.promiseOfLastRecord(record.timestampMs ?? nowMs));
      }
      line.removeHead();
      waiting.onEnd(failure);
    }
  }

  #armTimer(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    let dueMs = Number.POSITIVE_INFINITY;
    for (const { line } of this.#topics) dueMs = Math.min(dueMs, line.giveUpAtMs(this.#options.maxBlockMs));
    if (dueMs === Number.POSITIVE_INFINITY) return;
    this.#timer = this.#clock.schedule(dueMs - this.#clock.monotonic(), () => this.#giveUp());
  }

  #giveUp(): void {
    const nowMs = this.#clock.monotonic();
    for (const topic of [...this.#topics]) {
      const { line } = topic;
      for (let waiting = line.head; waiting !== undefined; waiting = line.head) {
        if (line.giveUpAtMs(this.#options.maxBlockMs) > nowMs) break;
        line.removeHead();
        const text = this.#options.describeBlock(topic);
        waiting.onEnd(new BurrowError('BUFFER_FULL', text, { fields: { topic: topic.name } }));
      }
      if (line.head === undefined) this.#topics.delete(topic);
    }
    this.#armTimer();
  }
}
