/**
 * Order per key with competing consumers: of the messages with one group key at most one is in process at a time; others wait
 * parked, in order, while other keys flow on. Pure. A key exists while a message has it.
 *
 * A message has its key from when it is handed out until it is done with, also while it is back in the queue, and then the
 * parked one with the lowest offset has it, before it is handed out: or else others would overtake it, those of a higher
 * priority or those behind one that is delayed.
 */
interface Group {
  readonly key: string;
  /** The message that has the key. */
  owner: number;
  /** The owner is not in process, but ready or delayed. */
  isWaiting: boolean;
  /** Ascending, from `head` on. */
  parked: number[];
  head: number;
}

export class MessageGroups {
  readonly #groups = new Map<string, Group>();
  /** By owner. */
  readonly #owned = new Map<number, Group>();

  /** Keys that some message has. */
  get count(): number {
    return this.#groups.size;
  }

  /** True if the message may be handed out, and then it has its key; else it is parked. Per message. */
  admit(key: string, offset: number): boolean {
    const group = this.#groups.get(key);
    if (group === undefined) {
      const added = { key, owner: offset, isWaiting: false, parked: [], head: 0 };
      this.#groups.set(key, added);
      this.#owned.set(offset, added);
      return true;
    }
    if (group.owner === offset) {
      group.isWaiting = false;
      return true;
    }
    park(group, offset);
    return false;
  }

  /** A message that is in process comes back. */
  hold(offset: number): void {
    const group = this.#owned.get(offset);
    if (group !== undefined) group.isWaiting = true;
  }

  /** A message is done with. Returns the parked one that has the key now, or -1. Per message. */
  release(offset: number): number {
    const group = this.#owned.get(offset);
    if (group === undefined) return -1;
    this.#owned.delete(offset);
    if (group.head === group.parked.length) {
      this.#groups.delete(group.key);
      return -1;
    }
    const next = group.parked[group.head++]!;
    if (group.head > 64 && group.head * 2 > group.parked.length) {
      group.parked = group.parked.slice(group.head);
      group.head = 0;
    }
    group.owner = next;
    group.isWaiting = true;
    this.#owned.set(next, group);
    return next;
  }

  /** All messages that are not in process leave the queue; `onParked` gets those that are parked. */
  clear(onParked: (offset: number) => void): void {
    for (const group of this.#groups.values()) {
      for (let index = group.head; index < group.parked.length; index++) onParked(group.parked[index]!);
      group.parked = [];
      group.head = 0;
      if (!group.isWaiting) continue;
      this.#owned.delete(group.owner);
      this.#groups.delete(group.key);
    }
  }
}

/** Mostly at the end; with priorities one from before may come later. */
function park(group: Group, offset: number): void {
  const { parked } = group;
  let index = parked.length;
  while (index > group.head && parked[index - 1]! > offset) index--;
  if (index === parked.length) parked.push(offset);
  else parked.splice(index, 0, offset);
}
