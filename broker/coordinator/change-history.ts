/** The last changes of a store, and the watches that are told of them. Does no I/O. */
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import type { CoordinatorEntry, CoordinatorEvent, CoordinatorWatch } from './coordinator.ts';

export interface HistoryLimits {
  /** Revisions that a watch may reach back. Default 1024. */
  readonly historyRevisionsMax?: number;
  /** Keys and values kept for that, in UTF-16 code units. Default 4 Mi. */
  readonly historyCharactersMax?: number;
}

const HISTORY_REVISIONS_MAX = 1024;
const HISTORY_CHARACTERS_MAX = 4 * 2 ** 20;

/** What one operation has changed. At least one key. */
export interface StoreChange {
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

export class ChangeHistory {
  readonly #revisionsMax: number;
  readonly #charactersMax: number;
  readonly #watchers = new Set<Watcher>();
  /** The last changes, oldest first, from `#first` on. Invariant: their revisions are consecutive and end at `#revision`. */
  readonly #changes: StoreChange[] = [];
  /** What stands before it is forgotten; removed together, since to remove each by itself would move all others. */
  #first = 0;
  #characters = 0;
  #revision = 0;
  #delivering: boolean = false;

  constructor(limits: HistoryLimits = {}) {
    this.#revisionsMax = limits.historyRevisionsMax ?? HISTORY_REVISIONS_MAX;
    this.#charactersMax = limits.historyCharactersMax ?? HISTORY_CHARACTERS_MAX;
  }

  /** The next change. */
  record(change: StoreChange): void {
    this.#revision = change.revision;
    this.#changes.push(change);
    this.#characters += charactersOf(change);
    this.#forget();
    this.#deliverSoon();
  }

  /** The store is at `revision` now, and nothing before it is known. */
  restart(revision: number): void {
    this.#revision = revision;
    this.#changes.length = 0;
    this.#first = 0;
    this.#characters = 0;
    this.#deliverSoon();
  }

  watch(prefix: string, fromRevision: number, onEvent: (event: CoordinatorEvent) => void): CoordinatorWatch {
    const watcher: Watcher = { prefix, nextRevision: Math.max(1, fromRevision), onEvent };
    this.#watchers.add(watcher);
    this.#deliverSoon();
    return { cancel: () => this.#watchers.delete(watcher) };
  }

  /** What a watch has to be told that was told of everything before `fromRevision`. */
  eventsFrom(prefix: string, fromRevision: number): CoordinatorEvent[] {
    const firstKnown = this.#changes[this.#first]?.revision ?? this.#revision + 1;
    if (fromRevision < firstKnown) return [{ kind: 'compacted' }];
    const events: CoordinatorEvent[] = [];
    for (let index = this.#first + fromRevision - firstKnown; index < this.#changes.length; index++) {
      const change = this.#changes[index]!;
      const set = change.set.filter(({ key }) => key.startsWith(prefix));
      const removed = change.removed.filter((key) => key.startsWith(prefix));
      if (set.length + removed.length > 0) events.push({ kind: 'changed', revision: change.revision, set, removed });
    }
    return events;
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

  #forget(): void {
    while (
      this.#changes.length - this.#first > this.#revisionsMax ||
      (this.#characters > this.#charactersMax && this.#changes.length - this.#first > 1)
    ) {
      // What nobody was told yet stays until the microtask that tells it.
      const oldest = this.#changes[this.#first]!;
      if (this.#someoneWaitsFor(oldest.revision)) break;
      this.#characters -= charactersOf(oldest);
      this.#first++;
    }
    if (this.#first * 2 <= this.#changes.length) return;
    this.#changes.splice(0, this.#first);
    this.#first = 0;
  }

  #someoneWaitsFor(revision: number): boolean {
    for (const { nextRevision } of this.#watchers) if (nextRevision <= revision) return true;
    return false;
  }

  #deliverSoon(): void {
    if (this.#watchers.size === 0 || this.#delivering) return;
    this.#delivering = true;
    queueMicrotask(() => {
      this.#delivering = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    for (const watcher of [...this.#watchers]) {
      // A callback may cause further changes; those are told the next time.
      const toldUpTo = this.#revision;
      for (const event of this.eventsFrom(watcher.prefix, watcher.nextRevision)) {
        if (event.kind !== 'changed') {
          this.#end(watcher, event);
          break;
        }
        watcher.nextRevision = event.revision + 1;
        watcher.onEvent(event);
        if (!this.#watchers.has(watcher)) break;
      }
      watcher.nextRevision = Math.max(watcher.nextRevision, toldUpTo + 1);
    }
    this.#forget();
  }

  #end(watcher: Watcher, event: CoordinatorEvent): void {
    if (this.#watchers.delete(watcher)) watcher.onEvent(event);
  }
}

function charactersOf(change: StoreChange): number {
  let characters = 0;
  for (const { key, value } of change.set) characters += key.length + value.length;
  for (const key of change.removed) characters += key.length;
  return characters;
}
