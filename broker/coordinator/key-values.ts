/**
 * What the coordinators in one process have in common: entries by key, the decision about transactions, watches.
 * Does no I/O and keeps no promises about durability: who owns it applies changes when they are durable.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type {
  CoordinatorEntry,
  CoordinatorEvent,
  CoordinatorTransaction,
  CoordinatorWatch,
  TransactionOutcome,
} from './coordinator.ts';

export interface CoordinatorLimits {
  /** Keys and values of one transaction, in UTF-16 code units. Default 1.5 Mi, as etcd's request limit. */
  readonly transactionCharactersMax?: number;
  /** Length of a key. Default 1024. */
  readonly keyCharactersMax?: number;
  /** Revisions that a watch may reach back. Default 1024. */
  readonly historyRevisionsMax?: number;
  /** Keys and values kept for that, in UTF-16 code units. Default 4 Mi. */
  readonly historyCharactersMax?: number;
}

const TRANSACTION_CHARACTERS_MAX = 1.5 * 2 ** 20;
const KEY_CHARACTERS_MAX = 1024;
const HISTORY_REVISIONS_MAX = 1024;
const HISTORY_CHARACTERS_MAX = 4 * 2 ** 20;

/** UTF-8 has no form for a lone surrogate: it would come back from disk as another key. */
const LONE_SURROGATE = /\p{Cs}/u;

/** The changes of one committed transaction. At least one. */
export interface StateChange {
  readonly revision: number;
  readonly set: readonly CoordinatorEntry[];
  readonly removed: readonly string[];
}

interface Watcher {
  readonly prefix: string;
  /** The next revision to tell of. */
  nextRevision: number;
  readonly onEvent: (event: CoordinatorEvent) => void;
}

export class KeyValues {
  readonly #limits: Required<CoordinatorLimits>;
  readonly #entries = new Map<string, CoordinatorEntry>();
  readonly #watchers = new Set<Watcher>();
  /** The last changes, oldest first. Invariant: their revisions are consecutive and end at `#revision`. */
  readonly #history: StateChange[] = [];
  #historyCharacters = 0;
  #revision = 0;

  constructor(limits: CoordinatorLimits = {}) {
    this.#limits = {
      transactionCharactersMax: limits.transactionCharactersMax ?? TRANSACTION_CHARACTERS_MAX,
      keyCharactersMax: limits.keyCharactersMax ?? KEY_CHARACTERS_MAX,
      historyRevisionsMax: limits.historyRevisionsMax ?? HISTORY_REVISIONS_MAX,
      historyCharactersMax: limits.historyCharactersMax ?? HISTORY_CHARACTERS_MAX,
    };
  }

  /** Of the last change. 0: nothing was ever set. */
  get revision(): number {
    return this.#revision;
  }

  /** All entries, in no particular order. */
  get entries(): ReadonlyMap<string, CoordinatorEntry> {
    return this.#entries;
  }

  list(prefix: string): CoordinatorEntry[] {
    const found: CoordinatorEntry[] = [];
    for (const entry of this.#entries.values()) if (entry.key.startsWith(prefix)) found.push(entry);
    return found.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** Throws INVALID_ARGUMENT unless the transaction is within the rules and limits. Returns its size in characters. */
  checkTransaction(transaction: CoordinatorTransaction): number {
    const { keyCharactersMax, transactionCharactersMax } = this.#limits;
    const changed = new Set<string>();
    let characters = 0;
    const checkKey = (key: string): void => {
      characters += key.length;
      if (key === '') throw invalid('A key is empty.');
      if (key.length > keyCharactersMax) throw invalid(`A key is longer than ${keyCharactersMax} characters.`);
      if (LONE_SURROGATE.test(key)) throw invalid('A key is not well-formed Unicode.');
    };
    const checkChanged = (key: string): void => {
      checkKey(key);
      if (changed.has(key)) throw invalid(`Key ${JSON.stringify(key)} is changed twice in one transaction.`);
      changed.add(key);
    };
    for (const { key, revision } of transaction.if ?? []) {
      checkKey(key);
      if (!Number.isSafeInteger(revision) || revision < 0) throw invalid(`Revision ${revision} is not valid.`);
    }
    for (const { key, value } of transaction.set ?? []) {
      checkChanged(key);
      characters += value.length;
      if (LONE_SURROGATE.test(value)) throw invalid(`The value of ${JSON.stringify(key)} is not well-formed Unicode.`);
    }
    for (const key of transaction.remove ?? []) checkChanged(key);
    if (characters > transactionCharactersMax) {
      throw invalid(`The transaction has ${characters} characters; the limit is ${transactionCharactersMax}.`);
    }
    return characters;
  }

  // For recovery, before there are watches.

  restore(entry: CoordinatorEntry): void {
    this.#entries.set(entry.key, entry);
  }

  restoreRemoval(key: string): void {
    this.#entries.delete(key);
  }

  restoreRevision(revision: number): void {
    this.#revision = revision;
    this.#history.length = 0;
    this.#historyCharacters = 0;
  }

  apply(change: StateChange): void {
    this.#revision = change.revision;
    for (const entry of change.set) this.#entries.set(entry.key, entry);
    for (const key of change.removed) this.#entries.delete(key);
    this.#remember(change);
    if (this.#watchers.size > 0) queueMicrotask(() => this.#deliver());
  }

  watch(prefix: string, fromRevision: number, onEvent: (event: CoordinatorEvent) => void): CoordinatorWatch {
    const watcher: Watcher = { prefix, nextRevision: Math.max(1, fromRevision), onEvent };
    this.#watchers.add(watcher);
    queueMicrotask(() => this.#deliver());
    return { cancel: () => this.#watchers.delete(watcher) };
  }

  /** Tells all watchers what is left to tell, then the failure, and forgets them. */
  fail(error: BurrowError): void {
    queueMicrotask(() => {
      this.#deliver();
      for (const watcher of [...this.#watchers]) this.#end(watcher, { kind: 'failed', error });
    });
  }

  endWatches(): void {
    this.#watchers.clear();
  }

  #remember(change: StateChange): void {
    const { historyRevisionsMax, historyCharactersMax } = this.#limits;
    this.#history.push(change);
    this.#historyCharacters += charactersOf(change);
    let dropped = 0;
    while (
      this.#history.length - dropped > historyRevisionsMax ||
      (this.#historyCharacters > historyCharactersMax && this.#history.length - dropped > 1)
    ) {
      // What nobody was told yet stays until the microtask that tells it.
      const oldest = this.#history[dropped]!;
      if (this.#someoneWaitsFor(oldest.revision)) break;
      this.#historyCharacters -= charactersOf(oldest);
      dropped++;
    }
    if (dropped > 0) this.#history.splice(0, dropped);
  }

  #someoneWaitsFor(revision: number): boolean {
    for (const { nextRevision } of this.#watchers) if (nextRevision <= revision) return true;
    return false;
  }

  #deliver(): void {
    for (const watcher of [...this.#watchers]) {
      const firstKnown = this.#history[0]?.revision ?? this.#revision + 1;
      if (watcher.nextRevision < firstKnown) {
        this.#end(watcher, { kind: 'compacted' });
        continue;
      }
      for (let index = watcher.nextRevision - firstKnown; index < this.#history.length; index++) {
        const change = this.#history[index]!;
        watcher.nextRevision = change.revision + 1;
        const set = change.set.filter(({ key }) => key.startsWith(watcher.prefix));
        const removed = change.removed.filter((key) => key.startsWith(watcher.prefix));
        if (set.length + removed.length > 0) {
          watcher.onEvent({ kind: 'changed', revision: change.revision, set, removed });
        }
        if (!this.#watchers.has(watcher)) break;
      }
    }
  }

  #end(watcher: Watcher, event: CoordinatorEvent): void {
    if (this.#watchers.delete(watcher)) watcher.onEvent(event);
  }
}

/** Decides a run of transactions, each on top of those before it, without touching the state. */
export class StateDraft {
  /** What is to be made durable, and then applied, in order. */
  readonly changes: StateChange[] = [];
  readonly #state: KeyValues;
  /** Undefined: removed. */
  readonly #drafted = new Map<string, CoordinatorEntry | undefined>();
  #revision: number;

  constructor(state: KeyValues) {
    this.#state = state;
    this.#revision = state.revision;
  }

  /** The transaction must have passed {@link KeyValues.checkTransaction}. */
  decide(transaction: CoordinatorTransaction): TransactionOutcome {
    for (const { key, revision } of transaction.if ?? []) {
      if ((this.#get(key)?.modRevision ?? 0) !== revision) return { committed: false, revision: this.#revision };
    }
    const revision = this.#revision + 1;
    const set: CoordinatorEntry[] = [];
    for (const { key, value } of transaction.set ?? []) {
      const entry = { key, value, createRevision: this.#get(key)?.createRevision ?? revision, modRevision: revision };
      this.#drafted.set(key, entry);
      set.push(entry);
    }
    const removed: string[] = [];
    for (const key of transaction.remove ?? []) {
      if (this.#get(key) === undefined) continue;
      this.#drafted.set(key, undefined);
      removed.push(key);
    }
    if (set.length + removed.length > 0) {
      this.#revision = revision;
      this.changes.push({ revision, set, removed });
    }
    return { committed: true, revision: this.#revision };
  }

  #get(key: string): CoordinatorEntry | undefined {
    return this.#drafted.has(key) ? this.#drafted.get(key) : this.#state.entries.get(key);
  }
}

function charactersOf(change: StateChange): number {
  let characters = 0;
  for (const { key, value } of change.set) characters += key.length + value.length;
  for (const key of change.removed) characters += key.length;
  return characters;
}

function invalid(text: string): BurrowError {
  return new BurrowError('INVALID_ARGUMENT', text);
}
