/**
 * One run that puts dead letters back. Some at a time: they are stored where they belong, then noted as replayed, so that a run that
 * is cut off leaves at most some that the next one puts back twice, and never one that none does.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { ConsumerRecord } from '../consumer/consumer-record.ts';
import type { Producer } from '../producer/producer.ts';
import type { ProducerRecord } from '../producer/producer-options.ts';
import type { PartitionStatus } from '../requests.ts';
import { type DeadLetter, type DeadLetterFilter, deadLetterOf, matchesFilter } from './dead-letter.ts';
import type { DeadLettersHost } from './dead-letters.ts';
import { scanPartition } from './partition-scan.ts';
import { ReplayProgress } from './replay-progress.ts';
import type { OffsetRange, ReplayedOffsets } from './replayed-offsets-state.ts';

export interface ReplayOptions {
  readonly filter?: DeadLetterFilter | undefined;
  /** Records to put back at most. Default: all. */
  readonly limit?: number | undefined;
  /** Also what has been put back before. Default false. */
  readonly all?: boolean | undefined;
  /** Only tells what would be done. Default false. */
  readonly dryRun?: boolean | undefined;
  /** Leaves everything in the dead-letter topic. Default false. */
  readonly keep?: boolean | undefined;
  /** Another topic instead of the original one; also takes what does not say where it comes from. */
  readonly to?: string | undefined;
  /**
   * Whether records get back their own time. Default false: they get the present one, or retention could remove old ones before
   * anybody has read them.
   */
  readonly keepTimestamps?: boolean | undefined;
}

export interface ReplayResult {
  readonly topic: string;
  /** Put back; with `dryRun`, would be. */
  readonly replayed: number;
  /** By topic, in the order of their names. */
  readonly targets: ReadonlyArray<{ readonly topic: string; readonly records: number }>;
  /** Passed over, as an earlier replay has put them back. */
  readonly alreadyReplayed: number;
  /** Passed over by the filter. Beyond the limit nothing is looked at. */
  readonly filtered: number;
  /** Passed over since they do not say where they come from. */
  readonly withoutOrigin: number;
  /** Removed from the dead-letter topic. */
  readonly removed: number;
}

export class Replay {
  readonly #host: DeadLettersHost;
  readonly #topic: string;
  readonly #options: ReplayOptions & { readonly limit: number };
  readonly #progress: ReplayProgress;
  /** Partitions of the topics that records go back to. */
  readonly #partitionCounts = new Map<string, number>();
  readonly #targets = new Map<string, number>();
  #producer: Producer | undefined;
  #left: number;
  #alreadyReplayed = 0;
  #filtered = 0;
  #withoutOrigin = 0;
  #removed = 0;

  constructor(host: DeadLettersHost, topic: string, options: ReplayOptions & { readonly limit: number }) {
    this.#host = host;
    this.#topic = topic;
    this.#options = options;
    this.#progress = new ReplayProgress(host.groups, topic);
    this.#left = options.limit;
  }

  async run(status: readonly PartitionStatus[]): Promise<ReplayResult> {
    const noted = await this.#progress.read(status.map(({ partition }) => partition));
    const consumer = this.#host.consumer({ onOutOfRange: 'earliest' });
    const { clock, requestTimeoutMs } = this.#host.groups;
    // A record may have come out of a batch that fits the topic's limit as compressed only.
    this.#producer = this.#host.producer({ acks: 'all', idempotent: true, compression: 'gzip' });
    try {
      for (const { partition, logStartOffset: start, highWatermark: end } of status) {
        if (this.#left === 0) break;
        const scan = (from: number) =>
          scanPartition(consumer, { topic: this.#topic, partition, from, end }, clock, requestTimeoutMs);
        await this.#replayPartition({ partition, start, end }, noted.get(partition)!, scan);
      }
    } finally {
      await Promise.all([consumer.close(), this.#producer.close()]);
    }
    return {
      topic: this.#topic,
      replayed: this.#options.limit - this.#left,
      targets: [...this.#targets].sort(([a], [b]) => (a < b ? -1 : 1)).map(([topic, records]) => ({ topic, records })),
      alreadyReplayed: this.#alreadyReplayed,
      filtered: this.#filtered,
      withoutOrigin: this.#withoutOrigin,
      removed: this.#removed,
    };
  }

  async #replayPartition(
    { partition, start, end }: { partition: number; start: number; end: number },
    stored: ReplayedOffsets,
    scan: (from: number) => AsyncIterable<readonly ConsumerRecord[]>,
  ): Promise<void> {
    const { all, dryRun, keep } = this.#options;
    const before = stored.forLog(start, end);
    const from = all === true ? start : before.nextOffset;
    if (all !== true) this.#alreadyReplayed += from - start;
    let progress = before;
    if (dryRun !== true && from < end) await this.#progress.write(partition, before);
    let position = from;
    for await (const records of scan(from)) {
      const chunk: ProducerRecord[] = [];
      const done: OffsetRange[] = [];
      for (const record of records) {
        if (this.#left === 0) break;
        // Offsets that hold no record.
        done.push({ from: position, end: record.offset });
        position = record.offset + 1;
        const letter = deadLetterOf(record, before.has(record.offset));
        const replayed = await this.#recordToReplay(letter);
        if (replayed === undefined) continue;
        chunk.push(replayed);
        done.push({ from: record.offset, end: position });
        this.#left -= 1;
        this.#targets.set(replayed.topic, (this.#targets.get(replayed.topic) ?? 0) + 1);
      }
      progress = progress.with(done);
      if (dryRun !== true) await this.#store(partition, progress, chunk);
      if (this.#left === 0) break;
    }
    if (dryRun === true || keep === true || progress.nextOffset <= start) return;
    await this.#host.admin().deleteRecords(this.#topic, partition, progress.nextOffset);
    this.#removed += progress.nextOffset - start;
  }

  /** Undefined if it is passed over. */
  async #recordToReplay(letter: DeadLetter): Promise<ProducerRecord | undefined> {
    const { filter = {}, all, to, keepTimestamps } = this.#options;
    if (letter.replayed && all !== true) {
      this.#alreadyReplayed += 1;
      return undefined;
    }
    if (!matchesFilter(letter, filter)) {
      this.#filtered += 1;
      return undefined;
    }
    const topic = to ?? letter.origin?.topic;
    if (topic === undefined || topic === this.#topic) {
      this.#withoutOrigin += 1;
      return undefined;
    }
    const partitionCount = await this.#partitionCount(topic);
    const { origin } = letter;
    const timestampMs = origin?.timestampMs ?? -1;
    return {
      topic,
      partition: origin !== undefined && origin.partition < partitionCount ? origin.partition : undefined,
      key: letter.key,
      value: letter.value,
      headers: letter.headers.map(({ key, value }) => [key, value] as const),
      timestampMs: keepTimestamps === true && timestampMs >= 0 ? timestampMs : undefined,
    };
  }

  /** First the records, then the note: a crash in between repeats rather than loses. */
  async #store(partition: number, progress: ReplayedOffsets, chunk: readonly ProducerRecord[]): Promise<void> {
    if (chunk.length === 0) return;
    this.#progress.checkNotable(partition, progress);
    await this.#progress.checkStillOurs(partition);
    await this.#producer!.sendMany(chunk);
    // Again: to write over what another run has noted would hide the one from the other.
    await this.#progress.checkStillOurs(partition);
    await this.#progress.write(partition, progress);
  }

  /** A producer would create a topic that does not exist; who replays means one that does. */
  async #partitionCount(topic: string): Promise<number> {
    const known = this.#partitionCounts.get(topic);
    if (known !== undefined) return known;
    try {
      const { partitions } = await this.#host.admin().describeTopic(topic);
      this.#partitionCounts.set(topic, partitions.length);
      return partitions.length;
    } catch (error) {
      throw placed(error, topic, this.#topic);
    }
  }
}

function placed(error: unknown, topic: string, deadLetterTopic: string): unknown {
  if (!(error instanceof BurrowError) || error.code !== 'UNKNOWN_TOPIC_OR_PARTITION') return error;
  const text = `Records of ${deadLetterTopic} come from topic ${topic}, which does not exist. Create it, replay to another topic, or choose other records.`;
  return new BurrowError(error.code, text, { cause: error, fields: { topic } });
}
