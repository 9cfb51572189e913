/** What a topic's configuration means to its logs. Kafka's names, units last; -1 is "no limit" where it is allowed. */
export interface LogConfig {
  /** A segment is rolled before it grows beyond this many bytes. */
  readonly segmentBytes: number;
  /** A segment is rolled when its first record is this old. */
  readonly segmentMs: number;
  /** One index entry per this many bytes of log. */
  readonly indexIntervalBytes: number;
  /** Closed segments whose newest record is older are removed; -1 keeps them. */
  readonly retentionMs: number;
  /** Closed segments are removed while the log is larger; -1 keeps them. */
  readonly retentionBytes: number;
  readonly cleanupPolicy: 'delete' | 'compact' | 'compact,delete';
  /** How long a tombstone stays readable after the first compaction that met it. */
  readonly deleteRetentionMs: number;
  /** Records younger than this are not compacted. */
  readonly minCompactionLagMs: number;
  /** Records older than this are compacted even if little of the log is dirty. */
  readonly maxCompactionLagMs: number;
  /** Share of the log that must be dirty before compaction runs. */
  readonly minCleanableDirtyRatio: number;
  /** Largest record batch. */
  readonly batchBytesMax: number;
  readonly timestampType: 'CreateTime' | 'LogAppendTime';
  /** How far behind / ahead of the broker's clock a producer's timestamp may be. */
  readonly timestampBeforeMaxMs: number;
  readonly timestampAfterMaxMs: number;
  /** How long the files of a removed segment stay, so that readers can finish. */
  readonly fileDeleteDelayMs: number;
}

const DAY_MS = 86_400_000;

export const LOG_CONFIG_DEFAULTS: LogConfig = {
  segmentBytes: 256 * 1024 * 1024,
  segmentMs: 7 * DAY_MS,
  indexIntervalBytes: 4096,
  retentionMs: 7 * DAY_MS,
  retentionBytes: -1,
  cleanupPolicy: 'delete',
  deleteRetentionMs: DAY_MS,
  minCompactionLagMs: 0,
  maxCompactionLagMs: Number.MAX_SAFE_INTEGER,
  minCleanableDirtyRatio: 0.5,
  batchBytesMax: 1024 * 1024 + 12,
  timestampType: 'CreateTime',
  timestampBeforeMaxMs: Number.MAX_SAFE_INTEGER,
  timestampAfterMaxMs: 3_600_000,
  fileDeleteDelayMs: 60_000,
};
