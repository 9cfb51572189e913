/** What a subscriber asks about records whose handler threw, or that could not be deserialized. */
import type { ConsumerRecord } from '../consumer/consumer-record.ts';

/** The record as it was read: raw key and value, since a poison record has no deserialized form. */
export type RawRecord = ConsumerRecord<Uint8Array, Uint8Array>;

export type FailureDecision =
  /** Call the handler again after a pause; until then the record's key is blocked. */
  | { readonly kind: 'retryInPlace'; readonly delayMs: number }
  /** Store it elsewhere (retry topic or dead-letter topic), then count it as finished. */
  | { readonly kind: 'setAside' }
  /** No dead-letter topic wanted: stop the subscription with this error, commit nothing beyond. */
  | { readonly kind: 'stop' };

export interface FailurePolicy {
  /** Throws INVALID_ARGUMENT, INVALID_NAME if the subscription cannot consume the topic: its own failed records lie there, or the name is too long. */
  checkTopic(topic: string): void;
  /** These are consumed as well from now on: makes and finds their retry topics. Those that are known already may be among them. */
  addTopics(topics: readonly string[]): Promise<void>;
  /** Topics that the subscription reads beside its own (its retry topics). */
  readonly retryTopics: readonly string[];
  /** @param attempts - How often this record has been tried here and, by its headers, before; at least 1. */
  decide(record: RawRecord, attempts: number, error: unknown): FailureDecision;
  /** Resolves when the record is durable in its retry or dead-letter topic. Retries by itself what may be retried; rejects if it cannot be done. */
  setAside(record: RawRecord, attempts: number, error: unknown): Promise<void>;
  /** How long to wait with a record of a retry topic until it is due; 0 for others. */
  waitMs(record: RawRecord, nowMs: number): number;
  /** Attempts that a record brings along in its headers; 0 for a record of the original topic. */
  attemptsBefore(record: RawRecord): number;
  /** What is being set aside may still be stored, for at most `timeoutMs`. */
  close(options: { timeoutMs?: number }): Promise<void>;
}
