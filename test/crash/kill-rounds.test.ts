import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { runKillRounds } from './kill-rounds.ts';

describe('a broker that is killed under load', () => {
  it('has every acknowledged record once and in order, over 25 rounds', { timeout: 180_000 }, async () => {
    const seed = Number(process.env['BURROW_CRASH_SEED'] ?? Date.now() % 1_000_000);
    const result = await runKillRounds({ rounds: 25, seed }).catch((error: unknown) => {
      throw new Error(`seed ${seed} (BURROW_CRASH_SEED=${seed} replays its choices)`, { cause: error });
    });
    console.log(JSON.stringify(result));
    expect(result.acknowledged).toBeGreaterThan(1000);
    expect(result.stored).toBeGreaterThanOrEqual(result.acknowledged);
  });

  it('is caught when acknowledged records are taken away', { timeout: 60_000 }, async () => {
    const loseTheJournal = (dataDir: string): void => {
      fs.rmSync(path.join(dataDir, 'journal'), { recursive: true });
      for (const name of fs.readdirSync(path.join(dataDir, 'topics'))) {
        const folder = path.join(dataDir, 'topics', name);
        const newest = fs
          .readdirSync(folder)
          .filter((file) => file.endsWith('.log'))
          .sort()
          .at(-1);
        if (newest !== undefined) fs.truncateSync(path.join(folder, newest), 0);
      }
    };
    await expect(runKillRounds({ rounds: 1, seed: 7, sabotage: loseTheJournal })).rejects.toThrow(
      /is lost|STORAGE_CORRUPT/,
    );
  });
});
