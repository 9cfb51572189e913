/** The plumbing of `npm run bench -- micro`, at a tiny size; figures are for no test. */
import { expect, onTestFinished, test, vi } from 'vitest';
import { MICRO_SUITES, runMicroBenchmark, tasksOf } from '../../../bench/micro/micro-benchmark.ts';

test.each(MICRO_SUITES)(
  '%s: each task has a name of its own, and does something each time',
  { timeout: 120_000 },
  (suite) => {
    const tasks = tasksOf(suite);
    expect(new Set(tasks.map(({ name }) => name)).size).toBe(tasks.length);
    for (const { name, units, run } of tasks) {
      expect(units, name).toBeGreaterThan(0);
      expect(run(), name).toBeGreaterThan(0);
      expect(run(), name).toBeGreaterThan(0);
    }
  },
);

test('a table has a line for each task, with time per unit and rate', async () => {
  let printed = '';
  const stdout = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text);
    return true;
  });
  const stderr = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  onTestFinished(() => {
    stdout.mockRestore();
    stderr.mockRestore();
  });
  await runMicroBenchmark({ taskMs: 1, only: 'queue' });
  const [title, ...lines] = printed.trimEnd().split('\n');
  expect(title).toBe('queue');
  expect(lines).toHaveLength(tasksOf('queue').length);
  for (const line of lines) {
    expect(line).toMatch(/^take.* [\d.]+ (?:ns|µs) per message +[\d.]+(?: M)? messages\/s +± [\d.]+ %$/);
  }
});

test('a suite that is none is refused', async () => {
  await expect(runMicroBenchmark({ taskMs: 1, only: 'queues' })).rejects.toThrow('there is no suite "queues"');
});
