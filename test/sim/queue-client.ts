/** A client of the queue simulation: a channel with consumers that acknowledge, return, refuse, cancel, or go away. */
import type { SeededRandom } from '../../broker/ports/seeded-random.ts';
import type { MessageView } from '../../broker/queues/message-batch.ts';
import type { Queue } from '../../broker/queues/queue.ts';
import { type ChannelSink, QueueChannel } from '../../broker/queues/queue-channel.ts';
import type { QueueConsumer } from '../../broker/queues/queue-consumer.ts';
import type { Entry, QueueLedger } from './queue-ledger.ts';

export interface QueueClientWorld {
  readonly random: SeededRandom;
  readonly nowMs: number;
  readonly queues: ReadonlyArray<{ readonly queue: Queue; readonly ledger: QueueLedger }>;
  readonly clock: ConstructorParameters<typeof QueueChannel>[1];
  note(text: string): void;
  fail(error: unknown): void;
}

interface Held {
  readonly entry: Entry;
  readonly ledger: QueueLedger;
  readonly consumer: QueueConsumer | undefined;
}

export class QueueClient implements ChannelSink {
  readonly name: string;
  readonly #world: QueueClientWorld;
  readonly #channel: QueueChannel;
  readonly #unsettled = new Map<number, Held>();
  readonly #prefetch: number;
  readonly #isGlobal: boolean;
  #isWritable = true;
  #closed = false;
  #consumers = 0;
  #lastTag = 0;
  /** Acknowledges within the delivery, as a client in the same process may. */
  readonly #isEager: boolean;

  constructor(world: QueueClientWorld, name: string) {
    this.#world = world;
    this.name = name;
    const { random } = world;
    this.#channel = new QueueChannel(this, world.clock);
    this.#prefetch = random.pick([0, 1, 1, 2, 5, 20]);
    this.#isGlobal = random.chance(0.3);
    this.#isEager = random.chance(0.1);
    this.#channel.setPrefetch(this.#prefetch, { global: this.#isGlobal });
  }

  get isWritable(): boolean {
    return this.#isWritable;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  deliver(consumer: QueueConsumer, deliveryTag: number, returns: number, view: MessageView): void {
    if (this.#closed) throw new Error(`${this.name} is gone and gets a message`);
    if (!this.#isWritable) throw new Error(`${this.name} does not read and gets a message`);
    this.#take(this.#ledgerOf(consumer.queue), consumer, deliveryTag, returns, view, consumer.noAck);
    if (!consumer.noAck) {
      const held = [...this.#unsettled.values()].filter((each) => each.consumer !== undefined);
      const count = this.#isGlobal ? held.length : held.filter((each) => each.consumer === consumer).length;
      if (this.#prefetch !== 0 && count > this.#prefetch) {
        this.#world.fail(new Error(`${this.name} has ${count} messages, and a prefetch of ${this.#prefetch}`));
      }
    }
    if (this.#isEager && !consumer.noAck) this.#settle(deliveryTag, false, 'ack');
  }

  onCancelled(): void {}

  #take(
    ledger: QueueLedger,
    consumer: QueueConsumer | undefined,
    deliveryTag: number,
    returns: number,
    view: MessageView,
    noAck: boolean,
  ): void {
    try {
      if (deliveryTag !== this.#lastTag + 1)
        throw new Error(`${this.name} got tag ${deliveryTag} after ${this.#lastTag}`);
      this.#lastTag = deliveryTag;
      const id = idOf(view);
      this.#world.note(`${this.name} gets ${id} (${deliveryTag})`);
      const entry = ledger.onDelivered(id, view.offset, returns, this.#world.nowMs, noAck);
      if (!noAck) this.#unsettled.set(deliveryTag, { entry, ledger, consumer });
    } catch (error) {
      this.#world.fail(error);
    }
  }

  act(): void {
    const { random } = this.#world;
    const dice = random.fraction();
    if (this.#closed) return;
    if (this.#consumers === 0 || dice < 0.05) this.#consume();
    else if (dice < 0.5) this.#settleSome('ack');
    else if (dice < 0.62) this.#settleSome('return');
    else if (dice < 0.7) this.#settleSome('reject');
    else if (dice < 0.73) this.#cancel();
    else if (dice < 0.76) this.#recover();
    else if (dice < 0.85) this.#get();
    else if (dice < 0.92) {
      this.#isWritable = !this.#isWritable;
      if (this.#isWritable) this.#channel.onWritable();
    } else if (dice < 0.95) this.close();
  }

  /** Takes everything and acknowledges it. */
  drain(): void {
    if (this.#consumers === 0) for (const { queue } of this.#world.queues) this.#start(queue, false);
    while (this.#unsettled.size > 0) this.#settle(this.#lastTag, true, 'ack');
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#world.note(`${this.name} closes`);
    for (const { entry, ledger } of this.#unsettled.values()) ledger.onReturned(entry, 'lost', this.#world.nowMs);
    this.#unsettled.clear();
    this.#channel.close();
    this.#afterReturning();
  }

  #consume(): void {
    const { random } = this.#world;
    const { queue } = random.chance(0.8) ? this.#world.queues[0]! : this.#world.queues.at(-1)!;
    this.#start(queue, random.chance(0.05));
  }

  #start(queue: Queue, noAck: boolean): void {
    const priority = this.#world.random.pick([0, 0, 0, 1]);
    this.#world.note(`${this.name} consumes ${queue.name}`);
    this.#channel.consume(queue, { tag: `c${this.#consumers++}`, noAck, exclusive: false, priority });
  }

  #cancel(): void {
    const tags = [...this.#channel.consumers.keys()];
    if (tags.length > 0) this.#channel.cancel(this.#world.random.pick(tags));
  }

  #get(): void {
    const { queue, ledger } = this.#world.random.pick(this.#world.queues);
    const noAck = this.#world.random.chance(0.2);
    this.#channel
      .get(queue, noAck, (tag, returns, view) => this.#take(ledger, undefined, tag, returns, view, noAck))
      .catch((error: unknown) => this.#world.note(`get failed: ${String(error)}`));
  }

  #settleSome(how: 'ack' | 'return' | 'reject'): void {
    if (this.#unsettled.size === 0) return;
    const { random } = this.#world;
    const multiple = random.chance(0.5);
    const tag = random.pick([...this.#unsettled.keys()]);
    this.#settle(multiple && random.chance(0.2) ? 0 : tag, multiple, how);
  }

  #recover(): void {
    this.#world.note(`${this.name} recovers`);
    this.#tellLedger(this.#lastTag, true, 'return');
    this.#channel.recover();
    this.#afterReturning();
  }

  #settle(tag: number, multiple: boolean, how: 'ack' | 'return' | 'reject'): void {
    this.#world.note(`${this.name} ${how}s ${multiple ? 'up to ' : ''}${tag}`);
    this.#tellLedger(tag === 0 ? this.#lastTag : tag, multiple, how);
    if (how === 'ack') this.#channel.acknowledge(tag, multiple);
    else this.#channel.reject(tag, { multiple, requeue: how === 'return' });
    this.#afterReturning();
  }

  /** Tells the ledger first: the channel may deliver within the call. */
  #tellLedger(lastTag: number, multiple: boolean, how: 'ack' | 'return' | 'reject'): void {
    for (const [tag, { entry, ledger }] of this.#unsettled) {
      if (multiple ? tag > lastTag : tag !== lastTag) continue;
      this.#unsettled.delete(tag);
      if (how === 'ack') ledger.onSettled(entry);
      else if (how === 'reject') ledger.onRejected(entry);
      else ledger.onReturned(entry, 'requeued', this.#world.nowMs);
    }
  }

  #afterReturning(): void {
    for (const { ledger } of this.#world.queues) ledger.afterReturning();
  }

  #ledgerOf(queue: Queue): QueueLedger {
    return this.#world.queues.find((each) => each.queue === queue)!.ledger;
  }
}

/** The body up to its padding. */
export function idOf(view: MessageView): string {
  const text = view.body.toString();
  return text.slice(0, text.indexOf(' '));
}
