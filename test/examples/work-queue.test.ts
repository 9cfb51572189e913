/** The example work-queue: killed at random, its audit, and that it leaves nothing behind. */
import { describe, expect, test } from 'vitest';
import { audit, type WorkFacts } from '../../examples/work-queue/audit.ts';
import type { Job, JobResult } from '../../examples/work-queue/jobs.ts';
import type { CrashPoint } from '../support/crash-at-commit.ts';
import { runExample } from '../support/example-process.ts';

const ALL_IS_WELL = 'Each job was done once, urgent ones first, or is a dead letter that nobody can do.';

test('as a user runs it: workers and broker are killed, and each job is done once or a dead letter', {
  timeout: 240_000,
}, async () => {
  const { code, output } = await runExample(['work-queue', '--kills', '4', '--seed', '2']);
  expect(output).toContain(ALL_IS_WELL);
  expect(output).toMatch(/20 dead letters because of delivery_limit: .*text\.words\.utf16/);
  expect(output).toMatch(/dead letters because of rejected: image\.thumbnail/);
  expect(output).toMatch(/\d\d dead letters replayed/);
  expect(output).toContain('112 results, 8 dead letters left');
  expect(code).toBe(0);
});

test('without its inbox the archive stores a result twice, and the audit says so', { timeout: 240_000 }, async () => {
  // The archive dies when it has stored a result and not acknowledged it: so it comes again.
  const crashPoints: CrashPoint[] = [{ program: 'archive/archive.js', when: 'after', commit: 1 }];
  const { code, output, struck } = await runExample(['work-queue', '--kills', '0', '--seed', '3'], {
    crashPoints,
    forgetsInbox: true,
  });
  expect(struck).toHaveLength(1);
  expect(output).toMatch(/WRONG: job-\d+ has 2 results/);
  expect(code).toBe(1);
});

describe('the audit', () => {
  const job = (id: number, priority: number, wanted: string | undefined = `${id} words`): Job => ({
    jobId: `j${id}`,
    routingKey: 'text.words.utf8',
    priority,
    body: new Uint8Array(),
    wanted,
  });
  const jobs = [job(1, 9), job(2, 0), job(3, 9), job(4, 0), job(5, 0), job(6, 0), { ...job(7, 0), wanted: undefined }];
  const result = (id: number, takenAtMs: number, isFirstTry = true): JobResult => ({
    jobId: `j${id}`,
    result: `${id} words`,
    priority: jobs[id - 1]!.priority,
    takenAtMs,
    isFirstTry,
  });
  const fine: WorkFacts = {
    jobs,
    results: [result(1, 10), result(2, 11), result(3, 12), result(4, 13), result(5, 14), result(6, 15)],
    deadLetters: ['j7'],
    workers: 2,
  };

  test('is content when as many ordinary jobs as there are workers are taken before the last urgent one', () => {
    expect(audit(fine)).toEqual([]);
  });

  test('does not mind when an urgent job comes late because it was tried before', () => {
    expect(
      audit({ ...fine, results: [...fine.results.slice(0, 2), ...fine.results.slice(3), result(3, 99, false)] }),
    ).toEqual([]);
  });

  test.each<[string, Partial<WorkFacts>, string]>([
    ['a job that was not done', { results: fine.results.slice(1) }, 'j1 has 0 results'],
    ['a job that was done twice', { results: [...fine.results, result(2, 20)] }, 'j2 has 2 results'],
    ['a wrong result', { results: [{ ...result(1, 10), result: '7 words' }, ...fine.results.slice(1)] }, 'j1: 7 words'],
    ['a dead letter that could be done', { deadLetters: ['j7', 'j2'] }, 'j2 is still a dead letter'],
    ['a job that cannot be done and went away', { deadLetters: [] }, 'j7 cannot be done, and is no dead letter'],
    [
      'a job that cannot be done and was',
      { results: [...fine.results, { ...result(1, 20), jobId: 'j7' }] },
      'j7 cannot be done, and has a result',
    ],
    ['a dead letter that is there twice', { deadLetters: ['j7', 'j7'] }, 'a job is a dead letter twice'],
    [
      'an urgent job that was overtaken',
      { results: [...fine.results.filter(({ jobId }) => jobId !== 'j3'), result(3, 30)] },
      '4 ordinary jobs were taken before the urgent j3',
    ],
  ])('notices %s', (_, change, complaint) => {
    expect(audit({ ...fine, ...change }).join('\n')).toContain(complaint);
  });
});
