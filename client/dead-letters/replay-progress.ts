/**
 * What of a dead-letter topic has been replayed: read from, and written to, the offsets of a group that never has members. Beside it
 * stands which run wrote last, so that two at the same time notice each other.
 *
 *     metadata of the offset = <ranges>;run=<id>
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { CoordinatorLink } from '../groups/coordinator-link.ts';
import type { CommittedOffset, GroupHost } from '../groups/group-host.ts';
import { ReplayedOffsets } from './replayed-offsets-state.ts';
import { replayGroupOf } from './topic-names.ts';

/** The brokers' default of offset-metadata-bytes-max. */
const METADATA_CHARACTERS_MAX = 4096;

export class ReplayProgress {
  readonly #host: GroupHost;
  readonly #topic: string;
  readonly #group: string;
  readonly #link: CoordinatorLink;
  /** Of this run. */
  readonly #mark: string;

  constructor(host: GroupHost, topic: string) {
    this.#host = host;
    this.#topic = topic;
    this.#group = replayGroupOf(topic);
    this.#link = new CoordinatorLink(host, this.#group);
    this.#mark = `;run=${Math.floor(host.clock.random() * 2 ** 48).toString(36)}`;
  }

  /** By partition; one entry for each. */
  async read(partitions: readonly number[]): Promise<Map<number, ReplayedOffsets>> {
    const found = await this.#fetch(partitions);
    return new Map(
      partitions.map((partition) => {
        const { offset, metadata = '' } = found.get(partition) ?? {};
        return [partition, ReplayedOffsets.decode(offset, metadata.replace(/;run=.*$/, ''))];
      }),
    );
  }

  /** Rejects with CONFLICT if another run has written to the partition since this one did. */
  async checkStillOurs(partition: number): Promise<void> {
    const found = await this.#fetch([partition]);
    if (found.get(partition)?.metadata.endsWith(this.#mark) === true) return;
    throw new BurrowError(
      'CONFLICT',
      `Somebody else replays ${this.#topic}-${partition} at the same time. Run one replay at a time.`,
      { fields: { topic: this.#topic, partition } },
    );
  }

  /** Throws OFFSET_METADATA_TOO_LARGE if there are too many separate ranges to be noted. */
  checkNotable(partition: number, progress: ReplayedOffsets): void {
    if (progress.metadata.length + this.#mark.length <= METADATA_CHARACTERS_MAX) return;
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
      metadata: progress.metadata + this.#mark,
    };
    // To commit the same once more changes nothing: this may be repeated.
    await this.#link.retrying(this.#host.requestTimeoutMs, async (nodeId) => {
      const [error] = await this.#host.commitOffsets(nodeId, nobody, [offset]);
      if (error !== undefined) throw error;
    });
  }

  async #fetch(partitions: readonly number[]): Promise<Map<number, CommittedOffset>> {
    const asked = partitions.map((partition) => ({ topic: this.#topic, partition }));
    const offsets = await this.#link.retrying(this.#host.requestTimeoutMs, (nodeId) =>
      this.#host.fetchOffsets(nodeId, this.#group, asked),
    );
    return new Map(offsets.map((each) => [each.partition, each]));
  }
}
