/**
 * Murmur2 with Kafka's seed (Utils.murmur2 in kafka-clients): what spreads keys over partitions. It must give the same
 * number as every other Kafka client, or records of one key land in two partitions.
 */

const SEED = 0x9747b28c;
const MULTIPLIER = 0x5bd1e995;

/** The hash of `bytes[start, end)` as a signed 32-bit integer, as Java has it. Per record. */
export function murmur2(bytes: Uint8Array, start = 0, end: number = bytes.length): number {
  const length = end - start;
  const wordsEnd = start + (length & ~3);
  let hash = SEED ^ length;
  for (let p = start; p < wordsEnd; p += 4) {
    let word = bytes[p]! | (bytes[p + 1]! << 8) | (bytes[p + 2]! << 16) | (bytes[p + 3]! << 24);
    word = Math.imul(word, MULTIPLIER);
    word ^= word >>> 24;
    hash = Math.imul(hash, MULTIPLIER) ^ Math.imul(word, MULTIPLIER);
  }
  const rest = end - wordsEnd;
  if (rest > 0) {
    if (rest === 3) hash ^= bytes[wordsEnd + 2]! << 16;
    if (rest >= 2) hash ^= bytes[wordsEnd + 1]! << 8;
    hash = Math.imul(hash ^ bytes[wordsEnd]!, MULTIPLIER);
  }
  hash = Math.imul(hash ^ (hash >>> 13), MULTIPLIER);
  return hash ^ (hash >>> 15);
}

/** The partition of a key among `partitionCount`, as Kafka's default partitioner chooses it. */
export function keyPartition(key: Uint8Array, partitionCount: number): number {
  // Utils.toPositive clears the sign bit instead of taking the absolute value.
  return (murmur2(key) & 0x7fff_ffff) % partitionCount;
}
