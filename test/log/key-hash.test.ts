import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashKey } from '../../broker/log/key-hash.ts';
import { NewestOffsets } from '../../broker/log/newest-offsets.ts';

describe('the hash of keys', () => {
  it('is MurmurHash3 x86 128, by the verification value of the reference implementation', () => {
    // SMHasher: hash keys {0}, {0,1} … of 0 to 255 bytes with the seeds 256 - n, then hash all the hashes.
    const key = Buffer.alloc(256);
    const hashes = Buffer.alloc(256 * 16);
    const words = new Uint32Array(4);
    const store = (into: Buffer, at: number): void => {
      for (const [i, word] of words.entries()) into.writeUInt32LE(word, at + i * 4);
    };
    for (let i = 0; i < 256; i++) {
      key[i] = i;
      hashKey(key, 0, i, 256 - i, words);
      store(hashes, i * 16);
    }
    hashKey(hashes, 0, hashes.length, 0, words);
    const final = Buffer.alloc(16);
    store(final, 0);
    expect(final.readUInt32LE(0)).toBe(0xb3ece62a);
  });
});

describe('the newest offsets', () => {
  it('are those that a Map knows, and there is room for as many keys as promised', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.nat(40), fc.nat(100_000)), { maxLength: 400 }),
        fc.constantFrom(1, 1000, 100_000),
        fc.nat(),
        (keys, bytesMax, seed) => {
          const newest = new NewestOffsets(bytesMax, seed);
          const model = new Map<number, number>();
          for (const [offset, key] of keys.entries()) {
            const bytes = Buffer.from(`.key ${key}.`);
            const fits = model.has(key) || model.size < newest.capacity;
            expect(newest.put(bytes, 1, bytes.length - 1, offset)).toBe(fits);
            if (fits) model.set(key, offset);
          }
          expect(newest.size).toBe(model.size);
          expect(newest.capacity).toBeGreaterThanOrEqual(12);
          for (const key of [...keys, 100_001]) {
            const bytes = Buffer.from(`key ${key}`);
            expect(newest.get(bytes, 0, bytes.length)).toBe(model.get(key) ?? -1);
          }
        },
      ),
    );
  });
});
