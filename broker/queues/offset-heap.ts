/** Offsets of which the lowest (or the earliest due) comes out first: binary heaps in typed arrays, 8 or 16 bytes an entry. */

const CAPACITY_INITIAL = 16;

/** Per message: no objects. */
export class OffsetHeap {
  #offsets = new Float64Array(0);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** The lowest offset; -1 if there is none. */
  get first(): number {
    return this.#count === 0 ? -1 : this.#offsets[0]!;
  }

  push(offset: number): void {
    if (this.#count === this.#offsets.length) this.#offsets = enlarged(this.#offsets);
    const offsets = this.#offsets;
    let index = this.#count++;
    while (index > 0) {
      const parent = (index - 1) >>> 1;
      if (offsets[parent]! <= offset) break;
      offsets[index] = offsets[parent]!;
      index = parent;
    }
    offsets[index] = offset;
  }

  /** Takes the lowest offset out; -1 if there is none. */
  pop(): number {
    if (this.#count === 0) return -1;
    const offsets = this.#offsets;
    const first = offsets[0]!;
    const last = offsets[--this.#count]!;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= this.#count) break;
      if (child + 1 < this.#count && offsets[child + 1]! < offsets[child]!) child++;
      if (offsets[child]! >= last) break;
      offsets[index] = offsets[child]!;
      index = child;
    }
    if (this.#count > 0) offsets[index] = last;
    else this.#offsets = new Float64Array(0);
    return first;
  }
}

/** Offsets with a time at which each is due. Ties come out by offset. Per message: no objects. */
export class DueHeap {
  /** Pairs: due time, offset. */
  #pairs = new Float64Array(0);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** When the first is due; Infinity if there is none. */
  get firstDueMs(): number {
    return this.#count === 0 ? Number.POSITIVE_INFINITY : this.#pairs[0]!;
  }

  push(dueMs: number, offset: number): void {
    if (this.#count * 2 === this.#pairs.length) this.#pairs = enlarged(this.#pairs);
    let index = this.#count++;
    while (index > 0) {
      const parent = (index - 1) >>> 1;
      if (!this.#isBefore(dueMs, offset, parent)) break;
      this.#move(parent, index);
      index = parent;
    }
    this.#pairs[index * 2] = dueMs;
    this.#pairs[index * 2 + 1] = offset;
  }

  /** Takes the offset that is due first out; -1 if there is none. */
  pop(): number {
    if (this.#count === 0) return -1;
    const pairs = this.#pairs;
    const first = pairs[1]!;
    const last = --this.#count;
    const dueMs = pairs[last * 2]!;
    const offset = pairs[last * 2 + 1]!;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= last) break;
      if (child + 1 < last && this.#isBefore(pairs[(child + 1) * 2]!, pairs[(child + 1) * 2 + 1]!, child)) child++;
      if (this.#isBefore(dueMs, offset, child)) break;
      this.#move(child, index);
      index = child;
    }
    pairs[index * 2] = dueMs;
    pairs[index * 2 + 1] = offset;
    if (last === 0) this.#pairs = new Float64Array(0);
    return first;
  }

  #isBefore(dueMs: number, offset: number, index: number): boolean {
    const otherDueMs = this.#pairs[index * 2]!;
    return dueMs < otherDueMs || (dueMs === otherDueMs && offset < this.#pairs[index * 2 + 1]!);
  }

  #move(from: number, to: number): void {
    this.#pairs[to * 2] = this.#pairs[from * 2]!;
    this.#pairs[to * 2 + 1] = this.#pairs[from * 2 + 1]!;
  }
}

function enlarged(array: Float64Array): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(Math.max(CAPACITY_INITIAL, array.length * 2));
  larger.set(array);
  return larger;
}
