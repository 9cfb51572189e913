/** Dead letters for people and programs: which there are, what they say, putting them back, and removing them. */
import { BurrowError, isBurrowError } from '../../src/errors/burrow-error.ts';
import type { Admin } from '../admin.ts';
import type { Consumer } from '../consumer/consumer.ts';
import type { ConsumerOptions } from '../consumer/consumer-options.ts';
import type { GroupHost } from '../groups/group-host.ts';
import { checkNonNegativeInteger, checkTopicName, integerOption } from '../options.ts';
import type { Producer } from '../producer/producer.ts';
import type { ProducerOptions } from '../producer/producer-options.ts';
import type { PartitionStatus } from '../requests.ts';
import { checkFilter, type DeadLetter, type DeadLetterFilter, deadLetterOf, matchesFilter } from './dead-letter.ts';
import { scanPartition } from './partition-scan.ts';
import { Replay, type ReplayOptions, type ReplayResult } from './replay.ts';
import { ReplayProgress } from './replay-progress.ts';
import { isDeadLetterTopic, parseSetAsideTopic } from './topic-names.ts';

/** The client, as far as it is needed here. */
export interface DeadLettersHost {
  readonly groups: GroupHost;
  admin(): Admin;
  consumer(options: ConsumerOptions): Consumer;
  producer(options: ProducerOptions): Producer;
}

export interface DeadLetterTopic {
  readonly topic: string;
  /** Whose records it holds, as its name says; undefined for one that was given a name of its own. */
  readonly source: { readonly topic: string; readonly group: string } | undefined;
  readonly partitions: number;
  readonly records: number;
  /** Records that no replay has put back. */
  readonly pending: number;
  readonly bytes: number;
}

export interface ReadOptions {
  readonly filter?: DeadLetterFilter | undefined;
  /** Default: all. */
  readonly limit?: number | undefined;
}

export interface PurgeOptions {
  /** Default: all. */
  readonly partition?: number | undefined;
  /** Only what was set aside before, in milliseconds since the epoch. Default: everything. */
  readonly beforeMs?: number | undefined;
  /** Only what has been replayed, up to the first that has not. Default false. */
  readonly replayedOnly?: boolean | undefined;
  /** Only tells what would be done. Default false. */
  readonly dryRun?: boolean | undefined;
}

export interface PurgedPartition {
  readonly partition: number;
  /** Offset of the first record before… */
  readonly from: number;
  /** …and after. */
  readonly to: number;
}

/** Use `client.deadLetters()`. */
export class DeadLetters {
  readonly #host: DeadLettersHost;

  constructor(host: DeadLettersHost) {
    this.#host = host;
  }

  /** All topics whose name ends in `.dlq`, by name; or those named. Rejects with UNKNOWN_TOPIC_OR_PARTITION if one that is named does not exist. */
  async list(topics?: readonly string[]): Promise<DeadLetterTopic[]> {
    const names = topics ?? (await this.#host.admin().listTopics()).filter(isDeadLetterTopic);
    const found: DeadLetterTopic[] = [];
    for (const name of names) {
      checkTopicName(name);
      try {
        found.push(await this.#describe(name));
      } catch (error) {
        // Deleted since it was listed.
        if (topics !== undefined || !isBurrowError(error, 'UNKNOWN_TOPIC_OR_PARTITION')) throw error;
      }
    }
    return found;
  }

  /**
   * The dead letters of a topic, partition by partition, up to its present end. Key, value and header values are views: copy what
   * is kept for long. Throws UNKNOWN_TOPIC_OR_PARTITION, INVALID_ARGUMENT.
   */
  async *read(topic: string, options: ReadOptions = {}): AsyncGenerator<DeadLetter, void, undefined> {
    const { filter = {} } = options;
    checkFilter(filter);
    let left = integerOption('limit', options.limit, { fallback: Number.MAX_SAFE_INTEGER, min: 1 });
    const { groups } = this.#host;
    const status = await this.#status(topic);
    const progress = await new ReplayProgress(groups, topic).read(status.map(({ partition }) => partition));
    const consumer = this.#host.consumer({ onOutOfRange: 'earliest' });
    try {
      for (const { partition, logStartOffset: from, highWatermark: end } of status) {
        const replayed = progress.get(partition)!.forLog(from, end);
        const stretch = { topic, partition, from, end };
        for await (const records of scanPartition(consumer, stretch, groups.clock, groups.requestTimeoutMs)) {
          for (const record of records) {
            const letter = deadLetterOf(record, replayed.has(record.offset));
            if (!matchesFilter(letter, filter)) continue;
            yield letter;
            left -= 1;
            if (left === 0) return;
          }
        }
      }
    } finally {
      await consumer.close();
    }
  }

  /**
   * Puts records back to where they were, as they were, and then removes those from the dead-letter topic that lie before the first
   * that is left. What has been put back is noted, so that another replay goes on from there. Run one replay of a topic at a time.
   *
   * Rejects with UNKNOWN_TOPIC_OR_PARTITION if this topic or one to put records back to does not exist, CONFLICT if somebody else
   * replays at the same time, OFFSET_METADATA_TOO_LARGE if a filter leaves more gaps than can be noted, or what a producer
   * rejects with; what was put back before is noted then.
   */
  async replay(topic: string, options: ReplayOptions = {}): Promise<ReplayResult> {
    checkFilter(options.filter ?? {});
    if (options.to !== undefined) checkTopicName(options.to);
    if (options.to === topic) {
      throw new BurrowError('INVALID_ARGUMENT', `Records of ${topic} cannot be replayed to the same topic.`);
    }
    const limit = integerOption('limit', options.limit, { fallback: Number.MAX_SAFE_INTEGER, min: 1 });
    const status = await this.#status(topic);
    return new Replay(this.#host, topic, { ...options, limit }).run(status);
  }

  /** Removes dead letters from the beginning of each partition. Resolves with what was removed where; empty if nothing. */
  async purge(topic: string, options: PurgeOptions = {}): Promise<PurgedPartition[]> {
    const { partition: only, beforeMs, dryRun } = options;
    if (only !== undefined) checkNonNegativeInteger('partition', only);
    if (beforeMs !== undefined) checkNonNegativeInteger('beforeMs', beforeMs);
    const status = (await this.#status(topic)).filter(({ partition }) => only === undefined || only === partition);
    if (status.length === 0) {
      throw new BurrowError('UNKNOWN_TOPIC_OR_PARTITION', `Topic ${topic} has no partition ${only}.`);
    }
    const ends = await this.#purgeEnds(topic, status, options);
    const purged: PurgedPartition[] = [];
    for (const { partition, logStartOffset: from, highWatermark } of status) {
      const to = Math.min(highWatermark, ends.get(partition) ?? highWatermark);
      if (to <= from) continue;
      if (dryRun !== true) await this.#host.admin().deleteRecords(topic, partition, to);
      purged.push({ partition, from, to });
    }
    return purged;
  }

  /** By partition: where to stop; the end of the log where there is no entry. */
  async #purgeEnds(
    topic: string,
    status: readonly PartitionStatus[],
    { beforeMs, replayedOnly }: PurgeOptions,
  ): Promise<Map<number, number>> {
    const ends = new Map<number, number>();
    if (beforeMs !== undefined) {
      for (const { partition, offset } of await this.#host.admin().offsets(topic, { timestampMs: beforeMs })) {
        if (offset >= 0) ends.set(partition, offset);
      }
    }
    if (replayedOnly === true) {
      const progress = await new ReplayProgress(this.#host.groups, topic).read(
        status.map(({ partition }) => partition),
      );
      for (const { partition, logStartOffset, highWatermark } of status) {
        const replayed = progress.get(partition)!.forLog(logStartOffset, highWatermark);
        ends.set(partition, Math.min(replayed.nextOffset, ends.get(partition) ?? highWatermark));
      }
    }
    return ends;
  }

  async #describe(topic: string): Promise<DeadLetterTopic> {
    const status = await this.#status(topic);
    const progress = await new ReplayProgress(this.#host.groups, topic).read(status.map(({ partition }) => partition));
    let [records, pending, bytes] = [0, 0, 0];
    for (const { partition, logStartOffset: start, highWatermark: end, bytes: partitionBytes } of status) {
      records += end - start;
      pending += end - start - progress.get(partition)!.forLog(start, end).countIn(start, end);
      bytes += partitionBytes;
    }
    const parsed = parseSetAsideTopic(topic);
    const source = parsed && { topic: parsed.topic, group: parsed.group };
    return { topic, source, partitions: status.length, records, pending, bytes };
  }

  async #status(topic: string): Promise<readonly PartitionStatus[]> {
    const status = await this.#host.admin().partitionStatus(topic);
    return [...status].sort((a, b) => a.partition - b.partition);
  }
}
