/**
 * The example outbox with many kills: shop, relay, billing and the broker die at random while they work, and the example's own audit
 * says whether they tell the same story. Needs the built code.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { built } from '../../bench/support/built.ts';

export interface OutboxFigures {
  readonly orders: number;
  readonly events: number;
  /** Events that were published again after a kill. */
  readonly repeated: number;
  readonly entries: number;
  /** How often each part was killed. */
  readonly deaths: Readonly<Record<string, number>>;
}

/** Rejects with the example's output if its audit complains, or if it ends before the audit. */
export async function runOutboxKills(options: { readonly kills: number; readonly seed: number }) {
  const { kills, seed } = options;
  const words = ['outbox', '--kills', String(kills), '--seed', String(seed)];
  const child = spawn(process.execPath, [built('examples/run.js'), ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  const [code] = (await once(child, 'close')) as [number | null];
  const figures = code === 0 ? outboxFigures(output) : undefined;
  if (figures === undefined) throw new Error(`the example ended with exit code ${code}:\n${output}`);
  return { seed, kills, ...figures };
}

/** What the example prints when it has audited; undefined if it did not come to that. */
export function outboxFigures(output: string): OutboxFigures | undefined {
  const events = /(\d+) orders; (\d+) events, (\d+) of them again/.exec(output);
  const entries = /(\d+) entries in the books/.exec(output);
  if (events === null || entries === null) return undefined;
  const deaths = new Map<string, number>();
  for (const [, part] of output.matchAll(/(\w+) was killed by SIGKILL/g))
    deaths.set(part!, (deaths.get(part!) ?? 0) + 1);
  return {
    orders: Number(events[1]),
    events: Number(events[2]),
    repeated: Number(events[3]),
    entries: Number(entries[1]),
    deaths: Object.fromEntries(deaths),
  };
}
