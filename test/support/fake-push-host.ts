/** A cluster for subscribers without sockets: pushes what its logs have, one batch at a time, as far as credit allows. */
import type { Credit } from '../../client/consumer/credit-state.ts';
import type { PushCall, PushHandlers, PushTarget } from '../../client/consumer/push-receiver.ts';
import type { SubscriberHost } from '../../client/subscriber/subscriber.ts';
import { partitionKey, type TopicPartition } from '../../client/topic-partition.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { getNextOffset, getRecordsCount } from '../../src/records/batch-header.ts';
import { FakeFetchHost } from './fake-fetch-host.ts';

const NO_BYTES = new Uint8Array(0);

export class FakePushHost extends FakeFetchHost implements SubscriberHost {
  readonly streams = new Set<FakeStream>();
  /** Records that were pushed, over all streams. */
  pushedRecords = 0;

  openPush(
    _nodeId: number,
    targets: readonly PushTarget[],
    options: { credit: Credit },
    handlers: PushHandlers,
  ): PushCall {
    const stream = new FakeStream(this, options.credit, handlers);
    this.streams.add(stream);
    stream.change([], targets);
    return stream;
  }

  override wake(): void {
    super.wake();
    for (const stream of this.streams) stream.request();
  }

  /** As if the connection broke. */
  loseStreams(): void {
    for (const stream of [...this.streams]) stream.lose();
  }
}

class FakeStream implements PushCall {
  readonly #host: FakePushHost;
  readonly #handlers: PushHandlers;
  readonly #members = new Map<string, PushTarget & { readonly isNew: boolean }>();
  records: number;
  bytes: number;
  #isRequested = false;

  constructor(host: FakePushHost, credit: Credit, handlers: PushHandlers) {
    this.#host = host;
    this.records = credit.records;
    this.bytes = credit.bytes;
    this.#handlers = handlers;
  }

  get partitions(): string[] {
    return [...this.#members.keys()];
  }

  change(remove: readonly TopicPartition[], add: readonly PushTarget[]): void {
    for (const each of remove) this.#members.delete(partitionKey(each));
    for (const each of add) {
      this.#members.set(partitionKey(each), { ...each, isNew: true });
    }
    this.request();
  }

  addCredit({ records, bytes }: Credit): void {
    this.records += records;
    this.bytes += bytes;
    this.request();
  }

  close(): void {
    this.#host.streams.delete(this);
  }

  lose(): void {
    this.close();
    this.#handlers.onLost(new BurrowError('CONNECTION_LOST'));
  }

  request(): void {
    if (this.#isRequested) return;
    this.#isRequested = true;
    setImmediate(() => {
      this.#isRequested = false;
      this.#pump();
    });
  }

  #pump(): void {
    for (let pushed = true; pushed; ) {
      pushed = false;
      for (const [key, member] of [...this.#members]) {
        if (!this.#host.streams.has(this) || this.records <= 0 || this.bytes <= 0) return;
        pushed = this.#push(key, member) || pushed;
      }
    }
  }

  #push(key: string, { topic, partition, offset, isNew }: PushTarget & { readonly isNew: boolean }): boolean {
    const log = this.#host.log(topic, partition);
    const facts = { topic, partition, offset, highWatermark: log.logEndOffset, logStartOffset: log.logStartOffset };
    const isOutside = offset < log.logStartOffset || offset > log.logEndOffset;
    const error = log.errors.shift() ?? (isOutside ? new BurrowError('OFFSET_OUT_OF_RANGE') : undefined);
    if (error !== undefined) {
      this.#members.delete(key);
      this.#handlers.onAnswers([{ ...facts, error, records: NO_BYTES }]);
      return true;
    }
    const batch = log.batches.find((each) => getNextOffset(each, 0) > offset);
    if (batch === undefined && !isNew) return false;
    const nextOffset = batch === undefined ? offset : getNextOffset(batch, 0);
    this.#members.set(key, { topic, partition, offset: nextOffset, isNew: false });
    if (batch !== undefined) {
      this.records -= getRecordsCount(batch, 0);
      this.bytes -= batch.byteLength;
      this.#host.pushedRecords += getRecordsCount(batch, 0);
    }
    this.#handlers.onAnswers([{ ...facts, error: undefined, records: batch ?? NO_BYTES }]);
    return true;
  }
}
