/** A queue on its own, in memory or on a node's log, with clients that note what they get. */
import { onTestFinished } from 'vitest';
import { DeadlineQueue } from '../../broker/partitions/deadline-queue.ts';
import { silentLogger } from '../../broker/ports/logger.ts';
import { ManualClock } from '../../broker/ports/manual-clock.ts';
import { type BatchLog, MemoryBatchLog, PartitionBatchLog } from '../../broker/queues/batch-log.ts';
import type { MessageView } from '../../broker/queues/message-batch.ts';
import type { StoredTarget } from '../../broker/queues/message-log.ts';
import { type DeadLetterReason, Queue } from '../../broker/queues/queue.ts';
import { QueueChannel } from '../../broker/queues/queue-channel.ts';
import type { QueueConsumer } from '../../broker/queues/queue-consumer.ts';
import { QUEUE_SETTINGS_DEFAULTS, type QueueSettings } from '../../broker/queues/queue-settings.ts';
import { createTopic, type TestNode } from './node-environment.ts';

export interface Delivered {
  readonly tag: number;
  readonly offset: number;
  readonly body: string;
  readonly returns: number;
  readonly consumer: string;
}

/** A client's channel; what is delivered waits in `deliveries`. */
export class TestChannel {
  isWritable = true;
  readonly deliveries: Delivered[] = [];
  readonly cancelled: string[] = [];
  readonly channel: QueueChannel;

  constructor(clock: ManualClock) {
    this.channel = new QueueChannel(this, clock);
  }

  deliver(consumer: QueueConsumer, tag: number, returns: number, view: MessageView): void {
    this.deliveries.push({ tag, offset: view.offset, body: view.body.toString(), returns, consumer: consumer.tag });
  }

  onCancelled(consumer: QueueConsumer): void {
    this.cancelled.push(consumer.tag);
  }

  consume(queue: Queue, options: Partial<Parameters<QueueChannel['consume']>[1]> = {}): QueueConsumer {
    return this.channel.consume(queue, { tag: 'c', noAck: false, exclusive: false, priority: 0, ...options });
  }

  async get(queue: Queue, noAck = false): Promise<Delivered | undefined> {
    let got: Delivered | undefined;
    await this.channel.get(queue, noAck, (tag, returns, view) => {
      got = { tag, offset: view.offset, body: view.body.toString(), returns, consumer: '' };
    });
    return got;
  }

  /** Bodies of what was delivered and not looked at yet. */
  bodies(): string[] {
    return this.deliveries.splice(0).map(({ body }) => body);
  }
}

export interface QueueBed {
  readonly queue: Queue;
  readonly clock: ManualClock;
  readonly dead: Array<{ readonly body: string; readonly reason: DeadLetterReason }>;
  readonly unused: Queue[];
  /** Switch off to have dead letters refused. */
  deadLettersArrive: boolean;
  channel(): TestChannel;
  publish(...bodies: string[]): Promise<boolean[]>;
}

export interface QueueBedOptions {
  readonly settings?: Partial<QueueSettings>;
  readonly clock?: ManualClock;
  /** Where its logs are; default: in memory. */
  readonly node?: TestNode;
  readonly name?: string;
  /** Another queue of the node whose settlements it takes for its own. */
  readonly settlementsOf?: string;
}

export async function openQueue(options: QueueBedOptions = {}): Promise<QueueBed> {
  const { node, name = 'q' } = options;
  const clock = options.clock ?? node?.clock ?? new ManualClock();
  const deadlines = new DeadlineQueue(clock);
  onTestFinished(() => deadlines.close());
  const dead: Array<{ body: string; reason: DeadLetterReason }> = [];
  const unused: Queue[] = [];
  const logs = node === undefined ? memoryLogs(name) : await partitionLogs(node, name, options.settlementsOf);
  const bed = { clock, dead, unused, deadLettersArrive: true };
  const queue = await Queue.open({
    name,
    settings: { ...QUEUE_SETTINGS_DEFAULTS, ...options.settings },
    ...logs,
    clock,
    deadlines,
    logger: silentLogger,
    readAheadBytes: 64 * 1024,
    deadLetter: (_, view, reason, onDone) => {
      if (bed.deadLettersArrive) dead.push({ body: view.body.toString(), reason });
      onDone(bed.deadLettersArrive);
    },
    onUnused: (each) => unused.push(each),
  });
  return Object.assign(bed, {
    queue,
    channel: () => new TestChannel(clock),
    publish: (...bodies: string[]) => Promise.all(bodies.map((body) => publish(queue, body))),
  });
}

export interface TestMessage {
  readonly routingKey?: string;
  readonly properties?: Uint8Array;
}

/** Resolves with true when the message is stored, with false if the queue is full. */
export function publish(
  queue: Queue,
  body: string,
  { routingKey = 'key', properties }: TestMessage = {},
): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const target: StoredTarget = {
      onStored: () => resolve(true),
      onNotStored: (_first, _last, error) => reject(error),
    };
    const message = {
      exchange: '',
      routingKey,
      properties: properties ?? new Uint8Array(0),
      body: [Buffer.from(body)],
    };
    if (!queue.publish(message, target, 1)) resolve(false);
  });
}

function memoryLogs(name: string): { messages: BatchLog; settlements: undefined } {
  const messages = new MemoryBatchLog({ name, batchBytesMax: 1024 * 1024, onBytes: () => {} });
  return { messages, settlements: undefined };
}

async function partitionLogs(
  node: TestNode,
  name: string,
  settlementsOf = name,
): Promise<{ messages: BatchLog; settlements: BatchLog }> {
  if (node.topics.get(name) === undefined) {
    await createTopic(node, name, 2, { 'retention.ms': '-1', 'segment.bytes': '4096' });
  }
  const log = (topic: string, partition: number): BatchLog =>
    new PartitionBatchLog({
      partition: node.topics.partition(topic, partition),
      clock: node.clock,
      diskSpace: node.diskSpace,
      onTrimFailed: () => {},
    });
  return { messages: log(name, 0), settlements: log(settlementsOf, 1) };
}
