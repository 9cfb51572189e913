/**
 * The way of a producer's batches into the log: what may not pass is refused here, with the reason; what passes gets its
 * place at once, in the order of the calls, and is answered when it is as safe as the producer asked.
 *
 * Order is a promise: `produce` appends before it returns. Only batches whose compressed records must be looked into
 * (compacted topics want a key in every record) are checked aside; then all that follows to that partition waits behind them.
 *
 * Per batch. Per record only the walk in `checkBatch`.
 */
import { BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import {
  getBaseTimestamp,
  getBatchBytes,
  getCodec,
  getMaxTimestamp,
  isTransactional,
  NONE,
} from '../../src/records/batch-header.ts';
import { checkBatch } from '../../src/records/check-batch.ts';
import type { LogConfig } from '../log/log-config.ts';
import type { Appended } from '../log/partition-log.ts';
import type { Clock } from '../ports/clock.ts';
import type { ProduceOutcome, ProduceRequest } from './broker-service.ts';
import type { CompressedRecords } from './compressed-records.ts';
import type { DiskSpace } from './disk-space.ts';
import type { Partition } from './partition.ts';

export interface ProduceGateOptions {
  /** @throws BurrowError UNKNOWN_TOPIC_OR_PARTITION; INVALID_NAME for topics that clients must not write */
  readonly findPartition: (topic: string, partition: number) => Partition;
  readonly clock: Clock;
  readonly diskSpace: DiskSpace;
  readonly compressedRecords: CompressedRecords;
}

export class ProduceGate {
  readonly #options: ProduceGateOptions;
  /** Requests that are not appended yet. */
  readonly #queued = new Set<Promise<unknown>>();
  #closed = false;

  constructor(options: ProduceGateOptions) {
    this.#options = options;
  }

  /** Never throws; what is refused is a rejection. */
  produce(request: ProduceRequest): Promise<ProduceOutcome> {
    try {
      if (this.#closed) throw new BurrowError('SHUTTING_DOWN');
      const partition = this.#options.findPartition(request.topic, request.partition);
      const mustLookInside = this.#check(partition, request);
      if (!mustLookInside && partition.turn === undefined) return this.#append(partition, request);
      return this.#appendInTurn(partition, request, mustLookInside);
    } catch (error) {
      return Promise.reject(toBurrowError(error));
    }
  }

  /** Takes no more. Resolves when everything taken is appended or refused. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#queued);
  }

  /** Throws if the request breaks a rule. Returns whether compressed records must be checked before it may pass. */
  #check(partition: Partition, { records, acks }: ProduceRequest): boolean {
    this.#checkWritable(partition, acks);
    const limits = partition.batchLimits;
    const nowMs = this.#options.clock.now();
    let compressed = false;
    let position = 0;
    if (records.length === 0) throw new BurrowError('INVALID_RECORD', 'The request holds no record batch.');
    while (position < records.length) {
      const batchBytes = checkBatch(records, position, records.length, limits);
      if (isTransactional(records, position)) {
        throw new BurrowError('NOT_IMPLEMENTED', 'This broker does not take transactional batches.');
      }
      checkTimestamps(records, position, partition.config, nowMs);
      compressed ||= getCodec(records, position) !== 'none';
      position += batchBytes;
    }
    return compressed && limits.keysRequired === true;
  }

  #checkWritable(partition: Partition, acks: ProduceRequest['acks']): void {
    partition.checkLeader(NONE);
    if (acks === -1) partition.checkReplicas();
    const { full } = this.#options.diskSpace;
    if (full !== undefined) throw full;
  }

  #append(partition: Partition, request: ProduceRequest): Promise<ProduceOutcome> {
    const { records, acks } = request;
    const nowMs = this.#options.clock.now();
    this.#options.diskSpace.noteProduced(records.length);
    const firstBytes = getBatchBytes(records, 0);
    if (firstBytes === records.length) {
      const appended = partition.append(records, nowMs);
      const outcome = outcomeOf(partition, appended);
      if (acks === 0) return Promise.resolve(outcome);
      return partition.acknowledged(appended, acks).then(() => outcome);
    }
    return this.#appendSeveral(partition, request, nowMs);
  }

  /** The native protocol may send several batches at once; the log takes them one by one. */
  #appendSeveral(partition: Partition, { records, acks }: ProduceRequest, nowMs: number): Promise<ProduceOutcome> {
    let first: Appended | undefined;
    const acknowledgements: Promise<void>[] = [];
    for (let position = 0; position < records.length; ) {
      const end = position + getBatchBytes(records, position);
      const appended = partition.append(records.subarray(position, end), nowMs);
      if (acks !== 0) acknowledgements.push(partition.acknowledged(appended, acks));
      first ??= appended;
      position = end;
    }
    const outcome = outcomeOf(partition, first!);
    return Promise.all(acknowledgements).then(() => outcome);
  }

  #appendInTurn(partition: Partition, request: ProduceRequest, mustLookInside: boolean): Promise<ProduceOutcome> {
    // Begun now, so that the checks of several requests overlap; its failure is met in turn.
    const checked = mustLookInside
      ? this.#options.compressedRecords.check(request.records, partition.batchLimits)
      : Promise.resolve();
    checked.catch(() => {});
    // Whoever comes next needs only the append to be done, not its acknowledgment.
    let acknowledged!: Promise<ProduceOutcome>;
    const appended = partition.inTurn(async () => {
      await checked;
      // Things may have changed since it was taken.
      this.#checkWritable(partition, request.acks);
      acknowledged = this.#append(partition, request);
      acknowledged.catch(() => {});
    });
    this.#queued.add(appended);
    return appended.then(
      () => {
        this.#queued.delete(appended);
        return acknowledged;
      },
      (error: unknown) => {
        this.#queued.delete(appended);
        throw toBurrowError(error);
      },
    );
  }
}

function outcomeOf(partition: Partition, { baseOffset, logAppendTimeMs }: Appended): ProduceOutcome {
  return { baseOffset, logAppendTimeMs, logStartOffset: partition.log.logStartOffset };
}

/** As far as the header tells: records of one batch are not looked at one by one. -1 means that there is no timestamp. */
function checkTimestamps(batch: Buffer, position: number, config: LogConfig, nowMs: number): void {
  if (config.timestampType === 'LogAppendTime') return;
  const { timestampBeforeMaxMs, timestampAfterMaxMs } = config;
  const maxTimestamp = getMaxTimestamp(batch, position);
  if (maxTimestamp !== NONE && maxTimestamp - nowMs > timestampAfterMaxMs) {
    throw badTimestamp(maxTimestamp, nowMs, `message.timestamp.after.max.ms (${timestampAfterMaxMs})`);
  }
  const baseTimestamp = getBaseTimestamp(batch, position);
  if (baseTimestamp !== NONE && nowMs - baseTimestamp > timestampBeforeMaxMs) {
    throw badTimestamp(baseTimestamp, nowMs, `message.timestamp.before.max.ms (${timestampBeforeMaxMs})`);
  }
}

function badTimestamp(timestampMs: number, nowMs: number, limit: string): BurrowError {
  return new BurrowError(
    'INVALID_TIMESTAMP',
    `The timestamp ${timestampMs} differs from the broker’s time ${nowMs} by more than ${limit}. Check the clock of the producer.`,
    { fields: { timestampMs, nowMs } },
  );
}
