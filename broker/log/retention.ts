/**
 * Removes what a log need not keep: closed segments whose newest record is too old, and the oldest ones while the log is
 * too large. A segment is as old as the newest timestamp in it, as in Kafka. If none of its records has a timestamp it
 * is as old as this process knows it to be closed, so a restart makes it young again: rather kept too long.
 */
import type { PartitionLog } from './partition-log.ts';
import type { Segment } from './segment.ts';

/** Returns how many segments were removed. Throws what storage throws. */
export async function applyRetention(log: PartitionLog, nowMs: number): Promise<number> {
  if (!log.isConfigured || log.isOver || log.config.cleanupPolicy === 'compact') return 0;
  for (const segment of log.segments.slice(0, -1)) segment.undatedSinceMs ??= nowMs;
  // All of it is out of date, also what nobody appends to any more: the active segment makes room for an empty one.
  if (retainedFrom(log, nowMs) === log.segments.at(-1)!.baseOffset && isActiveExpired(log, nowMs)) log.roll();
  const startOffset = retainedFrom(log, nowMs);
  if (startOffset <= log.segments[0]!.baseOffset) return 0;
  const before = log.segmentCount;
  await log.removeSegmentsBefore(startOffset);
  return before - log.segmentCount;
}

/** Base offset of the first segment that stays. Never beyond the high watermark, nor behind the active segment. */
function retainedFrom(log: PartitionLog, nowMs: number): number {
  const { retentionMs, retentionBytes } = log.config;
  const { segments } = log;
  let bytes = log.bytes;
  let at = 0;
  for (; at < segments.length - 1; at++) {
    const segment = segments[at]!;
    if (segment.nextOffset > log.highWatermark) break;
    const isTooOld = retentionMs >= 0 && nowMs - newestMs(segment) > retentionMs;
    const isTooMuch = retentionBytes >= 0 && bytes - segment.bytes >= retentionBytes;
    if (!isTooOld && !isTooMuch) break;
    bytes -= segment.bytes;
  }
  return segments[at]!.baseOffset;
}

function isActiveExpired(log: PartitionLog, nowMs: number): boolean {
  const active = log.segments.at(-1)!;
  const { retentionMs } = log.config;
  if (active.bytes === 0 || active.nextOffset > log.highWatermark || retentionMs < 0) return false;
  return active.maxTimestampMs >= 0 && nowMs - active.maxTimestampMs > retentionMs;
}

function newestMs({ maxTimestampMs, undatedSinceMs }: Segment): number {
  return maxTimestampMs >= 0 ? maxTimestampMs : undatedSinceMs!;
}
