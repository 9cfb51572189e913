/**
 * A message of a queue, as a small view on the bytes in which it came: what is asked for is decoded then. Views keep those bytes alive:
 * copy what is kept for long.
 */
import { decodeUtf8 } from '../../src/bytes/utf8.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { FieldTable } from '../../src/messages/field-value.ts';
import {
  checkProperties,
  decodeProperties,
  headersProperty,
  type MessageProperties,
} from '../../src/messages/message-properties.ts';
import type { PackedDeliveriesReader } from '../../src/protocol/packed-deliveries.ts';
import type { Exchange } from './exchange.ts';
import type { MessageBody, MessageOptions } from './message-options.ts';
import { ACKNOWLEDGE, type Outcome, REJECT, REQUEUE } from './settlements.ts';

const NO_HEADERS: FieldTable = new Map();

/** Where a message came from, and who its outcome is told to. */
export interface MessageOrigin {
  /** For answers. */
  readonly defaultExchange: Exchange;
  settle(message: QueueMessage, outcome: Outcome): void;
}

/** As it is read by {@link Queue.browse}: still in the queue. */
export class BrowsedMessage {
  /** When the broker took it, in milliseconds since the epoch. */
  readonly timestampMs: number;
  readonly #bytes: Uint8Array;
  readonly #exchangePosition: number;
  readonly #exchangeBytes: number;
  readonly #keyPosition: number;
  readonly #keyBytes: number;
  readonly #propertiesPosition: number;
  readonly #propertiesBytes: number;
  readonly #bodyPosition: number;
  readonly #bodyBytes: number;

  /** The message at which `reader` stands. */
  constructor(reader: PackedDeliveriesReader) {
    this.timestampMs = reader.timestampMs;
    this.#bytes = reader.bytes;
    this.#exchangePosition = reader.exchangePosition;
    this.#exchangeBytes = reader.exchangeBytes;
    this.#keyPosition = reader.keyPosition;
    this.#keyBytes = reader.keyBytes;
    this.#propertiesPosition = reader.propertiesPosition;
    this.#propertiesBytes = reader.propertiesBytes;
    this.#bodyPosition = reader.bodyPosition;
    this.#bodyBytes = reader.bodyBytes;
  }

  get body(): Uint8Array {
    const { buffer, byteOffset } = this.#bytes;
    return new Uint8Array(buffer, byteOffset + this.#bodyPosition, this.#bodyBytes);
  }

  /** The body as UTF-8. */
  text(): string {
    return decodeUtf8(this.#bytes, this.#bodyPosition, this.#bodyPosition + this.#bodyBytes);
  }

  /** The body as JSON in UTF-8. @throws SyntaxError if it is none */
  json<T = unknown>(): T {
    return JSON.parse(this.text()) as T;
  }

  get routingKey(): string {
    return decodeUtf8(this.#bytes, this.#keyPosition, this.#keyPosition + this.#keyBytes);
  }

  /** That it was published to; empty for the default one. */
  get exchange(): string {
    return decodeUtf8(this.#bytes, this.#exchangePosition, this.#exchangePosition + this.#exchangeBytes);
  }

  /** Decoded anew at each call. */
  get headers(): FieldTable {
    if (this.#propertiesBytes === 0) return NO_HEADERS;
    return headersProperty(this.#bytes, this.#propertiesPosition, this.#checkedEnd()) ?? NO_HEADERS;
  }

  /** All AMQP content properties, headers among them. Decoded anew at each call. */
  get properties(): MessageProperties {
    return decodeProperties(this.#bytes, this.#propertiesPosition, this.#checkedEnd());
  }

  /** The properties as AMQP encodes them: what passes a message on needs no more. */
  get propertyBytes(): Uint8Array {
    return this.#bytes.subarray(this.#propertiesPosition, this.#propertiesPosition + this.#propertiesBytes);
  }

  #checkedEnd(): number {
    const end = this.#propertiesPosition + this.#propertiesBytes;
    checkProperties(this.#bytes, this.#propertiesPosition, end);
    return end;
  }
}

/** As it is delivered: to be settled once. Settling it again does nothing. */
export class QueueMessage extends BrowsedMessage {
  /** How often it was delivered before and came back: 0 the first time. */
  readonly deliveryCount: number;
  readonly deliveryTag: number;
  readonly #origin: MessageOrigin;
  #settled = false;

  constructor(reader: PackedDeliveriesReader, origin: MessageOrigin) {
    super(reader);
    this.deliveryCount = reader.returns;
    this.deliveryTag = reader.deliveryTag;
    this.#origin = origin;
  }

  get redelivered(): boolean {
    return this.deliveryCount > 0;
  }

  get settled(): boolean {
    return this.#settled;
  }

  /** It was processed: the queue forgets it. */
  ack(): void {
    this.settle(ACKNOWLEDGE);
  }

  /** It goes back to the queue, as near to its old place as it can. */
  requeue(): void {
    this.settle(REQUEUE);
  }

  /** It is dead-lettered if the queue has a dead letter exchange, dropped otherwise. */
  reject(): void {
    this.settle(REJECT);
  }

  settle(outcome: Outcome): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#origin.settle(this, outcome);
  }

  /**
   * Answers a question of {@link VirtualHost.request}, or of any client that set replyTo and correlationId. Rejects with UNROUTABLE if
   * whoever asked is gone, INVALID_ARGUMENT if it was no question.
   */
  async reply(body: MessageBody, options: Omit<MessageOptions, 'correlationId'> = {}): Promise<void> {
    const { replyTo, correlationId } = this.properties;
    if (replyTo === undefined) throw new BurrowError('INVALID_ARGUMENT', 'The message does not ask for an answer.');
    const { defaultExchange } = this.#origin;
    await defaultExchange.publish(body, { ...options, correlationId, routingKey: replyTo, mandatory: true });
  }
}
