/** The text of a WebSocket close frame. */
import type { BurrowError } from '../../../src/errors/burrow-error.ts';

/** A close reason has at most 123 bytes (RFC 6455 section 5.5). */
const CLOSE_REASON_BYTES_MAX = 123;
export function closeReason(error: BurrowError): string {
  const text = `${error.code}: ${error.message}`;
  const bytes = new Uint8Array(CLOSE_REASON_BYTES_MAX);
  // Stops before a character that does not fit.
  const { written } = new TextEncoder().encodeInto(text, bytes);
  return new TextDecoder().decode(bytes.subarray(0, written));
}
