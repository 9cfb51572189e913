/** A record of a dead-letter topic in its parts, and filters that choose among them. */
import type { RecordHeader } from '../../src/records/record-header.ts';
import type { ConsumerRecord } from '../consumer/consumer-record.ts';
import { checkNonNegativeInteger } from '../options.ts';
import {
  type ParsedFailure,
  parseFailureHeaders,
  type RecordOrigin,
  withoutFailureHeaders,
} from './failure-headers.ts';

/** What is not known of the failure is undefined: anybody may write into a topic. */
export interface DeadLetter {
  /** The dead-letter topic, and the place in it. */
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** As the record was. */
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  /** The record's own headers, without those that tell of the failure. */
  readonly headers: readonly RecordHeader[];
  /** Where the record was first. */
  readonly origin: RecordOrigin | undefined;
  /** Of the subscriber. */
  readonly group: string | undefined;
  readonly attempts: number | undefined;
  /** The code of a BurrowError, else the name of the error. */
  readonly errorName: string | undefined;
  readonly errorMessage: string | undefined;
  readonly errorStack: string | undefined;
  /** Milliseconds since the epoch. */
  readonly failedAtMs: number | undefined;
  /** Whether a replay has put it back before. */
  readonly replayed: boolean;
}

/** Dead letters that are as all the given fields say. */
export interface DeadLetterFilter {
  /** As {@link DeadLetter.errorName}. */
  readonly errorName?: string | undefined;
  readonly group?: string | undefined;
  readonly originalTopic?: string | undefined;
  readonly originalPartition?: number | undefined;
  /** From this offset in the original partition. */
  readonly originalOffsetFrom?: number | undefined;
  /** Below this offset in the original partition. */
  readonly originalOffsetEnd?: number | undefined;
  /** Failed then or later, in milliseconds since the epoch. */
  readonly failedFromMs?: number | undefined;
  /** Failed before, in milliseconds since the epoch. */
  readonly failedBeforeMs?: number | undefined;
  /** Exactly these bytes. */
  readonly key?: Uint8Array | undefined;
}

export function deadLetterOf(record: ConsumerRecord, replayed: boolean): DeadLetter {
  const { topic, partition, offset, headers } = record;
  const failure: ParsedFailure = parseFailureHeaders(headers);
  return {
    topic,
    partition,
    offset,
    key: record.keyBytes,
    value: record.valueBytes,
    headers: withoutFailureHeaders(headers),
    origin: failure.origin,
    group: failure.group,
    attempts: failure.attempts,
    errorName: failure.errorName,
    errorMessage: failure.errorMessage,
    errorStack: failure.errorStack,
    failedAtMs: failure.failedAtMs,
    replayed,
  };
}

/** Throws INVALID_ARGUMENT. */
export function checkFilter(filter: DeadLetterFilter): void {
  for (const name of [
    'originalPartition',
    'originalOffsetFrom',
    'originalOffsetEnd',
    'failedFromMs',
    'failedBeforeMs',
  ] as const) {
    const value = filter[name];
    if (value !== undefined) checkNonNegativeInteger(name, value);
  }
}

export function matchesFilter(letter: DeadLetter, filter: DeadLetterFilter): boolean {
  const { origin, failedAtMs } = letter;
  return (
    isAsAsked(filter.errorName, letter.errorName) &&
    isAsAsked(filter.group, letter.group) &&
    isAsAsked(filter.originalTopic, origin?.topic) &&
    isAsAsked(filter.originalPartition, origin?.partition) &&
    isWithin(filter.originalOffsetFrom, filter.originalOffsetEnd, origin?.offset) &&
    isWithin(filter.failedFromMs, filter.failedBeforeMs, failedAtMs) &&
    (filter.key === undefined || isSame(filter.key, letter.key))
  );
}

function isAsAsked<T>(asked: T | undefined, is: T | undefined): boolean {
  return asked === undefined || asked === is;
}

/** What is not known lies in no range. */
function isWithin(from: number | undefined, end: number | undefined, value: number | undefined): boolean {
  if (from === undefined && end === undefined) return true;
  return value !== undefined && value >= (from ?? 0) && value < (end ?? Number.POSITIVE_INFINITY);
}

function isSame(asked: Uint8Array, key: Uint8Array | null): boolean {
  return key !== null && key.length === asked.length && key.every((byte, index) => byte === asked[index]);
}
