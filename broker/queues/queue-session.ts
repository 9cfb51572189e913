/** One connection of a client to one virtual host: hands on to topology and queues, owns channels and exclusive queues. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { Topology } from '../exchanges/topology.ts';
import type { MessageView } from './message-batch.ts';
import type { QueueHost } from './queue-host.ts';
import type {
  BindingDefinition,
  DeclaredQueue,
  ExchangeDeclaration,
  PolicyDeclaration,
  PolicyDefinition,
  QueueChannelSink,
  QueueDeclaration,
  QueueSession,
  QueueSessionChannel,
  QueueStatus,
} from './queue-service.ts';
import { type ChannelHost, SessionChannel } from './session-channel.ts';

export interface HostSessionOptions {
  readonly host: QueueHost;
  readonly topology: Topology;
  readonly channels: Omit<ChannelHost, 'queueFor' | 'route' | 'publishTo'>;
  /** The broker has ended the session. */
  readonly onEnded: (error: BurrowError) => void;
  readonly onClosed: (session: HostSession) => void;
}

export class HostSession implements QueueSession {
  readonly #options: HostSessionOptions;
  readonly #channels = new Set<SessionChannel>();
  #closing: Promise<void> | undefined;

  constructor(options: HostSessionOptions) {
    this.#options = options;
  }

  get virtualHost(): string {
    return this.#options.host.name;
  }

  openChannel(sink: QueueChannelSink): QueueSessionChannel {
    this.#checkOpen();
    const { host, channels } = this.#options;
    const channel = new SessionChannel({
      session: this,
      sink,
      host: {
        ...channels,
        get isCongested() {
          return channels.isCongested;
        },
        queueFor: (session, name) => host.queueFor(name, session),
        route: (message, routable) => host.route(message, routable),
        publishTo: (target, message, stored, number) => host.publishTo(target, message, stored, number),
      },
      onClosed: (closed) => this.#channels.delete(closed),
    });
    this.#channels.add(channel);
    return channel;
  }

  async declareExchange(exchange: ExchangeDeclaration): Promise<void> {
    this.#checkOpen();
    const { topology, host } = this.#options;
    await topology.declareExchange(this.virtualHost, exchange);
    await host.onExchangeDeclared(exchange.name);
  }

  checkExchange(name: string): void {
    this.#options.topology.checkExchangeExists(this.virtualHost, name);
  }

  async deleteExchange(name: string, options: { readonly ifUnused: boolean }): Promise<void> {
    await this.#options.topology.deleteExchange(this.virtualHost, name, options);
  }

  async bind(binding: BindingDefinition): Promise<void> {
    this.#checkOpen();
    this.#checkDestination(binding);
    await this.#options.topology.bind(this.virtualHost, binding);
  }

  async unbind(binding: BindingDefinition): Promise<void> {
    await this.#options.topology.unbind(this.virtualHost, binding);
  }

  async declareQueue(queue: QueueDeclaration, onNamed?: (name: string) => void): Promise<DeclaredQueue> {
    this.#checkOpen();
    return this.#options.host.declare(queue, this, onNamed);
  }

  async declareReplyQueue(): Promise<string> {
    this.#checkOpen();
    return (await this.#options.host.declareReplyQueue(this)).name;
  }

  checkReplyQueue(name: string): void {
    this.#options.host.checkReplyQueue(name);
  }

  checkQueue(name: string): DeclaredQueue {
    return this.#options.host.check(name, this);
  }

  async deleteQueue(name: string, options: { readonly ifUnused: boolean; readonly ifEmpty: boolean }): Promise<number> {
    return this.#options.host.delete(name, this, options);
  }

  async purgeQueue(name: string): Promise<number> {
    return this.#options.host.purge(name, this);
  }

  async setPolicy(policy: PolicyDeclaration): Promise<void> {
    this.#checkOpen();
    await this.#options.topology.setPolicy(this.virtualHost, policy);
  }

  async deletePolicy(name: string): Promise<void> {
    await this.#options.topology.deletePolicy(this.virtualHost, name);
  }

  listExchanges(): readonly ExchangeDeclaration[] {
    return this.#options.topology.exchanges(this.virtualHost);
  }

  listBindings(): readonly BindingDefinition[] {
    return this.#options.topology.bindings(this.virtualHost);
  }

  listQueues(): readonly QueueStatus[] {
    return this.#options.host.list();
  }

  listPolicies(): readonly PolicyDefinition[] {
    return this.#options.topology.policies(this.virtualHost);
  }

  async browseQueue(
    name: string,
    options: { readonly limit: number; readonly skip: number },
    onMessage: (view: MessageView) => void,
  ): Promise<number> {
    return this.#options.host.queueFor(name, this).browse(options, onMessage);
  }

  /** The broker ends it. */
  end(error: BurrowError): void {
    this.#options.onEnded(error);
    void this.close();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const channel of [...this.#channels]) channel.close();
    await this.#options.host.deleteExclusive(this);
    this.#options.onClosed(this);
  }

  /** As in RabbitMQ, an exclusive queue is bound by its own connection only. */
  #checkDestination({ destinationKind, destination }: BindingDefinition): void {
    if (destinationKind === 'queue') this.#options.host.checkOwnerOf(destination, this);
  }

  #checkOpen(): void {
    if (this.#closing === undefined) return;
    throw new BurrowError('UNEXPECTED_FRAME', `The session on vhost '${this.virtualHost}' is closed.`);
  }
}
