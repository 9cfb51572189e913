/**
 * The queue service as one user may use it: asks `access-control.ts` before each call, then hands it on. Which operation needs which permission
 * is RabbitMQ's table (docs: access control; rabbit_channel.erl).
 */
import { BurrowError, isBurrowError } from '../../src/errors/burrow-error.ts';
import type { FieldTable } from '../../src/messages/field-value.ts';
import type { AccessControl, Identity, ResourceKind, VirtualHostRef } from '../security/access-control.ts';
import type { Operation } from '../security/user.ts';
import type { MessageView, PublishedMessage } from './message-batch.ts';
import type {
  BindingDefinition,
  DeclaredQueue,
  ExchangeDeclaration,
  PolicyDeclaration,
  PolicyDefinition,
  QueueChannelSink,
  QueueDeclaration,
  QueueService,
  QueueSession,
  QueueSessionChannel,
  QueueStatus,
} from './queue-service.ts';

/** Names that were found to be allowed; forgotten at every change of users, and when there are too many. */
const REMEMBERED_MAX = 1000;
const POLICYMAKER = 'policymaker';

export class AuthorizedQueues implements QueueService {
  readonly #queues: QueueService;
  readonly #control: AccessControl;
  readonly #identity: Identity;

  constructor(queues: QueueService, control: AccessControl, identity: Identity) {
    this.#queues = queues;
    this.#control = control;
    this.#identity = identity;
  }

  /** Those that the user may enter. */
  listVirtualHosts(): readonly string[] {
    return this.#queues.listVirtualHosts().filter((name) => {
      try {
        this.#control.accessTo(this.#identity, { name, id: this.virtualHostId(name)! });
        return true;
      } catch {
        return false;
      }
    });
  }

  virtualHostId(name: string): number | undefined {
    return this.#queues.virtualHostId(name);
  }

  async createVirtualHost(name: string): Promise<void> {
    this.#control.checkTag(this.#identity);
    await this.#queues.createVirtualHost(name);
  }

  async deleteVirtualHost(name: string): Promise<void> {
    this.#control.checkTag(this.#identity);
    await this.#queues.deleteVirtualHost(name);
  }

  /** Also ends, as if the broker had ended it, when the user is deleted. */
  openSession(virtualHost: string, onEnded: (error: BurrowError) => void): QueueSession {
    const id = this.virtualHostId(virtualHost);
    if (id === undefined) throw new BurrowError('VHOST_NOT_FOUND', `vhost ${virtualHost} not found`);
    const ref = { name: virtualHost, id };
    const control = this.#control;
    const identity = this.#identity;
    control.accessTo(identity, ref);
    const session = this.#queues.openSession(virtualHost, (error) => {
      unwatch();
      onEnded(error);
    });
    const unwatch = control.watch(identity, (error) => {
      onEnded(error);
      void session.close();
    });
    return new AuthorizedSession(session, new Permits(control, identity, ref), unwatch);
  }
}

/** What a user may do in one virtual host, remembered. */
class Permits {
  readonly #control: AccessControl;
  readonly #identity: Identity;
  readonly #virtualHost: VirtualHostRef;
  readonly #allowed = new Set<string>();
  #version = -1;

  constructor(control: AccessControl, identity: Identity, virtualHost: VirtualHostRef) {
    this.#control = control;
    this.#identity = identity;
    this.#virtualHost = virtualHost;
  }

  /** Changes when what was allowed may not be any more. */
  get version(): number {
    return this.#control.version;
  }

  /** @throws BurrowError NOT_AUTHORIZED, VHOST_ACCESS_REFUSED, LOGIN_REVOKED */
  check(operation: Operation, kind: ResourceKind, name: string): void {
    const { version } = this.#control;
    if (this.#version !== version || this.#allowed.size >= REMEMBERED_MAX) this.#allowed.clear();
    this.#version = version;
    const key = `${operation} ${name}`;
    if (this.#allowed.has(key)) return;
    this.#control.check(this.#identity, this.#virtualHost, operation, kind, name);
    this.#allowed.add(key);
  }

  /** Whether it may enter at all. */
  checkAccess(): void {
    this.#control.accessTo(this.#identity, this.#virtualHost);
  }

  checkTag(tag: string): void {
    this.checkAccess();
    this.#control.checkTag(this.#identity, tag);
  }
}

class AuthorizedSession implements QueueSession {
  readonly #session: QueueSession;
  readonly #permits: Permits;
  readonly #onClose: () => void;
  /** Made for this session; their names are its secret. */
  readonly #replyQueues = new Set<string>();

  constructor(session: QueueSession, permits: Permits, onClose: () => void) {
    this.#session = session;
    this.#permits = permits;
    this.#onClose = onClose;
  }

  get virtualHost(): string {
    return this.#session.virtualHost;
  }

  openChannel(sink: QueueChannelSink): QueueSessionChannel {
    return new AuthorizedChannel(this.#session.openChannel(sink), this.#permits, this.#replyQueues);
  }

  async declareExchange(exchange: ExchangeDeclaration): Promise<void> {
    this.#permits.check('configure', 'exchange', exchange.name);
    const alternate = exchange.arguments.get('alternate-exchange');
    if (typeof alternate === 'string' && !this.#exists(() => this.#session.checkExchange(exchange.name))) {
      this.#permits.check('read', 'exchange', exchange.name);
      this.#permits.check('write', 'exchange', alternate);
    }
    await this.#session.declareExchange(exchange);
  }

  checkReplyQueue(name: string): void {
    this.#permits.checkAccess();
    this.#session.checkReplyQueue(name);
  }

  /** As in RabbitMQ, it takes no permission to see that something is there. */
  checkExchange(name: string): void {
    this.#permits.checkAccess();
    this.#session.checkExchange(name);
  }

  async deleteExchange(name: string, options: { readonly ifUnused: boolean }): Promise<void> {
    this.#permits.check('configure', 'exchange', name);
    await this.#session.deleteExchange(name, options);
  }

  async bind(binding: BindingDefinition): Promise<void> {
    this.#checkBinding(binding);
    await this.#session.bind(binding);
  }

  async unbind(binding: BindingDefinition): Promise<void> {
    this.#checkBinding(binding);
    await this.#session.unbind(binding);
  }

  async declareQueue(queue: QueueDeclaration): Promise<DeclaredQueue> {
    const { name, arguments: table } = queue;
    return this.#session.declareQueue(queue, (actualName) => {
      this.#permits.check('configure', 'queue', actualName);
      const isThere = name !== '' && this.#exists(() => this.#session.checkQueue(name));
      if (!isThere) this.#checkTargets(actualName, table);
    });
  }

  /** A queue that hands its messages on does so in the name of who declares it. */
  #checkTargets(name: string, table: FieldTable): void {
    const deadLetterExchange = table.get('x-dead-letter-exchange');
    if (typeof deadLetterExchange === 'string') {
      this.#permits.check('read', 'queue', name);
      this.#permits.check('write', 'exchange', deadLetterExchange);
    }
    // A stream over a topic of somebody else shows what is in it.
    const topic = table.get('x-topic');
    if (typeof topic === 'string') this.#permits.check('read', 'topic', topic);
  }

  /** As RabbitMQ's direct reply-to, it takes no permission to make and consume. */
  async declareReplyQueue(): Promise<string> {
    this.#permits.checkAccess();
    const name = await this.#session.declareReplyQueue();
    this.#replyQueues.add(name);
    return name;
  }

  checkQueue(name: string): DeclaredQueue {
    this.#permits.checkAccess();
    return this.#session.checkQueue(name);
  }

  async deleteQueue(name: string, options: { readonly ifUnused: boolean; readonly ifEmpty: boolean }): Promise<number> {
    this.#permits.check('configure', 'queue', name);
    return this.#session.deleteQueue(name, options);
  }

  async purgeQueue(name: string): Promise<number> {
    this.#permits.check('read', 'queue', name);
    return this.#session.purgeQueue(name);
  }

  async setPolicy(policy: PolicyDeclaration): Promise<void> {
    this.#permits.checkTag(POLICYMAKER);
    await this.#session.setPolicy(policy);
  }

  async deletePolicy(name: string): Promise<void> {
    this.#permits.checkTag(POLICYMAKER);
    await this.#session.deletePolicy(name);
  }

  listExchanges(): readonly ExchangeDeclaration[] {
    this.#permits.checkAccess();
    return this.#session.listExchanges();
  }

  listBindings(): readonly BindingDefinition[] {
    this.#permits.checkAccess();
    return this.#session.listBindings();
  }

  listQueues(): readonly QueueStatus[] {
    this.#permits.checkAccess();
    return this.#session.listQueues();
  }

  listPolicies(): readonly PolicyDefinition[] {
    this.#permits.checkAccess();
    return this.#session.listPolicies();
  }

  async browseQueue(
    name: string,
    options: { readonly limit: number; readonly skip: number },
    onMessage: (view: MessageView) => void,
  ): Promise<number> {
    this.#permits.check('read', 'queue', name);
    return this.#session.browseQueue(name, options, onMessage);
  }

  close(): Promise<void> {
    this.#onClose();
    return this.#session.close();
  }

  /** Messages will be read from the source and written to the destination. */
  #checkBinding({ source, destinationKind, destination }: BindingDefinition): void {
    this.#permits.check('write', destinationKind, destination);
    this.#permits.check('read', 'exchange', source);
  }

  #exists(look: () => void): boolean {
    try {
      look();
      return true;
    } catch (error) {
      // Somebody else's is there, too.
      return !isBurrowError(error) || (error.code !== 'QUEUE_NOT_FOUND' && error.code !== 'EXCHANGE_NOT_FOUND');
    }
  }
}

class AuthorizedChannel implements QueueSessionChannel {
  readonly #channel: QueueSessionChannel;
  readonly #permits: Permits;
  readonly #replyQueues: ReadonlySet<string>;
  /** The exchange that was last published to, and as of which version of users that was allowed. */
  #exchange = '';
  #version = -1;

  constructor(channel: QueueSessionChannel, permits: Permits, replyQueues: ReadonlySet<string>) {
    this.#channel = channel;
    this.#permits = permits;
    this.#replyQueues = replyQueues;
  }

  get unsettledCount(): number {
    return this.#channel.unsettledCount;
  }

  get isCongested(): boolean {
    return this.#channel.isCongested;
  }

  uncongested(): Promise<void> {
    return this.#channel.uncongested();
  }

  /** Per message. */
  publish(message: PublishedMessage, options: { readonly mandatory: boolean }): void {
    this.#checkPublish(message.exchange);
    this.#channel.publish(message, options);
  }

  /** Per message of a transaction. */
  checkRoute(message: PublishedMessage): void {
    this.#checkPublish(message.exchange);
    this.#channel.checkRoute(message);
  }

  confirmPublishes(): void {
    this.#channel.confirmPublishes();
  }

  setPrefetch(count: number, options: { readonly global: boolean }): void {
    this.#channel.setPrefetch(count, options);
  }

  consume(queue: string, options: Parameters<QueueSessionChannel['consume']>[1], onStarted: () => void): void {
    if (!this.#replyQueues.has(queue)) this.#permits.check('read', 'queue', queue);
    this.#channel.consume(queue, options, onStarted);
  }

  cancel(consumerTag: string): boolean {
    return this.#channel.cancel(consumerTag);
  }

  async get(
    queue: string,
    options: { readonly noAck: boolean },
    onMessage: Parameters<QueueSessionChannel['get']>[2],
  ): Promise<boolean> {
    this.#permits.check('read', 'queue', queue);
    return this.#channel.get(queue, options, onMessage);
  }

  acknowledge(deliveryTag: number, multiple: boolean): void {
    this.#channel.acknowledge(deliveryTag, multiple);
  }

  reject(deliveryTag: number, options: { readonly multiple: boolean; readonly requeue: boolean }): void {
    this.#channel.reject(deliveryTag, options);
  }

  checkUnsettled(deliveryTag: number, multiple: boolean): void {
    this.#channel.checkUnsettled(deliveryTag, multiple);
  }

  recover(): void {
    this.#channel.recover();
  }

  onWritable(): void {
    this.#channel.onWritable();
  }

  settlementsSynced(): Promise<void> {
    return this.#channel.settlementsSynced();
  }

  close(): void {
    this.#channel.close();
  }

  #checkPublish(exchange: string): void {
    if (exchange === this.#exchange && this.#permits.version === this.#version) return;
    this.#permits.check('write', 'exchange', exchange);
    this.#exchange = exchange;
    this.#version = this.#permits.version;
  }
}
