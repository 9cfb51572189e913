/**
 * What a compacted log may hold and must hold, whatever happened to it: the checker of the compaction simulation and of
 * the crash-point enumeration. Knows every batch that was ever appended, and nothing of how cleaning works.
 */
import type { PartitionLog } from '../../broker/log/partition-log.ts';
import { isBurrowError } from '../../src/errors/burrow-error.ts';
import { type KeyedRecord, type StoredRecord, storedRecords } from '../support/keyed-batches.ts';

interface ModelBatch {
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly records: readonly KeyedRecord[];
  /** As it was sent, to be sent again. */
  readonly sent: Buffer;
  acknowledged: boolean;
}

export class KeyedLogModel {
  batches: ModelBatch[] = [];
  logStartOffset = 0;
  nextOffset = 0;
  nextSequence = 0;
  /** Its deletion has begun: it may be there or not. */
  isDeleted = false;
  /** Batches below it may be forgotten: five later ones were appended, even if a crash has taken those away since. */
  #repeatableFrom = 0;
  readonly #deleteRetentionMs: number;

  constructor(deleteRetentionMs: number) {
    this.#deleteRetentionMs = deleteRetentionMs;
  }

  /** Appends to the log and notes it. `onAcknowledged` is told when it is durable. Undefined if the log refused. */
  append(
    log: PartitionLog,
    batch: Buffer,
    records: readonly KeyedRecord[],
    nowMs: number,
    onAcknowledged: () => void,
  ): Promise<void> | undefined {
    const sent = Buffer.from(batch);
    let appended: ReturnType<PartitionLog['append']>;
    try {
      appended = log.append(batch, { leaderEpoch: 0, appendTimeMs: nowMs });
    } catch (error) {
      if (!isBurrowError(error)) throw error;
      return undefined;
    }
    const { baseOffset, nextOffset, duplicate, synced } = appended;
    if (duplicate) throw new Error(`${log.key}: a new batch was taken for a repeated one`);
    if (baseOffset !== this.nextOffset) throw new Error(`${log.key}: offset ${baseOffset}, not ${this.nextOffset}`);
    const entry: ModelBatch = { baseOffset, nextOffset, records, sent, acknowledged: false };
    this.batches.push(entry);
    this.nextOffset = nextOffset;
    this.nextSequence += records.length;
    return synced.then(
      () => {
        entry.acknowledged = true;
        log.advanceHighWatermark(log.syncedOffset);
        onAcknowledged();
      },
      () => {},
    );
  }

  forgetAcknowledgments(): void {
    for (const batch of this.batches) batch.acknowledged = false;
  }

  /** Throws where a log that was just opened breaks a promise; from then on what it holds is decided. */
  async verify(log: PartitionLog, nowMs: number): Promise<void> {
    const endOffset = log.logEndOffset;
    if (log.logStartOffset < this.logStartOffset) throw new Error(`${log.key}: deleted records are back`);
    const lost = this.batches.find((batch) => batch.acknowledged && batch.nextOffset > endOffset);
    if (lost !== undefined) {
      throw new Error(`${log.key} ends at ${endOffset}: acknowledged batch at ${lost.baseOffset} is lost`);
    }
    const dropped = this.batches.filter((batch) => batch.nextOffset > endOffset);
    this.#repeatableFrom = Math.max(this.#repeatableFrom, this.batches.at(-5)?.baseOffset ?? 0);
    this.batches = this.batches.filter((batch) => batch.nextOffset <= endOffset);
    // Where all that is left was deleted, the log goes on at its start offset, which may be in the midst of a batch.
    const end = this.batches.at(-1)?.nextOffset ?? 0;
    if (endOffset !== end && endOffset !== log.logStartOffset)
      throw new Error(`${log.key} ends at ${endOffset}, not ${end}`);
    this.nextOffset = endOffset;
    this.checkContents(log, await storedRecords(log), nowMs);
    for (const batch of this.batches) batch.acknowledged = true;
    for (const batch of dropped) this.nextSequence -= batch.records.length;
    this.logStartOffset = log.logStartOffset;
    this.#checkRepetitions(log);
  }

  /** Nothing is foreign, of each key the newest is there, and no deleted key is back. */
  checkContents(log: PartitionLog, stored: readonly StoredRecord[], nowMs: number): void {
    const newest = new Map<string, StoredRecord>();
    const appended = new Map<number, KeyedRecord>();
    for (const { baseOffset, records } of this.batches) {
      for (const [i, record] of records.entries()) {
        appended.set(baseOffset + i, record);
        if (record.key !== null) newest.set(record.key, { ...record, offset: baseOffset + i });
      }
    }
    const offsets = new Set<number>();
    const firstStored = new Map<string, number>();
    for (const { offset, key, value, timestampMs } of stored) {
      const expected = appended.get(offset);
      if (expected?.key !== key || expected.value !== value || expected.timestampMs !== timestampMs) {
        throw new Error(`${log.key}: at ${offset} stands ${key}=${value}, not ${expected?.key}=${expected?.value}`);
      }
      offsets.add(offset);
      if (key !== null && !firstStored.has(key)) firstStored.set(key, offset);
    }
    for (const [key, { offset, value, timestampMs }] of newest) {
      if (offset < log.logStartOffset || offsets.has(offset)) continue;
      if (value !== null) throw new Error(`${log.key}: the newest value of ${key}, at ${offset}, is gone`);
      if (timestampMs + this.#deleteRetentionMs > nowMs)
        throw new Error(`${log.key}: the tombstone ${offset} went early`);
      const back = firstStored.get(key);
      if (back !== undefined) throw new Error(`${log.key}: ${key} is back at ${back}, deleted at ${offset}`);
    }
  }

  /** The last five batches are recognized when they are sent again. */
  #checkRepetitions(log: PartitionLog): void {
    if (log.failure !== undefined) return;
    for (const { sent, baseOffset, nextOffset } of this.batches.slice(-5)) {
      if (baseOffset < this.#repeatableFrom || nextOffset <= log.logStartOffset) continue;
      const again = log.append(Buffer.from(sent), { leaderEpoch: 0, appendTimeMs: 0 });
      if (!again.duplicate || again.baseOffset !== baseOffset) {
        throw new Error(`${log.key}: the batch at ${baseOffset} was not recognized when sent again`);
      }
    }
  }
}
