import { describe, expect, it } from 'vitest';
import { simulateLogEngine } from './log-engine-simulation.ts';

const SEEDS = Number(process.env['BURROW_SIM_SEEDS'] ?? 2000);
const FIRST = Number(process.env['BURROW_SIM_FIRST'] ?? 1);

describe('the log engine on a failing disk', () => {
  it(`keeps what it acknowledged, in order, over ${SEEDS} seeds`, { timeout: 600_000 }, async () => {
    let acknowledged = 0;
    let crashes = 0;
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
      const result = await simulateLogEngine({ seed });
      acknowledged += result.acknowledged;
      crashes += result.crashes;
    }
    console.log(`${SEEDS} seeds: ${acknowledged} acknowledged batches, ${crashes} crashes`);
    expect(acknowledged).toBeGreaterThan(SEEDS);
    expect(crashes).toBeGreaterThan(SEEDS);
  });

  it('is caught when it acknowledges before the sync', async () => {
    const caught: string[] = [];
    for (let seed = 1; seed <= 40; seed++) {
      await simulateLogEngine({ seed, sabotage: 'journal-is-not-synced' }).catch((error: Error) =>
        caught.push(error.message),
      );
    }
    expect(caught.some((message) => /acknowledged batch at \d+ is lost/.test(message))).toBe(true);
  });

  it('replays a seed exactly', async () => {
    for (const seed of [3, 14, 159]) {
      const [first, second] = [await simulateLogEngine({ seed }), await simulateLogEngine({ seed })];
      expect(second).toEqual(first);
    }
  });
});
