/**
 * Looks over the bytes of a message before anything is made of them: one value, nothing behind it, no types that the
 * protocol does not use, bounded nesting, and no count or length that the bytes do not back (5 bytes can claim an array
 * of four billion). Allocates nothing.
 */
import { BurrowError } from '../errors/burrow-error.ts';

export interface ScanLimits {
  /** Arrays within arrays. */
  readonly depthMax: number;
  /** Values in the whole message, arrays counted. */
  readonly valuesMax: number;
}

/** For what a broker sends: metadata of 100,000 partitions are about a million values. */
export const SCAN_LIMITS: ScanLimits = { depthMax: 12, valuesMax: 4_000_000 };
/**
 * For what a client sends. A hundred thousand values take a few milliseconds to decode, which is as long as one client
 * may keep the others waiting; a fetch of 15,000 partitions has as many.
 */
export const REQUEST_SCAN_LIMITS: ScanLimits = { depthMax: 12, valuesMax: 100_000 };

/** Throws MALFORMED_FRAME. */
export function scanValue(bytes: Uint8Array, limits: ScanLimits = SCAN_LIMITS): void {
  // Values still expected at each level of nesting.
  const open: number[] = [1];
  let values = 0;
  let at = 0;
  while (open.length > 0) {
    const level = open.length - 1;
    if (open[level] === 0) {
      open.pop();
      continue;
    }
    open[level]!--;
    if (++values > limits.valuesMax) throw malformed(`more than ${limits.valuesMax} values`, at);
    if (at >= bytes.length) throw malformed('it ends in the middle of a value', at);
    const code = bytes[at]!;
    const count = arrayCount(bytes, at, code);
    if (count >= 0) {
      at += arrayHeadBytes(code);
      if (count > bytes.length - at)
        throw malformed(`an array of ${count} elements, but ${Math.max(0, bytes.length - at)} bytes are left`, at);
      if (open.length > limits.depthMax) throw malformed(`arrays nested more than ${limits.depthMax} deep`, at);
      open.push(count);
      continue;
    }
    const size = scalarBytes(bytes, at, code);
    if (size < 0) throw malformed(`a value of type 0x${code.toString(16)}, which the protocol does not use`, at);
    if (size > bytes.length - at) throw malformed('a value is longer than the frame', at);
    at += size;
  }
  if (at !== bytes.length) throw malformed(`${bytes.length - at} bytes follow the message`, at);
}

function arrayCount(bytes: Uint8Array, at: number, code: number): number {
  if (code >= 0x90 && code <= 0x9f) return code & 0x0f;
  if (code === 0xdc) return uint(bytes, at + 1, 2);
  if (code === 0xdd) return uint(bytes, at + 1, 4);
  return -1;
}

function arrayHeadBytes(code: number): number {
  if (code === 0xdc) return 3;
  return code === 0xdd ? 5 : 1;
}

/** Head and body of a value that is no collection; -1 for a type that is not allowed. */
function scalarBytes(bytes: Uint8Array, at: number, code: number): number {
  if (code <= 0x7f || code >= 0xe0) return 1;
  if (code >= 0xa0 && code <= 0xbf) return 1 + (code & 0x1f);
  switch (code) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
      return 1;
    case 0xc4:
    case 0xd9:
      return 2 + uint(bytes, at + 1, 1);
    case 0xc5:
    case 0xda:
      return 3 + uint(bytes, at + 1, 2);
    case 0xc6:
    case 0xdb:
      return 5 + uint(bytes, at + 1, 4);
    case 0xcc:
    case 0xd0:
      return 2;
    case 0xcd:
    case 0xd1:
      return 3;
    case 0xca:
    case 0xce:
    case 0xd2:
      return 5;
    case 0xcb:
    case 0xcf:
    case 0xd3:
      return 9;
    default:
      return -1;
  }
}

/** Big-endian; bytes that are not there count as 0xff, so that the length check fails. */
function uint(bytes: Uint8Array, at: number, width: number): number {
  let value = 0;
  for (let i = 0; i < width; i++) value = value * 256 + (bytes[at + i] ?? 0xff);
  return value;
}

function malformed(what: string, position: number): BurrowError {
  return new BurrowError('MALFORMED_FRAME', `The message is not valid: ${what} (at byte ${position}).`, {
    fields: { position },
  });
}
