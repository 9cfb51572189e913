/**
 * Bytes of the journal. A file is a row of rounds, each starting at a multiple of 512 bytes so that a torn write of one
 * never touches the sectors of another:
 *
 *     round:  0 magic "BWJR" | 4 crc of 8…40 | 8 journal id (8) | 16 round number, uint64 | 24 payload bytes, uint32
 *            28 payload crc  | 32 entry count | 36 reserved | 40 payload: entries, without gaps
 *     entry:  0 kind uint32 (1 = append) | 4 topic id (16) | 20 partition uint32 | 24 base offset uint64
 *            32 bytes uint32 | 36 record batches
 *
 * Round numbers ascend by one. Since a round is only written after the one before it was synced, at most the last
 * round can be torn; anything else that does not read is damage.
 */
import { crc32c } from '../../src/bytes/crc32c.ts';

export const ROUND_ALIGNMENT = 512;
export const ROUND_HEADER_BYTES = 40;
export const ENTRY_HEADER_BYTES = 36;
export const JOURNAL_ID_BYTES = 8;
const ROUND_MAGIC = 0x42574a52;
const KIND_APPEND = 1;
const UINT32 = 0x1_0000_0000;

export interface JournalEntry {
  readonly topicId: Buffer;
  readonly partition: number;
  readonly baseOffset: number;
  readonly records: Buffer;
}

export interface RoundHeader {
  readonly number: number;
  readonly payloadBytes: number;
  readonly payloadCrc: number;
  readonly entryCount: number;
}

export function writeRoundHeader(into: Buffer, journalId: Buffer, header: RoundHeader): void {
  into.writeUInt32BE(ROUND_MAGIC, 0);
  journalId.copy(into, 8);
  writeUInt64(into, header.number, 16);
  into.writeUInt32BE(header.payloadBytes, 24);
  into.writeUInt32BE(header.payloadCrc, 28);
  into.writeUInt32BE(header.entryCount, 32);
  into.writeUInt32BE(0, 36);
  into.writeUInt32BE(crc32c(into, 8, ROUND_HEADER_BYTES), 4);
}

/** Undefined unless an undamaged header of this journal stands at the position. */
export function readRoundHeader(bytes: Buffer, position: number, journalId: Buffer): RoundHeader | undefined {
  if (bytes.length - position < ROUND_HEADER_BYTES) return undefined;
  if (bytes.readUInt32BE(position) !== ROUND_MAGIC) return undefined;
  if (bytes.compare(journalId, 0, JOURNAL_ID_BYTES, position + 8, position + 8 + JOURNAL_ID_BYTES) !== 0)
    return undefined;
  if (bytes.readUInt32BE(position + 4) !== crc32c(bytes, position + 8, position + ROUND_HEADER_BYTES)) return undefined;
  return {
    number: readUInt64(bytes, position + 16),
    payloadBytes: bytes.readUInt32BE(position + 24),
    payloadCrc: bytes.readUInt32BE(position + 28),
    entryCount: bytes.readUInt32BE(position + 32),
  };
}

export function writeEntryHeader(
  into: Buffer,
  position: number,
  entry: { topicId: Buffer; partition: number; baseOffset: number; recordsBytes: number },
): void {
  into.writeUInt32BE(KIND_APPEND, position);
  entry.topicId.copy(into, position + 4);
  into.writeUInt32BE(entry.partition, position + 20);
  writeUInt64(into, entry.baseOffset, position + 24);
  into.writeUInt32BE(entry.recordsBytes, position + 32);
}

/** The entries of a payload whose checksum is right. Undefined if they do not fill it exactly. */
export function readEntries(payload: Buffer, entryCount: number): JournalEntry[] | undefined {
  const entries: JournalEntry[] = [];
  let at = 0;
  while (at < payload.length) {
    if (payload.length - at < ENTRY_HEADER_BYTES || payload.readUInt32BE(at) !== KIND_APPEND) return undefined;
    const recordsBytes = payload.readUInt32BE(at + 32);
    const end = at + ENTRY_HEADER_BYTES + recordsBytes;
    if (end > payload.length) return undefined;
    entries.push({
      topicId: payload.subarray(at + 4, at + 20),
      partition: payload.readUInt32BE(at + 20),
      baseOffset: readUInt64(payload, at + 24),
      records: payload.subarray(at + ENTRY_HEADER_BYTES, end),
    });
    at = end;
  }
  return entries.length === entryCount ? entries : undefined;
}

export function alignedToRound(bytes: number): number {
  return Math.ceil(bytes / ROUND_ALIGNMENT) * ROUND_ALIGNMENT;
}

function writeUInt64(into: Buffer, value: number, position: number): void {
  into.writeUInt32BE(Math.floor(value / UINT32), position);
  into.writeUInt32BE(value % UINT32, position + 4);
}

function readUInt64(bytes: Buffer, position: number): number {
  return bytes.readUInt32BE(position) * UINT32 + bytes.readUInt32BE(position + 4);
}
