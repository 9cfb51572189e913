/**
 * The channels of one connection, and the requests about them. They are carried out at once, in the order in which they come.
 *
 * Publishes wait while the broker takes none (what was published is not stored yet); other requests go on meanwhile. Those that wait
 * count as in flight, so the socket is not read any more once they are many. Deliveries stop while the peer does not take
 * them. Per frame.
 */
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import type { RequestOf, ResponseOf } from '../../../src/protocol/messages.ts';
import type { QueueChannelMessage } from './handler.ts';
import type { NativeLimits } from './native-limits.ts';
import { type ChannelHost, NativeQueueChannel } from './native-queue-channel.ts';
import type { QueueSessions } from './queue-sessions.ts';

export interface QueueChannelsOptions {
  readonly sessions: QueueSessions;
  readonly limits: NativeLimits;
  send(parts: readonly Uint8Array[]): void;
  /** The peer has not taken what it was sent; {@link QueueChannels.resume} when it has. */
  owesTooMuch(): boolean;
  onUnexpected(error: unknown): void;
}

interface WaitingPublish {
  readonly request: RequestOf<'publish'>;
  readonly resolve: (answer: Promise<ResponseOf<'publish'>>) => void;
  readonly reject: (error: unknown) => void;
}

/** The answer; undefined if there is none, or a promise if it takes time. */
type Outcome<N extends QueueChannelMessage> = ResponseOf<N> | Promise<ResponseOf<N>> | undefined;

export class QueueChannels implements ChannelHost {
  readonly #options: QueueChannelsOptions;
  readonly #channels = new Map<number, NativeQueueChannel>();
  /** With something to send when the turn is over. */
  readonly #gathering = new Set<NativeQueueChannel>();
  #gatheredBytes = 0;
  /** Have more to deliver than the peer takes. */
  readonly #blocked = new Set<NativeQueueChannel>();
  /** Publishes that wait until the broker takes some again, in their order. */
  #waiting: WaitingPublish[] = [];
  #isFlushScheduled = false;

  constructor(options: QueueChannelsOptions) {
    this.#options = options;
  }

  /** Throws what is wrong with a request. */
  handle<N extends QueueChannelMessage>(name: N, request: RequestOf<N>): Outcome<N> {
    return this.#handle(name, request as never) as Outcome<N>;
  }

  #handle(name: QueueChannelMessage, request: never): Outcome<QueueChannelMessage> {
    switch (name) {
      case 'openChannel':
        this.#open(request);
        return {};
      case 'closeChannel':
        this.#close(request);
        return {};
      case 'publish':
        return this.#publish(request);
      case 'consume':
        this.#requireFor(request).consume(request);
        return {};
      case 'cancelConsumer':
        this.#requireFor(request).cancelConsumer();
        return {};
      case 'settle':
        return this.#settle(request);
      case 'getMessage':
        return this.#requireFor(request).get(request);
      case 'addDeliveryCredit':
        this.#addCredit(request);
        return undefined;
    }
  }

  /** The peer has taken something. */
  resume(): void {
    if (this.#blocked.size === 0 || this.owesTooMuch()) return;
    const blocked = [...this.#blocked];
    this.#blocked.clear();
    for (const channel of blocked) channel.onWritable();
  }

  /** The session of a virtual host has ended. */
  endAll(virtualHost: string, error: BurrowError): void {
    for (const channel of [...this.#channels.values()]) if (channel.virtualHost === virtualHost) channel.end(error);
  }

  close(): void {
    const error = new BurrowError('CONNECTION_LOST');
    for (const channel of [...this.#channels.values()]) channel.close(error);
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  #open({ channelId, virtualHost }: RequestOf<'openChannel'>): void {
    const { sessions, limits } = this.#options;
    if (this.#channels.has(channelId)) {
      throw new BurrowError('INVALID_ARGUMENT', `Channel ${channelId} is open already.`, { fields: { channelId } });
    }
    if (this.#channels.size >= limits.queueChannelsMax) {
      const text = `This connection has ${limits.queueChannelsMax} channels.`;
      throw new BurrowError('CHANNEL_LIMIT', text, { fields: { channelId } });
    }
    this.#channels.set(channelId, new NativeQueueChannel(channelId, sessions.session(virtualHost), this));
  }

  #close({ channelId }: RequestOf<'closeChannel'>): void {
    const text = `Channel ${channelId} was closed before the outcome was known.`;
    this.#require(channelId).close(new BurrowError('CHANNEL_NOT_FOUND', text, { fields: { channelId } }));
  }

  #publish(request: RequestOf<'publish'>): Promise<ResponseOf<'publish'>> {
    const { publishMessagesMax } = this.#options.limits;
    const { count, channelId } = request;
    if (count > publishMessagesMax) {
      throw new BurrowError('INVALID_ARGUMENT', `A request may publish ${publishMessagesMax} messages, not ${count}.`);
    }
    const channel = this.#require(channelId);
    if (this.#waiting.length === 0 && !channel.isCongested) return channel.publish(request);
    if (this.#waiting.length === 0) this.#publishLater(channel);
    return new Promise((resolve, reject) => this.#waiting.push({ request, resolve, reject }));
  }

  #publishLater(congested: NativeQueueChannel): void {
    congested
      .uncongested()
      .then(() => this.#publishWaiting())
      .catch(this.#options.onUnexpected);
  }

  #publishWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (let index = 0; index < waiting.length; index++) {
      const { request, resolve, reject } = waiting[index]!;
      try {
        const channel = this.#require(request.channelId);
        if (channel.isCongested) {
          this.#waiting = waiting.slice(index);
          this.#publishLater(channel);
          return;
        }
        resolve(channel.publish(request));
      } catch (error) {
        reject(error);
      }
    }
  }

  #settle({ channelId, sync, settlements }: RequestOf<'settle'>): Outcome<'settle'> {
    const channel = this.#require(channelId);
    channel.settle(settlements);
    return sync ? channel.settlementsSynced().then(() => ({})) : undefined;
  }

  #addCredit({ channelId, messages }: RequestOf<'addDeliveryCredit'>): void {
    this.#require(channelId).addCredit(messages);
  }

  #requireFor({ channelId }: { readonly channelId: number }): NativeQueueChannel {
    return this.#require(channelId);
  }

  #require(channelId: number): NativeQueueChannel {
    const channel = this.#channels.get(channelId);
    if (channel !== undefined) return channel;
    const text = `This connection has no channel ${channelId}.`;
    throw new BurrowError('CHANNEL_NOT_FOUND', text, { fields: { channelId } });
  }

  // As channels see it.

  owesTooMuch(): boolean {
    return this.#options.owesTooMuch();
  }

  onGathered(channel: NativeQueueChannel, bytes: number): void {
    this.#gathering.add(channel);
    this.#gatheredBytes += bytes;
    // What is gathered is not seen by owesTooMuch(), so it must stay small.
    if (this.#gatheredBytes >= this.#options.limits.pushFrameBytesMax) this.#flush();
    else if (!this.#isFlushScheduled) {
      this.#isFlushScheduled = true;
      setImmediate(this.#flushLater);
    }
  }

  onBlocked(channel: NativeQueueChannel): void {
    this.#blocked.add(channel);
  }

  send(parts: readonly Uint8Array[]): void {
    this.#options.send(parts);
  }

  onClosed(channel: NativeQueueChannel): void {
    this.#channels.delete(channel.id);
    this.#gathering.delete(channel);
    this.#blocked.delete(channel);
  }

  readonly #flushLater = (): void => {
    this.#isFlushScheduled = false;
    this.#flush();
  };

  #flush(): void {
    this.#gatheredBytes = 0;
    for (const channel of this.#gathering) channel.flush();
    this.#gathering.clear();
  }
}
