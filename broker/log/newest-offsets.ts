/**
 * Key → offset of its newest record, in bounded memory: an open hash table in typed arrays, 24 bytes a key. Keys are
 * known by their 128-bit hashes alone, as Kafka's cleaner knows them by MD5. Per record: no objects.
 */
import { hashKey } from './key-hash.ts';

const SLOT_BYTES = 24;
const SLOTS_MIN = 16;
/** Beyond three quarters, probing gets long. */
const LOAD_MAX = 0.75;

export class NewestOffsets {
  readonly #seed: number;
  readonly #slotsMax: number;
  readonly #hash = new Uint32Array(4);
  #hashes = new Uint32Array(SLOTS_MIN * 4);
  /** -1 marks a free slot. */
  #offsets = new Float64Array(SLOTS_MIN).fill(-1);
  #slots = SLOTS_MIN;
  #count = 0;

  /** Takes up to `bytesMax` bytes, and while it grows half as much again; at least a dozen keys fit. */
  constructor(bytesMax: number, seed: number) {
    this.#seed = seed;
    const slots = 2 ** Math.floor(Math.log2(Math.max(1, bytesMax / SLOT_BYTES)));
    this.#slotsMax = Math.max(SLOTS_MIN, slots);
  }

  get size(): number {
    return this.#count;
  }

  /** Keys that fit. */
  get capacity(): number {
    return Math.floor(this.#slotsMax * LOAD_MAX);
  }

  /** Notes that `bytes[start, end)` has a record at `offset`, newer than those before. False if there is no room for the key. */
  put(bytes: Uint8Array, start: number, end: number, offset: number): boolean {
    hashKey(bytes, start, end, this.#seed, this.#hash);
    let slot = this.#slotOfHash();
    if (this.#offsets[slot]! < 0) {
      if (this.#count >= this.capacity) return false;
      if (this.#count >= this.#slots * LOAD_MAX) {
        this.#grow();
        slot = this.#slotOfHash();
      }
      this.#hashes.set(this.#hash, slot * 4);
      this.#count++;
    }
    this.#offsets[slot] = offset;
    return true;
  }

  /** Offset of the newest record of the key; -1 if it has none. */
  get(bytes: Uint8Array, start: number, end: number): number {
    hashKey(bytes, start, end, this.#seed, this.#hash);
    return this.#offsets[this.#slotOfHash()]!;
  }

  /** The slot that holds the current hash, or the free one where it belongs. */
  #slotOfHash(): number {
    const hash = this.#hash;
    const hashes = this.#hashes;
    const mask = this.#slots - 1;
    let slot = hash[0]! & mask;
    while (this.#offsets[slot]! >= 0) {
      const at = slot * 4;
      if (
        hashes[at] === hash[0] &&
        hashes[at + 1] === hash[1] &&
        hashes[at + 2] === hash[2] &&
        hashes[at + 3] === hash[3]
      ) {
        return slot;
      }
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #grow(): void {
    const hashes = this.#hashes;
    const offsets = this.#offsets;
    const wanted = this.#hash.slice();
    this.#slots *= 2;
    this.#hashes = new Uint32Array(this.#slots * 4);
    this.#offsets = new Float64Array(this.#slots).fill(-1);
    for (let old = 0; old < offsets.length; old++) {
      if (offsets[old]! < 0) continue;
      this.#hash.set(hashes.subarray(old * 4, old * 4 + 4));
      const slot = this.#slotOfHash();
      this.#hashes.set(this.#hash, slot * 4);
      this.#offsets[slot] = offsets[old]!;
    }
    this.#hash.set(wanted);
  }
}
