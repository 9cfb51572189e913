/**
 * One consumer of a stream: reads the partitions of a topic batch by batch, makes messages of their records, and hands them over as
 * fast as the consumer has credit. Only what is committed is read. Per record: a small view, no promises.
 */
import { type BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import { getNextOffset, isControl } from '../../src/records/batch-header.ts';
import { batchPositions, decodeRecords, openRecords, recordsSection } from '../../src/records/batch-iterator.ts';
import type { LogRecord } from '../../src/records/log-record.ts';
import { RecordCursor } from '../../src/records/record-cursor.ts';
import {
  EARLIEST_TIMESTAMP,
  type FetchedPartition,
  LATEST_TIMESTAMP,
  type PendingFetch,
} from '../partitions/broker-service.ts';
import type { Clock, Timer } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import { MessageBatchBuilder, MessageView } from './message-batch.ts';
import type { QueueConsumer } from './queue-consumer.ts';
import { messageOf } from './record-mapping.ts';
import type { StreamStart } from './stream-offset.ts';
import type { StreamQueue, StreamService } from './stream-queue.ts';

export interface StreamSubscriptionOptions {
  readonly consumer: QueueConsumer;
  readonly queue: StreamQueue;
  readonly topic: string;
  readonly partitions: readonly number[];
  readonly start: StreamStart;
  readonly service: StreamService;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly decompressedBytesMax: number;
  readonly fetchBytesMax: number;
  readonly deliveriesMax: number;
  readonly retryMs: number;
  /** It has ended by itself: the topic is gone, or its records are damaged. */
  readonly onEnded: (reason: BurrowError) => void;
}

/** Where it stands in one partition. */
interface Cursor {
  readonly partition: number;
  /** Of the next record. */
  offset: number;
}

const FETCH_WAIT_MS = 30_000;

export class StreamSubscription {
  readonly #options: StreamSubscriptionOptions;
  readonly #view = new MessageView();
  readonly #builder = new MessageBatchBuilder();
  #cursors: Cursor[] = [];
  #pending: PendingFetch | undefined;
  #closed = false;
  /** Ends the pause that is under way. */
  #wake: (() => void) | undefined;
  #deliveredInTurn = 0;

  constructor(options: StreamSubscriptionOptions) {
    this.#options = options;
  }

  begin(): void {
    void this.#run();
  }

  /** The consumer may have credit again. */
  resume(): void {
    if (this.#options.consumer.canTake) this.#wake?.();
  }

  /** Hands over nothing any more. */
  close(): void {
    this.#closed = true;
    this.#pending?.cancel();
    this.#wake?.();
  }

  async #run(): Promise<void> {
    try {
      await this.#findStart();
      while (!this.#closed) {
        await this.#credit();
        if (this.#closed) return;
        for (const fetched of await this.#fetch()) {
          if (fetched.error !== undefined) await this.#onFetchFailed(fetched, fetched.error);
          else await this.#deliverAll(fetched);
        }
        // Another one first the next time, so that none is starved.
        this.#cursors.push(this.#cursors.shift()!);
      }
    } catch (error) {
      if (this.#closed) return;
      this.close();
      this.#options.onEnded(toBurrowError(error));
    }
  }

  async #findStart(): Promise<void> {
    const { partitions, start } = this.#options;
    for (const partition of partitions)
      this.#cursors.push({ partition, offset: await this.#startIn(partition, start) });
  }

  async #startIn(partition: number, start: StreamStart): Promise<number> {
    switch (start.kind) {
      case 'first':
        return this.#listOffset(partition, EARLIEST_TIMESTAMP);
      case 'next':
        return this.#listOffset(partition, LATEST_TIMESTAMP);
      case 'last': {
        const end = await this.#listOffset(partition, LATEST_TIMESTAMP);
        return Math.max(await this.#listOffset(partition, EARLIEST_TIMESTAMP), end - 1);
      }
      case 'offset':
        return this.#nearest(partition, start.offset);
      case 'timestamp': {
        const found = await this.#listOffset(partition, start.timestampMs);
        return found === -1 ? this.#listOffset(partition, LATEST_TIMESTAMP) : found;
      }
    }
  }

  /** The offset, or the first or next one there is if it is not between them (as in RabbitMQ). */
  async #nearest(partition: number, offset: number): Promise<number> {
    const first = await this.#listOffset(partition, EARLIEST_TIMESTAMP);
    return Math.max(first, Math.min(offset, await this.#listOffset(partition, LATEST_TIMESTAMP)));
  }

  async #listOffset(partition: number, timestampMs: number): Promise<number> {
    const { service, topic } = this.#options;
    const request = { topic, partition, timestampMs, currentLeaderEpoch: -1, isolation: 'read_committed' } as const;
    return (await service.listOffset(request)).offset;
  }

  async #fetch(): Promise<readonly FetchedPartition[]> {
    const { service, topic, fetchBytesMax } = this.#options;
    this.#pending = service.fetch({
      partitions: this.#cursors.map(({ partition, offset }) => ({
        topic,
        partition,
        offset,
        bytesMax: fetchBytesMax,
        currentLeaderEpoch: -1,
      })),
      bytesMin: 1,
      bytesMax: fetchBytesMax,
      waitMs: FETCH_WAIT_MS,
      isolation: 'read_committed',
    });
    const fetched = await this.#pending.done;
    this.#pending = undefined;
    return this.#closed ? [] : fetched;
  }

  async #onFetchFailed({ partition }: FetchedPartition, error: BurrowError): Promise<void> {
    const { topic, queue, logger, retryMs } = this.#options;
    if (error.code === 'UNKNOWN_TOPIC_OR_PARTITION' || error.code === 'STORAGE_CORRUPT') throw error;
    if (error.code === 'OFFSET_OUT_OF_RANGE') {
      // Retention was faster than the consumer.
      const cursor = this.#cursorOf(partition);
      cursor.offset = await this.#nearest(partition, cursor.offset);
      return;
    }
    logger.warn({ queue: queue.name, topic, partition, error: error.message }, 'a stream cannot be read');
    await this.#pause(retryMs);
  }

  async #deliverAll({ partition, records }: FetchedPartition): Promise<void> {
    const cursor = this.#cursorOf(partition);
    for (const bytes of records) {
      for (const position of batchPositions(bytes)) {
        if (!isControl(bytes, position)) {
          const opened = await openRecords(bytes, position, this.#options.decompressedBytesMax);
          await this.#deliverBatch(cursor, decodeRecords(bytes, position, opened, cursor.offset));
        }
        if (this.#closed) return;
        cursor.offset = getNextOffset(bytes, position);
      }
    }
  }

  async #deliverBatch(cursor: Cursor, records: readonly LogRecord[]): Promise<void> {
    if (records.length === 0) return;
    const { consumer, queue, deliveriesMax } = this.#options;
    const messages = this.#messagesOf(cursor.partition, records);
    for (const record of records) {
      if (this.#deliveredInTurn >= deliveriesMax) await this.#pause(0);
      if (!consumer.canTake) await this.#credit();
      if (this.#closed) return;
      messages.next();
      this.#view.set(messages, record.offset, record.timestampMs);
      this.#deliveredInTurn++;
      consumer.deliver(queue, record.offset, 0, this.#view);
    }
  }

  /** In the form in which queues store messages, so that who delivers need not know where one comes from. */
  #messagesOf(partition: number, records: readonly LogRecord[]): RecordCursor {
    for (const { offset, timestampMs, key, value, headers } of records) {
      const message = messageOf({ partition, offset, timestampMs, key, value, headers });
      this.#builder.append(0, message);
    }
    return new RecordCursor(recordsSection(this.#builder.finish(), 0));
  }

  #cursorOf(partition: number): Cursor {
    return this.#cursors.find((cursor) => cursor.partition === partition)!;
  }

  /** Resolves when the consumer can take a message, or all is over. */
  async #credit(): Promise<void> {
    while (!this.#options.consumer.canTake && !this.#closed) await this.#pause();
  }

  /** Resolves after a time, if one is given, and else when there is credit; at once when all is over. */
  #pause(ms?: number): Promise<void> {
    this.#deliveredInTurn = 0;
    return new Promise((resolve) => {
      let timer: Timer | undefined;
      const wake = (): void => {
        timer?.cancel();
        this.#wake = undefined;
        resolve();
      };
      if (ms !== undefined) timer = this.#options.clock.schedule(ms, wake);
      if (ms === undefined || this.#closed) this.#wake = wake;
      else
        this.#wake = () => {
          if (this.#closed) wake();
        };
      if (this.#closed) wake();
    });
  }
}
