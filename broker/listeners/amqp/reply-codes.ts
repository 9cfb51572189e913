/**
 * Reply codes of AMQP 0-9-1 (section 1.2), and the one function that says what becomes of an error: a channel is closed, or
 * the connection.
 */
import { type BurrowError, toBurrowError } from '../../../src/errors/burrow-error.ts';

/** Soft errors: they close the channel. */
const CHANNEL_CODES = {
  CONTENT_TOO_LARGE: 311,
  NO_ROUTE: 312,
  NO_CONSUMERS: 313,
  ACCESS_REFUSED: 403,
  NOT_FOUND: 404,
  RESOURCE_LOCKED: 405,
  PRECONDITION_FAILED: 406,
} as const;

/** Hard errors: they close the connection. ACCESS_REFUSED is one where a login fails. */
const CONNECTION_CODES = {
  CONNECTION_FORCED: 320,
  INVALID_PATH: 402,
  FRAME_ERROR: 501,
  SYNTAX_ERROR: 502,
  COMMAND_INVALID: 503,
  CHANNEL_ERROR: 504,
  UNEXPECTED_FRAME: 505,
  RESOURCE_ERROR: 506,
  NOT_ALLOWED: 530,
  NOT_IMPLEMENTED: 540,
  INTERNAL_ERROR: 541,
} as const;

export const REPLY_SUCCESS = 200;
export const REPLY_CODES = { ...CHANNEL_CODES, ...CONNECTION_CODES };

export type ReplyName = keyof typeof REPLY_CODES;
export type ReplyScope = 'channel' | 'connection';

/** An exception in the words of the protocol, thrown where the protocol itself is broken. */
export class AmqpException extends Error {
  readonly reply: ReplyName;
  readonly scope: ReplyScope;

  constructor(reply: ReplyName, text: string, scope: ReplyScope = reply in CHANNEL_CODES ? 'channel' : 'connection') {
    super(text);
    this.name = 'AmqpException';
    this.reply = reply;
    this.scope = scope;
  }
}

/** A reply text is a short string. */
const REPLY_TEXT_BYTES_MAX = 255;

/** As RabbitMQ words it, for clients that show it or look for the name in it: `NOT_FOUND - no queue 'x' in vhost '/'`. */
export function replyText(error: AmqpException): string {
  const text = `${error.reply} - ${error.message}`;
  if (Buffer.byteLength(text) <= REPLY_TEXT_BYTES_MAX) return text;
  // Cut between characters: what is left of a cut one would be decoded to U+FFFD.
  return Buffer.from(text)
    .toString('utf8', 0, REPLY_TEXT_BYTES_MAX - 3)
    .replace(/\ufffd+$/, '')
    .concat('…');
}

/** By error code; what is not named here is INTERNAL_ERROR. */
const REPLY_OF_ERROR: ReadonlyMap<string, readonly [ReplyName, ReplyScope]> = new Map([
  ['MALFORMED_FRAME', ['SYNTAX_ERROR', 'connection']],
  ['FRAME_TOO_LARGE', ['FRAME_ERROR', 'connection']],
  ['UNEXPECTED_FRAME', ['UNEXPECTED_FRAME', 'connection']],
  ['NOT_IMPLEMENTED', ['NOT_IMPLEMENTED', 'connection']],
  ['UNSUPPORTED_VERSION', ['NOT_IMPLEMENTED', 'connection']],
  ['CONNECTION_LIMIT', ['NOT_ALLOWED', 'connection']],
  ['INVALID_ARGUMENT', ['PRECONDITION_FAILED', 'channel']],
  ['INVALID_NAME', ['PRECONDITION_FAILED', 'channel']],
  ['INVALID_CONFIG', ['PRECONDITION_FAILED', 'channel']],
  ['NOT_AUTHORIZED', ['ACCESS_REFUSED', 'channel']],
  ['RECORD_TOO_LARGE', ['PRECONDITION_FAILED', 'channel']],
  ['BATCH_TOO_LARGE', ['PRECONDITION_FAILED', 'channel']],
  ['UNKNOWN_TOPIC_OR_PARTITION', ['NOT_FOUND', 'channel']],
  ['NOT_LEADER', ['NOT_FOUND', 'channel']],
  ['LEADER_NOT_AVAILABLE', ['NOT_FOUND', 'channel']],
  ['EXCHANGE_NOT_FOUND', ['NOT_FOUND', 'channel']],
  ['QUEUE_NOT_FOUND', ['NOT_FOUND', 'channel']],
  ['DECLARED_DIFFERENTLY', ['PRECONDITION_FAILED', 'channel']],
  ['RESOURCE_LOCKED', ['RESOURCE_LOCKED', 'channel']],
  ['IN_USE', ['PRECONDITION_FAILED', 'channel']],
  ['NOT_EMPTY', ['PRECONDITION_FAILED', 'channel']],
  ['ACCESS_REFUSED', ['ACCESS_REFUSED', 'channel']],
  ['VHOST_NOT_FOUND', ['NOT_ALLOWED', 'connection']],
  ['COMMAND_INVALID', ['COMMAND_INVALID', 'connection']],
  ['UNKNOWN_DELIVERY_TAG', ['PRECONDITION_FAILED', 'channel']],
  ['CONSUMER_TAG_IN_USE', ['NOT_ALLOWED', 'connection']],
  ['CONSUMER_EXCLUSIVE', ['ACCESS_REFUSED', 'channel']],
  ['STORAGE_ERROR', ['RESOURCE_ERROR', 'connection']],
  ['STORAGE_FULL', ['RESOURCE_ERROR', 'connection']],
  ['SHUTTING_DOWN', ['CONNECTION_FORCED', 'connection']],
]);

/** What anything that was thrown means to the client. Of unexpected failures it is told no details. */
export function toAmqpException(thrown: unknown): AmqpException {
  if (thrown instanceof AmqpException) return thrown;
  const error: BurrowError = toBurrowError(thrown);
  const reply = REPLY_OF_ERROR.get(error.code);
  if (reply === undefined) return new AmqpException('INTERNAL_ERROR', 'The broker failed unexpectedly; see its log.');
  return new AmqpException(reply[0], error.message, reply[1]);
}
