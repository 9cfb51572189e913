/** Writes what a benchmark found: a dated page to read, and a line in the history for comparisons. */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { MachineFacts } from './machine.ts';

const RESULTS = path.resolve(fileURLToPath(new URL('../../../bench/results/', import.meta.url)));

export interface Report {
  readonly bench: string;
  readonly day: string;
  readonly facts: MachineFacts;
  readonly lines: readonly string[];
  /** What the figures come from; into the history as it is. */
  readonly data: object;
}

/** @param folder - default: bench/results */
export function writeReport({ bench, day, facts, lines, data }: Report, folder = RESULTS): void {
  fs.mkdirSync(folder, { recursive: true });
  const file = path.join(folder, `${day}-${bench}.md`);
  fs.writeFileSync(file, lines.join('\n'));
  fs.appendFileSync(path.join(folder, 'history.ndjson'), `${JSON.stringify({ bench, day, facts, ...data })}\n`);
  process.stdout.write(`${lines.join('\n')}\nwritten to ${path.relative(process.cwd(), file)}\n`);
}

export function machineLine(facts: MachineFacts): string {
  const { cpu, cores, memoryGiB, kernel, fileSystem, node, commit } = facts;
  return `${cpu}, ${cores} cores, ${memoryGiB} GiB, ${kernel}, ${fileSystem}, Node ${node}, commit ${commit}.`;
}
