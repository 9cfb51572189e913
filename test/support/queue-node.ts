/** The services of one node with its queues, on the in-memory disk, and clients that note what they get. */
import { onTestFinished } from 'vitest';
import { silentLogger } from '../../broker/ports/logger.ts';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';
import type { MessageView, PublishedMessage } from '../../broker/queues/message-batch.ts';
import type { QueueConsumer } from '../../broker/queues/queue-consumer.ts';
import type {
  QueueChannelSink,
  QueueDeclaration,
  QueueSession,
  QueueSessionChannel,
} from '../../broker/queues/queue-service.ts';
import { Queues } from '../../broker/queues/queues.ts';
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import { NO_PROPERTIES } from '../../src/messages/message-properties.ts';
import { startTestNode, type TestNode, type TestNodeOptions } from './node-environment.ts';

export interface QueueNode extends TestNode {
  readonly queues: Queues;
}

export async function startQueueNode(options: TestNodeOptions = {}): Promise<QueueNode> {
  const starting: { queues?: Queues } = {};
  const node = await startTestNode({ ...options, onRemoved: async (name) => starting.queues?.onTopicRemoved(name) });
  const { coordinator, topics, clock, diskSpace, settings, disk } = node;
  const queues = await Queues.open({
    coordinator,
    topics,
    clock,
    random: options.random ?? new SeededRandom('queues'),
    logger: silentLogger,
    diskSpace,
    settings,
    batchBytesCeiling: 4 * 1024 * 1024,
  });
  starting.queues = queues;
  const stop = async (): Promise<void> => {
    await queues.close();
    await node.stop();
  };
  onTestFinished(() => (disk.halted ? undefined : queues.close()));
  return { ...node, queues, stop };
}

/** The node as it is after a clean stop, or after a power loss that takes all that was not synced. */
export async function restartQueueNode(node: QueueNode, how: 'stop' | 'crash'): Promise<QueueNode> {
  const { coordinator, clock } = node;
  if (how === 'stop') await node.stop();
  const disk = how === 'stop' ? node.disk : node.disk.crash(new SeededRandom(7), 'lost');
  return startQueueNode({ coordinator, clock, disk, random: new SeededRandom('next') });
}

export interface Received {
  readonly tag: number;
  readonly body: string;
  readonly returns: number;
  readonly routingKey: string;
  readonly exchange: string;
  readonly consumer: string;
}

/** A connection with one channel. */
export class QueueClient implements QueueChannelSink {
  readonly session: QueueSession;
  readonly channel: QueueSessionChannel;
  readonly received: Received[] = [];
  readonly confirmed = new Set<number>();
  readonly refused = new Map<number, BurrowError | undefined>();
  readonly returned: string[] = [];
  readonly cancelled: string[] = [];
  ended: BurrowError | undefined;
  closedBy: BurrowError | undefined;
  isWritable = true;
  #published = 0;
  #waiting: Array<() => void> = [];

  constructor(node: QueueNode, virtualHost = '/') {
    this.session = node.queues.openSession(virtualHost, (error) => {
      this.ended = error;
    });
    this.channel = this.session.openChannel(this);
    this.channel.confirmPublishes();
  }

  deliver(consumer: QueueConsumer, tag: number, returns: number, view: MessageView): void {
    this.received.push(received(tag, returns, view, consumer.tag));
  }

  onCancelled(consumer: QueueConsumer): void {
    this.cancelled.push(consumer.tag);
  }

  onConfirmed(number: number, multiple: boolean): void {
    for (let each = multiple ? 1 : number; each <= number; each++) {
      if (!this.refused.has(each)) this.confirmed.add(each);
    }
    this.#wake();
  }

  onRefused(number: number, error: BurrowError | undefined): void {
    this.refused.set(number, error);
    this.#wake();
  }

  onReturned(message: PublishedMessage): void {
    this.returned.push(Buffer.concat(message.body).toString());
  }

  onClosed(error: BurrowError): void {
    this.closedBy = error;
  }

  declare(queue: Partial<QueueDeclaration> = {}) {
    return this.session.declareQueue({
      name: 'q',
      durable: true,
      exclusive: false,
      autoDelete: false,
      arguments: new Map(),
      ...queue,
    });
  }

  /** Resolves with whether the broker took it. */
  async publish(
    body: string,
    { exchange = '', routingKey = 'q', properties = NO_PROPERTIES, mandatory = false } = {},
  ): Promise<boolean> {
    this.channel.publish({ exchange, routingKey, properties, body: [Buffer.from(body)] }, { mandatory });
    const number = ++this.#published;
    while (!this.confirmed.has(number) && !this.refused.has(number)) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    return this.confirmed.has(number);
  }

  consume(queue = 'q', options: { tag?: string; noAck?: boolean; exclusive?: boolean } = {}): void {
    this.channel.consume(
      queue,
      { tag: 'c', noAck: false, exclusive: false, arguments: new Map(), ...options },
      () => {},
    );
  }

  async get(queue = 'q', noAck = false): Promise<Received | undefined> {
    let got: Received | undefined;
    await this.channel.get(queue, { noAck }, (tag, returns, _left, view) => {
      got = received(tag, returns, view, '');
    });
    return got;
  }

  /** Bodies of what came since the last call. */
  bodies(): string[] {
    return this.received.splice(0).map(({ body }) => body);
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

function received(tag: number, returns: number, view: MessageView, consumer: string): Received {
  const { routingKey, exchange } = view;
  return { tag, body: view.body.toString(), returns, routingKey, exchange, consumer };
}
