/** What the scenarios ask of a Kafka client. One adapter per client; the scenarios know no other difference between them. */
import type { KafkaTarget } from '../../support/kafka-target.ts';

export const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const;
export type CodecName = (typeof CODECS)[number];

export interface Message {
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>;
  /** Milliseconds; left to the client where undefined. */
  readonly timestampMs?: number;
}

export interface ConsumedMessage {
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>;
  readonly timestampMs: number;
}

export interface ProduceOptions {
  readonly topic: string;
  /** Undefined: the client's partitioner decides by the key. */
  readonly partition?: number;
  readonly codec?: CodecName;
  readonly idempotent?: boolean;
  readonly messages: readonly Message[];
}

export interface ClientAdapter {
  /** Whether messages can carry timestamps of the caller's choice. */
  readonly timestamps: boolean;
  /** Resolves when all are acknowledged. */
  produce(target: KafkaTarget, options: ProduceOptions): Promise<void>;
  /** All messages of a partition from an offset to its end, by assignment, without a group. */
  consume(target: KafkaTarget, topic: string, partition: number, fromOffset: number): Promise<ConsumedMessage[]>;
  /** The offset of the first message at or after a time; undefined if the client cannot ask. */
  readonly offsetForTime?: (
    target: KafkaTarget,
    topic: string,
    partition: number,
    timestampMs: number,
  ) => Promise<number>;
  close?(): Promise<void>;
}
