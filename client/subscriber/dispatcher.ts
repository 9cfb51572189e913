/**
 * Brings records to handlers: as many at once as `concurrency` says, in the order of their keys, and does with those that fail what
 * the policy says. Takes batches as it needs them, and tells partitions how far they are finished. It fetches and commits nothing.
 *
 * All progress is made by one function, `#pump`, that every event leads to: it starts what may be started.
 * Per record: what the handler itself needs, one callback on the promise that it returns, and nothing for one that returns none.
 */
import { isBurrowError } from '../../src/errors/burrow-error.ts';
import type { ClientClock, ClientTimer } from '../clock.ts';
import type { ConsumerBatch, ConsumerRecord } from '../consumer/consumer-record.ts';
import { Signal } from '../groups/signal.ts';
import type { FailureDecision, FailurePolicy, RawRecord } from './failure-policy.ts';
import { KeyOrderState, NO_KEY } from './key-order-state.ts';
import type { BatchHandler, RecordHandler } from './subscriber-options.ts';
import { type BatchWork, handedBatch, type PartitionWork, WHOLE_BATCH, WorkItem } from './work.ts';

export interface DispatcherOptions<K, V> {
  readonly clock: ClientClock;
  readonly concurrency: number;
  readonly policy: FailurePolicy;
  readonly handler: RecordHandler<K, V> | BatchHandler<K, V>;
  /** Whether the handler gets batches. */
  readonly isBatched: boolean;
  /** The next batch to work on; undefined if there is none now. */
  takeBatch(): BatchWork<K, V> | undefined;
  /** A record failed for good: nothing more is begun. */
  onStopped(error: unknown): void;
}

/** A place in which one handler runs at a time. Its callbacks are made once, not per record. */
interface Lane<K, V> {
  item: WorkItem<K, V> | undefined;
  readonly onDone: () => void;
  readonly onFailed: (error: unknown) => void;
}

/** After this time others get a turn, in milliseconds. */
const TURN_MS = 10;
/** Handlers that are started between two looks at the clock. */
const STARTS_PER_LOOK = 32;

/** Items kept to be used again. */
const SPARE_MAX = 10_000;

export class Dispatcher<K, V> {
  readonly #options: DispatcherOptions<K, V>;
  readonly #handler: (subject: never, attempt: number) => unknown;
  readonly #order = new KeyOrderState<WorkItem<K, V>>();
  readonly #spare: Array<WorkItem<K, V>> = [];
  readonly #freeLanes: Array<Lane<K, V>> = [];
  /** Handlers that run, and records being set aside. */
  #running = 0;
  #pumping: boolean = false;
  #stopped: boolean = false;
  /** Waits for the next turn of the event loop. */
  #isYielding: boolean = false;
  #turnBeganMs = 0;
  /** Handlers to start before the clock is looked at again. */
  #startsLeft = STARTS_PER_LOOK;
  /** Records that wait to be tried again. */
  readonly #retries = new Set<ClientTimer>();
  /** Who waits for running handlers. */
  #waiters = 0;
  readonly #ended = new Signal();

  constructor(options: DispatcherOptions<K, V>) {
    this.#options = options;
    this.#handler = options.handler as (subject: never, attempt: number) => unknown;
  }

  /** Starts what may be started. Called whenever something has changed outside. */
  pump(): void {
    this.#beginTurn();
    this.#pump();
  }

  #pump(): void {
    // A handler that returns at once leads here again.
    if (this.#pumping || this.#stopped) return;
    this.#pumping = true;
    while (this.#running < this.#options.concurrency && !this.#stopped && this.#mayGoOn()) {
      const item = this.#order.next();
      if (item !== undefined) this.#start(item);
      else if (!this.#takeBatch()) break;
    }
    this.#pumping = false;
  }

  #beginTurn(): void {
    this.#startsLeft = STARTS_PER_LOOK;
    this.#turnBeganMs = this.#options.clock.monotonic();
  }

  /** False if it is the turn of others: handlers that do not wait for anything would keep the event loop to themselves. */
  #mayGoOn(): boolean {
    if (this.#isYielding) return false;
    this.#startsLeft -= 1;
    if (this.#startsLeft >= 0) return true;
    const { clock } = this.#options;
    this.#startsLeft = STARTS_PER_LOOK;
    if (clock.monotonic() - this.#turnBeganMs < TURN_MS) return true;
    this.#isYielding = true;
    clock.afterTurn(() => {
      this.#isYielding = false;
      this.pump();
    });
    return false;
  }

  /** Begins nothing more. What runs goes on, and counts when it is finished. */
  stop(): void {
    this.#stopped = true;
    for (const timer of this.#retries) timer.cancel();
    this.#retries.clear();
  }

  /** Resolves when nothing of these runs any more, or after `timeoutMs`. Without partitions: nothing at all. */
  async settle(partitions: ReadonlyArray<PartitionWork<K, V>> | undefined, timeoutMs: number): Promise<void> {
    const { clock } = this.#options;
    const giveUpAtMs = clock.monotonic() + timeoutMs;
    const isRunning = () =>
      partitions === undefined ? this.#running > 0 : partitions.some(({ running }) => running > 0);
    this.#waiters += 1;
    for (let leftMs = timeoutMs; isRunning() && leftMs > 0; leftMs = giveUpAtMs - clock.monotonic()) {
      await this.#ended.wait(clock, leftMs);
    }
    this.#waiters -= 1;
  }

  #takeBatch(): boolean {
    let batch: BatchWork<K, V> | undefined;
    try {
      batch = this.#options.takeBatch();
    } catch (error) {
      // The policy was asked whether records are due, and failed.
      this.#fail(error);
    }
    if (batch === undefined) return false;
    const { records, partition } = batch;
    if (this.#options.isBatched) {
      this.#add(batch, WHOLE_BATCH, positive(partition.salt));
      return true;
    }
    for (let index = 0; index < records.length; index += 1) {
      const hash = records[index]!.keyHash;
      this.#add(batch, index, hash === undefined ? NO_KEY : positive(hash ^ partition.salt));
    }
    return true;
  }

  #add(batch: BatchWork<K, V>, index: number, key: number): void {
    let item = this.#spare.pop();
    if (item === undefined) {
      item = new WorkItem(batch, index);
    } else {
      item.batch = batch;
      item.index = index;
      item.attempts = 0;
    }
    item.key = key;
    this.#order.add(item);
  }

  /** Per record. */
  #start(item: WorkItem<K, V>): void {
    const { batch, index } = item;
    const { partition } = batch;
    if (partition.revoked) {
      this.#remove(item);
      return;
    }
    item.attempts += 1;
    let result: unknown;
    try {
      const subject = index === WHOLE_BATCH ? handedBatch(batch) : batch.records[index]!;
      const attempt = partition.isRetry ? this.#attemptOf(item, subject) : item.attempts;
      result = this.#handler(subject as never, attempt);
    } catch (error) {
      this.#onFailed(item, error);
      return;
    }
    if (!isThenable(result)) {
      this.#finish(item);
      return;
    }
    const lane = this.#freeLanes.pop() ?? this.#newLane();
    lane.item = item;
    this.#enter(partition);
    // What only looks like a promise may do anything when it is asked; a promise made of it does not.
    const promise = result instanceof Promise ? result : Promise.resolve(result);
    promise.then(lane.onDone, lane.onFailed);
  }

  /** Of the first record of a batch: the others failed with it. */
  #attemptOf({ attempts }: WorkItem<K, V>, subject: ConsumerRecord<K, V> | ConsumerBatch<K, V>): number {
    const record = 'records' in subject ? subject.records[0]! : subject;
    return this.#options.policy.attemptsBefore(record.raw()) + attempts;
  }

  #newLane(): Lane<K, V> {
    const lane: Lane<K, V> = {
      item: undefined,
      onDone: () => {
        const item = this.#leaveLane(lane);
        this.#finish(item);
        this.#pump();
      },
      onFailed: (error) => {
        const item = this.#leaveLane(lane);
        this.#onFailed(item, error);
        this.#pump();
      },
    };
    return lane;
  }

  #leaveLane(lane: Lane<K, V>): WorkItem<K, V> {
    const item = lane.item!;
    lane.item = undefined;
    this.#freeLanes.push(lane);
    this.#leave(item.batch.partition);
    return item;
  }

  #enter(partition: PartitionWork<K, V>): void {
    this.#running += 1;
    partition.running += 1;
  }

  #leave(partition: PartitionWork<K, V>): void {
    this.#running -= 1;
    partition.running -= 1;
    // After what follows in this turn, which may finish the item.
    if (this.#waiters > 0) queueMicrotask(() => this.#ended.notify());
  }

  /** The record, or all of the batch, needs no more work. Per record. */
  #finish(item: WorkItem<K, V>): void {
    const { batch, index } = item;
    const { progress } = batch.partition;
    if (index === WHOLE_BATCH) progress.finishAll(batch.taken);
    else progress.finish(batch.taken, index);
    batch.partition.noteProgress();
    this.#remove(item);
  }

  /** Finished or not, nobody works on it any more. */
  #remove(item: WorkItem<K, V>): void {
    const { batch, index } = item;
    this.#order.finish(item);
    if (this.#spare.length < SPARE_MAX) this.#spare.push(item);
    batch.release(index === WHOLE_BATCH ? batch.records.length : 1);
    // A spare item must not keep the bytes of its last batch.
    item.batch = undefined as unknown as BatchWork<K, V>;
  }

  #onFailed(item: WorkItem<K, V>, error: unknown): void {
    if (item.batch.partition.revoked) {
      this.#remove(item);
      return;
    }
    if (this.#stopped) return;
    const failed = failedRecords(item, error);
    const [first] = failed;
    // All of a batch have been set aside, and its handler does not like what is left.
    if (first === undefined) {
      this.#finish(item);
      return;
    }
    let decision: FailureDecision;
    let attempts: number;
    try {
      const raw = item.batch.records[first]!.raw();
      attempts = this.#options.policy.attemptsBefore(raw) + item.attempts;
      decision = this.#options.policy.decide(raw, attempts, error);
    } catch (thrown) {
      this.#fail(thrown);
      return;
    }
    switch (decision.kind) {
      case 'retryInPlace':
        this.#retryLater(item, decision.delayMs);
        break;
      case 'setAside':
        void this.#setAside(item, failed, error);
        break;
      case 'stop':
        this.#fail(error);
        break;
    }
  }

  #retryLater(item: WorkItem<K, V>, delayMs: number): void {
    const timer = this.#options.clock.schedule(delayMs, () => {
      this.#retries.delete(timer);
      this.#order.release(item);
      this.pump();
    });
    this.#retries.add(timer);
  }

  /** One after the other, so that they keep their order. Never rejects. */
  async #setAside(item: WorkItem<K, V>, failed: readonly number[], error: unknown): Promise<void> {
    const { batch } = item;
    const { policy } = this.#options;
    this.#enter(batch.partition);
    try {
      for (const index of failed) {
        const raw: RawRecord = batch.records[index]!.raw();
        await policy.setAside(raw, policy.attemptsBefore(raw) + item.attempts, error);
        batch.partition.progress.finish(batch.taken, index);
        batch.partition.noteProgress();
      }
    } catch (thrown) {
      this.#leave(batch.partition);
      this.#fail(thrown);
      return;
    }
    this.#leave(batch.partition);
    if (batch.taken.done.includes(0) && item.index === WHOLE_BATCH) {
      // The rest of the batch is another batch: its handler has not failed with it yet.
      item.attempts = 0;
      this.#order.release(item);
    } else {
      this.#remove(item);
    }
    this.pump();
  }

  #fail(error: unknown): void {
    if (this.#stopped) return;
    this.stop();
    this.#options.onStopped(error);
  }
}

/** Which records of an item failed, by their places in the batch: of a batch all, unless the error names one that cannot be read. */
function failedRecords<K, V>({ batch, index }: WorkItem<K, V>, error: unknown): number[] {
  if (index !== WHOLE_BATCH) return [index];
  const { records, taken } = batch;
  const left = records.map((_, place) => place).filter((place) => taken.done[place] === 0);
  if (!isBurrowError(error, 'SERIALIZATION_FAILED')) return left;
  const poison = left.filter((place) => records[place]!.offset === error.fields['offset']);
  return poison.length > 0 ? poison : left;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as PromiseLike<unknown>).then === 'function';
}

/** A small integer: what engines keep in maps at the least cost. */
function positive(hash: number): number {
  return hash & 0x3fff_ffff;
}
