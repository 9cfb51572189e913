/**
 * A cluster for consumers without sockets: partitions are lists of batches, fetches wait for data as a broker's do, and a test
 * may hold answers back or let requests fail.
 */
import { backoffDelayMs } from '../../client/backoff.ts';
import type { ClientClock } from '../../client/clock.ts';
import type { ConsumerHost } from '../../client/consumer/consumer.ts';
import type { FetchAnswer } from '../../client/consumer/cursor-feed.ts';
import type { FetchCall, FetchLimits, FetchTarget } from '../../client/consumer/fetcher.ts';
import type { StartPoint } from '../../client/consumer/partition-cursor.ts';
import type { GroupHost } from '../../client/groups/group-host.ts';
import type { TopicMetadata } from '../../client/metadata.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { BatchBuilder } from '../../src/records/batch-builder.ts';
import { type Codec, getBaseOffset, getNextOffset, setBaseOffset } from '../../src/records/batch-header.ts';
import type { FakeClientClock } from './fake-client-clock.ts';
import { FakeGroupCoordinator, FakeGroupHost } from './fake-group-coordinator.ts';

export class FakeLog {
  readonly batches: Uint8Array[] = [];
  logStartOffset = 0;
  logEndOffset = 0;
  /** Answered to the next fetches of this partition, one each. */
  readonly errors: BurrowError[] = [];

  async append(values: readonly string[], options: { codec?: Codec; timestampMs?: number } = {}): Promise<void> {
    const encoder = new TextEncoder();
    const builder = new BatchBuilder();
    for (const value of values) builder.append(options.timestampMs ?? 0, null, encoder.encode(value));
    const bytes = await builder.finishCompressed(options.codec ?? 'none');
    this.appendBytes(bytes);
  }

  appendBytes(bytes: Uint8Array): void {
    setBaseOffset(bytes, 0, this.logEndOffset);
    this.logEndOffset = getNextOffset(bytes, 0);
    this.batches.push(bytes);
  }

  removeUpTo(offset: number): void {
    this.logStartOffset = offset;
    while (this.batches.length > 0 && getNextOffset(this.batches[0]!, 0) <= offset) this.batches.shift();
  }
}

interface Held {
  readonly targets: readonly FetchTarget[];
  answer(): void;
}

export class FakeFetchHost implements ConsumerHost {
  readonly clock: ClientClock;
  readonly backoff = { initialMs: 100, maxMs: 1000 };
  readonly requestTimeoutMs = 30_000;
  /** Several hosts may share them, as several consumers do. */
  logs = new Map<string, FakeLog>();
  readonly fetches: Array<{ targets: readonly FetchTarget[]; limits: FetchLimits }> = [];
  /** Fetches that wait for data. */
  readonly waiting = new Set<() => void>();
  /** While true, answers are kept in {@link held}. */
  holdAnswers = false;
  readonly held: Held[] = [];
  cancels = 0;
  /** Thrown by the next fetches, one each. */
  readonly failures: BurrowError[] = [];
  refreshes = 0;

  readonly groups: GroupHost;

  constructor(clock: FakeClientClock, groups: GroupHost = new FakeGroupHost(new FakeGroupCoordinator(clock))) {
    this.clock = clock;
    this.groups = groups;
  }

  log(topic: string, partition = 0): FakeLog {
    const key = `${topic}-${partition}`;
    const log = this.logs.get(key) ?? new FakeLog();
    this.logs.set(key, log);
    return log;
  }

  leaderOf(topic: string, partition: number): number | undefined {
    return this.logs.has(`${topic}-${partition}`) ? 1 : undefined;
  }

  async refreshMetadata(topic: string): Promise<void> {
    this.refreshes += 1;
    await this.topic(topic);
  }

  async topic(name: string): Promise<TopicMetadata> {
    const partitions = [...this.logs.keys()]
      .filter((key) => key.slice(0, key.lastIndexOf('-')) === name)
      .map((_, partition) => ({ partition, leader: 1, leaderEpoch: 0, replicas: [1], inSyncReplicas: [1] }));
    if (partitions.length === 0) throw new BurrowError('UNKNOWN_TOPIC_OR_PARTITION', `No topic ${name}.`);
    return { name, topicId: name, internal: false, partitions };
  }

  async listOffset(_node: number, topic: string, partition: number, startPoint: StartPoint): Promise<number> {
    await new Promise((resolve) => setImmediate(resolve));
    const log = this.log(topic, partition);
    if (startPoint === 'earliest') return log.logStartOffset;
    if (startPoint === 'latest') return log.logEndOffset;
    const { timestampMs } = startPoint;
    const view = (batch: Uint8Array) => new DataView(batch.buffer, batch.byteOffset);
    const found = log.batches.find((batch) => Number(view(batch).getBigInt64(35)) >= timestampMs);
    return found === undefined ? log.logEndOffset : getBaseOffset(found, 0);
  }

  fetch(_nodeId: number, targets: readonly FetchTarget[], limits: FetchLimits): FetchCall {
    this.fetches.push({ targets, limits });
    const failure = this.failures.shift();
    if (failure !== undefined) return { done: Promise.reject(failure), cancel() {} };
    let finish: () => void = () => {};
    const ready = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const timer = this.clock.schedule(limits.waitMs, () => finish());
    this.waiting.add(finish);
    if (this.#answers(targets, limits).some(({ records, error }) => records.byteLength > 0 || error !== undefined)) {
      setImmediate(finish);
    }
    const done = ready.then(async () => {
      timer.cancel();
      this.waiting.delete(finish);
      const answers = this.#answers(targets, limits, true);
      if (this.holdAnswers) {
        await new Promise<void>((resolve) => this.held.push({ targets, answer: resolve }));
      }
      return answers;
    });
    return {
      done,
      cancel: () => {
        this.cancels += 1;
        finish();
      },
    };
  }

  /** Something was appended. */
  wake(): void {
    for (const finish of this.waiting) finish();
  }

  backoffDelay(attempt: number): number {
    return backoffDelayMs(this.backoff, attempt, 0.5);
  }

  #answers(targets: readonly FetchTarget[], limits: FetchLimits, takeErrors = false): FetchAnswer[] {
    let bytesLeft = limits.bytesMax;
    return targets.map(({ topic, partition, offset, bytesMax }) => {
      const log = this.log(topic, partition);
      const facts = { highWatermark: log.logEndOffset, logStartOffset: log.logStartOffset };
      const error = takeErrors ? log.errors.shift() : log.errors[0];
      if (error !== undefined) return { ...facts, error, records: new Uint8Array(0) };
      if (offset < log.logStartOffset || offset > log.logEndOffset) {
        return { ...facts, error: new BurrowError('OFFSET_OUT_OF_RANGE'), records: new Uint8Array(0) };
      }
      const chosen: Uint8Array[] = [];
      let bytes = 0;
      for (const batch of log.batches) {
        if (getNextOffset(batch, 0) <= offset) continue;
        const fits = bytes + batch.byteLength <= Math.min(bytesMax, bytesLeft);
        if (!fits && (chosen.length > 0 || bytesLeft < limits.bytesMax)) break;
        chosen.push(batch);
        bytes += batch.byteLength;
      }
      bytesLeft -= bytes;
      return { ...facts, error: undefined, records: new Uint8Array(Buffer.concat(chosen)) };
    });
  }
}
