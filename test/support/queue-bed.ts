/** A queue on its own, in memory or on a node's log, with clients that note what they get. */
import { onTestFinished } from 'vitest';
import { type QueueSettings, resolveQueueSettings } from '../../broker/definitions/queue-settings.ts';
import { DeadlineQueue } from '../../broker/partitions/deadline-queue.ts';
import { silentLogger } from '../../broker/ports/logger.ts';
import { ManualClock } from '../../broker/ports/manual-clock.ts';
import { type BatchLog, MemoryBatchLog, PartitionBatchLog } from '../../broker/queues/batch-log.ts';
import type { MessageView } from '../../broker/queues/message-batch.ts';
import type { StoredTarget } from '../../broker/queues/message-log.ts';
import { type DeadLetterReason, Queue, type QueueOptions } from '../../broker/queues/queue.ts';
import { QueueChannel } from '../../broker/queues/queue-channel.ts';
import type { QueueConsumer } from '../../broker/queues/queue-consumer.ts';
import { createTopic, settle, type TestNode } from './node-environment.ts';

export interface Delivered {
  readonly tag: number;
  readonly offset: number;
  readonly body: string;
  readonly returns: number;
  readonly consumer: string;
  readonly exchange: string;
  readonly routingKey: string;
  readonly properties: Buffer;
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
    this.deliveries.push(deliveredOf(tag, returns, view, consumer.tag));
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
      got = deliveredOf(tag, returns, view, '');
    });
    return got;
  }

  /** Bodies of what was delivered and not looked at yet. */
  bodies(): string[] {
    return this.deliveries.splice(0).map(({ body }) => body);
  }
}

function deliveredOf(tag: number, returns: number, view: MessageView, consumer: string): Delivered {
  const { offset, exchange, routingKey } = view;
  const properties = Buffer.from(view.properties);
  return { tag, offset, body: view.body.toString(), returns, consumer, exchange, routingKey, properties };
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
  /** Its logs, if they are not those of the name. */
  readonly logs?: (clock: ManualClock) => Promise<Pick<QueueOptions, 'messages' | 'settlements'>>;
  /** What becomes of dead letters; default: they are noted in `dead`. */
  readonly deadLetter?: QueueOptions['deadLetter'];
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
  const ownLogs = async () =>
    node === undefined ? memoryLogs(name) : partitionLogs(node, name, options.settlementsOf);
  const logs = await (options.logs ?? ownLogs)(clock);
  const bed = { clock, dead, unused, deadLettersArrive: true };
  const queue = await Queue.open({
    name,
    settings: { ...resolveQueueSettings(new Map()), ...options.settings },
    ...logs,
    clock,
    deadlines,
    logger: silentLogger,
    readAheadBytes: 64 * 1024,
    deadLetter:
      options.deadLetter ??
      ((_, view, reason, onDone) => {
        if (bed.deadLettersArrive) dead.push({ body: view.body.toString(), reason });
        onDone(bed.deadLettersArrive);
      }),
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

export function memoryLogs(name: string): { messages: BatchLog; settlements: undefined } {
  const messages = new MemoryBatchLog({ name, batchBytesMax: 1024 * 1024, onBytes: () => {} });
  return { messages, settlements: undefined };
}

export async function partitionLogs(
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
      needsRoom: partition === 0,
      onUnstored: () => {},
      onTrimFailed: () => {},
    });
  return { messages: log(name, 0), settlements: log(settlementsOf, 1) };
}

/** From here on the queue takes messages only some rounds of the disk later, as one that has much to do. */
export function slowDown(queue: Queue): void {
  const publish = queue.publish.bind(queue);
  queue.publish = (message, target, number) => {
    const copy = {
      ...message,
      properties: Buffer.from(message.properties),
      body: message.body.map((piece) => Buffer.from(piece)),
    };
    void (async () => {
      for (let turn = 0; turn < 6; turn++) await settle();
      publish(copy, target, number);
    })();
    return true;
  };
}
