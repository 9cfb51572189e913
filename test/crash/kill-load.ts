/**
 * The load under which a broker is killed: producers that never pause, a consumer that reads along, removals of records.
 * Everything goes into the ledger, which throws where a promise is broken; the first such error ends the load.
 */
import type { SeededRandom } from '../../broker/ports/seeded-random.ts';
import type { Client, Producer, ProducerOptions } from '../../client/index.ts';
import { isBurrowError } from '../../client/index.ts';
import { type Ledger, type PartitionFacts, Reading } from './ledger.ts';

const PRODUCERS = 5;
const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const;
const UNACKNOWLEDGED_MAX = 400;
/** What a change meets when the broker dies on the way: it may have happened or not. */
const UNKNOWN_OUTCOMES = ['CONNECTION_LOST', 'CONNECTION_FAILED', 'REQUEST_TIMED_OUT', 'SHUTTING_DOWN'] as const;

export function outcomeIsUnknown(error: unknown): boolean {
  return UNKNOWN_OUTCOMES.some((code) => isBurrowError(error, code));
}

export interface LoadCounts {
  consumed: number;
  removals: number;
  producersReplaced: number;
}

export class KillLoad {
  readonly counts: LoadCounts = { consumed: 0, removals: 0, producersReplaced: 0 };
  /** Rejects with the first broken promise; never resolves before {@link stop}. */
  readonly done: Promise<void>;
  readonly #client: Client;
  readonly #ledger: Ledger;
  #stopped: boolean = false;

  /** @param removableTopic - whose records are removed now and then */
  constructor(client: Client, ledger: Ledger, random: SeededRandom, removableTopic: string) {
    this.#client = client;
    this.#ledger = ledger;
    const lanes = Array.from({ length: PRODUCERS }, (_, index) =>
      this.#produce(index, random.fork(`producer ${index}`)),
    );
    lanes.push(this.#consume(random.fork('consumer')), this.#removeRecords(removableTopic, random.fork('removals')));
    this.done = Promise.all(lanes).then(() => {});
    // Whoever waits for something else meanwhile looks at it later.
    this.done.catch(() => {});
  }

  /** Resolves when everything that was sent is acknowledged. */
  stop(): Promise<void> {
    this.#stopped = true;
    return this.done;
  }

  async #produce(index: number, random: SeededRandom): Promise<void> {
    let producer = this.#newProducer(index, random);
    let broken: unknown;
    const pending = new Set<Promise<void>>();
    while (!this.#stopped && broken === undefined) {
      for (let i = random.between(1, 40); i > 0; i--) {
        const sending = this.#send(producer, index, random.pick(this.#ledger.partitions)).then(
          () => void pending.delete(sending),
          (error: unknown) => {
            broken ??= error;
            pending.delete(sending);
          },
        );
        pending.add(sending);
      }
      if (pending.size > UNACKNOWLEDGED_MAX) await Promise.race(pending);
      await pause(random.between(0, 20));
      if (random.chance(0.002)) {
        // A new producer id from here on.
        await producer.close();
        producer = this.#newProducer(index, random);
        this.counts.producersReplaced++;
      }
    }
    await Promise.all(pending);
    await producer.close();
    if (broken !== undefined) throw broken;
  }

  #newProducer(index: number, random: SeededRandom): Producer {
    const options: ProducerOptions = {
      compression: CODECS[index % CODECS.length]!,
      batchBytes: random.pick([512, 2048, 16_384, 65_536]),
      lingerMs: random.pick([0, 2]),
      bufferBytes: 256 * 1024,
      inFlightBatchesMax: random.pick([1, 5]),
    };
    return this.#client.producer(options);
  }

  async #send(producer: Producer, index: number, place: PartitionFacts): Promise<void> {
    const { entry, value } = this.#ledger.send(index, place);
    const { offset } = await producer.send({ topic: place.topic, partition: place.partition, value });
    this.#ledger.acknowledged(entry, offset);
  }

  async #consume(random: SeededRandom): Promise<void> {
    const topics = [...new Set(this.#ledger.partitions.map(({ topic }) => topic))];
    const readings = new Map<string, Reading>();
    for (const place of this.#ledger.partitions) readings.set(place.key, new Reading(this.#ledger, place, 0));
    const consumer = this.#client.consumer({
      assignment: topics.map((topic) => ({ topic })),
      from: 'earliest',
      // A jump forward; the ledger knows where that is allowed.
      onOutOfRange: 'earliest',
    });
    while (!this.#stopped) {
      for (const record of await consumer.poll({ timeoutMs: 100 })) {
        readings.get(`${record.topic}-${record.partition}`)!.record(record.offset, record.valueBytes);
        this.counts.consumed++;
      }
      if (random.chance(0.001)) await pause(random.between(0, 300));
    }
    await consumer.close();
  }

  async #removeRecords(topic: string, random: SeededRandom): Promise<void> {
    const places = this.#ledger.partitions.filter((place) => place.topic === topic);
    const admin = this.#client.admin();
    while (!this.#stopped) {
      await pause(random.between(0, 600));
      const place = random.pick(places);
      const known = place.records.length;
      if (known === 0) continue;
      const offset = random.between(Math.max(0, known - 3000), known - 1);
      place.removalAsked = Math.max(place.removalAsked, offset);
      try {
        const start = await admin.deleteRecords(topic, place.partition, offset);
        place.removalAcknowledged = Math.max(place.removalAcknowledged, start);
        this.counts.removals++;
      } catch (error) {
        if (!outcomeIsUnknown(error)) throw error;
      }
    }
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
