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
  /** While more bytes than this are not synced, requests with acks=0 are answered like those with acks=1. */
  readonly unsyncedBytesMax: number;
}

export class ProduceGate {
  readonly #options: ProduceGateOptions;
  /** Requests that are not appended yet. */
  readonly #queued = new Set<Promise<unknown>>();
  /** Appended, and not settled yet. */
  #unsyncedBytes = 0;
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

  #append(partition: Partition, { records, acks }: ProduceRequest): Promise<ProduceOutcome> {
    const nowMs = this.#options.clock.now();
    const bytes = records.length;
    this.#options.diskSpace.noteProduced(bytes);
    let outcome: ProduceOutcome;
    let acknowledged: Promise<unknown>;
    if (getBatchBytes(records, 0) === bytes) {
      const appended = partition.append(records, nowMs);
      outcome = outcomeOf(partition, appended);
      acknowledged = partition.acknowledged(appended, acks);
    } else {
      const all = appendSeveral(partition, records, nowMs);
      outcome = outcomeOf(partition, all[0]!);
      acknowledged = Promise.all(all.map((appended) => partition.acknowledged(appended, acks)));
    }
    this.#unsyncedBytes += bytes;
    const settled = acknowledged.finally(() => {
      this.#unsyncedBytes -= bytes;
    });
    if (acks !== 0) return settled.then(() => outcome);
    // A producer that waits for nothing would fill the memory if the disk is slower than the network: so its connection
    // waits here when much has gathered. Whether the sync succeeds is not its business even then.
    const done = settled.then(
      () => outcome,
      () => outcome,
    );
    return this.#unsyncedBytes > this.#options.unsyncedBytesMax ? done : Promise.resolve(outcome);
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

/** The native protocol may send several batches at once; the log takes them one by one. */
function appendSeveral(partition: Partition, records: Buffer, nowMs: number): Appended[] {
  const all: Appended[] = [];
  for (let position = 0; position < records.length; ) {
    const end = position + getBatchBytes(records, position);
    all.push(partition.append(records.subarray(position, end), nowMs));
    position = end;
  }
  return all;
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
