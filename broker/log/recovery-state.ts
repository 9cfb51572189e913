/**
 * The decisions of recovery, as a table. A scan of a segment found a place that is not an intact batch; what was known
 * to be synced (the recovery point) tells a torn write from damage (rule R15):
 *
 *     first bad offset   | salvage | decision
 *     >= recovery point  | any     | truncate: a write that was never acknowledged, or that the journal holds
 *     <  recovery point  | no      | refuse: acknowledged records were there
 *     <  recovery point  | yes     | truncate and say what is lost
 */
export type TailDecision = 'truncate' | 'refuse' | 'salvage';

export interface TailFacts {
  /** Offset of the first record that cannot be read: the end of what is intact. */
  readonly intactEndOffset: number;
  readonly recoveryPoint: number;
  readonly salvage: boolean;
}

export function decideTail({ intactEndOffset, recoveryPoint, salvage }: TailFacts): TailDecision {
  if (intactEndOffset >= recoveryPoint) return 'truncate';
  return salvage ? 'salvage' : 'refuse';
}

/**
 * What to do with a journal entry, given where the log ends:
 *
 *     entry ends at or below the log end          | skip: the segment has it
 *     entry begins at the log end                 | restore
 *     entry begins below, ends above, log empty   | restore: records were deleted up to the middle of this batch
 *     entry begins below, ends above              | refuse: batches never overlap
 *     entry begins above                          | refuse: acknowledged records between are missing
 */
export type EntryDecision = 'skip' | 'restore' | 'refuse';

export function decideEntry(
  entry: { baseOffset: number; nextOffset: number },
  log: { logEndOffset: number; isEmpty: boolean },
): EntryDecision {
  if (entry.nextOffset <= log.logEndOffset) return 'skip';
  if (entry.baseOffset === log.logEndOffset) return 'restore';
  return entry.baseOffset < log.logEndOffset && log.isEmpty ? 'restore' : 'refuse';
}
