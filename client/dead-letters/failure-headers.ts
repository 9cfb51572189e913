/**
 * The headers that a record gets when it is set aside, in a retry topic or a dead-letter topic. They stand behind its own headers,
 * which stay as they are. Texts in UTF-8, numbers in decimal digits, times in milliseconds since the epoch.
 *
 * There is never more than one set: a record that fails again gets the headers of its last failure. Where the record comes from is
 * kept, so that it goes back to where it was first.
 */
import type { RecordHeader } from '../../src/records/record-header.ts';
import type { ErrorDescription } from './error-description.ts';
import { isSetAsideTopic } from './topic-names.ts';

/** Headers whose name begins so are ours: they are dropped from a record that is set aside, and from one that is replayed. */
export const FAILURE_HEADER_PREFIX = 'burrow-dlq-';

const ORIGINAL_TOPIC = `${FAILURE_HEADER_PREFIX}original-topic`;
const ORIGINAL_PARTITION = `${FAILURE_HEADER_PREFIX}original-partition`;
const ORIGINAL_OFFSET = `${FAILURE_HEADER_PREFIX}original-offset`;
const ORIGINAL_TIMESTAMP = `${FAILURE_HEADER_PREFIX}original-timestamp`;
const GROUP = `${FAILURE_HEADER_PREFIX}group`;
const ATTEMPTS = `${FAILURE_HEADER_PREFIX}attempts`;
const ERROR_NAME = `${FAILURE_HEADER_PREFIX}error-name`;
const ERROR_MESSAGE = `${FAILURE_HEADER_PREFIX}error-message`;
const ERROR_STACK = `${FAILURE_HEADER_PREFIX}error-stack`;
const FAILED_AT = `${FAILURE_HEADER_PREFIX}failed-at`;
const DUE_AT = `${FAILURE_HEADER_PREFIX}due-at`;

/** Where a record was before it was set aside for the first time. */
export interface RecordOrigin {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Milliseconds since the epoch; -1 if it had none. */
  readonly timestampMs: number;
}

export interface Failure {
  readonly origin: RecordOrigin;
  /** Undefined for a subscriber without a group. */
  readonly group: string | undefined;
  /** How often it has been tried. */
  readonly attempts: number;
  readonly error: ErrorDescription;
  /** Milliseconds since the epoch. */
  readonly failedAtMs: number;
  /** In a retry topic: when it is to be tried again, in milliseconds since the epoch. */
  readonly dueAtMs: number | undefined;
}

/** What could be read of the headers: anybody may have written them. */
export interface ParsedFailure {
  readonly origin: RecordOrigin | undefined;
  readonly group: string | undefined;
  readonly attempts: number | undefined;
  readonly errorName: string | undefined;
  readonly errorMessage: string | undefined;
  readonly errorStack: string | undefined;
  readonly failedAtMs: number | undefined;
  readonly dueAtMs: number | undefined;
}

export type HeaderPair = readonly [name: string, value: Uint8Array | string | null];

/** The headers of a record that is set aside: its own, then ours. */
export function withFailureHeaders(headers: readonly RecordHeader[], failure: Failure): HeaderPair[] {
  const { origin, group, attempts, error, failedAtMs, dueAtMs } = failure;
  const pairs: HeaderPair[] = withoutFailureHeaders(headers).map(({ key, value }) => [key, value]);
  pairs.push(
    [ORIGINAL_TOPIC, origin.topic],
    [ORIGINAL_PARTITION, String(origin.partition)],
    [ORIGINAL_OFFSET, String(origin.offset)],
    [ORIGINAL_TIMESTAMP, String(origin.timestampMs)],
  );
  if (group !== undefined) pairs.push([GROUP, group]);
  pairs.push([ATTEMPTS, String(attempts)], [ERROR_NAME, error.name], [ERROR_MESSAGE, error.message]);
  if (error.stack !== '') pairs.push([ERROR_STACK, error.stack]);
  pairs.push([FAILED_AT, String(failedAtMs)]);
  if (dueAtMs !== undefined) pairs.push([DUE_AT, String(dueAtMs)]);
  return pairs;
}

export function withoutFailureHeaders(headers: readonly RecordHeader[]): RecordHeader[] {
  return headers.filter(({ key }) => !key.startsWith(FAILURE_HEADER_PREFIX));
}

/**
 * What is noted of the last failure of a record that was consumed from a retry or dead-letter topic, such as where it was first;
 * undefined for a record of another topic, where anybody could have written it.
 */
export function failureOf(record: {
  readonly topic: string;
  readonly headers: readonly RecordHeader[];
}): ParsedFailure | undefined {
  return isSetAsideTopic(record.topic) ? parseFailureHeaders(record.headers) : undefined;
}

export function parseFailureHeaders(headers: readonly RecordHeader[]): ParsedFailure {
  const ours = new Map<string, Uint8Array | null>();
  for (const { key, value } of headers) if (key.startsWith(FAILURE_HEADER_PREFIX)) ours.set(key, value);
  const text = (name: string): string | undefined => {
    const value = ours.get(name);
    return value == null ? undefined : decoder.decode(value);
  };
  const number = (name: string): number | undefined => parseNumber(text(name));
  return {
    origin: parseOrigin(
      text(ORIGINAL_TOPIC),
      number(ORIGINAL_PARTITION),
      number(ORIGINAL_OFFSET),
      number(ORIGINAL_TIMESTAMP),
    ),
    group: text(GROUP),
    attempts: number(ATTEMPTS),
    errorName: text(ERROR_NAME),
    errorMessage: text(ERROR_MESSAGE),
    errorStack: text(ERROR_STACK),
    failedAtMs: number(FAILED_AT),
    dueAtMs: number(DUE_AT),
  };
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

function parseOrigin(
  topic: string | undefined,
  partition: number | undefined,
  offset: number | undefined,
  timestampMs = -1,
): RecordOrigin | undefined {
  if (topic === undefined || topic === '' || partition === undefined || offset === undefined) return undefined;
  return { topic, partition, offset, timestampMs };
}

function parseNumber(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,16}$/.test(text)) return undefined;
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : undefined;
}
