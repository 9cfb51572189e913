/**
 * Consistent hashing: keys are spread over nodes by weight, and a node that comes or goes moves only the keys that it
 * gets or had. Each node has points on a ring of 2^32 positions, many per unit of weight; a key belongs to the node of
 * the first point at or behind the key's hash.
 *
 * Where a key goes depends on the names and weights of the nodes alone, not on the order in which they were added.
 */

/**
 * Points per unit of weight. With 64, the shares of nodes of weight 1 differ by about 12 % (one standard deviation,
 * 1/√64); greater weights spread more evenly.
 */
const POINTS_PER_WEIGHT = 64;

export interface HashRingOptions {
  /** Default 64. More points spread keys more evenly, and cost memory (8 bytes each) and time when nodes change. */
  readonly pointsPerWeight?: number;
}

interface Member<T> {
  readonly node: T;
  readonly name: string;
  weight: number;
}

export class HashRing<T> {
  readonly #pointsPerWeight: number;
  readonly #members = new Map<string, Member<T>>();
  /** Sorted; the owner of the point at `#positions[i]` is `#owners[i]`. */
  #positions = new Uint32Array(0);
  #owners: Member<T>[] = [];

  constructor(options: HashRingOptions = {}) {
    this.#pointsPerWeight = options.pointsPerWeight ?? POINTS_PER_WEIGHT;
  }

  /** How many nodes there are. */
  get count(): number {
    return this.#members.size;
  }

  /**
   * Adds a node, or gives it another weight. Costs a walk over all points.
   * @param name - tells nodes apart and places them
   * @param weight - a whole number from 1 on; a node of weight 2 gets twice the keys of one of weight 1
   */
  set(name: string, node: T, weight = 1): void {
    if (!Number.isSafeInteger(weight) || weight < 1) throw new RangeError(`A weight of ${weight} is not possible.`);
    const present = this.#members.get(name);
    if (present?.weight === weight && present.node === node) return;
    if (present !== undefined) this.delete(name);
    const member = { node, name, weight };
    this.#members.set(name, member);
    this.#merge(member);
  }

  /** Returns false if there is no such node. */
  delete(name: string): boolean {
    const member = this.#members.get(name);
    if (member === undefined) return false;
    this.#members.delete(name);
    const left = this.#positions.length - member.weight * this.#pointsPerWeight;
    const positions = new Uint32Array(left);
    const owners: Member<T>[] = new Array(left);
    let count = 0;
    for (let index = 0; index < this.#owners.length; index++) {
      if (this.#owners[index] === member) continue;
      positions[count] = this.#positions[index]!;
      owners[count++] = this.#owners[index]!;
    }
    this.#positions = positions;
    this.#owners = owners;
    return true;
  }

  /** The node that `key` belongs to, or undefined if there are no nodes. Allocates nothing. */
  get(key: string): T | undefined {
    return this.#owners[this.#find(key)]?.node;
  }

  /**
   * The first `count` nodes from where `key` belongs on, along the ring; all of them if there are fewer. For copies of
   * one thing on several nodes.
   */
  getMany(key: string, count: number): T[] {
    const found = new Set<Member<T>>();
    const wanted = Math.min(count, this.#members.size);
    for (let index = this.#find(key); found.size < wanted; index = (index + 1) % this.#owners.length) {
      found.add(this.#owners[index]!);
    }
    return Array.from(found, ({ node }) => node);
  }

  /** The index of the first point at or behind the hash of `key`; behind the last point comes the first. */
  #find(key: string): number {
    const positions = this.#positions;
    const hash = hashString(key, 0);
    let low = 0;
    let high = positions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (positions[middle]! < hash) low = middle + 1;
      else high = middle;
    }
    return low === positions.length ? 0 : low;
  }

  #merge(member: Member<T>): void {
    const added = new Uint32Array(member.weight * this.#pointsPerWeight);
    // Other seeds than 0, which is that of keys: a key is not drawn to the node that has its name.
    for (let index = 0; index < added.length; index++) added[index] = hashString(member.name, index + 1);
    added.sort();
    const length = this.#positions.length + added.length;
    const positions = new Uint32Array(length);
    const owners: Member<T>[] = new Array(length);
    let old = 0;
    let fresh = 0;
    for (let index = 0; index < length; index++) {
      if (fresh === added.length || (old < this.#positions.length && this.#isBefore(old, added[fresh]!, member.name))) {
        positions[index] = this.#positions[old]!;
        owners[index] = this.#owners[old++]!;
      } else {
        positions[index] = added[fresh++]!;
        owners[index] = member;
      }
    }
    this.#positions = positions;
    this.#owners = owners;
  }

  /** Two nodes may meet at one position. The name decides, or the order of adding would. */
  #isBefore(old: number, position: number, name: string): boolean {
    const other = this.#positions[old]!;
    return other < position || (other === position && this.#owners[old]!.name < name);
  }
}

/** 32 bits of MurmurHash3 (x86, Austin Appleby, public domain) over the UTF-16 units of `text`, one per block. */
function hashString(text: string, seed: number): number {
  let hash = seed;
  for (let index = 0; index < text.length; index++) {
    const unit = Math.imul(text.charCodeAt(index), 0xcc9e2d51);
    hash ^= Math.imul((unit << 15) | (unit >>> 17), 0x1b873593);
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0;
  }
  hash ^= text.length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
