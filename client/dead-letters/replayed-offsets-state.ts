/**
 * Which records of one partition of a dead-letter topic have been replayed: all below an offset, and ranges beyond it. It is kept as
 * the committed offset of a group with the ranges in its metadata, so it goes when the topic is deleted. Pure.
 *
 *     1:<skip>-<count>,<skip>-<count>…     numbers in base 36; skip counts from the end of the range before
 */
export interface OffsetRange {
  readonly from: number;
  /** Exclusive. */
  readonly end: number;
}

const FORMAT = '1:';

export class ReplayedOffsets {
  /** Everything below is done: replayed, or no record at all. */
  readonly nextOffset: number;
  /** Beyond it, in order; between two, and before the first, lies at least one offset that is not done. */
  readonly ranges: readonly OffsetRange[];

  constructor(nextOffset: number, ranges: readonly OffsetRange[] = []) {
    this.nextOffset = nextOffset;
    this.ranges = ranges;
  }

  /** What cannot be read (somebody else has committed) counts as nothing: rather twice than never. */
  static decode(offset: number | undefined, metadata: string): ReplayedOffsets {
    const nextOffset = offset ?? 0;
    return new ReplayedOffsets(nextOffset, decodeRanges(nextOffset, metadata) ?? []);
  }

  get metadata(): string {
    if (this.ranges.length === 0) return '';
    let last = this.nextOffset;
    const parts = this.ranges.map(({ from, end }) => {
      const part = `${(from - last).toString(36)}-${(end - from).toString(36)}`;
      last = end;
      return part;
    });
    return FORMAT + parts.join(',');
  }

  has(offset: number): boolean {
    if (offset < this.nextOffset) return true;
    let low = 0;
    let high = this.ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.ranges[middle]!.end <= offset) low = middle + 1;
      else high = middle;
    }
    const range = this.ranges[low];
    return range !== undefined && range.from <= offset;
  }

  /** How many offsets of a log from `start` to `end` (exclusive) are done. */
  countIn(start: number, end: number): number {
    let count = Math.max(0, Math.min(this.nextOffset, end) - start);
    for (const range of this.ranges) count += Math.max(0, Math.min(range.end, end) - Math.max(range.from, start));
    return count;
  }

  /**
   * As it holds for a log from `start` to `end`: what has been removed is done. What is noted behind the end is of another log, of
   * which nothing is known.
   */
  forLog(start: number, end: number): ReplayedOffsets {
    if (this.nextOffset > end) return new ReplayedOffsets(start);
    return this.with([{ from: this.nextOffset, end: start }]).#upTo(end);
  }

  #upTo(end: number): ReplayedOffsets {
    return new ReplayedOffsets(
      this.nextOffset,
      this.ranges.filter((range) => range.end <= end),
    );
  }

  /** With these done as well, in any order. */
  with(added: readonly OffsetRange[]): ReplayedOffsets {
    const all = [...this.ranges, ...added].sort((a, b) => a.from - b.from);
    let nextOffset = this.nextOffset;
    const ranges: OffsetRange[] = [];
    for (const range of all) {
      if (range.end <= range.from) continue;
      const last = ranges.at(-1);
      if (range.from <= nextOffset) nextOffset = Math.max(nextOffset, range.end);
      else if (last !== undefined && range.from <= last.end) {
        ranges[ranges.length - 1] = { from: last.from, end: Math.max(last.end, range.end) };
      } else ranges.push(range);
    }
    return new ReplayedOffsets(nextOffset, ranges);
  }
}

function decodeRanges(nextOffset: number, metadata: string): OffsetRange[] | undefined {
  if (!metadata.startsWith(FORMAT)) return undefined;
  const ranges: OffsetRange[] = [];
  let last = nextOffset;
  for (const part of metadata.slice(FORMAT.length).split(',')) {
    const [, skip, count] = /^([0-9a-z]{1,11})-([0-9a-z]{1,11})$/.exec(part) ?? [];
    if (skip === undefined || count === undefined) return undefined;
    const from = last + Number.parseInt(skip, 36);
    const end = from + Number.parseInt(count, 36);
    if (from <= last || end <= from || !Number.isSafeInteger(end)) return undefined;
    ranges.push({ from, end });
    last = end;
  }
  return ranges;
}
