import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Client } from '../../client/index.ts';
import { runKillRounds } from './kill-rounds.ts';

function newestSegments(dataDir: string, topic: string): string[] {
  const topics = path.join(dataDir, 'topics');
  return fs
    .readdirSync(topics)
    .filter((name) => name.startsWith(`${topic}-`))
    .flatMap((name) => {
      const segments = fs.readdirSync(path.join(topics, name)).filter((file) => file.endsWith('.log'));
      // What was never written to has no file.
      const newest = segments.sort().at(-1);
      return newest === undefined ? [] : [path.join(topics, name, newest)];
    });
}

/** What a power loss may do with flush=none: the last bytes that were written never reached the disk. */
function cutNewestSegments(dataDir: string, topic: string, bytes: number): void {
  for (const file of newestSegments(dataDir, topic)) {
    fs.truncateSync(file, Math.max(0, fs.statSync(file).size - bytes));
  }
}

describe('a broker that is killed under load', () => {
  it('has every acknowledged record once and in order, over 25 rounds', { timeout: 180_000 }, async () => {
    const seed = Number(process.env['BURROW_CRASH_SEED'] ?? Date.now() % 1_000_000);
    const result = await runKillRounds({ rounds: 25, seed, readAllEvery: 5 }).catch((error: unknown) => {
      throw new Error(`seed ${seed} (npm run soak -- crash --rounds 25 --seed ${seed} makes the same choices)`, {
        cause: error,
      });
    });
    console.log(JSON.stringify(result));
    // The machinery did what it is there for; how much of it depends on the machine.
    expect(result.acknowledged).toBeGreaterThan(1000);
    expect(result.load.consumed).toBeGreaterThan(1000);
    expect(result.segmentsRemovedByRetention).toBe(true);
    for (const count of [
      result.load.removals,
      result.topics.created,
      result.topics.deleted,
      result.topics.altered,
      result.groups.commits,
      result.groups.resets,
    ]) {
      expect(count).toBeGreaterThan(0);
    }
  });

  it('keeps them with flush=none too, which only the loss of power may cost', { timeout: 60_000 }, async () => {
    const result = await runKillRounds({ rounds: 3, seed: 3, flags: ['--flush', 'none'] });
    expect(result.acknowledged).toBeGreaterThan(100);
  });

  it('is caught when acknowledged records are gone after it', { timeout: 60_000 }, async () => {
    // Behind the last checkpoint, where a torn end is nothing unusual to the broker: only the ledger knows better.
    const sabotage = (dataDir: string): void => cutNewestSegments(dataDir, 'ledger', 1);
    const run = runKillRounds({ rounds: 1, seed: 7, flags: ['--flush', 'none'], sabotage });
    await expect(run).rejects.toThrow(/^ledger-\d ends at \d+, but record .* is lost$/);
  });

  it('is caught when an acknowledged commit has been moved back', { timeout: 60_000 }, async () => {
    const tamper = async (client: Client): Promise<void> => {
      await client.admin().resetOffsets('readers', { to: 'earliest' });
    };
    await expect(runKillRounds({ rounds: 1, seed: 7, tamper })).rejects.toThrow(
      /^group readers, ledger-\d: 0 is committed, but \d+ was acknowledged$/,
    );
  });

  it('refuses to start on less than it knows to have synced', { timeout: 60_000 }, async () => {
    const sabotage = (dataDir: string): void => {
      fs.rmSync(path.join(dataDir, 'journal'), { recursive: true });
      cutNewestSegments(dataDir, 'ledger', Number.MAX_SAFE_INTEGER);
    };
    // The start of the second round notes what the first has left as synced, however little that is on a busy machine.
    const error = await runKillRounds({ rounds: 2, seed: 7, sabotage }).catch((reason: Error) => reason);
    expect(String((error as Error).cause)).toContain('STORAGE_CORRUPT');
  });
});
