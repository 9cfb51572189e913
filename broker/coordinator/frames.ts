/**
 * The unit of the coordinator's files: a frame, which is there as a whole or not at all.
 *
 *     byte  0        4              8                    12                  16
 *           ┌────────┬──────────────┬────────────────────┬───────────────────┬──────────────────────┐
 *           │ magic  │ payload      │ CRC-32C of payload │ CRC-32C of bytes  │ payload: JSON, UTF-8 │
 *           │ FF BKV │ bytes, u32   │                    │ 0–12              │                      │
 *           └────────┴──────────────┴────────────────────┴───────────────────┴──────────────────────┘
 *
 * Numbers are big endian. JSON text has no byte FF, so the magic occurs at the start of frames only; and it has no zero
 * byte, so no piece of a whole frame between two multiples of 512 is all zeros. Both facts serve to tell what a power
 * loss leaves of the last write (missing sectors, which read as zeros, or a shorter file) from damage to what was synced.
 */
import { crc32c } from '../../src/bytes/crc32c.ts';
import type { DiskFile } from '../ports/disk.ts';

const MAGIC = Buffer.from([0xff, 0x42, 0x4b, 0x56]);
const HEADER_BYTES = 16;
/** Disks write sectors of at least this size as a whole. */
const SECTOR_BYTES = 512;
const WINDOW_BYTES = 1 << 20;

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

export type FrameRead =
  | { readonly kind: 'frame'; readonly value: unknown; readonly nextPosition: number }
  /** The file ends here. */
  | { readonly kind: 'end' }
  /** No whole frame starts here. */
  | { readonly kind: 'broken' };

/** Reads frames from anywhere in a file, best in order: it reads ahead. */
export class FrameReader {
  readonly #file: DiskFile;
  readonly #fileBytes: number;
  #window: Buffer = Buffer.alloc(0);
  #windowPosition = 0;

  constructor(file: DiskFile, fileBytes: number) {
    this.#file = file;
    this.#fileBytes = fileBytes;
  }

  async read(position: number): Promise<FrameRead> {
    if (position >= this.#fileBytes) return { kind: 'end' };
    const header = await this.#bytes(position, HEADER_BYTES);
    const payloadBytes = payloadBytesOf(header);
    if (payloadBytes === undefined || payloadBytes > this.#fileBytes - position - HEADER_BYTES)
      return { kind: 'broken' };
    const expectedCrc = header.readUInt32BE(8);
    const payload = await this.#bytes(position + HEADER_BYTES, payloadBytes);
    if (payload.byteLength < payloadBytes || crc32c(payload) !== expectedCrc) return { kind: 'broken' };
    // What has this checksum was written by encodeFrame, so it parses.
    const value: unknown = JSON.parse(payload.toString('utf8'));
    return { kind: 'frame', value, nextPosition: position + HEADER_BYTES + payloadBytes };
  }

  /**
   * Whether the broken frame at `position` can be the rest of a write that a crash cut short: it ends with the file
   * or lacks a sector, and no whole frame follows (frames are written one at a time, each after a sync of the last).
   */
  async isTorn(position: number): Promise<boolean> {
    const header = await this.#bytes(position, HEADER_BYTES);
    const payloadBytes = payloadBytesOf(header);
    let end = position + HEADER_BYTES + (payloadBytes ?? 0);
    let cutShort = end > this.#fileBytes;
    if (!cutShort) {
      // Without a length, look at whole sectors: the few header bytes in the second one may be zeros by chance.
      if (payloadBytes === undefined) end = Math.min(this.#fileBytes, nextSector(end - 1));
      cutShort = await this.#lacksSector(position, end);
    }
    return cutShort && !(await this.#frameFollows(position));
  }

  async #lacksSector(position: number, end: number): Promise<boolean> {
    for (let at = position; at < end; ) {
      const next = Math.min(end, nextSector(at));
      const piece = await this.#bytes(at, next - at);
      if (piece.every((byte) => byte === 0)) return true;
      at = next;
    }
    return false;
  }

  async #frameFollows(position: number): Promise<boolean> {
    for (let at = position + 1; at < this.#fileBytes; ) {
      const window = await this.#bytes(at, Math.min(WINDOW_BYTES, this.#fileBytes - at));
      const index = window.indexOf(MAGIC);
      if (index < 0) {
        // The magic may straddle two windows.
        at += Math.max(1, window.byteLength - MAGIC.byteLength + 1);
        continue;
      }
      if ((await this.read(at + index)).kind === 'frame') return true;
      at += index + 1;
    }
    return false;
  }

  /** May be shorter at the end of the file. Valid until the next call. */
  async #bytes(position: number, count: number): Promise<Buffer> {
    const begin = position - this.#windowPosition;
    const available = Math.min(count, this.#fileBytes - position);
    if (begin < 0 || begin + available > this.#window.byteLength) {
      const wanted = Math.min(Math.max(available, WINDOW_BYTES), this.#fileBytes - position);
      this.#window = await this.#file.read(position, wanted);
      this.#windowPosition = position;
      return this.#window.subarray(0, available);
    }
    return this.#window.subarray(begin, begin + available);
  }
}

function nextSector(position: number): number {
  return (Math.floor(position / SECTOR_BYTES) + 1) * SECTOR_BYTES;
}

/** Undefined unless the header is whole. */
function payloadBytesOf(header: Buffer): number | undefined {
  if (header.byteLength < HEADER_BYTES || !header.subarray(0, 4).equals(MAGIC)) return undefined;
  return crc32c(header.subarray(0, 12)) === header.readUInt32BE(12) ? header.readUInt32BE(4) : undefined;
}
