/** Options of a consumer in a group, with their defaults and bounds. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { AssignorName } from '../groups/assignors/assignor.ts';
import { ASSIGNOR_NAMES } from '../groups/assignors/assignors.ts';
import { checkTopicName, choiceOption, integerOption } from '../options.ts';
import type { TopicPartition } from '../topic-partition.ts';

/** Called during rebalances, one at a time; the rebalance waits for them, so do not await `close()` in them. */
export interface RebalanceCallbacks {
  /** These are consumed from now on, after this is done: `seek` to begin elsewhere than at the committed offset. */
  onAssigned?(partitions: readonly TopicPartition[]): Promise<void> | void;
  /** These are given up. Nothing more of them is delivered; their offsets may still be committed. */
  onRevoked?(partitions: readonly TopicPartition[]): Promise<void> | void;
  /** These are gone: the group went on without this consumer, and others may have them. */
  onLost?(partitions: readonly TopicPartition[]): Promise<void> | void;
}

export interface GroupOptions extends RebalanceCallbacks {
  /** Consumers of the same group share the partitions of their topics. Needs `topics` or `pattern`. */
  group?: string;
  /** Topics to consume. One that does not exist makes `poll` throw once, and is consumed as soon as it exists. */
  topics?: readonly string[];
  /** Consumes all topics whose name matches, also those that are created later. Not the brokers' own. */
  pattern?: RegExp;
  /**
   * How partitions are divided, in the order of preference: the group uses one that all its members know. Default
   * ['cooperative-sticky'], with which a rebalance moves only what must move. For a group with members that do not know
   * it: ['range'] or ['roundrobin'] for librdkafka and Java clients with their defaults, ['RoundRobinAssigner'] for kafkajs.
   */
  assignors?: readonly AssignorName[];
  /**
   * Whether offsets are committed by themselves: of records that were handed out and finished. Those of a `poll` are finished
   * when the next is called, likewise batches and records of iterations. Default true.
   */
  autoCommit?: boolean;
  /** In milliseconds. They are also committed when partitions are given up, and on close. Default 5000. */
  autoCommitIntervalMs?: number;
  /** Without a heartbeat for this long the group takes the consumer for dead, in milliseconds. Default 45,000. */
  sessionTimeoutMs?: number;
  /** In milliseconds; at most a third of the session timeout. Default 3000. */
  heartbeatIntervalMs?: number;
  /**
   * How long may pass between two reads, in milliseconds; then the consumer leaves the group until it reads again, so that
   * others get its partitions. Also how long a rebalance waits for records that are being worked on. Default 300,000.
   */
  maxPollIntervalMs?: number;
  /** A name of its own for this consumer: coming back under it within the session timeout causes no rebalance (KIP-345). */
  groupInstanceId?: string;
  /** How often topics are looked at for new partitions and new matches, in milliseconds. Default 60,000. */
  topicRefreshMs?: number;
}

export interface ResolvedGroupOptions {
  readonly groupId: string;
  readonly topics: readonly string[] | undefined;
  readonly pattern: RegExp | undefined;
  readonly assignors: readonly AssignorName[];
  readonly autoCommit: boolean;
  readonly autoCommitIntervalMs: number;
  readonly sessionTimeoutMs: number;
  readonly heartbeatIntervalMs: number;
  readonly maxPollIntervalMs: number;
  readonly groupInstanceId: string | undefined;
  readonly topicRefreshMs: number;
  readonly callbacks: RebalanceCallbacks;
}

const NAME_CHARACTERS_MAX = 249;
const TIMEOUT_MAX_MS = 2 ** 31 - 1;

/** Undefined for a consumer without a group. */
export function resolveGroupOptions(options: GroupOptions): ResolvedGroupOptions | undefined {
  const { group, topics, pattern, groupInstanceId } = options;
  if (group === undefined) {
    if (topics !== undefined || pattern !== undefined) {
      throw invalid('group', 'Options topics and pattern need a group; without one, use assignment.');
    }
    return undefined;
  }
  checkName('group', group);
  if (groupInstanceId !== undefined) checkName('groupInstanceId', groupInstanceId);
  if ((topics === undefined) === (pattern === undefined)) {
    throw invalid('topics', 'A consumer in a group needs either topics or a pattern.');
  }
  if (topics !== undefined) {
    if (!Array.isArray(topics) || topics.length === 0) throw invalid('topics', 'topics must be a list of names.');
    topics.forEach(checkTopicName);
  } else if (!(pattern instanceof RegExp)) {
    throw invalid('pattern', 'pattern must be a regular expression.');
  }
  const sessionTimeoutMs = timeout('sessionTimeoutMs', options.sessionTimeoutMs, 45_000);
  const thirdMs = Math.max(1, Math.floor(sessionTimeoutMs / 3));
  return {
    groupId: group,
    topics: topics === undefined ? undefined : [...topics],
    pattern,
    assignors: assignorsOf(options.assignors),
    autoCommit: options.autoCommit ?? true,
    autoCommitIntervalMs: timeout('autoCommitIntervalMs', options.autoCommitIntervalMs, 5000),
    sessionTimeoutMs,
    heartbeatIntervalMs: integerOption('heartbeatIntervalMs', options.heartbeatIntervalMs, {
      fallback: Math.min(3000, thirdMs),
      min: 1,
      max: thirdMs,
    }),
    maxPollIntervalMs: timeout('maxPollIntervalMs', options.maxPollIntervalMs, 300_000),
    groupInstanceId,
    topicRefreshMs: timeout('topicRefreshMs', options.topicRefreshMs, 60_000),
    callbacks: {
      onAssigned: options.onAssigned?.bind(options),
      onRevoked: options.onRevoked?.bind(options),
      onLost: options.onLost?.bind(options),
    } as RebalanceCallbacks,
  };
}

function assignorsOf(names: readonly AssignorName[] = ['cooperative-sticky']): readonly AssignorName[] {
  if (!Array.isArray(names) || names.length === 0) throw invalid('assignors', 'assignors must name at least one.');
  for (const name of names as readonly AssignorName[]) choiceOption('assignors', name, ASSIGNOR_NAMES, name);
  return [...new Set(names as readonly AssignorName[])];
}

function timeout(name: string, value: number | undefined, fallback: number): number {
  return integerOption(name, value, { fallback, min: 1, max: TIMEOUT_MAX_MS });
}

function checkName(option: string, name: unknown): void {
  if (typeof name !== 'string' || name.length === 0 || name.length > NAME_CHARACTERS_MAX) {
    throw invalid(option, `${option} must be a string of 1 to ${NAME_CHARACTERS_MAX} characters.`);
  }
}

function invalid(option: string, text: string): BurrowError {
  return new BurrowError('INVALID_ARGUMENT', text, { fields: { option } });
}
