/**
 * What was promised to members of groups, and whether it is kept: one owner for a partition in a generation, generations
 * that only grow, committed offsets that are there and never go back. Knows nothing of the coordinator but its answers.
 */

interface KeyEntry {
  /** Everything that was ever sent; in the order of the calls, each larger than the one before. */
  readonly sent: Set<number>;
  /** The largest that was acknowledged or read. */
  floor: number;
}

interface GroupEntry {
  generationId: number;
  /** By generation, then by partition. */
  readonly owners: Map<number, Map<number, string>>;
  /** By generation and owner. */
  readonly assigned: Map<string, string>;
  /** By partition. */
  readonly offsets: Map<number, KeyEntry>;
  /** Its deletion was begun and its outcome is not known. */
  maybeDeleted: boolean;
}

export class GroupLedger {
  readonly #groups = new Map<string, GroupEntry>();
  assignments = 0;
  commits = 0;

  /** `owner`: the group instance, or the member id of a dynamic member. */
  onAssigned(groupId: string, generationId: number, owner: string, partitions: readonly number[]): void {
    const group = this.#group(groupId);
    if (generationId < group.generationId) {
      throw new Error(`${groupId}: generation ${generationId} was assigned after ${group.generationId}`);
    }
    group.generationId = generationId;
    const before = group.assigned.get(`${generationId}/${owner}`);
    if (before !== undefined && before !== partitions.join()) {
      throw new Error(`${groupId}: ${owner} has ${partitions.join()} in generation ${generationId}, and had ${before}`);
    }
    group.assigned.set(`${generationId}/${owner}`, partitions.join());
    const owners = group.owners.get(generationId) ?? new Map<number, string>();
    group.owners.set(generationId, owners);
    for (const partition of partitions) {
      const other = owners.get(partition) ?? owner;
      if (other !== owner) {
        throw new Error(`${groupId}: ${other} and ${owner} own partition ${partition} in generation ${generationId}`);
      }
      owners.set(partition, owner);
    }
    this.assignments++;
  }

  onCommitSent(groupId: string, partition: number, offset: number): void {
    this.#offset(groupId, partition).sent.add(offset);
  }

  onCommitted(groupId: string, partition: number, offset: number): void {
    const entry = this.#offset(groupId, partition);
    entry.floor = Math.max(entry.floor, offset);
    this.commits++;
  }

  /** -1: nothing is committed. */
  onFetched(groupId: string, partition: number, offset: number): void {
    const entry = this.#offset(groupId, partition);
    if (offset < entry.floor) {
      throw new Error(`${groupId}: offset ${entry.floor} of partition ${partition} is lost; it has ${offset}`);
    }
    if (offset !== -1 && !entry.sent.has(offset)) {
      throw new Error(`${groupId}: nobody committed ${offset} of partition ${partition}`);
    }
    entry.floor = offset;
  }

  onDeletionBegun(groupId: string): void {
    this.#group(groupId).maybeDeleted = true;
  }

  onDeleted(groupId: string): void {
    this.#groups.delete(groupId);
  }

  /** After a start: whether the group exists says what came of its deletion. */
  onStarted(groupId: string, exists: boolean): void {
    const group = this.#group(groupId);
    if (group.maybeDeleted && !exists) this.#groups.delete(groupId);
    else group.maybeDeleted = false;
  }

  #offset(groupId: string, partition: number): KeyEntry {
    const { offsets } = this.#group(groupId);
    const found = offsets.get(partition) ?? { sent: new Set<number>(), floor: -1 };
    offsets.set(partition, found);
    return found;
  }

  #group(groupId: string): GroupEntry {
    const found = this.#groups.get(groupId) ?? {
      generationId: 0,
      owners: new Map(),
      assigned: new Map(),
      offsets: new Map(),
      maybeDeleted: false,
    };
    this.#groups.set(groupId, found);
    return found;
  }
}
