/** What a message carries beside its body, as users write it, and the AMQP properties that it becomes. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { encodeProperties, type MessageProperties, NO_PROPERTIES } from '../../src/messages/message-properties.ts';
import { type HeadersInput, toFieldTable } from './field-values.ts';

/** UTF-8 text or bytes. Bytes are copied before the call that takes them returns. */
export type MessageBody = Uint8Array | string;

/** All optional. What AMQP calls content properties; nothing is set that is not given. */
export interface MessageOptions {
  /** Such as 'application/json'. */
  readonly contentType?: string | undefined;
  readonly contentEncoding?: string | undefined;
  readonly headers?: HeadersInput | undefined;
  /** 0 to 255; matters in queues with maxPriority. */
  readonly priority?: number | undefined;
  readonly correlationId?: string | undefined;
  /** Queue for the answer. */
  readonly replyTo?: string | undefined;
  /** The message is dropped or dead-lettered after this, in milliseconds. */
  readonly expirationMs?: number | undefined;
  /** Also what queues with deduplication go by. */
  readonly messageId?: string | undefined;
  /** Whole seconds are kept. */
  readonly timestamp?: Date | undefined;
  readonly type?: string | undefined;
  readonly userId?: string | undefined;
  readonly appId?: string | undefined;
  /** What AMQP clients see as delivery mode 2. Durable queues store all messages, with or without. Not set by default. */
  readonly persistent?: boolean | undefined;
}

const encoder = new TextEncoder();

export function bodyBytes(body: MessageBody): Uint8Array {
  if (typeof body === 'string') return encoder.encode(body);
  if (body instanceof Uint8Array) return body;
  throw new BurrowError('INVALID_ARGUMENT', `The body of a message is a Uint8Array or a string, not ${typeof body}.`);
}

/** @throws BurrowError INVALID_ARGUMENT for what AMQP has no form for */
export function encodeMessageOptions(options: MessageOptions): Uint8Array {
  const { headers, expirationMs, timestamp, persistent, ...rest } = options;
  const properties: { -readonly [K in keyof MessageProperties]: MessageProperties[K] | undefined } = {
    contentType: rest.contentType,
    contentEncoding: rest.contentEncoding,
    priority: rest.priority,
    correlationId: rest.correlationId,
    replyTo: rest.replyTo,
    messageId: rest.messageId,
    type: rest.type,
    userId: rest.userId,
    appId: rest.appId,
  };
  let isEmpty = true;
  for (const name in properties) if (properties[name as keyof MessageProperties] !== undefined) isEmpty = false;
  if (isEmpty && headers === undefined && expirationMs === undefined && !timestamp && persistent === undefined) {
    return NO_PROPERTIES;
  }
  if (headers !== undefined) properties.headers = toFieldTable(headers);
  if (expirationMs !== undefined) {
    if (!Number.isSafeInteger(expirationMs) || expirationMs < 0) {
      throw new BurrowError('INVALID_ARGUMENT', `expirationMs must be a non-negative integer, not ${expirationMs}.`);
    }
    properties.expiration = String(expirationMs);
  }
  if (timestamp !== undefined) properties.timestamp = Math.floor(timestamp.getTime() / 1000);
  if (persistent !== undefined) properties.deliveryMode = persistent ? 2 : 1;
  return encodeProperties(properties as MessageProperties);
}
