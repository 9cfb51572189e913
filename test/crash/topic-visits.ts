/**
 * Topics that come and go while the broker is killed. Names are used again, so that records of a deleted topic would show
 * in its successor. What was acknowledged must hold after every restart; a change whose answer was lost has happened or
 * not, and whichever a restart shows stays so.
 */
import type { SeededRandom } from '../../broker/ports/seeded-random.ts';
import type { Admin, Client } from '../../client/index.ts';
import { isBurrowError } from '../../client/index.ts';
import { outcomeIsUnknown, pause } from './kill-load.ts';
import { readPartition } from './read-partition.ts';

const NAMES = ['visit-a', 'visit-b', 'visit-c', 'Visit.d'];
const PARTITIONS_MAX = 5;

/** A topic as it must be, if it is there. */
interface Visit {
  readonly name: string;
  /** Of the present topic, or of the one that may be there. Counts the topics of this name. */
  generation: number;
  existence: 'absent' | 'present' | 'unknown';
  /** Values that retention.ms may have: one, or two after a change without an answer. */
  retentionMs: number[];
  partitions: number[];
  /** Only these are written to: a client may not have heard of later ones whose creation had no answer. */
  firstPartitions: number;
  /** By partition: values by offset, as acknowledged. */
  records: Map<string, string>;
}

export class TopicVisits {
  readonly counts = { created: 0, deleted: 0, altered: 0, unknownOutcomes: 0 };
  readonly done: Promise<void>;
  readonly #client: Client;
  readonly #admin: Admin;
  readonly #random: SeededRandom;
  readonly #visits: readonly Visit[];
  #stopped: boolean = false;
  #held: boolean = false;
  /** What the visitor does now. Never rejects. */
  #action: Promise<void> = Promise.resolve();
  #sent = 0;

  constructor(client: Client, random: SeededRandom) {
    this.#client = client;
    this.#admin = client.admin();
    this.#random = random;
    this.#visits = NAMES.map((name) => ({
      name,
      generation: 0,
      existence: 'absent',
      retentionMs: [],
      partitions: [],
      firstPartitions: 0,
      records: new Map(),
    }));
    this.done = this.#run();
    this.done.catch(() => {});
  }

  stop(): Promise<void> {
    this.#stopped = true;
    return this.done;
  }

  /** Compares all topics with what they must be. Changes wait meanwhile. */
  async check(client: Client): Promise<void> {
    this.#held = true;
    await this.#action;
    try {
      const names = new Set(await client.admin().listTopics());
      for (const visit of this.#visits) await this.#checkTopic(client, visit, names.has(visit.name));
    } finally {
      this.#held = false;
    }
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      await pause(this.#random.between(5, 60));
      if (this.#held) continue;
      const visit = this.#random.pick(this.#visits);
      const action = this.#act(visit).catch((error: unknown) => {
        if (!outcomeIsUnknown(error)) {
          throw new Error(`${visit.name}, ${visit.existence}, generation ${visit.generation}: ${error}`, {
            cause: error,
          });
        }
        this.counts.unknownOutcomes++;
      });
      this.#action = action.catch(() => {});
      await action;
    }
  }

  #act(visit: Visit): Promise<void> {
    switch (visit.existence) {
      case 'unknown':
        return this.#find(visit);
      case 'absent':
        return this.#create(visit);
      case 'present': {
        const what = this.#random.pick(['write', 'write', 'alter', 'grow', 'delete'] as const);
        if (what === 'write') return this.#write(visit);
        if (what === 'alter') return this.#alter(visit);
        return what === 'grow' ? this.#grow(visit) : this.#delete(visit);
      }
    }
  }

  async #create(visit: Visit): Promise<void> {
    const partitions = this.#random.between(1, 3);
    const retentionMs = this.#newRetentionMs();
    visit.generation++;
    visit.records.clear();
    visit.retentionMs = [retentionMs];
    visit.partitions = [partitions];
    visit.firstPartitions = partitions;
    visit.existence = 'unknown';
    const configs = { 'retention.ms': retentionMs, 'segment.bytes': 4096 };
    await this.#admin.createTopic({ name: visit.name, partitions, configs });
    visit.existence = 'present';
    this.counts.created++;
  }

  async #delete(visit: Visit): Promise<void> {
    visit.existence = 'unknown';
    await this.#admin.deleteTopic(visit.name);
    visit.existence = 'absent';
    this.counts.deleted++;
  }

  async #alter(visit: Visit): Promise<void> {
    const retentionMs = this.#newRetentionMs();
    visit.retentionMs.push(retentionMs);
    await this.#admin.alterTopicConfigs(visit.name, { 'retention.ms': retentionMs });
    visit.retentionMs = [retentionMs];
    this.counts.altered++;
  }

  async #grow(visit: Visit): Promise<void> {
    const total = Math.max(...visit.partitions) + 1;
    // One step at a time, so that it is never unknown whether the number is allowed.
    if (total > PARTITIONS_MAX || visit.partitions.length > 1) return;
    visit.partitions.push(total);
    await this.#admin.createPartitions(visit.name, total);
    visit.partitions = [total];
  }

  async #write(visit: Visit): Promise<void> {
    const producer = this.#client.producer();
    try {
      await Promise.all(
        Array.from({ length: this.#random.between(1, 30) }, async () => {
          const value = `${visit.name} ${visit.generation} ${this.#sent++} ${'.'.repeat(100)}`;
          const partition = this.#random.below(visit.firstPartitions);
          const { offset } = await producer.send({ topic: visit.name, partition, value: Buffer.from(value) });
          const place = `${partition}/${offset}`;
          if (visit.records.has(place)) throw new Error(`offset ${place} was given twice`);
          visit.records.set(place, value);
        }),
      );
    } finally {
      await producer.close();
    }
  }

  async #find(visit: Visit): Promise<void> {
    visit.existence = (await exists(this.#admin, visit.name)) ? 'present' : 'absent';
  }

  #newRetentionMs(): number {
    return 3_600_000 + this.#random.below(1_000_000);
  }

  async #checkTopic(client: Client, visit: Visit, isThere: boolean): Promise<void> {
    const { name, generation, existence } = visit;
    const fail = (what: string): Error => new Error(`${name}, generation ${generation}: ${what}`);
    if (existence === 'unknown') visit.existence = isThere ? 'present' : 'absent';
    else if (isThere !== (existence === 'present')) {
      throw fail(isThere ? 'its acknowledged deletion is lost' : 'the acknowledged topic is lost');
    }
    if (!isThere) return;
    const admin = client.admin();
    const stored = (await admin.describeTopicConfigs(name)).find(({ key }) => key === 'retention.ms')?.value;
    if (!visit.retentionMs.includes(Number(stored))) throw fail(`retention.ms is ${stored}, not ${visit.retentionMs}`);
    visit.retentionMs = [Number(stored)];
    const partitions = await admin.partitionStatus(name);
    if (!visit.partitions.includes(partitions.length)) {
      throw fail(`has ${partitions.length} partitions, not ${visit.partitions}`);
    }
    visit.partitions = [partitions.length];
    const missing = new Map(visit.records);
    const prefix = `${name} ${generation} `;
    for (const { partition, logStartOffset, highWatermark } of partitions) {
      if (logStartOffset !== 0) throw fail(`partition ${partition} starts at ${logStartOffset}`);
      let next = 0;
      await readPartition(client, { topic: name, partition, from: 0, to: highWatermark }, ({ offset, valueBytes }) => {
        const value = Buffer.from(valueBytes!).toString();
        const place = `${partition}/${offset}`;
        const acknowledged = visit.records.get(place);
        if (offset !== next++ || !value.startsWith(prefix) || (acknowledged ?? value) !== value) {
          throw fail(`"${value}" stands at ${place}, acknowledged there: ${acknowledged}`);
        }
        missing.delete(place);
      });
    }
    const [lost] = missing;
    if (lost !== undefined) throw fail(`"${lost[1]}", acknowledged at ${lost[0]}, is lost`);
  }
}

async function exists(admin: Admin, name: string): Promise<boolean> {
  try {
    await admin.describeTopic(name);
    return true;
  } catch (error) {
    if (isBurrowError(error, 'UNKNOWN_TOPIC_OR_PARTITION')) return false;
    throw error;
  }
}
