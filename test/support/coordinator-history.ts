/**
 * What clients of a coordinator asked and were told, and whether it is linearizable.
 *
 * Revisions make the check complete and fast: they say in which order changes were made, so it only remains to see that
 * this order explains every answer (the state at a revision is what reads at it returned, and what conditions were judged
 * by), and that it agrees with time: what was answered before something else was asked has no later revision.
 * A change whose outcome is unknown was made or not, once; which shows in the changes that a watch has told.
 */
import type { Coordinator, CoordinatorEntry, CoordinatorTransaction } from '../../broker/coordinator/coordinator.ts';
import type { Random } from '../../broker/ports/random.ts';
import { randomBelow, randomChance, randomPick } from '../../broker/ports/random-choices.ts';

interface Asked {
  /** Unique. A transaction that sets something has it as the value everywhere. */
  readonly id: string;
  /** When it was asked, by any clock that all clients share. */
  readonly asked: number;
}

/** `answered` is absent where there was no answer, or one that leaves the outcome open. */
export type HistoryItem = Asked &
  (
    | {
        readonly kind: 'get';
        readonly key: string;
        readonly answered: number;
        readonly revision: number;
        readonly entry?: CoordinatorEntry | undefined;
      }
    | {
        readonly kind: 'transaction';
        readonly transaction: CoordinatorTransaction;
        readonly answered?: number;
        readonly outcome?: { readonly committed: boolean; readonly changed: boolean; readonly revision: number };
      }
  );

/** By revision, as a watch on everything has told them. */
export type ToldChanges = ReadonlyMap<
  number,
  { readonly set: readonly CoordinatorEntry[]; readonly removed: readonly string[] }
>;

type Item<Kind> = HistoryItem & { readonly kind: Kind };

/** What is wrong, or undefined. `history` has everything that was asked. */
export function checkLinearizable(history: readonly HistoryItem[], told: ToldChanges): string | undefined {
  const states = new States(told);
  const transactions = history.filter((item): item is Item<'transaction'> => item.kind === 'transaction');
  return (
    states.problem ??
    checkChanges(transactions, told, states) ??
    checkGets(history, states) ??
    checkTime(history, placesOf(transactions, told))
  );
}

/** The entries of each key over time. */
class States {
  readonly problem: string | undefined;
  readonly #byKey = new Map<
    string,
    Array<{ readonly revision: number; readonly entry: CoordinatorEntry | undefined }>
  >();

  constructor(told: ToldChanges) {
    let last = 0;
    for (const [revision, { set, removed }] of told) {
      if (revision <= last) this.problem ??= `a watch told revision ${revision} after ${last}`;
      last = revision;
      for (const entry of set) {
        const before = this.at(entry.key, revision - 1);
        const created = before?.createRevision ?? revision;
        if (entry.modRevision !== revision || entry.createRevision !== created) {
          this.problem ??= `revision ${revision} was told with ${JSON.stringify(entry)}, created at ${created}`;
        }
        this.#add(entry.key, revision, entry);
      }
      for (const key of removed) {
        if (this.at(key, revision - 1) === undefined)
          this.problem ??= `${revision} removed ${key}, which was not there`;
        this.#add(key, revision, undefined);
      }
    }
  }

  at(key: string, revision: number): CoordinatorEntry | undefined {
    const list = this.#byKey.get(key) ?? [];
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (list[middle]!.revision <= revision) low = middle + 1;
      else high = middle;
    }
    return list[low - 1]?.entry;
  }

  #add(key: string, revision: number, entry: CoordinatorEntry | undefined): void {
    const list = this.#byKey.get(key) ?? [];
    list.push({ revision, entry });
    this.#byKey.set(key, list);
  }

  holds({ if: conditions = [] }: CoordinatorTransaction, revision: number): boolean {
    return conditions.every((condition) => {
      const entry = this.at(condition.key, revision);
      return 'revision' in condition
        ? (entry?.modRevision ?? 0) === condition.revision
        : (entry?.createRevision ?? 0) === condition.createRevision;
    });
  }
}

/** Every transaction by the revision at which it is known to have been made. */
function placesOf(transactions: readonly Item<'transaction'>[], told: ToldChanges): Map<string, number> {
  const places = new Map<string, number>();
  for (const [revision, { set }] of told) {
    for (const { value } of set) places.set(value, revision);
  }
  for (const { id, outcome } of transactions) if (outcome?.changed === true) places.set(id, outcome.revision);
  return places;
}

function checkChanges(
  transactions: readonly Item<'transaction'>[],
  told: ToldChanges,
  states: States,
): string | undefined {
  const byId = new Map(transactions.map((item) => [item.id, item]));
  const made = new Map<string, number>();
  for (const [revision, { set, removed }] of told) {
    const id = set[0]?.value;
    // What only removes bears no name; it is checked by its own answer.
    if (id === undefined) continue;
    const item = byId.get(id);
    if (item === undefined) return `revision ${revision} sets ${id}, which nobody asked for`;
    if (made.has(id)) return `${id} was made at ${made.get(id)} and again at ${revision}`;
    made.set(id, revision);
    const keys = [...(item.transaction.set ?? []).map(({ key }) => key)].sort();
    const found = set.map(({ key }) => key).sort();
    if (keys.join() !== found.join() || set.some(({ value }) => value !== id))
      return `${id} was made in part at ${revision}`;
    const gone = (item.transaction.remove ?? []).filter((key) => states.at(key, revision - 1) !== undefined).sort();
    if (gone.join() !== [...removed].sort().join()) return `${id} did not remove ${gone.join()} at ${revision}`;
    if (!states.holds(item.transaction, revision - 1)) return `${id} was made at ${revision} against its conditions`;
  }
  for (const { id, transaction, outcome } of transactions) {
    if (outcome === undefined) continue;
    const { committed, changed, revision } = outcome;
    if (changed && !told.has(revision)) return `${id} was answered with revision ${revision}, which is not there`;
    const place = made.get(id);
    if ((transaction.set?.length ?? 0) > 0 && place !== (committed ? revision : undefined)) {
      return `${id} was answered ${JSON.stringify(outcome)}, but made at ${place}`;
    }
    if (!committed && states.holds(transaction, revision)) return `${id} was refused at ${revision} without reason`;
    if (committed && !states.holds(transaction, changed ? revision - 1 : revision)) {
      return `${id} was made at ${revision} against its conditions`;
    }
  }
  return undefined;
}

function checkGets(history: readonly HistoryItem[], states: States): string | undefined {
  for (const item of history) {
    if (item.kind !== 'get') continue;
    const expected = states.at(item.key, item.revision);
    if (expected?.value !== item.entry?.value || expected?.modRevision !== item.entry?.modRevision) {
      return `${item.id} read ${JSON.stringify(item.entry)} at ${item.revision}, where ${JSON.stringify(expected)} was`;
    }
  }
  return undefined;
}

/** What was answered before something was asked has a lower revision, or the same if that only looked. */
function checkTime(history: readonly HistoryItem[], places: ReadonlyMap<string, number>): string | undefined {
  const answers: Array<{ readonly at: number; readonly revision: number; readonly id: string }> = [];
  for (const item of history) {
    const revision = item.kind === 'get' ? item.revision : (item.outcome?.revision ?? places.get(item.id));
    if (item.answered !== undefined && revision !== undefined)
      answers.push({ at: item.answered, revision, id: item.id });
  }
  answers.sort((a, b) => a.at - b.at);
  let next = 0;
  let highest = { revision: 0, id: 'nothing' };
  for (const item of [...history].sort((a, b) => a.asked - b.asked)) {
    for (; next < answers.length && answers[next]!.at < item.asked; next++) {
      if (answers[next]!.revision > highest.revision) highest = answers[next]!;
    }
    const place = places.get(item.id);
    if (item.kind === 'get' && item.revision < highest.revision) {
      return `${item.id} read revision ${item.revision} after ${highest.id} was answered ${highest.revision}`;
    }
    if (item.kind === 'transaction' && item.outcome?.changed === false && item.outcome.revision < highest.revision) {
      return `${item.id} was judged at ${item.outcome.revision} after ${highest.id} was answered ${highest.revision}`;
    }
    if (place !== undefined && place <= highest.revision) {
      return `${item.id} was made at ${place} after ${highest.id} was answered ${highest.revision}`;
    }
  }
  return undefined;
}

export interface RandomClientOptions {
  readonly coordinator: Coordinator;
  readonly random: Random;
  /** In front of all ids. */
  readonly name: string;
  readonly keys: number;
  /** Of any clock that all clients share. */
  readonly now: () => number;
  /** Told twice of a transaction: when it is asked, and when it is answered. */
  readonly record: (item: HistoryItem) => void;
  /** Asked before each operation. */
  readonly goesOn: () => boolean;
}

/** Reads, changes and compares at random. An error leaves the outcome open, and the client goes on. */
export async function runRandomClient(options: RandomClientOptions): Promise<void> {
  const { coordinator, random, name, now, record, goesOn } = options;
  const known = new Map<string, CoordinatorEntry | undefined>();
  const anyKey = (): string => `k${randomBelow(random, options.keys)}`;
  for (let n = 0; goesOn(); n++) {
    const id = `${name}/${n}`;
    const key = anyKey();
    const asked = now();
    try {
      if (randomChance(random, 0.35)) {
        const { entry, revision } = await coordinator.get(key);
        known.set(key, entry);
        record({ kind: 'get', id, asked, answered: now(), key, entry, revision });
        continue;
      }
      const transaction = randomTransaction(random, id, key, anyKey(), known);
      record({ kind: 'transaction', id, asked, transaction });
      const outcome = await coordinator.transaction(transaction);
      record({ kind: 'transaction', id, asked, answered: now(), transaction, outcome });
    } catch {
      // Lets whatever is wrong come right.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

function randomTransaction(
  random: Random,
  id: string,
  key: string,
  other: string,
  known: ReadonlyMap<string, CoordinatorEntry | undefined>,
): CoordinatorTransaction {
  const entry = known.get(key);
  const unchanged = randomPick(random, [
    { key, revision: entry?.modRevision ?? 0 },
    { key, createRevision: entry?.createRevision ?? 0 },
  ]);
  const set = [{ key, value: id }];
  switch (randomBelow(random, 6)) {
    case 0:
      return { set };
    case 1:
      return { if: [unchanged], remove: [key] };
    case 2:
      return other === key ? { set } : { if: [unchanged], set: [...set, { key: other, value: id }] };
    case 3:
      return other === key ? { remove: [key] } : { if: [unchanged], set, remove: [other] };
    default:
      return { if: [unchanged], set };
  }
}

/** One item for each that was asked: the one with the answer, where there is one. */
export function mergeHistory(records: readonly HistoryItem[]): HistoryItem[] {
  const byId = new Map<string, HistoryItem>();
  for (const item of records) byId.set(item.id, item);
  return [...byId.values()];
}
