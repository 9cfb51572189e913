/**
 * Destinations by the number of bindings that lead to each: two bindings to one queue are two, and the queue stays when
 * one of them goes. Kept as an array for walking, since that happens per message.
 */
import type { Destination } from './destination.ts';

/** From here on a map finds what a walk would. Most sets have one or two. */
const INDEXED_FROM = 16;

export class DestinationSet {
  /** To be walked only. In no particular order. */
  readonly items: Destination[] = [];
  readonly #bindings: number[] = [];
  #indexes: Map<Destination, number> | undefined;

  add(destination: Destination): void {
    const index = this.#find(destination);
    if (index !== -1) {
      this.#bindings[index]!++;
      return;
    }
    this.items.push(destination);
    this.#bindings.push(1);
    if (this.#indexes !== undefined) this.#indexes.set(destination, this.items.length - 1);
    else if (this.items.length === INDEXED_FROM) {
      this.#indexes = new Map(this.items.map((item, position) => [item, position]));
    }
  }

  /** One binding less. Nothing if there is none. */
  remove(destination: Destination): void {
    const index = this.#find(destination);
    if (index === -1 || --this.#bindings[index]! > 0) return;
    const last = this.items.pop()!;
    const lastBindings = this.#bindings.pop()!;
    this.#indexes?.delete(destination);
    if (last === destination) return;
    this.items[index] = last;
    this.#bindings[index] = lastBindings;
    this.#indexes?.set(last, index);
  }

  #find(destination: Destination): number {
    return this.#indexes === undefined ? this.items.indexOf(destination) : (this.#indexes.get(destination) ?? -1);
  }
}
