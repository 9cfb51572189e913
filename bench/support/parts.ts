/** A benchmark of several parts: runs all of them or one, and writes a dated report of what they found. */
import os from 'node:os';
import { machineFacts } from './machine.ts';
import { machineLine, writeReport } from './report.ts';

export interface PartResult {
  /** Markdown. */
  readonly lines: readonly string[];
  readonly data: object;
}

export type Part<Options> = (options: Options) => Promise<PartResult>;

export interface PartsBenchmark<Options> {
  /** As in the names of its reports. */
  readonly name: string;
  readonly title: string;
  /** What is true of all parts. */
  readonly setting: string;
  readonly parts: ReadonlyMap<string, Part<Options>>;
}

export interface RunOptions {
  /** Goes into the report: what else this machine was doing, say. */
  readonly note?: string | undefined;
  /** Runs this part alone; the report has a name of its own then. */
  readonly only?: string | undefined;
  /** Folder of the report. Default: bench/results. */
  readonly results?: string | undefined;
}

export async function runParts<Options>(
  { name, title, setting, parts }: PartsBenchmark<Options>,
  options: Options,
  { note, only, results }: RunOptions,
): Promise<void> {
  const chosen = [...parts].filter(([part]) => only === undefined || part === only);
  if (chosen.length === 0) throw new Error(`there is no part ${only}: choose ${[...parts.keys()].join(', ')}`);
  const facts = machineFacts(os.tmpdir());
  const day = new Date().toISOString().slice(0, 10);
  const lines = [
    `# ${title}, ${day}`,
    '',
    machineLine(facts),
    '',
    setting,
    '',
    ...(note === undefined ? [] : [note, '']),
  ];
  let data = {};
  for (const [, part] of chosen) {
    const result = await part(options);
    lines.push(...result.lines);
    data = { ...data, ...result.data };
  }
  const bench = only === undefined ? name : `${name}-${only}`;
  writeReport({ bench, day, facts, lines, data: { options, note, ...data } }, results);
}
