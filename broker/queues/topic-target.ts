/**
 * An exchange bound to a topic: what is routed there becomes records (`record-mapping.ts`), in the partition that any Kafka producer
 * would choose for the key. Each partition's messages gather while those before them are on their way, and go as one batch; so
 * batches grow with the load. Stored means: on all in-sync replicas.
 */
import { type BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import type { FieldTable } from '../../src/messages/field-value.ts';
import { textProperty } from '../../src/messages/message-properties.ts';
import { keyPartition } from '../../src/murmur2.ts';
import { BatchBuilder } from '../../src/records/batch-builder.ts';
import type { BrokerService } from '../partitions/broker-service.ts';
import type { Clock } from '../ports/clock.ts';
import type { PublishedMessage } from './message-batch.ts';
import type { StoredTarget } from './message-log.ts';
import { recordHeadersOf } from './record-mapping.ts';

/** What becomes the key of a record. */
export type RecordKey = 'routing-key' | 'message-id';

/** The binding argument that says so. */
export const RECORD_KEY_ARGUMENT = 'x-record-key';

export interface TopicTargetOptions {
  readonly topic: string;
  /** 0 when the topic is gone. */
  readonly partitionCount: () => number;
  readonly produce: BrokerService['produce'];
  /** A batch is closed before it gets larger; never more than the topic takes. */
  readonly batchBytesMax: () => number;
  /** Why messages are refused when the topic is gone. Undefined: then they count as unrouted. */
  readonly refusal?: BurrowError;
  readonly clock: Clock;
  /** Default `routing-key`. */
  readonly key?: RecordKey;
}

export class TopicTarget {
  readonly #options: TopicTargetOptions;
  readonly #writers: Array<PartitionWriter | undefined> = [];
  key: RecordKey;

  constructor(options: TopicTargetOptions) {
    this.#options = options;
    this.key = options.key ?? 'routing-key';
  }

  /** Takes a message; `target` is told by its `number` what becomes of it. The bytes are copied before it returns. */
  publish(message: PublishedMessage, target: StoredTarget, number: number): true {
    const count = this.#options.partitionCount();
    if (count === 0) {
      const { refusal } = this.#options;
      // Deleted in this very turn: as if it had not been bound.
      if (refusal === undefined) target.onStored(number, number);
      else target.onNotStored(number, number, refusal);
      return true;
    }
    const { routingKey, properties, exchange, body } = message;
    const messageId =
      this.key === 'message-id' ? textProperty(properties, 0, properties.length, 'messageId') : undefined;
    const key = Buffer.from(messageId ?? routingKey);
    const partition = keyPartition(key, count);
    let writer = this.#writers[partition];
    if (writer === undefined) {
      writer = new PartitionWriter(this.#options, partition);
      this.#writers[partition] = writer;
    }
    const named = messageId === undefined ? undefined : routingKey;
    const headers = recordHeadersOf({ exchange, routingKey: named, properties });
    const value = body.length === 1 ? body[0]! : Buffer.concat(body);
    writer.add(this.#options.clock.now(), key, value, headers, target, number);
    return true;
  }

  /** Resolves when the outcome of everything that was published before the call is known. */
  async settled(): Promise<void> {
    await Promise.all(this.#writers.map((writer) => writer?.settled()));
  }
}

/** What the bindings to a topic say; the message id if any of them wants it. */
export function recordKeyOf(bindings: Iterable<{ readonly arguments: FieldTable }>): RecordKey {
  for (const { arguments: table } of bindings) if (table.get(RECORD_KEY_ARGUMENT) === 'message-id') return 'message-id';
  return 'routing-key';
}

class PartitionWriter {
  readonly #options: TopicTargetOptions;
  readonly #partition: number;
  #builder: BatchBuilder;
  #builderBytesMax: number;
  /** Of the records that gather: who published them, and their numbers. */
  #targets: StoredTarget[] = [];
  #numbers: number[] = [];
  #inFlight = 0;
  #scheduled = false;
  #settled: Promise<void> = Promise.resolve();

  constructor(options: TopicTargetOptions, partition: number) {
    this.#options = options;
    this.#partition = partition;
    this.#builderBytesMax = options.batchBytesMax();
    this.#builder = new BatchBuilder({ batchBytesMax: this.#builderBytesMax });
  }

  add(
    timestampMs: number,
    key: Uint8Array,
    value: Uint8Array,
    headers: ReturnType<typeof recordHeadersOf>,
    target: StoredTarget,
    number: number,
  ): void {
    const bytesMax = this.#options.batchBytesMax();
    if (this.#builder.count === 0 && bytesMax !== this.#builderBytesMax) {
      this.#builderBytesMax = bytesMax;
      this.#builder = new BatchBuilder({ batchBytesMax: bytesMax });
    }
    if (!this.#builder.append(timestampMs, key, value, headers)) {
      this.#flush();
      this.#builder.append(timestampMs, key, value, headers);
    }
    this.#targets.push(target);
    this.#numbers.push(number);
    if (this.#inFlight > 0 || this.#scheduled) return;
    this.#scheduled = true;
    // A microtask later, so that one batch takes all that the current turn publishes.
    void Promise.resolve().then(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  async settled(): Promise<void> {
    this.#flush();
    await this.#settled;
  }

  #flush(): void {
    if (this.#builder.count === 0) return;
    const { topic, produce } = this.#options;
    const targets = this.#targets;
    const numbers = this.#numbers;
    this.#targets = [];
    this.#numbers = [];
    this.#inFlight++;
    const records = this.#builder.finish() as Buffer;
    const stored = produce({ topic, partition: this.#partition, records, acks: -1 }).then(
      () => undefined,
      (error: unknown) => toBurrowError(error),
    );
    const before = this.#settled;
    this.#settled = stored.then(async (error) => {
      this.#inFlight--;
      if (this.#inFlight === 0) this.#flush();
      // In order, also where a later batch is refused at once.
      await before;
      tell(targets, numbers, error);
    });
  }
}

/** Tells each publisher of runs of its numbers. */
function tell(targets: readonly StoredTarget[], numbers: readonly number[], error: BurrowError | undefined): void {
  for (let from = 0; from < targets.length; ) {
    const target = targets[from]!;
    let to = from;
    while (to + 1 < targets.length && targets[to + 1] === target && numbers[to + 1] === numbers[to]! + 1) to++;
    if (error === undefined) target.onStored(numbers[from]!, numbers[to]!);
    else target.onNotStored(numbers[from]!, numbers[to]!, error);
    from = to + 1;
  }
}
