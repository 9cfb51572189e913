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
import type { Clock } from '../ports/clock.ts';
import type { BatchLog } from './batch-log.ts';
import type { QueueSnapshot, QueueState } from './queue-state.ts';
import type { OffsetRange } from './settled-offsets.ts';

const SETTLED = 1;
const RETURNS = 2;
/** Ranges or messages in one note. */
const ENTRIES_MAX = 20_000;
/** A snapshot is written when notes have taken this much since the last one, and several times as much as it would take. */
const SNAPSHOT_AFTER_BYTES = 4 * 1024 * 1024;
const SNAPSHOT_ENTRY_BYTES = 6;
const SNAPSHOT_FACTOR = 4;
const LOAD_BYTES = 1024 * 1024;

/** What must be known of the messages that settlements are about. */
export type SettledState = Pick<QueueState, 'floor' | 'settledAboveFloor' | 'snapshot'>;

export interface SettlementLogOptions {
  readonly log: BatchLog;
  readonly clock: Clock;
  readonly state: SettledState;
  /** Everything below `floor` is settled, durably. */
  readonly onFloor: (floor: number) => void;
  /** Settlements cannot be stored any more; messages will come back after a restart. */
  readonly onFailure: (error: unknown) => void;
}

export class SettlementLog {
  readonly #options: SettlementLogOptions;
  /** Pairs of start and end that are not written yet. */
  #ranges: number[] = [];
  #returns: number[] = [];
  #writing: Promise<void> | undefined;
  #scheduled = false;
  #bytesSinceSnapshot = 0;

  constructor(options: SettlementLogOptions) {
    this.#options = options;
  }

  /** Per message. */
  settled(offset: number): void {
    this.settledRange(offset, offset + 1);
  }

  settledRange(start: number, end: number): void {
    const ranges = this.#ranges;
    if (ranges.length > 0 && ranges[ranges.length - 1] === start) ranges[ranges.length - 1] = end;
    else ranges.push(start, end);
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
      await this.#writing;
    }
  }

  /** The log has moved on: what has gathered since goes into its next round. */
  onAdvance(): void {
    const { log } = this.#options;
    if (this.#isPending && log.highWatermark === log.logEndOffset) this.#write();
  }

  get #isPending(): boolean {
    return this.#ranges.length > 0 || this.#returns.length > 0;
  }

  #wake(): void {
    if (this.#scheduled || this.#writing !== undefined) return;
    this.#scheduled = true;
    // A microtask later, so that one note takes all that the current turn settles.
    void Promise.resolve().then(() => {
      this.#scheduled = false;
      if (this.#writing === undefined) this.#write();
    });
  }

  #write(): void {
    if (!this.#isPending) return;
    const { log, clock, state, onFloor, onFailure } = this.#options;
    const { floor } = state;
    const ranges = sorted(this.#ranges);
    const returns = this.#returns;
    this.#ranges = [];
    this.#returns = [];
    const builder = new BatchBuilder();
    noteSettled(ranges, (note) => builder.append(clock.now(), null, note));
    noteReturns(returns, (note) => builder.append(clock.now(), null, note));
    let stored: Promise<void> | undefined;
    try {
      const batch = builder.finish() as Buffer;
      this.#bytesSinceSnapshot += batch.length;
      stored = log.append(batch);
    } catch (error) {
      onFailure(error);
      return;
    }
    const writing: Promise<void> = (stored ?? Promise.resolve()).then(
      () => {
        if (this.#writing === writing) this.#writing = undefined;
        onFloor(floor);
        this.#maybeSnapshot();
        if (this.#writing === undefined) this.#write();
      },
      (error: unknown) => {
        if (this.#writing === writing) this.#writing = undefined;
        onFailure(error);
        throw error;
      },
    );
    writing.catch(() => {});
    this.#writing = writing;
  }

  #maybeSnapshot(): void {
    const { log, clock, state } = this.#options;
    if (this.#bytesSinceSnapshot < SNAPSHOT_AFTER_BYTES) return;
    const worstBytes = state.settledAboveFloor * SNAPSHOT_ENTRY_BYTES;
    if (this.#bytesSinceSnapshot < worstBytes * SNAPSHOT_FACTOR) return;
    this.#bytesSinceSnapshot = 0;
    const start = log.logEndOffset;
    const stored: Array<Promise<void> | undefined> = [];
    for (const note of snapshotNotes(state.snapshot())) {
      const builder = new BatchBuilder();
      builder.append(clock.now(), null, note);
      try {
        stored.push(log.append(builder.finish() as Buffer));
      } catch {
        // The next write meets the same failure and tells of it.
        return;
      }
    }
    Promise.all(stored).then(
      () => log.trim(start),
      () => {},
    );
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

function noteSettled(ranges: readonly number[], onNote: (note: Uint8Array) => void): void {
  for (let from = 0; from < ranges.length; from += ENTRIES_MAX * 2) {
    const writer = new ByteWriter(64).uint8(SETTLED);
    let at = 0;
    for (let index = from; index < Math.min(ranges.length, from + ENTRIES_MAX * 2); index += 2) {
      writer.varlong(ranges[index]! - at).varlong(ranges[index + 1]! - ranges[index]!);
      at = ranges[index + 1]!;
    }
    onNote(writer.finish());
  }
}

function noteReturns(pairs: readonly number[], onNote: (note: Uint8Array) => void): void {
  for (let from = 0; from < pairs.length; from += ENTRIES_MAX * 2) {
    const writer = new ByteWriter(64).uint8(RETURNS);
    for (let index = from; index < Math.min(pairs.length, from + ENTRIES_MAX * 2); index += 2) {
      writer.varlong(pairs[index]!).uvarint(pairs[index + 1]!);
    }
    onNote(writer.finish());
  }
}

function snapshotNotes({ floor, settled, returns }: QueueSnapshot): Uint8Array[] {
  const notes: Uint8Array[] = [];
  const ranges: readonly OffsetRange[] = floor > 0 ? [{ start: 0, end: floor }, ...settled] : settled;
  noteSettled(
    ranges.flatMap(({ start, end }) => [start, end]),
    (note) => notes.push(note),
  );
  noteReturns([...returns].flat(), (note) => notes.push(note));
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
