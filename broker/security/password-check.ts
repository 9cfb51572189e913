/**
 * Checks passwords. A hash that is worth something costs tens of milliseconds and a thread that files wait for, too; so one is made at a time,
 * a bounded number waits, and a password that was right is known again without one, as a keyed digest in memory.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { PasswordHasher, ScryptCost } from '../ports/password-hasher.ts';
import type { Random } from '../ports/random.ts';
import type { PasswordHash } from './user-definition.ts';

export interface PasswordCheckOptions {
  readonly hasher: PasswordHasher;
  readonly random: Random;
  /** Hashes that may wait for their turn. */
  readonly waitingMax: number;
  /** Of new hashes. Default: 16 MiB and some 40 ms. */
  readonly cost?: ScryptCost | undefined;
}

const DEFAULT_COST: ScryptCost = { n: 16_384, r: 8, p: 1 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;
const KEY_BYTES = 32;

export class PasswordCheck {
  readonly #options: PasswordCheckOptions;
  readonly #cost: ScryptCost;
  /** Of this process: digests mean nothing outside of it. */
  readonly #key: Buffer;
  /** Of passwords that were right. By the hash they were right for: when that changes, they are forgotten. */
  readonly #known = new WeakMap<PasswordHash, Buffer>();
  /** Compared with where there is no user, which must take as long. */
  readonly #nobody: PasswordHash;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(options: PasswordCheckOptions) {
    this.#options = options;
    this.#cost = options.cost ?? DEFAULT_COST;
    const { random } = options;
    this.#key = random.bytes(KEY_BYTES);
    this.#nobody = { ...this.#cost, salt: random.bytes(SALT_BYTES), hash: random.bytes(HASH_BYTES) };
  }

  /** @throws BurrowError LOGIN_LIMIT */
  async hash(password: string): Promise<PasswordHash> {
    const salt = this.#options.random.bytes(SALT_BYTES);
    return { ...this.#cost, salt, hash: await this.#derive(password, salt, this.#cost, HASH_BYTES) };
  }

  /** At once if it is known. @throws BurrowError LOGIN_LIMIT */
  isRight(password: string, expected: PasswordHash | undefined): boolean | Promise<boolean> {
    const { hasher } = this.#options;
    const known = expected === undefined ? undefined : this.#known.get(expected);
    if (known !== undefined && hasher.isEqual(known, hasher.digest(this.#key, password))) return true;
    return this.#compare(password, expected);
  }

  async #compare(password: string, expected: PasswordHash | undefined): Promise<boolean> {
    const { hasher } = this.#options;
    const { salt, hash, ...cost } = expected ?? this.#nobody;
    const isEqual = hasher.isEqual(await this.#derive(password, salt, cost, hash.length), hash);
    if (expected === undefined || !isEqual) return false;
    this.#known.set(expected, hasher.digest(this.#key, password));
    return true;
  }

  async #derive(password: string, salt: Uint8Array, cost: ScryptCost, bytes: number): Promise<Buffer> {
    if (this.#waiting >= this.#options.waitingMax) throw new BurrowError('LOGIN_LIMIT');
    this.#waiting++;
    const turn = this.#last.then(() => this.#options.hasher.derive(password, salt, cost, bytes));
    this.#last = turn.catch(() => {});
    try {
      return await turn;
    } finally {
      this.#waiting--;
    }
  }
}
