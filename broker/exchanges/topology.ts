/**
 * Virtual hosts, exchanges, bindings and policies, and the definitions of queues: declares, deletes and lists them, with
 * RabbitMQ's refusals and texts. Joins what is stored (`topology-store.ts`) with what routes (`router.ts`).
 *
 * Durable things are in memory only once they are durable. Transient ones (a binding is as durable as the less durable
 * of its ends) live here alone. Auto-delete exchanges go with their last binding as a source.
 *
 * Making and deleting queues is the business of the queues, which call {@link Topology.createQueue} and
 * {@link Topology.queueGone}.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { FieldTable } from '../../src/messages/field-value.ts';
import { checkAmqpName } from '../../src/names.ts';
import type { Coordinator } from '../coordinator/coordinator.ts';
import { type BindingDefinition, bindingHash, checkBinding } from '../definitions/binding-definition.ts';
import { resourceText } from '../definitions/equivalence.ts';
import {
  checkExchange,
  checkExchangeKind,
  checkSameExchange,
  DEFAULT_EXCHANGE,
  type ExchangeDefinition,
} from '../definitions/exchange-definition.ts';
import { checkPolicy, type PolicyDeclaration, type PolicyDefinition } from '../definitions/policy-definition.ts';
import { isStoredQueue, type QueueDefinition } from '../definitions/queue-definition.ts';
import { type QueueSettings, resolveQueueSettings } from '../definitions/queue-settings.ts';
import { type RemovedDefinition, type StoredDefinition, TopologyStore } from '../definitions/topology-store.ts';
import type { Clock } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { Router } from './router.ts';
import { type TopologyEvent, VirtualHost } from './virtual-host.ts';

export interface TopologyOptions {
  readonly coordinator: Coordinator;
  readonly clock: Clock;
  readonly logger?: Logger;
  /** The id of a topic as 32 hex digits, or undefined if there is none of this name: topics can be bound to. */
  readonly topicId: (name: string) => string | undefined;
  /** Told of every change, once, in order, but not of what is there when the topology is opened. Must not throw. */
  readonly onEvent: (event: TopologyEvent) => void;
  /** What is durable is no longer kept up to date: the coordinator failed, or has what cannot be read. */
  readonly onFailure: (error: BurrowError) => void;
  readonly limits?: TopologyLimits;
}

export interface TopologyLimits {
  /** Default 1,000. */
  readonly virtualHostsMax?: number;
  /** Of a virtual host. Default 100,000. */
  readonly exchangesMax?: number;
  /** Of a virtual host. Default 1,000,000. */
  readonly bindingsMax?: number;
  /** Of a virtual host. Default 1,000. */
  readonly policiesMax?: number;
  /** Routes that the router of a virtual host remembers. Default 65,536. */
  readonly rememberedRoutesMax?: number;
  /** All weights of an x-consistent-hash exchange together: each costs 64 points on its ring. Default 10,000. */
  readonly hashWeightTotalMax?: number;
}

const LIMITS: Required<TopologyLimits> = {
  virtualHostsMax: 1000,
  exchangesMax: 100_000,
  bindingsMax: 1_000_000,
  policiesMax: 1000,
  rememberedRoutesMax: 65_536,
  hashWeightTotalMax: 10_000,
};

const DEFAULT_VIRTUAL_HOST = '/';
const RESERVED_PREFIX = 'amq.';
/** Of a change, while others change the same thing. */
const ATTEMPTS_MAX = 20;

/** What a client declares. The kind is checked. */
export interface ExchangeDeclaration extends Omit<ExchangeDefinition, 'kind'> {
  readonly kind: string;
}

export class Topology {
  readonly #options: TopologyOptions;
  readonly #limits: Required<TopologyLimits>;
  readonly #virtualHosts = new Map<string, VirtualHost>();
  readonly #byId = new Map<number, VirtualHost>();
  #store!: TopologyStore;
  #opened: boolean = false;
  /** The last of the changes of one thing that must not run at once, by kind, virtual host and name. */
  readonly #queued = new Map<string, Promise<unknown>>();
  /** Bindings being stored, by exchange: it must not be taken for unused. */
  readonly #binding = new Map<VirtualHost, Map<string, number>>();

  /** Reads what is stored. If nothing ever was, the virtual host "/" is created. */
  static async open(options: TopologyOptions): Promise<Topology> {
    const topology = new Topology(options);
    const { coordinator, clock, logger, onFailure } = options;
    topology.#store = await TopologyStore.open({
      coordinator,
      clock,
      onFailure,
      onSet: (definition) => topology.#onSet(definition),
      onRemoved: (definition) => topology.#onRemoved(definition),
      ...(logger === undefined ? {} : { logger }),
    });
    if (topology.#virtualHosts.size === 0) await topology.createVirtualHost(DEFAULT_VIRTUAL_HOST);
    topology.#opened = true;
    topology.#store.sweep();
    return topology;
  }

  /** @internal Use {@link Topology.open}. */
  constructor(options: TopologyOptions) {
    this.#options = options;
    this.#limits = { ...LIMITS, ...options.limits };
  }

  // Virtual hosts.

  virtualHosts(): string[] {
    return [...this.#virtualHosts.keys()];
  }

  /** Undefined: there is none of this name. */
  virtualHostId(name: string): number | undefined {
    return this.#virtualHosts.get(name)?.id;
  }

  /** Nothing if it is there. @throws BurrowError INVALID_NAME, INVALID_ARGUMENT */
  async createVirtualHost(name: string): Promise<void> {
    checkAmqpName(name, 'virtual host');
    if (name === '') throw new BurrowError('INVALID_NAME', 'A virtual host needs a name.');
    await this.#untilDone(async () => {
      if (this.#virtualHosts.has(name)) return true;
      this.#checkLimit(this.#virtualHosts.size, 'virtualHostsMax', 'virtual hosts');
      return this.#store.createVirtualHost(name);
    });
  }

  /** With all that is in it. @throws BurrowError VHOST_NOT_FOUND */
  async deleteVirtualHost(name: string): Promise<void> {
    this.#virtualHost(name);
    await this.#untilDone(async () => !this.#virtualHosts.has(name) || this.#store.deleteVirtualHost(name));
  }

  /** For publishing. @throws BurrowError VHOST_NOT_FOUND */
  router(virtualHost: string): Router {
    return this.#virtualHost(virtualHost).router;
  }

  // Exchanges.

  /**
   * Nothing if it is there and the same.
   * @throws BurrowError VHOST_NOT_FOUND, COMMAND_INVALID for an unknown kind, ACCESS_REFUSED, INVALID_NAME,
   * INVALID_ARGUMENT, DECLARED_DIFFERENTLY
   */
  async declareExchange(virtualHost: string, declaration: ExchangeDeclaration): Promise<void> {
    const { name } = declaration;
    const kind = checkExchangeKind(declaration.kind);
    checkNotDefault(name);
    const exchange: ExchangeDefinition = { ...declaration, kind };
    await this.#alone(virtualHost, 'exchange', name, async () => {
      const host = this.#virtualHost(virtualHost);
      const current = host.router.exchange(name);
      if (current !== undefined) {
        checkSameExchange(virtualHost, current, exchange);
        return true;
      }
      checkNotReserved('exchange', name);
      checkExchange(virtualHost, exchange);
      this.#checkLimit(host.exchangesCount, 'exchangesMax', 'exchanges');
      if (exchange.durable) return this.#store.createExchange(host, exchange);
      host.addExchange(exchange, undefined);
      return true;
    });
  }

  /** Passive declaration. @throws BurrowError VHOST_NOT_FOUND, ACCESS_REFUSED, EXCHANGE_NOT_FOUND */
  checkExchangeExists(virtualHost: string, name: string): ExchangeDefinition {
    const { router } = this.#virtualHost(virtualHost);
    checkNotDefault(name);
    const exchange = router.exchange(name);
    if (exchange === undefined) throw router.exchangeNotFound(name);
    return exchange;
  }

  /** Nothing if it is not there. @throws BurrowError VHOST_NOT_FOUND, ACCESS_REFUSED, IN_USE */
  async deleteExchange(
    virtualHost: string,
    name: string,
    options: { readonly ifUnused?: boolean } = {},
  ): Promise<void> {
    const host = this.#virtualHost(virtualHost);
    checkNotDefault(name);
    if (name.startsWith(RESERVED_PREFIX)) {
      throw refused(`deletion of system ${resourceText('exchange', name, virtualHost)} not allowed`);
    }
    await this.#removeExchange(host, name, () => {
      if (options.ifUnused !== true || this.#isUnused(host, name)) return true;
      throw new BurrowError('IN_USE', `${resourceText('exchange', name, virtualHost)} in use`);
    });
  }

  /** With those that every virtual host has. @throws BurrowError VHOST_NOT_FOUND */
  exchanges(virtualHost: string): ExchangeDefinition[] {
    return [...this.#virtualHost(virtualHost).router.exchanges()];
  }

  // Bindings.

  /**
   * Nothing if there is such a binding.
   * @throws BurrowError VHOST_NOT_FOUND, ACCESS_REFUSED, EXCHANGE_NOT_FOUND, QUEUE_NOT_FOUND,
   * UNKNOWN_TOPIC_OR_PARTITION, INVALID_NAME, INVALID_ARGUMENT
   */
  async bind(virtualHost: string, binding: BindingDefinition): Promise<void> {
    checkNotDefault(binding.source);
    if (binding.destinationKind === 'exchange') checkNotDefault(binding.destination);
    await this.#untilDone(async () => {
      const host = this.#virtualHost(virtualHost);
      const source = host.router.exchange(binding.source);
      if (source === undefined) throw host.router.exchangeNotFound(binding.source);
      this.#checkDestination(host, binding);
      checkBinding(virtualHost, source, binding);
      if (host.router.hasBinding(binding)) return true;
      this.#checkLimit(host.bindingsCount, 'bindingsMax', 'bindings');
      this.#checkWeight(host, binding);
      const sourceIncarnation = host.exchangeIncarnation(binding.source);
      const destinationIncarnation = this.#destinationIncarnation(host, binding);
      if (sourceIncarnation === undefined || destinationIncarnation === undefined) {
        host.addBinding(binding, undefined);
        return true;
      }
      const pending = this.#pendingBindings(host);
      pending.set(source.name, (pending.get(source.name) ?? 0) + 1);
      try {
        return await this.#store.addBinding(host, { ...binding, sourceIncarnation, destinationIncarnation });
      } finally {
        pending.set(source.name, pending.get(source.name)! - 1);
        if (pending.get(source.name) === 0) pending.delete(source.name);
      }
    });
  }

  /** Nothing if there is no such binding, or its ends are not there. @throws BurrowError VHOST_NOT_FOUND, ACCESS_REFUSED */
  async unbind(virtualHost: string, binding: BindingDefinition): Promise<void> {
    const host = this.#virtualHost(virtualHost);
    checkNotDefault(binding.source);
    if (binding.destinationKind === 'exchange') checkNotDefault(binding.destination);
    if (!host.router.hasBinding(binding)) return;
    const hash = bindingHash(binding);
    await this.#untilDone(async () => {
      if (host.isStoredBinding(hash)) return this.#store.removeBinding(host, hash);
      host.dropBinding(binding);
      return true;
    });
    await this.#deleteUnused(host, [binding]);
  }

  /** A number that nothing else of the cluster has had; undefined if the exchange is not stored, or not there. */
  exchangeIncarnation(virtualHost: string, name: string): number | undefined {
    return this.#virtualHost(virtualHost).exchangeIncarnation(name);
  }

  /** All but those to the default exchange. @throws BurrowError VHOST_NOT_FOUND */
  bindings(virtualHost: string): BindingDefinition[] {
    const { router } = this.#virtualHost(virtualHost);
    return Array.from(router.exchanges(), ({ name }) => router.bindingsFrom(name)).flat();
  }

  // Queues: their definitions only.

  /**
   * Keeps the definition, which must be checked, and makes the queue known to the router. If there is one of this name,
   * nothing changes. For names that clients chose, call {@link checkNotReserved} before.
   * @throws BurrowError VHOST_NOT_FOUND
   */
  async createQueue(
    virtualHost: string,
    queue: QueueDefinition,
  ): Promise<{ created: boolean; queue: QueueDefinition }> {
    let created = false;
    await this.#alone(virtualHost, 'queue', queue.name, async () => {
      const host = this.#virtualHost(virtualHost);
      if (host.queue(queue.name) !== undefined) return true;
      if (isStoredQueue(queue)) created = await this.#store.createQueue(host, queue);
      else {
        host.addQueue(queue, undefined);
        created = true;
      }
      return created;
    });
    return { created, queue: this.#virtualHost(virtualHost).queue(queue.name) ?? queue };
  }

  /**
   * To be called when a queue was deleted: its definition and bindings go, and the auto-delete exchanges that were bound
   * to nothing else. Nothing if it is not there.
   */
  async queueGone(virtualHost: string, name: string): Promise<void> {
    const host = this.#virtualHosts.get(virtualHost);
    if (host === undefined) return;
    const bindings = host.router.bindingsTo('queue', name);
    await this.#alone(virtualHost, 'queue', name, async () => {
      if (host.queue(name) === undefined) return true;
      if (host.queueIncarnation(name) !== undefined) return this.#store.deleteQueue(host, name);
      host.dropQueue(name);
      return true;
    });
    await this.#deleteUnused(host, bindings);
  }

  /** @throws BurrowError VHOST_NOT_FOUND, QUEUE_NOT_FOUND */
  checkQueueExists(virtualHost: string, name: string): QueueDefinition {
    const queue = this.#virtualHost(virtualHost).queue(name);
    if (queue === undefined) throw queueNotFound(virtualHost, name);
    return queue;
  }

  /** @throws BurrowError VHOST_NOT_FOUND */
  queues(virtualHost: string): QueueDefinition[] {
    return [...this.#virtualHost(virtualHost).queues()];
  }

  /** With the policy that applies now. @throws BurrowError VHOST_NOT_FOUND */
  queueSettings(virtualHost: string, name: string, queueArguments: FieldTable): QueueSettings {
    const { policies } = this.#virtualHost(virtualHost);
    return resolveQueueSettings(queueArguments, policies.forQueue(name, queueArguments));
  }

  /** The policy that applies to a queue now. @throws BurrowError VHOST_NOT_FOUND */
  queuePolicy(virtualHost: string, { name, arguments: table }: QueueDefinition): PolicyDefinition | undefined {
    return this.#virtualHost(virtualHost).policies.forQueue(name, table);
  }

  /** A number that no other queue of the cluster has had; undefined if the queue is not stored, or not there. */
  queueIncarnation(virtualHost: string, name: string): number | undefined {
    return this.#virtualHost(virtualHost).queueIncarnation(name);
  }

  /** To be called when a topic was deleted: bindings to it go. */
  async topicGone(name: string): Promise<void> {
    for (const host of [...this.#virtualHosts.values()]) {
      const bindings = host.router.bindingsTo('topic', name);
      this.#store.sweepUp(host, { bindings: host.dropTopic(name) });
      await this.#deleteUnused(host, bindings);
    }
  }

  // Policies.

  /** Sets or replaces it. @throws BurrowError VHOST_NOT_FOUND, INVALID_NAME, INVALID_ARGUMENT */
  async setPolicy(virtualHost: string, policy: PolicyDeclaration): Promise<void> {
    checkPolicy(policy);
    await this.#untilDone(async () => {
      const host = this.#virtualHost(virtualHost);
      if (host.policies.get(policy.name) === undefined) {
        this.#checkLimit(host.policies.count, 'policiesMax', 'policies');
      }
      return this.#store.setPolicy(host, policy);
    });
  }

  /** Nothing if it is not there. @throws BurrowError VHOST_NOT_FOUND */
  async deletePolicy(virtualHost: string, name: string): Promise<void> {
    const host = this.#virtualHost(virtualHost);
    await this.#untilDone(async () => this.#store.deletePolicy(host, name));
  }

  /** @throws BurrowError VHOST_NOT_FOUND */
  policies(virtualHost: string): PolicyDefinition[] {
    return [...this.#virtualHost(virtualHost).policies.all()];
  }

  /** Resolves when what deleted things left in the coordinator is gone. */
  swept(): Promise<void> {
    return this.#store.swept();
  }

  /** No event is told afterwards. The coordinator stays open. */
  async close(): Promise<void> {
    this.#opened = false;
    await this.#store.close();
  }

  // What is stored, as it becomes known.

  #onSet(definition: StoredDefinition): boolean {
    if (definition.kind === 'virtual-host') {
      const known = this.#virtualHosts.get(definition.name);
      if (known?.id === definition.id) return true;
      if (known !== undefined) this.#dropVirtualHost(known);
      const { rememberedRoutesMax } = this.#limits;
      const host = new VirtualHost(definition, { rememberedRoutesMax }, (event) => this.#tell(event));
      this.#virtualHosts.set(host.name, host);
      this.#byId.set(host.id, host);
      this.#tell({ kind: 'virtual-host-created', virtualHost: host.name });
      return true;
    }
    const host = this.#byId.get(definition.virtualHostId);
    if (host === undefined) return false;
    switch (definition.kind) {
      case 'exchange': {
        const { exchange, incarnation } = definition;
        if (host.exchangeIncarnation(exchange.name) === incarnation) return true;
        // Deleted and created again while nobody looked.
        host.dropExchange(exchange.name);
        host.addExchange(exchange, incarnation);
        return true;
      }
      case 'queue': {
        const { queue, incarnation } = definition;
        if (host.queueIncarnation(queue.name) === incarnation) return true;
        host.dropQueue(queue.name);
        host.addQueue(queue, incarnation);
        return true;
      }
      case 'policy':
        host.setPolicy(definition.policy);
        return true;
      case 'binding': {
        const { sourceIncarnation, destinationIncarnation, ...binding } = definition.binding;
        if (host.exchangeIncarnation(binding.source) !== sourceIncarnation) return false;
        if (this.#destinationIncarnation(host, binding) !== destinationIncarnation) return false;
        host.addBinding(binding, definition.hash);
        return true;
      }
    }
  }

  #onRemoved(removed: RemovedDefinition): void {
    if (removed.kind === 'virtual-host') {
      const host = this.#virtualHosts.get(removed.name);
      if (host !== undefined) this.#dropVirtualHost(host);
      return;
    }
    const host = this.#byId.get(removed.virtualHostId);
    if (host === undefined) return;
    const { kind, name } = removed;
    if (kind === 'exchange') this.#store.sweepUp(host, { bindings: host.dropExchange(name) });
    else if (kind === 'queue') this.#store.sweepUp(host, { bindings: host.dropQueue(name) });
    else if (kind === 'policy') host.dropPolicy(name);
    else host.dropStoredBinding(name);
  }

  #dropVirtualHost(host: VirtualHost): void {
    this.#virtualHosts.delete(host.name);
    this.#byId.delete(host.id);
    this.#tell({ kind: 'virtual-host-deleted', virtualHost: host.name });
    this.#store.sweepUp(host, host.stored());
  }

  #tell(event: TopologyEvent): void {
    if (this.#opened) this.#options.onEvent(event);
  }

  // Deleting exchanges.

  /** @param check - asked just before; false, or what it throws, leaves the exchange */
  async #removeExchange(host: VirtualHost, name: string, check: () => boolean): Promise<void> {
    let bindings: BindingDefinition[] = [];
    await this.#alone(host.name, 'exchange', name, async () => {
      if (host.router.exchange(name) === undefined || !check()) return true;
      bindings = host.router.bindingsTo('exchange', name);
      if (host.exchangeIncarnation(name) !== undefined) return this.#store.deleteExchange(host, name);
      this.#store.sweepUp(host, { bindings: host.dropExchange(name) });
      return true;
    });
    await this.#deleteUnused(host, bindings);
  }

  /** The auto-delete exchanges among the sources of bindings that went, if these were their last ones. */
  async #deleteUnused(host: VirtualHost, gone: readonly BindingDefinition[]): Promise<void> {
    for (const name of new Set(gone.map(({ source }) => source))) {
      if (host.router.exchange(name)?.autoDelete !== true) continue;
      await this.#removeExchange(host, name, () => this.#isUnused(host, name));
    }
  }

  #isUnused(host: VirtualHost, name: string): boolean {
    return host.router.bindingsFromCount(name) === 0 && this.#binding.get(host)?.has(name) !== true;
  }

  #pendingBindings(host: VirtualHost): Map<string, number> {
    let pending = this.#binding.get(host);
    if (pending === undefined) {
      pending = new Map();
      this.#binding.set(host, pending);
    }
    return pending;
  }

  // Checks.

  #virtualHost(name: string): VirtualHost {
    const host = this.#virtualHosts.get(name);
    if (host === undefined) throw new BurrowError('VHOST_NOT_FOUND', `vhost ${name} not found`);
    return host;
  }

  #checkDestination({ name, router }: VirtualHost, binding: BindingDefinition): void {
    const { destinationKind, destination } = binding;
    if (destinationKind === 'queue' && !router.hasQueue(destination)) throw queueNotFound(name, destination);
    if (destinationKind === 'exchange' && router.exchange(destination) === undefined) {
      throw router.exchangeNotFound(destination);
    }
    if (destinationKind === 'topic' && this.#options.topicId(destination) === undefined) {
      throw new BurrowError('UNKNOWN_TOPIC_OR_PARTITION', `Topic ${JSON.stringify(destination)} does not exist.`);
    }
  }

  /** Undefined: it is not stored, or not there. */
  #destinationIncarnation(host: VirtualHost, binding: BindingDefinition): number | string | undefined {
    const { destinationKind, destination } = binding;
    if (destinationKind === 'topic') return this.#options.topicId(destination);
    return destinationKind === 'queue' ? host.queueIncarnation(destination) : host.exchangeIncarnation(destination);
  }

  #checkWeight({ router }: VirtualHost, { source, bindingKey }: BindingDefinition): void {
    const total = router.totalWeight(source);
    if (total === 0) return;
    const max = this.#limits.hashWeightTotalMax;
    if (total + Number(bindingKey) > max) {
      throw new BurrowError('INVALID_ARGUMENT', `The weights of this exchange would add up to more than ${max}.`);
    }
  }

  #checkLimit(count: number, limit: keyof TopologyLimits, what: string): void {
    if (count < this.#limits[limit]) return;
    throw new BurrowError(
      'INVALID_ARGUMENT',
      `There are ${count} ${what} already; the limit is ${this.#limits[limit]}.`,
      {
        fields: { limit },
      },
    );
  }

  // Changes at the same time.

  /** Runs changes of one thing one after the other, each until it is done. */
  async #alone(virtualHost: string, kind: string, name: string, change: () => Promise<boolean>): Promise<void> {
    const key = JSON.stringify([kind, virtualHost, name]);
    const before = this.#queued.get(key);
    const mine = (before ?? Promise.resolve()).then(() => this.#untilDone(change));
    const settled = mine.catch(() => {});
    this.#queued.set(key, settled);
    try {
      await mine;
    } finally {
      if (this.#queued.get(key) === settled) this.#queued.delete(key);
    }
  }

  /** Compare-and-set: again, while others change the same thing at the same time. */
  async #untilDone(change: () => Promise<boolean>): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) if (await change()) return;
    throw new BurrowError('CONFLICT', `Others changed the same definition ${ATTEMPTS_MAX} times in a row. Retry.`);
  }
}

/**
 * For names that clients choose.
 * @throws BurrowError ACCESS_REFUSED if it begins with "amq."
 */
export function checkNotReserved(kind: 'exchange' | 'queue', name: string): void {
  if (name.startsWith(RESERVED_PREFIX)) throw refused(`${kind} name '${name}' contains reserved prefix 'amq.*'`);
}

function checkNotDefault(exchange: string): void {
  if (exchange === DEFAULT_EXCHANGE) throw refused('operation not permitted on the default exchange');
}

function queueNotFound(virtualHost: string, name: string): BurrowError {
  return new BurrowError('QUEUE_NOT_FOUND', `no ${resourceText('queue', name, virtualHost)}`, {
    fields: { queue: name },
  });
}

function refused(text: string): BurrowError {
  return new BurrowError('ACCESS_REFUSED', text);
}
