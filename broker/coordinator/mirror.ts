/**
 * Keeps a copy of the keys under one prefix of the coordinator up to date: tells of all that is there, then of each
 * change, in order, each once. What is made of the entries is up to the owner; this remembers revisions only.
 */
import { BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import { type Logger, silentLogger } from '../ports/logger.ts';
import type {
  Coordinator,
  CoordinatorEntry,
  CoordinatorEvent,
  CoordinatorTransaction,
  CoordinatorWatch,
} from './coordinator.ts';

export interface MirrorOptions {
  readonly coordinator: Coordinator;
  readonly prefix: string;
  /** Changes of one transaction, or what was there at first or was missed. May throw a BurrowError: then it ends. */
  readonly apply: (set: readonly CoordinatorEntry[], removed: readonly string[]) => void;
  /** The copy is no longer kept up to date. */
  readonly onFailure: (error: BurrowError) => void;
  readonly logger?: Logger;
}

interface Waiter {
  readonly revision: number;
  readonly resolve: () => void;
  readonly reject: (error: BurrowError) => void;
}

export class CoordinatorMirror {
  readonly #options: MirrorOptions;
  readonly #coordinator: Coordinator;
  /** `modRevision` by key, of what was applied. */
  readonly #revisions = new Map<string, number>();
  /** Changes made here that the watch has not told of yet. */
  readonly #waiters = new Set<Waiter>();
  /** Up to which the copy is complete. */
  #revision = 0;
  #watch: CoordinatorWatch | undefined;
  #failure: BurrowError | undefined;
  #closed: boolean = false;

  /** Resolves when all that is there was applied. */
  static async open(options: MirrorOptions): Promise<CoordinatorMirror> {
    const mirror = new CoordinatorMirror(options);
    await mirror.#reload();
    return mirror;
  }

  /** @internal Use {@link CoordinatorMirror.open}. */
  constructor(options: MirrorOptions) {
    this.#options = options;
    this.#coordinator = options.coordinator;
  }

  /** For conditions of transactions: 0 if the key is not there. */
  revisionOf(key: string): number {
    return this.#revisions.get(key) ?? 0;
  }

  /**
   * Makes a transaction; when it resolves with a revision, its changes are durable and were applied. With undefined a
   * condition did not hold, and the keys of all conditions were brought up to date: decide again.
   */
  async transaction(transaction: CoordinatorTransaction): Promise<number | undefined> {
    if (this.#closed) throw new BurrowError('SHUTTING_DOWN');
    const { committed, changed, revision } = await this.#coordinator.transaction(transaction);
    if (committed) {
      // A revision at which nothing was changed here is never told.
      if (changed) await this.#reached(revision);
      return revision;
    }
    for (const { key } of transaction.if ?? []) await this.#refresh(key);
    return undefined;
  }

  /** Nothing is applied afterwards. The coordinator stays open. */
  close(): void {
    this.#closed = true;
    this.#watch?.cancel();
    this.#rejectWaiters(new BurrowError('SHUTTING_DOWN'));
  }

  async #refresh(key: string): Promise<void> {
    const { entry } = await this.#coordinator.get(key);
    if (this.#failure !== undefined) throw this.#failure;
    try {
      this.#apply(entry === undefined ? [] : [entry], entry === undefined ? [key] : []);
    } catch (error) {
      this.#fail(toBurrowError(error));
      throw error;
    }
  }

  #follow(revision: number): void {
    this.#advance(revision);
    this.#watch = this.#coordinator.watch(this.#options.prefix, revision + 1, (event) => {
      try {
        this.#onEvent(event);
      } catch (error) {
        this.#fail(toBurrowError(error));
      }
    });
  }

  #onEvent(event: CoordinatorEvent): void {
    if (this.#closed || this.#failure !== undefined) return;
    if (event.kind === 'failed') {
      this.#fail(event.error);
    } else if (event.kind === 'compacted') {
      this.#reload().catch((error: unknown) => this.#fail(toBurrowError(error)));
    } else {
      this.#apply(
        event.set,
        event.removed.filter((key) => this.revisionOf(key) < event.revision),
      );
      this.#advance(event.revision);
    }
  }

  /** What differs between the copy and the coordinator: everything at first, later what a watch missed. */
  async #reload(): Promise<void> {
    const { entries, revision } = await this.#coordinator.list(this.#options.prefix);
    if (this.#closed) return;
    const present = new Set(entries.map(({ key }) => key));
    this.#apply(
      entries,
      [...this.#revisions.keys()].filter((key) => !present.has(key)),
    );
    this.#follow(revision);
  }

  /** A read may have been ahead of the watch: what is known already is not told again. */
  #apply(set: readonly CoordinatorEntry[], removed: readonly string[]): void {
    const changed = set.filter(({ key, modRevision }) => modRevision > this.revisionOf(key));
    const gone = removed.filter((key) => this.#revisions.has(key));
    if (this.#closed || changed.length + gone.length === 0) return;
    for (const { key, modRevision } of changed) this.#revisions.set(key, modRevision);
    for (const key of gone) this.#revisions.delete(key);
    this.#options.apply(changed, gone);
  }

  #reached(revision: number): Promise<void> {
    if (this.#revision >= revision) return Promise.resolve();
    if (this.#closed) return Promise.reject(new BurrowError('SHUTTING_DOWN'));
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => this.#waiters.add({ revision, resolve, reject }));
  }

  #advance(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
    for (const waiter of this.#waiters) {
      if (waiter.revision > revision) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }

  #fail(error: BurrowError): void {
    if (this.#closed || this.#failure !== undefined) return;
    this.#failure = error;
    this.#watch?.cancel();
    const { logger = silentLogger, prefix } = this.#options;
    logger.error({ err: error, prefix }, 'definitions are no longer kept up to date');
    this.#rejectWaiters(error);
    this.#options.onFailure(error);
  }

  #rejectWaiters(error: BurrowError): void {
    for (const { reject } of this.#waiters) reject(error);
    this.#waiters.clear();
  }
}
