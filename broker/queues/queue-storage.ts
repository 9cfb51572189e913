/**
 * Where queues keep their logs: a durable queue has an internal topic of two partitions, messages and settlements, which is
 * stored, recovered and replicated like any other; other queues are in memory. The topic is named after the
 * queue's incarnation, so that a queue declared again under an old name never finds old messages.
 */
import { BurrowError, isBurrowError } from '../../src/errors/burrow-error.ts';
import type { DiskSpace } from '../partitions/disk-space.ts';
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
}

export class QueueStorage {
  readonly #options: QueueStorageOptions;
  #memoryBytes = 0;

  constructor(options: QueueStorageOptions) {
    this.#options = options;
  }

  /** Whether queues in memory have all that they may take. */
  get isMemoryFull(): boolean {
    return this.#memoryBytes >= this.#options.memoryBytesMax;
  }

  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  inMemory(name: string): QueueLogs & { readonly messages: MemoryBatchLog } {
    const messages = new MemoryBatchLog({
      name,
      batchBytesMax: this.#options.batchBytesMax,
      onBytes: (change) => {
        this.#memoryBytes += change;
      },
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
      if (!name.startsWith(QUEUE_TOPICS)) continue;
      const incarnation = Number(name.slice(QUEUE_TOPICS.length));
      if (!incarnations.has(incarnation)) await this.remove(incarnation);
    }
  }

  #log(topic: string, number: number): PartitionBatchLog {
    const { topics, clock, diskSpace, logger } = this.#options;
    return new PartitionBatchLog({
      partition: topics.partition(topic, number),
      clock,
      diskSpace,
      onTrimFailed: (error) => logger.warn({ topic, error: String(error) }, 'a queue cannot free its log'),
    });
  }
}

const QUEUE_TOPICS = '__queue.';

function queueTopic(incarnation: number): string {
  if (!Number.isSafeInteger(incarnation)) throw new BurrowError('INTERNAL_ERROR', 'A queue has no incarnation.');
  return `${QUEUE_TOPICS}${incarnation}`;
}
