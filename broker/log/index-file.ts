/**
 * Frame of an index file: crc of all behind it, uint32 | bytes of the segment it describes, uint32 | entries.
 * Index files are written without a sync, so they are believed only if whole and made for the segment as it is.
 */
import { crc32c } from '../../src/bytes/crc32c.ts';

export const INDEX_HEADER_BYTES = 8;

/** Fills in the header of a file whose entries are in place. */
export function sealIndexFile(file: Buffer, segmentBytes: number): Buffer {
  file.writeUInt32BE(segmentBytes, 4);
  file.writeUInt32BE(crc32c(file, 4), 0);
  return file;
}

/** The entries, or undefined if the file is damaged or made for another state of the segment. */
export function openIndexFile(file: Buffer, segmentBytes: number, entryBytes: number): Buffer | undefined {
  if (file.length < INDEX_HEADER_BYTES || (file.length - INDEX_HEADER_BYTES) % entryBytes !== 0) return undefined;
  if (file.readUInt32BE(0) !== crc32c(file, 4) || file.readUInt32BE(4) !== segmentBytes) return undefined;
  return file.subarray(INDEX_HEADER_BYTES);
}
