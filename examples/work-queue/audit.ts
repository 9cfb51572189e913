/** Was every job done once, or is a dead letter for a reason? A pure function over what was published and what came of it. */
import type { Job, JobResult } from './jobs.ts';

export interface WorkFacts {
  /** In the order in which they were published; all before the first worker began. */
  readonly jobs: readonly Job[];
  /** In the archive. */
  readonly results: readonly JobResult[];
  /** Ids of the jobs in the dead-letter queue, in the end. */
  readonly deadLetters: readonly string[];
  /** That took jobs of one queue at the same time. */
  readonly workers: number;
}

/** What is wrong, one line each; empty if all is well. */
export function audit({ jobs, results, deadLetters, workers }: WorkFacts): string[] {
  const complaints: string[] = [];
  for (const { jobId, wanted } of jobs) {
    const found = results.filter((result) => result.jobId === jobId);
    const isDead = deadLetters.includes(jobId);
    if (wanted === undefined) {
      if (!isDead) complaints.push(`${jobId} cannot be done, and is no dead letter`);
      if (found.length > 0) complaints.push(`${jobId} cannot be done, and has a result`);
      continue;
    }
    if (isDead) complaints.push(`${jobId} is still a dead letter`);
    if (found.length !== 1) complaints.push(`${jobId} has ${found.length} results`);
    for (const { result } of found)
      if (result !== wanted) complaints.push(`${jobId}: ${result}; it should be ${wanted}`);
  }
  if (new Set(deadLetters).size !== deadLetters.length) complaints.push('a job is a dead letter twice');
  for (const kind of ['text', 'image']) {
    const ids = new Set(jobs.filter(({ routingKey }) => routingKey.startsWith(kind)).map(({ jobId }) => jobId));
    complaints.push(
      ...overtaken(
        results.filter(({ jobId, isFirstTry }) => isFirstTry && ids.has(jobId)),
        workers,
      ),
    );
  }
  return complaints;
}

/**
 * Urgent jobs are handed out first. Of those that nothing came in between with, none is taken behind an ordinary one; but for as many
 * as there are workers, since each takes its own at its own time.
 */
function overtaken(results: readonly JobResult[], workers: number): string[] {
  const taken = [...results].sort((a, b) => a.takenAtMs - b.takenAtMs);
  const lastUrgent = taken.findLastIndex(({ priority }) => priority > 0);
  const before = taken.slice(0, Math.max(0, lastUrgent)).filter(({ priority }) => priority === 0).length;
  return before <= workers ? [] : [`${before} ordinary jobs were taken before the urgent ${taken[lastUrgent]!.jobId}`];
}
