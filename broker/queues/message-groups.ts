/**
 * Order per key with competing consumers: of the messages with one group key at most one is in process at a time; others wait
 * parked, in order, while other keys flow on. A message that comes back keeps its key, also while it is delayed, or others
 * would overtake it. Pure. A key exists while a message of it is in process, held or parked.
 *
 * Invariant: of a key that has parked messages, one is in process, or one has been unparked and will be looked at next.
 */
interface Group {
  readonly key: string;
  /** In process, or held; -1 if the key is free. */
  busyOffset: number;
  /** The message that has the key has come back, and waits for its next delivery. */
  isHeld: boolean;
  /** Ascending, from `head` on. */
  parked: number[];
  head: number;
}

export class MessageGroups {
  readonly #groups = new Map<string, Group>();
  readonly #busy = new Map<number, Group>();

  /** Keys that are known. */
  get count(): number {
    return this.#groups.size;
  }

  /** True if the message may be handed out, and then its key is busy; else it is parked. Per message. */
  admit(key: string, offset: number): boolean {
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = { key, busyOffset: -1, isHeld: false, parked: [], head: 0 };
      this.#groups.set(key, group);
    }
    if (group.busyOffset === offset) {
      group.isHeld = false;
      return true;
    }
    if (group.busyOffset !== -1) {
      park(group, offset);
      return false;
    }
    group.busyOffset = offset;
    this.#busy.set(offset, group);
    return true;
  }

  /** A message that is in process comes back. */
  hold(offset: number): void {
    const group = this.#busy.get(offset);
    if (group !== undefined) group.isHeld = true;
  }

  /** A message is done with. Returns the parked one of its key to look at next, or -1. Per message. */
  release(offset: number): number {
    const group = this.#busy.get(offset);
    if (group === undefined) return -1;
    this.#busy.delete(offset);
    group.busyOffset = -1;
    group.isHeld = false;
    if (group.head === group.parked.length) {
      this.#groups.delete(group.key);
      return -1;
    }
    const next = group.parked[group.head++]!;
    if (group.head > 64 && group.head * 2 > group.parked.length) {
      group.parked = group.parked.slice(group.head);
      group.head = 0;
    }
    return next;
  }

  /**
   * A message left the queue while it was ready: expired, or dropped. If it held its key, or had been unparked, the key's
   * next one must be looked at: returned, or -1.
   */
  dropped(key: string, offset: number): number {
    const group = this.#groups.get(key);
    if (group === undefined) return -1;
    if (group.busyOffset === offset) return this.release(offset);
    if (group.busyOffset !== -1) return -1;
    if (group.head === group.parked.length) {
      this.#groups.delete(key);
      return -1;
    }
    return group.parked[group.head++]!;
  }

  /** All messages that are not in process leave the queue: takes the parked ones out, and frees the keys that are held. */
  clear(onParked: (offset: number) => void): void {
    for (const group of this.#groups.values()) {
      for (let index = group.head; index < group.parked.length; index++) onParked(group.parked[index]!);
      group.parked = [];
      group.head = 0;
      if (group.isHeld) {
        this.#busy.delete(group.busyOffset);
        group.busyOffset = -1;
      }
      if (group.busyOffset === -1) this.#groups.delete(group.key);
    }
  }
}

/** Mostly at the end; a message that came back goes before those behind it. */
function park(group: Group, offset: number): void {
  const { parked } = group;
  let index = parked.length;
  while (index > group.head && parked[index - 1]! > offset) index--;
  if (index === parked.length) parked.push(offset);
  else if (index === group.head && group.head > 0) parked[--group.head] = offset;
  else parked.splice(index, 0, offset);
}
