/**
 * Virtual hosts with their exchanges, queues, bindings and policies, as the coordinator keeps them. Only what is durable
 * is here. This writes, reads and tells; what the definitions mean together is the business of `exchanges/topology.ts`.
 *
 *     amqp/virtual-hosts/<name>               {"format":1, "createdAtMs":…, "arguments":{}}
 *     amqp/exchanges/<virtual host id>/<name>     exchange-definition.ts
 *     amqp/queues/<virtual host id>/<name>        queue-definition.ts
 *     amqp/bindings/<virtual host id>/<hash>      binding-definition.ts
 *     amqp/policies/<virtual host id>/<name>      policy-definition.ts
 *
 * The id of a virtual host is the coordinator's revision at which it was created, as the incarnation of an exchange or
 * queue is. So deleting one of them, whatever belongs to it, is one small transaction: what belonged to it names an id
 * that is no more, means nothing from then on, and is swept up afterwards.
 */
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import type { Coordinator, CoordinatorEntry, CoordinatorTransaction } from '../coordinator/coordinator.ts';
import { CoordinatorMirror } from '../coordinator/mirror.ts';
import type { Clock } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import { bindingHash, decodeBinding, encodeBinding, type StoredBinding } from './binding-definition.ts';
import { decodeExchange, type ExchangeDefinition, encodeExchange } from './exchange-definition.ts';
import { decodePolicy, encodePolicy, type PolicyDefinition } from './policy-definition.ts';
import { decodeQueue, encodeQueue, type QueueDefinition } from './queue-definition.ts';
import { decodeStored, encodeStored } from './stored-definition.ts';
import { corrupt } from './topic-definition.ts';

const PREFIX = 'amqp/';
const VIRTUAL_HOST = 'virtual-hosts';
const EXCHANGE = 'exchanges';
const QUEUE = 'queues';
const BINDING = 'bindings';
const POLICY = 'policies';
/** What others need comes first. */
const ORDER = [VIRTUAL_HOST, POLICY, EXCHANGE, QUEUE, BINDING];
/** Keys of one transaction of a sweep: well within the limits of a coordinator. */
const SWEEP_KEYS = 100;

/** Name and id of a virtual host. */
export interface VirtualHostRef {
  readonly name: string;
  readonly id: number;
}

export type StoredDefinition =
  | { readonly kind: 'virtual-host'; readonly name: string; readonly id: number }
  | {
      readonly kind: 'exchange';
      readonly virtualHostId: number;
      readonly incarnation: number;
      readonly exchange: ExchangeDefinition;
    }
  | {
      readonly kind: 'queue';
      readonly virtualHostId: number;
      readonly incarnation: number;
      readonly queue: QueueDefinition;
    }
  | {
      readonly kind: 'binding';
      readonly virtualHostId: number;
      readonly hash: string;
      readonly binding: StoredBinding;
    }
  | { readonly kind: 'policy'; readonly virtualHostId: number; readonly policy: PolicyDefinition };

export type RemovedDefinition =
  | { readonly kind: 'virtual-host'; readonly name: string }
  /** The name is a hash for bindings. */
  | {
      readonly kind: 'exchange' | 'queue' | 'binding' | 'policy';
      readonly virtualHostId: number;
      readonly name: string;
    };

export interface TopologyStoreOptions {
  readonly coordinator: Coordinator;
  readonly clock: Clock;
  readonly logger?: Logger;
  /**
   * A definition was set: created, or another one of its name. Also told of all that is there when the store is opened.
   * @returns false if it means nothing, since what it belongs to is not there: it will be swept up
   */
  readonly onSet: (definition: StoredDefinition) => boolean;
  readonly onRemoved: (definition: RemovedDefinition) => void;
  readonly onFailure: (error: BurrowError) => void;
}

export class TopologyStore {
  readonly #options: TopologyStoreOptions;
  #mirror!: CoordinatorMirror;
  /** Keys of what means nothing. */
  readonly #leftovers = new Set<string>();
  #sweeping: Promise<void> | undefined;

  /** Tells of all that is stored, then follows changes. */
  static async open(options: TopologyStoreOptions): Promise<TopologyStore> {
    const store = new TopologyStore(options);
    const { coordinator, logger, onFailure } = options;
    store.#mirror = await CoordinatorMirror.open({
      coordinator,
      prefix: PREFIX,
      apply: (set, removed) => store.#apply(set, removed),
      onFailure,
      ...(logger === undefined ? {} : { logger }),
    });
    return store;
  }

  /** @internal Use {@link TopologyStore.open}. */
  constructor(options: TopologyStoreOptions) {
    this.#options = options;
  }

  // Each resolves with true when the change is durable and was told; with false if something else changed first: look
  // again at what is there, and decide again.

  createVirtualHost(name: string): Promise<boolean> {
    const key = virtualHostKey(name);
    const value = encodeStored({ createdAtMs: this.#options.clock.now() }, new Map());
    return this.#commit({ if: [{ key, revision: 0 }], set: [{ key, value }] });
  }

  deleteVirtualHost(name: string): Promise<boolean> {
    return this.#remove(virtualHostKey(name));
  }

  createExchange(virtualHost: VirtualHostRef, exchange: ExchangeDefinition): Promise<boolean> {
    return this.#create(virtualHost, EXCHANGE, exchange.name, encodeExchange(exchange));
  }

  deleteExchange({ id }: VirtualHostRef, name: string): Promise<boolean> {
    return this.#remove(definitionKey(EXCHANGE, id, name));
  }

  createQueue(virtualHost: VirtualHostRef, queue: QueueDefinition): Promise<boolean> {
    return this.#create(virtualHost, QUEUE, queue.name, encodeQueue(queue));
  }

  deleteQueue({ id }: VirtualHostRef, name: string): Promise<boolean> {
    return this.#remove(definitionKey(QUEUE, id, name));
  }

  setPolicy(virtualHost: VirtualHostRef, policy: PolicyDefinition): Promise<boolean> {
    const key = definitionKey(POLICY, virtualHost.id, policy.name);
    return this.#commit({ if: [isThere(virtualHost)], set: [{ key, value: encodePolicy(policy) }] });
  }

  deletePolicy({ id }: VirtualHostRef, name: string): Promise<boolean> {
    return this.#remove(definitionKey(POLICY, id, name));
  }

  /** The ends must be there: the change is made only if they still are then. */
  addBinding(virtualHost: VirtualHostRef, binding: StoredBinding): Promise<boolean> {
    const { id } = virtualHost;
    const ends: string[] = [];
    if (binding.sourceIncarnation !== 0) ends.push(definitionKey(EXCHANGE, id, binding.source));
    // Topics are not stored here: a binding to one that is being deleted is swept up when its end is told.
    if (binding.destinationKind === 'queue') ends.push(definitionKey(QUEUE, id, binding.destination));
    if (binding.destinationKind === 'exchange' && binding.destinationIncarnation !== 0) {
      ends.push(definitionKey(EXCHANGE, id, binding.destination));
    }
    const key = definitionKey(BINDING, id, bindingHash(binding));
    return this.#commit({
      if: [
        isThere(virtualHost),
        ...[...new Set(ends), key].map((each) => ({ key: each, revision: this.#mirror.revisionOf(each) })),
      ],
      set: [{ key, value: encodeBinding(binding) }],
    });
  }

  /** @param hash - see {@link bindingHash} */
  removeBinding({ id }: VirtualHostRef, hash: string): Promise<boolean> {
    return this.#remove(definitionKey(BINDING, id, hash));
  }

  /** What went with an exchange, queue, topic or virtual host; it need not be stored. Bindings go by their hashes. */
  sweepUp(
    { id }: VirtualHostRef,
    gone: {
      readonly exchanges?: Iterable<string>;
      readonly queues?: Iterable<string>;
      readonly bindings?: Iterable<string>;
      readonly policies?: Iterable<string>;
    },
  ): void {
    for (const [kind, names] of Object.entries(gone) as Array<[string, Iterable<string>]>) {
      for (const name of names) {
        const key = definitionKey(kind, id, name);
        if (this.#mirror.revisionOf(key) !== 0) this.#leftovers.add(key);
      }
    }
    this.sweep();
  }

  /** Removes what means nothing. Goes on by itself; a failure leaves it for the next time. */
  sweep(): void {
    if (this.#leftovers.size === 0) return;
    this.#sweeping ??= this.#sweep()
      .catch((error: unknown) => this.#options.logger?.warn({ err: error }, 'leftovers of bindings stay for now'))
      .finally(() => {
        this.#sweeping = undefined;
      });
  }

  /** Resolves when no sweep is under way. */
  async swept(): Promise<void> {
    await this.#sweeping;
  }

  /** Nothing is told afterwards. The coordinator stays open. */
  async close(): Promise<void> {
    this.#leftovers.clear();
    this.#mirror.close();
    await this.#sweeping;
  }

  async #sweep(): Promise<void> {
    while (this.#leftovers.size > 0) {
      const keys = [...this.#leftovers].slice(0, SWEEP_KEYS);
      const done = await this.#commit(this.#removal(keys));
      // One of them was made anew in the meantime: then each by itself.
      if (!done) for (const key of keys) await this.#commit(this.#removal([key]));
      for (const key of keys) this.#leftovers.delete(key);
    }
  }

  /** Of keys as they are now, as far as they are there and still mean nothing. */
  #removal(keys: readonly string[]): CoordinatorTransaction {
    const present = keys.filter((key) => this.#leftovers.has(key) && this.#mirror.revisionOf(key) !== 0);
    return { if: present.map((key) => ({ key, revision: this.#mirror.revisionOf(key) })), remove: present };
  }

  async #commit(transaction: CoordinatorTransaction): Promise<boolean> {
    return (await this.#mirror.transaction(transaction)) !== undefined;
  }

  #create(virtualHost: VirtualHostRef, kind: string, name: string, value: string): Promise<boolean> {
    const key = definitionKey(kind, virtualHost.id, name);
    return this.#commit({ if: [isThere(virtualHost), { key, revision: 0 }], set: [{ key, value }] });
  }

  async #remove(key: string): Promise<boolean> {
    const revision = this.#mirror.revisionOf(key);
    return revision === 0 || (await this.#commit({ if: [{ key, revision }], remove: [key] }));
  }

  #apply(set: readonly CoordinatorEntry[], removed: readonly string[]): void {
    // Decoded before anything is told, so that a bad entry leaves nothing half done.
    const decoded = set.map((entry) => ({ key: entry.key, order: orderOf(entry.key), definition: decodeEntry(entry) }));
    decoded.sort((a, b) => a.order - b.order);
    for (const key of removed) {
      this.#leftovers.delete(key);
      this.#options.onRemoved(decodeKey(key));
    }
    for (const { key, definition } of decoded) {
      if (this.#options.onSet(definition)) this.#leftovers.delete(key);
      else this.#leftovers.add(key);
    }
  }
}

function isThere({ name, id }: VirtualHostRef): { key: string; revision: number } {
  return { key: virtualHostKey(name), revision: id };
}

function virtualHostKey(name: string): string {
  return `${PREFIX}${VIRTUAL_HOST}/${name}`;
}

function definitionKey(kind: string, virtualHostId: number, name: string): string {
  return `${PREFIX}${kind}/${virtualHostId}/${name}`;
}

function orderOf(key: string): number {
  return ORDER.indexOf(kindOf(key));
}

function kindOf(key: string): string {
  return key.slice(PREFIX.length, key.indexOf('/', PREFIX.length));
}

function decodeKey(key: string): RemovedDefinition {
  const kind = kindOf(key);
  const rest = key.slice(PREFIX.length + kind.length + 1);
  if (kind === VIRTUAL_HOST) return { kind: 'virtual-host', name: rest };
  const slash = rest.indexOf('/');
  const virtualHostId = Number(rest.slice(0, slash));
  const name = rest.slice(slash + 1);
  const kinds = { [EXCHANGE]: 'exchange', [QUEUE]: 'queue', [BINDING]: 'binding', [POLICY]: 'policy' } as const;
  if (!ORDER.includes(kind) || slash < 1 || !Number.isSafeInteger(virtualHostId))
    throw corrupt(key, 'has no known key');
  return { kind: kinds[kind as keyof typeof kinds], virtualHostId, name };
}

function decodeEntry({ key, value, createRevision }: CoordinatorEntry): StoredDefinition {
  const decoded = decodeKey(key);
  if (decoded.kind === 'virtual-host') {
    decodeStored(key, value, () => undefined);
    return { ...decoded, id: createRevision };
  }
  const { kind, virtualHostId, name } = decoded;
  const incarnation = createRevision;
  switch (kind) {
    case 'exchange':
      return { kind, virtualHostId, incarnation, exchange: decodeExchange(key, name, value) };
    case 'queue':
      return { kind, virtualHostId, incarnation, queue: decodeQueue(key, name, value) };
    case 'policy':
      return { kind, virtualHostId, policy: decodePolicy(key, name, value) };
    case 'binding':
      return { kind, virtualHostId, hash: name, binding: decodeBinding(key, value) };
  }
}
