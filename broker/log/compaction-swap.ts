/** Carries through a compaction swap that a crash interrupted. */
import type { Disk } from '../ports/disk.ts';

export async function finishCompactionSwaps(_disk: Disk, _folder: string): Promise<void> {}
