/**
 * Randomness that replays from a seed: sfc32 (Chris Doty-Humphrey's small fast counting generator, 128 bits of state,
 * passes PractRand). Not for secrets.
 */
import type { Random } from './random.ts';
import { randomBelow, randomChance, randomPick } from './random-choices.ts';

export class SeededRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #counter: number;

  constructor(seed: number | string) {
    // FNV-1a over the seed's text, four times from different starts: similar seeds must not give similar streams.
    const text = String(seed);
    this.#a = hash(text, 0x811c9dc5);
    this.#b = hash(text, 0x9e3779b9);
    this.#c = hash(text, 0x85ebca6b);
    this.#counter = hash(text, 0xc2b2ae35);
    for (let i = 0; i < 16; i++) this.#next();
  }

  fraction(): number {
    const high = this.#next() >>> 5;
    const low = this.#next() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  bytes(count: number): Buffer {
    const bytes = Buffer.allocUnsafeSlow(count);
    for (let i = 0; i < count; i++) bytes[i] = this.#next() & 0xff;
    return bytes;
  }

  /** An integer in [0, end). */
  below(end: number): number {
    return randomBelow(this, end);
  }

  /** An integer in [min, max], both included. */
  between(min: number, max: number): number {
    return min + this.below(max - min + 1);
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return randomChance(this, probability);
  }

  pick<T>(choices: readonly T[]): T {
    return randomPick(this, choices);
  }

  /** The same items in a random order. */
  shuffle<T>(items: readonly T[]): T[] {
    const shuffled = [...items];
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!];
    }
    return shuffled;
  }

  /** An independent stream for one part of a simulation, so that more draws in one part do not disturb another. */
  fork(label: string): SeededRandom {
    return new SeededRandom(`${this.#next()}/${this.#next()}/${label}`);
  }

  #next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    this.#c |= 0;
    return sum >>> 0;
  }
}

function hash(text: string, start: number): number {
  let value = start;
  for (let i = 0; i < text.length; i++) {
    value ^= text.charCodeAt(i);
    value = Math.imul(value, 0x01000193);
  }
  value ^= value >>> 16;
  value = Math.imul(value, 0x7feb352d);
  value ^= value >>> 15;
  return value | 0;
}
