/** The machine's randomness. `fraction` is for jitter and choices, `bytes` for identifiers and secrets. */
import { randomBytes } from 'node:crypto';
import type { Random } from './random.ts';

export const systemRandom: Random = {
  fraction: () => Math.random(),
  bytes: (count) => randomBytes(count),
};
