/**
 * What the client knows about brokers and topics: a cache with coalesced refreshes. It does not decide when to refresh, except
 * that an entry that has grown old is refreshed behind the user's back, so that new partitions are found.
 */
import { BurrowError, toBurrowError } from '../src/errors/burrow-error.ts';
import type { ClientClock } from './clock.ts';

export interface BrokerMetadata {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
}

export interface PartitionMetadata {
  readonly partition: number;
  /** -1 while nobody leads it. */
  readonly leader: number;
  readonly leaderEpoch: number;
  readonly replicas: readonly number[];
  readonly inSyncReplicas: readonly number[];
}

export interface TopicMetadata {
  readonly name: string;
  /** Tells one incarnation of a topic from the next of the same name. */
  readonly topicId: string;
  /** Whether the broker keeps it for itself. */
  readonly internal: boolean;
  /** By partition number, from 0, without holes. */
  readonly partitions: readonly PartitionMetadata[];
}

export interface ClusterMetadata {
  readonly clusterId: string;
  readonly brokers: readonly BrokerMetadata[];
  readonly controllerId: number;
  /** One entry per topic asked for: the topic, or why there is none. */
  readonly topics: ReadonlyMap<string, TopicMetadata | BurrowError>;
}

/** Asks a broker. */
export type FetchMetadata = (topics: readonly string[], autoCreate: boolean) => Promise<ClusterMetadata>;

type Waiter = (result: TopicMetadata | BurrowError) => void;

/** What the next request asks for, and who waits for it: all that is asked in one turn goes in one request. */
interface Plan {
  readonly autoCreate: boolean;
  readonly wanted: Map<string, Waiter[]>;
}

interface CachedTopic {
  readonly metadata: TopicMetadata;
  /** Monotonic milliseconds; of the attempt, where a refresh behind the user's back failed. */
  fetchedAtMs: number;
}

export class MetadataCache {
  readonly #fetch: FetchMetadata;
  readonly #clock: ClientClock;
  readonly #ageMaxMs: number;
  readonly #topics = new Map<string, CachedTopic>();
  readonly #brokers = new Map<number, BrokerMetadata>();
  #controllerId = -1;
  #plans: Plan[] = [];

  constructor(options: { fetch: FetchMetadata; clock: ClientClock; ageMaxMs: number }) {
    this.#fetch = options.fetch;
    this.#clock = options.clock;
    this.#ageMaxMs = options.ageMaxMs;
  }

  get controllerId(): number {
    return this.#controllerId;
  }

  get brokerCount(): number {
    return this.#brokers.size;
  }

  /** Of all brokers. */
  get nodeIds(): readonly number[] {
    return [...this.#brokers.keys()];
  }

  broker(nodeId: number): BrokerMetadata | undefined {
    return this.#brokers.get(nodeId);
  }

  /** What is known of a topic, without asking. Per batch. */
  topic(name: string): TopicMetadata | undefined {
    const cached = this.#topics.get(name);
    if (cached === undefined) return undefined;
    const nowMs = this.#clock.monotonic();
    if (nowMs - cached.fetchedAtMs > this.#ageMaxMs) {
      cached.fetchedAtMs = nowMs;
      this.refresh(name).catch(ignore);
    }
    return cached.metadata;
  }

  partition(name: string, partition: number): PartitionMetadata | undefined {
    return this.#topics.get(name)?.metadata.partitions[partition];
  }

  /**
   * Asks a broker, which creates the topic if that is asked for and allowed there. Rejects with what the broker said of this
   * topic, or with why no broker could be asked.
   */
  refresh(name: string, options: { autoCreate?: boolean } = {}): Promise<TopicMetadata> {
    const autoCreate = options.autoCreate === true;
    return new Promise((resolve, reject) => {
      let plan = this.#plans.find((each) => each.autoCreate === autoCreate);
      if (plan === undefined) {
        plan = { autoCreate, wanted: new Map() };
        if (this.#plans.push(plan) === 1) queueMicrotask(() => this.#requestPlans());
      }
      const waiters = plan.wanted.get(name) ?? [];
      waiters.push((result) => (result instanceof BurrowError ? reject(result) : resolve(result)));
      plan.wanted.set(name, waiters);
    });
  }

  /** Takes in an answer that was asked for elsewhere. */
  learn(metadata: ClusterMetadata): void {
    this.#controllerId = metadata.controllerId;
    this.#brokers.clear();
    for (const broker of metadata.brokers) this.#brokers.set(broker.nodeId, broker);
    const fetchedAtMs = this.#clock.monotonic();
    for (const [name, topic] of metadata.topics) {
      if (!(topic instanceof BurrowError)) this.#topics.set(name, { metadata: topic, fetchedAtMs });
      else if (topic.code === 'UNKNOWN_TOPIC_OR_PARTITION') this.#topics.delete(name);
    }
  }

  forget(name: string): void {
    this.#topics.delete(name);
  }

  #requestPlans(): void {
    const plans = this.#plans;
    this.#plans = [];
    for (const plan of plans) void this.#request(plan);
  }

  async #request({ autoCreate, wanted }: Plan): Promise<void> {
    let metadata: ClusterMetadata | undefined;
    let failure: BurrowError | undefined;
    try {
      metadata = await this.#fetch([...wanted.keys()], autoCreate);
      this.learn(metadata);
    } catch (error) {
      failure = toBurrowError(error);
    }
    for (const [name, waiters] of wanted) {
      const result = failure ?? metadata?.topics.get(name) ?? unknownTopic(name);
      for (const waiter of waiters) waiter(result);
    }
  }
}

export function unknownTopic(name: string): BurrowError {
  return new BurrowError(
    'UNKNOWN_TOPIC_OR_PARTITION',
    `Topic ${name} does not exist. Create it, for instance with admin.createTopic() or \`burrow topic create\`.`,
    { fields: { topic: name } },
  );
}

function ignore(): void {}
