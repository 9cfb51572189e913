/**
 * The ids of a queue's last messages: pure. A message is in the window for a time after it was published, and while not more than a
 * number of messages came after it, those without an id included. So the end of the log alone tells what the window holds.
 */

interface Entry {
  readonly offset: number;
  readonly timestampMs: number;
}

export interface WindowSize {
  readonly windowMs: number;
  /** Messages. */
  readonly count: number;
}

export class DeduplicationWindow {
  readonly #size: WindowSize;
  /** By id, the oldest first. */
  readonly #entries = new Map<string, Entry>();

  constructor(size: WindowSize) {
    this.#size = size;
  }

  /** Ids that are remembered. */
  get idCount(): number {
    return this.#entries.size;
  }

  /** A message is stored. In the order of offsets. */
  add(id: string, offset: number, timestampMs: number): void {
    this.#entries.delete(id);
    this.#entries.set(id, { offset, timestampMs });
  }

  /** @param nextOffset - of the message to come */
  has(id: string, nowMs: number, nextOffset: number): boolean {
    this.#forget(nowMs, nextOffset);
    const entry = this.#entries.get(id);
    return entry !== undefined && !this.#isOver(entry, nowMs, nextOffset);
  }

  /** Messages from here on are needed to know the window after a restart; `nextOffset` if none are. */
  oldestOffset(nowMs: number, nextOffset: number): number {
    this.#forget(nowMs, nextOffset);
    for (const { offset } of this.#entries.values()) return offset;
    return nextOffset;
  }

  #forget(nowMs: number, nextOffset: number): void {
    for (const [id, entry] of this.#entries) {
      if (!this.#isOver(entry, nowMs, nextOffset)) return;
      this.#entries.delete(id);
    }
  }

  #isOver({ offset, timestampMs }: Entry, nowMs: number, nextOffset: number): boolean {
    const { windowMs, count } = this.#size;
    return offset < nextOffset - count || timestampMs + windowMs <= nowMs;
  }
}
