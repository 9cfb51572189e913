/**
 * Names of the topics that records are set aside in:
 *
 *     <topic>.<group>.dlq         dead letters
 *     <topic>.<group>.retry.<n>   waiting for their next attempt, n = 1, 2 …: one topic for each delay
 *
 * Group ids may have any characters, topic names may not, and both may have dots. So in the group every byte but a-z A-Z 0-9 _ -
 * stands as `_` and two hexadecimal digits, as does an `_` that could be taken for such. Hence the name of a group never has a
 * dot, and no two pairs of topic and group share a name.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { TOPIC_NAME_CHARACTERS_MAX } from '../../src/names.ts';

const DEAD_LETTER_SUFFIX = '.dlq';
const REPLAY_SUFFIX = '.replay';
/** Room for the name of the group that notes what has been replayed. */
const DEAD_LETTER_NAME_CHARACTERS_MAX = TOPIC_NAME_CHARACTERS_MAX - REPLAY_SUFFIX.length;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export interface SetAsideTopic {
  readonly kind: 'retry' | 'deadLetters';
  /** Where the records come from. */
  readonly topic: string;
  readonly group: string;
  /** Of a retry topic: 1 for the first delay. */
  readonly step: number | undefined;
}

/** Throws INVALID_NAME if topic and group are too long together. */
export function deadLetterTopicName(topic: string, group: string): string {
  const name = `${topic}.${encodeGroup(group)}${DEAD_LETTER_SUFFIX}`;
  checkDeadLetterTopicLength(name, `of topic ${topic} and group ${group} `);
  return name;
}

/** Throws INVALID_NAME unless there is room for the name of the group that replays it. */
export function checkDeadLetterTopicLength(name: string, whose = ''): void {
  if (name.length <= DEAD_LETTER_NAME_CHARACTERS_MAX) return;
  throw new BurrowError(
    'INVALID_NAME',
    `The name of the dead-letter topic ${whose}has ${name.length} characters, but at most ${DEAD_LETTER_NAME_CHARACTERS_MAX} are allowed. Name a shorter one with deadLetter: { topic }.`,
    { fields: { topic: name } },
  );
}

/** Throws INVALID_NAME if topic and group are too long together. */
export function retryTopicName(topic: string, group: string, step: number): string {
  const name = `${topic}.${encodeGroup(group)}.retry.${step}`;
  if (name.length <= TOPIC_NAME_CHARACTERS_MAX) return name;
  throw new BurrowError(
    'INVALID_NAME',
    `The name of the retry topic of topic ${topic} and group ${group} has ${name.length} characters, but at most ${TOPIC_NAME_CHARACTERS_MAX} are allowed. Use a shorter group id, or retry.mode: 'in-place'.`,
    { fields: { topic, group } },
  );
}

/** What a name says; undefined for topics of other kinds, also for dead-letter topics that were given a name of their own. */
export function parseSetAsideTopic(name: string): SetAsideTopic | undefined {
  const [, topic, encodedGroup, suffix, step] =
    /^(.+)\.([a-zA-Z0-9_-]+)\.(dlq|retry\.([1-9]\d{0,2}))$/.exec(name) ?? [];
  const group = encodedGroup === undefined ? undefined : decodeGroup(encodedGroup);
  if (topic === undefined || group === undefined) return undefined;
  if (suffix === 'dlq') return { kind: 'deadLetters', topic, group, step: undefined };
  return { kind: 'retry', topic, group, step: Number(step) };
}

/** Whether the name is that of a retry or dead-letter topic: who subscribes to a pattern does not mean those. */
export function isSetAsideTopic(name: string): boolean {
  return parseSetAsideTopic(name) !== undefined || isDeadLetterTopic(name);
}

/** Whether the name ends as those of dead-letter topics do: own names should, to be listed. */
export function isDeadLetterTopic(name: string): boolean {
  return name.endsWith(DEAD_LETTER_SUFFIX) && name.length > DEAD_LETTER_SUFFIX.length;
}

/** The group whose offsets note what of a dead-letter topic has been replayed. */
export function replayGroupOf(topic: string): string {
  return `${topic}${REPLAY_SUFFIX}`;
}

function encodeGroup(group: string): string {
  return group
    .replace(/_(?=[0-9a-f]{2})/g, '_5f')
    .replace(/[^a-zA-Z0-9_-]+/gu, (text) =>
      Array.from(encoder.encode(text), (byte) => `_${byte.toString(16).padStart(2, '0')}`).join(''),
    );
}

function decodeGroup(encoded: string): string | undefined {
  const bytes: number[] = [];
  for (const [token] of encoded.matchAll(/_[0-9a-f]{2}|./gs)) {
    bytes.push(token.length === 3 ? Number.parseInt(token.slice(1), 16) : token.charCodeAt(0));
  }
  try {
    const group = decoder.decode(Uint8Array.from(bytes));
    return encodeGroup(group) === encoded ? group : undefined;
  } catch {
    return undefined;
  }
}
