/**
 * Which topics a member subscribes to, and whether a rebalance is due because topics have changed: for every member with a pattern,
 * when other names match; for the leader, when a topic of the group has got partitions, has appeared or gone.
 */
import { BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import type { ClientTimer } from '../clock.ts';
import type { GroupHost } from './group-host.ts';

export interface Subscription {
  /** Names of topics; or… */
  readonly topics?: readonly string[] | undefined;
  /** …all topics whose name matches, looked for again and again. Not the brokers' own. */
  readonly pattern?: RegExp | undefined;
  /**
   * What to subscribe to, given those that were named or that match; asked at every look. Default: just these. What it rejects with
   * fails the rebalance.
   */
  complete?(topics: readonly string[]): Promise<readonly string[]>;
}

export interface TopicWatchOptions {
  readonly subscription: Subscription;
  readonly refreshMs: number;
  onChanged(reason: string): void;
  /** A topic that was named does not exist (yet). Once per topic. */
  onMissing(error: BurrowError): void;
}

/** While a topic is missing: programs start in any order. */
const MISSING_REFRESH_MS = 1000;

export class TopicWatch {
  readonly #host: GroupHost;
  readonly #options: TopicWatchOptions;
  readonly #pattern: RegExp | undefined;
  /** As subscribed to when last joined. */
  #topics: readonly string[] = [];
  /** As leader: the topics of the whole group, with their partitions as of the last assignment. */
  #led: ReadonlyMap<string, number> | undefined;
  #ledTopics: readonly string[] = [];
  readonly #reported = new Set<string>();
  #timer: ClientTimer | undefined;
  #stopped: boolean = false;

  constructor(host: GroupHost, options: TopicWatchOptions) {
    this.#host = host;
    this.#options = options;
    const { pattern } = options.subscription;
    // Flags g and y would make it remember where it matched last.
    this.#pattern = pattern === undefined ? undefined : new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ''));
  }

  /** The topics to subscribe to, sorted. */
  async subscribe(): Promise<readonly string[]> {
    this.#topics = await this.#lookUp();
    return this.#topics;
  }

  /** The member leads: it gets what it assigns, and is told of changes of that from now on. */
  async lead(topics: readonly string[]): Promise<ReadonlyMap<string, number>> {
    this.#ledTopics = topics;
    this.#led = await this.#host.partitionCounts(topics);
    return this.#led;
  }

  leadNot(): void {
    this.#led = undefined;
    this.#ledTopics = [];
  }

  /** Looks again and again from now on, in place of what it did before. */
  watch(): void {
    this.#timer?.cancel();
    if (this.#stopped || (this.#pattern === undefined && this.#led === undefined)) return;
    const isMissing = this.#ledTopics.some((topic) => !this.#led?.has(topic));
    const { refreshMs } = this.#options;
    const delayMs = isMissing ? Math.min(MISSING_REFRESH_MS, refreshMs) : refreshMs;
    this.#timer = this.#host.clock.schedule(delayMs, () => void this.#look());
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  async #look(): Promise<void> {
    const { onChanged } = this.#options;
    const [topics, led, ledTopics] = [this.#topics, this.#led, this.#ledTopics];
    try {
      if (this.#pattern !== undefined && !isSame(await this.#lookUp(), topics)) {
        onChanged('other topics match the pattern');
      } else if (led !== undefined) {
        const now = await this.#host.partitionCounts(ledTopics);
        const changed = ledTopics.find((topic) => now.get(topic) !== led.get(topic));
        if (changed !== undefined) onChanged(`topic ${changed} has changed`);
      }
    } catch (error) {
      // No broker to ask; there will be one at the next time. What no retry can mend comes out in a rebalance.
      if (!toBurrowError(error).retriable) onChanged('topics cannot be looked up');
    }
    this.watch();
  }

  async #lookUp(): Promise<readonly string[]> {
    const { subscription } = this.#options;
    const found = await this.#find(subscription.topics ?? []);
    const all = subscription.complete === undefined ? found : await subscription.complete(found);
    return [...new Set(all)].sort();
  }

  async #find(named: readonly string[]): Promise<readonly string[]> {
    const pattern = this.#pattern;
    const counts = await this.#host.partitionCounts(pattern === undefined ? named : undefined);
    if (pattern !== undefined) return [...counts.keys()].filter((name) => pattern.test(name));
    for (const topic of named) if (!counts.has(topic)) this.#report(topic);
    return named;
  }

  #report(topic: string): void {
    if (this.#reported.has(topic)) return;
    this.#reported.add(topic);
    const text = `Topic ${topic} does not exist. It is consumed as soon as it does.`;
    this.#options.onMissing(new BurrowError('UNKNOWN_TOPIC_OR_PARTITION', text, { fields: { topic } }));
  }
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, index) => name === b[index]);
}
