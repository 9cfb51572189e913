/**
 * Node-wide group commit by natural batching: everything that arrives while one round is being synced forms the next
 * (as in Ra and BookKeeper). No timer, no batching delay; under load rounds grow by themselves.
 */
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import { Deferred } from './deferred.ts';
import type { Journal, JournalAppend } from './journal.ts';

/** What a log must offer to take part. */
export interface CommitParticipant {
  /** Everything below `offset` is on stable storage. Called once per round. */
  onSynced(offset: number): void;
}

interface Round {
  readonly appends: JournalAppend[];
  /** Log end offset of each participant at its last append in this round. */
  readonly participants: Map<CommitParticipant, number>;
  readonly done: Deferred;
  bytes: number;
}

export interface GroupCommitOptions {
  readonly journal: Journal;
  /** A round takes no more once it holds this many bytes, so that one commit stays short. */
  readonly roundBytesMax: number;
  /** Awaited before each round: resolves when there is memory for more. */
  readonly room: () => Promise<void> | undefined;
  /** The journal failed: nothing may be acknowledged any more. Called once. */
  readonly onFailure: (error: unknown) => BurrowError;
}

export class GroupCommit {
  readonly #options: GroupCommitOptions;
  readonly #rounds: Round[] = [];
  #current: Round | undefined;
  #running = false;
  #idle: Deferred | undefined;
  #failure: BurrowError | undefined;

  constructor(options: GroupCommitOptions) {
    this.#options = options;
  }

  /**
   * Adds records to the round that is gathering. The promise settles with the round; the participant is told first.
   * Per batch.
   */
  add(participant: CommitParticipant, append: JournalAppend, nextOffset: number): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    let round = this.#rounds.at(-1);
    if (round === undefined || round.bytes >= this.#options.roundBytesMax) {
      round = { appends: [], participants: new Map(), done: new Deferred(), bytes: 0 };
      this.#rounds.push(round);
    }
    round.appends.push(append);
    round.participants.set(participant, nextOffset);
    round.bytes += append.records.length;
    if (!this.#running) {
      this.#running = true;
      // Starting in a microtask lets everything that the current turn appends into the first round.
      void Promise.resolve().then(() => this.#run());
    }
    return round.done.promise;
  }

  /** Everything that is not committed yet is rejected. */
  fail(failure: BurrowError): void {
    this.#failure ??= failure;
  }

  /** Settles with the last round that was begun: everything added before the call is durable then. */
  barrier(): Promise<void> {
    return (this.#rounds.at(-1) ?? this.#current)?.done.promise ?? Promise.resolve();
  }

  /** Rounds that are gathering or being synced. */
  get pendingRounds(): number {
    return this.#rounds.length + (this.#current === undefined ? 0 : 1);
  }

  /** Resolves when all rounds that were begun have settled. */
  async idle(): Promise<void> {
    if (!this.#running) return;
    this.#idle ??= new Deferred();
    await this.#idle.promise;
  }

  async #run(): Promise<void> {
    for (let round = this.#rounds.shift(); round !== undefined; round = this.#rounds.shift()) {
      this.#current = round;
      if (this.#failure !== undefined) {
        round.done.reject(this.#failure);
        continue;
      }
      try {
        const room = this.#options.room();
        if (room !== undefined) await room;
        await this.#options.journal.commit(round.appends);
      } catch (error) {
        this.#failure = this.#options.onFailure(error);
        round.done.reject(this.#failure);
        continue;
      }
      for (const [participant, offset] of round.participants) participant.onSynced(offset);
      round.done.resolve();
    }
    this.#current = undefined;
    this.#running = false;
    this.#idle?.resolve();
    this.#idle = undefined;
  }
}
