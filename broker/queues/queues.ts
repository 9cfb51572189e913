/**
 * Exchanges and queues of this node: virtual hosts with their queues, sessions of clients, and what all of them share. Stored
 * queues are opened at the start; the logs of those that are gone are removed.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { Coordinator } from '../coordinator/coordinator.ts';
import { Topology } from '../exchanges/topology.ts';
import type { TopologyEvent } from '../exchanges/virtual-host.ts';
import type { BrokerSettings } from '../options.ts';
import { DeadlineQueue } from '../partitions/deadline-queue.ts';
import type { DiskSpace } from '../partitions/disk-space.ts';
import type { Topics } from '../partitions/topics.ts';
import type { Clock } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { Random } from '../ports/random.ts';
import { QueueHost, type TopicService } from './queue-host.ts';
import type { QueueService, QueueSession } from './queue-service.ts';
import { HostSession } from './queue-session.ts';
import { QueueStorage } from './queue-storage.ts';

export interface QueuesOptions {
  readonly coordinator: Coordinator;
  readonly topics: Topics;
  readonly service: TopicService;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly diskSpace: DiskSpace;
  readonly settings: BrokerSettings;
  /** The largest batch that fits into the journal. */
  readonly batchBytesCeiling: number;
}

/** Of one read of messages that are not in memory. */
const READ_AHEAD_BYTES = 256 * 1024;
/** Room in a batch beside its one large message. */
const BATCH_OVERHEAD_BYTES = 4096;

export class Queues implements QueueService {
  readonly #options: QueuesOptions;
  readonly #hosts = new Map<string, QueueHost>();
  readonly #sessions = new Set<HostSession>();
  readonly #deadlines: DeadlineQueue;
  readonly #storage: QueueStorage;
  #topology!: Topology;
  #closeReason: BurrowError | undefined;

  static async open(options: QueuesOptions): Promise<Queues> {
    const queues = new Queues(options);
    await queues.#open();
    return queues;
  }

  private constructor(options: QueuesOptions) {
    this.#options = options;
    const { topics, clock, diskSpace, logger, settings, batchBytesCeiling } = options;
    this.#deadlines = new DeadlineQueue(clock);
    this.#storage = new QueueStorage({
      topics,
      clock,
      diskSpace,
      logger,
      batchBytesMax: Math.min(batchBytesCeiling, settings.queueMessageBytesMax * 2 + BATCH_OVERHEAD_BYTES),
      memoryBytesMax: settings.queueMemoryBytesMax,
      unstoredBytesMax: settings.unwrittenBytesMax,
    });
  }

  listVirtualHosts(): readonly string[] {
    return this.#topology.virtualHosts();
  }

  virtualHostId(name: string): number | undefined {
    return this.#topology.virtualHostId(name);
  }

  async createVirtualHost(name: string): Promise<void> {
    await this.#topology.createVirtualHost(name);
  }

  async deleteVirtualHost(name: string): Promise<void> {
    await this.#topology.deleteVirtualHost(name);
  }

  openSession(virtualHost: string, onEnded: (error: BurrowError) => void): QueueSession {
    if (this.#closeReason !== undefined) throw this.#closeReason;
    const host = this.#hosts.get(virtualHost);
    if (host === undefined) throw new BurrowError('VHOST_NOT_FOUND', `vhost ${virtualHost} not found`);
    const { clock, settings } = this.#options;
    const storage = this.#storage;
    const session = new HostSession({
      host,
      topology: this.#topology,
      channels: {
        clock,
        deadlines: this.#deadlines,
        messageBytesMax: settings.queueMessageBytesMax,
        get isCongested() {
          return storage.isCongested;
        },
        uncongested: () => storage.uncongested(),
      },
      onEnded,
      onClosed: (closed) => this.#sessions.delete(closed),
    });
    this.#sessions.add(session);
    return session;
  }

  /** A topic is deleted: nothing is bound to it any more, and streams that are views of it go. */
  async onTopicRemoved(name: string): Promise<void> {
    await this.#topology?.topicGone(name);
    for (const host of this.#hosts.values()) host.onTopicRemoved(name);
  }

  /** Takes nothing any more. Resolves when everything that was taken has its place in a log. */
  async close(): Promise<void> {
    const reason = new BurrowError('SHUTTING_DOWN');
    this.#closeReason = reason;
    for (const session of [...this.#sessions]) session.end(reason);
    await Promise.all(Array.from(this.#hosts.values(), (host) => host.close(reason)));
    await this.#topology.close();
    this.#deadlines.close();
  }

  async #open(): Promise<void> {
    const { coordinator, clock, logger, topics } = this.#options;
    this.#topology = await Topology.open({
      coordinator,
      clock,
      logger,
      topicId: (name) => topics.get(name)?.definition.topicId.toString('hex'),
      onEvent: (event) => this.#onEvent(event),
      // What is there is served on; the store has logged it.
      onFailure: () => {},
    });
    const incarnations = new Set<number>();
    for (const name of this.#topology.virtualHosts()) {
      const host = this.#addHost(name);
      for (const definition of this.#topology.queues(name)) {
        const incarnation = this.#topology.queueIncarnation(name, definition.name);
        if (incarnation === undefined) continue;
        incarnations.add(incarnation);
        await host.restore(definition, incarnation);
      }
      host.begin();
      // What is due already goes to queues at once: so these must be there.
      for (const exchange of this.#topology.exchanges(name)) {
        const incarnation = this.#topology.exchangeIncarnation(name, exchange.name);
        if (exchange.kind !== 'x-delayed-message' || incarnation === undefined) continue;
        incarnations.add(incarnation);
        await host.openDelayed(exchange.name, incarnation);
      }
    }
    await this.#storage.removeOthers(incarnations);
  }

  #addHost(name: string): QueueHost {
    const { clock, random, logger, settings, service } = this.#options;
    const host = new QueueHost({
      name,
      topology: this.#topology,
      storage: this.#storage,
      service,
      clock,
      deadlines: this.#deadlines,
      random,
      logger,
      readAheadBytes: READ_AHEAD_BYTES,
      decompressedBytesMax: settings.decompressedBytesMax,
      queuesMax: settings.queuesMax,
    });
    this.#hosts.set(name, host);
    return host;
  }

  #onEvent(event: TopologyEvent): void {
    switch (event.kind) {
      case 'virtual-host-created':
        this.#addHost(event.virtualHost);
        break;
      case 'virtual-host-deleted':
        this.#removeHost(event.virtualHost);
        break;
      case 'binding-created':
      case 'binding-deleted':
        if (event.binding.destinationKind === 'topic') {
          this.#hosts.get(event.virtualHost)?.onTopicBindingsChanged(event.binding.destination);
        }
        break;
      case 'exchange-deleted':
        this.#hosts.get(event.virtualHost)?.onExchangeDeleted(event.exchange.name);
        break;
      case 'policies-changed':
        this.#hosts.get(event.virtualHost)?.reconfigure();
        break;
      default:
        break;
    }
  }

  #removeHost(name: string): void {
    const host = this.#hosts.get(name);
    if (host === undefined) return;
    this.#hosts.delete(name);
    const reason = new BurrowError('VHOST_NOT_FOUND', `vhost '${name}' was deleted`);
    for (const session of [...this.#sessions]) if (session.virtualHost === name) session.end(reason);
    host.close(reason).then(
      () => host.removeLogs(),
      (error: unknown) =>
        this.#options.logger.warn({ virtualHost: name, error: String(error) }, 'queues did not close'),
    );
  }
}
