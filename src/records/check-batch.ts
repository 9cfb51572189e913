import { crc32c } from '../bytes/crc32c.ts';
import { BATCH_HEADER_BYTES, batchBytes, CRC_START, crc, magic } from './batch-header.ts';

export type BatchProblem = 'short' | 'bad-length' | 'bad-magic' | 'bad-crc';

export function scanBatch(bytes: Uint8Array, position: number, end: number): number | BatchProblem {
  if (end - position < BATCH_HEADER_BYTES) return 'short';
  const size = batchBytes(bytes, position);
  if (size < BATCH_HEADER_BYTES) return 'bad-length';
  if (magic(bytes, position) !== 2) return 'bad-magic';
  if (size > end - position) return 'short';
  if (crc(bytes, position) !== crc32c(bytes, position + CRC_START, position + size)) return 'bad-crc';
  return size;
}
