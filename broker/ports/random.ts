/** Randomness, as the broker's core sees it, so that a simulation can replay it from a seed. */
export interface Random {
  /** A number in [0, 1). */
  fraction(): number;
  /** `count` random bytes. */
  bytes(count: number): Buffer;
}
