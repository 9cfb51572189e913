/**
 * What of a queue's log is ready, and in which order: pure, no bodies, no I/O. Each message is named by its offset and is
 *
 *     ready      waits for a consumer: at or behind the cursor of its priority, or returned below it
 *     in flight  taken by somebody who has not settled it yet
 *     delayed    returned, but not ready before a time
 *     parked     ready, but its message group is busy
 *     settled    done with; never comes back
 *
 * Order: the highest priority first, within it by offset, so that a returned message is next among its like. A few bytes per
 * message that is in flight, returned or delayed; one per ready message where there are priorities; else none.
 */
import { DueHeap, OffsetHeap } from './offset-heap.ts';
import { type OffsetRange, SettledOffsets } from './settled-offsets.ts';

const PAGE_OFFSETS = 65_536;

/** The messages of one priority. */
interface Lane {
  /** Offsets below it have been taken, or are settled. */
  cursor: number;
  /** Ready again, all below the cursor. */
  readonly returned: OffsetHeap;
}

export interface QueueSnapshot {
  readonly floor: number;
  readonly endOffset: number;
  readonly settled: readonly OffsetRange[];
  /** Returns of messages that are not settled. */
  readonly returns: ReadonlyMap<number, number>;
}

export class QueueState {
  readonly #settled: SettledOffsets;
  readonly #lanes: Lane[];
  /** Priority of each offset, by page; only with more than one lane. */
  readonly #levels = new Map<number, Uint8Array>();
  readonly #delayed = new DueHeap();
  /** How often a message came back. */
  readonly #returns = new Map<number, number>();
  #endOffset: number;
  #inFlight = 0;
  #parked = 0;
  #peekedLane = 0;

  /** @param levels - number of priorities; 1 without. Everything from `floor` on is ready when {@link extend} says so. */
  constructor(floor: number, levels = 1) {
    this.#settled = new SettledOffsets(floor);
    this.#endOffset = floor;
    this.#lanes = Array.from({ length: levels }, () => ({ cursor: floor, returned: new OffsetHeap() }));
  }

  /** The first offset that is not settled. */
  get floor(): number {
    return this.#settled.floor;
  }

  /** Where messages that nobody may see yet begin. */
  get endOffset(): number {
    return this.#endOffset;
  }

  /** Ready, delayed and parked messages. */
  get readyCount(): number {
    return this.#endOffset - this.floor - this.#settled.aboveFloor - this.#inFlight;
  }

  get inFlightCount(): number {
    return this.#inFlight;
  }

  get delayedCount(): number {
    return this.#delayed.count;
  }

  get parkedCount(): number {
    return this.#parked;
  }

  /** How many messages above the floor are settled: what a snapshot would have to tell. */
  get settledAboveFloor(): number {
    return this.#settled.aboveFloor;
  }

  isSettled(offset: number): boolean {
    return this.#settled.has(offset);
  }

  /** Messages up to `endOffset` are there. `levelOf` gives the priority of each, from 0; only called with several lanes. */
  extend(endOffset: number, levelOf?: (offset: number) => number): void {
    if (this.#lanes.length > 1 && levelOf !== undefined) {
      for (let offset = this.#endOffset; offset < endOffset; offset++) this.#setLevel(offset, levelOf(offset));
    }
    this.#endOffset = Math.max(this.#endOffset, endOffset);
  }

  /** The message to hand out next, which stays ready; -1 if there is none. Per message. */
  peek(): number {
    for (let level = this.#lanes.length - 1; level >= 0; level--) {
      const lane = this.#lanes[level]!;
      if (lane.returned.count > 0) {
        this.#peekedLane = level;
        return lane.returned.first;
      }
      const offset = this.#lanes.length === 1 ? this.#nextUnsettled(lane.cursor) : this.#nextOf(level, lane.cursor);
      lane.cursor = offset;
      if (offset < this.#endOffset) {
        this.#peekedLane = level;
        return offset;
      }
    }
    return -1;
  }

  /** The message that {@link peek} has just told is in flight. */
  take(): number {
    const offset = this.#takeOut();
    this.#inFlight++;
    return offset;
  }

  /** The message that {@link peek} has just told is settled without having been in flight: expired, or too many. */
  drop(): number {
    const offset = this.#takeOut();
    this.#settle(offset);
    return offset;
  }

  /** The message that {@link peek} has just told waits until {@link unpark}. */
  park(): number {
    const offset = this.#takeOut();
    this.#parked++;
    return offset;
  }

  unpark(offset: number): void {
    this.#parked--;
    this.#return(offset);
  }

  /** A message that is in flight is done with. */
  settle(offset: number): void {
    this.#inFlight--;
    this.#settle(offset);
  }

  /** A message that is in flight is ready again, at its old place. */
  requeue(offset: number): void {
    this.#inFlight--;
    this.#return(offset);
  }

  /** A message that is in flight is ready again once {@link releaseDue} has come to its time. */
  delay(offset: number, dueMs: number): void {
    this.#inFlight--;
    this.#delayed.push(dueMs, offset);
  }

  /** When the next delayed message is due; Infinity if there is none. */
  get nextDueMs(): number {
    return this.#delayed.firstDueMs;
  }

  /** Delayed messages whose time has come are ready. */
  releaseDue(nowMs: number): void {
    while (this.#delayed.count > 0 && this.#delayed.firstDueMs <= nowMs) this.#return(this.#delayed.pop());
  }

  /** How often the message has come back. */
  returnsOf(offset: number): number {
    return this.#returns.get(offset) ?? 0;
  }

  setReturns(offset: number, returns: number): void {
    if (returns === 0) this.#returns.delete(offset);
    else this.#returns.set(offset, returns);
  }

  /**
   * Settles everything that is ready, but what is delayed or parked: hands the ranges to `onRange` and returns how many
   * messages they were.
   */
  purge(onRange: (start: number, end: number) => void): number {
    let count = 0;
    const lane = this.#lanes[0]!;
    for (let offset = this.peek(); offset !== -1; offset = this.peek()) {
      if (this.#lanes.length === 1 && lane.returned.count === 0) {
        // Nothing at or behind the only cursor is in flight.
        const end = this.#endOffset;
        count += this.#settled.addRange(offset, end);
        this.#forgetReturns(offset, end);
        lane.cursor = end;
        onRange(offset, end);
        break;
      }
      this.drop();
      onRange(offset, offset + 1);
      count++;
    }
    this.#forgetLevels();
    return count;
  }

  /** Takes over what a log of settlements says; before anything is handed out. */
  restoreSettled(start: number, end: number): void {
    this.#settled.addRange(start, end);
  }

  snapshot(): QueueSnapshot {
    return {
      floor: this.floor,
      endOffset: this.#endOffset,
      settled: [...this.#settled.ranges(this.#endOffset)],
      returns: this.#returns,
    };
  }

  #takeOut(): number {
    const lane = this.#lanes[this.#peekedLane]!;
    return lane.returned.count > 0 ? lane.returned.pop() : lane.cursor++;
  }

  #return(offset: number): void {
    const level = this.#lanes.length === 1 ? 0 : this.#levelOf(offset);
    this.#lanes[level]!.returned.push(offset);
  }

  #settle(offset: number): void {
    const { floor } = this;
    this.#settled.add(offset);
    if (this.#returns.size > 0) this.#returns.delete(offset);
    if (this.#levels.size > 0 && Math.floor(floor / PAGE_OFFSETS) !== Math.floor(this.floor / PAGE_OFFSETS)) {
      this.#forgetLevels();
    }
  }

  #nextUnsettled(offset: number): number {
    if (this.#settled.aboveFloor === 0) return Math.max(offset, this.floor);
    while (offset < this.#endOffset && this.#settled.has(offset)) offset++;
    return offset;
  }

  /** The next offset of a priority that is not settled, from `offset` on. */
  #nextOf(level: number, offset: number): number {
    while (offset < this.#endOffset) {
      const page = this.#levels.get(Math.floor(offset / PAGE_OFFSETS));
      const pageStart = offset - (offset % PAGE_OFFSETS);
      const found = page === undefined ? -1 : page.indexOf(level, offset - pageStart);
      if (found === -1) {
        offset = pageStart + PAGE_OFFSETS;
        continue;
      }
      offset = pageStart + found;
      if (offset >= this.#endOffset) break;
      if (!this.#settled.has(offset)) return offset;
      offset++;
    }
    return this.#endOffset;
  }

  #levelOf(offset: number): number {
    return this.#levels.get(Math.floor(offset / PAGE_OFFSETS))?.[offset % PAGE_OFFSETS] ?? 0;
  }

  #setLevel(offset: number, level: number): void {
    const number = Math.floor(offset / PAGE_OFFSETS);
    let page = this.#levels.get(number);
    if (page === undefined) {
      page = new Uint8Array(PAGE_OFFSETS);
      this.#levels.set(number, page);
    }
    page[offset % PAGE_OFFSETS] = Math.min(Math.max(level, 0), this.#lanes.length - 1);
  }

  /** Pages that the floor has left behind. */
  #forgetLevels(): void {
    const first = Math.floor(this.floor / PAGE_OFFSETS);
    for (const number of this.#levels.keys()) if (number < first) this.#levels.delete(number);
  }

  #forgetReturns(start: number, end: number): void {
    for (const offset of this.#returns.keys()) if (offset >= start && offset < end) this.#returns.delete(offset);
  }
}
