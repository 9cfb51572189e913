/**
 * The failure policy of a subscription: retries in place or by way of retry topics, then a dead-letter topic, or the end.
 * `client.subscribe` has one of its own; with {@link openFailurePolicy} a pull consumer can have the same.
 *
 * A record that is set aside keeps its bytes: key, value and headers go over as they were read (`failure-headers.ts`).
 */
import { BurrowError, isBurrowError } from '../../src/errors/burrow-error.ts';
import { checkTopicName } from '../../src/names.ts';
import { type ClientClock, systemClientClock } from '../clock.ts';
import { BRIEF_ERROR_LIMITS, describeError } from '../dead-letters/error-description.ts';
import {
  type HeaderPair,
  parseFailureHeaders,
  type RecordOrigin,
  withFailureHeaders,
} from '../dead-letters/failure-headers.ts';
import {
  deadLetterTopicName,
  isDeadLetterTopic,
  parseSetAsideTopic,
  retryTopicName,
} from '../dead-letters/topic-names.ts';
import type { TopicPartition } from '../topic-partition.ts';
import type { FailureDecision, FailurePolicy, RawRecord } from './failure-policy.ts';
import { type FailureOptions, type ResolvedFailureOptions, resolveFailureOptions } from './retry-options.ts';
import { checkRetrySteps, nextStepOf, retryDelayMs, retryStep, retryStepCount } from './retry-schedule.ts';
import { type SetAsideHost, type SetAsideTarget, SetAsideWriter } from './set-aside-writer.ts';

export interface FailurePolicyOptions extends FailureOptions {
  /** What the subscription consumes. More with {@link SubscriptionFailurePolicy.addTopics}. */
  readonly topics: readonly string[];
  /** Default: no group; then there are no retry topics, and dead letters need the name of a topic. */
  readonly group?: string | undefined;
}

/**
 * Checks the options, makes the retry topics and finds those that an earlier subscription of the group has left. `client` is
 * what `connect()` gave; `close()` the policy before it.
 *
 * Rejects with INVALID_ARGUMENT for options that make no sense, INVALID_NAME where topic and group are too long together,
 * or what the broker answers when topics are created.
 */
export async function openFailurePolicy(
  client: SetAsideHost,
  options: FailurePolicyOptions,
  clock: ClientClock = systemClientClock,
): Promise<SubscriptionFailurePolicy> {
  const policy = createFailurePolicy(client, options, options.group, clock);
  try {
    await policy.addTopics(options.topics);
  } catch (error) {
    await policy.close({ timeoutMs: 0 });
    throw error;
  }
  return policy;
}

/** Of no topics yet. Throws INVALID_ARGUMENT, INVALID_NAME. */
export function createFailurePolicy(
  host: SetAsideHost,
  options: FailureOptions,
  group: string | undefined,
  clock: ClientClock,
): SubscriptionFailurePolicy {
  const resolved = resolveFailureOptions(options, group);
  checkRetrySteps(resolved.retry);
  return new SubscriptionFailurePolicy(host, resolved, group, clock);
}

/** Use {@link openFailurePolicy}. */
export class SubscriptionFailurePolicy implements FailurePolicy {
  readonly #host: SetAsideHost;
  readonly #options: ResolvedFailureOptions;
  readonly #group: string | undefined;
  readonly #clock: ClientClock;
  readonly #writer: SetAsideWriter;
  /** Retry topics that are read, with the topic that their records come from. */
  readonly #sources = new Map<string, string>();

  constructor(host: SetAsideHost, options: ResolvedFailureOptions, group: string | undefined, clock: ClientClock) {
    this.#host = host;
    this.#options = options;
    this.#group = group;
    this.#clock = clock;
    this.#writer = new SetAsideWriter(host, clock);
  }

  /** Topics that the subscription reads beside its own: those of its retries, and what earlier ones have left waiting. */
  get retryTopics(): readonly string[] {
    return [...this.#sources.keys()];
  }

  /**
   * The subscription consumes these as well, from now on: a pattern matches more than before. Look at `retryTopics` again
   * afterwards. Rejects as {@link openFailurePolicy}; INVALID_ARGUMENT if it would consume its own dead letters.
   */
  async addTopics(topics: readonly string[]): Promise<void> {
    for (const topic of topics) this.checkTopic(topic);
    const group = this.#group;
    if (group === undefined) return;
    const added = topics.flatMap((topic) => this.#retryTopicsOf(topic).map((name) => [name, topic] as const));
    // Topic by topic: a pattern may match very many.
    for (const topic of topics) {
      await Promise.all(this.#retryTopicsOf(topic).map((name) => this.#prepare(name, topic)));
    }
    const wanted = new Set(topics);
    for (const name of await this.#host.admin().listTopics()) {
      const parsed = parseSetAsideTopic(name);
      if (parsed?.kind === 'retry' && parsed.group === group && wanted.has(parsed.topic))
        added.push([name, parsed.topic]);
    }
    for (const [name, source] of added) this.#sources.set(name, source);
  }

  /** Fails where a name is too long now, rather than when there is something to be lost. */
  checkTopic(topic: string): void {
    checkTopicName(topic);
    this.#checkNotOwn(topic);
    this.#deadLetterTopic(topic);
    this.#retryTopicsOf(topic);
  }

  decide(record: RawRecord, attempts: number, error: unknown): FailureDecision {
    const { retry, deadLetter } = this.#options;
    switch (nextStepOf(retry, attempts, isPoison(record, error))) {
      case 'retryInPlace':
        return { kind: 'retryInPlace', delayMs: retryDelayMs(retry, attempts, this.#clock.random()) };
      case 'retryTopic':
        return { kind: 'setAside' };
      case 'giveUp':
        return deadLetter === undefined ? { kind: 'stop' } : { kind: 'setAside' };
    }
  }

  /**
   * Also rejects with INVALID_ARGUMENT if `decide` would not have set the record aside, and with RECORD_TOO_LARGE if it does
   * not even fit with the briefest note of its failure.
   */
  async setAside(record: RawRecord, attempts: number, error: unknown): Promise<void> {
    const { retry, deadLetter } = this.#options;
    const origin = this.#originOf(record);
    const from = this.#subscribedOf(record, origin);
    const failedAtMs = this.#clock.now();
    let target: SetAsideTarget;
    let dueAtMs: number | undefined;
    if (nextStepOf(retry, attempts, isPoison(record, error)) === 'retryTopic') {
      target = this.#retryTarget(from, retryStep(retry, attempts));
      dueAtMs = failedAtMs + retryDelayMs(retry, attempts, this.#clock.random());
    } else {
      if (deadLetter === undefined) throw noDeadLetters(record);
      target = {
        topic: this.#deadLetterTopic(from.topic)!,
        source: from.topic,
        partition: from.partition,
        retention: { ms: deadLetter.retentionMs },
      };
    }
    const headers = record.headers;
    const headersOf = (brief: boolean): readonly HeaderPair[] =>
      withFailureHeaders(headers, {
        origin,
        group: this.#group,
        attempts,
        error: describeError(error, brief ? BRIEF_ERROR_LIMITS : this.#errorLimits()),
        failedAtMs,
        dueAtMs,
      });
    await this.#writer.write(target, record, headersOf);
  }

  /**
   * `nowMs` is milliseconds since the epoch. Never more than the longest delay from when the record was written, whatever its
   * headers say and wherever the clock stood.
   */
  waitMs(record: RawRecord, nowMs: number): number {
    if (!this.#sources.has(record.topic)) return 0;
    const { dueAtMs } = parseFailureHeaders(record.headers);
    if (dueAtMs === undefined) return 0;
    const longestMs = this.#options.retry.delayMsMax;
    const latestMs = record.timestampMs < 0 ? nowMs : record.timestampMs + longestMs;
    return Math.min(longestMs, Math.max(0, Math.min(dueAtMs, latestMs) - nowMs));
  }

  attemptsBefore(record: RawRecord): number {
    return this.#sources.has(record.topic) ? (parseFailureHeaders(record.headers).attempts ?? 0) : 0;
  }

  /** What is being set aside may still be stored, for at most `timeoutMs` (default 30,000); then it rejects with CLIENT_CLOSED. */
  async close(options: { timeoutMs?: number } = {}): Promise<void> {
    await this.#writer.close(options);
  }

  async #prepare(name: string, source: string): Promise<void> {
    const step = parseSetAsideTopic(name)?.step ?? 1;
    try {
      await this.#writer.prepare({ ...this.#retryTarget({ topic: source, partition: 0 }, step), topic: name });
    } catch (error) {
      // Programs start in any order: then it is made when it is first needed.
      if (!isBurrowError(error, 'UNKNOWN_TOPIC_OR_PARTITION')) throw error;
    }
  }

  #retryTarget({ topic, partition }: TopicPartition, step: number): SetAsideTarget {
    return {
      topic: retryTopicName(topic, this.#group!, step),
      source: topic,
      partition,
      retention: { beyondSourceMs: 2 * this.#options.retry.delayMsMax },
    };
  }

  #retryTopicsOf(topic: string): string[] {
    const count = retryStepCount(this.#options.retry);
    return Array.from({ length: count }, (_, index) => retryTopicName(topic, this.#group!, index + 1));
  }

  #deadLetterTopic(topic: string): string | undefined {
    const { deadLetter } = this.#options;
    if (deadLetter === undefined) return undefined;
    return deadLetter.topic ?? deadLetterTopicName(topic, this.#group!);
  }

  /**
   * Where the record was first. Its headers are believed only where this client or one like it has written them: in topics of
   * retries and dead letters. On other topics anybody could choose where a replay goes.
   */
  #originOf(record: RawRecord): RecordOrigin {
    const { topic, partition, offset, timestampMs } = record;
    const told =
      this.#sources.has(topic) || isDeadLetterTopic(topic) ? parseFailureHeaders(record.headers).origin : undefined;
    return told ?? { topic, partition, offset, timestampMs };
  }

  /**
   * The partition of the subscription's own topics that the record belongs to. That names the topics it is set aside in: the
   * origin may lie further back, where the subscription consumes dead letters of others.
   */
  #subscribedOf({ topic, partition }: RawRecord, origin: RecordOrigin): TopicPartition {
    const source = this.#sources.get(topic) ?? topic;
    return { topic: source, partition: origin.topic === source ? origin.partition : partition };
  }

  #errorLimits() {
    const { deadLetter } = this.#options;
    if (deadLetter === undefined) return BRIEF_ERROR_LIMITS;
    return { messageBytesMax: deadLetter.errorMessageBytesMax, stackBytesMax: deadLetter.errorStackBytesMax };
  }

  /** It would go round in circles. */
  #checkNotOwn(topic: string): void {
    const parsed = parseSetAsideTopic(topic);
    const isOwn = parsed !== undefined && parsed.group === this.#group;
    if (!isOwn && topic !== this.#options.deadLetter?.topic) return;
    throw new BurrowError(
      'INVALID_ARGUMENT',
      `The subscription cannot consume ${topic}, in which it sets its own failed records aside. Use another group, or another deadLetter.topic.`,
      { fields: { topic } },
    );
  }
}

/** The record's own key or value could not be deserialized: the same bytes will not be another time. */
function isPoison(record: RawRecord, error: unknown): boolean {
  if (!isBurrowError(error, 'SERIALIZATION_FAILED')) return false;
  const { topic, partition, offset } = error.fields;
  // A handler may meet this error elsewhere, such as when it produces.
  return topic === record.topic && partition === record.partition && offset === record.offset;
}

function noDeadLetters({ topic, partition, offset }: RawRecord): BurrowError {
  return new BurrowError(
    'INVALID_ARGUMENT',
    `The record ${topic}-${partition} at offset ${offset} cannot be set aside: the subscription has no dead-letter topic.`,
  );
}
