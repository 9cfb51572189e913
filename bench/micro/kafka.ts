/** Frames of the Kafka listener: cutting the stream, decoding requests, encoding answers. */
import { FrameCutter } from '../../broker/listeners/kafka/frame-cutter.ts';
import { DEFAULT_KAFKA_LIMITS } from '../../broker/listeners/kafka/limits.ts';
import { decodeRequest, encodeResponse } from '../../broker/listeners/kafka/request-frame.ts';
import { produceRequest } from '../../broker/listeners/kafka/schema/00-produce.ts';
import { fetchRequest } from '../../broker/listeners/kafka/schema/01-fetch.ts';
import { requestFrame } from '../../test/support/kafka-test-client.ts';
import type { MicroTask } from './micro-task.ts';

const FRAMES = 100;
const KIB = 1024;
const PRODUCE = { key: 0, version: 9 };
const FETCH = { key: 1, version: 12 };
const LENGTH_BYTES = 4;

/** A request with its length field, for `partitions` partitions of a topic. */
function produceFrame(partitions: number, bytes: number): Buffer {
  const partitionData = Array.from({ length: partitions }, (_, index) => ({ index, records: Buffer.alloc(bytes, 1) }));
  return requestFrame(PRODUCE.key, PRODUCE.version, produceRequest, {
    acks: -1,
    timeoutMs: 30_000,
    topicData: [{ name: 'orders', partitionData }],
  });
}

function fetchFrame(partitions: number): Buffer {
  return requestFrame(FETCH.key, FETCH.version, fetchRequest, {
    maxWaitMs: 500,
    minBytes: 1,
    topics: [
      {
        topic: 'orders',
        topicId: Buffer.alloc(16),
        partitions: Array.from({ length: partitions }, (_, partition) => ({
          partition,
          fetchOffset: 5_000_000_000,
          partitionMaxBytes: 1024 * KIB,
          replicaDirectoryId: Buffer.alloc(16),
        })),
      },
    ],
  });
}

function fetchAnswer(partitions: number) {
  return {
    responses: [
      {
        topic: 'orders',
        topicId: Buffer.alloc(16),
        partitions: Array.from({ length: partitions }, (_, partitionIndex) => ({
          partitionIndex,
          errorCode: 0,
          highWatermark: 5_000_000_000,
          lastStableOffset: 5_000_000_000,
          logStartOffset: 0,
          abortedTransactions: null,
          records: [Buffer.alloc(128 * KIB, 1), Buffer.alloc(128 * KIB, 2)],
        })),
      },
    ],
  };
}

/** Cuts as many requests as are in the stream, and decodes them. */
function receive(stream: Buffer): number {
  const cutter = new FrameCutter(DEFAULT_KAFKA_LIMITS.requestBytesMax);
  cutter.push(stream);
  let count = 0;
  for (let frame = cutter.next(); frame !== undefined; frame = cutter.next()) {
    count += decodeRequest(frame, DEFAULT_KAFKA_LIMITS.requestElementsMax).correlationId;
  }
  return count;
}

export function kafkaTasks(): MicroTask[] {
  const perFrame = (name: string, run: () => number): MicroTask => ({ name, unit: 'frame', units: FRAMES, run });
  const receiving = (name: string, frame: Buffer): MicroTask => {
    const stream = Buffer.concat(new Array<Buffer>(FRAMES).fill(frame));
    return perFrame(name, () => receive(stream));
  };
  const fetch = decodeRequest(fetchFrame(4).subarray(LENGTH_BYTES), DEFAULT_KAFKA_LIMITS.requestElementsMax);
  const answer = fetchAnswer(4);
  return [
    receiving('produce to 1 partition, 1 KiB: cut and decode', produceFrame(1, KIB)),
    receiving('produce to 1 partition, 64 KiB: cut and decode', produceFrame(1, 64 * KIB)),
    receiving('produce to 100 partitions, 100 bytes each: cut and decode', produceFrame(100, 100)),
    receiving('fetch of 1 partition: cut and decode', fetchFrame(1)),
    receiving('fetch of 100 partitions: cut and decode', fetchFrame(100)),
    perFrame('fetch answer of 1 MiB, 4 partitions: encode', () => {
      let parts = 0;
      for (let index = 0; index < FRAMES; index++) parts += encodeResponse(fetch, answer).length;
      return parts;
    }),
  ];
}
