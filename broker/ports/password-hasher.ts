/** What the broker needs of cryptography to keep passwords. */
import { createHmac, scrypt, timingSafeEqual } from 'node:crypto';

/** Cost of a hash (RFC 7914): it takes `128 · n · r` bytes of memory. */
export interface ScryptCost {
  readonly n: number;
  readonly r: number;
  readonly p: number;
}

export interface PasswordHasher {
  /** `bytes` bytes of scrypt. Takes tens of milliseconds of a thread that files wait for, too: one at a time. */
  derive(password: string, salt: Uint8Array, cost: ScryptCost, bytes: number): Promise<Buffer>;
  /** HMAC-SHA-256, which is fast. */
  digest(key: Uint8Array, text: string): Buffer;
  /** In a time that does not tell where they differ. */
  isEqual(one: Uint8Array, other: Uint8Array): boolean;
}

export const systemPasswordHasher: PasswordHasher = {
  derive: (password, salt, { n, r, p }, bytes) =>
    new Promise((resolve, reject) => {
      // OpenSSL refuses what takes more than it was told that it may.
      scrypt(password, salt, bytes, { N: n, r, p, maxmem: 256 * n * r }, (error, key) => {
        if (error === null) resolve(key);
        else reject(error);
      });
    }),
  digest: (key, text) => createHmac('sha256', key).update(text).digest(),
  isEqual: (one, other) => one.length === other.length && timingSafeEqual(one, other),
};
