/** The way in: `connect()` gives a client, and the client gives producers, consumers and the admin. */
import { BurrowError } from '../src/errors/burrow-error.ts';
import { Admin } from './admin.ts';
import type { BackoffOptions } from './backoff.ts';
import { type ClientClock, systemClientClock } from './clock.ts';
import { Cluster } from './cluster.ts';
import { ConsumerTransport, GroupTransport, ProducerTransport } from './cluster-transport.ts';
import type { Credentials } from './connection.ts';
import { Consumer } from './consumer/consumer.ts';
import type { ConsumerOptions } from './consumer/consumer-options.ts';
import { DeadLetters } from './dead-letters/dead-letters.ts';
import { integerOption } from './options.ts';
import { Producer } from './producer/producer.ts';
import type { ProducerOptions } from './producer/producer-options.ts';
import type { Exchange } from './queues/exchange.ts';
import type { MessageBody } from './queues/message-options.ts';
import { PUBLISHER_DEFAULTS, type PublisherOptions } from './queues/publisher.ts';
import type { Queue } from './queues/queue.ts';
import type { QueueMessage } from './queues/queue-message.ts';
import { listVirtualHostsRequest } from './queues/queue-requests.ts';
import { type RequestOptions, VirtualHost } from './queues/virtual-host.ts';
import { openSocket } from './socket.ts';
import { Subscriber } from './subscriber/subscriber.ts';
import type { BatchHandler, RecordHandler, SubscribeOptions, Topics } from './subscriber/subscriber-options.ts';
import { createFailurePolicy } from './subscriber/subscription-failure-policy.ts';
import { UserAdmin } from './users.ts';

export interface ConnectOptions {
  /** Names this client in the broker's logs and quotas. Default 'burrowmq'. */
  clientId?: string;
  /** Who logs in, where the broker has users. May stand in the address instead: `ws://user:password@host`. */
  user?: string;
  /** Its password. */
  password?: string;
  /** How long one request may take, in milliseconds. Then it fails and the connection is opened anew. Default 30,000. */
  requestTimeoutMs?: number;
  /** How long one attempt to connect may take, handshake included, in milliseconds. Default 5000. */
  connectTimeoutMs?: number;
  /** How long `connect()` keeps trying, for brokers that are still starting, in milliseconds. Default 0: each address once. */
  connectWaitMs?: number;
  /** Delays between attempts to connect again. Default 50 ms, doubling up to 2000 ms. */
  reconnectBackoff?: BackoffOptions;
  /** Topic metadata is refreshed after this many milliseconds, so that new partitions are found. Default 300,000. */
  metadataAgeMaxMs?: number;
  /** Largest message accepted from a broker, in bytes. Must exceed the largest record batch. Default 64 MiB. */
  frameBytesMax?: number;
  /**
   * How long a message published to an exchange may take to be confirmed, in milliseconds, attempts after lost connections
   * included. Default 30,000.
   */
  publishTimeoutMs?: number;
  /** Messages published to exchanges and not confirmed yet, in bytes; beyond it publishing is refused. Default 64 MiB. */
  publishBufferBytes?: number;
}

const DEFAULT_PORT = 7420;
const MIB = 1024 * 1024;

/**
 * Connects to a broker: the first of `addresses` that answers. Addresses look like `ws://127.0.0.1:7420`, `wss://…` or
 * `host:port`. Who the system's authorities do not know can be believed with NODE_EXTRA_CA_CERTS. Afterwards the client reconnects by itself.
 *
 * Rejects with CONNECTION_FAILED if none answers, AUTHENTICATION_FAILED if the login is refused, INVALID_ARGUMENT if an address or option makes no sense, or what the
 * broker answered to the handshake (such as UNSUPPORTED_VERSION).
 */
export async function connect(addresses: string | readonly string[], options: ConnectOptions = {}): Promise<Client> {
  const client = createClient(addresses, options, systemClientClock);
  try {
    await client.ready(integerOption('connectWaitMs', options.connectWaitMs, { fallback: 0, min: 0 }));
  } catch (error) {
    await client.close({ timeoutMs: 0 });
    throw error;
  }
  return client;
}

/** For tests, which bring their own clock. */
export function createClient(
  addresses: string | readonly string[],
  options: ConnectOptions,
  clock: ClientClock,
): Client {
  const parsed = (typeof addresses === 'string' ? [addresses] : addresses).map(parseAddress);
  const list = parsed.map(({ address }) => address);
  if (list.length === 0) throw new BurrowError('INVALID_ARGUMENT', 'connect() needs at least one address.');
  const initialMs = integerOption('reconnectBackoff.initialMs', options.reconnectBackoff?.initialMs, {
    fallback: 50,
    min: 1,
  });
  return new Client(
    new Cluster({
      addresses: list,
      clientId: options.clientId ?? 'burrowmq',
      credentials: credentialsOf(options) ?? parsed.find(({ credentials }) => credentials !== undefined)?.credentials,
      requestTimeoutMs: integerOption('requestTimeoutMs', options.requestTimeoutMs, { fallback: 30_000, min: 1 }),
      connectTimeoutMs: integerOption('connectTimeoutMs', options.connectTimeoutMs, { fallback: 5000, min: 1 }),
      metadataAgeMaxMs: integerOption('metadataAgeMaxMs', options.metadataAgeMaxMs, { fallback: 300_000, min: 1 }),
      frameBytesMax: integerOption('frameBytesMax', options.frameBytesMax, { fallback: 64 * MIB, min: 64 * 1024 }),
      backoff: {
        initialMs,
        maxMs: integerOption('reconnectBackoff.maxMs', options.reconnectBackoff?.maxMs, {
          fallback: Math.max(2000, initialMs),
          min: initialMs,
        }),
      },
      clock,
      openSocket,
    }),
    {
      publishTimeoutMs: integerOption('publishTimeoutMs', options.publishTimeoutMs, {
        fallback: PUBLISHER_DEFAULTS.publishTimeoutMs,
        min: 1,
      }),
      publishBufferBytes: integerOption('publishBufferBytes', options.publishBufferBytes, {
        fallback: PUBLISHER_DEFAULTS.publishBufferBytes,
        min: 1,
      }),
    },
  );
}

interface Closable {
  close(options?: { timeoutMs?: number }): Promise<void>;
}

/** A connection to a cluster of brokers. Use {@link connect}. */
export class Client {
  readonly #cluster: Cluster;
  readonly #children = new Set<Closable>();
  readonly #publisherOptions: PublisherOptions;
  readonly #virtualHosts = new Map<string, VirtualHost>();
  #closing: Promise<void> | undefined;

  constructor(cluster: Cluster, publisherOptions: PublisherOptions = PUBLISHER_DEFAULTS) {
    this.#cluster = cluster;
    this.#publisherOptions = publisherOptions;
  }

  /** Of the broker that answered last; undefined while there is no connection. */
  get clusterId(): string | undefined {
    return this.#cluster.session?.clusterId;
  }

  /** Whether a broker is connected at the moment. The client reconnects by itself if not. */
  get connected(): boolean {
    return this.#cluster.session !== undefined;
  }

  /** Resolves once a broker is connected; rejects when all addresses failed and `waitMs` is over. */
  async ready(waitMs = 0): Promise<void> {
    await this.#cluster.ready(waitMs);
  }

  /** A producer with its own batches, buffer and producer id. Throws INVALID_ARGUMENT for options that make no sense. */
  producer<K = Uint8Array, V = Uint8Array>(options: ProducerOptions<K, V> = {}): Producer<K, V> {
    this.#checkOpen();
    const producer: Producer<K, V> = this.#newProducer(options, () => this.#children.delete(producer));
    this.#children.add(producer);
    return producer;
  }

  #newProducer<K, V>(options: ProducerOptions<K, V>, onClosed: () => void): Producer<K, V> {
    const acksTimeoutMs = integerOption('acksTimeoutMs', options.acksTimeoutMs, { fallback: 30_000, min: 1 });
    return new Producer(new ProducerTransport(this.#cluster, acksTimeoutMs), options, onClosed);
  }

  /** A consumer: in a group, or of what is assigned to it. Throws INVALID_ARGUMENT for options that make no sense. */
  consumer<K = Uint8Array, V = Uint8Array>(options: ConsumerOptions<K, V> = {}): Consumer<K, V> {
    this.#checkOpen();
    const consumer: Consumer<K, V> = new Consumer(new ConsumerTransport(this.#cluster), options, () =>
      this.#children.delete(consumer),
    );
    this.#children.add(consumer);
    return consumer;
  }

  /**
   * Calls `handler` with the records of these topics, which brokers push as they come: each is finished when the handler's promise
   * resolves, and only what is finished is committed to the group. A record whose handler throws is tried again as `retry` says, and
   * then set aside or not as `deadLetter` says. Throws INVALID_ARGUMENT for options that make no sense, INVALID_NAME where names of
   * topic and group are too long together.
   */
  subscribe<K = Uint8Array, V = Uint8Array>(
    topics: Topics,
    handler: RecordHandler<K, V>,
    options?: SubscribeOptions<K, V> & { batch?: false },
  ): Subscriber<K, V>;
  subscribe<K = Uint8Array, V = Uint8Array>(
    topics: Topics,
    handler: BatchHandler<K, V>,
    options: SubscribeOptions<K, V> & { batch: true },
  ): Subscriber<K, V>;
  subscribe<K, V>(
    topics: Topics,
    handler: RecordHandler<K, V> | BatchHandler<K, V>,
    options: SubscribeOptions<K, V> = {},
  ): Subscriber<K, V> {
    this.#checkOpen();
    const cluster = this.#cluster;
    // Its producer is the subscriber's to close, once handlers are done.
    const setAsideHost = {
      admin: () => new Admin(cluster),
      producer: (asked: ProducerOptions) => this.#newProducer(asked, () => {}),
    };
    const policy = createFailurePolicy(setAsideHost, options, options.group, cluster.clock);
    const subscriber: Subscriber<K, V> = new Subscriber(
      new ConsumerTransport(cluster),
      policy,
      topics,
      handler,
      options,
      () => this.#children.delete(subscriber),
    );
    this.#children.add(subscriber);
    return subscriber;
  }

  /** Creates, describes, alters and deletes topics and records. */
  admin(): Admin {
    this.#checkOpen();
    return new Admin(this.#cluster);
  }

  /** Exchanges and queues live in virtual hosts; there is always '/'. */
  virtualHost(name = '/'): VirtualHost {
    this.#checkOpen();
    let host = this.#virtualHosts.get(name);
    if (host === undefined) {
      host = new VirtualHost(this.#cluster, name, this.#publisherOptions);
      this.#virtualHosts.set(name, host);
    }
    return host;
  }

  /** An exchange of the virtual host '/', unless told otherwise; '' is the default exchange. */
  exchange(name: string, options: { readonly virtualHost?: string } = {}): Exchange {
    return this.virtualHost(options.virtualHost).exchange(name);
  }

  /** A queue of the virtual host '/', unless told otherwise. Without a name, the broker makes one up when it is declared. */
  queue(name = '', options: { readonly virtualHost?: string } = {}): Queue {
    return this.virtualHost(options.virtualHost).queue(name);
  }

  /** Publishes a question and resolves with the answer: see {@link VirtualHost.request}. */
  request(to: Queue | Exchange, body: MessageBody, options: RequestOptions = {}): Promise<QueueMessage> {
    this.#checkOpen();
    return to.host.request(to, body, options);
  }

  /** Sorted. */
  async listVirtualHosts(): Promise<string[]> {
    return (await this.virtualHost().read(listVirtualHostsRequest)).sort();
  }

  /** Creates, lists and deletes users and says what they may do; for administrators. */
  users(): UserAdmin {
    this.#checkOpen();
    return new UserAdmin(this.virtualHost().target());
  }

  /** Lists, reads, replays and purges what subscribers have given up. */
  deadLetters(): DeadLetters {
    this.#checkOpen();
    return new DeadLetters({
      groups: new GroupTransport(this.#cluster),
      admin: () => this.admin(),
      consumer: (options) => this.consumer(options),
      producer: (options) => this.producer(options),
    });
  }

  /**
   * Closes producers (which send what they have, for at most `timeoutMs`, default 30,000), consumers, subscribers and connections; waits for
   * messages that were published to be confirmed and for handlers that run.
   * Idempotent.
   */
  close(options: { timeoutMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options);
    return this.#closing;
  }

  async #close(options: { timeoutMs?: number }): Promise<void> {
    await Promise.all([...this.#children, ...this.#virtualHosts.values()].map((child) => child.close(options)));
    this.#cluster.close();
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new BurrowError('CLIENT_CLOSED', 'The client is closed.');
  }
}

function credentialsOf({ user, password }: ConnectOptions): Credentials | undefined {
  if (user === undefined && password === undefined) return undefined;
  if (user !== undefined && password !== undefined) return { user, password };
  throw new BurrowError('INVALID_ARGUMENT', 'The options user and password need each other.');
}

/** Credentials are taken out: addresses stand in logs and errors. */
function parseAddress(address: string): { readonly address: string; readonly credentials: Credentials | undefined } {
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(address);
  let url: URL;
  try {
    url = new URL(hasScheme ? address : `ws://${address}`);
  } catch {
    throw badAddress(address);
  }
  if (url.protocol !== 'ws:' && url.protocol !== 'wss:') throw badAddress(address);
  if (!hasScheme && url.port === '') url.port = String(DEFAULT_PORT);
  const { username, password } = url;
  url.username = '';
  url.password = '';
  let credentials: Credentials | undefined;
  try {
    if (username !== '') credentials = { user: decodeURIComponent(username), password: decodeURIComponent(password) };
  } catch {
    throw badAddress(address);
  }
  return { address: url.href, credentials };
}

function badAddress(given: string): BurrowError {
  const address = given.replace(/[^/]*@/, '***@');
  return new BurrowError(
    'INVALID_ARGUMENT',
    `'${address}' is not an address of a broker: use ws://host:port, wss://host:port or host:port.`,
    { fields: { address } },
  );
}
