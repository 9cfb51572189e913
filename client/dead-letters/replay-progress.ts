/** What of a dead-letter topic has been replayed: read from, and written to, the offsets of a group that never has members. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { CoordinatorLink } from '../groups/coordinator-link.ts';
import type { GroupHost } from '../groups/group-host.ts';
import { PROGRESS_CHARACTERS_MAX, ReplayedOffsets } from './replayed-offsets-state.ts';
import { replayGroupOf } from './topic-names.ts';

export class ReplayProgress {
  readonly #host: GroupHost;
  readonly #topic: string;
  readonly #group: string;
  readonly #link: CoordinatorLink;

  constructor(host: GroupHost, topic: string) {
    this.#host = host;
    this.#topic = topic;
    this.#group = replayGroupOf(topic);
    this.#link = new CoordinatorLink(host, this.#group);
  }

  /** By partition; one entry for each. */
  async read(partitions: readonly number[]): Promise<Map<number, ReplayedOffsets>> {
    const asked = partitions.map((partition) => ({ topic: this.#topic, partition }));
    const offsets = await this.#link.retrying(this.#host.requestTimeoutMs, (nodeId) =>
      this.#host.fetchOffsets(nodeId, this.#group, asked),
    );
    const found = new Map(offsets.map(({ partition, offset, metadata }) => [partition, { offset, metadata }]));
    return new Map(
      partitions.map((partition) => {
        const { offset, metadata } = found.get(partition) ?? { offset: undefined, metadata: '' };
        return [partition, ReplayedOffsets.decode(offset, metadata)];
      }),
    );
  }

  /** Rejects with CONFLICT if something else is noted than `expected`: somebody else replays the same partition. */
  async checkUnchanged(partition: number, expected: ReplayedOffsets): Promise<void> {
    const now = (await this.read([partition])).get(partition)!;
    if (now.nextOffset === expected.nextOffset && now.metadata === expected.metadata) return;
    throw new BurrowError(
      'CONFLICT',
      `Somebody else replays ${this.#topic}-${partition} at the same time. Run one replay at a time.`,
      { fields: { topic: this.#topic, partition } },
    );
  }

  /** Throws OFFSET_METADATA_TOO_LARGE if there are too many separate ranges to be noted. */
  checkNotable(partition: number, progress: ReplayedOffsets): void {
    if (progress.metadata.length <= PROGRESS_CHARACTERS_MAX) return;
    throw new BurrowError(
      'OFFSET_METADATA_TOO_LARGE',
      `The replayed records of ${this.#topic}-${partition} lie too scattered to be noted. Replay or purge from offset ${progress.nextOffset} on without a filter first.`,
      { fields: { topic: this.#topic, partition, offset: progress.nextOffset } },
    );
  }

  async write(partition: number, progress: ReplayedOffsets): Promise<void> {
    const nobody = { groupId: this.#group, memberId: '', generationId: -1, groupInstanceId: undefined };
    const offset = {
      topic: this.#topic,
      partition,
      offset: progress.nextOffset,
      metadata: progress.metadata,
    };
    // To commit the same once more changes nothing: this may be repeated.
    await this.#link.retrying(this.#host.requestTimeoutMs, async (nodeId) => {
      const [error] = await this.#host.commitOffsets(nodeId, nobody, [offset]);
      if (error !== undefined) throw error;
    });
  }
}
