/**
 * Decides where messages of one virtual host go: exchange and message in, queues and topics out. Knows exchanges,
 * bindings and the names of queues; does no I/O, stores nothing and checks no declarations (`topology.ts` does).
 *
 * A route follows bindings to other exchanges, through each at most once, and names each destination once, however many
 * bindings lead there. If none of an exchange's bindings match, its alternate exchange is tried, if there is one.
 *
 * Routes that depend on routing keys alone are remembered until bindings or exchanges change.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { type BindingDefinition, bindingIdentity, type DestinationKind } from '../definitions/binding-definition.ts';
import { resourceText } from '../definitions/equivalence.ts';
import { DEFAULT_EXCHANGE, type ExchangeDefinition, matchingKind } from '../definitions/exchange-definition.ts';
import type { BindingMatcher, RoutableMessage } from './binding-matcher.ts';
import { delayMs } from './delay.ts';
import type { Destination, RouteTarget } from './destination.ts';
import { DirectBindings } from './direct-bindings.ts';
import { addExtraRoutingKeys } from './extra-routing-keys.ts';
import { FanoutBindings } from './fanout-bindings.ts';
import { HashBindings } from './hash-bindings.ts';
import { HeadersBindings } from './headers-bindings.ts';
import { QueueNames } from './queue-names.ts';
import { TopicTrie } from './topic-trie.ts';

export interface RouterOptions {
  /** For error texts. */
  readonly virtualHost: string;
  /** Routes that are remembered, of all exchanges together. 0: none. Default 65,536. */
  readonly rememberedRoutesMax?: number;
}

const REMEMBERED_ROUTES_MAX = 65_536;
const NOWHERE: readonly RouteTarget[] = [];

interface RouterBinding {
  readonly definition: BindingDefinition;
  readonly source: Exchange;
  readonly destination: Exchange | Leaf;
  readonly bindingKey: string;
  readonly arguments: BindingDefinition['arguments'];
}

/** A queue or topic. */
class Leaf implements Destination, RouteTarget {
  readonly kind: 'queue' | 'topic';
  readonly name: string;
  visit = 0;
  readonly incoming = new Set<RouterBinding>();
  /** The route that leads here only. */
  readonly alone: readonly RouteTarget[] = [this];

  constructor(kind: 'queue' | 'topic', name: string) {
    this.kind = kind;
    this.name = name;
  }
}

class Exchange implements Destination {
  readonly kind = 'exchange';
  readonly name: string;
  readonly definition: ExchangeDefinition;
  readonly matcher: BindingMatcher;
  alternate: string | undefined;
  visit = 0;
  /** Where a message that must wait for this exchange goes; only exchanges that delay have it. */
  readonly delayed: RouteTarget | undefined;
  /** By identity. */
  readonly outgoing = new Map<string, RouterBinding>();
  readonly incoming = new Set<RouterBinding>();
  /** The route of every message, if nothing of the message decides. */
  constantRoute: readonly RouteTarget[] | undefined;
  /** By routing key, of messages without others. */
  readonly routes = new Map<string, readonly RouteTarget[]>();

  constructor(definition: ExchangeDefinition, matcher: BindingMatcher) {
    this.name = definition.name;
    this.definition = definition;
    this.matcher = matcher;
    if (definition.kind === 'x-delayed-message') this.delayed = { kind: 'delayed', name: definition.name };
  }
}

export class Router {
  readonly #virtualHost: string;
  readonly #rememberedRoutesMax: number;
  readonly #exchanges = new Map<string, Exchange>();
  readonly #queues = new Map<string, Leaf>();
  /** Only those with bindings. */
  readonly #topics = new Map<string, Leaf>();
  #rememberedRoutes = 0;
  /** Exchanges with remembered routes. */
  readonly #remembering = new Set<Exchange>();

  // Of the route under way; kept to be used again.
  #visit = 0;
  readonly #work: Exchange[] = [];
  readonly #matched: Destination[] = [];
  readonly #routingKeys: string[] = [];
  /** The most that a visited exchange looked at. */
  #looksAt: BindingMatcher['looksAt'] = 'nothing';

  constructor(options: RouterOptions) {
    this.#virtualHost = options.virtualHost;
    this.#rememberedRoutesMax = options.rememberedRoutesMax ?? REMEMBERED_ROUTES_MAX;
  }

  // Changes. None costs more than what it changes.

  /** The definition must be checked. One of this name must not be there. */
  addExchange(definition: ExchangeDefinition, alternateExchange?: string): void {
    const exchange = new Exchange(definition, this.#matcherOf(definition));
    exchange.alternate = alternateExchange;
    this.#exchanges.set(definition.name, exchange);
    this.#forgetRoutes();
  }

  setAlternateExchange(name: string, alternateExchange: string | undefined): void {
    const exchange = this.#exchanges.get(name);
    if (exchange === undefined || exchange.alternate === alternateExchange) return;
    exchange.alternate = alternateExchange;
    this.#forgetRoutes();
  }

  /** Returns the bindings that went with it: from it and to it. */
  removeExchange(name: string): BindingDefinition[] {
    const exchange = this.#exchanges.get(name);
    if (exchange === undefined) return [];
    this.#exchanges.delete(name);
    this.#forgetRoutes();
    return [
      ...this.#unbindAll([...exchange.outgoing.values()]),
      // A binding to itself is gone by now.
      ...this.#unbindAll([...exchange.incoming]),
    ];
  }

  /** Nothing if it is there. */
  addQueue(name: string): void {
    if (!this.#queues.has(name)) this.#queues.set(name, new Leaf('queue', name));
  }

  /** Returns the bindings that went with it. */
  removeQueue(name: string): BindingDefinition[] {
    const queue = this.#queues.get(name);
    this.#queues.delete(name);
    return queue === undefined ? [] : this.#unbindAll([...queue.incoming]);
  }

  /** Returns the bindings that went with it. */
  removeTopic(name: string): BindingDefinition[] {
    const topic = this.#topics.get(name);
    return topic === undefined ? [] : this.#unbindAll([...topic.incoming]);
  }

  /** Returns false if there is such a binding, or its exchange or queue is not there. Topics are not checked. */
  bind(definition: BindingDefinition): boolean {
    const source = this.#exchanges.get(definition.source);
    const identity = bindingIdentity(definition);
    if (source === undefined || source.outgoing.has(identity)) return false;
    const destination = this.#destination(definition.destinationKind, definition.destination);
    if (destination === undefined) return false;
    const { bindingKey, arguments: table } = definition;
    const binding = { definition, source, destination, bindingKey, arguments: table };
    source.outgoing.set(identity, binding);
    destination.incoming.add(binding);
    source.matcher.add(binding);
    this.#forgetRoutes();
    return true;
  }

  /** Returns false if there is no such binding. */
  unbind(definition: BindingDefinition): boolean {
    const binding = this.#exchanges.get(definition.source)?.outgoing.get(bindingIdentity(definition));
    if (binding === undefined) return false;
    this.#unbindAll([binding]);
    return true;
  }

  // Questions.

  exchange(name: string): ExchangeDefinition | undefined {
    return this.#exchanges.get(name)?.definition;
  }

  /** In no particular order. */
  *exchanges(): IterableIterator<ExchangeDefinition> {
    for (const { definition } of this.#exchanges.values()) yield definition;
  }

  hasQueue(name: string): boolean {
    return this.#queues.has(name);
  }

  hasBinding(definition: BindingDefinition): boolean {
    return this.#exchanges.get(definition.source)?.outgoing.has(bindingIdentity(definition)) === true;
  }

  /** How many bindings the exchange has as a source. */
  bindingsFromCount(exchange: string): number {
    return this.#exchanges.get(exchange)?.outgoing.size ?? 0;
  }

  bindingsFrom(exchange: string): BindingDefinition[] {
    return Array.from(this.#exchanges.get(exchange)?.outgoing.values() ?? [], ({ definition }) => definition);
  }

  bindingsTo(kind: DestinationKind, name: string): BindingDefinition[] {
    const destination = { queue: this.#queues, exchange: this.#exchanges, topic: this.#topics }[kind].get(name);
    return Array.from(destination?.incoming ?? [], ({ definition }) => definition);
  }

  get rememberedRoutes(): number {
    return this.#rememberedRoutes;
  }

  /** Of an x-consistent-hash exchange: all weights together. 0 for others. */
  totalWeight(exchange: string): number {
    const matcher = this.#exchanges.get(exchange)?.matcher;
    return matcher instanceof HashBindings ? matcher.totalWeight : 0;
  }

  // Routing. Per message: nothing is allocated but the result, and that is remembered where it can be.

  /**
   * For what a client publishes. The result must not be changed.
   * @throws BurrowError EXCHANGE_NOT_FOUND, ACCESS_REFUSED for an internal exchange, INVALID_ARGUMENT for CC or BCC
   * headers that are no lists
   */
  routePublished(exchangeName: string, message: RoutableMessage): readonly RouteTarget[] {
    const exchange = this.#exchanges.get(exchangeName);
    if (exchange === undefined) throw this.exchangeNotFound(exchangeName);
    if (exchange.definition.internal) {
      throw new BurrowError(
        'ACCESS_REFUSED',
        `cannot publish to internal ${resourceText('exchange', exchangeName, this.#virtualHost)}`,
      );
    }
    return this.#route(exchange, message);
  }

  /**
   * For what the broker itself publishes, dead letters for example: an exchange that is not there leads nowhere.
   * @throws BurrowError INVALID_ARGUMENT for CC or BCC headers that are no lists
   */
  route(exchangeName: string, message: RoutableMessage): readonly RouteTarget[] {
    const exchange = this.#exchanges.get(exchangeName);
    return exchange === undefined ? NOWHERE : this.#route(exchange, message);
  }

  /** For a message whose delay is over, with the name of the exchange it waited for. It is not delayed again. */
  routeDelayed(exchangeName: string, message: RoutableMessage): readonly RouteTarget[] {
    const exchange = this.#exchanges.get(exchangeName);
    if (exchange === undefined) return NOWHERE;
    this.#setRoutingKeys(message);
    return this.#follow(exchange, message, false);
  }

  exchangeNotFound(name: string): BurrowError {
    return new BurrowError('EXCHANGE_NOT_FOUND', `no ${resourceText('exchange', name, this.#virtualHost)}`, {
      fields: { exchange: name },
    });
  }

  #route(exchange: Exchange, message: RoutableMessage): readonly RouteTarget[] {
    if (exchange.constantRoute !== undefined) return exchange.constantRoute;
    const { headers, routingKey } = message;
    const onlyKey = headers === undefined || !(headers.has('CC') || headers.has('BCC'));
    if (onlyKey) {
      if (exchange.name === DEFAULT_EXCHANGE) return this.#queues.get(routingKey)?.alone ?? NOWHERE;
      const remembered = exchange.routes.get(routingKey);
      if (remembered !== undefined) return remembered;
    }
    this.#setRoutingKeys(message);
    const targets = this.#follow(exchange, message, true);
    if (this.#looksAt === 'nothing') {
      exchange.constantRoute = targets;
      this.#remembering.add(exchange);
    } else if (this.#looksAt === 'routing-keys' && onlyKey) this.#remember(exchange, routingKey, targets);
    return targets;
  }

  #setRoutingKeys({ routingKey, headers }: RoutableMessage): void {
    this.#routingKeys.length = 0;
    this.#routingKeys.push(routingKey);
    if (headers !== undefined) addExtraRoutingKeys(headers, this.#routingKeys);
  }

  #follow(first: Exchange, message: RoutableMessage, delays: boolean): readonly RouteTarget[] {
    const work = this.#work;
    const targets: RouteTarget[] = [];
    this.#visit++;
    this.#looksAt = 'nothing';
    work.length = 0;
    this.#reach(first, targets);
    for (let next = 0; next < work.length; next++) {
      const exchange = work[next]!;
      if (exchange.delayed !== undefined) {
        this.#looksAt = 'message';
        if (delays && delayMs(message.headers) > 0) {
          targets.push(exchange.delayed);
          continue;
        }
      }
      this.#matchBindings(exchange, message);
      const matched = this.#matched;
      for (let index = 0; index < matched.length; index++) this.#reach(matched[index]! as Exchange | Leaf, targets);
      if (matched.length > 0 || exchange.alternate === undefined) continue;
      const alternate = this.#exchanges.get(exchange.alternate);
      if (alternate !== undefined) this.#reach(alternate, targets);
    }
    return targets;
  }

  #matchBindings({ matcher }: Exchange, message: RoutableMessage): void {
    const keys = this.#routingKeys;
    this.#matched.length = 0;
    // Only with routing keys that are looked at the others make a difference.
    const count = matcher.looksAt === 'routing-keys' || matcher instanceof QueueNames ? keys.length : 1;
    for (let index = 0; index < count; index++) matcher.match(message, keys[index]!, this.#matched);
    if (matcher.looksAt === 'message' || this.#looksAt === 'nothing') this.#looksAt = matcher.looksAt;
  }

  #reach(destination: Exchange | Leaf, targets: RouteTarget[]): void {
    if (destination.visit === this.#visit) return;
    destination.visit = this.#visit;
    if (destination.kind === 'exchange') this.#work.push(destination);
    else targets.push(destination);
  }

  #remember(exchange: Exchange, routingKey: string, targets: readonly RouteTarget[]): void {
    if (this.#rememberedRoutesMax === 0) return;
    if (this.#rememberedRoutes >= this.#rememberedRoutesMax) this.#forgetRoutes();
    exchange.routes.set(routingKey, targets);
    this.#remembering.add(exchange);
    this.#rememberedRoutes++;
  }

  #forgetRoutes(): void {
    for (const exchange of this.#remembering) {
      exchange.constantRoute = undefined;
      exchange.routes.clear();
    }
    this.#remembering.clear();
    this.#rememberedRoutes = 0;
  }

  #destination(kind: DestinationKind, name: string): Exchange | Leaf | undefined {
    if (kind === 'exchange') return this.#exchanges.get(name);
    if (kind === 'queue') return this.#queues.get(name);
    let topic = this.#topics.get(name);
    if (topic === undefined) {
      topic = new Leaf('topic', name);
      this.#topics.set(name, topic);
    }
    return topic;
  }

  #unbindAll(bindings: readonly RouterBinding[]): BindingDefinition[] {
    for (const binding of bindings) {
      const { source, destination, definition } = binding;
      source.outgoing.delete(bindingIdentity(definition));
      source.matcher.remove(binding);
      destination.incoming.delete(binding);
      if (destination.kind === 'topic' && destination.incoming.size === 0) this.#topics.delete(destination.name);
    }
    if (bindings.length > 0) this.#forgetRoutes();
    return bindings.map(({ definition }) => definition);
  }

  #matcherOf(definition: ExchangeDefinition): BindingMatcher {
    if (definition.name === DEFAULT_EXCHANGE) return new QueueNames(this.#queues);
    switch (matchingKind(definition)) {
      case 'direct':
        return new DirectBindings();
      case 'fanout':
        return new FanoutBindings();
      case 'topic':
        return new TopicTrie();
      case 'headers':
        return new HeadersBindings();
      case 'x-consistent-hash':
        return new HashBindings(definition.arguments);
      case 'x-delayed-message':
        throw new BurrowError('INTERNAL_ERROR', 'A delayed exchange has no bindings of its own kind.');
    }
  }
}
