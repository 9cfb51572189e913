/**
 * One channel over one connection: opens it, and notices when it has come to an end: refused, closed by the broker, or with its
 * connection. It never opens itself anew; whoever uses it does.
 */
import { type BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import { decodeDeliveriesPush, decodeEndedPush } from '../../src/protocol/frame.ts';
import type { MessageName, RequestOf, ResponseOf } from '../../src/protocol/messages.ts';
import type { PackedDeliveries } from '../../src/protocol/packed-deliveries.ts';
import { CHANNEL_CLOSED_PUSH, CONSUMER_ENDED_PUSH, DELIVERIES_PUSH } from '../../src/protocol/version.ts';
import type { Connection } from '../connection.ts';

export interface ChannelHandlers {
  onDeliveries(deliveries: PackedDeliveries): void;
  /** The broker has ended the consumer; the channel stays. */
  onConsumerEnded(error: BurrowError): void;
  /** Once, unless it was closed here; nothing comes after it. */
  onLost(error: BurrowError): void;
}

/** Requests that name a channel, without that name. */
type ChannelMessage = {
  [N in MessageName]: RequestOf<N> extends { readonly channelId: number } ? N : never;
}[MessageName];

export class Channel {
  readonly #connection: Connection;
  readonly #timeoutMs: number;
  readonly #handlers: ChannelHandlers;
  readonly #id: number;
  #ended = false;
  /** Why it could not be opened. */
  #refusal: BurrowError | undefined;

  constructor(connection: Connection, virtualHost: string, handlers: ChannelHandlers, timeoutMs: number) {
    this.#connection = connection;
    this.#timeoutMs = timeoutMs;
    this.#handlers = handlers;
    this.#id = connection.addStream({
      onPush: (type, body) => this.#onPush(type, body),
      onLost: (error) => this.#lose(error),
    });
    connection.request('openChannel', { channelId: this.#id, virtualHost }, timeoutMs).then(
      // It may have been given up while the connection was being opened.
      () => this.#ended && this.#sendClose(),
      (error) => {
        this.#refusal = toBurrowError(error);
        this.#lose(this.#refusal);
      },
    );
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Requests of a channel are carried out in their order. */
  async request<N extends ChannelMessage>(
    name: N,
    request: Omit<RequestOf<N>, 'channelId'>,
    timeoutMs = this.#timeoutMs,
  ): Promise<ResponseOf<N>> {
    try {
      const whole = { ...request, channelId: this.#id } as unknown as RequestOf<N>;
      return await this.#connection.request(name, whole, timeoutMs);
    } catch (error) {
      // It was sent before the channel was known not to open: the reason is the better answer.
      if (this.#refusal !== undefined && toBurrowError(error).code === 'CHANNEL_NOT_FOUND') throw this.#refusal;
      throw error;
    }
  }

  /** For requests without an answer: what becomes of them is seen by what comes. */
  notify<N extends ChannelMessage>(name: N, request: Omit<RequestOf<N>, 'channelId'>): void {
    if (this.#ended) return;
    const whole = { ...request, channelId: this.#id } as unknown as RequestOf<N>;
    this.#connection.notify(name, whole, this.#timeoutMs).catch(ignore);
  }

  /** Nothing more of it is handed on. What is not settled goes back to its queue. */
  close(): void {
    if (this.#ended) return;
    this.#end();
    this.#sendClose();
  }

  #onPush(type: number, body: unknown): void {
    switch (type) {
      case DELIVERIES_PUSH: {
        const { messages, ...push } = decodeDeliveriesPush(body);
        this.#handlers.onDeliveries({ ...push, messages: messages[0]! });
        break;
      }
      case CONSUMER_ENDED_PUSH:
        this.#handlers.onConsumerEnded(decodeEndedPush(body));
        break;
      case CHANNEL_CLOSED_PUSH:
        this.#lose(decodeEndedPush(body));
        break;
    }
  }

  #sendClose(): void {
    this.#connection.request('closeChannel', { channelId: this.#id }, this.#timeoutMs).catch(ignore);
  }

  #lose(error: BurrowError): void {
    if (this.#ended) return;
    this.#end();
    this.#handlers.onLost(error);
  }

  #end(): void {
    this.#ended = true;
    this.#connection.removeStream(this.#id);
  }
}

function ignore(): void {}
