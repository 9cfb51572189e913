/**
 * CRC-32C (Castagnoli; RFC 3720 B.4), the checksum of record batch v2, by the CPU's own instruction.
 * In browsers `crc32c.browser.ts` stands in its place (package.json, "browser").
 */
import { crc32c as nativeCrc32c } from '@node-rs/crc32';

/** The checksum of `bytes[start, end)` as an unsigned 32-bit number. */
export function crc32c(bytes: Uint8Array, start = 0, end: number = bytes.length): number {
  return nativeCrc32c(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end));
}
