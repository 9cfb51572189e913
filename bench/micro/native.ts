/** Frames of the native protocol. */
import {
  decodeRequest,
  decodeRequestFrame,
  decodeResponse,
  decodeServerFrame,
  encodeRequest,
  encodeResponse,
  encodeResponseParts,
} from '../../src/protocol/frame.ts';
import { scanValue } from '../../src/protocol/scan-value.ts';
import type { MicroTask } from './micro-task.ts';

const SMALL = 1000;
const KIB = 1024;

const produce = {
  acks: -1,
  timeoutMs: 30_000,
  partitions: [{ topic: 'orders', partition: 3, records: [Buffer.alloc(256 * KIB, 1)] }],
};
const fetched = {
  partitions: Array.from({ length: 4 }, (_, partition) => ({
    topic: 'orders',
    partition,
    errorNumber: 0,
    message: null,
    highWatermark: 5_000_000_000,
    lastStableOffset: 5_000_000_000,
    logStartOffset: 0,
    records: [Buffer.alloc(128 * KIB, 1), Buffer.alloc(128 * KIB, 2)],
  })),
};
const listOffsets = {
  isolation: 0,
  partitions: [{ topic: 'orders', partition: 3, currentLeaderEpoch: -1, timestampMs: -1 }],
};
const manyEntries = {
  isolation: 0,
  partitions: Array.from({ length: 15_000 }, (_, partition) => ({
    topic: 'orders',
    partition,
    currentLeaderEpoch: -1,
    timestampMs: -1,
  })),
};
const produceFrame = encodeRequest('produce', 7, produce);
const fetchFrame = encodeResponse('fetch', 7, fetched);
const smallFrames = Array.from({ length: SMALL }, (_, index) => encodeRequest('listOffsets', index, listOffsets));
const listed = {
  partitions: [
    { topic: 'orders', partition: 3, errorNumber: 0, message: null, timestampMs: -1, offset: 12, leaderEpoch: 0 },
  ],
};
const manyFrame = encodeRequest('listOffsets', 7, manyEntries);

export function nativeTasks(): MicroTask[] {
  const task = (name: string, units: number, run: () => number): MicroTask => ({ name, unit: 'frame', units, run });
  return [
    task('produce of 256 KiB: encode', 1, () => encodeRequest('produce', 7, produce).length),
    task('produce of 256 KiB: scan', 1, () => {
      scanValue(produceFrame);
      return 1;
    }),
    task('produce of 256 KiB: scan, decode, check', 1, () => {
      const { body } = decodeRequestFrame(produceFrame);
      return decodeRequest('produce', body).partitions.length;
    }),
    task('fetch answer of 1 MiB: encode', 1, () => encodeResponse('fetch', 7, fetched).length),
    task('fetch answer of 1 MiB: encode in parts', 1, () => encodeResponseParts('fetch', 7, fetched).length),
    task('fetch answer of 1 MiB: scan, decode, check', 1, () => {
      const { body } = decodeServerFrame(fetchFrame);
      return decodeResponse('fetch', body).partitions.length;
    }),
    task('1,000 small requests: encode', SMALL, () => {
      let bytes = 0;
      for (let index = 0; index < SMALL; index++) bytes += encodeRequest('listOffsets', index, listOffsets).length;
      return bytes;
    }),
    task('1,000 small requests: scan', SMALL, () => {
      for (const frame of smallFrames) scanValue(frame);
      return SMALL;
    }),
    task('1,000 small requests: scan and decode', SMALL, () => {
      let sum = 0;
      for (const frame of smallFrames) sum += decodeRequestFrame(frame).correlationId;
      return sum;
    }),
    task('1,000 small requests: scan, decode, check', SMALL, () => {
      let sum = 0;
      for (const frame of smallFrames)
        sum += decodeRequest('listOffsets', decodeRequestFrame(frame).body).partitions.length;
      return sum;
    }),
    task('1,000 small answers: encode', SMALL, () => {
      let bytes = 0;
      for (let index = 0; index < SMALL; index++) bytes += encodeResponse('listOffsets', index, listed).length;
      return bytes;
    }),
    task('one request of 15,000 entries: scan, decode, check', 1, () => {
      const { body } = decodeRequestFrame(manyFrame);
      return decodeRequest('listOffsets', body).partitions.length;
    }),
  ];
}
