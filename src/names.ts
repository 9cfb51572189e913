/**
 * Names that users and clients choose: which are allowed, and what to tell the one who chose another.
 *
 * A name that passes is still no object key: `__proto__` and `constructor` are valid names. Keep what is named in a Map.
 */
import { utf8Bytes } from './bytes/utf8.ts';
import { BurrowError } from './errors/burrow-error.ts';

/** As in Kafka (Topic.java): with the partition number and a suffix it must fit a file name of 255 bytes. */
export const TOPIC_NAME_CHARACTERS_MAX = 249;
export const CLIENT_ID_CHARACTERS_MAX = 255;

const TOPIC_NAME = /^[a-zA-Z0-9._-]+$/;
const NOT_IN_TOPIC_NAME = /[^a-zA-Z0-9._-]/u;
/** Controls, lone surrogates, line separators and writing-direction marks: they forge lines in logs and on terminals. */
const NOT_IN_CLIENT_ID = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/u;
/** Of a bad name, shown in the error. */
const SHOWN_CHARACTERS_MAX = 60;

/** Throws INVALID_NAME unless `name` may name a topic (Kafka's rule). */
export function checkTopicName(name: string): void {
  const problem = topicNameProblem(name);
  if (problem === undefined) return;
  throw new BurrowError(
    'INVALID_NAME',
    `Topic name ${shown(name)} ${problem}. Use 1 to ${TOPIC_NAME_CHARACTERS_MAX} of the characters a-z A-Z 0-9 . _ - (not "." or "..").`,
  );
}

function topicNameProblem(name: string): string | undefined {
  if (name === '') return 'is empty';
  if (name === '.' || name === '..') return 'means a folder in file systems';
  if (name.length > TOPIC_NAME_CHARACTERS_MAX) return `has ${name.length} characters`;
  if (TOPIC_NAME.test(name)) return undefined;
  return `contains ${shownCharacter(NOT_IN_TOPIC_NAME.exec(name))}`;
}

/**
 * What two topic names have in common that Kafka's metrics cannot tell apart, since these turn "." into "_".
 * Kafka refuses a new topic whose key an existing one has.
 */
export function topicCollisionKey(name: string): string {
  return name.replaceAll('.', '_');
}

/** Whether the names differ only in "." and "_". A name does not collide with itself. */
export function topicNamesCollide(first: string, second: string): boolean {
  return first !== second && topicCollisionKey(first) === topicCollisionKey(second);
}

/** Throws INVALID_NAME unless `clientId` may stand in logs, metrics and quotas. The empty one may. */
export function checkClientId(clientId: string): void {
  if (clientId.length > CLIENT_ID_CHARACTERS_MAX) {
    throw new BurrowError(
      'INVALID_NAME',
      `Client id ${shown(clientId)} has ${clientId.length} characters. Use at most ${CLIENT_ID_CHARACTERS_MAX}.`,
    );
  }
  const bad = NOT_IN_CLIENT_ID.exec(clientId);
  if (bad !== null) {
    throw new BurrowError(
      'INVALID_NAME',
      `Client id ${shown(clientId)} contains ${shownCharacter(bad)}. Use printable characters only.`,
    );
  }
}

/** Of the names of exchanges, queues, virtual hosts and policies, and of routing keys: AMQP's short string. */
const SHORT_STRING_BYTES_MAX = 255;
/** UTF-8 has no form for it, so it would be another name when it comes back from disk. */
const LONE_SURROGATE = /\p{Cs}/u;

/**
 * Throws INVALID_NAME unless `name` may name an exchange, a queue, a virtual host or a policy. The characters are free,
 * as in RabbitMQ. The empty name passes: it is the default exchange, or asks for a name.
 * @param what - "queue", for the error
 */
export function checkAmqpName(name: string, what: string): void {
  checkShortString(name, `The name of the ${what}`);
}

/** Throws INVALID_NAME unless `key` is short enough to be a routing or binding key. */
export function checkRoutingKey(key: string): void {
  checkShortString(key, 'The routing key');
}

function checkShortString(text: string, what: string): void {
  // No string has more UTF-16 units than bytes: counting waits until it may matter.
  const bytes = text.length > SHORT_STRING_BYTES_MAX ? text.length : utf8Bytes(text);
  if (bytes > SHORT_STRING_BYTES_MAX) {
    throw new BurrowError(
      'INVALID_NAME',
      `${what}, ${shown(text)}, has more than ${SHORT_STRING_BYTES_MAX} bytes in UTF-8. Use a shorter one.`,
    );
  }
  if (LONE_SURROGATE.test(text)) {
    throw new BurrowError('INVALID_NAME', `${what}, ${shown(text)}, is not well-formed Unicode.`);
  }
}

/** Safe to print: in quotes, cut, and all but plain ASCII escaped, so that look-alikes show. */
function shown(name: string): string {
  const cut = name.length > SHOWN_CHARACTERS_MAX ? `${name.slice(0, SHOWN_CHARACTERS_MAX)}…` : name;
  return JSON.stringify(cut).replace(/[^\x20-\x7e…]/gu, (character) => `\\u{${codePoint(character)}}`);
}

function shownCharacter(match: RegExpExecArray | null): string {
  const character = match?.[0] ?? '';
  const code = codePoint(character);
  return /[\x21-\x7e]/.test(character) ? `"${character}"` : `the character U+${code.padStart(4, '0')}`;
}

function codePoint(character: string): string {
  return (character.codePointAt(0) ?? 0).toString(16).toUpperCase();
}
