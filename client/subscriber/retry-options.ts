/** Options of what happens to records whose handler fails, with their defaults and bounds. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { checkTopicName } from '../../src/names.ts';
import { checkDeadLetterTopicLength } from '../dead-letters/topic-names.ts';
import { choiceOption, integerOption } from '../options.ts';

export interface RetryOptions {
  /** How often the handler is called for a record, the first time included. 1: no retries. Default 5. */
  attempts?: number;
  /** Whether the delay stays the same, or doubles from attempt to attempt. Default 'exponential'. */
  backoff?: 'fixed' | 'exponential';
  /** Delay before the second attempt, in milliseconds. Default 200 in place, 5000 with topics. */
  delayMs?: number;
  /** The delay never grows beyond this, in milliseconds. Default 30,000 in place, 600,000 with topics; at least `delayMs`. */
  delayMsMax?: number;
  /** Each delay is drawn from ± this part around its value, so that retries do not come in step. 0 to 1, default 0.2. */
  jitter?: number;
  /**
   * Where a record waits for its next attempt. 'in-place': where it is, so that later records of its key wait with it and
   * order is kept; for short delays. 'topic': in a retry topic, while others go on; for long delays. Needs a group, and records
   * with this key that come later may be handled before. Default 'in-place'.
   */
  mode?: 'in-place' | 'topic';
}

export interface DeadLetterOptions {
  /** Default `<topic>.<group>.dlq`. Let other names end in `.dlq`, so that `burrow dlq list` finds them. */
  topic?: string;
  /** How long dead letters are kept, in milliseconds, if the topic has to be created; -1: until they are purged. Default -1. */
  retentionMs?: number;
  /** Of the error's message, in bytes of UTF-8. Default 1024. */
  errorMessageBytesMax?: number;
  /** Of the error's stack, in bytes of UTF-8; 0: none is kept. Default 4096. */
  errorStackBytesMax?: number;
}

export interface FailureOptions {
  retry?: RetryOptions;
  /**
   * Whether a record that has failed for good goes to a dead-letter topic, or the subscription stops with the error. Default false:
   * nothing is passed over, and no topic is made that nobody asked for. Without a group `{ topic }` must name it.
   */
  deadLetter?: boolean | DeadLetterOptions;
}

export interface ResolvedRetryOptions {
  readonly attempts: number;
  readonly backoff: 'fixed' | 'exponential';
  readonly delayMs: number;
  readonly delayMsMax: number;
  readonly jitter: number;
  readonly mode: 'in-place' | 'topic';
}

export interface ResolvedDeadLetterOptions {
  /** Undefined: one for each topic, named after it and the group. */
  readonly topic: string | undefined;
  readonly retentionMs: number;
  readonly errorMessageBytesMax: number;
  readonly errorStackBytesMax: number;
}

export interface ResolvedFailureOptions {
  readonly retry: ResolvedRetryOptions;
  /** Undefined: no dead-letter topic. */
  readonly deadLetter: ResolvedDeadLetterOptions | undefined;
}

const KIB = 1024;
const ATTEMPTS_MAX = 1000;
const DAY_MS = 86_400_000;
/** A timer of the platform reaches no further; a record in place blocks its key meanwhile. */
const IN_PLACE_DELAY_MAX_MS = 2 ** 31 - 1;
const TOPIC_DELAY_MAX_MS = 365 * DAY_MS;

/** Throws INVALID_ARGUMENT, INVALID_NAME. */
export function resolveFailureOptions(options: FailureOptions, group: string | undefined): ResolvedFailureOptions {
  const retry = resolveRetryOptions(options.retry ?? {});
  if (retry.mode === 'topic' && group === undefined) {
    throw invalid('retry.mode', "retry.mode: 'topic' needs a group: its retry topics are named after it.");
  }
  return { retry, deadLetter: resolveDeadLetterOptions(options.deadLetter, group) };
}

function resolveRetryOptions(options: RetryOptions): ResolvedRetryOptions {
  const mode = choiceOption('retry.mode', options.mode, ['in-place', 'topic'] as const, 'in-place');
  const max = mode === 'topic' ? TOPIC_DELAY_MAX_MS : IN_PLACE_DELAY_MAX_MS;
  const delayMs = integerOption('retry.delayMs', options.delayMs, {
    fallback: Math.min(mode === 'topic' ? 5000 : 200, Math.max(0, options.delayMsMax ?? max)),
    min: 0,
    max,
  });
  const jitter = options.jitter ?? 0.2;
  if (typeof jitter !== 'number' || !(jitter >= 0 && jitter <= 1)) {
    throw invalid('retry.jitter', `Option retry.jitter must be a number from 0 to 1, not ${String(jitter)}.`);
  }
  return {
    attempts: integerOption('retry.attempts', options.attempts, { fallback: 5, min: 1, max: ATTEMPTS_MAX }),
    backoff: choiceOption('retry.backoff', options.backoff, ['fixed', 'exponential'] as const, 'exponential'),
    delayMs,
    delayMsMax: integerOption('retry.delayMsMax', options.delayMsMax, {
      fallback: Math.max(delayMs, mode === 'topic' ? 600_000 : 30_000),
      min: delayMs,
      max,
    }),
    jitter,
    mode,
  };
}

function resolveDeadLetterOptions(
  asked: boolean | DeadLetterOptions | undefined,
  group: string | undefined,
): ResolvedDeadLetterOptions | undefined {
  if (asked === undefined || asked === false) return undefined;
  if (asked !== true && (typeof asked !== 'object' || asked === null)) {
    throw invalid('deadLetter', `Option deadLetter must be true, false or an object, not ${String(asked)}.`);
  }
  const { topic, retentionMs, errorMessageBytesMax, errorStackBytesMax } = asked === true ? {} : asked;
  if (topic !== undefined) {
    checkTopicName(topic);
    checkDeadLetterTopicLength(topic);
  } else if (group === undefined) {
    throw invalid('deadLetter', 'Without a group, deadLetter needs the name of a topic: deadLetter: { topic }.');
  }
  return {
    topic,
    retentionMs: integerOption('deadLetter.retentionMs', retentionMs, { fallback: -1, min: -1 }),
    errorMessageBytesMax: integerOption('deadLetter.errorMessageBytesMax', errorMessageBytesMax, {
      fallback: KIB,
      min: 0,
      max: 64 * KIB,
    }),
    errorStackBytesMax: integerOption('deadLetter.errorStackBytesMax', errorStackBytesMax, {
      fallback: 4 * KIB,
      min: 0,
      max: 64 * KIB,
    }),
  };
}

function invalid(option: string, text: string): BurrowError {
  return new BurrowError('INVALID_ARGUMENT', text, { fields: { option } });
}
