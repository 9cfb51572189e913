/**
 * The coordinator of tests, of simulations and of brokers that store nothing: in one process, gone with it.
 *
 * A `MemoryStore` stands for the store; each broker has a session with it, a `MemoryCoordinator`. What lies between
 * them is a `MemoryLink`, which may delay and lose messages: so a simulation cuts off some brokers and not others.
 */
import { BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import type { Clock, Timer } from '../ports/clock.ts';
import { systemClock } from '../ports/system-clock.ts';
import type {
  Coordinator,
  CoordinatorEntry,
  CoordinatorEvent,
  CoordinatorLease,
  CoordinatorTransaction,
  CoordinatorWatch,
  TransactionOutcome,
} from './coordinator.ts';
import { type CoordinatorLimits, KeyValues } from './key-values.ts';
import { LeaseExpiry } from './lease-expiry.ts';
import { SessionLease } from './session-lease.ts';
import {
  checkTransaction,
  checkTtl,
  type OperationOutcome,
  outcomeOrThrow,
  type StoreOperation,
} from './store-operation.ts';

/** What lies between a session and the store. */
export interface MemoryLink {
  /** How many milliseconds the next message takes; undefined: it is lost. Messages may overtake each other. */
  delayMs(direction: 'request' | 'answer' | 'event'): number | undefined;
}

export interface MemoryStoreOptions extends CoordinatorLimits {
  /** Of the store: for the end of leases. Default: the system's. */
  readonly clock?: Clock;
}

export class MemoryStore {
  readonly clock: Clock;
  readonly limits: CoordinatorLimits;
  readonly state: KeyValues;
  readonly #expiry: LeaseExpiry;
  #leases = 0;

  constructor({ clock = systemClock, ...limits }: MemoryStoreOptions = {}) {
    this.clock = clock;
    this.limits = limits;
    this.state = new KeyValues(limits);
    this.#expiry = new LeaseExpiry({
      clock,
      onOver: (leaseId, renewals) => this.execute({ kind: 'expire', leaseId, renewals }),
    });
  }

  nextLeaseId(): string {
    return `lease-${++this.#leases}`;
  }

  execute(operation: StoreOperation): OperationOutcome {
    const outcome = this.state.execute(operation);
    if (operation.kind !== 'transaction') this.#expiry.executed(operation, this.state.lease(operation.leaseId));
    return outcome;
  }

  /** Watches that were not told of all that was changed so far are told `compacted`. */
  compact(): void {
    this.state.history.restart(this.state.revision);
  }

  /** Stops its timers. */
  close(): void {
    this.#expiry.stop();
  }
}

export interface MemoryCoordinatorOptions extends MemoryStoreOptions {
  /** Default: a new one with these limits, of which this is the only session. */
  readonly store?: MemoryStore;
  /** Default: everything arrives at once. */
  readonly link?: MemoryLink;
  /** How long an answer may take over a link. Default 5 s. */
  readonly requestTimeoutMs?: number;
}

const REQUEST_TIMEOUT_MS = 5_000;
/** An event that was lost is sent again after this time. */
const EVENT_RETRY_MS = 100;

export class MemoryCoordinator implements Coordinator {
  readonly #store: MemoryStore;
  readonly #ownsStore: boolean;
  readonly #clock: Clock;
  readonly #link: MemoryLink | undefined;
  readonly #requestTimeoutMs: number;
  readonly #watches = new Set<CoordinatorWatch>();
  readonly #requests = new Set<Promise<unknown>>();
  #closed: boolean = false;

  /** A clock that is given is this session's, which need not be the store's. */
  constructor(options: MemoryCoordinatorOptions = {}) {
    const { store, link, requestTimeoutMs = REQUEST_TIMEOUT_MS, clock, ...limits } = options;
    this.#store = store ?? new MemoryStore({ ...limits, ...(clock === undefined ? {} : { clock }) });
    this.#ownsStore = store === undefined;
    this.#clock = clock ?? this.#store.clock;
    this.#link = link;
    this.#requestTimeoutMs = requestTimeoutMs;
  }

  get(key: string): Promise<{ entry: CoordinatorEntry | undefined; revision: number }> {
    return this.#ask(({ state }) => ({ entry: state.get(key), revision: state.revision }));
  }

  list(prefix: string): Promise<{ entries: readonly CoordinatorEntry[]; revision: number }> {
    return this.#ask(({ state }) => ({ entries: state.list(prefix), revision: state.revision }));
  }

  async transaction(transaction: CoordinatorTransaction): Promise<TransactionOutcome> {
    this.#checkOpen();
    checkTransaction(transaction, this.#store.limits);
    return this.#execute({ kind: 'transaction', transaction });
  }

  watch(prefix: string, fromRevision: number, onEvent: (event: CoordinatorEvent) => void): CoordinatorWatch {
    this.#checkOpen();
    const watch =
      this.#link === undefined
        ? this.#store.state.history.watch(prefix, fromRevision, onEvent)
        : new LinkedWatch(this.#store, this.#link, prefix, fromRevision, onEvent);
    const tracked = {
      cancel: () => {
        this.#watches.delete(tracked);
        watch.cancel();
      },
    };
    this.#watches.add(tracked);
    return tracked;
  }

  async grantLease(ttlMs: number): Promise<CoordinatorLease> {
    this.#checkOpen();
    checkTtl(ttlMs);
    const leaseId = this.#store.nextLeaseId();
    return SessionLease.grant(this.#clock, leaseId, ttlMs, (operation) => this.#execute(operation));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.allSettled([...this.#requests]);
    for (const watch of [...this.#watches]) watch.cancel();
    if (this.#ownsStore) this.#store.close();
  }

  #execute(operation: StoreOperation): Promise<TransactionOutcome> {
    return this.#ask((store) => outcomeOrThrow(store.execute(operation)));
  }

  async #ask<T>(question: (store: MemoryStore) => T): Promise<T> {
    this.#checkOpen();
    if (this.#link === undefined) return question(this.#store);
    const request = this.#askOver(this.#link, question);
    this.#requests.add(request);
    try {
      return await request;
    } finally {
      this.#requests.delete(request);
    }
  }

  #askOver<T>(link: MemoryLink, question: (store: MemoryStore) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.schedule(this.#requestTimeoutMs, () =>
        reject(new BurrowError('COORDINATION_UNAVAILABLE', 'The coordinator did not answer; the outcome is unknown.')),
      );
      this.#send(link, 'request', () => {
        let answer: () => void;
        try {
          const value = question(this.#store);
          answer = () => resolve(value);
        } catch (error) {
          answer = () => reject(toBurrowError(error));
        }
        this.#send(link, 'answer', () => {
          timer.cancel();
          answer();
        });
      });
    });
  }

  #send(link: MemoryLink, direction: 'request' | 'answer', arrive: () => void): void {
    const delayMs = link.delayMs(direction);
    if (delayMs !== undefined) this.#store.clock.schedule(delayMs, arrive);
  }

  #checkOpen(): void {
    if (this.#closed) throw new BurrowError('SHUTTING_DOWN', 'The coordinator is closed.');
  }
}

/** A watch over a link: one message at a time is under way, with all events since the last one that arrived. */
class LinkedWatch implements CoordinatorWatch {
  readonly #store: MemoryStore;
  readonly #link: MemoryLink;
  readonly #prefix: string;
  readonly #onEvent: (event: CoordinatorEvent) => void;
  readonly #trigger: CoordinatorWatch;
  #nextRevision: number;
  #message: Timer | undefined;
  #cancelled: boolean = false;

  constructor(
    store: MemoryStore,
    link: MemoryLink,
    prefix: string,
    fromRevision: number,
    onEvent: (event: CoordinatorEvent) => void,
  ) {
    this.#store = store;
    this.#link = link;
    this.#prefix = prefix;
    this.#nextRevision = Math.max(1, fromRevision);
    this.#onEvent = onEvent;
    this.#trigger = store.state.history.watch(prefix, fromRevision, () => this.#send());
  }

  cancel(): void {
    this.#cancelled = true;
    this.#trigger.cancel();
    this.#message?.cancel();
  }

  #send(): void {
    if (this.#cancelled || this.#message !== undefined) return;
    const delayMs = this.#link.delayMs('event');
    this.#message = this.#store.clock.schedule(delayMs ?? EVENT_RETRY_MS, () => {
      this.#message = undefined;
      if (delayMs === undefined) this.#send();
      else this.#arrive();
    });
  }

  #arrive(): void {
    const { state } = this.#store;
    for (const event of state.history.eventsFrom(this.#prefix, this.#nextRevision)) {
      if (event.kind === 'changed') this.#nextRevision = event.revision + 1;
      else this.cancel();
      this.#onEvent(event);
      if (this.#cancelled) return;
    }
  }
}
