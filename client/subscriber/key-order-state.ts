/**
 * Which of the taken records may be worked on next: records of one key one at a time and in their order, all others at once, and
 * among those that may the one that was taken first. Pure.
 *
 *     add ──> runnable ──next──> running ──finish──> gone
 *      │          ^   ^             │
 *      │          │   └──release────┘  (to be tried again)
 *      └─> behind the record before it of the same key, until that is finished
 *
 * Keys are numbers: hashes of keys. Two keys of one hash wait for each other, which is slower and not wrong. Per record, so
 * items carry their own links and nothing is allocated but what the map of keys needs.
 */
export interface OrderedItem<T> {
  /** {@link NO_KEY} for a record that waits for no other. */
  key: number;
  /** Set by the machine: when it was taken. Likewise below. */
  sequence: number;
  /** The next of the same key. */
  next: T | undefined;
}

export const NO_KEY = -1;

/** A list from whose head much was taken is cut then. */
const CUT_AT = 1024;

export class KeyOrderState<T extends OrderedItem<T>> {
  /** The newest item of each key that has any. */
  readonly #newest = new Map<number, T>();
  /** Runnable since they were added, so in their order. */
  #fresh: T[] = [];
  #freshHead = 0;
  /** Runnable since another was finished or they were released: a heap by sequence. */
  readonly #freed: T[] = [];
  #nextSequence = 0;
  #count = 0;

  /** Not finished yet. */
  get count(): number {
    return this.#count;
  }

  add(item: T): void {
    item.sequence = this.#nextSequence;
    item.next = undefined;
    this.#nextSequence += 1;
    this.#count += 1;
    if (item.key !== NO_KEY) {
      const before = this.#newest.get(item.key);
      this.#newest.set(item.key, item);
      if (before !== undefined) {
        before.next = item;
        return;
      }
    }
    this.#fresh.push(item);
  }

  /** Takes the runnable item that was taken first; it is running then. */
  next(): T | undefined {
    const fresh = this.#fresh[this.#freshHead];
    const freed = this.#freed[0];
    if (freed !== undefined && (fresh === undefined || freed.sequence < fresh.sequence)) return this.#popFreed();
    if (fresh !== undefined) this.#dropFreshHead();
    return fresh;
  }

  /** A running item is runnable again; its key stays blocked. */
  release(item: T): void {
    this.#pushFreed(item);
  }

  /** A running item is done with: the next of its key may run. */
  finish(item: T): void {
    this.#count -= 1;
    if (item.key === NO_KEY) return;
    const { next } = item;
    item.next = undefined;
    if (next !== undefined) this.#pushFreed(next);
    else this.#newest.delete(item.key);
  }

  #dropFreshHead(): void {
    this.#fresh[this.#freshHead] = undefined as unknown as T;
    this.#freshHead += 1;
    if (this.#freshHead === this.#fresh.length) {
      this.#fresh.length = 0;
      this.#freshHead = 0;
    } else if (this.#freshHead >= CUT_AT && this.#freshHead * 2 >= this.#fresh.length) {
      this.#fresh = this.#fresh.slice(this.#freshHead);
      this.#freshHead = 0;
    }
  }

  #pushFreed(item: T): void {
    const heap = this.#freed;
    let index = heap.length;
    heap.push(item);
    while (index > 0) {
      const parent = (index - 1) >>> 1;
      const above = heap[parent]!;
      if (above.sequence <= item.sequence) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = item;
  }

  #popFreed(): T {
    const heap = this.#freed;
    const first = heap[0]!;
    const last = heap.pop()!;
    const { length } = heap;
    if (length === 0) return first;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= length) break;
      if (child + 1 < length && heap[child + 1]!.sequence < heap[child]!.sequence) child += 1;
      if (heap[child]!.sequence >= last.sequence) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
    return first;
  }
}
