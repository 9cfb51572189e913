import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Part, runParts } from '../../../bench/support/parts.ts';

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-parts-'));
});
afterEach(() => fs.rmSync(folder, { recursive: true }));

const part =
  (name: string): Part<{ readonly size: number }> =>
  async ({ size }) => ({ lines: [`## ${name} of ${size}`, ''], data: { [name]: size } });
const parts = new Map([
  ['one', part('one')],
  ['two', part('two')],
]);
const bench = { name: 'trial', title: 'Trial', setting: 'Nothing is measured.', parts };

function written(): { pages: string[]; history: Array<Record<string, unknown>> } {
  const names = fs.readdirSync(folder).filter((name) => name.endsWith('.md'));
  const history = fs.readFileSync(path.join(folder, 'history.ndjson'), 'utf8').trimEnd().split('\n');
  return {
    pages: names.map((name) => name.slice('2026-11-25-'.length)),
    history: history.map((line) => JSON.parse(line)),
  };
}

test('all parts go into one page and one line of the history', async () => {
  await runParts(bench, { size: 3 }, { results: folder, note: 'A note.' });
  const { pages, history } = written();
  expect(pages).toEqual(['trial.md']);
  const page = fs.readFileSync(path.join(folder, fs.readdirSync(folder).find((name) => name.endsWith('.md'))!), 'utf8');
  expect(page).toMatch(/^# Trial, \d{4}-\d\d-\d\d\n/);
  for (const text of ['Nothing is measured.', 'A note.', '## one of 3\n', '## two of 3\n'])
    expect(page).toContain(text);
  expect(history).toEqual([
    expect.objectContaining({ bench: 'trial', options: { size: 3 }, note: 'A note.', one: 3, two: 3 }),
  ]);
});

test('one part alone has a report of its own', async () => {
  await runParts(bench, { size: 3 }, { results: folder, only: 'two' });
  const { pages, history } = written();
  expect(pages).toEqual(['trial-two.md']);
  expect(history).toEqual([expect.objectContaining({ bench: 'trial-two', two: 3 })]);
  expect(history[0]).not.toHaveProperty('one');
});

test('a part that is not there is refused before anything is measured', async () => {
  await expect(runParts(bench, { size: 3 }, { results: folder, only: 'three' })).rejects.toThrow('choose one, two');
  expect(fs.readdirSync(folder)).toEqual([]);
});
