/**
 * A push stream: a reader that goes over several partitions and is told when there is something to read. It keeps the offset of
 * each partition, gives out whole batches in turn, and knows nothing of credit, frames or connections, which are the listener's
 * (`listeners/native/push-streams.ts`).
 *
 * What a partition gives first is an answer even without records, so that the reader learns where the log ends. A partition that
 * fails gives its error once and leaves the stream. Per batch; a partition that is at its end costs nothing until it moves.
 */
import { type BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import { getBatchBytes, getNextOffset, getRecordsCount } from '../../src/records/batch-header.ts';
import type {
  FetchedPartition,
  FetchRequest,
  PushedPartition,
  PushStream,
  PushStreamPartition,
} from './broker-service.ts';
import type { Partition } from './partition.ts';
import type { WaitingFetch, WaitingFetches } from './waiting-fetches.ts';

export interface PushStreamOptions {
  /** @throws BurrowError UNKNOWN_TOPIC_OR_PARTITION */
  readonly findPartition: (topic: string, partition: number) => Partition;
  readonly waiting: WaitingFetches;
  readonly isolation: FetchRequest['isolation'];
  /** There may be something to read again. Once per turn, however many partitions have moved. */
  readonly onReady: () => void;
}

const NO_RECORDS: readonly Buffer[] = [];

export class PartitionsPushStream implements PushStream {
  readonly #options: PushStreamOptions;
  readonly #members = new Map<string, Member>();
  /** Those that may have something to give, in turn. */
  readonly #ready = new Set<Member>();
  #isToldReady = false;

  constructor(options: PushStreamOptions) {
    this.#options = options;
  }

  get partitionCount(): number {
    return this.#members.size;
  }

  add(wanted: PushStreamPartition): void {
    const member = new Member(wanted, (moved) => this.#onMoved(moved));
    this.#members.set(keyOf(wanted.topic, wanted.partition), member);
    try {
      member.partition = this.#options.findPartition(wanted.topic, wanted.partition);
      this.#options.waiting.add(member, undefined);
    } catch (error) {
      member.failure = toBurrowError(error);
    }
    this.#onMoved(member);
  }

  has(topic: string, partition: number): boolean {
    return this.#members.has(keyOf(topic, partition));
  }

  remove(topic: string, partition: number): void {
    const member = this.#members.get(keyOf(topic, partition));
    if (member !== undefined) this.#drop(member);
  }

  close(): void {
    for (const member of [...this.#members.values()]) this.#drop(member);
  }

  get isReady(): boolean {
    return this.#ready.size > 0;
  }

  read(limits: { readonly recordsMax: number; readonly bytesMax: number }): Promise<PushedPartition | undefined> {
    return this.#read(limits);
  }

  /** Of the first partition in turn that has something to tell. */
  async #read({
    recordsMax,
    bytesMax,
  }: {
    recordsMax: number;
    bytesMax: number;
  }): Promise<PushedPartition | undefined> {
    for (const member of this.#ready) {
      this.#ready.delete(member);
      const { partition } = member;
      try {
        if (member.failure !== undefined || partition === undefined) throw member.failure;
        partition.checkLeader(member.wanted.currentLeaderEpoch);
        partition.checkOffset(member.offset);
        const endOffset = partition.endOffset(this.#options.isolation);
        const read = partition.log.read(member.offset, { bytesMax, endOffset, wholeFirstBatch: true });
        const found = read instanceof Promise ? await read : read;
        // It may have been taken out of the stream while the disk was read.
        if (!this.#isMember(member)) continue;
        if (found.length === 0 && member.hasAnswered) continue;
        return this.#answer(member, partition, found, recordsMax);
      } catch (error) {
        if (!this.#isMember(member)) continue;
        this.#drop(member);
        return failed(member, toBurrowError(error));
      }
    }
    return undefined;
  }

  #answer(member: Member, { log }: Partition, found: readonly Buffer[], recordsMax: number): PushedPartition {
    const { offset } = member;
    const { records, recordsCount, bytes, nextOffset } = cutAfter(found, recordsMax, offset);
    member.offset = nextOffset;
    member.hasAnswered = true;
    // There may be more; it is the others' turn first.
    if (records.length > 0) this.#ready.add(member);
    const { topic, partition } = member.wanted;
    return {
      topic,
      partition,
      offset,
      error: undefined,
      highWatermark: log.highWatermark,
      lastStableOffset: log.lastStableOffset,
      logStartOffset: log.logStartOffset,
      records,
      recordsCount,
      bytes,
    };
  }

  #isMember(member: Member): boolean {
    return this.#members.get(keyOf(member.wanted.topic, member.wanted.partition)) === member;
  }

  #drop(member: Member): void {
    this.#members.delete(keyOf(member.wanted.topic, member.wanted.partition));
    this.#ready.delete(member);
    this.#options.waiting.remove(member);
  }

  #onMoved(member: Member): void {
    this.#ready.add(member);
    if (this.#isToldReady) return;
    this.#isToldReady = true;
    queueMicrotask(() => {
      this.#isToldReady = false;
      if (this.#ready.size > 0) this.#options.onReady();
    });
  }
}

/** One partition in a stream. Waits as a fetch does, but its wait never ends by itself. */
class Member implements WaitingFetch {
  readonly wanted: PushStreamPartition;
  partition: Partition | undefined;
  /** Why there is none. */
  failure: BurrowError | undefined;
  /** Next to give. */
  offset: number;
  hasAnswered = false;
  readonly #onMoved: (member: Member) => void;

  constructor(wanted: PushStreamPartition, onMoved: (member: Member) => void) {
    this.wanted = wanted;
    this.offset = wanted.offset;
    this.#onMoved = onMoved;
  }

  get waitsFor(): readonly Partition[] {
    return this.partition === undefined ? [] : [this.partition];
  }

  isReadyAfter(): boolean {
    this.#onMoved(this);
    return false;
  }

  /** The broker stops; its connections are closed by others. */
  endWait(): void {}
}

/** The batches up to the one that reaches `recordsMax`, and what they come to. Per batch. */
function cutAfter(found: readonly Buffer[], recordsMax: number, offset: number) {
  const records: Buffer[] = [];
  let recordsCount = 0;
  let bytes = 0;
  let nextOffset = offset;
  for (const buffer of found) {
    let position = 0;
    while (position < buffer.length && recordsCount < recordsMax) {
      recordsCount += getRecordsCount(buffer, position);
      nextOffset = getNextOffset(buffer, position);
      position += getBatchBytes(buffer, position);
    }
    if (position === 0) break;
    bytes += position;
    records.push(position === buffer.length ? buffer : buffer.subarray(0, position));
  }
  return { records, recordsCount, bytes, nextOffset };
}

function failed({ wanted: { topic, partition }, offset }: Member, error: BurrowError): PushedPartition {
  const unknown: Omit<FetchedPartition, 'topic' | 'partition' | 'error'> = {
    highWatermark: -1,
    lastStableOffset: -1,
    logStartOffset: -1,
    records: NO_RECORDS,
  };
  return { topic, partition, offset, error, ...unknown, recordsCount: 0, bytes: 0 };
}

function keyOf(topic: string, partition: number): string {
  return `${topic}-${partition}`;
}
