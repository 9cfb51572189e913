/**
 * The client's view of the brokers: one connection to whichever of the given addresses answers, and one to each further node
 * that leads something the client uses. Sends each request to the node it belongs to; does not repeat requests,
 * except where {@link Cluster.retrying} is asked to.
 */
import { BurrowError, toBurrowError } from '../src/errors/burrow-error.ts';
import { type Backoff, backoffDelayMs } from './backoff.ts';
import { type ClientClock, sleep } from './clock.ts';
import { Connection, type ConnectionOptions, type Session } from './connection.ts';
import { MetadataCache, type TopicMetadata } from './metadata.ts';
import { metadataRequest } from './requests.ts';

export interface ClusterOptions extends ConnectionOptions {
  readonly addresses: readonly string[];
  readonly requestTimeoutMs: number;
  readonly metadataAgeMaxMs: number;
}

export class Cluster {
  readonly options: ClusterOptions;
  readonly clock: ClientClock;
  readonly backoff: Backoff;
  readonly metadata: MetadataCache;
  readonly #seed: Connection;
  readonly #nodes = new Map<number, Connection>();
  #closed: boolean = false;

  constructor(options: ClusterOptions) {
    this.options = options;
    this.clock = options.clock;
    this.backoff = options.backoff;
    this.#seed = new Connection(options.addresses, options);
    this.metadata = new MetadataCache({
      clock: options.clock,
      ageMaxMs: options.metadataAgeMaxMs,
      fetch: (topics, autoCreate) => metadataRequest(this.any(), { topics, autoCreate }, options.requestTimeoutMs),
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  get session(): Session | undefined {
    return this.#seed.session;
  }

  /** Resolves once a broker answered; rejects when all addresses failed and `waitMs` is over. */
  ready(waitMs: number): Promise<Session> {
    return this.#seed.ready(waitMs);
  }

  /** The largest request that the brokers accept, in bytes, as far as is known. */
  get frameBytesMax(): number {
    return this.#seed.session?.limits.frameBytesMax ?? this.options.frameBytesMax;
  }

  /** The largest batch that the brokers accept unless a topic says otherwise, in bytes, as far as is known. */
  get batchBytesMax(): number {
    return this.#seed.session?.limits.batchBytesMax ?? this.options.frameBytesMax;
  }

  /** A connection to any broker: for metadata and for what any broker can do. */
  any(): Connection {
    return this.#seed;
  }

  /** The connection to a node. Unknown nodes are reached through any broker, which answers NOT_LEADER if it must. */
  node(nodeId: number): Connection {
    const known = this.#nodes.get(nodeId);
    if (known !== undefined) return known;
    const broker = this.metadata.broker(nodeId);
    // One broker is the common case: its advertised address may not even be reachable from here (containers, tunnels).
    if (broker === undefined || this.#seed.session?.nodeId === nodeId || this.metadata.brokerCount <= 1)
      return this.#seed;
    const connection = new Connection(
      [nodeAddress(broker.host, broker.port, this.options.addresses[0]!)],
      this.options,
    );
    this.#nodes.set(nodeId, connection);
    return connection;
  }

  controller(): Connection {
    return this.node(this.metadata.controllerId);
  }

  /** The node that leads a partition, from the cache; undefined if nobody is known to. */
  leaderOf(topic: string, partition: number): number | undefined {
    const leader = this.metadata.partition(topic, partition)?.leader;
    return leader === undefined || leader < 0 ? undefined : leader;
  }

  /** A topic's metadata, from the cache or a broker. Retries what may pass, until `timeoutMs`. */
  topic(name: string, timeoutMs: number, options: { autoCreate?: boolean } = {}): Promise<TopicMetadata> {
    const cached = this.metadata.topic(name);
    if (cached !== undefined) return Promise.resolve(cached);
    return this.retrying(timeoutMs, () => this.metadata.refresh(name, options));
  }

  /**
   * Repeats `attempt` with growing delays while it fails with a retriable error, until `timeoutMs` is over.
   * A topic that the brokers say does not exist is asked for a few times only: metadata spreads within milliseconds.
   */
  async retrying<T>(
    timeoutMs: number,
    attempt: () => Promise<T>,
    mayRepeat: (error: BurrowError) => boolean = (error) => error.retriable,
  ): Promise<T> {
    const giveUpAtMs = this.clock.monotonic() + timeoutMs;
    for (let failures = 0; ; failures += 1) {
      try {
        return await attempt();
      } catch (thrown) {
        const error = toBurrowError(thrown);
        const delayMs = backoffDelayMs(this.backoff, failures, this.clock.random());
        const isHopeless = error.code === 'UNKNOWN_TOPIC_OR_PARTITION' && failures >= UNKNOWN_TOPIC_RETRIES;
        if (!mayRepeat(error) || isHopeless || this.clock.monotonic() + delayMs >= giveUpAtMs) throw error;
        await sleep(this.clock, delayMs);
        if (this.#closed) throw new BurrowError('CLIENT_CLOSED', 'The client was closed.');
      }
    }
  }

  close(): void {
    this.#closed = true;
    this.#seed.close();
    for (const connection of this.#nodes.values()) connection.close();
    this.#nodes.clear();
  }
}

/** After this many retries an unknown topic is taken for one that does not exist. */
const UNKNOWN_TOPIC_RETRIES = 3;

/** Nodes speak the scheme and path of the address that the user gave. */
function nodeAddress(host: string, port: number, like: string): string {
  const url = new URL(like);
  url.hostname = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
  url.port = String(port);
  return url.href;
}
