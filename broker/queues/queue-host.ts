/**
 * The queues of one virtual host: declares, finds and deletes them, and carries messages from exchanges to them. Durable ones are
 * in the definitions; others live and die here.
 */
import { BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import { NO_FIELDS } from '../../src/messages/field-value.ts';
import type { RoutableProperties } from '../../src/messages/routable-properties.ts';
import { resourceText } from '../definitions/equivalence.ts';
import { checkQueue, checkSameQueue, type QueueDefinition } from '../definitions/queue-definition.ts';
import { type QueueSettings, queueTypeOf } from '../definitions/queue-settings.ts';
import type { RouteTarget } from '../exchanges/destination.ts';
import { checkNotReserved, type Topology } from '../exchanges/topology.ts';
import type { Deadline, DeadlineQueue } from '../partitions/deadline-queue.ts';
import type { Clock } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { Random } from '../ports/random.ts';
import { DeadLetters } from './dead-letters.ts';
import { Deduplication } from './deduplication.ts';
import { DelayedMessages } from './delayed-messages.ts';
import type { HostedQueue } from './hosted-queue.ts';
import type { PublishedMessage } from './message-batch.ts';
import { MessageForwarder } from './message-forwarder.ts';
import type { StoredTarget } from './message-log.ts';
import { Queue } from './queue.ts';
import type { DeclaredQueue, QueueDeclaration, QueueSession, QueueStatus } from './queue-service.ts';
import type { QueueStorage } from './queue-storage.ts';
import { StreamHost, type StreamTopicService } from './stream-host.ts';
import { TopicTargets, type TopicWriteService } from './topic-targets.ts';

export interface QueueHostOptions {
  readonly name: string;
  readonly topology: Topology;
  readonly storage: QueueStorage;
  /** For topics that exchanges are bound to, and those of streams. */
  readonly service: TopicService;
  /** What a compressed batch of a stream may become. */
  readonly decompressedBytesMax: number;
  readonly clock: Clock;
  readonly deadlines: DeadlineQueue;
  readonly random: Random;
  readonly logger: Logger;
  /** Of each queue, of messages that are not in memory. */
  readonly readAheadBytes: number;
  /** Of this virtual host. */
  readonly queuesMax: number;
}

/** What is needed of topics. */
export type TopicService = TopicWriteService & StreamTopicService;

interface DelayedEntry {
  /** Undefined: the exchange is not stored. */
  readonly incarnation: number | undefined;
  readonly messages: DelayedMessages;
}

interface DeduplicatedQueue {
  readonly deduplication: Deduplication;
  readonly queue: Queue;
}

interface QueueEntry {
  readonly definition: QueueDefinition;
  readonly queue: HostedQueue;
  /** Drops repetitions, if the queue does. */
  readonly deduplicated: DeduplicatedQueue | undefined;
  /** Removes its messages from storage, after it was closed for good. */
  readonly removeMessages: () => Promise<void>;
  /** Who it is exclusive to. */
  readonly owner: QueueSession | undefined;
  expiry: Deadline | undefined;
}

type OpenedQueue = Pick<QueueEntry, 'queue' | 'deduplicated' | 'removeMessages'>;

const NAME_BYTES = 16;
const REPLY_QUEUE_PREFIX = 'amq.rabbitmq.reply-to.';

export class QueueHost {
  readonly name: string;
  readonly #options: QueueHostOptions;
  readonly #queues = new Map<string, QueueEntry>();
  /** Messages that wait for exchanges of the kind x-delayed-message, by the exchange's name. */
  readonly #delayed = new Map<string, DelayedEntry>();
  readonly #topics: TopicTargets;
  readonly #streams: StreamHost;
  readonly #forwarder: MessageForwarder;
  readonly #deadLetters: DeadLetters;
  /** The latest declaration or deletion of a name; others of the same name come after it. Never rejects. */
  readonly #work = new Map<string, Promise<void>>();
  #closeReason: BurrowError | undefined;

  constructor(options: QueueHostOptions) {
    this.name = options.name;
    this.#options = options;
    const { topology, service, clock, logger } = options;
    const router = topology.router(options.name);
    this.#topics = new TopicTargets({ virtualHost: options.name, topology, service, clock });
    const { decompressedBytesMax } = options;
    this.#streams = new StreamHost({ service, topics: this.#topics, clock, logger, decompressedBytesMax });
    this.#forwarder = new MessageForwarder((...args) => this.publishTo(...args));
    this.#deadLetters = new DeadLetters({ router, forwarder: this.#forwarder, clock, logger });
  }

  get queueCount(): number {
    return this.#queues.size;
  }

  /** Opens a queue that is stored, at the start. */
  async restore(definition: QueueDefinition, incarnation: number): Promise<void> {
    await this.#open(definition, incarnation, undefined);
  }

  /** After all queues are restored. */
  begin(): void {
    for (const { queue } of this.#queues.values()) queue.begin();
  }

  // Queues

  async declare(
    declaration: QueueDeclaration,
    session: QueueSession,
    onNamed: (name: string) => void = () => {},
  ): Promise<DeclaredQueue> {
    const type = queueTypeOf(declaration.arguments);
    // As in RabbitMQ: such queues are there to stay, and nobody would know the name.
    if (declaration.name === '' && type !== 'classic') {
      throw new BurrowError('INVALID_ARGUMENT', `Cannot declare a server-named queue of type ${type}`);
    }
    const name = declaration.name === '' ? this.#newName('amq.gen-') : declaration.name;
    onNamed(name);
    return this.#declare(name, declaration, session);
  }

  async declareReplyQueue(session: QueueSession): Promise<DeclaredQueue> {
    const declaration = { name: '', durable: false, exclusive: true, autoDelete: true, arguments: NO_FIELDS };
    return this.#declare(this.#newName(REPLY_QUEUE_PREFIX), declaration, session);
  }

  checkReplyQueue(name: string): void {
    if (!name.startsWith(REPLY_QUEUE_PREFIX) || !this.#queues.has(name)) throw notFound(name, this.name);
  }

  async #declare(name: string, declaration: QueueDeclaration, session: QueueSession): Promise<DeclaredQueue> {
    const definition: QueueDefinition = { ...declaration, name };
    return this.#inOrder(name, async () => {
      this.#checkOpen();
      const found = this.#queues.get(name);
      if (found !== undefined) {
        this.#checkOwner(found, session);
        // RabbitMQ's answer, too, for a queue of one's own (rabbit_amqqueue:check_exclusive_access).
        if (found.definition.exclusive !== definition.exclusive) throw locked(name, this.name);
        checkSameQueue(this.name, found.definition, definition);
        await this.#streams.restoreTopic(found.queue);
        this.#touch(found);
        return declared(found);
      }
      checkNotReserved('queue', declaration.name);
      checkQueue(this.name, definition);
      const { queuesMax, topology } = this.#options;
      if (this.#queues.size >= queuesMax) {
        throw new BurrowError(
          'QUEUE_LIMIT',
          `Virtual host ${JSON.stringify(this.name)} has ${queuesMax} queues, as many as it may (queues-max).`,
        );
      }
      await topology.createQueue(this.name, definition);
      try {
        await this.#streams.createTopic(name, this.#settingsOf(definition));
      } catch (error) {
        await topology.queueGone(this.name, name);
        throw error;
      }
      const incarnation = topology.queueIncarnation(this.name, name);
      return declared(await this.#open(definition, incarnation, definition.exclusive ? session : undefined));
    });
  }

  check(name: string, session: QueueSession): DeclaredQueue {
    const entry = this.#require(name, session);
    this.#touch(entry);
    return declared(entry);
  }

  queueFor(name: string, session: QueueSession): HostedQueue {
    const entry = this.#require(name, session);
    this.#touch(entry);
    return entry.queue;
  }

  find(name: string): HostedQueue | undefined {
    return this.#queues.get(name)?.queue;
  }

  /** Returns how many messages went with it; 0 if it is not there. */
  delete(name: string, session: QueueSession, options: { ifUnused: boolean; ifEmpty: boolean }): Promise<number> {
    return this.#inOrder(name, async () => {
      const entry = this.#queues.get(name);
      if (entry === undefined) return 0;
      this.#checkOwner(entry, session);
      const { queue } = entry;
      const resource = resourceText('queue', name, this.name);
      if (options.ifUnused && queue.consumerCount > 0) throw new BurrowError('IN_USE', `${resource} in use`);
      if (options.ifEmpty && queue.readyCount > 0) throw new BurrowError('NOT_EMPTY', `${resource} not empty`);
      const messages = queue.readyCount;
      await this.#remove(entry);
      return messages;
    });
  }

  async purge(name: string, session: QueueSession): Promise<number> {
    const entry = this.#require(name, session);
    this.#touch(entry);
    return entry.queue.purge();
  }

  /** The session has ended: its exclusive queues end too. */
  async deleteExclusive(session: QueueSession): Promise<void> {
    const own = [...this.#queues.values()].filter(({ owner }) => owner === session);
    await Promise.all(own.map((entry) => this.#deleteEntry(entry)));
  }

  list(): QueueStatus[] {
    return Array.from(this.#queues.values(), (entry) => {
      const { definition, queue } = entry;
      return {
        ...definition,
        ...declared(entry),
        policy: this.#options.topology.queuePolicy(this.name, definition)?.name,
        unsettledCount: queue.unsettledCount,
        storedBytes: queue.storedBytes,
        failure: queue.failure,
      };
    });
  }

  /** Policies have changed. */
  reconfigure(): void {
    for (const entry of this.#queues.values()) {
      entry.queue.reconfigure(this.#settingsOf(entry.definition));
      this.#touch(entry);
    }
  }

  // Messages

  /** @throws BurrowError EXCHANGE_NOT_FOUND, ACCESS_REFUSED, INVALID_ARGUMENT */
  route(message: PublishedMessage, routable: RoutableProperties): readonly RouteTarget[] {
    return this.#options.topology.router(this.name).routePublished(message.exchange, routable);
  }

  /** Hands a message to one of its targets; false if that is full. Per message. */
  publishTo(target: RouteTarget, message: PublishedMessage, stored: StoredTarget, number: number): boolean {
    switch (target.kind) {
      case 'queue':
        return this.#publishToQueue(target.name, message, stored, number);
      case 'delayed': {
        const delayed = this.#delayed.get(target.name);
        if (delayed !== undefined) return delayed.messages.publish(message, stored, number);
        break;
      }
      case 'topic':
        return this.#topics.bound(target.name).publish(message, stored, number);
    }
    // Deleted in this very turn: as if it had not been found.
    stored.onStored(number, number);
    return true;
  }

  #publishToQueue(name: string, message: PublishedMessage, stored: StoredTarget, number: number): boolean {
    const entry = this.#queues.get(name);
    if (entry === undefined) {
      stored.onStored(number, number);
      return true;
    }
    const { queue, deduplicated } = entry;
    const taken =
      deduplicated === undefined
        ? queue.publish(message, stored, number)
        : deduplicated.deduplication.publish(deduplicated.queue, message, stored, number);
    if (!taken && queue.settings.overflow === 'reject-publish-dlx') this.#deadLetters.buryRefused(queue, message);
    return taken;
  }

  /** What binds exchanges to a topic has changed, or the topic is gone. */
  onTopicBindingsChanged(topic: string): void {
    this.#topics.onBindingsChanged(topic);
  }

  // Exchanges that delay

  /** After an exchange was declared: if it delays messages, they have a place from here on. */
  async onExchangeDeclared(name: string): Promise<void> {
    const { topology } = this.#options;
    await this.#inOrder(`exchange ${name}`, async () => {
      const exchange = topology.router(this.name).exchange(name);
      if (exchange?.kind !== 'x-delayed-message' || this.#delayed.has(name)) return;
      await this.openDelayed(name, topology.exchangeIncarnation(this.name, name));
    });
  }

  async openDelayed(exchange: string, incarnation: number | undefined): Promise<void> {
    const { topology, storage, clock, deadlines, logger, readAheadBytes } = this.#options;
    const logs =
      incarnation === undefined ? storage.inMemory(`exchange ${exchange}`) : await storage.durable(incarnation);
    const messages = await DelayedMessages.open({
      exchange,
      ...logs,
      router: topology.router(this.name),
      forwarder: this.#forwarder,
      clock,
      deadlines,
      logger,
      readAheadBytes,
    });
    this.#delayed.set(exchange, { incarnation, messages });
  }

  onExchangeDeleted(name: string): void {
    const delayed = this.#delayed.get(name);
    if (delayed === undefined) return;
    this.#delayed.delete(name);
    delayed.messages.close();
    if (delayed.incarnation !== undefined) void this.#options.storage.remove(delayed.incarnation);
  }

  /** Ends all queues; nothing is taken any more. Resolves when everything that was taken has its place. */
  async close(reason: BurrowError): Promise<void> {
    this.#closeReason = reason;
    await Promise.all(this.#work.values());
    const entries = [...this.#queues.values()];
    await Promise.all(entries.map(({ queue }) => queue.settled()));
    await this.#topics.settled();
    for (const { messages } of this.#delayed.values()) {
      await messages.settled();
      messages.close();
    }
    for (const entry of entries) {
      if (entry.expiry !== undefined) this.#options.deadlines.remove(entry.expiry);
      entry.queue.close(reason);
    }
  }

  /** After {@link close}: the virtual host is gone for good. */
  async removeLogs(): Promise<void> {
    for (const { removeMessages } of this.#queues.values()) await removeMessages();
    for (const { incarnation } of this.#delayed.values()) {
      if (incarnation !== undefined) await this.#options.storage.remove(incarnation);
    }
  }

  /** @throws BurrowError RESOURCE_LOCKED if the queue is there and exclusive to another session */
  checkOwnerOf(name: string, session: QueueSession): void {
    const entry = this.#queues.get(name);
    if (entry !== undefined) this.#checkOwner(entry, session);
  }

  async #open(
    definition: QueueDefinition,
    incarnation: number | undefined,
    owner: QueueSession | undefined,
  ): Promise<QueueEntry> {
    const settings = this.#settingsOf(definition);
    const opened =
      settings.queueType === 'stream'
        ? this.#streams.open(definition.name, settings)
        : await this.#openQueue(definition.name, settings, incarnation);
    const entry: QueueEntry = { definition, ...opened, owner, expiry: undefined };
    this.#queues.set(definition.name, entry);
    this.#touch(entry);
    return entry;
  }

  #settingsOf({ name, arguments: table }: QueueDefinition): QueueSettings {
    return this.#options.topology.queueSettings(this.name, name, table);
  }

  async #openQueue(name: string, settings: QueueSettings, incarnation: number | undefined): Promise<OpenedQueue> {
    const { storage, clock, deadlines, logger, readAheadBytes } = this.#options;
    const logs =
      incarnation === undefined
        ? storage.inMemory(`queue ${JSON.stringify(name)}`)
        : await storage.durable(incarnation);
    const deduplication = newDeduplication(settings, clock);
    await deduplication?.load(logs.messages, readAheadBytes);
    const queue = await Queue.open({
      name,
      settings,
      messages:
        deduplication === undefined || incarnation === undefined
          ? logs.messages
          : deduplication.retaining(logs.messages),
      settlements: logs.settlements,
      clock,
      deadlines,
      logger,
      readAheadBytes,
      deadLetter: (from, view, reason, onDone) => this.#deadLetters.bury(from, view, reason, onDone),
      onUnused: (unused) => this.#onUnused(unused),
    });
    const removeMessages = async (): Promise<void> => {
      if (incarnation !== undefined) await storage.remove(incarnation);
      else void logs.messages.trim(Number.POSITIVE_INFINITY);
    };
    return { queue, deduplicated: deduplication && { deduplication, queue }, removeMessages };
  }

  /** Streams go with their topics. Does not wait: a declaration before it may itself wait until the topic is removed. */
  onTopicRemoved(topic: string): void {
    for (const entry of this.#queues.values()) {
      if (!this.#streams.isOn(topic, entry.queue)) continue;
      // At once, since a topic of this name that is created now is another one.
      entry.queue.close(notFound(entry.queue.name, this.name));
      void this.#deleteEntry(entry);
    }
  }

  /** Ends a queue because of something that happened to it, if it is still there. */
  async #deleteEntry(entry: QueueEntry): Promise<void> {
    const { name } = entry.definition;
    await this.#inOrder(name, async () => {
      if (this.#queues.get(name) === entry) await this.#remove(entry);
    }).catch((error: unknown) => {
      const { message } = toBurrowError(error);
      this.#options.logger.warn({ queue: name, virtualHost: this.name, error: message }, 'a queue was not deleted');
    });
  }

  async #remove(entry: QueueEntry): Promise<void> {
    const { definition, queue } = entry;
    const { topology, deadlines } = this.#options;
    await topology.queueGone(this.name, definition.name);
    this.#queues.delete(definition.name);
    if (entry.expiry !== undefined) deadlines.remove(entry.expiry);
    queue.close(notFound(definition.name, this.name));
    await entry.removeMessages();
  }

  #onUnused(queue: HostedQueue): void {
    const entry = this.#queues.get(queue.name);
    if (entry?.queue !== queue) return;
    if (entry.definition.autoDelete) void this.#deleteEntry(entry);
    else this.#touch(entry);
  }

  /** The queue is in use: its time to live without use (x-expires) begins anew. */
  #touch(entry: QueueEntry): void {
    const { deadlines } = this.#options;
    if (entry.expiry !== undefined) deadlines.remove(entry.expiry);
    entry.expiry = undefined;
    const { expiresMs } = entry.queue.settings;
    if (expiresMs === undefined) return;
    entry.expiry = deadlines.add(expiresMs, () => {
      entry.expiry = undefined;
      if (entry.queue.consumerCount > 0) this.#touch(entry);
      else void this.#deleteEntry(entry);
    });
  }

  #require(name: string, session: QueueSession): QueueEntry {
    const entry = this.#queues.get(name);
    if (entry === undefined) throw notFound(name, this.name);
    this.#checkOwner(entry, session);
    return entry;
  }

  #checkOwner({ owner, definition }: QueueEntry, session: QueueSession): void {
    if (owner !== undefined && owner !== session) throw locked(definition.name, this.name);
  }

  #checkOpen(): void {
    if (this.#closeReason !== undefined) throw this.#closeReason;
  }

  #newName(prefix: string): string {
    return `${prefix}${this.#options.random.bytes(NAME_BYTES).toString('base64url')}`;
  }

  #inOrder<T>(name: string, work: () => Promise<T>): Promise<T> {
    const result = (this.#work.get(name) ?? Promise.resolve()).then(work);
    const done: Promise<void> = result
      .then(
        () => {},
        () => {},
      )
      .then(() => {
        if (this.#work.get(name) === done) this.#work.delete(name);
      });
    this.#work.set(name, done);
    return result;
  }
}

function newDeduplication(settings: QueueSettings, clock: Clock): Deduplication | undefined {
  if (!settings.messageDeduplication) return undefined;
  const { deduplicationWindowMs: windowMs, deduplicationWindowCount: count, deduplicationHeader: header } = settings;
  return new Deduplication({ windowMs, count, header, clock });
}

function declared({ definition, queue }: QueueEntry): DeclaredQueue {
  return { name: definition.name, messageCount: queue.readyCount, consumerCount: queue.consumerCount };
}

function locked(name: string, virtualHost: string): BurrowError {
  return new BurrowError(
    'RESOURCE_LOCKED',
    `cannot obtain exclusive access to locked ${resourceText('queue', name, virtualHost)}. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.`,
  );
}

function notFound(name: string, virtualHost: string): BurrowError {
  return new BurrowError('QUEUE_NOT_FOUND', `no ${resourceText('queue', name, virtualHost)}`, {
    fields: { queue: name },
  });
}
