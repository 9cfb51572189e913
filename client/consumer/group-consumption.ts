/**
 * What makes a consumer or subscriber one of a group: gives it the partitions that membership brings, takes away those that it
 * ends, and commits how far the user has come. Reads and delivers nothing itself.
 *
 * At least once: only what the user has finished is committed, and a partition is given up only when the user has finished
 * what was handed out of it, or is not waited for any more (`GroupHooks.settle`).
 *
 *     committed        finished          handed out         (position: next to deliver)
 *     ─────┬───────────────┬───────────────────┬──────────────────────> offsets of a partition
 */
import { type BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import type { ErrorName } from '../../src/errors/table.ts';
import { backoffDelayMs } from '../backoff.ts';
import { type ClientTimer, sleep } from '../clock.ts';
import type { CommittedOffset, GroupHost, OffsetToCommit } from '../groups/group-host.ts';
import { GroupMembership } from '../groups/membership.ts';
import { partitionKey, type TopicPartition } from '../topic-partition.ts';
import type { ResolvedGroupOptions } from './group-options.ts';
import type { PartitionCursor } from './partition-cursor.ts';

/** What it may do to the consumer. */
export interface GroupHooks {
  /** All that are assigned, also while they are held. */
  cursors(): ReadonlyArray<PartitionCursor>;
  /** Adds partitions, held: at the committed offset, or where `from` says if there is none. */
  add(partitions: readonly CommittedOffset[]): ReadonlyArray<PartitionCursor>;
  remove(cursors: ReadonlyArray<PartitionCursor>): void;
  /** Resolves when what was handed out of these is finished, or is not waited for any more. They are held already. */
  settle(cursors: ReadonlyArray<PartitionCursor>): Promise<void>;
  /** Something may be delivered now, or an error be thrown. */
  onChanged(): void;
  /** What to consume, given the topics that were named or that match the pattern. Default: just these. */
  completeTopics?(topics: readonly string[]): Promise<readonly string[]>;
  /** For the next read; for all from now on, if it is fatal. */
  onError(error: BurrowError, fatal: boolean): void;
}

/** Of a commit that nobody asked for: membership sees to these, and what they lost comes again. */
const REPEATED_ANYWAY: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'UNKNOWN_MEMBER',
  'ILLEGAL_GENERATION',
  'REBALANCE_IN_PROGRESS',
  'FENCED_INSTANCE',
  'CLIENT_CLOSED',
]);

export class GroupConsumption {
  readonly #host: GroupHost;
  readonly #options: ResolvedGroupOptions;
  readonly #hooks: GroupHooks;
  readonly #membership: GroupMembership;
  #closed: boolean = false;
  #commitTimer: ClientTimer | undefined;

  constructor(host: GroupHost, options: ResolvedGroupOptions, hooks: GroupHooks) {
    this.#host = host;
    this.#options = options;
    this.#hooks = hooks;
    const { groupId, topics, pattern, assignors, sessionTimeoutMs, heartbeatIntervalMs, groupInstanceId } = options;
    const completeTopics = hooks.completeTopics?.bind(hooks);
    this.#membership = new GroupMembership(host, {
      groupId,
      subscription: { topics, pattern, ...(completeTopics === undefined ? {} : { complete: completeTopics }) },
      assignors,
      sessionTimeoutMs,
      rebalanceTimeoutMs: options.maxPollIntervalMs,
      heartbeatIntervalMs,
      topicRefreshMs: options.topicRefreshMs,
      groupInstanceId,
      callbacks: {
        onRevoked: (partitions) => this.#onRevoked(partitions),
        onAssigned: (partitions) => this.#onAssigned(partitions),
        onLost: (partitions) => this.#onLost(partitions),
        onError: hooks.onError,
      },
    });
    this.#membership.start();
    if (options.autoCommit) this.#scheduleCommit();
  }

  /** Everything that is finished. */
  commitFinished(): Promise<void> {
    return this.#commit(this.#hooks.cursors());
  }

  /** Out of the group until {@link GroupConsumption.resume}. */
  suspend(): void {
    this.#membership.suspend();
  }

  resume(): void {
    this.#membership.resume();
  }

  commit(offsets: readonly OffsetToCommit[]): Promise<void> {
    return this.#membership.commit(offsets);
  }

  committed(partitions: readonly TopicPartition[]): Promise<readonly CommittedOffset[]> {
    return this.#membership.committed(partitions);
  }

  /** Commits what is finished, if that is on, and leaves. Never rejects. */
  async close(timeoutMs: number): Promise<void> {
    this.#closed = true;
    this.#commitTimer?.cancel();
    const { clock } = this.#host;
    let timer: ClientTimer | undefined;
    const tooLong = new Promise<void>((resolve) => {
      timer = clock.schedule(timeoutMs, resolve);
    });
    await Promise.race([this.#membership.leave(), tooLong]);
    timer?.cancel();
  }

  async #onAssigned(partitions: readonly TopicPartition[]): Promise<void> {
    if (partitions.length === 0) return;
    const committed = await this.#lookUp(partitions);
    if (committed === undefined) return;
    const cursors = this.#hooks.add(committed);
    try {
      await this.#options.callbacks.onAssigned?.(partitions);
    } finally {
      // If the membership has ended meanwhile, others may have them.
      if (this.#membership.generationId >= 0) {
        for (const cursor of cursors) cursor.held = false;
        this.#hooks.onChanged();
      }
    }
  }

  /** Committed offsets, however long it takes; undefined if that does not matter any more. */
  async #lookUp(partitions: readonly TopicPartition[]): Promise<readonly CommittedOffset[] | undefined> {
    const { clock, backoff } = this.#host;
    for (let failures = 0; ; failures += 1) {
      try {
        const committed = await this.#membership.committed(partitions);
        return this.#isMember ? committed : undefined;
      } catch (error) {
        if (!this.#isMember) return undefined;
        this.#hooks.onError(toBurrowError(error), false);
        await sleep(clock, backoffDelayMs(backoff, failures, clock.random()));
        if (!this.#isMember) return undefined;
      }
    }
  }

  get #isMember(): boolean {
    return !this.#closed && this.#membership.generationId >= 0;
  }

  async #onRevoked(partitions: readonly TopicPartition[]): Promise<void> {
    const cursors = this.#hold(partitions);
    await this.#hooks.settle(cursors);
    try {
      if (this.#options.autoCommit) await this.#commit(cursors).catch((error) => this.#onCommitFailed(error));
      await this.#options.callbacks.onRevoked?.(partitions);
    } finally {
      this.#hooks.remove(cursors);
    }
  }

  async #onLost(partitions: readonly TopicPartition[]): Promise<void> {
    const cursors = this.#hold(partitions);
    this.#hooks.remove(cursors);
    await this.#options.callbacks.onLost?.(partitions);
  }

  /** From here on nothing of these is delivered. */
  #hold(partitions: readonly TopicPartition[]): PartitionCursor[] {
    const keys = new Set(partitions.map(partitionKey));
    const cursors = this.#hooks.cursors().filter((cursor) => keys.has(partitionKey(cursor)));
    for (const cursor of cursors) cursor.held = true;
    return cursors;
  }

  async #commit(cursors: ReadonlyArray<PartitionCursor>): Promise<void> {
    const changed = cursors.filter(({ finished, committed }) => finished !== undefined && finished !== committed);
    const offsets = changed.map(({ topic, partition, finished, finishedLeaderEpoch }) => ({
      topic,
      partition,
      offset: finished!,
      leaderEpoch: finishedLeaderEpoch,
    }));
    await this.#membership.commit(offsets);
    changed.forEach((cursor, index) => {
      cursor.committed = offsets[index]!.offset;
    });
  }

  #scheduleCommit(): void {
    this.#commitTimer = this.#host.clock.schedule(this.#options.autoCommitIntervalMs, () => {
      this.#commit(this.#hooks.cursors().filter(({ held }) => !held))
        .catch((error) => this.#onCommitFailed(error))
        .then(() => {
          if (!this.#closed) this.#scheduleCommit();
        })
        .catch((error) => this.#hooks.onError(toBurrowError(error), false));
    });
  }

  #onCommitFailed(thrown: unknown): void {
    const error = toBurrowError(thrown);
    if (!error.retriable && !REPEATED_ANYWAY.has(error.code)) this.#hooks.onError(error, false);
  }
}
