/**
 * Commits of one member: one request at a time, so that an older one that is repeated never undoes a newer one. What is asked for
 * meanwhile is gathered into the next request; for a partition, the last word counts.
 */
import { BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import { checkNonNegativeInteger, checkTopicName } from '../options.ts';
import { partitionKey } from '../topic-partition.ts';
import type { OffsetToCommit } from './group-host.ts';

/** One entry per offset, in order: what failed there. Rejects where all failed. */
export type SendCommit<O extends OffsetToCommit> = (
  offsets: readonly O[],
) => Promise<ReadonlyArray<BurrowError | undefined>>;

interface Waiter {
  readonly keys: readonly string[];
  readonly resolve: () => void;
  readonly reject: (error: BurrowError) => void;
}

interface Round<O extends OffsetToCommit> {
  readonly offsets: Map<string, O>;
  readonly waiters: Waiter[];
}

export const METADATA_CHARACTERS_MAX = 65_536;

export class OffsetCommitter<O extends OffsetToCommit> {
  readonly #send: SendCommit<O>;
  #next: Round<O> | undefined;
  #sending: boolean = false;

  constructor(send: SendCommit<O>) {
    this.#send = send;
  }

  /** Rejects with the first error among these offsets; the others are stored. */
  commit(offsets: readonly O[]): Promise<void> {
    if (offsets.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      offsets.forEach(checkOffset);
      this.#next ??= { offsets: new Map(), waiters: [] };
      for (const offset of offsets) this.#next.offsets.set(partitionKey(offset), offset);
      this.#next.waiters.push({ keys: offsets.map(partitionKey), resolve, reject });
      if (!this.#sending) void this.#sendAll();
    });
  }

  async #sendAll(): Promise<void> {
    this.#sending = true;
    // Gathers what the same turn still brings.
    await undefined;
    while (this.#next !== undefined) {
      const round = this.#next;
      this.#next = undefined;
      await this.#sendRound(round);
    }
    this.#sending = false;
  }

  async #sendRound({ offsets, waiters }: Round<O>): Promise<void> {
    const errors = new Map<string, BurrowError>();
    try {
      const results = await this.#send([...offsets.values()]);
      [...offsets.keys()].forEach((key, index) => {
        const error = results[index];
        if (error !== undefined) errors.set(key, error);
      });
    } catch (thrown) {
      const error = toBurrowError(thrown);
      for (const key of offsets.keys()) errors.set(key, error);
    }
    for (const { keys, resolve, reject } of waiters) {
      const failed = keys.find((key) => errors.has(key));
      if (failed === undefined) resolve();
      else reject(errors.get(failed)!);
    }
  }
}

function checkOffset({ topic, partition, offset, leaderEpoch, metadata }: OffsetToCommit): void {
  checkTopicName(topic);
  checkNonNegativeInteger('partition', partition);
  checkNonNegativeInteger('offset', offset);
  if (leaderEpoch !== undefined && leaderEpoch !== -1) checkNonNegativeInteger('leaderEpoch', leaderEpoch);
  if (metadata !== undefined && (typeof metadata !== 'string' || metadata.length > METADATA_CHARACTERS_MAX)) {
    throw new BurrowError(
      'OFFSET_METADATA_TOO_LARGE',
      `metadata must be a string of at most ${METADATA_CHARACTERS_MAX} characters.`,
    );
  }
}
