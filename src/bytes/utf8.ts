/**
 * UTF-8 to strings and back for short protocol strings, in Node and in browsers.
 * Malformed bytes become U+FFFD, lone surrogates likewise, as in Java and in the Encoding Standard.
 */

// ignoreBOM keeps a leading U+FEFF: it is content here, not a signature.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
const encoder = new TextEncoder();

/** Below this many bytes a loop over ASCII beats the call into the platform's decoder. */
const LOOP_BYTES_MAX = 32;

/** The text in `bytes[start, end)`. */
export function decodeUtf8(bytes: Uint8Array, start: number, end: number): string {
  if (end - start <= LOOP_BYTES_MAX) {
    let text = '';
    let position = start;
    for (; position < end; position++) {
      const byte = bytes[position]!;
      if (byte > 0x7f) break;
      text += String.fromCharCode(byte);
    }
    if (position === end) return text;
  }
  return decoder.decode(bytes.subarray(start, end));
}

/** How many bytes `text` takes in UTF-8. */
export function utf8Bytes(text: string): number {
  let bytes = text.length;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) continue;
    if (unit < 0x800) bytes += 1;
    else {
      bytes += 2;
      // A surrogate pair is two units and four bytes; a lone surrogate becomes U+FFFD, three bytes.
      if (unit >= 0xd800 && unit < 0xdc00 && index + 1 < text.length) {
        const next = text.charCodeAt(index + 1);
        if (next >= 0xdc00 && next < 0xe000) index++;
      }
    }
  }
  return bytes;
}

/** Writes `text`, which takes exactly `utf8Bytes(text)` bytes, at `position` and returns the position behind it. */
export function encodeUtf8Into(text: string, bytes: Uint8Array, position: number): number {
  if (text.length <= LOOP_BYTES_MAX) {
    let index = 0;
    for (; index < text.length; index++) {
      const unit = text.charCodeAt(index);
      if (unit > 0x7f) break;
      bytes[position + index] = unit;
    }
    if (index === text.length) return position + index;
  }
  return position + encoder.encodeInto(text, bytes.subarray(position)).written;
}
