/** Choices drawn from any source of randomness. */
import type { Random } from './random.ts';

/** An integer in [0, end). */
export function randomBelow(random: Random, end: number): number {
  return Math.floor(random.fraction() * end);
}

/** True with this probability. */
export function randomChance(random: Random, probability: number): boolean {
  return random.fraction() < probability;
}

/** One of `choices`, which must not be empty. */
export function randomPick<T>(random: Random, choices: readonly T[]): T {
  if (choices.length === 0) throw new RangeError('nothing to pick from');
  return choices[randomBelow(random, choices.length)]!;
}
