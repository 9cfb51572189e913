/**
 * The push streams of one connection: opening, changing and closing them, their credit, and the frames that go out as long as there
 * is any. Per frame.
 *
 * What they may make the broker hold in memory is as much as fetches may: from the moment it is read until it has left for the
 * network, all of it together is at most `writeBufferedBytesMax`, and a batch for each stream. Reads are slices of the
 * log; nothing is decoded but the heads of batches.
 */
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import { encodeRecordsPushParts } from '../../../src/protocol/frame.ts';
import type { RequestOf } from '../../../src/protocol/messages.ts';
import type { BrokerService, PushedPartition, PushStream } from '../../partitions/broker-service.ts';
import type { StreamMessage } from './handler.ts';
import { isolationOf } from './handlers.ts';
import type { NativeLimits } from './native-limits.ts';

/** Of each kind of credit, what a client may have given and not used up. */
export const CREDIT_MAX = 0xffff_ffff;

export interface PushStreamsOptions {
  readonly service: BrokerService;
  readonly limits: NativeLimits;
  /** `onTaken` is called when the frame has left for the network, or cannot any more. */
  send(parts: readonly Uint8Array[], onTaken: () => void): void;
  /** The peer has not taken what it was sent: nothing more is read for it until {@link PushStreams.resume}. */
  owesTooMuch(): boolean;
  /** A frame has left for the network. */
  onTaken(): void;
  onUnexpected(error: unknown): void;
}

interface Stream {
  readonly id: number;
  readonly partitions: PushStream;
  /** Both may go below 0, by a batch. */
  recordsCredit: number;
  bytesCredit: number;
  isPumping: boolean;
}

export class PushStreams {
  readonly #options: PushStreamsOptions;
  readonly #streams = new Map<number, Stream>();
  /** Of all of them. */
  #partitionCount = 0;
  /** Being read, or written and not taken. */
  #bytesUnderWay = 0;

  constructor(options: PushStreamsOptions) {
    this.#options = options;
  }

  /** Carries a request out. Throws what is wrong with it; then nothing has changed. */
  handle<N extends StreamMessage>(name: N, request: RequestOf<N>): void {
    switch (name) {
      case 'openStream':
        this.#open(request as RequestOf<'openStream'>);
        break;
      case 'changeStream':
        this.#change(request as RequestOf<'changeStream'>);
        break;
      case 'addCredit':
        this.#addCredit(request as RequestOf<'addCredit'>);
        break;
      default:
        this.#close((request as RequestOf<'closeStream'>).streamId);
    }
  }

  /** There is room again for what waits. */
  resume(): void {
    for (const stream of this.#streams.values()) this.#pump(stream);
  }

  close(): void {
    for (const { partitions } of this.#streams.values()) partitions.close();
    this.#streams.clear();
  }

  #open(request: RequestOf<'openStream'>): void {
    const { streamId: id, recordsCredit, bytesCredit } = request;
    const { service, limits } = this.#options;
    if (this.#streams.has(id)) throw invalid(`Stream ${id} is open already.`, id);
    if (this.#streams.size >= limits.pushStreamsMax) {
      const text = `This connection has ${limits.pushStreamsMax} push streams.`;
      throw new BurrowError('PUSH_STREAM_LIMIT', text, { fields: { streamId: id } });
    }
    const isolation = isolationOf(request.isolation);
    this.#checkAdded(id, request.partitions, 0, () => false);
    const partitions = service.openPushStream({ isolation, onReady: () => this.#pump(stream) });
    const stream: Stream = { id, partitions, recordsCredit, bytesCredit, isPumping: false };
    this.#streams.set(id, stream);
    for (const added of request.partitions) partitions.add(added);
    this.#partitionCount += request.partitions.length;
  }

  /** Removes first, so that a partition may be moved to another offset in one request. */
  #change({ streamId, remove, add }: RequestOf<'changeStream'>): void {
    const { partitions } = this.#require(streamId);
    const removed = new Set(remove.map(keyOf));
    const leaving = new Set(remove.filter(({ topic, partition }) => partitions.has(topic, partition)).map(keyOf));
    this.#checkAdded(
      streamId,
      add,
      leaving.size,
      ({ topic, partition }) => partitions.has(topic, partition) && !removed.has(keyOf({ topic, partition })),
    );
    for (const { topic, partition } of remove) partitions.remove(topic, partition);
    for (const added of add) partitions.add(added);
    this.#partitionCount += add.length - leaving.size;
  }

  #addCredit({ streamId, records, bytes }: RequestOf<'addCredit'>): void {
    const stream = this.#require(streamId);
    if (records + bytes === 0) throw invalid('Credit must be more than nothing.', streamId);
    if (stream.recordsCredit + records > CREDIT_MAX || stream.bytesCredit + bytes > CREDIT_MAX) {
      throw invalid(`Stream ${streamId} would have more credit than ${CREDIT_MAX}.`, streamId);
    }
    stream.recordsCredit += records;
    stream.bytesCredit += bytes;
    this.#pump(stream);
  }

  #close(streamId: number): void {
    const { partitions } = this.#require(streamId);
    this.#partitionCount -= partitions.partitionCount;
    partitions.close();
    this.#streams.delete(streamId);
  }

  #require(streamId: number): Stream {
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) return stream;
    const text = `This connection has no push stream ${streamId}.`;
    throw new BurrowError('PUSH_STREAM_NOT_FOUND', text, { fields: { streamId } });
  }

  #checkAdded(
    streamId: number,
    added: RequestOf<'changeStream'>['add'],
    leaving: number,
    isIn: (partition: { readonly topic: string; readonly partition: number }) => boolean,
  ): void {
    const { pushStreamPartitionsMax } = this.#options.limits;
    const seen = new Set<string>();
    for (const partition of added) {
      const key = keyOf(partition);
      if (seen.has(key) || isIn(partition)) throw invalid(`${key} can be in stream ${streamId} once only.`, streamId);
      seen.add(key);
    }
    if (this.#partitionCount - leaving + added.length > pushStreamPartitionsMax) {
      const text = `The push streams of this connection may have ${pushStreamPartitionsMax} partitions.`;
      throw new BurrowError('PUSH_STREAM_LIMIT', text, { fields: { streamId } });
    }
  }

  #pump(stream: Stream): void {
    if (stream.isPumping || !this.#mayRead(stream)) return;
    stream.isPumping = true;
    this.#pumpAll(stream)
      .catch((error: unknown) => this.#options.onUnexpected(error))
      .then(() => {
        stream.isPumping = false;
        // Credit or records may have come between its last look and here.
        this.#pump(stream);
      })
      .catch((error: unknown) => this.#options.onUnexpected(error));
  }

  #mayRead(stream: Stream): boolean {
    const hasCredit = stream.recordsCredit > 0 && stream.bytesCredit > 0;
    return hasCredit && stream.partitions.isReady && this.#isOpen(stream) && this.#hasRoom();
  }

  #hasRoom(): boolean {
    return this.#bytesUnderWay < this.#options.limits.writeBufferedBytesMax && !this.#options.owesTooMuch();
  }

  #isOpen(stream: Stream): boolean {
    return this.#streams.get(stream.id) === stream;
  }

  /** Sends frames while there are records, credit and room. */
  async #pumpAll(stream: Stream): Promise<void> {
    const { pushFrameBytesMax, writeBufferedBytesMax } = this.#options.limits;
    while (this.#mayRead(stream)) {
      const room = writeBufferedBytesMax - this.#bytesUnderWay;
      const bytesMax = Math.min(stream.bytesCredit, pushFrameBytesMax, room);
      this.#bytesUnderWay += bytesMax;
      const pushed = await this.#gather(stream, bytesMax);
      let bytes = 0;
      for (const entry of pushed) bytes += entry.bytes;
      this.#bytesUnderWay += bytes - bytesMax;
      if (pushed.length === 0 || !this.#isOpen(stream)) {
        this.#bytesUnderWay -= bytes;
        continue;
      }
      this.#options.send(encodeRecordsPushParts(stream.id, { partitions: pushed.map(pushedEntry) }), () => {
        this.#bytesUnderWay -= bytes;
        this.#options.onTaken();
      });
    }
  }

  /** What one frame takes: of several partitions, if they have little. */
  async #gather(stream: Stream, bytesMax: number): Promise<PushedPartition[]> {
    const gathered: PushedPartition[] = [];
    let bytesLeft = bytesMax;
    while (bytesLeft > 0 && stream.recordsCredit > 0 && gathered.length < ENTRIES_PER_FRAME_MAX) {
      const next = await stream.partitions.read({ recordsMax: stream.recordsCredit, bytesMax: bytesLeft });
      if (next === undefined) break;
      if (next.error !== undefined) this.#partitionCount--;
      stream.recordsCredit -= next.recordsCount;
      stream.bytesCredit -= next.bytes;
      bytesLeft -= next.bytes;
      gathered.push(next);
    }
    return gathered.filter((entry) => {
      // An error has taken its partition out itself.
      if (entry.error !== undefined || stream.partitions.has(entry.topic, entry.partition)) return true;
      // It was taken out after it was read: not sent any more.
      stream.recordsCredit += entry.recordsCount;
      stream.bytesCredit += entry.bytes;
      return false;
    });
  }
}

const ENTRIES_PER_FRAME_MAX = 1000;

function pushedEntry({ error, ...partition }: PushedPartition) {
  return { ...partition, errorNumber: error?.number ?? 0, message: error?.message ?? null };
}

function keyOf({ topic, partition }: { readonly topic: string; readonly partition: number }): string {
  return `${topic}-${partition}`;
}

function invalid(text: string, streamId: number): BurrowError {
  return new BurrowError('INVALID_ARGUMENT', text, { fields: { streamId } });
}
