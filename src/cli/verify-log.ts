/**
 * Checks a partition folder offline: every batch intact, offsets ascending within and across segments, indexes pointing
 * at batches. Reads only.
 */
import fs from 'node:fs/promises';
import path from 'node:path';
import { LOG_SUFFIX, OFFSET_INDEX_SUFFIX, offsetOfFileName } from '../../broker/log/file-names.ts';
import { OffsetIndex } from '../../broker/log/offset-index.ts';
import { BurrowError } from '../errors/burrow-error.ts';
import { getBaseOffset, getLastOffsetDelta, getNextOffset, getRecordsCount } from '../records/batch-header.ts';
import { readBatches, type StoredBatch } from './segment-reader.ts';

export interface Damage {
  readonly file: string;
  /** Byte in the file. */
  readonly position: number;
  readonly problem: string;
}

export interface SegmentReport {
  readonly file: string;
  readonly bytes: number;
  batches: number;
  records: number;
  /** Offsets of the intact batches; undefined while there is none. */
  firstOffset: number | undefined;
  nextOffset: number | undefined;
  /** What is worth knowing and no damage. */
  readonly notes: string[];
  readonly damage: Damage[];
}

/** Paths of the segment files, in the order of their offsets. INVALID_ARGUMENT if the folder has none. */
export async function listSegments(folder: string): Promise<string[]> {
  let names: string[];
  try {
    names = await fs.readdir(folder);
  } catch (cause) {
    throw new BurrowError('INVALID_ARGUMENT', `Folder ${folder} cannot be read: ${(cause as Error).message}.`, {
      cause,
    });
  }
  const segments = names.filter((name) => offsetOfFileName(name, LOG_SUFFIX) !== undefined).sort();
  if (segments.length > 0) return segments.map((name) => path.join(folder, name));
  throw new BurrowError(
    'INVALID_ARGUMENT',
    `${folder} has no segment files (*${LOG_SUFFIX}). Name the folder of a partition, such as DATA-DIR/topics/orders-0.`,
  );
}

export async function verifyPartition(folder: string): Promise<SegmentReport[]> {
  const reports: SegmentReport[] = [];
  for (const file of await listSegments(folder)) {
    reports.push(await verifySegment(file, reports.at(-1)?.nextOffset));
  }
  return reports;
}

async function verifySegment(file: string, previousNextOffset: number | undefined): Promise<SegmentReport> {
  const handle = await fs.open(file, 'r');
  try {
    const { size } = await handle.stat();
    const report: SegmentReport = {
      file,
      bytes: size,
      batches: 0,
      records: 0,
      firstOffset: undefined,
      nextOffset: undefined,
      notes: [],
      damage: [],
    };
    const base = offsetOfFileName(path.basename(file), LOG_SUFFIX)!;
    let expected = Math.max(base, previousNextOffset ?? 0);
    if (base < expected) note(0, `the file name says offset ${base}, but the segment before ends at ${expected}`);
    const starts = new Map<number, number>();
    const batches = readBatches(handle, size);
    for (;;) {
      const step = await batches.next();
      if (step.done === true) {
        if (step.value !== undefined) note(step.value.position, step.value.problem);
        break;
      }
      for (const batch of step.value) visit(batch);
    }
    await checkIndex(file, base, starts, report);
    return report;

    function note(position: number, problem: string): void {
      report.damage.push({ file, position, problem });
    }

    function visit({ bytes, at, position }: StoredBatch): void {
      const first = getBaseOffset(bytes, at);
      const next = getNextOffset(bytes, at);
      const count = getRecordsCount(bytes, at);
      if (first < expected) note(position, `offset ${first} where at least ${expected} was due`);
      else if (first > expected && report.batches + (previousNextOffset ?? 0) > 0) {
        report.notes.push(`offsets ${expected} to ${first - 1} are absent, as compaction leaves them`);
      }
      if (count < 0 || count > getLastOffsetDelta(bytes, at) + 1) {
        note(position, `${count} records do not fit into offsets ${first} to ${next - 1}`);
      }
      starts.set(first, position);
      report.batches += 1;
      report.records += count;
      report.firstOffset ??= first;
      report.nextOffset = expected = Math.max(next, expected);
    }
  } finally {
    await handle.close();
  }
}

/** An index is a hint that can be rebuilt, so one that is absent or out of date is a note; one that misleads is damage. */
async function checkIndex(
  segmentFile: string,
  base: number,
  starts: ReadonlyMap<number, number>,
  report: SegmentReport,
): Promise<void> {
  const file = segmentFile.slice(0, -LOG_SUFFIX.length) + OFFSET_INDEX_SUFFIX;
  let bytes: Buffer;
  try {
    bytes = await fs.readFile(file);
  } catch {
    return;
  }
  const index = OffsetIndex.decode(bytes, report.bytes);
  if (index === undefined) {
    report.notes.push(`${path.basename(file)} does not belong to this state of the segment; the broker rebuilds it`);
    return;
  }
  const positions = new Set(starts.values());
  for (const [offset, position] of starts) {
    const hint = index.positionAtOrBefore(offset - base);
    if (positions.has(hint) && hint <= position) continue;
    report.damage.push({ file, position: 0, problem: `sends offset ${offset} to position ${hint} of the segment` });
    return;
  }
}
