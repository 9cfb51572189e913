/** The work on texts. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { QueueMessage } from '../../../client/index.ts';

const WORK_MS = 15;

/** Counts the words of a text that `decode` reads. Now and then a first try fails: what it needs is busy. */
export async function countWords(job: QueueMessage, decode: (bytes: Uint8Array) => string): Promise<string> {
  await sleep(WORK_MS);
  if (!job.redelivered && job.body.length % 7 === 0) throw new Error('the dictionary is busy');
  const words = decode(job.body)
    .split(/\s+/)
    .filter((word) => word !== '');
  return `${words.length} words`;
}

export function decodeUtf8(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}

/** By the byte-order mark; UTF-8 where there is none. */
export function decodeAnyUnicode(bytes: Uint8Array): string {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder('utf-16le', { fatal: true }).decode(bytes);
  return decodeUtf8(bytes);
}
