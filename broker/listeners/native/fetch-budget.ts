/**
 * How much memory the fetches of one connection may come to, from their start until their answers have left for the
 * network. Many fetches may wait and be released by the same batch, and whoever sent them may never read the answers.
 *
 * Each new fetch gets at most half of what is left, so that the first does not take all; what it does not get it fetches
 * next time. A single batch that is larger still goes out whole (KIP-74).
 */
import { BurrowError } from '../../../src/errors/burrow-error.ts';

/** Granted even if nothing is left: a fetch must get on. */
const GRANT_BYTES_MIN = 64 * 1024;

export class FetchBudget {
  readonly #bytesMax: number;
  readonly #fetchesMax: number;
  #fetches = 0;
  #grantedBytes = 0;

  constructor(bytesMax: number, fetchesMax: number) {
    this.#bytesMax = bytesMax;
    this.#fetchesMax = fetchesMax;
  }

  /** What a fetch that asks for `bytes` may read. Give it back with `release`. Throws IN_FLIGHT_LIMIT. */
  grant(bytes: number): number {
    if (this.#fetches >= this.#fetchesMax) {
      throw new BurrowError(
        'IN_FLIGHT_LIMIT',
        `This connection has ${this.#fetchesMax} fetches in flight. Ask for more partitions in one fetch.`,
      );
    }
    const share = Math.max(GRANT_BYTES_MIN, Math.floor((this.#bytesMax - this.#grantedBytes) / 2));
    const granted = Math.max(1, Math.min(bytes, share));
    this.#fetches++;
    this.#grantedBytes += granted;
    return granted;
  }

  release(granted: number): void {
    this.#fetches--;
    this.#grantedBytes -= granted;
  }
}
