/** The coordinator of tests and of brokers that store nothing: in one process, gone with it. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type {
  Coordinator,
  CoordinatorEntry,
  CoordinatorEvent,
  CoordinatorTransaction,
  CoordinatorWatch,
  TransactionOutcome,
} from './coordinator.ts';
import { type CoordinatorLimits, KeyValues, StateDraft } from './key-values.ts';

export class MemoryCoordinator implements Coordinator {
  readonly #state: KeyValues;
  #closed: boolean = false;

  constructor(limits: CoordinatorLimits = {}) {
    this.#state = new KeyValues(limits);
  }

  async get(key: string): Promise<{ entry: CoordinatorEntry | undefined; revision: number }> {
    this.#checkOpen();
    return { entry: this.#state.entries.get(key), revision: this.#state.revision };
  }

  async list(prefix: string): Promise<{ entries: readonly CoordinatorEntry[]; revision: number }> {
    this.#checkOpen();
    return { entries: this.#state.list(prefix), revision: this.#state.revision };
  }

  async transaction(transaction: CoordinatorTransaction): Promise<TransactionOutcome> {
    this.#checkOpen();
    this.#state.checkTransaction(transaction);
    const draft = new StateDraft(this.#state);
    const outcome = draft.decide(transaction);
    for (const change of draft.changes) this.#state.apply(change);
    return outcome;
  }

  watch(prefix: string, fromRevision: number, onEvent: (event: CoordinatorEvent) => void): CoordinatorWatch {
    this.#checkOpen();
    return this.#state.watch(prefix, fromRevision, onEvent);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#state.endWatches();
  }

  #checkOpen(): void {
    if (this.#closed) throw new BurrowError('SHUTTING_DOWN', 'The coordinator is closed.');
  }
}
