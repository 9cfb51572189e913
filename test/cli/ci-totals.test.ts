import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';

const SCRIPT = fileURLToPath(new URL('../../.ci/totals.mjs', import.meta.url));

function totals(report: string): string[] {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-totals-'));
  onTestFinished(() => fs.rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'report.json');
  fs.writeFileSync(file, report);
  return spawnSync(process.execPath, [SCRIPT, file], { encoding: 'utf8' }).stdout.trimEnd().split('\n');
}

function report(passed: number, failed: number, suites: ReadonlyArray<readonly [string, readonly string[]]>): string {
  const testResults = suites.map(([status, tests]) => ({
    status,
    assertionResults: tests.map((each) => ({ status: each })),
  }));
  return JSON.stringify({ numPassedTests: passed, numFailedTests: failed, testResults });
}

test('the last line of CI counts what passed and failed', () => {
  expect(totals(report(2, 0, [['passed', ['passed', 'passed']]]))).toEqual(['2 passed, 0 failed']);
  expect(totals(report(1, 1, [['failed', ['passed', 'failed']]]))).toEqual(['1 passed, 1 failed']);
});

test('a test file that did not load, and a run without a report, count as failures', () => {
  expect(
    totals(
      report(1, 0, [
        ['passed', ['passed']],
        ['failed', []],
      ]),
    ).at(-1),
  ).toBe('1 passed, 1 failed');
  expect(totals('').at(-1)).toBe('0 passed, 1 failed');
});
