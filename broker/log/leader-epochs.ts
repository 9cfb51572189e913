/**
 * Which leader epoch wrote which offsets (KIP-101, KIP-279): ascending (epoch, start offset) pairs, each ending where
 * the next starts. Pure; the log stores it.
 */
export interface LeaderEpochEntry {
  readonly epoch: number;
  readonly startOffset: number;
}

export class LeaderEpochs {
  #entries: LeaderEpochEntry[];

  constructor(entries: readonly LeaderEpochEntry[] = []) {
    this.#entries = [...entries];
  }

  get entries(): readonly LeaderEpochEntry[] {
    return this.#entries;
  }

  /** -1 while no epoch is known. */
  get latest(): number {
    return this.#entries.at(-1)?.epoch ?? -1;
  }

  /**
   * Notes that `epoch` begins at `startOffset`. Entries that contradict it (a start at or behind it) are dropped.
   * Returns whether anything changed.
   */
  assign(epoch: number, startOffset: number): boolean {
    if (epoch <= this.latest) return false;
    this.#entries = this.#entries.filter((entry) => entry.startOffset < startOffset);
    this.#entries.push({ epoch, startOffset });
    return true;
  }

  /**
   * Rule R8: the largest epoch ≤ `epoch` and where it ends. The latest epoch ends at the log end offset; an epoch newer
   * than all is undefined, as is one older than all that begin at the log's start.
   */
  endOffset(epoch: number, logEndOffset: number): { epoch: number; endOffset: number } | undefined {
    if (epoch === this.latest) return epoch === -1 ? undefined : { epoch, endOffset: logEndOffset };
    if (epoch > this.latest) return undefined;
    const next = this.#entries.findIndex((entry) => entry.epoch > epoch);
    if (next === 0) return { epoch, endOffset: this.#entries[0]!.startOffset };
    return { epoch: this.#entries[next - 1]!.epoch, endOffset: this.#entries[next]!.startOffset };
  }

  /** The epoch that wrote `offset`, or -1. */
  epochAt(offset: number): number {
    for (let i = this.#entries.length - 1; i >= 0; i--) {
      if (this.#entries[i]!.startOffset <= offset) return this.#entries[i]!.epoch;
    }
    return -1;
  }

  /** Drops epochs that begin at or behind a new, smaller log end offset. Returns whether anything changed. */
  truncateEnd(logEndOffset: number): boolean {
    const before = this.#entries.length;
    this.#entries = this.#entries.filter((entry) => entry.startOffset < logEndOffset);
    return this.#entries.length !== before;
  }

  /** Drops epochs that end below a new log start offset; the one that spans it begins there. */
  truncateStart(logStartOffset: number): boolean {
    const spanning = this.#entries.findLastIndex((entry) => entry.startOffset <= logStartOffset);
    if (spanning < 0 || (spanning === 0 && this.#entries[0]!.startOffset === logStartOffset)) return false;
    const { epoch } = this.#entries[spanning]!;
    this.#entries = [{ epoch, startOffset: logStartOffset }, ...this.#entries.slice(spanning + 1)];
    return true;
  }
}
