/**
 * Where queues keep their logs: a durable queue has an internal topic of two partitions, messages and settlements, which is
 * stored, recovered and replicated like any other; other queues are in memory. The topic is named after the
 * queue's incarnation, so that a queue declared again under an old name never finds old messages.
 */
import { BurrowError, isBurrowError } from '../../src/errors/burrow-error.ts';
import { Deferred } from '../log/deferred.ts';
import type { DiskSpace } from '../partitions/disk-space.ts';
import { QUEUE_TOPIC_PREFIX } from '../partitions/node-topic.ts';
import type { Topics } from '../partitions/topics.ts';
import type { Clock } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import { type BatchLog, MemoryBatchLog, PartitionBatchLog } from './batch-log.ts';

const MESSAGES = 0;
const SETTLEMENTS = 1;
const SEGMENT_BYTES = 64 * 1024 * 1024;

export interface QueueLogs {
  readonly messages: BatchLog;
  readonly settlements: BatchLog | undefined;
}

export interface QueueStorageOptions {
  readonly topics: Topics;
  readonly clock: Clock;
  readonly diskSpace: DiskSpace;
  readonly logger: Logger;
  readonly batchBytesMax: number;
  /** Of all queues in memory together. */
  readonly memoryBytesMax: number;
  /** On their way to the disk, of all queues together. */
  readonly unstoredBytesMax: number;
}

export class QueueStorage {
  readonly #options: QueueStorageOptions;
  #memoryBytes = 0;
  #unstoredBytes = 0;
  #freed: Deferred | undefined;

  constructor(options: QueueStorageOptions) {
    this.#options = options;
  }

  /** Whether publishers should wait: for the disk, or until queues in memory have become shorter. */
  get isCongested(): boolean {
    const { memoryBytesMax, unstoredBytesMax } = this.#options;
    return this.#memoryBytes >= memoryBytesMax || this.#unstoredBytes >= unstoredBytesMax;
  }

  /** Resolves when {@link isCongested} is over. */
  async uncongested(): Promise<void> {
    if (!this.isCongested) return;
    this.#freed ??= new Deferred();
    await this.#freed.promise;
  }

  inMemory(name: string): QueueLogs & { readonly messages: MemoryBatchLog } {
    const messages = new MemoryBatchLog({
      name,
      batchBytesMax: this.#options.batchBytesMax,
      onBytes: (change) => this.#onMemory(change),
    });
    return { messages, settlements: undefined };
  }

  /** Opens the logs of a durable queue, or creates them. */
  async durable(incarnation: number): Promise<QueueLogs> {
    const { topics, diskSpace, batchBytesMax } = this.#options;
    const name = queueTopic(incarnation);
    if (topics.get(name) === undefined) {
      if (diskSpace.full !== undefined) throw diskSpace.full;
      const configs = new Map([
        ['cleanup.policy', 'delete'],
        ['retention.ms', '-1'],
        ['retention.bytes', '-1'],
        ['segment.bytes', String(SEGMENT_BYTES)],
        ['max.message.bytes', String(batchBytesMax)],
      ]);
      try {
        await topics.create({ name, partitions: 2, replicationFactor: -1, configs }, { validateOnly: false });
      } catch (error) {
        if (!isBurrowError(error, 'ALREADY_EXISTS')) throw error;
      }
    }
    return { messages: this.#log(name, MESSAGES), settlements: this.#log(name, SETTLEMENTS) };
  }

  async remove(incarnation: number): Promise<void> {
    const { topics, logger } = this.#options;
    const name = queueTopic(incarnation);
    try {
      if (topics.get(name) !== undefined) await topics.delete(name);
    } catch (error) {
      // The next start removes it: no queue has this incarnation.
      logger.warn({ topic: name, error: String(error) }, 'the log of a deleted queue could not be removed');
    }
  }

  /** Removes the logs of queues that are not there any more: a crash came between the queue's end and theirs. */
  async removeOthers(incarnations: ReadonlySet<number>): Promise<void> {
    for (const name of this.#options.topics.names()) {
      if (!name.startsWith(QUEUE_TOPIC_PREFIX)) continue;
      const incarnation = Number(name.slice(QUEUE_TOPIC_PREFIX.length));
      if (!incarnations.has(incarnation)) await this.remove(incarnation);
    }
  }

  #onMemory(change: number): void {
    this.#memoryBytes += change;
    this.#maybeFreed();
  }

  #maybeFreed(): void {
    if (this.#freed === undefined || this.isCongested) return;
    this.#freed.resolve();
    this.#freed = undefined;
  }

  #log(topic: string, number: number): PartitionBatchLog {
    const { topics, clock, diskSpace, logger } = this.#options;
    return new PartitionBatchLog({
      partition: topics.partition(topic, number),
      clock,
      diskSpace,
      needsRoom: number === MESSAGES,
      onUnstored: (change) => {
        this.#unstoredBytes += change;
        this.#maybeFreed();
      },
      onTrimFailed: (error) => logger.warn({ topic, error: String(error) }, 'a queue cannot free its log'),
    });
  }
}

function queueTopic(incarnation: number): string {
  if (!Number.isSafeInteger(incarnation)) throw new BurrowError('INTERNAL_ERROR', 'A queue has no incarnation.');
  return `${QUEUE_TOPIC_PREFIX}${incarnation}`;
}
