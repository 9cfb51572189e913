/** What a log is given: the surroundings that all logs of a node share, and the state that recovery found. */
import type { Clock } from '../ports/clock.ts';
import type { Disk } from '../ports/disk.ts';
import type { Logger } from '../ports/logger.ts';
import type { GroupCommit } from './group-commit.ts';
import type { LeaderEpochs } from './leader-epochs.ts';
import type { LogConfig } from './log-config.ts';
import type { CleaningProgress } from './partition-file.ts';
import type { PartitionLog } from './partition-log.ts';
import type { ProducerSnapshots } from './producer-snapshots.ts';
import type { ProducerState } from './producer-state.ts';
import type { Segment } from './segment.ts';
import type { TailCache } from './tail-cache.ts';

/** What all logs of a node share. */
export interface LogEnvironment {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly tailCache: TailCache;
  /** The journal's commit with `flush=always`; undefined where acknowledging means written to the segment. */
  readonly groupCommit: GroupCommit | undefined;
  /** The log holds batches that are not in its segment yet. */
  readonly onUnwritten: (log: PartitionLog, bytes: number) => void;
  readonly onWritten: (log: PartitionLog, bytes: number) => void;
  readonly onFailed: (log: PartitionLog) => void;
}

export interface PartitionLogState {
  readonly topic: string;
  readonly topicId: Buffer;
  readonly partition: number;
  readonly folder: string;
  /** Undefined after recovery, until the topic's configuration is known. */
  readonly config: LogConfig | undefined;
  readonly logStartOffset: number;
  readonly cleaning: CleaningProgress;
  /** Ascending, never empty; the last is the active one. */
  readonly segments: Segment[];
  readonly producers: ProducerState;
  /** Of all batches below it, also deleted ones, `producers` knows. */
  readonly producersOffset: number;
  readonly leaderEpochs: LeaderEpochs;
  readonly snapshots: ProducerSnapshots;
  /** Everything below it is known to be synced in the segments. */
  readonly recoveryPoint: number;
}
