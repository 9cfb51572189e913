/**
 * Which messages of a queue are settled: everything below a floor, and single offsets above it. One bit an offset, in pages
 * that exist only where something above the floor is settled; a page that is settled as a whole takes no memory.
 */

/** Offsets of one page. */
const PAGE_OFFSETS = 65_536;
const PAGE_BYTES = PAGE_OFFSETS / 8;

interface Page {
  /** Undefined if all of its offsets are settled. */
  bits: Uint8Array | undefined;
  settled: number;
}

export interface OffsetRange {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

export class SettledOffsets {
  /** Everything below is settled, and it is not itself. Invariant: never goes back. */
  #floor: number;
  #above = 0;
  /** By number. */
  readonly #pages = new Map<number, Page>();

  constructor(floor: number) {
    this.#floor = floor;
  }

  get floor(): number {
    return this.#floor;
  }

  /** How many offsets above the floor are settled. */
  get aboveFloor(): number {
    return this.#above;
  }

  /** Pages in memory: none behind the floor. */
  get pageCount(): number {
    return this.#pages.size;
  }

  has(offset: number): boolean {
    if (offset < this.#floor) return true;
    if (this.#above === 0) return false;
    const page = this.#pages.get(Math.floor(offset / PAGE_OFFSETS));
    if (page === undefined) return false;
    const bit = offset % PAGE_OFFSETS;
    return page.bits === undefined || (page.bits[bit >>> 3]! & (1 << (bit & 7))) !== 0;
  }

  /** False if it was settled already. */
  add(offset: number): boolean {
    if (offset === this.#floor) {
      this.#floor++;
      // A page that the floor leaves behind.
      if (this.#floor % PAGE_OFFSETS === 0) this.#pages.delete(this.#floor / PAGE_OFFSETS - 1);
      if (this.#above > 0) this.#raiseFloor();
      return true;
    }
    if (this.has(offset)) return false;
    const page = this.#page(offset);
    const bit = offset % PAGE_OFFSETS;
    page.bits![bit >>> 3]! |= 1 << (bit & 7);
    this.#above++;
    if (++page.settled === PAGE_OFFSETS) page.bits = undefined;
    return true;
  }

  /** Settles all of [start, end), and returns how many of them were not settled yet. */
  addRange(start: number, end: number): number {
    let added = 0;
    let offset = Math.max(start, this.#floor);
    if (offset < end && offset === this.#floor && this.#above === 0) {
      this.#floor = end;
      return end - offset;
    }
    while (offset < end) {
      const pageEnd = (Math.floor(offset / PAGE_OFFSETS) + 1) * PAGE_OFFSETS;
      if (offset % PAGE_OFFSETS === 0 && pageEnd <= end && offset > this.#floor) {
        const number = offset / PAGE_OFFSETS;
        const before = this.#pages.get(number)?.settled ?? 0;
        this.#pages.set(number, { bits: undefined, settled: PAGE_OFFSETS });
        this.#above += PAGE_OFFSETS - before;
        added += PAGE_OFFSETS - before;
        offset = pageEnd;
        continue;
      }
      if (this.add(offset)) added++;
      offset = Math.max(offset + 1, this.#floor);
    }
    return added;
  }

  /** What is settled above the floor and below `endOffset`, ascending, in ranges that do not touch. */
  *ranges(endOffset: number): Generator<OffsetRange, void> {
    let start = -1;
    for (let offset = this.#floor; offset < endOffset && this.#above > 0; ) {
      const page = this.#pages.get(Math.floor(offset / PAGE_OFFSETS));
      const pageEnd = Math.min((Math.floor(offset / PAGE_OFFSETS) + 1) * PAGE_OFFSETS, endOffset);
      if (page === undefined || page.bits === undefined) {
        if (page !== undefined && start === -1) start = offset;
        if (page === undefined && start !== -1) {
          yield { start, end: offset };
          start = -1;
        }
        offset = pageEnd;
        continue;
      }
      for (; offset < pageEnd; offset++) {
        const bit = offset % PAGE_OFFSETS;
        const settled = (page.bits[bit >>> 3]! & (1 << (bit & 7))) !== 0;
        if (settled && start === -1) start = offset;
        if (!settled && start !== -1) {
          yield { start, end: offset };
          start = -1;
        }
      }
    }
    if (start !== -1) yield { start, end: endOffset };
  }

  #page(offset: number): Page {
    const number = Math.floor(offset / PAGE_OFFSETS);
    let page = this.#pages.get(number);
    if (page === undefined) {
      page = { bits: new Uint8Array(PAGE_BYTES), settled: 0 };
      this.#pages.set(number, page);
    }
    return page;
  }

  #raiseFloor(): void {
    for (;;) {
      const number = Math.floor(this.#floor / PAGE_OFFSETS);
      const page = this.#pages.get(number);
      // Pages that the floor has left behind hold nothing that is asked for.
      if (page === undefined) break;
      if (page.bits === undefined) {
        const end = (number + 1) * PAGE_OFFSETS;
        this.#above -= end - this.#floor;
        this.#floor = end;
        this.#pages.delete(number);
        continue;
      }
      let bit = this.#floor % PAGE_OFFSETS;
      const from = bit;
      while (bit < PAGE_OFFSETS && (page.bits[bit >>> 3]! & (1 << (bit & 7))) !== 0) bit++;
      this.#above -= bit - from;
      this.#floor += bit - from;
      if (bit < PAGE_OFFSETS) break;
      this.#pages.delete(number);
    }
    this.#forgetBelow();
  }

  #forgetBelow(): void {
    if (this.#above > 0) return;
    this.#pages.clear();
  }
}
