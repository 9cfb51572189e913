/**
 * What became of a queue's messages, in a log of its own beside the messages. Each record is a note:
 *
 *     note     = kind uint8, entries…
 *     SETTLED  = 1, then per range: uvarlong start minus the end of the range before (0 at first), uvarlong length
 *     RETURNS  = 2, then per message: varlong offset, uvarint how often it came back
 *
 * Notes only ever add: a message that is settled stays so. So a snapshot is nothing but the same notes again, all of them
 * together; once they are durable, everything before them may go. Notes of one turn, and those that gather while earlier ones are
 * on their way, make one record.
 */
import { ByteReader } from '../../src/bytes/reader.ts';
import { ByteWriter } from '../../src/bytes/writer.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { BatchBuilder } from '../../src/records/batch-builder.ts';
import { getNextOffset } from '../../src/records/batch-header.ts';
import { batchPositions, recordsSection } from '../../src/records/batch-iterator.ts';
import { RecordCursor } from '../../src/records/record-cursor.ts';
import type { Clock, Timer } from '../ports/clock.ts';
import type { BatchLog } from './batch-log.ts';
import type { QueueLimits } from './queue-limits.ts';
import type { QueueSnapshot, QueueState } from './queue-state.ts';

const SETTLED = 1;
const RETURNS = 2;
/** Notes go into one batch up to about this size. */
const BATCH_BYTES = 256 * 1024;
/** What a range above the floor takes in a snapshot, and how much of notes must come together for each byte of one. */
const SNAPSHOT_ENTRY_BYTES = 6;
const SNAPSHOT_FACTOR = 4;
const LOAD_BYTES = 1024 * 1024;

/** What must be known of the messages that settlements are about. */
export type SettledState = Pick<QueueState, 'floor' | 'settledAboveFloor' | 'snapshot'>;

export interface SettlementLogOptions {
  readonly log: BatchLog;
  readonly clock: Clock;
  readonly state: SettledState;
  readonly limits: Pick<QueueLimits, 'snapshotAfterBytes' | 'noteEntriesMax' | 'retryMs'>;
  /** Everything below `floor` is settled, durably. */
  readonly onFloor: (floor: number) => void;
  /** Settlements cannot be stored: told once, until they can be again. Until then messages may come back after a restart. */
  readonly onFailure: (error: unknown) => void;
}

export class SettlementLog {
  readonly #options: SettlementLogOptions;
  /** Pairs of start and end that are not written yet, or could not be. */
  #ranges: number[] = [];
  /** Pairs of offset and returns, likewise. */
  #returns: number[] = [];
  #writing: Promise<void> | undefined;
  #scheduled = false;
  /** Why the last write failed; undefined if it did not. */
  #failure: { readonly error: unknown } | undefined;
  #retry: Timer | undefined;
  #closed = false;
  #bytesSinceSnapshot: number;

  constructor(options: SettlementLogOptions) {
    this.#options = options;
    // Of the last life too, or a broker that restarts often would never write a snapshot.
    this.#bytesSinceSnapshot = options.log.byteCount;
  }

  /** Per message. */
  settled(offset: number): void {
    const ranges = this.#ranges;
    const last = ranges.length - 1;
    if (last > 0 && ranges[last] === offset) ranges[last] = offset + 1;
    else ranges.push(offset, offset + 1);
    if (!this.#scheduled) this.#wake();
  }

  settledRange(start: number, end: number): void {
    this.#ranges.push(start, end);
    this.#wake();
  }

  returned(offset: number, returns: number): void {
    this.#returns.push(offset, returns);
    this.#wake();
  }

  /** Resolves when everything that was noted before the call is durable; rejects with why it is not. */
  async synced(): Promise<void> {
    // What is on its way does not cover what has gathered since.
    while (this.#writing !== undefined || this.#isPending) {
      if (this.#writing === undefined) this.#write();
      if (this.#writing === undefined && this.#isPending) throw this.#failure?.error;
      await this.#writing;
    }
  }

  /** The log has moved on: what has gathered since goes into its next round. */
  onAdvance(): void {
    const { log } = this.#options;
    if (this.#isPending && this.#failure === undefined && log.highWatermark === log.logEndOffset) this.#write();
  }

  /** Puts a snapshot in the place of all notes. Resolves when they are gone, durably. */
  async rewrite(): Promise<void> {
    const { log, state, limits } = this.#options;
    const start = log.logEndOffset;
    const { stored } = this.#append(snapshotNotes(state.snapshot(), limits.noteEntriesMax));
    await stored;
    await log.trim(start);
  }

  /** Gives up what cannot be stored. */
  close(): void {
    this.#closed = true;
    this.#retry?.cancel();
  }

  get #isPending(): boolean {
    return this.#ranges.length > 0 || this.#returns.length > 0;
  }

  #wake(): void {
    // After a failure a timer tries again.
    if (this.#scheduled || this.#writing !== undefined || this.#failure !== undefined) return;
    this.#scheduled = true;
    // A microtask later, so that one note takes all that the current turn settles.
    void Promise.resolve().then(() => {
      this.#scheduled = false;
      if (this.#writing === undefined && this.#failure === undefined) this.#write();
    });
  }

  #write(): void {
    if (!this.#isPending) return;
    const { state, limits, onFloor } = this.#options;
    const { floor } = state;
    const ranges = sorted(this.#ranges);
    const returns = this.#returns;
    this.#ranges = [];
    this.#returns = [];
    const notes: Uint8Array[] = [];
    noteSettled(ranges, limits.noteEntriesMax, notes);
    noteReturns(returns, limits.noteEntriesMax, notes);
    let stored: Promise<unknown>;
    try {
      const appended = this.#append(notes);
      this.#bytesSinceSnapshot += appended.bytes;
      stored = appended.stored;
    } catch (error) {
      this.#onFailed(ranges, returns, error);
      return;
    }
    const writing: Promise<void> = stored.then(
      () => {
        if (this.#writing === writing) this.#writing = undefined;
        this.#failure = undefined;
        onFloor(floor);
        this.#maybeSnapshot();
        if (this.#writing === undefined) this.#write();
      },
      (error: unknown) => {
        if (this.#writing === writing) this.#writing = undefined;
        this.#onFailed(ranges, returns, error);
        throw error;
      },
    );
    writing.catch(() => {});
    this.#writing = writing;
  }

  /** What could not be written is kept: to write it twice does no harm, to forget it would bring messages back. */
  #onFailed(ranges: number[], returns: number[], error: unknown): void {
    const { clock, limits, onFailure } = this.#options;
    this.#ranges = ranges.concat(this.#ranges);
    // The last one of each message counts.
    const last = new Map<number, number>();
    for (const pairs of [returns, this.#returns]) {
      for (let index = 0; index < pairs.length; index += 2) last.set(pairs[index]!, pairs[index + 1]!);
    }
    this.#returns = [...last].flat();
    if (this.#closed) return;
    if (this.#failure === undefined) onFailure(error);
    this.#failure = { error };
    this.#retry?.cancel();
    this.#retry = clock.schedule(limits.retryMs, () => {
      if (this.#writing === undefined) this.#write();
    });
  }

  #maybeSnapshot(): void {
    const { state, limits } = this.#options;
    if (this.#bytesSinceSnapshot < limits.snapshotAfterBytes) return;
    const worstBytes = state.settledAboveFloor * SNAPSHOT_ENTRY_BYTES;
    if (this.#bytesSinceSnapshot < worstBytes * SNAPSHOT_FACTOR) return;
    this.#bytesSinceSnapshot = 0;
    // If it fails, the next write meets the same failure and tells of it.
    this.rewrite().catch(() => {});
  }

  /** Throws what the log refuses; then some of the notes may be stored, which does no harm. */
  #append(notes: readonly Uint8Array[]): { readonly stored: Promise<unknown>; readonly bytes: number } {
    const { log, clock } = this.#options;
    const nowMs = clock.now();
    const builder = new BatchBuilder();
    let bytes = 0;
    let stored: Promise<unknown> | undefined;
    for (const [index, note] of notes.entries()) {
      builder.append(nowMs, null, note);
      if (index + 1 < notes.length && builder.estimatedBytes < BATCH_BYTES) continue;
      const batch = builder.finish() as Buffer;
      bytes += batch.length;
      const appended = log.append(batch);
      if (appended === undefined) continue;
      // Mostly there is one.
      stored = stored === undefined ? appended : Promise.all([stored, appended]);
    }
    return { stored: stored ?? Promise.resolve(), bytes };
  }
}

/** Reads all notes back. Resolves with how many bytes they take. */
export async function loadSettlements(
  log: BatchLog,
  into: {
    onSettled(start: number, end: number): void;
    onReturns(offset: number, returns: number): void;
  },
): Promise<void> {
  const endOffset = log.highWatermark;
  for (let offset = log.logStartOffset; offset < endOffset; ) {
    const before = offset;
    for (const bytes of await log.read(offset, endOffset, LOAD_BYTES)) {
      for (const position of batchPositions(bytes)) {
        offset = getNextOffset(bytes, position);
        const cursor = new RecordCursor(recordsSection(bytes, position));
        while (cursor.next()) {
          if (!applyNote(cursor.value() ?? new Uint8Array(0), into)) throw damaged(log.name, offset);
        }
        if (!cursor.ok) throw damaged(log.name, offset);
      }
    }
    if (offset === before) throw damaged(log.name, offset);
  }
}

function applyNote(
  note: Uint8Array,
  into: { onSettled(start: number, end: number): void; onReturns(offset: number, returns: number): void },
): boolean {
  const reader = new ByteReader(note);
  const kind = reader.uint8();
  let at = 0;
  while (reader.ok && reader.remaining > 0) {
    if (kind === SETTLED) {
      const start = at + reader.varlong();
      at = start + reader.varlong();
      if (!reader.ok || at <= start) return false;
      into.onSettled(start, at);
    } else if (kind === RETURNS) {
      const offset = reader.varlong();
      const returns = reader.uvarint();
      if (reader.ok) into.onReturns(offset, returns);
    } else return false;
  }
  return reader.ok;
}

function noteSettled(ranges: readonly number[], entriesMax: number, notes: Uint8Array[]): void {
  for (let from = 0; from < ranges.length; from += entriesMax * 2) {
    const writer = new ByteWriter(64).uint8(SETTLED);
    const end = Math.min(ranges.length, from + entriesMax * 2);
    let at = 0;
    for (let index = from; index < end; index += 2) {
      writer.varlong(ranges[index]! - at).varlong(ranges[index + 1]! - ranges[index]!);
      at = ranges[index + 1]!;
    }
    notes.push(writer.finish());
  }
}

function noteReturns(pairs: readonly number[], entriesMax: number, notes: Uint8Array[]): void {
  for (let from = 0; from < pairs.length; from += entriesMax * 2) {
    const writer = new ByteWriter(64).uint8(RETURNS);
    const end = Math.min(pairs.length, from + entriesMax * 2);
    for (let index = from; index < end; index += 2) writer.varlong(pairs[index]!).uvarint(pairs[index + 1]!);
    notes.push(writer.finish());
  }
}

function snapshotNotes({ floor, settled, returns }: QueueSnapshot, entriesMax: number): Uint8Array[] {
  const notes: Uint8Array[] = [];
  const ranges = floor > 0 ? [0, floor] : [];
  for (const { start, end } of settled) ranges.push(start, end);
  noteSettled(ranges, entriesMax, notes);
  noteReturns([...returns].flat(), entriesMax, notes);
  return notes;
}

/** Pairs by start, where they touch made one. Mostly they come in order already. */
function sorted(pairs: number[]): number[] {
  let inOrder = true;
  for (let index = 2; index < pairs.length && inOrder; index += 2) inOrder = pairs[index]! > pairs[index - 1]!;
  if (inOrder) return pairs;
  const ranges = Array.from({ length: pairs.length / 2 }, (_, index) => [pairs[index * 2]!, pairs[index * 2 + 1]!]);
  ranges.sort((a, b) => a[0]! - b[0]!);
  const merged: number[] = [];
  for (const [start, end] of ranges) {
    if (merged.length > 0 && merged[merged.length - 1]! >= start!) {
      merged[merged.length - 1] = Math.max(merged[merged.length - 1]!, end!);
    } else merged.push(start!, end!);
  }
  return merged;
}

function damaged(log: string, nextOffset: number): BurrowError {
  return new BurrowError('STORAGE_CORRUPT', `A note of ${log} before offset ${nextOffset} is malformed.`, {
    fields: { log, nextOffset },
  });
}
