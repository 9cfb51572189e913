/**
 * The unit of the coordinator's files: a frame, which counts as a whole or not at all.
 *
 *     byte  0        4              8                    12                  16
 *           ┌────────┬──────────────┬────────────────────┬───────────────────┬──────────────────────┐
 *           │ magic  │ payload      │ CRC-32C of payload │ CRC-32C of bytes  │ payload: JSON, UTF-8 │
 *           │ FF BKV │ bytes, u32   │                    │ 0–12              │                      │
 *           └────────┴──────────────┴────────────────────┴───────────────────┴──────────────────────┘
 *
 * Numbers are big endian. JSON text has no byte FF, so the magic occurs at the start of frames only; and it has no zero
 * byte, so no piece of a whole frame between two multiples of 512 is all zeros. Both facts serve to tell what a crash
 * leaves of a write (its beginning only, or missing sectors, which read as zeros) from damage to what was stored, and
 * to find the next frame behind it: another process may have gone on there.
 */
import { crc32c } from '../../src/bytes/crc32c.ts';

const MAGIC = Buffer.from([0xff, 0x42, 0x4b, 0x56]);
const HEADER_BYTES = 16;
/** Disks write sectors of at least this size as a whole. */
const SECTOR_BYTES = 512;

export function encodeFrame(value: unknown): Buffer {
  const payload = Buffer.from(JSON.stringify(value), 'utf8');
  const frame = Buffer.allocUnsafe(HEADER_BYTES + payload.byteLength);
  frame.set(MAGIC, 0);
  frame.writeUInt32BE(payload.byteLength, 4);
  frame.writeUInt32BE(crc32c(payload), 8);
  frame.writeUInt32BE(crc32c(frame.subarray(0, 12)), 12);
  frame.set(payload, HEADER_BYTES);
  return frame;
}

export type ScannedFrame =
  | { readonly kind: 'frame'; readonly value: unknown; readonly begin: number; readonly end: number }
  /** What a crash left of a frame, with others behind it: it does not count, and never will. */
  | { readonly kind: 'torn'; readonly begin: number; readonly end: number }
  /** No crash leaves such bytes. Nothing follows. */
  | { readonly kind: 'damaged'; readonly begin: number };

/**
 * The frames in `bytes`, which are those of a file from `position` on, up to where it ends now. Begins and ends are
 * positions in the file. A part at the end that is no whole frame is left out: it may be one that is being written, or
 * torn, which is not decided before the next one is there.
 */
export function* scanFrames(bytes: Buffer, position: number): Generator<ScannedFrame> {
  let at = 0;
  while (at < bytes.byteLength) {
    const begin = position + at;
    const payloadBytes = payloadBytesOf(bytes.subarray(at, at + HEADER_BYTES));
    const end = payloadBytes === undefined ? undefined : at + HEADER_BYTES + payloadBytes;
    if (end !== undefined && end <= bytes.byteLength) {
      const payload = bytes.subarray(at + HEADER_BYTES, end);
      if (crc32c(payload) === bytes.readUInt32BE(at + 8)) {
        // What has this checksum was written by encodeFrame, so it parses.
        yield { kind: 'frame', value: JSON.parse(payload.toString('utf8')), begin, end: position + end };
        at = end;
        continue;
      }
    }
    const next = bytes.indexOf(MAGIC, at + 1);
    const regionEnd = next < 0 ? bytes.byteLength : next;
    const cutShort = withoutCutMagics(bytes, at, regionEnd) < (end ?? at + HEADER_BYTES);
    if (!cutShort && !lacksSector(bytes, at, regionEnd, position)) {
      yield { kind: 'damaged', begin };
      return;
    }
    if (next < 0) return;
    yield { kind: 'torn', begin, end: position + next };
    at = next;
  }
}

/**
 * Where what began at `begin` ends, if behind it there is nothing but frames of which not even the magic was written: a full
 * disk takes fewer bytes with every attempt.
 */
function withoutCutMagics(bytes: Buffer, begin: number, end: number): number {
  let at = end;
  for (let length = 1; length < MAGIC.byteLength; length++) {
    if (at - length < begin || !bytes.subarray(at - length, at).equals(MAGIC.subarray(0, length))) continue;
    at -= length;
    length = 0;
  }
  return at;
}

function lacksSector(bytes: Buffer, begin: number, end: number, position: number): boolean {
  for (let at = begin; at < end; ) {
    const next = Math.min(end, nextSector(position + at) - position);
    if (bytes.subarray(at, next).every((byte) => byte === 0)) return true;
    at = next;
  }
  return false;
}

function nextSector(position: number): number {
  return (Math.floor(position / SECTOR_BYTES) + 1) * SECTOR_BYTES;
}

/** Undefined unless the header is whole. */
function payloadBytesOf(header: Buffer): number | undefined {
  if (header.byteLength < HEADER_BYTES || !header.subarray(0, 4).equals(MAGIC)) return undefined;
  return crc32c(header.subarray(0, 12)) === header.readUInt32BE(12) ? header.readUInt32BE(4) : undefined;
}
