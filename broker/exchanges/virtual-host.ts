/**
 * A virtual host in memory: its router, queues and policies, and which of them are stored. Changes come from
 * `topology.ts`, when they are durable or need not be; each is told once.
 */
import { type BindingDefinition, bindingHash } from '../definitions/binding-definition.ts';
import {
  DEFAULT_EXCHANGE,
  type ExchangeDefinition,
  PREDECLARED_EXCHANGES,
} from '../definitions/exchange-definition.ts';
import { alternateExchangeOf, type PolicyDefinition, PolicySet } from '../definitions/policy-definition.ts';
import type { QueueDefinition } from '../definitions/queue-definition.ts';
import { Router } from './router.ts';

export type TopologyEvent =
  | { readonly kind: 'virtual-host-created' | 'virtual-host-deleted'; readonly virtualHost: string }
  | {
      readonly kind: 'exchange-created' | 'exchange-deleted';
      readonly virtualHost: string;
      readonly exchange: ExchangeDefinition;
    }
  | { readonly kind: 'queue-created' | 'queue-deleted'; readonly virtualHost: string; readonly queue: QueueDefinition }
  | {
      readonly kind: 'binding-created' | 'binding-deleted';
      readonly virtualHost: string;
      readonly binding: BindingDefinition;
    }
  /** Set, changed or deleted: the settings of queues may be others now. */
  | { readonly kind: 'policies-changed'; readonly virtualHost: string };

interface HeldQueue {
  readonly queue: QueueDefinition;
  /** Undefined: not stored. */
  readonly incarnation: number | undefined;
}

export class VirtualHost {
  readonly name: string;
  readonly id: number;
  readonly router: Router;
  readonly policies = new PolicySet();
  readonly #queues = new Map<string, HeldQueue>();
  /** Of stored exchanges; 0 for those that every virtual host has. */
  readonly #exchangeIncarnations = new Map<string, number>();
  /** Those that are stored. */
  readonly #bindingsByHash = new Map<string, BindingDefinition>();
  readonly #tell: (event: TopologyEvent) => void;
  #bindingsCount = 0;
  #exchangesCount = 0;

  constructor(ref: { readonly name: string; readonly id: number }, tell: (event: TopologyEvent) => void) {
    this.name = ref.name;
    this.id = ref.id;
    this.#tell = tell;
    this.router = new Router({ virtualHost: ref.name });
    for (const exchange of PREDECLARED_EXCHANGES) {
      this.router.addExchange(exchange);
      this.#exchangeIncarnations.set(exchange.name, 0);
    }
  }

  get bindingsCount(): number {
    return this.#bindingsCount;
  }

  /** Without those that every virtual host has. */
  get exchangesCount(): number {
    return this.#exchangesCount;
  }

  /** Undefined: there is no such exchange, or it is not stored. */
  exchangeIncarnation(name: string): number | undefined {
    return this.#exchangeIncarnations.get(name);
  }

  /** Undefined: there is no such queue, or it is not stored. */
  queueIncarnation(name: string): number | undefined {
    return this.#queues.get(name)?.incarnation;
  }

  queue(name: string): QueueDefinition | undefined {
    return this.#queues.get(name)?.queue;
  }

  *queues(): IterableIterator<QueueDefinition> {
    for (const { queue } of this.#queues.values()) yield queue;
  }

  isStoredBinding(hash: string): boolean {
    return this.#bindingsByHash.has(hash);
  }

  /** Names, for bindings hashes, of what is stored. */
  stored(): { exchanges: string[]; queues: string[]; bindings: string[]; policies: string[] } {
    return {
      exchanges: [...this.#exchangeIncarnations.keys()].filter((name) => this.#exchangeIncarnations.get(name) !== 0),
      queues: [...this.#queues.keys()].filter((name) => this.queueIncarnation(name) !== undefined),
      bindings: [...this.#bindingsByHash.keys()],
      policies: Array.from(this.policies.all(), ({ name }) => name),
    };
  }

  /** @param incarnation - undefined: it is not stored */
  addExchange(exchange: ExchangeDefinition, incarnation: number | undefined): void {
    this.router.addExchange(exchange, this.#alternateOf(exchange));
    if (incarnation !== undefined) this.#exchangeIncarnations.set(exchange.name, incarnation);
    this.#exchangesCount++;
    this.#tell({ kind: 'exchange-created', virtualHost: this.name, exchange });
  }

  /** Returns the hashes of the stored bindings that went with it. Nothing if it is not there. */
  dropExchange(name: string): string[] {
    const exchange = this.router.exchange(name);
    if (exchange === undefined) return [];
    const hashes = this.#forgetBindings(this.router.removeExchange(name));
    this.#exchangeIncarnations.delete(name);
    this.#exchangesCount--;
    this.#tell({ kind: 'exchange-deleted', virtualHost: this.name, exchange });
    return hashes;
  }

  /** @param incarnation - undefined: it is not stored */
  addQueue(queue: QueueDefinition, incarnation: number | undefined): void {
    this.#queues.set(queue.name, { queue, incarnation });
    this.router.addQueue(queue.name);
    this.#tell({ kind: 'queue-created', virtualHost: this.name, queue });
  }

  /** Returns the hashes of the stored bindings that went with it. Nothing if it is not there. */
  dropQueue(name: string): string[] {
    const queue = this.queue(name);
    if (queue === undefined) return [];
    const hashes = this.#forgetBindings(this.router.removeQueue(name));
    this.#queues.delete(name);
    this.#tell({ kind: 'queue-deleted', virtualHost: this.name, queue });
    return hashes;
  }

  /** Returns the hashes of the stored bindings to it. */
  dropTopic(name: string): string[] {
    return this.#forgetBindings(this.router.removeTopic(name));
  }

  /** Nothing if it is there. */
  addBinding(binding: BindingDefinition, stored: boolean): void {
    if (stored) this.#bindingsByHash.set(bindingHash(binding), binding);
    if (!this.router.bind(binding)) return;
    this.#bindingsCount++;
    this.#tell({ kind: 'binding-created', virtualHost: this.name, binding });
  }

  dropBinding(binding: BindingDefinition): void {
    if (this.router.unbind(binding)) this.#forgetBindings([binding]);
  }

  dropStoredBinding(hash: string): void {
    const binding = this.#bindingsByHash.get(hash);
    if (binding !== undefined) this.dropBinding(binding);
  }

  setPolicy(policy: PolicyDefinition): void {
    this.policies.set(policy);
    this.#policiesChanged();
  }

  dropPolicy(name: string): void {
    this.policies.delete(name);
    this.#policiesChanged();
  }

  #policiesChanged(): void {
    for (const exchange of this.router.exchanges()) {
      this.router.setAlternateExchange(exchange.name, this.#alternateOf(exchange));
    }
    this.#tell({ kind: 'policies-changed', virtualHost: this.name });
  }

  #alternateOf({ name, arguments: table }: ExchangeDefinition): string | undefined {
    if (name === DEFAULT_EXCHANGE) return undefined;
    return alternateExchangeOf(table, this.policies.forExchange(name));
  }

  #forgetBindings(bindings: readonly BindingDefinition[]): string[] {
    const hashes: string[] = [];
    for (const binding of bindings) {
      const hash = bindingHash(binding);
      if (this.#bindingsByHash.delete(hash)) hashes.push(hash);
      this.#bindingsCount--;
      this.#tell({ kind: 'binding-deleted', virtualHost: this.name, binding });
    }
    return hashes;
  }
}
