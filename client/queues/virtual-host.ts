/** A virtual host: a name space of exchanges and queues, and what a client keeps for it. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { checkAmqpName } from '../../src/names.ts';
import type { Cluster } from '../cluster.ts';
import { integerOption } from '../options.ts';
import { Exchange, type PublishOptions } from './exchange.ts';
import { Getter } from './getter.ts';
import type { MessageBody } from './message-options.ts';
import { type PolicyOptions, policyDefinition } from './policy-options.ts';
import { Publisher, type PublisherOptions } from './publisher.ts';
import { Queue } from './queue.ts';
import type { QueueMessage } from './queue-message.ts';
import {
  type BindingInfo,
  bindRequest,
  changeVirtualHostRequest,
  deletePolicyRequest,
  type ExchangeInfo,
  listBindingsRequest,
  listExchangesRequest,
  listPoliciesRequest,
  listQueuesRequest,
  type PolicyInfo,
  type QueueInfo,
  type RequestTarget,
  setPolicyRequest,
} from './queue-requests.ts';
import { Requester } from './requester.ts';

export interface RequestOptions extends Omit<PublishOptions, 'correlationId' | 'replyTo' | 'mandatory'> {
  /** How long to wait for the answer, in milliseconds. Default 30,000. The question expires with it. */
  readonly timeoutMs?: number | undefined;
}

interface Closable {
  close(options?: { timeoutMs?: number }): Promise<void>;
}

/** Use `client.virtualHost(name)`. Making one asks nothing of the broker. */
export class VirtualHost {
  readonly name: string;
  readonly cluster: Cluster;
  readonly publisher: Publisher;
  readonly getter: Getter;
  readonly defaultExchange: Exchange;
  readonly #children = new Set<Closable>();
  readonly #requester: Requester;
  #isClosed = false;

  constructor(cluster: Cluster, name: string, options: PublisherOptions) {
    checkAmqpName(name, 'virtual host');
    this.name = name;
    this.cluster = cluster;
    this.publisher = new Publisher(cluster, name, options);
    this.defaultExchange = new Exchange(this, '');
    this.getter = new Getter(cluster, name, this.defaultExchange);
    this.#requester = new Requester(cluster.clock, new Queue(this, ''));
  }

  exchange(name: string): Exchange {
    return new Exchange(this, name);
  }

  /** Without a name: the broker makes one up when it is declared. */
  queue(name = ''): Queue {
    return new Queue(this, name);
  }

  /** Publishes a question and resolves with the answer. Rejects with REQUEST_TIMED_OUT, UNROUTABLE if nobody could get it, CONNECTION_LOST. */
  request(to: Queue | Exchange, body: MessageBody, options: RequestOptions = {}): Promise<QueueMessage> {
    const { timeoutMs: timeout, ...message } = options;
    const timeoutMs = integerOption('timeoutMs', timeout, { fallback: 30_000, min: 1 });
    return this.#requester.ask((properties) => {
      const question = { expirationMs: timeoutMs, ...message, ...properties };
      return to instanceof Queue ? to.publish(body, question) : to.publish(body, { ...question, mandatory: true });
    }, timeoutMs);
  }

  /** Nothing if it exists. */
  create(): Promise<void> {
    return changeVirtualHostRequest(this.target(), 'createVirtualHosts');
  }

  /** With everything in it. */
  delete(): Promise<void> {
    return changeVirtualHostRequest(this.target(), 'deleteVirtualHosts');
  }

  listExchanges(): Promise<ExchangeInfo[]> {
    return this.read(listExchangesRequest);
  }

  listQueues(): Promise<QueueInfo[]> {
    return this.read(listQueuesRequest);
  }

  /** Those in the default exchange left out: every queue has one there, by its name. */
  listBindings(): Promise<BindingInfo[]> {
    return this.read(listBindingsRequest);
  }

  /** Binds by names alone; also topics. */
  bind(binding: BindingInfo): Promise<void> {
    return bindRequest(this.target(), 'bind', binding);
  }

  unbind(binding: BindingInfo): Promise<void> {
    return bindRequest(this.target(), 'unbind', binding);
  }

  /** Sets or replaces a policy; queues and exchanges that match heed it when it resolves. Rejects with INVALID_NAME, INVALID_ARGUMENT. */
  async setPolicy(name: string, options: PolicyOptions): Promise<void> {
    const { pattern, applyTo = 'all', priority: wanted } = options;
    const priority = integerOption('priority', wanted, { fallback: 0, min: Number.MIN_SAFE_INTEGER });
    await setPolicyRequest(this.target(), { name, pattern, applyTo, priority, definition: policyDefinition(options) });
  }

  /** Nothing if it is not there. What it set ends. */
  deletePolicy(name: string): Promise<void> {
    return deletePolicyRequest(this.target(), name);
  }

  listPolicies(): Promise<PolicyInfo[]> {
    return this.read(listPoliciesRequest);
  }

  /** Resolves when everything that was settled of messages taken by `get` is on stable storage. Rejects with CONNECTION_LOST if that is not known. */
  flush(): Promise<void> {
    return this.getter.flush();
  }

  target(): RequestTarget {
    if (this.#isClosed) throw new BurrowError('CLIENT_CLOSED', 'The client is closed.');
    const { cluster, name } = this;
    return { connection: cluster.any(), virtualHost: name, timeoutMs: cluster.options.requestTimeoutMs };
  }

  /** Asks for something that changes nothing: again and again while that fails with what may pass, as while a broker restarts. */
  read<T>(request: (target: RequestTarget) => Promise<T>): Promise<T> {
    const { cluster } = this;
    return cluster.retrying(cluster.options.requestTimeoutMs, async () => request(this.target()));
  }

  addChild(child: Closable): void {
    this.#children.add(child);
  }

  removeChild(child: Closable): void {
    this.#children.delete(child);
  }

  async close({ timeoutMs = 30_000 }: { timeoutMs?: number } = {}): Promise<void> {
    this.#requester.close();
    // Handlers may publish until they have ended.
    await Promise.all([...this.#children].map((child) => child.close({ timeoutMs })));
    await this.publisher.close(timeoutMs);
    this.getter.close();
    this.#isClosed = true;
  }
}
