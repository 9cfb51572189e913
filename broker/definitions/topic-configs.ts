/**
 * The configs of a topic: Kafka's names, in one table from which parsing, checking, defaults and descriptions follow.
 *
 * Values are kept as Kafka clients send and read them: as text, numbers in ms and bytes. Durations and sizes with units
 * ("7d", "1GiB") are understood too and kept as numbers. What has no meaning here is accepted where Kafka clients and
 * tools send it, and its documentation says that it has no effect; what would be a promise we break is refused.
 */
import { parseBytes, parseDurationMs } from '../../src/duration-and-size.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { LOG_CONFIG_DEFAULTS, type LogConfig } from '../log/log-config.ts';

export type TopicConfigType = 'boolean' | 'string' | 'int' | 'long' | 'double' | 'list';

export interface TopicConfigRow {
  readonly key: string;
  readonly type: TopicConfigType;
  readonly defaultValue: string;
  readonly documentation: string;
  /** Of numbers, both included. */
  readonly min?: number;
  readonly max?: number;
  /** Units that may be written. */
  readonly unit?: 'ms' | 'bytes';
  /** What a string may be, or the items of a list. Default: anything. */
  readonly choices?: readonly string[];
  /** Why a valid Kafka value is not taken. */
  readonly refuse?: (value: string) => string | undefined;
}

/** What the configs of a topic mean. Numbers without a limit are Number.MAX_SAFE_INTEGER, or -1 for retention. */
export interface TopicConfig extends LogConfig {
  readonly minInsyncReplicas: number;
  readonly uncleanLeaderElectionEnable: boolean;
}

/** One config of a topic, as DescribeConfigs tells it. */
export interface TopicConfigDescription {
  readonly key: string;
  readonly value: string;
  /** Not set on the topic. */
  readonly isDefault: boolean;
  readonly type: TopicConfigType;
  readonly documentation: string;
}

const INT_MAX = 2 ** 31 - 1;
/** Kafka's "no limit" for times. Beyond safe integers, so it means Number.MAX_SAFE_INTEGER. */
const LONG_MAX_TEXT = '9223372036854775807';
const VALUE_CHARACTERS_MAX = 4096;
const IGNORED = 'Accepted for compatibility; has no effect.';
const DEFAULTS = LOG_CONFIG_DEFAULTS;

const ROWS: readonly TopicConfigRow[] = [
  {
    key: 'cleanup.policy',
    type: 'list',
    defaultValue: DEFAULTS.cleanupPolicy,
    choices: ['delete', 'compact'],
    documentation: 'What happens to old records: delete them, compact the log to the last record of each key, or both.',
  },
  {
    key: 'compression.type',
    type: 'string',
    defaultValue: 'producer',
    choices: ['producer', 'uncompressed', 'gzip', 'snappy', 'lz4', 'zstd'],
    refuse: (value) =>
      value === 'producer'
        ? undefined
        : 'batches are stored as the producer compressed them. Set compression.type on the producer instead',
    documentation: 'Always "producer": batches are stored with the compression the producer chose.',
  },
  int('compression.gzip.level', -1, -1, 9, IGNORED),
  int('compression.lz4.level', 9, 1, 17, IGNORED),
  int('compression.zstd.level', 3, -131072, 22, IGNORED),
  ms(
    'delete.retention.ms',
    DEFAULTS.deleteRetentionMs,
    0,
    'How long tombstones of a compacted log stay readable after the first compaction that met them.',
  ),
  ms(
    'file.delete.delay.ms',
    DEFAULTS.fileDeleteDelayMs,
    0,
    'How long the files of a removed segment stay, so that readers can finish.',
  ),
  long('flush.messages', LONG_MAX_TEXT, 1, `${IGNORED} See the broker’s option --flush.`),
  long('flush.ms', LONG_MAX_TEXT, 0, `${IGNORED} See the broker’s option --flush.`, 'ms'),
  list('follower.replication.throttled.replicas', IGNORED),
  int(
    'index.interval.bytes',
    DEFAULTS.indexIntervalBytes,
    0,
    INT_MAX,
    'One index entry per this many bytes of log.',
    'bytes',
  ),
  list('leader.replication.throttled.replicas', IGNORED),
  long('local.retention.bytes', '-2', -2, `${IGNORED} There is no tiered storage.`, 'bytes'),
  long('local.retention.ms', '-2', -2, `${IGNORED} There is no tiered storage.`, 'ms'),
  long(
    'max.compaction.lag.ms',
    longText(DEFAULTS.maxCompactionLagMs),
    1,
    'Records older than this are compacted even if little of the log is dirty.',
    'ms',
  ),
  int(
    'max.message.bytes',
    DEFAULTS.batchBytesMax,
    0,
    INT_MAX,
    'Largest record batch, as it comes from the producer (compressed).',
    'bytes',
  ),
  bool('message.downconversion.enable', 'true', `${IGNORED} Old message formats are not served.`),
  {
    key: 'message.format.version',
    type: 'string',
    defaultValue: '3.0-IV1',
    documentation: `${IGNORED} Everything is stored as record batch v2.`,
  },
  long(
    'message.timestamp.after.max.ms',
    longText(DEFAULTS.timestampAfterMaxMs),
    0,
    'How far a record’s timestamp may be ahead of the broker’s clock, with CreateTime.',
    'ms',
  ),
  long(
    'message.timestamp.before.max.ms',
    longText(DEFAULTS.timestampBeforeMaxMs),
    0,
    'How far a record’s timestamp may be behind the broker’s clock, with CreateTime.',
    'ms',
  ),
  long(
    'message.timestamp.difference.max.ms',
    LONG_MAX_TEXT,
    0,
    'Old name: stands for message.timestamp.before.max.ms and .after.max.ms where those are not set.',
    'ms',
  ),
  {
    key: 'message.timestamp.type',
    type: 'string',
    defaultValue: DEFAULTS.timestampType,
    choices: ['CreateTime', 'LogAppendTime'],
    documentation: 'Whether records keep the producer’s timestamp or get the time of the append.',
  },
  {
    key: 'min.cleanable.dirty.ratio',
    type: 'double',
    defaultValue: String(DEFAULTS.minCleanableDirtyRatio),
    min: 0,
    max: 1,
    documentation: 'Share of the log that must be dirty before it is compacted.',
  },
  long(
    'min.compaction.lag.ms',
    longText(DEFAULTS.minCompactionLagMs),
    0,
    'Records younger than this are not compacted.',
    'ms',
  ),
  int(
    'min.insync.replicas',
    1,
    1,
    INT_MAX,
    'How many replicas must have a batch before a produce request with acks=all is acknowledged.',
  ),
  bool('preallocate', 'false', IGNORED),
  {
    ...bool('remote.storage.enable', 'false', 'Always false: there is no tiered storage.'),
    refuse: (value) => (value === 'false' ? undefined : 'there is no tiered storage'),
  },
  long(
    'retention.bytes',
    longText(DEFAULTS.retentionBytes),
    -1,
    'A partition is cut from its start while it is larger; -1: never.',
    'bytes',
  ),
  long('retention.ms', longText(DEFAULTS.retentionMs), -1, 'Records older than this are removed; -1: never.', 'ms'),
  int('segment.bytes', DEFAULTS.segmentBytes, 14, INT_MAX, 'A segment is rolled before it grows beyond this.', 'bytes'),
  int('segment.index.bytes', 10 * 1024 * 1024, 4, INT_MAX, `${IGNORED} Indexes grow with their segment.`, 'bytes'),
  long('segment.jitter.ms', '0', 0, IGNORED, 'ms'),
  long('segment.ms', longText(DEFAULTS.segmentMs), 1, 'A segment is rolled when its first record is this old.', 'ms'),
  bool(
    'unclean.leader.election.enable',
    'false',
    'Whether a replica that is not in sync may lead when no other is left, at the price of acknowledged records.',
  ),
];

/** All configs, by key, sorted. */
export const TOPIC_CONFIGS: ReadonlyMap<string, TopicConfigRow> = new Map(
  [...ROWS].sort((a, b) => (a.key < b.key ? -1 : 1)).map((row) => [row.key, row]),
);

/**
 * The configs in the form in which they are kept.
 * @throws BurrowError INVALID_CONFIG for an unknown key, a value that is not valid, or values that contradict each other
 */
export function checkTopicConfigs(configs: ReadonlyMap<string, string>): Map<string, string> {
  const checked = new Map<string, string>();
  for (const [key, value] of configs) checked.set(key, checkValue(rowOf(key), value));
  const { minCompactionLagMs, maxCompactionLagMs } = resolveTopicConfig(checked);
  if (minCompactionLagMs > maxCompactionLagMs) {
    throw new BurrowError(
      'INVALID_CONFIG',
      `min.compaction.lag.ms (${minCompactionLagMs}) is larger than max.compaction.lag.ms (${maxCompactionLagMs}).`,
    );
  }
  return checked;
}

/** The configs after some are set, and those with `undefined` go back to their default. */
export function changeTopicConfigs(
  configs: ReadonlyMap<string, string>,
  changes: ReadonlyMap<string, string | undefined>,
): Map<string, string> {
  const changed = new Map(configs);
  for (const [key, value] of changes) {
    if (value === undefined) changed.delete(rowOf(key).key);
    else changed.set(key, value);
  }
  return checkTopicConfigs(changed);
}

/**
 * What checked configs mean.
 * @param defaults - of this broker, checked, for keys that the topic does not set
 */
export function resolveTopicConfig(
  configs: ReadonlyMap<string, string>,
  defaults: ReadonlyMap<string, string> = new Map(),
): TopicConfig {
  const text = (key: string): string => effectiveValue(key, configs, defaults);
  const integer = (key: string): number => clampLong(text(key));
  const isSet = (key: string): boolean => configs.has(key) || defaults.has(key);
  const difference = isSet('message.timestamp.difference.max.ms')
    ? integer('message.timestamp.difference.max.ms')
    : undefined;
  const timestampMaxMs = (key: string): number => (isSet(key) ? integer(key) : (difference ?? integer(key)));
  const policies = text('cleanup.policy').split(',');
  const compact = policies.includes('compact');
  return {
    segmentBytes: integer('segment.bytes'),
    segmentMs: integer('segment.ms'),
    indexIntervalBytes: integer('index.interval.bytes'),
    retentionMs: integer('retention.ms'),
    retentionBytes: integer('retention.bytes'),
    cleanupPolicy: !compact ? 'delete' : policies.includes('delete') ? 'compact,delete' : 'compact',
    deleteRetentionMs: integer('delete.retention.ms'),
    minCompactionLagMs: integer('min.compaction.lag.ms'),
    maxCompactionLagMs: integer('max.compaction.lag.ms'),
    minCleanableDirtyRatio: Number(text('min.cleanable.dirty.ratio')),
    batchBytesMax: integer('max.message.bytes'),
    timestampType: text('message.timestamp.type') === 'LogAppendTime' ? 'LogAppendTime' : 'CreateTime',
    timestampBeforeMaxMs: timestampMaxMs('message.timestamp.before.max.ms'),
    timestampAfterMaxMs: timestampMaxMs('message.timestamp.after.max.ms'),
    fileDeleteDelayMs: integer('file.delete.delay.ms'),
    minInsyncReplicas: integer('min.insync.replicas'),
    uncleanLeaderElectionEnable: text('unclean.leader.election.enable') === 'true',
  };
}

/** Every config with its value for a topic with these checked configs, sorted by key. */
export function describeTopicConfigs(
  configs: ReadonlyMap<string, string>,
  defaults: ReadonlyMap<string, string> = new Map(),
): TopicConfigDescription[] {
  return Array.from(TOPIC_CONFIGS.values(), ({ key, type, documentation }) => ({
    key,
    value: effectiveValue(key, configs, defaults),
    isDefault: !configs.has(key),
    type,
    documentation,
  }));
}

function effectiveValue(
  key: string,
  configs: ReadonlyMap<string, string>,
  defaults: ReadonlyMap<string, string>,
): string {
  return configs.get(key) ?? defaults.get(key) ?? rowOf(key).defaultValue;
}

function rowOf(key: string): TopicConfigRow {
  const row = TOPIC_CONFIGS.get(key);
  if (row !== undefined) return row;
  const shown = JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}…` : key);
  const near = nearestKey(key);
  throw new BurrowError(
    'INVALID_CONFIG',
    `Unknown topic config ${shown}.${near === undefined ? ' See docs/configuration.md for the known ones.' : ` Did you mean ${near}?`}`,
  );
}

function checkValue(row: TopicConfigRow, text: string): string {
  const { key, type } = row;
  if (text.length > VALUE_CHARACTERS_MAX) {
    throw new BurrowError('INVALID_CONFIG', `${key}: the value has more than ${VALUE_CHARACTERS_MAX} characters.`);
  }
  const trimmed = text.trim();
  const value =
    type === 'int' || type === 'long'
      ? checkInteger(row, trimmed)
      : type === 'double'
        ? checkDouble(row, trimmed)
        : type === 'boolean'
          ? checkChoice(row, trimmed.toLowerCase(), ['true', 'false'])
          : type === 'list'
            ? checkList(row, trimmed)
            : checkChoice(row, trimmed, row.choices);
  const refusal = row.refuse?.(value);
  if (refusal !== undefined) throw invalid(key, trimmed, `is not supported: ${refusal}`);
  return value;
}

function checkInteger(row: TopicConfigRow, text: string): string {
  const { key, min, max } = row;
  if (/^[+-]?\d{1,30}$/.test(text)) {
    const exact = BigInt(text.startsWith('+') ? text.slice(1) : text);
    if (exact > BigInt(LONG_MAX_TEXT) || exact < -BigInt(LONG_MAX_TEXT)) throw outOfBounds(row, text);
    const number = clampLong(text);
    if ((min !== undefined && number < min) || (max !== undefined && number > max)) throw outOfBounds(row, text);
    return String(exact);
  }
  if (row.unit === undefined) throw invalid(key, text, 'is not a whole number');
  const number = row.unit === 'ms' ? parseDurationMs(text, key) : parseBytes(text, key);
  return checkInteger(row, String(number));
}

function checkDouble(row: TopicConfigRow, text: string): string {
  const number = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
  if (!Number.isFinite(number)) throw invalid(row.key, text, 'is not a number');
  if ((row.min !== undefined && number < row.min) || (row.max !== undefined && number > row.max)) {
    throw outOfBounds(row, text);
  }
  return String(number);
}

/** Items in any order, spaces around them or not; kept without spaces and in the order given. */
function checkList(row: TopicConfigRow, text: string): string {
  const items = text.split(',').map((item) => item.trim());
  if (row.choices === undefined) return items.join(',');
  for (const item of items) checkChoice(row, item, row.choices);
  return [...new Set(items)].join(',');
}

function checkChoice(row: TopicConfigRow, value: string, choices: readonly string[] | undefined): string {
  if (choices !== undefined && !choices.includes(value)) {
    throw invalid(row.key, value, `is not one of ${choices.join(', ')}`);
  }
  return value;
}

function clampLong(text: string): number {
  return Math.min(Number(text), Number.MAX_SAFE_INTEGER);
}

function outOfBounds({ key, min, max }: TopicConfigRow, text: string): BurrowError {
  const bounds = max === undefined ? `at least ${min}` : `from ${min} to ${max}`;
  return invalid(key, text, `is out of bounds: it must be ${bounds}`);
}

function invalid(key: string, value: string, problem: string): BurrowError {
  const shown = JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  return new BurrowError('INVALID_CONFIG', `${key}: ${shown} ${problem}.`, { fields: { config: key } });
}

/** The known key that differs in the fewest letters, if in few; case and "_" for "." do not count. */
function nearestKey(key: string): string | undefined {
  if (key.length > 60) return undefined;
  const plain = key.trim().toLowerCase().replaceAll(/[_-]/g, '.');
  let nearest: string | undefined;
  let nearestDistance = Math.max(2, Math.floor(plain.length / 4)) + 1;
  for (const known of TOPIC_CONFIGS.keys()) {
    const distance = editDistance(plain, known);
    if (distance < nearestDistance) [nearest, nearestDistance] = [known, distance];
  }
  return nearest;
}

/** Levenshtein's, row by row. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(replace, previous[j]! + 1, current[j - 1]! + 1));
    }
    previous = current;
  }
  return previous[b.length]!;
}

function int(
  key: string,
  defaultValue: number,
  min: number,
  max: number,
  documentation: string,
  unit?: 'bytes',
): TopicConfigRow {
  const row = { key, type: 'int', defaultValue: String(defaultValue), min, max, documentation } as const;
  return unit === undefined ? row : { ...row, unit };
}

function long(
  key: string,
  defaultValue: string,
  min: number,
  documentation: string,
  unit?: 'ms' | 'bytes',
): TopicConfigRow {
  const row = { key, type: 'long', defaultValue, min, documentation } as const;
  return unit === undefined ? row : { ...row, unit };
}

function ms(key: string, defaultValue: number, min: number, documentation: string): TopicConfigRow {
  return long(key, String(defaultValue), min, documentation, 'ms');
}

function bool(key: string, defaultValue: 'true' | 'false', documentation: string): TopicConfigRow {
  return { key, type: 'boolean', defaultValue, documentation };
}

function list(key: string, documentation: string): TopicConfigRow {
  return { key, type: 'list', defaultValue: '', documentation };
}

function longText(value: number): string {
  return value === Number.MAX_SAFE_INTEGER ? LONG_MAX_TEXT : String(value);
}
