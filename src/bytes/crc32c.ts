/** CRC-32C (Castagnoli), by native code. `crc32c.browser.ts` is the same in plain JavaScript. */
import { crc32c as native } from '@node-rs/crc32';

/** CRC-32C of bytes[start, end). */
export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length): number {
  return native(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end));
}
