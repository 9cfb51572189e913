/**
 * MurmurHash3 x86 128 (Austin Appleby, public domain): 128 bits, so that among billions of keys no two are likely to
 * share a hash, with 32-bit multiplications only. Not against crafted collisions: whoever may write a key may delete it
 * anyway, and cannot know the seed.
 */

const C1 = 0x239b961b;
const C2 = 0xab0e9789 | 0;
const C3 = 0x38b34ae5;
const C4 = 0xa1e38b93 | 0;

/** Writes the four words of the hash of `bytes[start, end)` to `into`. Per record: allocates nothing. */
export function hashKey(bytes: Uint8Array, start: number, end: number, seed: number, into: Uint32Array): void {
  let h1 = seed;
  let h2 = seed;
  let h3 = seed;
  let h4 = seed;
  const blocksEnd = end - ((end - start) & 15);
  for (let at = start; at < blocksEnd; at += 16) {
    h1 ^= Math.imul(rotate(Math.imul(wordAt(bytes, at), C1), 15), C2);
    h1 = (Math.imul((rotate(h1, 19) + h2) | 0, 5) + 0x561ccd1b) | 0;
    h2 ^= Math.imul(rotate(Math.imul(wordAt(bytes, at + 4), C2), 16), C3);
    h2 = (Math.imul((rotate(h2, 17) + h3) | 0, 5) + 0x0bcaa747) | 0;
    h3 ^= Math.imul(rotate(Math.imul(wordAt(bytes, at + 8), C3), 17), C4);
    h3 = (Math.imul((rotate(h3, 15) + h4) | 0, 5) + 0x96cd1c35) | 0;
    h4 ^= Math.imul(rotate(Math.imul(wordAt(bytes, at + 12), C4), 18), C1);
    h4 = (Math.imul((rotate(h4, 13) + h1) | 0, 5) + 0x32ac3b17) | 0;
  }
  h1 ^= Math.imul(rotate(Math.imul(tailWord(bytes, blocksEnd, end), C1), 15), C2);
  h2 ^= Math.imul(rotate(Math.imul(tailWord(bytes, blocksEnd + 4, end), C2), 16), C3);
  h3 ^= Math.imul(rotate(Math.imul(tailWord(bytes, blocksEnd + 8, end), C3), 17), C4);
  h4 ^= Math.imul(rotate(Math.imul(tailWord(bytes, blocksEnd + 12, end), C4), 18), C1);
  const count = end - start;
  h1 ^= count;
  h2 ^= count;
  h3 ^= count;
  h4 ^= count;
  h1 = (h1 + h2 + h3 + h4) | 0;
  h2 = (h2 + h1) | 0;
  h3 = (h3 + h1) | 0;
  h4 = (h4 + h1) | 0;
  h1 = mixed(h1);
  h2 = mixed(h2);
  h3 = mixed(h3);
  h4 = mixed(h4);
  h1 = (h1 + h2 + h3 + h4) | 0;
  into[0] = h1;
  into[1] = h2 + h1;
  into[2] = h3 + h1;
  into[3] = h4 + h1;
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/** As `wordAt`, with zeros behind the end. */
function tailWord(bytes: Uint8Array, at: number, end: number): number {
  let word = 0;
  for (let i = Math.min(3, end - at - 1); i >= 0; i--) word = (word << 8) | bytes[at + i]!;
  return word;
}

function mixed(word: number): number {
  word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
  return word ^ (word >>> 16);
}
