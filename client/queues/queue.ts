/** A queue as a client uses it: declare, bind, publish to, consume, look into. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { checkAmqpName } from '../../src/names.ts';
import { PackedDeliveriesReader } from '../../src/protocol/packed-deliveries.ts';
import { integerOption } from '../options.ts';
import { type ConsumeOptions, consumerSettings, type MessageHandler } from './consumer-options.ts';
import type { Exchange, PublishOptions } from './exchange.ts';
import { type HeadersInput, toFieldTable } from './field-values.ts';
import type { MessageBody } from './message-options.ts';
import { type ConsumedQueue, QueueConsumer } from './queue-consumer.ts';
import { BrowsedMessage, type QueueMessage } from './queue-message.ts';
import { type QueueOptions, queueArguments } from './queue-options.ts';
import {
  type BindingInfo,
  bindRequest,
  browseQueueRequest,
  type DeclaredQueue,
  declareQueueRequest,
  deleteQueueRequest,
  purgeQueueRequest,
} from './queue-requests.ts';
import type { VirtualHost } from './virtual-host.ts';

export interface BrowseOptions {
  /** Most messages. Default 100. */
  readonly limit?: number;
  /** Messages to pass over, from the oldest on. Default 0. */
  readonly skip?: number;
}

/** Asked for at once, in browsing. */
const BROWSE_BYTES_MAX = 1024 * 1024;

/** Use `client.queue(name)`. Making one asks nothing of the broker. */
export class Queue implements ConsumedQueue {
  readonly host: VirtualHost;
  #name: string;
  /** Declared without a name: the broker made one up. */
  #isServerNamed: boolean;
  /** What goes with the connection or with a restart of the broker, to be made anew. */
  #declared: QueueOptions | undefined;
  readonly #bindings = new Map<string, BindingInfo>();

  constructor(host: VirtualHost, name: string) {
    checkAmqpName(name, 'queue');
    this.#name = name;
    this.#isServerNamed = name === '';
    this.host = host;
  }

  /** Of a queue without a name: empty until it is declared. Changes if it must be declared again. */
  get name(): string {
    return this.#name;
  }

  get virtualHost(): string {
    return this.host.name;
  }

  get defaultExchange(): Exchange {
    return this.host.defaultExchange;
  }

  /** Rejects with DECLARED_DIFFERENTLY if it exists otherwise; an equal one is fine. */
  async declare(options: QueueOptions = {}): Promise<DeclaredQueue> {
    const { exclusive = false, durable = !exclusive, autoDelete = false } = options;
    const declared = await declareQueueRequest(this.host.target(), {
      name: this.#isServerNamed ? '' : this.#name,
      passive: false,
      durable,
      exclusive,
      autoDelete,
      arguments: queueArguments(options),
    });
    this.#name = declared.name;
    this.#declared = durable && !exclusive && !autoDelete ? undefined : options;
    return declared;
  }

  /** Counts. Rejects with QUEUE_NOT_FOUND, RESOURCE_LOCKED. */
  check(): Promise<DeclaredQueue> {
    const unused = { durable: true, exclusive: false, autoDelete: false, arguments: new Map() };
    return this.host.read((target) => declareQueueRequest(target, { ...unused, name: this.#name, passive: true }));
  }

  /** Resolves with how many messages went with it; 0 if it is not there. Rejects with IN_USE, NOT_EMPTY. */
  async delete(options: { readonly ifUnused?: boolean; readonly ifEmpty?: boolean } = {}): Promise<number> {
    const { ifUnused = false, ifEmpty = false } = options;
    this.#declared = undefined;
    this.#bindings.clear();
    return deleteQueueRequest(this.host.target(), { name: this.#name, ifUnused, ifEmpty });
  }

  /** What `exchange` gets with this key goes here. */
  async bind(exchange: Exchange | string, bindingKey = '', bindingArguments: HeadersInput = {}): Promise<void> {
    const binding = this.#binding(exchange, bindingKey, bindingArguments);
    await bindRequest(this.host.target(), 'bind', binding);
    this.#bindings.set(bindingKeyOf(binding), binding);
  }

  async unbind(exchange: Exchange | string, bindingKey = '', bindingArguments: HeadersInput = {}): Promise<void> {
    const binding = this.#binding(exchange, bindingKey, bindingArguments);
    this.#bindings.delete(bindingKeyOf(binding));
    await bindRequest(this.host.target(), 'unbind', binding);
  }

  /** Publishes by the default exchange. As {@link Exchange.publish}; rejects with UNROUTABLE if there is no such queue. */
  publish(body: MessageBody, options: Omit<PublishOptions, 'routingKey' | 'mandatory'> = {}): Promise<void> {
    return this.host.defaultExchange.publish(body, { ...options, routingKey: this.#name, mandatory: true });
  }

  /**
   * Begins to consume; resolves when the broker has begun. Subscribes again by itself after a lost connection; a queue that was
   * declared here as exclusive, auto-delete or not durable is then declared and bound again.
   * Rejects with QUEUE_NOT_FOUND, RESOURCE_LOCKED, CONSUMER_EXCLUSIVE, INVALID_ARGUMENT.
   */
  async consume(handler: MessageHandler, options: ConsumeOptions = {}): Promise<QueueConsumer> {
    const consumer: QueueConsumer = new QueueConsumer({
      cluster: this.host.cluster,
      queue: this,
      settings: consumerSettings(options),
      handler,
      onEnd: () => this.host.removeChild(consumer),
    });
    this.host.addChild(consumer);
    await consumer.start();
    return consumer;
  }

  /**
   * Takes one message, to be settled; undefined if there is none. It goes back to the queue if the connection is lost before. With
   * `ack: 'none'` it is gone at once. Consuming is the fast way.
   */
  get(options: { readonly ack?: 'manual' | 'none' } = {}): Promise<QueueMessage | undefined> {
    return this.host.getter.get(this.#name, options.ack === 'none');
  }

  /** Removes all messages that are ready; resolves with how many. */
  purge(): Promise<number> {
    return purgeQueueRequest(this.host.target(), this.#name);
  }

  /** Reads messages from the oldest on, ready or not, and leaves them where they are. */
  async browse(options: BrowseOptions = {}): Promise<BrowsedMessage[]> {
    const limit = integerOption('limit', options.limit, { fallback: 100, min: 1, max: 0xffff_ffff });
    const first = integerOption('skip', options.skip, { fallback: 0, min: 0, max: 0xffff_ffff });
    const messages: BrowsedMessage[] = [];
    while (messages.length < limit) {
      const asked = {
        queue: this.#name,
        skip: first + messages.length,
        limit: limit - messages.length,
        bytesMax: BROWSE_BYTES_MAX,
      };
      const { messages: packed, ...rest } = await this.host.read((target) => browseQueueRequest(target, asked));
      if (rest.count === 0) break;
      const reader = new PackedDeliveriesReader({ ...rest, messages: packed[0]! });
      while (reader.next()) messages.push(new BrowsedMessage(reader));
    }
    return messages;
  }

  /** Makes anew what went with the connection or the broker, if it was made here. */
  async restore(): Promise<void> {
    if (this.#declared === undefined) return;
    await this.declare(this.#declared);
    for (const binding of this.#bindings.values()) {
      await bindRequest(this.host.target(), 'bind', { ...binding, destination: this.#name });
    }
  }

  #binding(exchange: Exchange | string, bindingKey: string, bindingArguments: HeadersInput): BindingInfo {
    if (this.#name === '') throw new BurrowError('INVALID_ARGUMENT', 'A queue without a name must be declared first.');
    return {
      source: typeof exchange === 'string' ? exchange : exchange.name,
      destinationKind: 'queue',
      destination: this.#name,
      bindingKey,
      arguments: toFieldTable(bindingArguments),
    };
  }
}

/** The same for what is bound in the same way, whatever the queue is called by now. */
function bindingKeyOf({ source, bindingKey, arguments: table }: BindingInfo): string {
  return JSON.stringify([source, bindingKey, [...table].map(([name, value]) => [name, String(value)])]);
}
