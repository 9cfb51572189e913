/**
 * Walks the batches of a segment file that no broker has open: every batch is checked (length, magic, CRC-32C, header)
 * before it is shown. Reads a window at a time; a batch larger than a window is read whole.
 */
import type { FileHandle } from 'node:fs/promises';
import { BATCH_HEADER_BYTES, getBatchBytes } from '../records/batch-header.ts';
import { type ScanFailure, scanBatch } from '../records/check-batch.ts';

const WINDOW_BYTES = 1024 * 1024;

/** A batch inside a buffer that holds it whole. */
export interface StoredBatch {
  readonly bytes: Buffer;
  /** Where in `bytes` it begins. */
  readonly at: number;
  /** Where in the file it begins. */
  readonly position: number;
}

/** Where a segment stops making sense. */
export interface BrokenOff {
  readonly position: number;
  readonly problem: string;
}

/** Batches up to the first that is not intact; returns what is wrong with that one, or undefined at the end of the file. */
export async function* readBatches(
  file: FileHandle,
  fileBytes: number,
): AsyncGenerator<readonly StoredBatch[], BrokenOff | undefined> {
  let position = 0;
  let windowBytes = WINDOW_BYTES;
  while (position < fileBytes) {
    const bytes = await readExactly(file, position, Math.min(windowBytes, fileBytes - position));
    const batches: StoredBatch[] = [];
    let failure: ScanFailure | undefined;
    let at = 0;
    while (at < bytes.length) {
      const result = scanBatch(bytes, at, bytes.length);
      if (typeof result !== 'number') {
        failure = result;
        break;
      }
      batches.push({ bytes, at, position: position + at });
      at += result;
    }
    if (batches.length > 0) yield batches;
    position += at;
    windowBytes = WINDOW_BYTES;
    if (failure === undefined) continue;
    if (failure !== 'short') return { position, problem: PROBLEMS[failure] };
    // It goes on behind the window: look again with one that holds it, if the file does.
    const batchBytes = bytes.length - at < BATCH_HEADER_BYTES ? BATCH_HEADER_BYTES : getBatchBytes(bytes, at);
    if (position + batchBytes > fileBytes) return { position, problem: PROBLEMS.short };
    windowBytes = Math.max(batchBytes, WINDOW_BYTES);
  }
  return undefined;
}

const PROBLEMS: Readonly<Record<ScanFailure, string>> = {
  short: 'the file ends inside a batch',
  'bad-length': 'the length cannot be that of a batch',
  'too-large': 'the batch is larger than any can be',
  'old-magic': 'a message of an older format (magic 0 or 1) stands where a batch was due',
  'bad-magic': 'magic is not 2, so this is no batch',
  'bad-crc': 'the CRC-32C does not match the bytes',
  'bad-header': 'fields of the batch header contradict each other',
};

async function readExactly(file: FileHandle, position: number, count: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(count);
  let filled = 0;
  while (filled < count) {
    const { bytesRead } = await file.read(bytes, filled, count - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}
