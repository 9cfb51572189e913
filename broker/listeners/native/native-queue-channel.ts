/**
 * One channel of a native connection: gathers what is delivered in a turn into one frame, and tells publishes what became of them.
 * Deliveries and publishes are per message: no objects, promises or closures for each.
 */
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import { encodeDeliveriesPushParts, encodeEndedPush } from '../../../src/protocol/frame.ts';
import type { RequestOf, ResponseOf } from '../../../src/protocol/messages.ts';
import { PackedDeliveriesWriter } from '../../../src/protocol/packed-deliveries.ts';
import { checkPackedPublishes, PackedPublishesReader } from '../../../src/protocol/packed-publishes.ts';
import { CHANNEL_CLOSED_PUSH, CONSUMER_ENDED_PUSH } from '../../../src/protocol/version.ts';
import type { MessageView } from '../../queues/message-batch.ts';
import type { QueueConsumer } from '../../queues/queue-consumer.ts';
import type { QueueChannelSink, QueueSession, QueueSessionChannel } from '../../queues/queue-service.ts';
import { PublishAnswers } from './publish-answers.ts';
import { deliveriesOf, tableOf } from './queue-handlers.ts';

/** What a channel needs of its connection. */
export interface ChannelHost {
  /** The peer has not taken what it was sent. */
  owesTooMuch(): boolean;
  /** Bytes were gathered in a channel that is to be flushed when the turn is over. Per message. */
  onGathered(channel: NativeQueueChannel, bytes: number): void;
  /** It was not written to since {@link owesTooMuch}. */
  onBlocked(channel: NativeQueueChannel): void;
  send(parts: readonly Uint8Array[]): void;
  onClosed(channel: NativeQueueChannel): void;
}

/** A connection channel has one consumer at most, so its tag need not be told. */
const CONSUMER_TAG = '';

const OUTCOME_ACKNOWLEDGE = 0;
const OUTCOME_REQUEUE = 1;
const OUTCOME_REJECT = 2;
const REQUEUE = { multiple: false, requeue: true } as const;
const REJECT = { multiple: false, requeue: false } as const;
/** Of deliveries that need no acknowledgment, what a client may have given and not used up. */
const CREDIT_MAX = 0xffff_ffff;

export class NativeQueueChannel implements QueueChannelSink {
  readonly id: number;
  readonly virtualHost: string;
  readonly #host: ChannelHost;
  readonly #channel: QueueSessionChannel;
  readonly #answers = new PublishAnswers();
  readonly #deliveries = new PackedDeliveriesWriter();
  /** Deliveries that may still be sent; Infinity where acknowledgments bound them. */
  #credit = Number.POSITIVE_INFINITY;
  #reader: PackedPublishesReader | undefined;
  /** The end of the get that was asked for last. */
  #got: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(id: number, session: QueueSession, host: ChannelHost) {
    this.id = id;
    this.virtualHost = session.virtualHost;
    this.#host = host;
    this.#channel = session.openChannel(this);
    this.#channel.confirmPublishes();
  }

  get isCongested(): boolean {
    return this.#channel.isCongested;
  }

  uncongested(): Promise<void> {
    return this.#channel.uncongested();
  }

  /** Resolves when all of the messages are confirmed or refused. Throws what is wrong with the request; then none is published. */
  publish({ count, messages }: RequestOf<'publish'>): Promise<ResponseOf<'publish'>> {
    const packed = messages[0]!;
    checkPackedPublishes(packed, count);
    const done = this.#answers.begin();
    const reader = new PackedPublishesReader(packed);
    this.#reader = reader;
    while (reader.next()) this.#answers.publish(this.#publishNext);
    this.#reader = undefined;
    this.#answers.end();
    return done;
  }

  readonly #publishNext = (): void => {
    const reader = this.#reader!;
    this.#channel.publish(reader, reader);
  };

  consume({ queue, prefetch, noAck, exclusive, arguments: table }: RequestOf<'consume'>): void {
    const previous = this.#credit;
    this.#credit = noAck ? prefetch : Number.POSITIVE_INFINITY;
    try {
      this.#channel.consume(
        queue,
        { tag: CONSUMER_TAG, noAck, exclusive, prefetch: noAck ? 0 : prefetch, arguments: tableOf(table) },
        ignore,
      );
    } catch (error) {
      // The consumer that it has goes on.
      this.#credit = previous;
      throw error;
    }
  }

  cancelConsumer(): void {
    this.#channel.cancel(CONSUMER_TAG);
  }

  addCredit(messages: number): void {
    if (this.#credit === Number.POSITIVE_INFINITY || messages === 0 || this.#credit + messages > CREDIT_MAX) {
      const text = `Credit is for consumers that do not acknowledge, and at most ${CREDIT_MAX}.`;
      throw new BurrowError('INVALID_ARGUMENT', text, { fields: { channelId: this.id } });
    }
    this.#credit += messages;
    this.#channel.onWritable();
  }

  /** Settles what it can; throws if a delivery tag is not known, after all others. */
  settle(settlements: RequestOf<'settle'>['settlements']): void {
    let failure: unknown;
    for (const { start, end, outcome } of settlements) {
      try {
        this.#settleRange(start, end, outcome);
      } catch (error) {
        failure ??= error;
      }
    }
    if (failure !== undefined) throw failure;
  }

  /** Ends at the first tag that is not known, so that a range costs no more than what there is to settle. */
  #settleRange(start: number, end: number, outcome: number): void {
    const channel = this.#channel;
    if (start < 1 || end <= start) throw invalid(`Delivery tags from ${start} to before ${end} are none.`);
    switch (outcome) {
      case OUTCOME_ACKNOWLEDGE:
        for (let tag = start; tag < end; tag++) channel.acknowledge(tag, false);
        break;
      case OUTCOME_REQUEUE:
        for (let tag = start; tag < end; tag++) channel.reject(tag, REQUEUE);
        break;
      case OUTCOME_REJECT:
        for (let tag = start; tag < end; tag++) channel.reject(tag, REJECT);
        break;
      default:
        throw invalid(`An outcome is 0 (acknowledge), 1 (requeue) or 2 (reject), not ${outcome}.`);
    }
  }

  settlementsSynced(): Promise<void> {
    return this.#channel.settlementsSynced();
  }

  /** One after the other, in the order asked. */
  get({ queue, noAck }: RequestOf<'getMessage'>): Promise<ResponseOf<'getMessage'>> {
    const got = this.#got.then(() => this.#getNow(queue, noAck));
    this.#got = got.catch(ignore);
    return got;
  }

  async #getNow(queue: string, noAck: boolean): Promise<ResponseOf<'getMessage'>> {
    const writer = new PackedDeliveriesWriter();
    let left = 0;
    await this.#channel.get(queue, { noAck }, (tag, returns, messagesLeft, view) => {
      writer.append(tag, returns, view);
      left = messagesLeft;
    });
    return { ...deliveriesOf(writer), messagesLeft: left };
  }

  /** There is room again. */
  onWritable(): void {
    this.#channel.onWritable();
  }

  /** Sends what was gathered. */
  flush(): void {
    if (this.#deliveries.count === 0) return;
    this.#host.send(encodeDeliveriesPushParts(this.id, deliveriesOf(this.#deliveries)));
  }

  /** What is not settled goes back to its queues. */
  close(error: BurrowError): void {
    if (this.#closed) return;
    this.#end(error);
    this.#channel.close();
  }

  /** The broker has closed it. */
  end(error: BurrowError): void {
    if (this.#closed) return;
    this.#end(error);
    this.#host.send([encodeEndedPush(CHANNEL_CLOSED_PUSH, this.id, error)]);
  }

  #end(error: BurrowError): void {
    this.#closed = true;
    this.#answers.fail(error);
    this.#deliveries.finish();
    this.#host.onClosed(this);
  }

  // As the service sees it. Per message, but for the last two.

  get isWritable(): boolean {
    if (this.#credit <= 0) return false;
    if (!this.#host.owesTooMuch()) return true;
    this.#host.onBlocked(this);
    return false;
  }

  deliver(_consumer: QueueConsumer, deliveryTag: number, returns: number, view: MessageView): void {
    const deliveries = this.#deliveries;
    const before = deliveries.byteCount;
    deliveries.append(deliveryTag, returns, view);
    this.#credit--;
    this.#host.onGathered(this, deliveries.byteCount - before);
  }

  onConfirmed(number: number, multiple: boolean): void {
    this.#answers.onConfirmed(number, multiple);
  }

  onRefused(number: number, error: BurrowError | undefined): void {
    this.#answers.onRefused(number, error);
  }

  onReturned(): void {
    this.#answers.onReturned();
  }

  onCancelled(_consumer: QueueConsumer, reason: BurrowError): void {
    this.flush();
    this.#host.send([encodeEndedPush(CONSUMER_ENDED_PUSH, this.id, reason)]);
  }

  onClosed(error: BurrowError): void {
    this.end(error);
  }
}

function ignore(): void {}

function invalid(text: string): BurrowError {
  return new BurrowError('INVALID_ARGUMENT', text);
}
