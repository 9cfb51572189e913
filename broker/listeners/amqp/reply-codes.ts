/**
 * Reply codes of AMQP 0-9-1 (section 1.2), and the one function that says what becomes of an error: a channel is closed, or
 * the connection.
 */
import { type BurrowError, toBurrowError } from '../../../src/errors/burrow-error.ts';
import { errorRow } from '../../../src/errors/table.ts';

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

const NAME_OF_CODE: ReadonlyMap<number, ReplyName> = new Map(
  (Object.entries(REPLY_CODES) as Array<[ReplyName, number]>).map(([name, code]) => [code, name]),
);

/** What anything that was thrown means to the client. Of unexpected failures it is told no details. */
export function toAmqpException(thrown: unknown): AmqpException {
  if (thrown instanceof AmqpException) return thrown;
  const error: BurrowError = toBurrowError(thrown);
  const { amqp } = errorRow(error.code);
  const reply = amqp && NAME_OF_CODE.get(amqp.code);
  if (reply === undefined || reply === 'INTERNAL_ERROR') {
    return new AmqpException('INTERNAL_ERROR', 'The broker failed unexpectedly; see its log.');
  }
  return new AmqpException(reply, error.message, amqp!.scope);
}
