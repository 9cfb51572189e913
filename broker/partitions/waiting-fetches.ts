/**
 * Long polls and push streams: readers that wait for data, by the partitions they wait for. Knows who must look again, and when a wait is
 * over; what is enough data decides the fetch itself (`fetch.ts`).
 *
 * Partitions that moved are gathered and told at the end of the turn: one commit moves many partitions, and a fetch on
 * several of them should be answered once, with the data of all. A waiting fetch costs nothing until one of its own
 * partitions moves.
 */
import type { Clock } from '../ports/clock.ts';
import { type Deadline, DeadlineQueue } from './deadline-queue.ts';
import type { Partition } from './partition.ts';

export interface WaitingFetch {
  /** The partitions it waits for, without repetition of one by itself being needed. */
  readonly waitsFor: readonly Partition[];
  /** The one at `index` moved. True: the wait is over, and this fetch has been taken off the list. */
  isReadyAfter(index: number): boolean;
  /** Called once, at the end of the wait, unless it was removed before. */
  endWait(): void;
}

interface Place {
  readonly fetch: WaitingFetch;
  readonly index: number;
}

interface Wait {
  readonly places: readonly Place[];
  /** Undefined for one without end: a push stream. */
  readonly deadline: Deadline | undefined;
}

export class WaitingFetches {
  readonly #deadlines: DeadlineQueue;
  readonly #waits = new Map<WaitingFetch, Wait>();
  readonly #placesByPartition = new Map<Partition, Set<Place>>();
  /** Moved in this turn. */
  readonly #moved = new Set<Partition>();
  #isDrainPending = false;

  constructor(clock: Clock) {
    this.#deadlines = new DeadlineQueue(clock);
  }

  /** Fetches that wait. */
  get count(): number {
    return this.#waits.size;
  }

  /** Without `waitMs` it waits until it is removed. */
  add(fetch: WaitingFetch, waitMs: number | undefined): void {
    const places = fetch.waitsFor.map((_, index) => ({ fetch, index }));
    for (const place of places) {
      const partition = fetch.waitsFor[place.index]!;
      const others = this.#placesByPartition.get(partition);
      if (others === undefined) this.#placesByPartition.set(partition, new Set([place]));
      else others.add(place);
    }
    const deadline = waitMs === undefined ? undefined : this.#deadlines.add(waitMs, () => this.#end(fetch));
    this.#waits.set(fetch, { places, deadline });
  }

  /** Its wait will not be ended by this any more. False if it was not waiting. */
  remove(fetch: WaitingFetch): boolean {
    const wait = this.#waits.get(fetch);
    if (wait === undefined) return false;
    this.#waits.delete(fetch);
    if (wait.deadline !== undefined) this.#deadlines.remove(wait.deadline);
    for (const place of wait.places) {
      const partition = fetch.waitsFor[place.index]!;
      const places = this.#placesByPartition.get(partition);
      places?.delete(place);
      if (places?.size === 0) this.#placesByPartition.delete(partition);
    }
    return true;
  }

  /** Readers of the partition may see more, or must be told of something else. Once per commit. */
  onAdvance(partition: Partition): void {
    if (!this.#placesByPartition.has(partition)) return;
    this.#moved.add(partition);
    if (this.#isDrainPending) return;
    this.#isDrainPending = true;
    queueMicrotask(() => this.#drain());
  }

  /** Ends all waits at once: the broker stops. */
  close(): void {
    for (const fetch of [...this.#waits.keys()]) this.#end(fetch);
    this.#deadlines.close();
  }

  #drain(): void {
    this.#isDrainPending = false;
    for (const partition of this.#moved) {
      // A set may lose entries while it is walked; those that are ready leave it.
      for (const { fetch, index } of this.#placesByPartition.get(partition) ?? []) {
        if (fetch.isReadyAfter(index)) this.#end(fetch);
      }
    }
    this.#moved.clear();
  }

  #end(fetch: WaitingFetch): void {
    if (this.remove(fetch)) fetch.endWait();
  }
}
