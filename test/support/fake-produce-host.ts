/**
 * A cluster for producers without sockets: it judges batches as a broker does (sequences, duplicates, order) and keeps what it
 * accepted. A test decides the fate of each request in turn.
 */
import type { ClientClock } from '../../client/clock.ts';
import type { TopicMetadata } from '../../client/metadata.ts';
import type { ProducerIdentity } from '../../client/producer/idempotence-state.ts';
import type { ProducerHost } from '../../client/producer/producer.ts';
import type { ProducerBatch } from '../../client/producer/producer-batch.ts';
import type { Acks, ProduceResult } from '../../client/producer/sender.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { ErrorName } from '../../src/errors/table.ts';
import {
  addToSequence,
  getBaseSequence,
  getProducerEpoch,
  getProducerId,
  getRecordsCount,
} from '../../src/records/batch-header.ts';
import { decodeRecords, openRecordsSync } from '../../src/records/batch-iterator.ts';
import { checkBatch } from '../../src/records/check-batch.ts';

/** `ok`: stored and answered. A code: refused with it. `hold`: stored, answered when the test says so. */
export type Fate = 'ok' | 'lost before' | 'lost after' | 'hold' | ErrorName;

interface ProducerEntry {
  epoch: number;
  batches: Array<{ baseSequence: number; nextSequence: number; baseOffset: number }>;
}

export interface FakeRequest {
  readonly nodeId: number;
  readonly acks: Acks;
  readonly batches: ReadonlyArray<{ topic: string; partition: number; count: number; baseSequence: number }>;
}

export class FakePartition {
  /** Values as text, in the order of their offsets. */
  readonly values: string[] = [];
  readonly timestamps: number[] = [];
  readonly producers = new Map<number, ProducerEntry>();
}

export class FakeProduceHost implements ProducerHost {
  readonly clock: ClientClock;
  readonly partitions = new Map<string, FakePartition>();
  readonly requests: FakeRequest[] = [];
  /** Taken one per request; 'ok' when used up. */
  fates: Fate[] = [];
  /** Answers to held requests, in order. */
  readonly held: Array<() => void> = [];
  readonly topics = new Map<string, number>();
  inFlight = 0;
  inFlightMost = 0;
  refreshes = 0;
  nextProducerId = 1000;
  frameBytesMax = 64 * 1024 * 1024;
  batchBytesMax = 1024 * 1024;

  constructor(clock: ClientClock, topics: Record<string, number> = { events: 1 }) {
    this.clock = clock;
    for (const [name, count] of Object.entries(topics)) this.topics.set(name, count);
  }

  partition(topic: string, partition = 0): FakePartition {
    const key = `${topic}-${partition}`;
    const known = this.partitions.get(key) ?? new FakePartition();
    this.partitions.set(key, known);
    return known;
  }

  leaderOf(topic: string): number | undefined {
    return this.topics.has(topic) ? 1 : undefined;
  }

  cachedTopic(): TopicMetadata | undefined {
    return undefined;
  }

  async topic(name: string): Promise<TopicMetadata> {
    const count = this.topics.get(name);
    if (count === undefined) throw new BurrowError('UNKNOWN_TOPIC_OR_PARTITION', `No topic ${name}.`);
    const partitions = Array.from({ length: count }, (_, partition) => ({
      partition,
      leader: 1,
      leaderEpoch: 0,
      replicas: [1],
      inSyncReplicas: [1],
    }));
    return { name, topicId: name, internal: false, partitions };
  }

  async refreshMetadata(): Promise<void> {
    this.refreshes += 1;
  }

  async initProducerId(): Promise<ProducerIdentity> {
    this.nextProducerId += 1;
    return { producerId: this.nextProducerId, producerEpoch: 0 };
  }

  async produce(nodeId: number, acks: Acks, batches: readonly ProducerBatch[]): Promise<readonly ProduceResult[]> {
    this.requests.push({
      nodeId,
      acks,
      batches: batches.map(({ topic, partition, recordCount, bytes }) => ({
        topic,
        partition,
        count: recordCount,
        baseSequence: getBaseSequence(bytes!, 0),
      })),
    });
    const fate = this.fates.shift() ?? 'ok';
    this.inFlight += 1;
    this.inFlightMost = Math.max(this.inFlightMost, this.inFlight);
    try {
      if (fate === 'lost before') throw new BurrowError('CONNECTION_LOST');
      if (fate !== 'ok' && fate !== 'lost after' && fate !== 'hold') {
        return batches.map(() => failed(new BurrowError(fate)));
      }
      const results = batches.map((batch) => this.#append(batch.topic, batch.partition, batch.bytes!));
      if (fate === 'lost after') throw new BurrowError('CONNECTION_LOST');
      // An answer never comes within the turn of its request.
      await new Promise<void>((resolve) => {
        if (fate === 'hold') this.held.push(resolve);
        else setImmediate(resolve);
      });
      return results;
    } finally {
      this.inFlight -= 1;
    }
  }

  #append(topic: string, number: number, bytes: Uint8Array): ProduceResult {
    checkBatch(bytes, 0, bytes.byteLength, { batchBytesMax: 1 << 30 });
    const partition = this.partition(topic, number);
    const producerId = getProducerId(bytes, 0);
    const baseOffset = partition.values.length;
    if (producerId >= 0) {
      const epoch = getProducerEpoch(bytes, 0);
      const baseSequence = getBaseSequence(bytes, 0);
      const nextSequence = addToSequence(baseSequence, getRecordsCount(bytes, 0));
      const entry = partition.producers.get(producerId);
      if (entry !== undefined && entry.epoch > epoch) return failed(new BurrowError('INVALID_PRODUCER_EPOCH'));
      const current = entry !== undefined && entry.epoch === epoch ? entry : { epoch, batches: [] };
      const duplicate = current.batches.find((each) => each.baseSequence === baseSequence);
      if (duplicate !== undefined) return stored(duplicate.baseOffset);
      if (baseSequence !== (current.batches.at(-1)?.nextSequence ?? 0)) {
        return failed(new BurrowError('OUT_OF_ORDER_SEQUENCE'));
      }
      current.batches.push({ baseSequence, nextSequence, baseOffset });
      if (current.batches.length > 5) current.batches.shift();
      partition.producers.set(producerId, current);
    }
    const decoder = new TextDecoder();
    for (const { value, timestampMs } of decodeRecords(bytes, 0, openRecordsSync(bytes, 0, 1 << 30))) {
      partition.values.push(decoder.decode(value!));
      partition.timestamps.push(timestampMs);
    }
    return stored(baseOffset);
  }
}

function stored(baseOffset: number): ProduceResult {
  return { error: undefined, outcome: { baseOffset, logAppendTimeMs: -1 } };
}

function failed(error: BurrowError): ProduceResult {
  return { error, outcome: { baseOffset: -1, logAppendTimeMs: -1 } };
}
